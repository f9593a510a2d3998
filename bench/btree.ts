/**
 * Speed of the B+tree engine alone, over a cache in memory: `npx tsx bench/btree.ts [records]`. Nanoseconds of processor time per
 * operation (wall time says little on a busy machine).
 */
import { bulkLoad, forEachRecord } from '../lib/btree/btree.ts';
import { keyOf, makeWorld, recordOf, type TreeName, testGeometry } from '../lib/btree/fixture.ts';

const count = Number(process.argv[2] ?? 100_000);
const geometry = testGeometry(4096, 65536);

/** A fixed shuffle of 0 .. n-1. */
function shuffled(n: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 12345;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const j = state % (i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

function time(label: string, operations: number, run: () => void): void {
  const start = process.cpuUsage();
  run();
  const nanoseconds = (process.cpuUsage(start).user * 1000) / operations;
  console.log(`  ${label.padEnd(28)} ${nanoseconds.toFixed(0).padStart(6)} ns`);
}

for (const name of ['bnobt', 'cntbt', 'rmapbt', 'refcountbt', 'inobt', 'csumbt', 'bmbt'] as TreeName[]) {
  const forkBytes = name === 'bmbt' ? { forkBytes: 336 } : {};
  const order = shuffled(count);
  const records = Array.from({ length: count }, (_, n) => recordOf(name, n, n % 200));
  const keys = Array.from({ length: count }, (_, n) => keyOf(name, n));
  console.log(`${name}, ${count} records`);
  {
    const { tree, tx, cache } = makeWorld(name, geometry, forkBytes);
    const cursor = tree.cursor(cache);
    time('insert ascending', count, () => {
      for (let n = 0; n < count; n++) cursor.insert(tx, records[n]!);
    });
    time('walk, cursor', count, () => {
      for (let more = cursor.seekFirst(); more; more = cursor.next());
    });
    time('walk, forEachRecord', count, () => forEachRecord(cache, tree, () => true));
  }
  {
    const { tree, tx, cache, blocks } = makeWorld(name, geometry, forkBytes);
    const cursor = tree.cursor(cache);
    time('insert shuffled', count, () => {
      for (const n of order) cursor.insert(tx, records[n]!);
    });
    console.log(`  ${'blocks after that'.padEnd(28)} ${String(blocks.inUse.size).padStart(6)}`);
    const other = shuffled(count).reverse();
    time('seekLE shuffled', count, () => {
      for (const n of other) {
        const k = keys[n]!;
        cursor.seekLE(k[0], k[1], k[2], k[3], k[4]);
      }
    });
    time('seekLE near the last one', count, () => {
      for (const k of keys) cursor.seekLE(k[0], k[1], k[2], k[3], k[4]);
    });
    time('update shuffled', count, () => {
      for (const n of other) {
        const k = keys[n]!;
        cursor.seekEQ(k[0], k[1], k[2], k[3], k[4]);
        cursor.update(tx, records[n]!);
      }
    });
    time('remove shuffled', count, () => {
      for (const n of other) {
        const k = keys[n]!;
        cursor.seekEQ(k[0], k[1], k[2], k[3], k[4]);
        cursor.remove(tx);
      }
    });
  }
  {
    const { tree, tx } = makeWorld(name, geometry, forkBytes);
    time('bulk load', count, () => {
      bulkLoad(tx, tree, count, (view, offset, index) => {
        const record = records[index]!;
        for (let i = 0; i < record.byteLength; i += 4) view.setUint32(offset + i, record.getUint32(i));
      });
    });
  }
}
