import { describe, expect, it } from 'vitest';
import { checkTree, forEachOverlap, type TreeFault } from './btree.ts';
import { keyOf, makeWorld, recordOf, type TestFork, testGeometry, type World } from './fixture.ts';

const tiny = testGeometry(1024, 4096, 4, 4);
const real = testGeometry(1024, 4096);

function faults(world: World): TreeFault[] {
  const found: TreeFault[] = [];
  checkTree(world.cache, world.tree, (fault) => found.push(fault));
  return found;
}

describe('cursor', () => {
  it('fills leaves when records come in order, from either side', () => {
    for (const descending of [false, true]) {
      const world = makeWorld('inobt', real);
      const cursor = world.tree.cursor(world.cache);
      for (let n = 0; n < 6000; n++) cursor.insert(world.tx, recordOf('inobt', descending ? 6000 - n : n, 1));
      expect(faults(world)).toEqual([]);
      // 60 records a leaf: 100 leaves would be perfect; the last two may be half full, and there is one node.
      expect(world.blocks.inUse.size).toBeLessThanOrEqual(103);
    }
  });

  it('leaves the tree as it was when blocks run out', () => {
    for (const forkBytes of [undefined, 36]) {
      const world = makeWorld('bmbt', tiny, forkBytes ? { forkBytes } : {});
      const cursor = world.tree.cursor(world.cache);
      let refused = 0;
      for (let n = 0; n < 200; n++) {
        const record = recordOf('bmbt', (n * 83) % 211, 1);
        const before = world.blocks.inUse.size;
        world.blocks.left = 0;
        for (let have = 0; ; have++) {
          world.blocks.left = have;
          try {
            cursor.insert(world.tx, record);
            break;
          } catch (error) {
            expect(error).toMatchObject({ code: 'ENOSPC', family: 'no-space' });
            refused++;
            expect(world.blocks.inUse.size).toBe(before);
            expect(world.blocks.left).toBe(have);
            expect(faults(world)).toEqual([]);
          }
        }
      }
      expect(refused).toBeGreaterThan(60);
      expect(checkTree(world.cache, world.tree, () => {}).records).toBe(200);
    }
  });

  it('finds its way again after another cursor changed the tree, and refuses to write through a lost place', () => {
    const world = makeWorld('rmapbt', tiny);
    const one = world.tree.cursor(world.cache);
    const two = world.tree.cursor(world.cache);
    for (let n = 0; n < 150; n++) {
      (n % 3 === 0 ? two : one).insert(world.tx, recordOf('rmapbt', (n * 61) % 151, n));
      expect((n % 2 === 0 ? one : two).seekEQ(...keyOf('rmapbt', (n * 61) % 151))).toBe(true);
    }
    expect(faults(world)).toEqual([]);
    one.seekFirst();
    for (let more = two.seekFirst(); more; more = two.valid) two.remove(world.tx);
    expect(() => one.remove(world.tx)).toThrow(expect.objectContaining({ family: 'internal' }));
    expect(one.seekFirst()).toBe(false);
    expect(() => one.update(world.tx, recordOf('rmapbt', 1, 1))).toThrow(
      expect.objectContaining({ family: 'internal' }),
    );
  });

  it('refuses an update that breaks the order, and one record twice', () => {
    const world = makeWorld('refcountbt', tiny);
    const cursor = world.tree.cursor(world.cache);
    for (const n of [2, 4, 6]) cursor.insert(world.tx, recordOf('refcountbt', n, 1));
    cursor.seekEQ(...keyOf('refcountbt', 4));
    cursor.update(world.tx, recordOf('refcountbt', 5, 1));
    for (const n of [2, 6, 1, 7]) {
      expect(() => cursor.update(world.tx, recordOf('refcountbt', n, 1))).toThrow(
        expect.objectContaining({ code: 'BTREE_ORDER' }),
      );
    }
    expect(() => cursor.insert(world.tx, recordOf('refcountbt', 5, 9))).toThrow(
      expect.objectContaining({ code: 'BTREE_DUPLICATE' }),
    );
    expect(cursor.seekEQ(...keyOf('refcountbt', 5))).toBe(true);
    expect(faults(world)).toEqual([]);
  });

  it('takes a record that is a view of the block it changes', () => {
    const world = makeWorld('bnobt', tiny);
    const cursor = world.tree.cursor(world.cache);
    for (let n = 0; n < 40; n++) cursor.insert(world.tx, recordOf('bnobt', n * 2, n));
    for (let n = 0; n < 39; n++) {
      cursor.seekEQ(...keyOf('bnobt', n * 2));
      const inPlace = new DataView(cursor.view.buffer, cursor.view.byteOffset + cursor.offset, 8);
      const start = inPlace.getUint32(0);
      cursor.remove(world.tx);
      // What now stands there is the next record: insert it again one lower, from its own bytes.
      if (cursor.valid && cursor.view.buffer === inPlace.buffer) {
        const own = new DataView(cursor.view.buffer, cursor.view.byteOffset + cursor.offset, 8);
        const copy = own.getUint32(0);
        expect(() => cursor.insert(world.tx, own)).toThrow(expect.objectContaining({ code: 'BTREE_DUPLICATE' }));
        expect(own.getUint32(0)).toBe(copy);
      }
      const back = new DataView(new ArrayBuffer(8));
      back.setUint32(0, start);
      cursor.insert(world.tx, back);
    }
    expect(faults(world)).toEqual([]);
  });

  it('moves an inode root down so that the fork can get smaller', () => {
    const world = makeWorld('bmbt', tiny, { forkBytes: 68 });
    const cursor = world.tree.cursor(world.cache);
    for (let n = 0; n < 12; n++) cursor.insert(world.tx, recordOf('bmbt', n, 1));
    const root = (world.root as TestFork).view();
    const before = root.getUint16(2);
    expect(before).toBeGreaterThan(1);
    world.tree.pushDownRoot(world.tx);
    expect([root.getUint16(0), root.getUint16(2)]).toEqual([2, 1]);
    expect(faults(world)).toEqual([]);
    expect(checkTree(world.cache, world.tree, () => {}).records).toBe(12);
  });
});

describe('overlap query', () => {
  it('finds exactly the records that touch a range, in order', () => {
    const world = makeWorld('rmapbt', tiny);
    const cursor = world.tree.cursor(world.cache);
    const model: { n: number; start: number; end: number }[] = [];
    for (let n = 0; n < 200; n++) {
      const record = recordOf('rmapbt', (n * 61) % 211, (n * 7) % 150);
      cursor.insert(world.tx, record);
      const start = record.getUint32(0);
      model.push({ n: (n * 61) % 211, start, end: start + record.getUint32(4) });
    }
    model.sort((x, y) => x.n - y.n);
    for (let start = 0; start < 1200; start += start < 100 ? 3 : 91) {
      for (const length of [1, 5, 400]) {
        const found: string[] = [];
        forEachOverlap(world.cache, world.tree, start, start + length, (view, offset) => {
          found.push(`${view.getUint32(offset)}+${view.getUint32(offset + 4)}`);
        });
        const wanted = model.filter((m) => m.start < start + length && m.end > start);
        expect(found).toEqual(wanted.map((m) => `${m.start}+${m.end - m.start}`));
      }
    }
    let calls = 0;
    forEachOverlap(world.cache, world.tree, 0, 10000, () => ++calls < 3);
    expect(calls).toBe(3);
  });
});
