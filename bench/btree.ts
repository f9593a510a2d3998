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

function copy(from: DataView, fromOffset: number, to: DataView, toOffset: number, length: number): void {
  for (let i = 0; i < length; i += 4) to.setUint32(toOffset + i, from.getUint32(fromOffset + i));
}

function time(label: string, operations: number, run: () => void): void {
  const start = process.cpuUsage();
  run();
  const nanoseconds = (process.cpuUsage(start).user * 1000) / operations;
  console.log(`  ${label.padEnd(28)} ${nanoseconds.toFixed(0).padStart(6)} ns`);
}

/** Where the key or record of the moment is: reading the benchmark's own input must cost no more than a few bytes. */
const scratch = new DataView(new ArrayBuffer(64));

for (const name of ['bnobt', 'cntbt', 'rmapbt', 'refcountbt', 'inobt', 'csumbt', 'bmbt'] as TreeName[]) {
  const forkBytes = name === 'bmbt' ? { forkBytes: 336 } : {};
  const order = shuffled(count);
  const size = recordOf(name, 0, 0).byteLength;
  const records = new DataView(new ArrayBuffer(count * size));
  const keys = new Float64Array(5 * count);
  for (let n = 0; n < count; n++) {
    copy(recordOf(name, n, n % 200), 0, records, n * size, size);
    keys.set(keyOf(name, n), 5 * n);
  }
  const record = (n: number): DataView => {
    copy(records, n * size, scratch, 0, size);
    return scratch;
  };
  console.log(`${name}, ${count} records`);
  {
    const { tree, tx, cache } = makeWorld(name, geometry, forkBytes);
    const cursor = tree.cursor(cache);
    time('insert ascending', count, () => {
      for (let n = 0; n < count; n++) cursor.insert(tx, record(n));
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
      for (const n of order) cursor.insert(tx, record(n));
    });
    console.log(`  ${'blocks after that'.padEnd(28)} ${String(blocks.inUse.size).padStart(6)}`);
    const other = shuffled(count).reverse();
    time('seekLE shuffled', count, () => {
      for (const n of other) {
        const at = 5 * n;
        cursor.seekLE(keys[at]!, keys[at + 1]!, keys[at + 2]!, keys[at + 3]!, keys[at + 4]!);
      }
    });
    time('seekLE near the last one', count, () => {
      for (let at = 0; at < keys.length; at += 5) {
        cursor.seekLE(keys[at]!, keys[at + 1]!, keys[at + 2]!, keys[at + 3]!, keys[at + 4]!);
      }
    });
    time('update shuffled', count, () => {
      for (const n of other) {
        const at = 5 * n;
        cursor.seekEQ(keys[at]!, keys[at + 1]!, keys[at + 2]!, keys[at + 3]!, keys[at + 4]!);
        cursor.update(tx, record(n));
      }
    });
    time('remove shuffled', count, () => {
      for (const n of other) {
        const at = 5 * n;
        cursor.seekEQ(keys[at]!, keys[at + 1]!, keys[at + 2]!, keys[at + 3]!, keys[at + 4]!);
        cursor.remove(tx);
      }
    });
  }
  {
    const { tree, tx } = makeWorld(name, geometry, forkBytes);
    time('bulk load', count, () => {
      bulkLoad(tx, tree, count, (view, offset, index) => copy(records, index * size, view, offset, size));
    });
  }
}
