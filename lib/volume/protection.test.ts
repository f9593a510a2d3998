/** Protected files where no kernel call judges: sharing, copying, putting over, removing trees. */
import { describe, expect, it } from 'vitest';
import { INODE_FLAG, MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { check } from '../check/check.ts';
import { cloneFile } from '../clone/clone-file.ts';
import { cloneRange } from '../clone/clone-range.ts';
import { unshare } from '../clone/unshare.ts';
import { dedupe } from '../dedupe/dedupe.ts';
import { putFile, writeAt } from './content.ts';
import { Editor } from './editor.ts';
import { setXattr } from './metadata.ts';
import { create, createIn, linkOver } from './names.ts';
import { TreeRemover } from './tree-remove.ts';

const name = (text: string): Uint8Array => new TextEncoder().encode(text);
const EPERM = expect.objectContaining({ code: 'EPERM' });

function fixture(flag: number) {
  const device = emptyImage({ dialect: 'cadastre' });
  const editor = Editor.open(device);
  const root = editor.volume.geometry.rootInode;
  const put = (text: string): number => {
    let left = 200_000;
    return putFile(editor, root, name(text), { mode: MODE.FILE | 0o644 }, (into) => {
      const length = Math.min(left, into.length);
      left -= length;
      into.fill(7, 0, length);
      return length;
    });
  };
  const protect = (number: number): number => {
    editor.transact((tx) => {
      const inode = editor.inode(tx, number);
      inode.change(tx);
      inode.core.flags |= flag;
    });
    return number;
  };
  return { device, editor, root, put, protect, flagged: protect(put('flagged')), plain: put('plain') };
}

describe.each([
  ['immutable', INODE_FLAG.IMMUTABLE],
  ['append-only', INODE_FLAG.APPEND],
])('what is %s', (_what, flag) => {
  it('is no target, but a source', () => {
    const { device, editor, root, put, flagged, plain, protect } = fixture(flag);
    expect(() => cloneRange(editor, plain, flagged, { sourceOffset: 0, targetOffset: 0, length: 4096 })).toThrow(EPERM);
    expect(() => cloneFile(editor, plain, root, name('flagged'), true)).toThrow(EPERM);
    expect(() => put('flagged')).toThrow(EPERM);
    expect(() => linkOver(editor, plain, root, name('flagged'))).toThrow(EPERM);
    const clone = cloneFile(editor, flagged, root, name('clone'));
    expect(() => unshare(editor, flagged)).toThrow(EPERM);
    expect(unshare(editor, clone).bytes).toBeGreaterThan(0);
    writeAt(editor, clone, 0, Uint8Array.of(1));
    if (flag === INODE_FLAG.IMMUTABLE) {
      const start = { inode: editor.volume.root, path: name('/') };
      expect(dedupe(editor, [start]).files).toBe(2);
    }
    const folder = create(editor, root, name('folder'), { mode: MODE.DIR | 0o755 });
    create(editor, folder, name('gone'), { mode: MODE.FILE | 0o644 });
    protect(create(editor, folder, name('stays'), { mode: MODE.FILE | 0o644 }));
    const told: string[] = [];
    const remover = new TreeRemover(editor, (error) => told.push(`${error.code} ${error.where.path}`));
    remover.remove(root, name('folder'), name('/folder'));
    expect(told).toEqual(['EPERM /folder/stays', 'ENOTEMPTY /folder']);
    expect(editor.volume.entries(editor.volume.inode(folder))).toHaveLength(1);
    editor.close();
    expect(check(device, { data: true }).problems).toEqual([]);
  });
});

describe('ACLs', () => {
  const acl = (...entries: [tag: number, perm: number, id?: number][]): Uint8Array => {
    const value = new DataView(new ArrayBuffer(4 + 8 * entries.length));
    value.setUint32(0, 2, true);
    entries.forEach(([tag, perm, id = 0xffffffff], i) => {
      value.setUint16(4 + 8 * i, tag, true);
      value.setUint16(6 + 8 * i, perm, true);
      value.setUint32(8 + 8 * i, id, true);
    });
    return new Uint8Array(value.buffer);
  };
  const [OWNER, USER, GROUP_OWNER, MASK, OTHER] = [1, 2, 4, 16, 32];

  it('that are none are refused', () => {
    const { editor, plain, root } = fixture(0);
    const set = (number: number, kind: string, value: Uint8Array) =>
      setXattr(editor, number, name(`system.posix_acl_${kind}`), value);
    const code = (code: string) => expect.objectContaining({ code });
    for (const value of [
      acl(),
      acl([OWNER, 7], [GROUP_OWNER, 7]),
      acl([OTHER, 7], [OWNER, 7], [GROUP_OWNER, 7]),
      acl([OWNER, 7], [USER, 7, 5], [GROUP_OWNER, 7], [OTHER, 7]),
      acl([OWNER, 8], [GROUP_OWNER, 7], [OTHER, 7]),
      acl([OWNER, 7], [OWNER, 7], [GROUP_OWNER, 7], [OTHER, 7]),
      acl([OWNER, 7], [GROUP_OWNER, 7], [64, 7], [OTHER, 7]),
      Uint8Array.of(2, 0, 0),
    ]) {
      expect(() => set(plain, 'access', value)).toThrow(code('EINVAL'));
      expect(() => set(root, 'default', value)).toThrow(code('EINVAL'));
    }
    const plainAcl = acl([OWNER, 6], [GROUP_OWNER, 4], [OTHER, 0]);
    expect(() => set(plain, 'default', plainAcl)).toThrow(code('EACCES'));
    // What a mode can say is a mode.
    set(plain, 'access', plainAcl);
    expect(editor.volume.inode(plain)).toMatchObject({ mode: MODE.FILE | 0o640 });
    expect(editor.volume.inode(plain).core.forkoff).toBe(0);
    set(plain, 'access', acl([OWNER, 7], [USER, 7, 5], [GROUP_OWNER, 0], [MASK, 5], [OTHER, 1]));
    expect(editor.volume.inode(plain)).toMatchObject({ mode: MODE.FILE | 0o751 });
  });

  it('that are damaged are not handed down', () => {
    const { editor, root } = fixture(0);
    setXattr(editor, root, name('trusted.SGI_ACL_DEFAULT'), Uint8Array.of(0, 0, 0, 9));
    const make = () => editor.transact((tx) => createIn(editor, tx, root, name('x'), { mode: MODE.FILE | 0o644 }));
    expect(make).toThrow(expect.objectContaining({ family: 'corrupt', code: 'ACL_BAD' }));
  });
});
