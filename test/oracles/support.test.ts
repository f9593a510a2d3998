/** The helpers of test/support proven on the kernel's own images, before they judge ours. */
import * as fs from 'node:fs';
import { existsSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AgeSummary, ageImage, ageImageByUml } from '../support/age.ts';
import {
  compareTrees,
  contentDigest,
  digestTree,
  escapeBytes,
  type TreeEntry,
  timeDigest,
  xattrDigest,
} from '../support/digest.ts';
import { featureMatrix, makeMatrixImage, matrixEntry, withoutExchangeBit } from '../support/feature-matrix.ts';
import {
  digestImageByLoop,
  digestImageByUml,
  loopMount,
  mkfsXfs,
  requireOracle,
  umlRun,
  whyMissing,
  withTempDir,
  xfsDb,
  xfsRepairCheck,
} from '../support/oracle.ts';

/** Operations that an image with reflink must have seen, so that no shape is missing without anybody noticing. */
const FORMS = [
  'xattr 60000',
  'xattr tree',
  'acl default',
  'punch',
  'fallocate collapsed',
  'fallocate inserted',
  'odd names',
];
const SHARING = ['reflink', 'reflink range', 'reflink self', 'reflink woven', 'dedupe', 'unshare'];

function expectForms(summary: AgeSummary, sharing: boolean) {
  for (const name of [...FORMS, ...(sharing ? SHARING : [])]) expect(summary.done, name).toHaveProperty(name);
  if (!sharing) expect(summary.absent).toHaveProperty('reflink');
}

describe.runIf(requireOracle('python'))('digest', () => {
  it('shows files, links, bytes and times, and finds every difference', () => {
    withTempDir((directory) => {
      writeFileSync(join(directory, 'plain'), 'content');
      writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0x0a, 0x25])]), 'odd');
      symlinkSync('plain', join(directory, 'link'));
      const tree = digestTree(directory);
      expect(tree.map((entry) => entry.path)).toEqual(['/', '/link', '/plain', '/%ff%0a%25']);
      const [, link, plain] = tree as [TreeEntry, TreeEntry, TreeEntry];
      expect(link).toMatchObject({ type: 'symlink', target: 'plain' });
      expect(plain).toMatchObject({ type: 'file', size: 7, nlink: 1 });
      const content = Buffer.from('content');
      expect(plain.sha256).toBe(
        contentDigest(7, (offset, into) => void into.set(content.subarray(offset, offset + into.length))),
      );
      const { mtimeNs } = statSync(join(directory, 'plain'), { bigint: true });
      expect(plain.mtime).toBe(timeDigest(Number(mtimeNs / 1000000000n), Number(mtimeNs % 1000000000n)));
      expect(compareTrees(tree, digestTree(directory))).toBe('');
      const changed = tree.slice(0, 3).map((entry) => ({ ...entry }));
      changed[1] = { ...link, target: 'other' };
      changed[2] = { ...plain, mode: 0o4755, xattrs: { 'user.a': '00' } };
      changed.push({ ...plain, path: '/more' });
      expect(compareTrees(tree, changed).split('\n')).toEqual([
        'differs   /link: target expected plain, found other',
        'differs   /plain: mode expected 0644, found 04755',
        'differs   /plain: xattr user.a expected nothing, found 00',
        'missing   /%ff%0a%25 (file)',
        'unwanted  /more (file)',
      ]);
      expect(compareTrees(tree, changed, { ignore: ['mode', 'xattrs', 'symlink.target'] }).split('\n')).toHaveLength(2);
    });
  });

  it('hashes big sparse files by their data only, the same in both languages', () => {
    withTempDir((directory) => {
      const path = join(directory, 'sparse');
      writeFileSync(path, '');
      const size = 2 ** 36 + 5;
      const at = 2 ** 35 + 4096 * 3 + 100;
      writeIsland(path, size, at);
      const sha256 = digestTree(directory)[1]?.sha256;
      const data = Buffer.from('island');
      const read = (offset: number, into: Uint8Array) => {
        for (let i = 0; i < into.length; i++) into[i] = data[offset + i - at] ?? 0;
      };
      expect(contentDigest(size, read, (offset) => (offset <= at ? Math.max(offset, at) : size))).toBe(sha256);
      expect(sha256).toMatch(/^sparse:/);
    });
  });

  it('escapes bytes and shortens long values', () => {
    expect(escapeBytes(Uint8Array.of(0x20, 0x25, 0x41, 0x7f))).toBe('%20%25A%7f');
    expect(xattrDigest(new Uint8Array(256))).toHaveLength(512);
    expect(xattrDigest(new Uint8Array(257))).toMatch(/^sha256:[0-9a-f]{64}:257$/);
  });
});

