import { describe, expect, it } from 'vitest';
import { bulkLoad, bulkShape, checkTree, freeTree, type TreeFault } from './btree.ts';
import { makeWorld, recordOf, type TestFork, TREE_NAMES, type TreeName, testGeometry, type World } from './fixture.ts';
import { naiveFaults } from './naive.ts';

function load(world: World, count: number, options = {}) {
  // The empty tree that a world starts with gives way to the loaded one.
  freeTree(world.tx, world.tree);
  return bulkLoad(
    world.tx,
    world.tree,
    count,
    (view, offset, index) => {
      const record = recordOf(world.name, index * 2, index % 150);
      for (let i = 0; i < record.byteLength; i += 4) view.setUint32(offset + i, record.getUint32(i));
    },
    options,
  );
}

function expectLoaded(world: World, count: number, blocks: number): void {
  const faults: TreeFault[] = [];
  const counts = checkTree(world.cache, world.tree, (fault) => faults.push(fault));
  expect(faults).toEqual([]);
  expect(counts.records).toBe(count);
  expect(counts.blocks).toBe(blocks);
  expect(naiveFaults(world)).toEqual([]);
}

const tiny = testGeometry(1024, 4096, 4, 4);
const odd = testGeometry(1024, 4096, 5, 7);

describe('bulk load', () => {
  it.each(TREE_NAMES)('%s: any number of records, any slack', (name: TreeName) => {
    for (const geometry of [tiny, odd]) {
      for (const slack of [0, 1, 9]) {
        for (let count = 0; count <= 90; count += count < 30 ? 1 : 7) {
          const world = makeWorld(name, geometry);
          const shape = load(world, count, { leafSlack: slack, nodeSlack: slack });
          expectLoaded(world, count, shape.blocks);
          expect(world.blocks.inUse.size).toBe(shape.blocks);
          expect(world.tree.topLevel() + 1).toBe(shape.height);
        }
      }
    }
  });

  it('into an inode root, and what it loaded can be changed', () => {
    for (const forkBytes of [20, 40, 100]) {
      for (let count = 0; count <= 120; count += 5) {
        const world = makeWorld('bmbt', tiny, { forkBytes });
        const shape = load(world, count);
        expectLoaded(world, count, shape.blocks);
        expect((world.root as TestFork).intact).toBe(true);
        const cursor = world.tree.cursor(world.cache);
        for (let n = 0; n < count; n++) cursor.insert(world.tx, recordOf('bmbt', 2 * n + 1, 3));
        expectLoaded(world, 2 * count, world.blocks.inUse.size);
      }
    }
  });

  it('computes the shapes of real blocks', () => {
    const real = testGeometry(4096, 65536);
    const { tree } = makeWorld('bnobt', real);
    expect(bulkShape(tree.type, real, 505)).toEqual({ height: 1, blocks: 1, levels: [1] });
    expect(bulkShape(tree.type, real, 506)).toEqual({ height: 2, blocks: 3, levels: [2, 1] });
    expect(bulkShape(tree.type, real, 505 * 336 + 1)).toEqual({ height: 3, blocks: 337 + 2 + 1, levels: [337, 2, 1] });
    // 506 records with 300 of 505 places free would make three leaves of 168: less than half, so two it is.
    expect(bulkShape(tree.type, real, 506, { leafSlack: 300 }).levels).toEqual([2, 1]);
  });

  it('takes the blocks it is given, and gives back what it took when there are too few', () => {
    const given = makeWorld('rmapbt', tiny);
    freeTree(given.tx, given.tree);
    const { blocks } = bulkShape(given.tree.type, tiny, 50);
    const pointers = Array.from({ length: blocks }, () => given.blocks.allocate(given.tx, 0));
    expect(load(makeWorldOver(given), 50, { pointers }).blocks).toBe(blocks);
    expectLoaded(given, 50, blocks);

    const short = makeWorld('rmapbt', tiny);
    freeTree(short.tx, short.tree);
    short.blocks.left = blocks - 1;
    expect(() => bulkLoad(short.tx, short.tree, 50, () => {})).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    expect(short.blocks.inUse.size).toBe(0);
  });

  it('refuses a source that is out of order', () => {
    const { tx, tree } = makeWorld('bnobt', tiny);
    const write = (view: DataView, offset: number, index: number) => view.setUint32(offset, 10 - (index % 2));
    expect(() => bulkLoad(tx, tree, 3, write)).toThrow(expect.objectContaining({ code: 'BTREE_ORDER' }));
  });
});

/** The same world, with nothing to free. */
function makeWorldOver(world: World): World {
  bulkLoad(world.tx, world.tree, 0, () => {});
  return world;
}
