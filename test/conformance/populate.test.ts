/**
 * From real directories to images: the kernel and xfs_repair judge the xfs images, our reader both dialects, the source
 * tree is what all of them must show. FULL=1 takes whole trees and every kind of image under user-mode-linux too.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { CadastreError } from '../../lib/errors.ts';
import { compareTrees, digestTree, type TreeEntry } from '../support/digest.ts';
import { digestImage, withoutRawAcls } from '../support/image-digest.ts';
import { makeImage, type TestImage } from '../support/make-image.ts';
import {
  digestImageByLoop,
  digestImageByUml,
  loopMount,
  mkfsXfs,
  mustRun,
  requireOracle,
  withTempDir,
  xfsRepairCheck,
} from '../support/oracle.ts';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const full = process.env.FULL === '1';
const MIB = 1 << 20;

/** Directory sizes are a matter of the file system; everything else must be equal. */
const IGNORE = { ignore: ['directory.size'] };

type Options = Omit<TestImage, 'source'>;

/** Every image here shows the tree exactly, to each reader that can look at it. */
function judge(
  image: string,
  expected: TreeEntry[],
  options: Options,
  readers: { kernel: boolean; uml?: boolean },
): void {
  expect(compareTrees(expected, withoutRawAcls(digestImage(image)), IGNORE), 'our reader').toBe('');
  const device = new FileDevice(image, 'r');
  try {
    expect(check(device, { data: true }).problems).toEqual([]);
  } finally {
    device.close();
  }
  if (options.dialect === 'cadastre') return;
  expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
  if (readers.kernel) {
    const seen = withoutRawAcls(digestImageByLoop(image, { identity: true }));
    expect(compareTrees(expected, seen, IGNORE), 'the kernel').toBe('');
    // Numbers, blocks and all times: the kernel and our reader look at the same image.
    expect(compareTrees(seen, digestImage(image, { identity: true })), 'our reader against the kernel').toBe('');
  }
  if (readers.uml) {
    const seen = withoutRawAcls(digestImageByUml(image));
    expect(compareTrees(expected, seen, IGNORE), 'the kernel in user mode').toBe('');
  }
}

/** Make an image of a tree and judge it. */
function conform(
  source: string,
  expected: TreeEntry[],
  options: Options,
  readers: { kernel: boolean; uml?: boolean },
): void {
  withTempDir((directory) => {
    const image = join(directory, 'image');
    expect(makeImage(image, { ...options, source }).leftOut).toEqual([]);
    judge(image, expected, options, readers);
  });
}

/** Kinds of image that the tree of all forms is made into. */
const KINDS: Record<string, Options & { uml?: boolean }> = {
  'xfs default': { uml: true },
  'xfs rmapbt, nrext64': { features: { rmapbt: true, nrext64: true }, uml: true },
  'xfs 1k blocks': { blockSize: 1024, features: { rmapbt: true } },
  'xfs 2k blocks': { blockSize: 2048 },
  'xfs 16k blocks': { blockSize: 16384, features: { rmapbt: true } },
  'xfs 64k blocks': { blockSize: 65536 },
  'xfs 4k sectors': { sectorSize: 4096 },
  'xfs 1k inodes': { inodeSize: 1024, features: { rmapbt: true } },
  'xfs 2k inodes': { inodeSize: 2048 },
  'xfs 16k directory blocks': { dirBlockSize: 16384, features: { rmapbt: true } },
  'xfs 1k blocks, 4k directory blocks': { blockSize: 1024, dirBlockSize: 4096, uml: true },
  'xfs no sparse, no finobt, no reflink': { features: { sparse: false, finobt: false, reflink: false } },
  'xfs many AGs': { size: 320 * MIB, agCount: 16, features: { rmapbt: true } },
  cadastre: { dialect: 'cadastre' },
  'cadastre 1k blocks': { dialect: 'cadastre', blockSize: 1024 },
};
const SAMPLE = new Set([
  'xfs default',
  'xfs rmapbt, nrext64',
  'xfs 1k blocks',
  'xfs 64k blocks',
  'xfs 2k inodes',
  'cadastre',
]);

// The source needs a host file system that takes every attribute and time: an XFS of the kernel's own.
describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('a tree with every form there is', () => {
  let unmount: () => void = () => {};
  let source = '';
  let expected: TreeEntry[] = [];

  beforeAll(() => {
    const directory = join(process.env.TMPDIR ?? '/tmp', `cadastre-test-${process.pid}-forms`);
    mkdirSync(join(directory, 'host'), { recursive: true });
    mkfsXfs(join(directory, 'host.img'), 512 * MIB);
    mustRun('mount', ['-o', 'loop,noatime', join(directory, 'host.img'), join(directory, 'host')]);
    unmount = () => {
      mustRun('umount', [join(directory, 'host')]);
      rmSync(directory, { recursive: true });
    };
    source = join(directory, 'host', 'tree');
    mkdirSync(source);
    mustRun('python3', [join(root, 'test', 'support', 'rich-tree.py'), source]);
    expected = withoutRawAcls(digestTree(source));
  });
  afterAll(() => unmount());

  it('holds what it is meant to hold', () => {
    expect(expected.length).toBeGreaterThan(10_000);
    expect(new Set(expected.map((entry) => entry.type)).size).toBe(7);
    expect(expected.filter((entry) => entry.xattrs?.['system.posix_acl_default'])).toHaveLength(1);
  });

  const kinds = Object.entries(KINDS).filter(([name]) => full || SAMPLE.has(name));
  it.each(kinds)('%s', (_name, { uml: _uml, ...options }) => {
    conform(source, expected, options, { kernel: true });
  });

  const underUml = Object.entries(KINDS).filter(([name, kind]) => kind.uml && (full || name === 'xfs default'));
  it.runIf(requireOracle('uml')).each(underUml)('%s, under user-mode-linux', (_name, { uml: _uml, ...options }) => {
    conform(source, expected, options, { kernel: false, uml: true });
  });

  it('says which times an image without bigtime cannot hold', () => {
    withTempDir((directory) => {
      const { leftOut } = makeImage(join(directory, 'image'), { source, features: { bigtime: false } });
      expect(leftOut.map((line) => (JSON.parse(line) as { path: string }).path).sort()).toEqual([
        'times/2286',
        'times/after-2038',
      ]);
    });
  });

  it('gives the same bytes twice, and from a copy of the tree', () => {
    withTempDir((directory) => {
      const image = (name: string) => join(directory, name);
      const same: Options = { features: { rmapbt: true }, populate: { reproducible: true, generation: 0 } };
      makeImage(image('a'), { ...same, source });
      makeImage(image('b'), { ...same, source });
      expect(sameBytes(image('a'), image('b'))).toBe(true);
      const copy = join(dirname(source), 'copy');
      mustRun('cp', ['-a', source, copy]);
      makeImage(image('c'), { ...same, source: copy });
      expect(sameBytes(image('a'), image('c'))).toBe(true);
    });
  });
});

