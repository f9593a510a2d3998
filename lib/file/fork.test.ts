/** Forks against a naive array: one entry for each mapped file block. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_EXTENT_BLOCKS } from '../../formats/btree-blocks.ts';
import { crc32c } from '../../formats/checksum.ts';
import { FORMAT } from '../../formats/inode.ts';
import { FILE_WORLDS, FileWorld, treeBlockCount } from '../../test/support/file-world.ts';
import { CadastreError } from '../errors.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Fork } from './fork.ts';

const RUNS = Number(process.env.FILE_RUNS ?? 6);

/** What is mapped: file block → block, and whether it is unwritten. */
type Model = Map<number, { block: number; unwritten: boolean }>;

interface Row {
  fileBlock: number;
  startBlock: number;
  blockCount: number;
  unwritten: boolean;
}

/** The records the fork must have: neighbours that can be one record are one. */
function rowsOf(model: Model): Row[] {
  const rows: Row[] = [];
  for (const fileBlock of [...model.keys()].sort((a, b) => a - b)) {
    const { block, unwritten } = model.get(fileBlock)!;
    const last = rows.at(-1);
    const joins =
      last &&
      last.fileBlock + last.blockCount === fileBlock &&
      last.startBlock + last.blockCount === block &&
      last.unwritten === unwritten &&
      last.blockCount < MAX_EXTENT_BLOCKS;
    if (joins) last.blockCount++;
    else rows.push({ fileBlock, startBlock: block, blockCount: 1, unwritten });
  }
  return rows;
}

function rowsIn(fork: Fork, from = 0): Row[] {
  const rows: Row[] = [];
  fork.forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
    rows.push({ fileBlock, startBlock, blockCount, unwritten });
  }, from);
  return rows;
}

/** Everything that must hold after any change. */
function expectSame(world: FileWorld, number: number, model: Model): void {
  const fork = world.fork(number);
  const rows = rowsOf(model);
  expect(rowsIn(fork)).toEqual(rows);
  expect(fork.extentCount).toBe(rows.length);
  expect(fork.format).toBe(rows.length > fork.inlineCapacity ? FORMAT.BTREE : FORMAT.EXTENTS);
  expect(fork.inode.core.nblocks).toBe(model.size + treeBlockCount(world, fork));
}

class Pair {
  readonly world: FileWorld;
  readonly number: number;
  readonly model: Model = new Map();

  constructor(name: string) {
    this.world = new FileWorld(FILE_WORLDS[name]);
    this.number = this.world.create();
  }

  /** Map [at, at + count) where nothing is mapped yet, in as many pieces as free space makes of it. */
  map(at: number, count: number, unwritten: boolean): void {
    const { world, number, model } = this;
    for (let block = at; block < at + count; ) {
      if (model.has(block)) {
        block++;
        continue;
      }
      let max = 1;
      while (block + max < at + count && !model.has(block + max)) max++;
      const place = { fileBlock: block, unwritten };
      const got = world.space.allocate(world.tx, { min: 1, max, owner: inodeOwner(number), place });
      if (!got) return;
      world.fork(number).map(world.tx, world.space, block, got.fsBlock, got.blockCount, unwritten);
      // Nothing is ever written, so written blocks hold zeroes.
      const crcs = new Uint32Array(got.blockCount).fill(crc32c(new Uint8Array(world.geometry.blockSize)));
      if (!unwritten) world.space.setChecksums(world.tx, got.fsBlock, crcs);
      this.note(block, got.fsBlock, got.blockCount, unwritten);
      block += got.blockCount;
    }
  }

  note(at: number, start: number, count: number, unwritten: boolean): void {
    for (let i = 0; i < count; i++) this.model.set(at + i, { block: start + i, unwritten });
  }

  unmap(from: number, to: number): void {
    const { world, number, model } = this;
    const told: number[] = [];
    world.fork(number).unmap(world.tx, world.space, from, to, (fileBlock, startBlock, blockCount, unwritten) => {
      for (let i = 0; i < blockCount; i++) {
        told.push(fileBlock + i);
        expect(model.get(fileBlock + i)).toEqual({ block: startBlock + i, unwritten });
      }
      world.space.free(world.tx, startBlock, blockCount, inodeOwner(number), { fileBlock, unwritten });
    });
    const expected = [...model.keys()].filter((block) => block >= from && block < to).sort((a, b) => a - b);
    expect(told).toEqual(expected);
    for (const block of expected) model.delete(block);
  }

  /** Single blocks that no two of can be joined: every second file block, allocated from the top down. */
  stripe(at: number, count: number): void {
    const { world, number } = this;
    for (let i = count - 1; i >= 0; i--) {
      if (!this.model.has(at + 2 * i)) this.map(at + 2 * i, 1, false);
    }
    expect(world.fork(number).extentCount).toBe(rowsOf(this.model).length);
  }
}

