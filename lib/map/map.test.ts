/** What a picture of an image counts: against a picture computed by hand, another source, and what owners says block by block. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { FileWorld } from '../../test/support/file-world.ts';
import { OverlayDevice } from '../device/overlay.ts';
import { CadastreError } from '../errors.ts';
import { fragReport } from '../frag/frag.ts';
import { findOwners } from '../owners/owners.ts';
import { Volume } from '../volume/volume.ts';
import { BLOCK_CLASSES, type BlockClass, BlockClasses } from './block-classes.ts';
import { cellLook, mapImage } from './map.ts';

/** Every block of an AG by class: fails when runs overlap, leave a gap or go back. */
function blocksOf(volume: Volume, ag: number): BlockClass[] {
  const blocks: BlockClass[] = [];
  new BlockClasses(volume).forEachRun(ag, (start, count, kind) => {
    expect(start).toBe(blocks.length);
    expect(count).toBeGreaterThan(0);
    for (let i = 0; i < count; i++) blocks.push(BLOCK_CLASSES[kind]!);
  });
  expect(blocks.length).toBe(volume.geometry.agLength(ag));
  return blocks;
}

/** The same by the owners of each block. */
function byOwners(volume: Volume, ag: number): BlockClass[] {
  const length = volume.geometry.agLength(ag);
  const blocks = new Array<BlockClass | undefined>(length);
  for (const { agBlock, blockCount, kind } of findOwners(volume, [{ ag, agBlock: 0, blockCount: length }])) {
    for (let block = agBlock; block < agBlock + blockCount; block++) {
      const plain: BlockClass =
        kind === 'data' || kind === 'inodes' || kind === 'log' || kind === 'free'
          ? kind
          : kind === 'unknown' || kind === 'cow-staging'
            ? 'lost'
            : 'metadata';
      blocks[block] = plain === 'data' && blocks[block] !== undefined ? 'shared' : plain;
    }
  }
  return blocks as BlockClass[];
}

function world(options: ConstructorParameters<typeof FileWorld>[0]): FileWorld {
  const made = new FileWorld(options);
  const size = made.geometry.blockSize;
  const [a, b] = [made.create(), made.create()];
  made.writer(a).write(0, new Uint8Array(20 * size).fill(1));
  made.writer(b).write(0, new Uint8Array(3 * size).fill(2));
  if (made.geometry.features.reflink) {
    made.share(a, 4, b, 10, 5);
    made.share(a, 6, b, 30, 1);
  }
  for (let i = 0; i < 40; i++) made.create(MODE.DIR | 0o755);
  made.create(MODE.SYMLINK | 0o777, { target: new Uint8Array(900).fill(0x61) });
  expect(made.finish()).toEqual([]);
  return made;
}

describe.each([
  ['xfs, register', { dialect: 'xfs', features: { rmapbt: true } }],
  ['xfs, no register', { dialect: 'xfs' }],
  ['xfs 1k, no reflink', { dialect: 'xfs', blockSize: 1024, features: { reflink: false } }],
  ['cadastre 1k', { dialect: 'cadastre', blockSize: 1024 }],
] as const)('%s', (_name, options) => {
  it('every block is what its owners say', () => {
    const { device, geometry } = world(options);
    const volume = Volume.open(device);
    const all: BlockClass[] = [];
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const blocks = blocksOf(volume, ag);
      expect(blocks).toEqual(byOwners(volume, ag));
      all.push(...blocks);
    }
    const count = (name: BlockClass): number => all.filter((each) => each === name).length;
    const shared = geometry.features.reflink ? 5 : 0;
    expect([count('data'), count('shared'), count('lost')]).toEqual([23 - shared, shared, 0]);
    expect(count('log')).toBe(geometry.logBlocks);
    const { totals, ags, cellBlocks } = mapImage(volume, { width: 16, rows: 8 });
    expect(totals).toEqual(BLOCK_CLASSES.map(count));
    for (const { ag, cells, counts, blocks } of ags) {
      expect(cells).toBe(Math.ceil(blocks / cellBlocks));
      for (let cell = 0; cell < cells; cell++) {
        const sum = counts
          .subarray(cell * BLOCK_CLASSES.length, (cell + 1) * BLOCK_CLASSES.length)
          .reduce((a, b) => a + b);
        expect([ag, cell, sum]).toEqual([ag, cell, Math.min(cellBlocks, blocks - cell * cellBlocks)]);
      }
    }
  });
});

