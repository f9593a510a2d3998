/** File content against byte arrays: random writes, truncates, holes, preallocation and sharing between three files. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FILE_WORLDS, FileWorld, treeBlockCount } from '../../test/support/file-world.ts';
import { requireOracle, withTempDir, xfsRepairCheck } from '../../test/support/oracle.ts';
import { CadastreError } from '../errors.ts';
import { FileReader } from './read.ts';
import { allocateUnwritten, punchHole } from './truncate.ts';

const RUNS = Number(process.env.FILE_RUNS ?? 8);
const FILES = 3;
const MOST = 200_000;
const PAGE = 4096;

/** Bytes that tell where and by which command they were written. */
function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (seed * 31 + i * 7 + (i >>> 8)) & 0xff || 1;
  return bytes;
}

class Files {
  readonly world: FileWorld;
  readonly numbers: number[] = [];
  readonly models: Uint8Array[] = [];
  #seed = 0;

  constructor(name: string) {
    this.world = new FileWorld(FILE_WORLDS[name]);
    for (let i = 0; i < FILES; i++) {
      this.numbers.push(this.world.create());
      this.models.push(new Uint8Array(0));
    }
  }

  #resize(file: number, size: number): void {
    const old = this.models[file]!;
    if (old.length === size) return;
    const bytes = new Uint8Array(size);
    bytes.set(old.subarray(0, size));
    this.models[file] = bytes;
  }

  write(file: number, offset: number, length: number): void {
    const bytes = pattern(length, ++this.#seed);
    this.world.writer(this.numbers[file]!).write(offset, bytes);
    if (length === 0) return;
    this.#resize(file, Math.max(this.models[file]!.length, offset + length));
    this.models[file]!.set(bytes, offset);
  }

  truncate(file: number, size: number, units: number): void {
    this.world.truncate(this.numbers[file]!, size, units);
    this.#resize(file, size);
  }

  punch(file: number, offset: number, length: number, units: number): void {
    const { tx, space, device } = this.world;
    const number = this.numbers[file]!;
    while (punchHole(tx, space, device, this.world.inode(number), offset, length, units)) tx.commit();
    this.models[file]!.fill(0, offset, offset + length);
  }

  allocate(file: number, offset: number, length: number, keepSize: boolean, units: number): void {
    const { tx, space, device } = this.world;
    const number = this.numbers[file]!;
    while (allocateUnwritten(tx, space, device, this.world.inode(number), offset, length, keepSize, units)) tx.commit();
    if (!keepSize && length > 0) this.#resize(file, Math.max(this.models[file]!.length, offset + length));
  }

  share(from: number, fromBlock: number, to: number, toBlock: number, count: number): void {
    const { blockSize, features } = this.world.geometry;
    const whole = Math.min(count, Math.floor(this.models[from]!.length / blockSize) - fromBlock);
    if (!features.reflink || from === to || whole <= 0) return;
    this.world.share(this.numbers[from]!, fromBlock, this.numbers[to]!, toBlock, whole);
    const bytes = this.models[from]!.slice(fromBlock * blockSize, (fromBlock + whole) * blockSize);
    this.#resize(to, Math.max(this.models[to]!.length, (toBlock + whole) * blockSize));
    this.models[to]!.set(bytes, toBlock * blockSize);
  }

  /** Content, and the counters that follow from the extents. */
  expectSame(): void {
    for (let i = 0; i < FILES; i++) {
      const number = this.numbers[i]!;
      const inode = this.world.inode(number);
      expect(inode.size).toBe(this.models[i]!.length);
      expect(Buffer.compare(this.world.read(number), this.models[i]!), `content of file ${i}`).toBe(0);
      const fork = this.world.fork(number);
      let mapped = 0;
      let extents = 0;
      fork.forEachExtent((_at, _start, count) => {
        mapped += count;
        extents++;
      });
      expect(inode.core.nblocks).toBe(mapped + treeBlockCount(this.world, fork));
      expect(fork.extentCount).toBe(extents);
    }
  }
}

const file = fc.nat(FILES - 1);
const offset = fc.oneof(
  fc.nat(MOST),
  fc.nat(Math.floor(MOST / PAGE)).map((page) => page * PAGE),
  fc.nat(3 * PAGE),
);
const length = fc.oneof(
  fc.nat(3 * PAGE),
  fc.integer({ min: 0, max: 12 }).map((pages) => pages * PAGE),
  fc.nat(60_000),
);
const units = fc.integer({ min: 1, max: 6 });
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), file, offset, length }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('truncate' as const), file, offset, units }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('punch' as const), file, offset, length, units }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('allocate' as const), file, offset, length, units, keep: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('share' as const),
      file,
      other: file,
      block: fc.nat(40),
      otherBlock: fc.nat(40),
      count: fc.integer({ min: 1, max: 30 }),
    }),
  },
);

type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

function perform(files: Files, one: Command): void {
  switch (one.kind) {
    case 'write':
      files.write(one.file, one.offset, one.length);
      break;
    case 'truncate':
      files.truncate(one.file, one.offset, one.units);
      break;
    case 'punch':
      files.punch(one.file, one.offset, one.length, one.units);
      break;
    case 'allocate':
      files.allocate(one.file, one.offset, one.length, one.keep, one.units);
      break;
    case 'share':
      files.share(one.file, one.block, one.other, one.otherBlock, one.count);
      break;
  }
}