const block = fc.nat(400);
const command = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('map'),
      at: block,
      count: fc.integer({ min: 1, max: 40 }),
      unwritten: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('unmap'),
      at: block,
      count: fc.integer({ min: 1, max: 90 }),
      unwritten: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('stripe'),
      at: block,
      count: fc.integer({ min: 1, max: 60 }),
      unwritten: fc.boolean(),
    }),
  },
);

describe('a fork against an array', () => {
  it.each(Object.keys(FILE_WORLDS))('%s', (name) => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
        const pair = new Pair(name);
        for (const { kind, at, count, unwritten } of commands) {
          if (kind === 'map') pair.map(at, count, unwritten);
          else if (kind === 'unmap') pair.unmap(at, at + count);
          else pair.stripe(at, count);
          expectSame(pair.world, pair.number, pair.model);
          pair.world.tx.commit();
        }
        pair.world.inode(pair.number).core.size = 500 * pair.world.geometry.blockSize;
        expect(pair.world.finish()).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  it.each(['xfs 1k, rmapbt', 'cadastre 1k'])('grows to a tree of three levels and comes back: %s', (name) => {
    const pair = new Pair(name);
    const { world, number } = pair;
    const count = 1400;
    for (let i = 0; i < count; i++) pair.map(((i * 601) % count) * 2, 1, true);
    expectSame(world, number, pair.model);
    const fork = world.fork(number);
    expect(fork.extentCount).toBe(count);
    expect(fork.inode.view.getUint16(fork.base)).toBe(2);
    expect(rowsIn(fork, 1001)).toEqual(rowsOf(pair.model).filter((row) => row.fileBlock >= 1001));
    // Away again, from the middle outwards.
    for (let i = 0; i < 10; i++) {
      pair.unmap(count - 140 * (i + 1), count + 140 * i + 1);
      expectSame(world, number, pair.model);
    }
    pair.unmap(0, 2 * count);
    expectSame(world, number, pair.model);
    expect(world.inode(number).core.nblocks).toBe(0);
    expect(world.finish()).toEqual([]);
  });
});

describe('a fork', () => {
  it('joins with both neighbours, and not across a change of state', () => {
    const { world, number, model } = new Pair('xfs 4k');
    const got = world.space.allocate(world.tx, { min: 9, max: 9 })!;
    const fork = world.fork(number);
    const map = (at: number, unwritten: boolean) =>
      fork.map(world.tx, world.space, 10 + at, got.fsBlock + at, 3, unwritten);
    map(0, false);
    map(6, false);
    map(3, false);
    expect(rowsIn(fork)).toEqual([{ fileBlock: 10, startBlock: got.fsBlock, blockCount: 9, unwritten: false }]);
    fork.unmap(world.tx, world.space, 13, 16, () => {});
    map(3, true);
    expect(rowsIn(fork).map((row) => [row.blockCount, row.unwritten])).toEqual([
      [3, false],
      [3, true],
      [3, false],
    ]);
    expect(model.size).toBe(0);
  });

  it('never makes a record longer than the format allows', () => {
    const { world, number } = new Pair('xfs 4k');
    const fork = world.fork(number);
    // Nothing is allocated: only the records matter here.
    fork.map(world.tx, world.space, 0, 5, MAX_EXTENT_BLOCKS - 1, false);
    fork.map(world.tx, world.space, MAX_EXTENT_BLOCKS - 1, MAX_EXTENT_BLOCKS + 4, 2, false);
    expect(fork.extentCount).toBe(2);
  });

  it('reaches the last file block there is', () => {
    const pair = new Pair('xfs 1k, rmapbt');
    const { world, number } = pair;
    const last = 2 ** 43 - 1;
    for (let i = 0; i < 30; i++) pair.map(last - 3 * i, 1, false);
    expectSame(world, number, pair.model);
    expect(world.fork(number).format).toBe(FORMAT.BTREE);
    const inode = world.inode(number);
    inode.change(world.tx);
    inode.core.size = Number.MAX_SAFE_INTEGER;
    expect(world.finish()).toEqual([]);
  });

  it('names what is wrong with damaged extents', () => {
    const { world, number } = new Pair('xfs 4k');
    const fork = world.fork(number);
    const code = (): string => {
      try {
        fork.forEachExtent(() => {});
      } catch (error) {
        if (error instanceof CadastreError) return error.code;
        throw error;
      }
      return 'none';
    };
    fork.map(world.tx, world.space, 10, 2 ** 50, 1, false);
    expect(code()).toBe('EXTENT_OUT_OF_RANGE');
    fork.unmap(world.tx, world.space, 0, 100, () => {});
    fork.map(world.tx, world.space, 10, 30, 5, false);
    fork.map(world.tx, world.space, 20, 50, 5, false);
    expect(code()).toBe('none');
    // The first record now reaches into the second one.
    const cursor = fork.cursor();
    cursor.seekFirst();
    cursor.update(world.tx, 10, 30, 15, false);
    expect(code()).toBe('EXTENT_ORDER');
  });
});
