/** Damage: each fault of the checker provoked, hostile bytes anywhere, and what the engine does when it meets them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sealCrc } from '../../formats/checksum.ts';
import { NULL32, setU64 } from '../../formats/struct.ts';
import { BufferCache } from '../buffer/cache.ts';
import { DirectTransaction } from '../buffer/direct.ts';
import { CadastreError } from '../errors.ts';
import { Btree, checkTree, forEachBlock, forEachOverlap, forEachRecord, type TreeFault } from './btree.ts';
import {
  byteAddress,
  keyOf,
  makeWorld,
  recordOf,
  TestFork,
  TREE_NAMES,
  type TreeName,
  testGeometry,
  type World,
} from './fixture.ts';

/** Multiplies the number of random runs: for a long night. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 1);
const tiny = testGeometry(1024, 4096, 4, 4);

/** A tree of height 4 or more, written to the device. */
function grown(name: TreeName, count = 120, forkBytes?: number): World {
  const world = makeWorld(name, tiny, forkBytes ? { forkBytes } : {});
  const cursor = world.tree.cursor(world.cache);
  for (let n = 0; n < count; n++) cursor.insert(world.tx, recordOf(name, (n * 37) % 127, n % 150));
  world.tx.close();
  return world;
}

/** Blocks by level, in tree order. */
function levels(world: World): number[][] {
  const rows: number[][] = [];
  checkTree(world.cache, world.tree, () => {}, { block: (pointer, level) => (rows[level] ??= []).push(pointer) });
  return rows;
}

/** Change bytes of a block on the device, with a CRC that is right again. */
function edit(world: World, pointer: number, change: (view: DataView) => void, crc = true): void {
  const bytes = new Uint8Array(world.geometry.blockSize);
  world.device.read(byteAddress(world, pointer), bytes);
  change(new DataView(bytes.buffer));
  if (crc) sealCrc(bytes, world.tree.type.blockType.crcOffset);
  world.device.write(byteAddress(world, pointer), bytes);
  world.cache.clear();
}

function faults(world: World): TreeFault[] {
  const found: TreeFault[] = [];
  checkTree(world.cache, world.tree, (fault) => found.push(fault));
  return found;
}
const codes = (world: World): string[] => faults(world).map((fault) => `${fault.code}@${fault.block}`);

describe('structural check', () => {
  const { headerSize, entrySize, pointersAt } = makeWorld('rmapbt', tiny).tree;
  const setups: { [title: string]: (world: World, rows: number[][]) => string[] } = {
    'a CRC that is wrong': (world, rows) => {
      edit(world, rows[0]![3]!, (view) => view.setUint8(900, 1), false);
      return [`BAD_CRC@${rows[0]![3]}`];
    },
    'a block that calls itself another': (world, rows) => {
      edit(world, rows[1]![1]!, (view) => view.setUint32(20, 5));
      return [`BAD_ADDRESS@${rows[1]![1]}`];
    },
    'a left sibling that is not the one before': (world, rows) => {
      edit(world, rows[0]![3]!, (view) => view.setUint32(8, rows[0]![1]!));
      return [`BTREE_SIBLING@${rows[0]![3]}`];
    },
    'a right sibling that is not the one behind': (world, rows) => {
      edit(world, rows[0]![3]!, (view) => view.setUint32(12, NULL32));
      return [`BTREE_SIBLING@${rows[0]![3]}`];
    },
    'a last block with a right sibling': (world, rows) => {
      edit(world, rows[0]!.at(-1)!, (view) => view.setUint32(12, rows[0]![0]!));
      return [`BTREE_SIBLING@${rows[0]!.at(-1)}`];
    },
    'too few records': (world, rows) => {
      edit(world, rows[0]![0]!, (view) => view.setUint16(6, 1));
      // What is left of the leaf does not reach as far either.
      return [`BTREE_COUNT@${rows[0]![0]}`, `BTREE_HIGH_KEY@${rows[1]![0]}`];
    },
    'more records than fit': (world, rows) => {
      edit(world, rows[0]![0]!, (view) => view.setUint16(6, 5));
      return [`BAD_COUNT@${rows[0]![0]}`];
    },
    'a key that is not the first of the child': (world, rows) => {
      edit(world, rows[1]![0]!, (view) =>
        view.setUint32(headerSize + entrySize, view.getUint32(headerSize + entrySize) - 1),
      );
      return [`BTREE_KEY@${rows[1]![0]}`];
    },
    'a high key that is too low': (world, rows) => {
      edit(world, rows[1]![0]!, (view) => view.setUint32(headerSize + 20, 1));
      return [`BTREE_HIGH_KEY@${rows[1]![0]}`];
    },
    'a pointer out of the AG': (world, rows) => {
      edit(world, rows[1]![1]!, (view) => view.setUint32(pointersAt, 4096));
      return [`BTREE_POINTER@${rows[1]![1]}`];
    },
    'a pointer to a block of the tree seen before': (world, rows) => {
      edit(world, rows[1]![1]!, (view) => view.setUint32(pointersAt, rows[0]![0]!));
      return [`BTREE_LOOP@${rows[1]![1]}`];
    },
    'a pointer up, to the root': (world, rows) => {
      edit(world, rows[1]![1]!, (view) => view.setUint32(pointersAt, rows.at(-1)![0]!));
      return [`BTREE_LOOP@${rows[1]![1]}`];
    },
    'a height that is too great': (world) => {
      const root = world.root as { levels?: number; block?: number };
      root.levels!++;
      return [`BTREE_LEVEL@${root.block}`];
    },
    'no height at all': (world) => {
      (world.root as { levels?: number }).levels = 0;
      return ['BTREE_HEIGHT@-1'];
    },
    'a root out of the AG': (world) => {
      (world.root as { block?: number }).block = 0;
      return ['BTREE_POINTER@-1'];
    },
  };
  it.each(Object.keys(setups))('%s', (title) => {
    const world = grown('rmapbt');
    expect(codes(world)).toEqual([]);
    const expected = setups[title]!(world, levels(world));
    expect(codes(world)).toEqual(expected);
  });

  it('records out of order', () => {
    const world = grown('inobt');
    const leaf = levels(world)[0]![2]!;
    edit(world, leaf, (view) => view.setUint32(headerSize + 16, 0));
    expect(faults(world).map(({ code, block, slot }) => [code, block, slot])).toEqual([['BTREE_ORDER', leaf, 1]]);
  });

  it('a bmbt block of another inode, and a fork root that cannot be', () => {
    const world = grown('bmbt', 120, 52);
    const leaf = levels(world)[0]![5]!;
    edit(world, leaf, (view) => setU64(view, 56, 4711));
    expect(codes(world)).toEqual([`BTREE_OWNER@${leaf}`]);
    (world.root as TestFork).view().setUint16(2, 4);
    expect(codes(world)).toEqual(['BTREE_ROOT@-1']);
  });
});

