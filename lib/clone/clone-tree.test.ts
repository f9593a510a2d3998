/** Clones by hand: what a clone carries over, trees, what is refused, and what a full image leaves. */
import { describe, expect, it } from 'vitest';
import { MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { check } from '../check/check.ts';
import type { OverlayDevice } from '../device/overlay.ts';
import { Fork } from '../file/fork.ts';
import { punchHole } from '../file/truncate.ts';
import { truncate, writeAt } from '../volume/content.ts';
import { Editor } from '../volume/editor.ts';
import { listXattrs, setXattr } from '../volume/metadata.ts';
import { create, link, unlink } from '../volume/names.ts';
import { cloneFile } from './clone-file.ts';
import { type CloneRange, cloneRange } from './clone-range.ts';
import { cloneTree } from './clone-tree.ts';
import { unshare } from './unshare.ts';

const name = (text: string) => new TextEncoder().encode(text);

class Image {
  readonly device: OverlayDevice;
  readonly editor: Editor;
  readonly root: number;

  constructor(options: Parameters<typeof emptyImage>[0] = { dialect: 'xfs', features: { rmapbt: true } }) {
    this.device = emptyImage(options);
    this.editor = Editor.open(this.device);
    this.root = this.editor.volume.geometry.rootInode;
  }

  file(text: string, bytes = 0, directory = this.root): number {
    const number = create(this.editor, directory, name(text), { mode: MODE.FILE | 0o4750, uid: 5, gid: 6 });
    if (bytes > 0) writeAt(this.editor, number, 0, new Uint8Array(bytes).fill(text.charCodeAt(0)));
    return number;
  }

  directory(text: string, parent = this.root): number {
    return create(this.editor, parent, name(text), { mode: MODE.DIR | 0o1750, uid: 9 });
  }

  /** A file in this many extents, each of one block. */
  pieces(text: string, extents: number): number {
    const { editor } = this;
    const { blockSize } = editor.volume.geometry;
    const number = this.file(text, 2 * extents * blockSize);
    for (let i = 0; i < extents; i++) {
      editor.chain((tx, units) => {
        const inode = editor.inode(tx, number);
        return punchHole(tx, editor.space, editor.data, inode, (2 * i + 1) * blockSize, blockSize, units);
      });
    }
    return number;
  }

  find(text: string): number | undefined {
    let at: number | undefined = this.root;
    for (const part of text.split('/')) at = at && this.editor.volume.child(this.editor.volume.inode(at), name(part));
    return at;
  }

  inode(text: string) {
    return this.editor.volume.inode(this.find(text)!);
  }

  content(number: number): Uint8Array {
    const inode = this.editor.volume.inode(number);
    const bytes = new Uint8Array(inode.size);
    this.editor.volume.fileReader(inode).read(0, bytes);
    return bytes;
  }

  get free(): number {
    return this.editor.space.countFree(this.editor.volume.cache);
  }

  finish(): void {
    this.editor.close();
    expect(check(this.device, { data: true }).problems).toEqual([]);
  }
}

const thrown = (code: string) => expect.objectContaining({ code });

describe('a clone', () => {
  it('carries everything over and takes no blocks', () => {
    const image = new Image();
    const source = image.file('a', 1 << 20);
    setXattr(image.editor, source, name('user.small'), name('v'));
    setXattr(image.editor, source, name('trusted.large'), new Uint8Array(5000).fill(7));
    const before = image.free;
    const number = cloneFile(image.editor, source, image.root, name('b'));
    expect(before - image.free).toBeLessThan(4); // attribute blocks
    const [from, to] = [image.inode('a'), image.inode('b')];
    for (const time of ['atime', 'mtime'] as const) expect(to.time(time)).toEqual(from.time(time));
    expect([to.mode, to.core.uid, to.core.gid]).toEqual([from.mode, 5, 6]);
    expect(listXattrs(to)).toEqual(listXattrs(from));
    expect([from.isReflink, to.isReflink]).toEqual([true, true]);
    writeAt(image.editor, number, 4096, Uint8Array.of(1));
    expect(image.content(source).every((byte) => byte === 97)).toBe(true);
    expect(unshare(image.editor, number)).toEqual({ bytes: (1 << 20) - 4096, runs: 2 });
    expect(image.inode('b').isReflink).toBe(false);
    image.finish();
  });

  it('that keeps no block says that it shares none, as the kernel has it', () => {
    const image = new Image();
    const source = image.file('a', 1 << 20);
    const number = cloneFile(image.editor, source, image.root, name('b'));
    truncate(image.editor, number, 4096);
    expect(image.inode('b').isReflink).toBe(true);
    truncate(image.editor, number, 0);
    expect([image.inode('a').isReflink, image.inode('b').isReflink]).toEqual([true, false]);
    cloneFile(image.editor, source, image.root, name('c'));
    writeAt(image.editor, number, 0, new Uint8Array(4096));
    expect([image.inode('b').isReflink, image.inode('c').isReflink]).toEqual([false, true]);
    image.finish();
  });

  it('of a file in many extents is made in steps, and replaces what has the name', () => {
    const image = new Image({ dialect: 'xfs', blockSize: 1024, features: { rmapbt: true } });
    const source = image.pieces('a', 700);
    image.file('b', 50_000);
    expect(() => cloneFile(image.editor, source, image.root, name('b'))).toThrow(thrown('EEXIST'));
    const number = cloneFile(image.editor, source, image.root, name('b'), true);
    expect(image.find('b')).toBe(number);
    expect(new Fork(image.editor.volume.inode(number), 'data').extentCount).toBe(700);
    expect(Buffer.compare(image.content(number), image.content(source))).toBe(0);
    image.finish();
  });

  it('hundreds of times, and all but one gone again', () => {
    const image = new Image({ dialect: 'cadastre' });
    const source = image.file('a', 300_000);
    const before = image.free;
    for (let i = 0; i < 300; i++)
      cloneFile(image.editor, i === 0 ? source : image.find(`c${i - 1}`)!, image.root, name(`c${i}`));
    expect(before - image.free).toBeLessThan(40);
    unlink(image.editor, image.root, name('a'));
    for (let i = 0; i < 299; i++) unlink(image.editor, image.root, name(`c${i}`));
    expect(image.content(image.find('c299')!).every((byte) => byte === 97)).toBe(true);
    image.finish();
  });

  it('is refused by name where nothing can be shared', () => {
    const image = new Image({ dialect: 'xfs', features: { reflink: false } });
    const source = image.file('a', 100);
    expect(() => cloneFile(image.editor, source, image.root, name('b'))).toThrow(thrown('NO_REFLINK'));
    expect(() => cloneTree(image.editor, source, name('/a'), image.root, name('b'))).toThrow(thrown('NO_REFLINK'));
    expect(image.find('b')).toBeUndefined();
    image.finish();
  });

  it('of a range follows its rules', () => {
    const image = new Image();
    const [a, b] = [image.file('a', 40_000), image.file('b', 100_000)];
    const directory = image.directory('d');
    const range = (sourceOffset: number, length: number, targetOffset: number): CloneRange => ({
      sourceOffset,
      length,
      targetOffset,
    });
    const refused: [number, number, CloneRange, string][] = [
      [a, b, range(100, 4096, 0), 'EINVAL'],
      [a, b, range(0, 4096, 100), 'EINVAL'],
      [a, b, range(0, 5000, 0), 'EINVAL'], // ends inside a block, not at the end of the source
      [a, b, range(36_864, 3136, 0), 'EINVAL'], // ... and inside the target
      [a, b, range(36_864, 4096, 0), 'EINVAL'], // behind the end
      [a, b, range(49_152, 0, 0), 'EINVAL'],
      [a, a, range(0, 8192, 4096), 'EINVAL'],
      [a, a, range(0, 4096, 0), 'EINVAL'],
      [a, b, range(0, -1, 0), 'EINVAL'],
      [a, b, range(0, 4096, 2 ** 53 - 4096), 'EFBIG'],
      [a, directory, range(0, 4096, 0), 'EISDIR'],
      [directory, b, range(0, 4096, 0), 'EISDIR'],
    ];
    for (const [from, to, which, code] of refused) {
      expect(() => cloneRange(image.editor, from, to, which), JSON.stringify(which)).toThrow(thrown(code));
    }
    expect(image.content(b).every((byte) => byte === 98)).toBe(true);
    cloneRange(image.editor, a, b, range(36_864, 0, 98_304));
    expect(image.inode('b').size).toBe(98_304 + 3136);
    expect(
      image
        .content(b)
        .subarray(98_304)
        .every((byte) => byte === 97),
    ).toBe(true);
    image.finish();
  });
});

describe('a cloned tree', () => {
  function makeTree(image: Image): void {
    const { editor } = image;
    const top = image.directory('t');
    const below = image.directory('sub', top);
    const linked = image.file('one', 70_000, top);
    link(editor, linked, below, name('two'));
    for (let i = 0; i < 150; i++) image.file(`file-${i}`, 3000 + i, below);
    create(editor, top, name('link'), { mode: MODE.SYMLINK | 0o777, target: name('sub/two') });
    create(editor, top, name('null'), { mode: MODE.CHAR | 0o666, device: { major: 1, minor: 3 } });
    setXattr(editor, below, name('user.of'), name('directory'));
  }

  it('has everything the source has, hard links as hard links', () => {
    const image = new Image();
    makeTree(image);
    const result = cloneTree(image.editor, image.find('t')!, name('/t'), image.root, name('u'));
    expect(result).toMatchObject({ files: 151, directories: 2, symlinks: 1, others: 1, hardLinks: 1 });
    expect(image.find('u/one')).toBe(image.find('u/sub/two'));
    expect(image.inode('u/one').core.nlink).toBe(2);
    for (let i = 0; i < 150; i++) {
      const [from, to] = [image.find(`t/sub/file-${i}`)!, image.find(`u/sub/file-${i}`)!];
      expect(Buffer.compare(image.content(from), image.content(to))).toBe(0);
    }
    expect(image.inode('u/null').deviceNumber).toEqual({ major: 1, minor: 3 });
    const [from, to] = [image.inode('t/sub'), image.inode('u/sub')];
    expect([to.mode, to.core.uid, to.core.nlink]).toEqual([from.mode, 9, 2]);
    expect(to.time('mtime')).toEqual(from.time('mtime'));
    expect(listXattrs(to)).toEqual(listXattrs(from));
    image.finish();
  });

  it('cannot lie in itself, or take a name', () => {
    const image = new Image();
    makeTree(image);
    const { editor, root } = image;
    const source = image.find('t')!;
    expect(() => cloneTree(editor, source, name('/t'), image.find('t/sub')!, name('u'))).toThrow(thrown('EINVAL'));
    expect(() => cloneTree(editor, source, name('/t'), source, name('u'))).toThrow(thrown('EINVAL'));
    expect(() => cloneTree(editor, source, name('/t'), root, name('t'))).toThrow(thrown('EEXIST'));
    image.finish();
  });

  it('in an image that gets full: what failed is named, what is there is whole', () => {
    const image = new Image({ dialect: 'cadastre', size: 16 << 20 });
    makeTree(image);
    const fill = image.file('fill');
    for (let piece = 1 << 20; piece >= 4096; piece /= 4) {
      try {
        for (;;) writeAt(image.editor, fill, image.inode('fill').size, new Uint8Array(piece).fill(piece >> 8));
      } catch (error) {
        expect(error).toEqual(thrown('ENOSPC'));
      }
    }
    let full: unknown;
    let made = 0;
    try {
      for (; made < 40; made++) cloneTree(image.editor, image.find('t')!, name('/t'), image.root, name(`u${made}`));
    } catch (error) {
      full = error;
    }
    expect(full).toMatchObject({ code: 'ENOSPC', where: { path: expect.stringMatching(/^\/t/) } });
    for (let i = 0; i < 150; i++) {
      const number = image.find(`u${made}/sub/file-${i}`);
      if (number === undefined) continue;
      expect(Buffer.compare(image.content(number), image.content(image.find(`t/sub/file-${i}`)!))).toBe(0);
    }
    image.finish();
  });
});
