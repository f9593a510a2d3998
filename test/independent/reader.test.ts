/**
 * docs/FORMAT.md is complete and true: the reader written from it reads what this project makes and edits, and what the
 * Linux kernel makes, to the same tree as everybody else; and it notices damage, so its agreement means something.
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sealCrc } from '../../formats/checksum.ts';
import { INODE_FLAG2 } from '../../formats/inode.ts';
import { Superblock } from '../../formats/superblock.ts';
import { BufferCache } from '../../lib/buffer/cache.ts';
import { DirectTransaction } from '../../lib/buffer/direct.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { Fork } from '../../lib/file/fork.ts';
import type { Inode } from '../../lib/file/inode.ts';
import { editFork } from '../../lib/file/inode-fork-blocks.ts';
import { FileWriter } from '../../lib/file/write.ts';
import { openImage } from '../../lib/index.ts';
import { inodeOwner } from '../../lib/space/owner.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { setAttribute } from '../../lib/xattr/write.ts';
import { type AgeOptions, ageImage } from '../support/age.ts';
import { compareTrees, digestTree, type TreeEntry, xattrDigest } from '../support/digest.ts';
import { makeMatrixImage, matrixEntry } from '../support/feature-matrix.ts';
import { makeImage, type TestImage } from '../support/make-image.ts';
import { digestImageByLoop, mustRun, requireOracle, withTempDir } from '../support/oracle.ts';
import { asDigest, withoutRawAcls } from './as-digest.ts';
import { crc32c } from './image.ts';
import { type Forms, readImage } from './reader.ts';

const MIB = 2 ** 20;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** Bytes that look random and are the same every time. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** A fresh source tree as tree.py makes it, and what it holds. */
function makeSource(
  directory: string,
  options: Omit<TestImage, 'source'>,
  many: number,
): { source: string; expected: TreeEntry[] } {
  const source = join(directory, 'source');
  mkdirSync(source);
  const { blockSize = 4096, dirBlockSize = Math.max(4096, blockSize) } = options;
  mustRun('python3', [join(import.meta.dirname, 'tree.py'), source, ...[blockSize, dirBlockSize, many].map(String)]);
  return { source, expected: withoutRawAcls(digestTree(source)) };
}