describe('hostile trees', () => {
  /** Everything one can do, each ending normally or in one of our errors. */
  function useAll(world: World): void {
    const { name, device, geometry } = world;
    const attempts: ((cache: BufferCache, tx: DirectTransaction, tree: Btree) => void)[] = [
      (cache, _tx, tree) => forEachRecord(cache, tree, () => true),
      (cache, _tx, tree) => forEachBlock(cache, tree, () => {}),
      (cache, _tx, tree) => {
        if (name === 'rmapbt') forEachOverlap(cache, tree, 0, NULL32, () => true);
      },
      (cache, _tx, tree) => {
        const cursor = tree.cursor(cache);
        for (let more = cursor.seekLast(); more; more = cursor.previous());
        for (let n = 0; n < 127; n += 9) if (cursor.seekLE(...keyOf(name, n))) cursor.next();
      },
      (cache, tx, tree) => {
        const cursor = tree.cursor(cache);
        for (let n = 0; n < 127; n++) if (cursor.seekGE(...keyOf(name, n))) cursor.remove(tx);
      },
      (cache, tx, tree) => {
        const cursor = tree.cursor(cache);
        for (let n = 127; n < 250; n++) cursor.insert(tx, recordOf(name, n, 1));
      },
    ];
    const { root } = world;
    const saved = root instanceof TestFork ? new Uint8Array(root.view().buffer.slice(0)) : { ...root };
    for (const attempt of attempts) {
      const cache = new BufferCache(device, geometry);
      const tx = new DirectTransaction(cache);
      // Blocks freed by a damaged tree may be anything: only bounds matter here.
      const blocks = { ...bounded(world), owner: world.blocks.owner };
      try {
        attempt(cache, tx, new Btree(world.tree.type, geometry, root, blocks));
      } catch (error) {
        if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
      }
      if (root instanceof TestFork) new Uint8Array(root.view().buffer).set(saved as Uint8Array);
      else Object.assign(root, saved);
    }
    checkTree(new BufferCache(device, geometry), world.tree, () => {});
  }
  function bounded(world: World) {
    let next = 3000;
    const { geometry, tree } = world;
    return {
      daddr: (pointer: number) => world.blocks.daddr(pointer),
      allocate: () => (tree.long ? geometry.fsBlock(1, next++) : next++),
      free: () => {},
    };
  }

  it.each(TREE_NAMES)('%s: words changed anywhere, CRC right', (name: TreeName) => {
    const edits = fc.array(
      fc.tuple(fc.nat(200), fc.nat(255), fc.oneof(fc.constant(0), fc.constant(NULL32), fc.nat(60), fc.nat(NULL32))),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(edits, (list) => {
        const world = grown(name, 100, name === 'bmbt' ? 52 : undefined);
        const all = levels(world).flat();
        for (const [which, word, value] of list) {
          // Half of the edits hit the first 32 words: header, first entries.
          const at = 4 * (word % 2 === 0 ? word >> 3 : word);
          edit(world, all[which % all.length]!, (view) => view.setUint32(at, value));
        }
        useAll(world);
      }),
      { numRuns: 12 * RUNS },
    );
  });

  it('nodes that all lead to the same children cost no more than a few steps', () => {
    const world = grown('rmapbt', 126);
    const { pointersAt } = world.tree;
    for (const row of levels(world).slice(1)) {
      for (const node of row) {
        edit(world, node, (view) => {
          for (let i = 1; i < view.getUint16(6); i++) view.setUint32(pointersAt + 4 * i, view.getUint32(pointersAt));
        });
      }
    }
    expect(() => forEachRecord(world.cache, world.tree, () => true)).toThrow(
      expect.objectContaining({ code: 'BTREE_ORDER' }),
    );
    expect(() => forEachBlock(world.cache, world.tree, () => {})).toThrow(
      expect.objectContaining({ code: 'BTREE_LOOP' }),
    );
    useAll(world);
  });
});
