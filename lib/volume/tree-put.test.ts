/**
 * Trees put into images: many files in one transaction, whatever becomes of one of them. What is in the image is compared with the
 * host, and the image is checked.
 */
import {
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyImage } from '../../test/support/empty-image.ts';
import { mkfsXfs, requireOracle } from '../../test/support/oracle.ts';
import { check } from '../check/check.ts';
import type { Device } from '../device/device.ts';
import { FileDevice } from '../device/file.ts';
import type { CadastreError } from '../errors.ts';
import { type HostEntry, HostTree } from '../host/tree.ts';
import { Editor } from './editor.ts';
import { type PutResult, TreePutter } from './tree-put.ts';

const RUNS = Number(process.env.PUT_RUNS ?? 4);
const MIB = 1 << 20;

let scratch: string;
let source: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'cadastre-test-put-'));
  source = join(scratch, 'tree');
  mkdirSync(source);
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

/** Put what is in the source into the root directory. @returns the result and what failed, as `CODE path`. */
function put(device: Device, from = source): { result: Readonly<PutResult>; failed: string[] } {
  const failed: string[] = [];
  const editor = Editor.open(device);
  const tree = new HostTree(from);
  const tell = (error: CadastreError) => failed.push(`${error.code} ${error.where.path}`);
  const putter = new TreePutter(editor, { failed: tell });
  try {
    putter.merge(tree, tree.root, editor.volume.geometry.rootInode);
  } finally {
    tree.close();
    editor.close();
  }
  return { result: putter.result, failed };
}

/** Every object of the source is in the image with its content; the image is sound. */
function expectSame(device: Device): void {
  const { volume } = Editor.open(device);
  const tree = new HostTree(source);
  const inodes = new Map<string, number>();
  const compare = (entry: HostEntry, number: number): void => {
    const inode = volume.inode(number);
    const { mode, size, mtime, uid, gid } = entry;
    expect(inode).toMatchObject({ mode, core: { uid, gid } });
    expect(inode.time('mtime')).toEqual(mtime);
    if (entry.directory) {
      const names = tree.readDirectory(entry);
      const found = volume.sortedEntries(inode);
      expect(found.map(({ name }) => Buffer.from(name))).toEqual(names.map(({ name }) => Buffer.from(name)));
      for (const [i, each] of names.entries()) compare(each, found[i]!.inode);
    } else if (entry.type === 'file') {
      expect(inode.size).toBe(size);
      const [here, there] = [new Uint8Array(size), new Uint8Array(size)];
      const file = tree.openFile(entry);
      file.readInto(here, 0);
      file.close();
      volume.fileReader(inode).read(0, there);
      expect(Buffer.compare(here, there)).toBe(0);
    }
    if (entry.directory || entry.nlink === 1) return;
    expect(inode.core.nlink).toBe(entry.nlink);
    expect(inodes.get(entry.linkKey) ?? number).toBe(number);
    inodes.set(entry.linkKey, number);
  };
  compare(tree.root, volume.geometry.rootInode);
  tree.close();
  expect(check(device, { data: true }).problems).toEqual([]);
}

const content = (size: number, seed: number): Uint8Array => new Uint8Array(size).map((_, i) => i * 7 + seed);

const KINDS = {
  xfs: { dialect: 'xfs' },
  'xfs, rmapbt': { dialect: 'xfs', features: { rmapbt: true } },
  'xfs, nothing optional': {
    dialect: 'xfs',
    features: { reflink: false, rmapbt: false, finobt: false, inobtcount: false, sparse: false },
  },
  'xfs, 1k blocks': { dialect: 'xfs', blockSize: 1024 },
  cadastre: { dialect: 'cadastre' },
  'cadastre, 1k blocks': { dialect: 'cadastre', blockSize: 1024 },
} as const;