/** What populate does not make: overwritten, preallocated and shared blocks, attributes beyond what a host can hold. */
function edit(path: string, expected: TreeEntry[]): void {
  const device = new FileDevice(path, 'rw');
  const volume = Volume.open(device);
  const { geometry, space } = volume;
  const { blockSize } = geometry;
  const cache = new BufferCache(device, geometry);
  const tx = new DirectTransaction(cache);
  const entryOf = (name: string): TreeEntry => expected.find((each) => each.path === `/${name}`)!;
  const inodeOf = (name: string): Inode => {
    const found = volume.resolve(`/${name}`);
    return (found.constructor as typeof Inode).load(tx, found.number);
  };

  // Every second block written again, last first: in the cadastre dialect each of them moves.
  const fragmented = inodeOf('fragmented');
  const content = noise(entryOf('fragmented').size, 1);
  const writer = new FileWriter(tx, fragmented, device, space);
  writer.write(0, content);
  for (let at = content.length - blockSize; at >= 0; at -= 2 * blockSize) {
    content.set(noise(blockSize, at), at);
    new FileWriter(tx, fragmented, device, space).write(at, content.subarray(at, at + blockSize));
  }
  entryOf('fragmented').sha256 = sha256(content);

  // A preallocated range inside a hole.
  const hole = inodeOf('hole');
  const owner = inodeOwner(hole.number);
  const place = { fileBlock: 3, unwritten: true };
  const got = space.allocate(tx, { min: 1, max: 7, owner, place })!;
  new Fork(hole, 'data').map(tx, space, 3, got.fsBlock, got.blockCount, true);

  if (geometry.features.reflink) {
    const clone = inodeOf('clone');
    const original = inodeOf('original');
    new Fork(original, 'data').forEachExtent((fileBlock, startBlock, blockCount) => {
      space.share(tx, startBlock, blockCount, inodeOwner(clone.number), { fileBlock });
      new Fork(clone, 'data').map(tx, space, fileBlock, startBlock, blockCount, false);
    });
    for (const inode of [clone, original]) {
      inode.change(tx);
      inode.core.flags2Lo |= INODE_FLAG2.REFLINK;
    }
    clone.core.size = original.size;
    entryOf('clone').sha256 = entryOf('original').sha256!;
    entryOf('clone').size = original.size;
    // A block in the middle becomes the clone's own again.
    const own = noise(blockSize, 5);
    new FileWriter(tx, clone, device, space).write(4 * blockSize, own);
    const bytes = new Uint8Array(original.size);
    volume.fileReader(original).read(0, bytes);
    bytes.set(own, 4 * blockSize);
    entryOf('clone').sha256 = sha256(bytes);
  }

  const attributed = inodeOf('attributed');
  attributed.change(tx);
  attributed.core.forkoff = 24;
  const xattrs: Record<string, string> = {};
  for (let i = 0; i < 400; i++) {
    const value = noise(i === 17 ? 40_000 : i === 18 ? 65_536 : i % 120, i);
    const name = new TextEncoder().encode(`attribute-${i}-${'x'.repeat(i % 50)}`);
    setAttribute(editFork(tx, space, attributed, 'attr'), 0, name, value);
    xattrs[`user.${new TextDecoder().decode(name)}`] = xattrDigest(value);
  }
  entryOf('attributed').xattrs = xattrs;

  const counters = { ...space.countInodes(tx), freeBlocks: space.countFree(tx) };
  tx.close();
  const sector = new Uint8Array(geometry.sectorSize);
  device.read(0, sector);
  const sb = Superblock.at(new DataView(sector.buffer));
  sb.icount = counters.inodes;
  sb.ifree = counters.free;
  sb.fdblocks = counters.freeBlocks;
  sealCrc(sector, Superblock.offsets.crc);
  device.write(0, sector);
  volume.close();
}

const EVERYTHING = { rmapbt: true, nrext64: true };

describe.runIf(requireOracle('python'))('images of this project', () => {
  it.each<[string, Omit<TestImage, 'source'>, number, string[]]>([
    [
      'cadastre, 1k blocks, 1k directory blocks',
      { dialect: 'cadastre', blockSize: 1024, dirBlockSize: 1024, size: 96 * MIB },
      16000,
      ['file btree of height 3', 'csumbt with nodes', 'rmapbt with nodes', 'directory index of 2 levels of nodes'],
    ],
    ['cadastre, 4k', { dialect: 'cadastre', size: 96 * MIB }, 2500, ['symlink extents']],
    ['cadastre, 4k, small AGs', { dialect: 'cadastre', size: 96 * MIB, agSize: 5 * MIB, inodeSize: 2048 }, 2500, []],
    ['cadastre, 64k', { dialect: 'cadastre', blockSize: 65536, size: 256 * MIB }, 9000, []],
    [
      'xfs, 1k',
      { dialect: 'xfs', blockSize: 1024, size: 96 * MIB },
      2500,
      ['symlink extents', 'file btree of height 3'],
    ],
    ['xfs, 4k', { dialect: 'xfs', size: 96 * MIB, features: EVERYTHING }, 2500, ['symlink extents']],
    [
      'xfs, 4k, oldest features',
      {
        dialect: 'xfs',
        size: 96 * MIB,
        features: { finobt: false, reflink: false, bigtime: false, sparse: false },
      },
      2500,
      [],
    ],
    ['xfs, 64k', { dialect: 'xfs', blockSize: 65536, size: 1024 * MIB, features: EVERYTHING }, 9000, []],
  ])('%s', (_name, options, many, more) => {
    withTempDir((directory) => {
      const { source, expected } = makeSource(directory, options, many);
      const path = join(directory, 'image');
      makeImage(path, { source, ...options });
      // The size of a directory is the host's own. Without 64-bit times what lies beyond their range becomes its end.
      const ignore = ['directory.size', ...(options.features?.bigtime === false ? ['fifo.mtime'] : [])];
      const compare = (): Forms =>
        readImage(path, (found) => {
          expect(found.dialect).toBe(options.dialect);
          expect(compareTrees(expected, withoutRawAcls(asDigest(found)), { ignore })).toBe('');
          return found.forms;
        });
      compare();
      edit(path, expected);
      const forms = compare();
      const directories = ['short', 'block', 'leaf', 'node'].map((form) => `directory in ${form} form`);
      for (const form of [...directories, 'unwritten', ...more]) expect(forms).toHaveProperty([form]);
      expect(Object.keys(forms).some((form) => form.startsWith('file btree'))).toBe(true);
      expect(Object.keys(forms).some((form) => form.startsWith('attr extents') || form.startsWith('attr btree'))).toBe(
        true,
      );
      expect('shared blocks' in forms).toBe(options.features?.reflink !== false);
    });
  });
});

