/** Extents against the ideal, on forks and images whose numbers are computed by hand. */
import { expect, it } from 'vitest';
import { MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { FileWorld } from '../../test/support/file-world.ts';
import { Fork } from '../file/fork.ts';
import { Inode } from '../file/inode.ts';
import { pathBytes, showPath } from '../volume/path.ts';
import { Volume } from '../volume/volume.ts';
import { type FragOptions, fragFactor, fragReport } from './frag.ts';
import { freeSpaceLayout } from './free-space.ts';
import { forkLayout, longestExtent } from './ideal.ts';

type Mapped = readonly [fileBlock: number, agBlock: number, blocks: number, unwritten?: boolean];

/** A fork with these extents, in AG 1: nothing is allocated, so only for looking at. */
function forkOf(world: FileWorld, extents: readonly Mapped[]): Fork {
  const inode = Inode.load(world.tx, world.create());
  const fork = new Fork(inode, 'data');
  for (const [fileBlock, agBlock, count, unwritten = false] of extents) {
    fork.map(world.tx, world.space, fileBlock, world.geometry.fsBlock(1, agBlock), count, unwritten);
  }
  return fork;
}

it.each<[string, Mapped[], number, number]>([
  ['nothing', [], 0, 0],
  ['one extent', [[0, 100, 5]], 1, 1],
  [
    'two that could be one',
    [
      [0, 100, 5],
      [5, 200, 5],
    ],
    2,
    1,
  ],
  [
    'a hole needs two',
    [
      [0, 100, 5],
      [6, 200, 5],
    ],
    2,
    2,
  ],
  [
    'in order, yet behind a hole',
    [
      [0, 100, 5],
      [6, 106, 5],
    ],
    2,
    2,
  ],
  [
    'unwritten blocks need an extent of their own',
    [
      [0, 100, 5],
      [5, 105, 5, true],
      [10, 110, 5],
    ],
    3,
    3,
  ],
  [
    'unwritten pieces join',
    [
      [0, 100, 5, true],
      [5, 200, 5, true],
      [10, 300, 5],
    ],
    3,
    2,
  ],
  [
    'backwards',
    [
      [0, 140, 1],
      [1, 130, 1],
      [2, 120, 1],
      [3, 110, 1],
      [9, 108, 1],
      [10, 106, 1],
    ],
    6,
    2,
  ],
])('%s', (_what, extents, count, ideal) => {
  const fork = forkOf(new FileWorld({ dialect: 'xfs', size: 32 << 20, agCount: 2 }), extents);
  expect(forkLayout(fork)).toEqual({ extents: count, ideal });
});

it('an extent ends with its AG', () => {
  const world = new FileWorld({ dialect: 'xfs', size: 32 << 20, agCount: 2 });
  const { geometry } = world;
  // 4096 blocks, four header sectors in one of them, roots of bnobt, cntbt, inobt, finobt and refcountbt.
  const most = longestExtent(geometry);
  expect(most).toBe(geometry.agBlocks - 1 - (3 + 1 + Number(geometry.features.rmapbt) + 1));
  const fork = forkOf(world, []);
  const half = Math.floor(most / 2);
  fork.map(world.tx, world.space, 0, geometry.fsBlock(1, 1000), half, false);
  fork.map(world.tx, world.space, half, geometry.fsBlock(0, 100), half, false);
  expect(forkLayout(fork)).toEqual({ extents: 2, ideal: 1 });
  fork.map(world.tx, world.space, 2 * half, geometry.fsBlock(0, 3000), 2, false);
  expect(forkLayout(fork)).toEqual({ extents: 3, ideal: 2 });
});

it('an extent has 2^21 - 1 blocks at most', () => {
  const world = new FileWorld({ dialect: 'xfs', size: 16 * 2 ** 30, blockSize: 1024, agCount: 4 });
  const most = 2 ** 21 - 1;
  expect(longestExtent(world.geometry)).toBe(most);
  const fork = forkOf(world, [
    [0, 1000, most],
    [most, 1000 + most, 1],
  ]);
  expect(forkLayout(fork)).toEqual({ extents: 2, ideal: 2 });
});

it('counts as xfs_db does', () => {
  expect(fragFactor({ extents: 0, ideal: 0 })).toBe(0);
  expect(fragFactor({ extents: 8, ideal: 2 })).toBe(75);
});

/** Two files that grew in turns, a directory with a file in one piece, a second name. */
function worldOfFiles(): { volume: Volume; a: number; b: number; whole: number; world: FileWorld } {
  const world = new FileWorld({ dialect: 'xfs', features: { rmapbt: true } });
  const [a, b, whole] = [world.create(), world.create(), world.create()];
  const block = new Uint8Array(world.geometry.blockSize).fill(7);
  world.writer(whole).write(0, new Uint8Array(10 * block.length).fill(1));
  for (let i = 0; i < 5; i++) {
    world.writer(a).write(i * block.length, block);
    world.writer(b).write(i * block.length, block);
  }
  world.create(MODE.DIR | 0o755);
  world.finish();
  return { volume: Volume.open(world.device), a, b, whole, world };
}

const report = (volume: Volume, options: Partial<FragOptions> = {}) => {
  const errors: string[] = [];
  const result = fragReport(volume, { failed: (error) => errors.push(error.code), ...options });
  return { ...result, errors, free: result.free, shown: result.files.map(({ path }) => path && showPath(path)) };
};

it('measures an image', () => {
  const { volume, a, b, whole, world } = worldOfFiles();
  const name = (inode: number) => `/${new TextDecoder().decode(world.name(inode))}`;
  const all = report(volume, { all: true, top: 10 });
  expect(all.errors).toEqual([]);
  expect(all.data).toEqual({ forks: 3, extents: 11, ideal: 3 });
  expect(all.fragmented).toBe(2);
  expect(all.shown).toEqual([name(a), name(b), name(whole)]);
  expect(all.files[0]).toMatchObject({ inode: a, bytes: 5 * 4096, extents: 5, ideal: 1 });
  expect(report(volume).shown).toEqual([name(a), name(b)]);
  expect(report(volume, { top: 1 }).shown).toEqual([name(a)]);
  // What is named is shown, in one piece or not; twice named is counted once.
  const named = report(volume, { paths: [pathBytes(name(whole)), pathBytes(name(b)), pathBytes('/')], top: 0 });
  expect(named.shown).toEqual([name(b), name(whole)]);
  expect(() => report(volume, { paths: [pathBytes('/nothing')] })).toThrow(/no such file/);
});

it('measures free space', () => {
  const { volume } = worldOfFiles();
  const { freeBlocks, freeExtents, largestFree, histogram } = freeSpaceLayout(volume);
  const { geometry, space, cache } = volume;
  let [blocks, longest] = [0, 0];
  for (let ag = 0; ag < geometry.agCount; ag++) {
    blocks += space.ag(cache, ag).agf.freeblks;
    longest = Math.max(longest, space.ag(cache, ag).agf.longest);
  }
  expect({ freeBlocks, largestFree }).toEqual({ freeBlocks: blocks, largestFree: longest });
  expect(histogram.reduce((sum, { runs }) => sum + runs, 0)).toBe(freeExtents);
  for (const { from, to, runs, blocks: inside } of histogram) {
    expect(inside).toBeGreaterThanOrEqual(runs * from);
    expect(inside).toBeLessThanOrEqual(runs * to);
  }
});

it('goes on behind what cannot be read', () => {
  const { world, a } = worldOfFiles();
  // The magic of one inode, and of the root of AG 1's free-space tree.
  const { device, geometry } = world;
  const agInode = geometry.agInodeOfInode(a);
  const byte =
    geometry.agBlockToByte(geometry.agOfInode(a), geometry.agBlockOfAgInode(agInode)) +
    (agInode % geometry.inodesPerBlock) * geometry.inodeSize;
  device.write(byte, Uint8Array.of(0, 0));
  const volume = Volume.open(device);
  const damaged = report(volume);
  expect(damaged.errors).toEqual(['BAD_CRC']);
  expect(damaged.data).toEqual({ forks: 2, extents: 6, ideal: 2 });
  const root = volume.space.ag(volume.cache, 0).agf.bnoRoot;
  device.write(geometry.agBlockToByte(0, root), new Uint8Array(4));
  const worse = report(Volume.open(device));
  expect(worse.free).toBeUndefined();
  expect(worse.data.forks).toBe(2);
});

it.each(['cadastre', 'xfs'] as const)('an empty image (%s) has nothing in pieces', (dialect) => {
  const empty = report(Volume.open(emptyImage({ dialect })), { all: true });
  expect(empty).toMatchObject({ errors: [], files: [], fragmented: 0, data: { forks: 0, extents: 0, ideal: 0 } });
});