describe.each(Object.entries(KINDS))('a tree goes into an image: %s', (_name, kind) => {
  it('of any shape, twice', () => {
    const shape = fc.record({
      directories: fc.array(
        fc.array(fc.record({ name: fc.integer({ min: 1, max: 60 }), size: fc.constantFrom(0, 1, 700, 4096, 9000) }), {
          maxLength: 90,
        }),
        { minLength: 1, maxLength: 4 },
      ),
      links: fc.nat(5),
      symlinks: fc.nat(5),
      large: fc.boolean(),
    });
    fc.assert(
      fc.property(shape, ({ directories, links, symlinks, large }) => {
        rmSync(source, { recursive: true });
        mkdirSync(source);
        directories.forEach((files, d) => {
          const into = d === 0 ? source : join(source, `d${d}`);
          if (d > 0) mkdirSync(into);
          files.forEach(({ name, size }, i) => {
            writeFileSync(join(into, `${i}`.padEnd(name, 'n')), content(size, i));
          });
          for (let i = 0; i < links && files.length > 0; i++)
            linkSync(join(into, '0'.padEnd(files[0]!.name, 'n')), join(source, `link${d}-${i}`));
          for (let i = 0; i < symlinks; i++) symlinkSync('t'.repeat(1 + i * 200), join(into, `soft${i}`));
        });
        if (large) {
          const fd = openSync(join(source, 'large'), 'w');
          writeSync(fd, content(700_000, 1), 0, 700_000, 100_000);
          ftruncateSync(fd, 2 * MIB);
        }
        const device = emptyImage({ size: 48 * MIB, ...kind });
        const first = put(device);
        expect(first.failed).toEqual([]);
        expectSame(device);
        expect(put(device)).toEqual(first);
        expectSame(device);
      }),
      { numRuns: RUNS },
    );
  });

  it('with more in a directory than one transaction holds', () => {
    for (let i = 0; i < 700; i++) writeFileSync(join(source, `file ${i}`), content(i % 5 === 0 ? 5000 : 10, i));
    const device = emptyImage({ size: 48 * MIB, ...kind });
    expect(put(device)).toMatchObject({ result: { files: 700, directories: 1 }, failed: [] });
    expectSame(device);
  });

  it('as far as there is room', () => {
    mkdirSync(join(source, 'in'));
    for (let i = 0; i < 200; i++) writeFileSync(join(source, 'in', `${i}`), content(200_000, i));
    const device = emptyImage({ size: 32 * MIB, ...kind });
    expect(() => put(device)).toThrow(expect.objectContaining({ family: 'no-space' }));
    expect(check(device, { data: true }).problems).toEqual([]);
    const { volume } = Editor.open(device);
    const names = volume.entries(volume.resolve('/in'));
    expect(names.length).toBeGreaterThan(50);
    for (const { name, inode } of names) {
      const there = new Uint8Array(200_000);
      expect(volume.fileReader(volume.inode(inode)).read(0, there)).toBe(there.length);
      expect(Buffer.compare(there, content(200_000, Number(Buffer.from(name))))).toBe(0);
    }
  });
});

describe('one of many', () => {
  it('that is a directory in the image is left, and the others come', () => {
    for (let i = 0; i < 100; i++) writeFileSync(join(source, `${i}`), `${i}`);
    const other = join(scratch, 'other');
    mkdirSync(join(other, '50'), { recursive: true });
    const device = emptyImage({ dialect: 'xfs' });
    put(device, other);
    expect(put(device)).toMatchObject({ result: { files: 99 }, failed: ['EISDIR 50'] });
    rmSync(join(source, '50'));
    mkdirSync(join(source, '50'));
    expect(put(device).failed).toEqual([]);
    expectSame(device);
  });

  it.runIf(requireOracle('xfsprogs'))('whose name is that of another, but for case, is left', () => {
    const into = join(source, 'in');
    mkdirSync(into);
    for (let i = 0; i < 100; i++) writeFileSync(join(into, `name ${i}`), `${i}`);
    for (const name of ['NAME 7', 'Name 7', 'NAME 70']) writeFileSync(join(into, name), name);
    const image = join(scratch, 'image');
    mkfsXfs(image, 320 * MIB, ['-n', 'version=ci']);
    const device = new FileDevice(image, 'rw');
    const { result, failed } = put(device);
    // By bytes capitals come first.
    expect(failed).toEqual(['EEXIST in/Name 7', 'EEXIST in/name 7', 'EEXIST in/name 70']);
    expect(result).toMatchObject({ files: 100, directories: 2 });
    const again = new FileDevice(image, 'r');
    expect(check(again).problems).toEqual([]);
    again.close();
  });
});