describe('images changed through the journal', () => {
  it.each(['cadastre', 'xfs'] as const)('%s', (dialect) => {
    withTempDir((directory) => {
      const source = join(directory, 'source');
      mkdirSync(source);
      const path = join(directory, 'image');
      makeImage(path, { source, dialect, size: 64 * MIB });
      const image = openImage(path);
      const files = new Map<string, Uint8Array>();
      // Every third name goes again, every fifth moves, every seventh is overwritten in the middle or cut.
      for (let i = 0; i < 900; i++) {
        if (i % 300 === 0) image.mkdirSync(`/folder-${i / 300}`);
        const name = `/folder-${Math.floor(i / 300)}/${'n'.repeat(i % 40)}${i}`;
        const content = noise((i * 37) % 9000, i);
        image.writeFileSync(name, content);
        files.set(name, content);
        if (i % 3 === 0) {
          image.unlinkSync(name);
          files.delete(name);
        } else if (i % 5 === 0) {
          image.renameSync(name, `/moved-${i}`);
          files.delete(name);
          files.set(`/moved-${i}`, content);
        } else if (i % 7 === 0 && content.length > 0) {
          const length = Math.floor(content.length / 2);
          image.truncateSync(name, length);
          image.appendFileSync(name, 'the end');
          files.set(name, Buffer.concat([content.subarray(0, length), Buffer.from('the end')]));
        }
        if (i % 200 === 199) image.flush();
      }
      image.unmount();
      readImage(path, ({ tree }) => {
        const found = [...tree]
          .filter(([, info]) => info.type === 'file')
          .map(([name, info]) => `${name} ${info.sha256}`);
        const expected = [...files].map(([name, content]) => `${name} ${sha256(content)}`);
        expect(found.sort()).toEqual(expected.sort());
      });
    });
  });
});

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('images of the kernel', () => {
  it.each<[string, string[], AgeOptions?]>([
    // Freed inodes keep what they were: random operations make them, and heavily shared blocks.
    ['inode-2k', ['shared blocks', 'rmapbt with nodes'], { profile: 'random', ops: 6000, seed: 5 }],
    ['all-features', ['bnobt with nodes', 'cntbt with nodes', 'shared blocks', 'attr btree of height 2']],
    ['block-1k-dir-4k', ['file btree of height 3', 'directory btree of height 2']],
    ['bare', ['unwritten', 'symlink extents']],
    ['exchange-parent', []],
    ['meta-uuid', []],
  ])('%s', (name, forms, age) => {
    withTempDir((directory) => {
      const path = join(directory, 'image');
      const entry = matrixEntry(name);
      makeMatrixImage(entry, path);
      ageImage(path, { dirBlockSize: entry.dirBlockSize, ...age });
      const expected = withoutRawAcls(digestImageByLoop(path));
      readImage(path, (found) => {
        expect(compareTrees(expected, withoutRawAcls(asDigest(found)))).toBe('');
        for (const form of forms) expect(found.forms).toHaveProperty([form]);
      });
    });
  });
});