/** A real tree of the machine, or the part of it that a short run takes. */
const REAL: { name: string; source: string; sample: string }[] = [
  { name: 'node_modules', source: join(root, 'node_modules'), sample: join(root, 'node_modules', 'typescript') },
  { name: 'documentation', source: '/usr/share/doc', sample: '/usr/share/doc' },
  { name: 'this repository', source: join(root, 'lib'), sample: join(root, 'lib') },
];

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('real trees', () => {
  const cases = REAL.flatMap(({ name, source, sample }) => {
    const kinds: [string, Options][] = [
      ['xfs', {}],
      ['cadastre', { dialect: 'cadastre' }],
    ];
    if (full) kinds.push(['xfs 1k', { blockSize: 1024, features: { rmapbt: true, nrext64: true } }]);
    return kinds.map(([kind, options]) => [name, kind, full ? source : sample, options] as const);
  });
  it.each(cases)('%s into %s', (_name, _kind, source, options) => {
    expect(existsSync(source)).toBe(true);
    conform(source, withoutRawAcls(digestTree(source)), options, { kernel: true });
  });
});

describe('the same input', () => {
  it.each(['xfs', 'cadastre'] as const)('gives the same bytes for another user, with owners given: %s', (dialect) => {
    withTempDir((directory) => {
      const source = join(directory, 'source');
      cpSync(join(root, 'lib', 'file'), source, { recursive: true, preserveTimestamps: true });
      chmodSync(directory, 0o777);
      const options: Options = {
        dialect,
        populate: { reproducible: true, generation: 0, owner: { uid: 0, gid: 0 } },
      };
      makeImage(join(directory, 'mine'), { ...options, source });
      if (process.getuid?.() === 0) mustRun('chown', ['-R', '65534:65534', source]);
      makeImage(join(directory, 'theirs'), { ...options, source });
      expect(sameBytes(join(directory, 'mine'), join(directory, 'theirs'))).toBe(true);
      const entries = digestImage(join(directory, 'mine'));
      expect(entries.every((entry) => entry.uid === 0 && entry.gid === 0)).toBe(true);
    });
  });
});

describe('a source that does not fit', () => {
  it.each(['xfs', 'cadastre'] as const)(
    'is refused before anything is written, with the size that would do: %s',
    (dialect) => {
      withTempDir((directory) => {
        const source = join(directory, 'source');
        mkdirSync(source);
        for (let i = 0; i < 20; i++) writeFileSync(join(source, `f${i}`), new Uint8Array(MIB).fill(i + 1));
        const image = join(directory, 'image');
        writeFileSync(image, 'precious');
        let error: unknown;
        try {
          makeImage(image, { source, dialect, size: 17 * MIB });
        } catch (thrown) {
          error = thrown;
        }
        expect(error).toBeInstanceOf(CadastreError);
        const { code, expected } = error as CadastreError;
        expect(code).toBe('ENOSPC');
        expect(readFileSync(image, 'utf8')).toBe('precious');
        const needed = Number(/(\d+) bytes/.exec(expected!)![1]);
        const made = makeImage(image, { source, dialect, size: needed });
        expect(made.result.files).toBe(20);
        expect(needed).toBeLessThan(40 * MIB);
      });
    },
  );
});

function sameBytes(a: string, b: string): boolean {
  return spawnSync('cmp', ['-s', a, b]).status === 0;
}

// Loop mounts of the image that a test has just read: nothing may be left behind.
describe.runIf(requireOracle('xfsprogs', 'loop'))('a populated image', () => {
  it('can be written to by the kernel, which leaves it clean', () => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      makeImage(image, { source: join(root, 'lib'), features: { rmapbt: true }, size: 64 * MIB });
      loopMount(image, { write: true }, (at) => {
        mustRun('cp', ['-a', join(root, 'formats'), join(at, 'more')]);
        mustRun('rm', ['-rf', join(at, 'file'), join(at, 'directory')]);
        mustRun('cp', ['--reflink=always', join(at, 'errors.ts'), join(at, 'clone')]);
      });
      expect(xfsRepairCheck(image)).toEqual({ ok: true, output: '' });
      expect(digestImage(image).some((entry) => entry.path === '/clone')).toBe(true);
    });
  });
});