/** A sparse file with one small island of data. */
function writeIsland(path: string, size: number, at: number) {
  const { ftruncateSync, openSync, writeSync, closeSync } = fs;
  const fd = openSync(path, 'r+');
  ftruncateSync(fd, size);
  writeSync(fd, 'island', at);
  closeSync(fd);
}

describe.runIf(requireOracle('xfsprogs'))('xfs_repair', () => {
  it('is satisfied with a fresh image and not with a damaged one', () => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      mkfsXfs(image, 64 << 20);
      expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
      // A wrong counter: xfs_repair -n complains about it and yet ends with status 0 or 1.
      xfsDb(image, ['sb 0', 'write -d fdblocks 1'], { write: true });
      expect(xfsRepairCheck(image)).toMatchObject({ ok: false, output: expect.stringContaining('fdblocks') });
    });
  });

  it.each(featureMatrix.map((entry) => [entry.name, entry] as const))('makes %s', (_, entry) => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      makeMatrixImage(entry, image);
      const text = xfsDb(image, ['sb 0', 'print blocksize dirblklog features_incompat meta_uuid crc']);
      const blockSize = Number(/blocksize = (\d+)/.exec(text)?.[1]);
      const dirBlockLog = Number(/dirblklog = (\d+)/.exec(text)?.[1]);
      expect([blockSize, blockSize << dirBlockLog]).toEqual([entry.blockSize, entry.dirBlockSize]);
      expect(text).toMatch(/crc = 0x[0-9a-f]+ \(correct\)/);
      if (entry.repairable) expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
      if (entry.tweak === 'exchange') {
        withoutExchangeBit(image, () => expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' }));
        expect(xfsDb(image, ['sb 3', 'print features_incompat'])).toContain('0x4b');
      }
    });
  });
});

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('loop mount', () => {
  it('unmounts and cleans up when the body throws', () => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      mkfsXfs(image, 64 << 20);
      let at = '';
      expect(() =>
        loopMount(image, { write: true }, (mounted) => {
          at = mounted;
          throw new Error('body');
        }),
      ).toThrow('body');
      expect(existsSync(at)).toBe(false);
      expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(at);
    });
  });

  it.each(['default', 'bare', 'exchange-parent'])('ages %s in every form', (name) => {
    withTempDir((directory) => {
      const entry = matrixEntry(name);
      const image = join(directory, 'image');
      makeMatrixImage(entry, image);
      const summary = ageImage(image, { dirBlockSize: entry.dirBlockSize });
      expectForms(summary, entry.reflink);
      if (entry.tweak?.includes('exchange')) expect(summary.done).toHaveProperty('exchange');
      if (entry.repairable) expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
    });
  });

  it.each(['all-features', 'block-1k', 'block-64k'])('ageing reaches every form on %s', (name) => {
    withTempDir((directory) => {
      const entry = matrixEntry(name);
      const image = join(directory, 'image');
      makeMatrixImage(entry, image);
      ageImage(image, { dirBlockSize: entry.dirBlockSize });
      const tree = new Map(digestImageByLoop(image, { identity: true }).map((file) => [file.path, file]));
      const print = (path: string, ...commands: string[]) =>
        xfsDb(image, [`inode ${tree.get(path)?.inode}`, ...commands, 'print']);
      const format = (path: string, field: 'format' | 'aformat') =>
        new RegExp(`core\\.${field} = \\d \\((\\w+)\\)`).exec(print(path))?.[1];
      const formats = (field: 'format' | 'aformat', paths: string[]) =>
        paths.map((path) => [path, format(path, field)]);
      const as = (name: string, paths: string[]) => paths.map((path) => [path, name]);

      const local = ['/dirs/short', '/dirs/shrunk', '/dirs/emptied', '/others/symlink-30'];
      const lists = ['/dirs/block', '/dirs/leaf', '/files/unwritten', '/others/symlink-1000'];
      const trees = ['/dirs/long-a', '/dirs/long-b', '/files/fragmented', '/files/woven'];
      expect(formats('format', local)).toEqual(as('local', local));
      expect(formats('format', lists)).toEqual(as('extents', lists));
      expect(formats('format', trees)).toEqual(as('btree', trees));
      const attributeLists = ['/attributes/leaf', '/attributes/value-60000'];
      const attributeTrees = ['/attributes/tree-a', '/attributes/tree-b'];
      expect(format('/attributes/value-60', 'aformat')).toBe('local');
      expect(formats('aformat', attributeLists)).toEqual(as('extents', attributeLists));
      expect(formats('aformat', attributeTrees)).toEqual(as('btree', attributeTrees));
      // The magics of what stands at the root of the hash index: data block alone, one leaf, a node.
      const firstLeaf = `dblock ${2 ** 35 / entry.blockSize}`;
      expect(print('/dirs/block', 'dblock 0')).toContain('bhdr.hdr.magic = 0x58444233');
      expect(print('/dirs/leaf', firstLeaf)).toContain('magic = 0x3df1');
      expect(print('/dirs/node', firstLeaf)).toContain('magic = 0x3ebe');
      expect(print('/attributes/leaf', 'ablock 0')).toContain('magic = 0x3bee');
      expect(print('/attributes/node', 'ablock 0')).toContain('magic = 0x3ebe');
    });
  });

  it('ages the same way twice for the same seed, differently for another', () => {
    const trees = [7, 7, 8].map((seed) =>
      withTempDir((directory) => {
        const image = join(directory, 'image');
        makeMatrixImage(matrixEntry('all-features'), image);
        ageImage(image, { profile: 'random', ops: 2000, seed });
        expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
        return digestImageByLoop(image);
      }),
    ) as [TreeEntry[], TreeEntry[], TreeEntry[]];
    const ignore = ['mtime'];
    expect(compareTrees(trees[0], trees[1], { ignore })).toBe('');
    expect(compareTrees(trees[0], trees[2], { ignore })).not.toBe('');
  });
});

