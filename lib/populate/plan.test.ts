/** The estimate against what populate really takes: an image of the size that is asked for always holds the tree. */
import {
  closeSync,
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
import { describe, expect, it } from 'vitest';
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import { BufferCache } from '../buffer/cache.ts';
import { MemoryDevice } from '../device/memory.ts';
import { CadastreError } from '../errors.ts';
import { HostTree } from '../host/tree.ts';
import { type MakeOptions, planMake, writeImage } from '../mkfs/make.ts';
import { Space } from '../space/space.ts';

const RUNS = Number(process.env.PLAN_RUNS ?? 3);
const MIB = 1 << 20;

/** What a random tree is made of: counts and sizes, not the tree itself, so that it shrinks well. */
const shape = fc.record({
  files: fc.nat(120),
  size: fc.constantFrom(0, 1, 600, 5000, 70_000),
  names: fc.integer({ min: 1, max: 200 }),
  empty: fc.nat(600),
  directories: fc.nat(60),
  links: fc.nat(40),
  target: fc.integer({ min: 1, max: 1000 }),
  pieces: fc.nat(120),
  large: fc.nat(3 * MIB),
});
type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never;

function makeTree(root: string, tree: Shape): void {
  mkdirSync(root);
  const { files, size, names, empty, directories, links, target, pieces, large } = tree;
  for (let d = 0; d <= directories; d++) if (d > 0) mkdirSync(join(root, `d${d}`));
  const into = (i: number): string => (directories > 0 && i % 3 ? join(root, `d${1 + (i % directories)}`) : root);
  for (let i = 0; i < files; i++)
    writeFileSync(join(into(i), `${i}`.padEnd(names, 'n')), new Uint8Array(size).fill(i + 1));
  for (let i = 0; i < empty; i++) writeFileSync(join(into(i), `e${i}`), '');
  for (let i = 0; i < links; i++) {
    if (files > 0 && i % 2) linkSync(join(into(0), '0'.padEnd(names, 'n')), join(into(i), `hard${i}`));
    else symlinkSync('t'.repeat(target), join(into(i), `soft${i}`));
  }
  if (large > 0) writeFileSync(join(root, 'large'), new Uint8Array(large).fill(3));
  const fd = openSync(join(root, 'sparse'), 'w');
  for (let i = 0; i < pieces; i++) writeSync(fd, 'piece', i * 131_072 + (i % 7) * 4096);
  ftruncateSync(fd, 64 * MIB);
  closeSync(fd);
}

const KINDS: Record<string, Omit<MakeOptions, 'size' | 'from' | 'uuid' | 'time'>> = {
  'xfs, rmapbt': { dialect: XFS, features: { rmapbt: true } },
  'xfs 1k': { dialect: XFS, blockSize: 1024 },
  'xfs, 2k inodes': { dialect: XFS, inodeSize: 2048 },
  cadastre: { dialect: CADASTRE },
};
const TIME = { seconds: 1_700_000_000, nanoseconds: 0 };

/** Blocks that a made image has in use less those of an empty one. */
function judge(
  root: string,
  kind: Omit<MakeOptions, 'size' | 'from' | 'uuid' | 'time'>,
): { used: number; need: number; agCount: number } {
  const tree = new HostTree(root);
  try {
    const common = { ...kind, uuid: new Uint8Array(16).fill(5), time: TIME };
    const needed = smallest(tree, common);
    const plan = planMake({ ...common, size: needed, from: tree });
    const device = new MemoryDevice(plan.image.size);
    // The property: what planMake accepts, populate can store.
    writeImage(device, plan, true, { time: TIME, reproducible: false, generation: 1 });
    const { geometry } = plan.image;
    const space = new Space(geometry);
    const used = plan.available - space.available(new BufferCache(device, geometry));
    return { used, need: plan.tree!.need.total, agCount: geometry.agCount };
  } finally {
    tree.close();
  }
}

/** The smallest whole number of MiB that is not refused. */
function smallest(tree: HostTree, common: Omit<MakeOptions, 'size' | 'from'>): number {
  for (let size = common.dialect.minImageBytes; ; size += MIB) {
    try {
      return planMake({ ...common, size, from: tree }).image.size;
    } catch (error) {
      if (!(error instanceof CadastreError) || (error.code !== 'ENOSPC' && error.code !== 'IMAGE_TOO_SMALL'))
        throw error;
    }
  }
}

describe('the estimate', () => {
  it.each(Object.entries(KINDS))('is never too small, and not much too large: %s', (_name, kind) => {
    fc.assert(
      fc.property(shape, (tree) => {
        const scratch = mkdtempSync(join(tmpdir(), 'cadastre-test-plan-'));
        try {
          makeTree(join(scratch, 'tree'), tree);
          const { used, need, agCount } = judge(join(scratch, 'tree'), kind);
          expect(need).toBeGreaterThanOrEqual(used);
          expect(need).toBeLessThanOrEqual(used * 1.25 + 80 + 40 * agCount);
        } finally {
          rmSync(scratch, { recursive: true });
        }
      }),
      { numRuns: RUNS },
    );
  });
});