const canRepair = requireOracle('xfsprogs');

/** xfs_repair's opinion of a finished image; '' when it has none. */
function repairComplaints(world: FileWorld): string {
  if (!canRepair || world.geometry.dialect.name !== 'xfs') return '';
  return withTempDir((directory) => {
    const path = join(directory, 'image');
    writeFileSync(path, '');
    truncateSync(path, world.plan.size);
    writeFileSync(path, world.device.toBytes());
    return xfsRepairCheck(path).output;
  });
}

describe('files against byte arrays', () => {
  it.each(Object.keys(FILE_WORLDS))('%s', (name) => {
    let judged = 0;
    fc.assert(
      fc.property(fc.array(command, { minLength: 5, maxLength: 40 }), (commands) => {
        const files = new Files(name);
        for (const one of commands) {
          perform(files, one);
          files.world.tx.commit();
          files.expectSame();
        }
        expect(files.world.finish()).toEqual([]);
        if (judged++ < 2) expect(repairComplaints(files.world)).toBe('');
      }),
      { numRuns: RUNS },
    );
  });
});

describe('FileWriter', () => {
  it('shows no old bytes when the file grows over blocks behind its end', () => {
    const world = new FileWorld({ dialect: 'xfs' });
    const number = world.create();
    world.writer(number).write(0, pattern(10 * PAGE, 1));
    // As a crash between two pieces of a truncate, or a kernel's preallocation, leaves it.
    const inode = world.inode(number);
    inode.change(world.tx);
    inode.core.size = PAGE + 100;
    world.writer(number).write(6 * PAGE + 10, pattern(20, 2));
    const bytes = world.read(number);
    expect(bytes.subarray(PAGE + 100, 6 * PAGE + 10).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(0, PAGE + 100)).toEqual(pattern(10 * PAGE, 1).subarray(0, PAGE + 100));
    expect(world.finish()).toEqual([]);
  });

  it('grows into the middle of a preallocated extent', () => {
    const world = new FileWorld({ dialect: 'xfs' });
    const number = world.create();
    const { tx, space, device } = world;
    allocateUnwritten(tx, space, device, world.inode(number), 0, 100 * PAGE, true);
    world.writer(number).write(50 * PAGE, pattern(10, 1));
    world.truncate(number, 70 * PAGE + 1, 1);
    expect(world.inode(number).core.nblocks).toBe(100);
    expect(world.read(number).filter((byte) => byte !== 0).length).toBe(10);
    expect(world.finish()).toEqual([]);
  });

  it('writes at the far end of the largest file, and not beyond', () => {
    for (const name of Object.keys(FILE_WORLDS)) {
      const world = new FileWorld(FILE_WORLDS[name]);
      const number = world.create();
      const end = Number.MAX_SAFE_INTEGER;
      world.writer(number).write(end - 5000, pattern(5000, 3));
      world.writer(number).write(2 ** 45 + 1, pattern(9, 4));
      const reader = new Uint8Array(6000);
      expect(world.inode(number).size).toBe(end);
      const code = thrown(() => world.writer(number).write(end - 4, pattern(5, 1)));
      expect(code).toBe('EFBIG');
      expect(thrown(() => world.writer(number).write(-1, pattern(5, 1)))).toBe('EINVAL');
      expect(readAt(world, number, end - 5500, reader)).toBe(5500);
      expect(reader.subarray(0, 500).every((byte) => byte === 0)).toBe(true);
      expect(Buffer.compare(reader.subarray(500, 5500), pattern(5000, 3))).toBe(0);
      expect(readAt(world, number, 2 ** 45, reader)).toBe(6000);
      expect(Buffer.compare(reader.subarray(1, 10), pattern(9, 4))).toBe(0);
      world.truncate(number, 2 ** 45 + 5);
      expect(world.inode(number).core.nblocks).toBe(1);
      expect(world.finish()).toEqual([]);
    }
  });

  it.each(['xfs 4k', 'cadastre 4k'])('says ENOSPC and leaves a file that can be read: %s', (name) => {
    const world = new FileWorld(FILE_WORLDS[name]);
    const number = world.create();
    const piece = pattern(1 << 20, 5);
    const code = thrown(() => {
      for (let i = 0; i < 64; i++) world.writer(number).write(i << 20, piece);
    });
    expect(code).toBe('ENOSPC');
    const { size } = world.inode(number);
    expect(size).toBeGreaterThan(1 << 20);
    expect(Buffer.compare(world.read(number).subarray(0, 1 << 20), piece)).toBe(0);
    world.truncate(number, 0, 1);
    expect(world.inode(number).core.nblocks).toBe(0);
    world.writer(number).write(0, piece);
    expect(world.finish()).toEqual([]);
  });
});

function readAt(world: FileWorld, number: number, at: number, into: Uint8Array): number {
  return new FileReader(world.inode(number), world.device, world.space).read(at, into);
}

function thrown(action: () => void): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CadastreError) return error.code;
    throw error;
  }
  return 'nothing';
}