describe.runIf(requireOracle('xfsprogs', 'uml', 'python'))('user-mode-linux', () => {
  it('runs a script as an ordinary user and hands back its status', () => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      mkfsXfs(image, 64 << 20);
      const owner = statSync(image).uid;
      const script =
        'echo hello; echo there >&2; echo kept >$IMAGE0/file; touch /root/x /etc/x 2>/dev/null && exit 1; exit 7';
      const result = umlRun([image], script);
      expect(result).toMatchObject({ status: 7, stdout: 'hello\n', output: expect.stringContaining('there') });
      expect(statSync(image).uid).toBe(owner);
      expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
      rmSync(image);
      writeFileSync(image, Buffer.alloc(64 << 20));
      expect(umlRun([image], 'true').status).toBe(32);
    });
  });

  it('ages an image, and sees what it aged', () => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      makeMatrixImage(matrixEntry('all-features'), image);
      expectForms(ageImageByUml(image), true);
      expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
      const tree = digestImageByUml(image, { identity: true });
      expect(tree.length).toBeGreaterThan(2000);
      // A second kernel's view, where there is one: the same down to inode numbers and times.
      if (!whyMissing('loop')) expect(compareTrees(digestImageByLoop(image, { identity: true }), tree)).toBe('');
      expect(tree.filter((entry) => entry.path.startsWith('/others/char-big'))).toMatchObject([
        { type: 'char', rdev: '511:262143' },
      ]);
    });
  });
});