/** One byte of a structure changed, its CRC right again: what must be noticed by what the structures say together. */
describe('damage is noticed', () => {
  const source = (directory: string): string => {
    const path = join(directory, 'source');
    mkdirSync(path);
    mkdirSync(join(path, 'folder'));
    writeFileSync(join(path, 'folder', 'file'), noise(20_000, 1));
    for (let i = 0; i < 50; i++) writeFileSync(join(path, `name-${i}`), noise(i * 100, i));
    return path;
  };
  /** Where the primary structures of a 4k cadastre image lie: sectors, then the first roots (FORMAT.md 13.3). */
  const AGF = 512;
  const AGI = 1024;
  const root = (index: number): number => 4096 * (1 + index);
  const cases: [what: string, byte: number, start: number, length: number, crc: number][] = [
    ['superblock: fdblocks', 151, 0, 512, 224],
    ['superblock: an unknown incompat bit', 218, 0, 512, 224],
    ['superblock: inprogress', 126, 0, 512, 224],
    ['AGF: freeblks', AGF + 55, AGF, 512, 216],
    ['AGF: flcount', AGF + 51, AGF, 512, 216],
    ['AGF: csumBlocks', AGF + 107, AGF, 512, 216],
    ['AGI: freecount', AGI + 31, AGI, 512, 312],
    ['AGI: an unlinked bucket', AGI + 43, AGI, 512, 312],
    ['AGFL: a listed block', 1536 + 36 + 7, 1536, 512, 32],
    ['bnobt: a length', root(0) + 56 + 7, root(0), 4096, 52],
    ['cntbt: a start', root(1) + 56 + 3, root(1), 4096, 52],
    ['inobt: the free mask', root(2) + 56 + 15, root(2), 4096, 52],
    ['finobt: the free mask', root(3) + 56 + 9, root(3), 4096, 52],
    ['rmapbt: an owner', root(4) + 56 + 15, root(4), 4096, 52],
    ['rmapbt: the level', root(4) + 5, root(4), 4096, 52],
    ['refcountbt: a record too many', root(5) + 7, root(5), 4096, 52],
    ['checksum tree: a checksum', root(6) + 56 + 11, root(6), 4096, 52],
    ['checksum tree: a count', root(6) + 56 + 7, root(6), 4096, 52],
  ];

  function imageOf(directory: string): string {
    const path = join(directory, 'image');
    makeImage(path, { source: source(directory), dialect: 'cadastre', size: 8 * MIB });
    return path;
  }
  const flip = (path: string, byte: number, seal?: { start: number; length: number; crc: number }): void => {
    const file = openSync(path, 'r+');
    const one = new Uint8Array(1);
    readSync(file, one, 0, 1, byte);
    one[0]! ^= 0x01;
    writeSync(file, one, 0, 1, byte);
    if (seal) {
      const bytes = new Uint8Array(seal.length);
      readSync(file, bytes, 0, seal.length, seal.start);
      new DataView(bytes.buffer).setUint32(seal.crc, crc32c(bytes, seal.crc), true);
      writeSync(file, bytes, 0, seal.length, seal.start);
    }
    closeSync(file);
  };

  it('in every structure whose meaning another one repeats', () => {
    withTempDir((directory) => {
      const path = imageOf(directory);
      const before = readFileSync(path);
      const read = (): void => readImage(path, () => undefined);
      read();
      for (const [what, byte, start, length, crc] of cases) {
        flip(path, byte, { start, length, crc });
        expect(read, what).toThrow();
        flip(path, byte, { start, length, crc });
        expect(readFileSync(path).equals(before), what).toBe(true);
      }
    });
  });

  it('in file data', () => {
    withTempDir((directory) => {
      const path = imageOf(directory);
      const needle = Buffer.from(noise(20_000, 1).subarray(4096, 4200));
      const at = readFileSync(path).indexOf(needle);
      expect(at).toBeGreaterThan(0);
      flip(path, at + 3);
      expect(() => readImage(path, () => undefined)).toThrow(/checksum/);
    });
  });
});
