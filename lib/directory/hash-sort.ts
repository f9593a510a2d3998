/** Sorting index entries by hash: a stable radix sort, linear whatever the hashes are. */

const BITS = 11;
const BUCKETS = 1 << BITS;

/**
 * The order in which `hashes[0..count)` ascend, as indexes; equal hashes keep their order.
 * Three passes of 11 bits over index arrays; the hashes themselves stay where they are.
 */
export function orderByHash(hashes: Uint32Array, count = hashes.length): Uint32Array {
  let from = new Uint32Array(count);
  let to = new Uint32Array(count);
  for (let i = 0; i < count; i++) from[i] = i;
  const starts = new Uint32Array(BUCKETS);
  for (let shift = 0; shift < 32; shift += BITS) {
    starts.fill(0);
    for (let i = 0; i < count; i++) starts[(hashes[i]! >>> shift) & (BUCKETS - 1)]!++;
    let sum = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const here = starts[bucket]!;
      starts[bucket] = sum;
      sum += here;
    }
    for (let i = 0; i < count; i++) {
      const index = from[i]!;
      to[starts[(hashes[index]! >>> shift) & (BUCKETS - 1)]!++] = index;
    }
    [from, to] = [to, from];
  }
  return from;
}
