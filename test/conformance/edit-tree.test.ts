/**
 * Whole trees into images of the kernel and out of them again: what `put -r` and `rm -r` are made of. The source has every
 * form there is; the mounted image shows the same, and so it does when the tree is put over itself. A sample of the feature
 * matrix; FULL=1 takes more.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { HostTree } from '../../lib/host/tree.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { TreePutter } from '../../lib/volume/tree-put.ts';
import { TreeRemover } from '../../lib/volume/tree-remove.ts';
import { compareTrees, digestTree, type TreeEntry } from '../support/digest.ts';
import { makeMatrixImage, matrixEntry } from '../support/feature-matrix.ts';
import { withoutRawAcls } from '../support/image-digest.ts';
import { loopMount, mkfsXfs, mustRun, requireOracle, umlRun, withTempDir, xfsRepairCheck } from '../support/oracle.ts';

const full = process.env.FULL === '1';
const SAMPLE = ['default', 'block-64k'];
const ALL = [...SAMPLE, 'block-1k', 'inode-2k', 'dir-64k', 'no-sparse', 'all-features', 'bare', 'parent', 'log-big'];
const root = join(import.meta.dirname, '..', '..');
const ROOT_NAME = new Uint8Array(Buffer.from('tree'));

function judge(image: string, repairable: boolean): void {
  if (repairable) expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
  const device = new FileDevice(image, 'r');
  try {
    expect(check(device).problems).toEqual([]);
  } finally {
    device.close();
  }
}

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('a tree with every form there is', () => {
  let unmount: () => void = () => {};
  let source = '';
  let expected: TreeEntry[] = [];

  beforeAll(() => {
    const directory = join(process.env.TMPDIR ?? '/tmp', `cadastre-test-${process.pid}-put`);
    mkdirSync(join(directory, 'host'), { recursive: true });
    mkfsXfs(join(directory, 'host.img'), 512 << 20);
    mustRun('mount', ['-o', 'loop,noatime', join(directory, 'host.img'), join(directory, 'host')]);
    unmount = () => {
      mustRun('umount', [join(directory, 'host')]);
      rmSync(directory, { recursive: true });
    };
    source = join(directory, 'host', 'tree');
    mkdirSync(source);
    mustRun('python3', [join(root, 'test', 'support', 'rich-tree.py'), source, '--entries', full ? '10000' : '1500']);
    expected = withoutRawAcls(digestTree(source));
  });
  afterAll(() => unmount());

  const edited = (image: string, work: (editor: Editor) => void): void => {
    const editor = Editor.open(new FileDevice(image, 'rw'));
    work(editor);
    editor.close();
  };
  const fail = (error: Error): never => {
    throw error;
  };

  it.each(full ? ALL : SAMPLE)('is put and removed: %s', (name) => {
    withTempDir((directory) => {
      const entry = matrixEntry(name);
      const image = join(directory, 'image');
      makeMatrixImage({ ...entry, size: Math.max(entry.size ?? 0, 512 << 20) }, image);
      // Times that the format cannot hold become the last one it can, on this side only.
      const ignore = entry.args.join(' ').includes('bigtime=0') ? ['mtime', 'directory.size'] : ['directory.size'];
      for (const round of ['first', 'over itself']) {
        edited(image, (editor) => {
          const tree = new HostTree(source);
          new TreePutter(editor, { failed: fail }).put(tree, tree.root, editor.volume.root.number, ROOT_NAME);
          tree.close();
          expect(tree.leftOut.items).toEqual([]);
        });
        const seen = loopMount(image, {}, (at) => digestTree(join(at, 'tree')));
        expect(compareTrees(expected, withoutRawAcls(seen), { ignore }), round).toBe('');
        judge(image, entry.repairable);
      }
      edited(image, (editor) => {
        new TreeRemover(editor, fail).remove(editor.volume.root.number, ROOT_NAME, Buffer.from('/tree'));
      });
      expect(loopMount(image, {}, (at) => digestTree(at)).map((each) => each.path)).toEqual(['/']);
      judge(image, entry.repairable);
    });
  });

  // The running kernel may have no quotas; that of user-mode-linux has.
  it.runIf(requireOracle('uml'))('leaves quotas to be counted again', () => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      makeMatrixImage(matrixEntry('default'), image);
      const mounted = (work: string): string => {
        const script = `mkdir /mnt/q && mount -t xfs -o uquota,gquota $DEVICE0 /mnt/q && { ${work}; } && umount /mnt/q`;
        const { status, stdout, output } = umlRun([image], script, { noMount: true });
        expect(status, output).toBe(0);
        return stdout;
      };
      mounted('echo x >/mnt/q/file; chown 1000:100 /mnt/q/file');
      edited(image, (editor) => {
        const tree = new HostTree(join(root, 'formats'));
        const putter = new TreePutter(editor, { failed: fail, owner: { uid: 1000, gid: 100 } });
        putter.put(tree, tree.root, editor.volume.root.number, ROOT_NAME);
        tree.close();
      });
      judge(image, true);
      // Inodes of user 1000 as the kernel counts them at the next mount, against the files there are.
      const command = "xfs_quota -x -c 'quota -u -i -N -n 1000' /mnt/q; find /mnt/q -user 1000 | wc -l";
      const [counted, files] = mounted(command).trim().split('\n');
      expect(Number(counted!.trim().split(/\s+/)[1])).toBe(Number(files));
      expect(Number(files)).toBeGreaterThan(20);
      judge(image, true);
    });
  });
});