it('a register that cannot be read is replaced by the claims', () => {
  const { device, geometry } = world({ dialect: 'xfs', features: { rmapbt: true } });
  const before = Volume.open(device);
  const whole = blocksOf(before, 0);
  const root = before.space.ag(before.cache, 0).agf.rmapRoot;
  device.write(geometry.agBlockToByte(0, root) + 100, new Uint8Array(300));
  const after = blocksOf(Volume.open(device), 0);
  // The damaged tree's own blocks cannot all be found.
  const differs = after.flatMap((kind, block) => (kind === whole[block] ? [] : [[block, whole[block], kind]]));
  for (const [, was, is] of differs) expect([was, is]).toEqual(['metadata', 'lost']);
  expect(differs.length).toBeLessThanOrEqual(1);
});

it('a picture is as high as asked for, or has a row for each AG', () => {
  const volume = Volume.open(emptyImage({ dialect: 'xfs', size: 64 << 20, agCount: 4 }));
  const rows = (width: number, most: number, ag?: number): [number, number] => {
    const { ags, cellBlocks } = mapImage(volume, { width, rows: most, ...(ag === undefined ? {} : { ag }) });
    return [cellBlocks, ags.reduce((sum, { cells }) => sum + Math.ceil(cells / width), 0)];
  };
  // 4 AGs of 4096 blocks.
  expect(rows(64, 16)).toEqual([16, 16]);
  expect(rows(64, 15)).toEqual([32, 8]);
  expect(rows(64, 1)).toEqual([64, 4]);
  expect(rows(1, 1)).toEqual([4096, 4]);
  expect(rows(64, 64, 2)).toEqual([1, 64]);
});

it('a cell is drawn as what most of it is', () => {
  const look = (...counts: number[]) => cellLook({ ag: 0, blocks: 16, cells: 1, counts: Uint32Array.from(counts) }, 0);
  expect(look(16, 0, 0, 0, 0, 0, 0)).toEqual({ kind: 0, shade: 3 });
  expect(look(2, 0, 0, 0, 0, 14, 0)).toEqual({ kind: 5, shade: 3 });
  expect(look(3, 0, 0, 0, 0, 13, 0)).toEqual({ kind: 5, shade: 2 });
  expect(look(6, 5, 5, 0, 0, 0, 0)).toEqual({ kind: 0, shade: 1 });
  expect(look(8, 0, 0, 0, 0, 8, 0)).toEqual({ kind: 0, shade: 1 });
});

it('damaged images end in an error or in a picture of every block', () => {
  const made = world({ dialect: 'xfs', features: { rmapbt: true } });
  const metadata: number[] = [];
  for (const ag of Array.from({ length: made.geometry.agCount }, (_, i) => i)) {
    blocksOf(Volume.open(made.device), ag).forEach((kind, block) => {
      if (kind === 'metadata' || kind === 'inodes') metadata.push(made.geometry.agBlockToByte(ag, block));
    });
  }
  const damage = fc.array(fc.tuple(fc.nat(metadata.length - 1), fc.nat(4095), fc.nat(255)), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(damage, (bytes) => {
      const device = new OverlayDevice(made.device);
      for (const [block, at, value] of bytes) device.write(metadata[block]! + at, Uint8Array.of(value));
      try {
        const volume = Volume.open(device);
        fragReport(volume, { failed: () => {}, all: true });
        const { totals } = mapImage(volume, { width: 16, rows: 16 });
        expect(totals.reduce((sum, blocks) => sum + blocks, 0)).toBe(made.geometry.blocks);
      } catch (error) {
        if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
      }
    }),
    { numRuns: Number(process.env.CADASTRE_RUNS ?? 40) },
  );
});
