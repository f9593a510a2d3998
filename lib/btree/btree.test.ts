/** Random commands on the engine and on a sorted array, for all trees, in geometries that make high trees from few records. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BTREES } from '../../formats/btree-blocks.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { checkTree, forEachRecord, type TreeFault } from './btree.ts';
import {
  keyOf,
  makeWorld,
  recordOf,
  recordText,
  TestFork,
  TREE_NAMES,
  type TreeName,
  testGeometry,
  type World,
} from './fixture.ts';
import { naiveFaults } from './naive.ts';

/** Everything that can be said about a tree at rest; `model` maps record numbers to their bytes as text. */
function expectWhole(world: World, model: Map<number, string>): void {
  const faults: TreeFault[] = [];
  const blocks = new Set<number>();
  const counts = checkTree(world.cache, world.tree, (fault) => faults.push(fault), {
    block: (pointer) => blocks.add(pointer),
  });
  expect(faults).toEqual([]);
  expect(counts.records).toBe(model.size);
  expect(counts.blocks).toBe(blocks.size);
  expect([...blocks].sort()).toEqual([...world.blocks.inUse].sort());
  const found: string[] = [];
  forEachRecord(
    world.cache,
    world.tree,
    (view, offset) => void found.push(recordText(view, offset, world.tree.recordSize)),
  );
  expect(found).toEqual([...model].sort((x, y) => x[0] - y[0]).map((entry) => entry[1]));
  expect(naiveFaults(world)).toEqual([]);
  if (world.root instanceof TestFork) expect(world.root.intact).toBe(true);
}

/** Multiplies the number of random runs: for a long night. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 1);

type Command = readonly [kind: number, n: number, value: number];
const commands = (range: number, length: number): fc.Arbitrary<Command[]> =>
  fc.array(
    fc.tuple(fc.integer({ min: 0, max: 99 }), fc.integer({ min: 0, max: range - 1 }), fc.integer({ min: 0, max: 200 })),
    {
      minLength: length / 2,
      maxLength: length,
      size: 'max',
    },
  );

/** Replay commands on tree and model. `bias`: per cent of inserts; a phase of removals follows when it is low. */
function replay(world: World, list: readonly Command[], every: number, growth: number): void {
  const { name, tree, tx, cache } = world;
  const model = new Map<number, string>();
  const cursor = tree.cursor(cache);
  const size = BTREES[name].recordSize;
  const bytes = (n: number, value: number) => recordText(recordOf(name, n, value), 0, size);
  const here = () => (cursor.valid ? recordText(cursor.view, cursor.offset, size) : undefined);
  const sorted = () => [...model.keys()].sort((x, y) => x - y);
  list.forEach(([kind, n, value], step) => {
    // The first two thirds grow the tree, the rest shrink it.
    const inserts = step < (list.length * 2) / 3 ? growth : 12;
    if (kind < inserts) {
      if (model.has(n)) {
        expect(() => cursor.insert(tx, recordOf(name, n, value))).toThrow(
          expect.objectContaining({ code: 'BTREE_DUPLICATE' }),
        );
      } else {
        cursor.insert(tx, recordOf(name, n, value));
        model.set(n, bytes(n, value));
        expect(here()).toBe(model.get(n));
      }
    } else if (kind < 75) {
      // Remove the record at or behind n.
      const target = sorted().find((m) => m >= n);
      expect(cursor.seekGE(...keyOf(name, n))).toBe(target !== undefined);
      if (target !== undefined) {
        // One, or some of those behind it, as far as its leaf goes.
        const last = value % 3 === 0 ? target + value : target;
        const gone = sorted().filter((m) => m >= target && m <= last);
        let run = 1;
        if (value % 3 !== 0) cursor.remove(tx);
        else {
          cursor.removeWhile(tx, (view, offset) => {
            const isGone = run < gone.length;
            if (isGone) expect(recordText(view, offset, size)).toBe(model.get(gone[run]!));
            if (isGone) run++;
            return isGone;
          });
        }
        for (const m of gone.slice(0, run)) model.delete(m);
        const next = sorted().find((m) => m > target);
        expect(here()).toBe(next === undefined ? undefined : model.get(next));
      }
    } else if (kind < 85) {
      const target = sorted().findLast((m) => m <= n);
      expect(cursor.seekLE(...keyOf(name, n))).toBe(target !== undefined);
      if (target !== undefined) {
        cursor.update(tx, recordOf(name, target, value));
        model.set(target, bytes(target, value));
        expect(here()).toBe(model.get(target));
      }
    } else if (kind < 90) {
      expect(cursor.seekEQ(...keyOf(name, n))).toBe(model.has(n));
      expect(here()).toBe(model.get(n));
    } else if (kind < 95) {
      // A walk in either direction from somewhere.
      const all = sorted();
      let at = all.findLastIndex((m) => m <= n);
      cursor.seekLE(...keyOf(name, n));
      for (let i = 0; i < 12 && cursor.valid; i++) {
        expect(here()).toBe(model.get(all[at]!));
        if (value % 2 === 0) cursor.next();
        else cursor.previous();
        at += value % 2 === 0 ? 1 : -1;
      }
      expect(cursor.valid).toBe(at >= 0 && at < all.length);
    } else {
      const all = sorted();
      expect(value % 2 === 0 ? cursor.seekFirst() : cursor.seekLast()).toBe(all.length > 0);
      expect(here()).toBe(all.length > 0 ? model.get(value % 2 === 0 ? all[0]! : all.at(-1)!) : undefined);
    }
    tx.commit();
    if (step % every === 0) expectWhole(world, model);
  });
  expectWhole(world, model);
  // And down to nothing.
  for (let more = cursor.seekFirst(); more; more = cursor.valid) {
    cursor.remove(tx);
    tx.commit();
  }
  expectWhole(world, new Map());
}

const tiny = testGeometry(1024, 4096, 4, 4);
const odd = testGeometry(1024, 4096, 5, 7);
const least = testGeometry(1024, 4096, 3, 3);
const real = testGeometry(1024, 4096);

describe.each(TREE_NAMES)('%s against a sorted array', (name: TreeName) => {
  const run = (geometry: Geometry, runs: number, length: number, range: number, growth: number, cacheBytes?: number) =>
    fc.assert(
      fc.property(commands(range, length), (list) => {
        const world = makeWorld(name, geometry, cacheBytes ? { cacheBytes } : {});
        replay(world, list, 23, growth);
      }),
      { numRuns: runs * RUNS },
    );
  it('four entries a block', () => run(tiny, 6, 400, 250, 60));
  it('odd capacities', () => run(odd, 3, 400, 300, 60));
  it('three entries a block: blocks without neighbours, blocks that become empty', () => run(least, 4, 300, 200, 55));
  it('a cache that keeps next to nothing', () => run(tiny, 2, 200, 150, 60, 4096));
  it('real blocks of 1 KiB', () => run(real, 1, 900, 2000, 70));
});

describe('bmbt with its root in an inode', () => {
  it.each([20, 36, 40, 52, 100])('fork of %i bytes', (forkBytes) => {
    for (const geometry of [tiny, odd, least]) {
      fc.assert(
        fc.property(commands(200, 300), (list) => replay(makeWorld('bmbt', geometry, { forkBytes }), list, 23, 60)),
        { numRuns: 4 * RUNS },
      );
    }
  });
  it('real blocks', () => {
    fc.assert(
      fc.property(commands(2000, 900), (list) => replay(makeWorld('bmbt', real, { forkBytes: 336 }), list, 97, 70)),
      { numRuns: 2 * RUNS },
    );
  });
});
