/**
 * Claims: which blocks something points at, in the terms of the reverse map. One table per AG, six words a row, no object
 * per extent. The same table holds what the reverse map records, so both can be compared row by row.
 *
 * 1. A row is {start, count, owner, offset word}: exactly a reverse-map record (formats/btree-blocks.ts).
 * 2. Rows of one fork are added in file order, so a row that continues the last one is joined to it: the reverse map
 *    ignores the length limit of extents and so must we.
 * 3. After `sort` rows are in the order of the reverse map: start, owner (unsigned), offset without the unwritten bit.
 */
import { RMAP_BMBT_BLOCK, RMAP_OFFSET_HI_MASK, RMAP_UNWRITTEN } from '../../formats/btree-blocks.ts';

/** High word of every special owner. */
export const SPECIAL = 0xffffffff;
const TWO32 = 2 ** 32;
/** Mark bits of a row. */
export const MARK = {
  /** The reverse map has this row. */
  registered: 1,
  /** Part of a dispute that was reported. */
  disputed: 2,
  /** Not seen in a fork: taken over from the reverse map for an inode that cannot be read. */
  presumed: 4,
} as const;

export class ExtentTable {
  length = 0;
  start: Uint32Array = new Uint32Array(16);
  count: Uint32Array = new Uint32Array(16);
  ownerHi: Uint32Array = new Uint32Array(16);
  ownerLo: Uint32Array = new Uint32Array(16);
  offsetHi: Uint32Array = new Uint32Array(16);
  offsetLo: Uint32Array = new Uint32Array(16);
  /** See MARK; made by `sort`. */
  marks = new Uint8Array(0);

  /** Add a row without joining. */
  push(start: number, count: number, ownerHi: number, ownerLo: number, offsetHi: number, offsetLo: number): void {
    if (this.length === this.start.length) this.#grow();
    const i = this.length++;
    this.start[i] = start;
    this.count[i] = count;
    this.ownerHi[i] = ownerHi;
    this.ownerLo[i] = ownerLo;
    this.offsetHi[i] = offsetHi;
    this.offsetLo[i] = offsetLo;
  }

  /** Add a row, or join it to the last one (invariant 2). */
  add(start: number, count: number, ownerHi: number, ownerLo: number, offsetHi: number, offsetLo: number): void {
    const last = this.length - 1;
    if (
      last >= 0 &&
      this.start[last]! + this.count[last]! === start &&
      this.ownerLo[last] === ownerLo &&
      this.ownerHi[last] === ownerHi &&
      continues(this.offsetHi[last]!, this.offsetLo[last]!, this.count[last]!, ownerHi, offsetHi, offsetLo)
    ) {
      this.count[last]! += count;
      return;
    }
    this.push(start, count, ownerHi, ownerLo, offsetHi, offsetLo);
  }

  /** Sort (invariant 3) and join neighbours that have become visible: bmbt blocks, inode chunks, tree blocks. */
  sort(): void {
    if (!this.#isSorted()) this.#permute(this.#order());
    this.#joinSpecial();
    this.marks = new Uint8Array(this.length);
  }

  /** Sort again after rows were added to a sorted table, without joining; `marks` has one byte a row. */
  sortWith(marks: Uint8Array): void {
    const order = this.#order();
    this.#permute(order);
    this.marks = Uint8Array.from(order, (row) => marks[row]!);
  }

  /** Copy row `from` over row `to`. */
  moveRow(from: number, to: number): void {
    this.start[to] = this.start[from]!;
    this.count[to] = this.count[from]!;
    this.ownerHi[to] = this.ownerHi[from]!;
    this.ownerLo[to] = this.ownerLo[from]!;
    this.offsetHi[to] = this.offsetHi[from]!;
    this.offsetLo[to] = this.offsetLo[from]!;
  }

  /** Negative, 0 or positive: the order of row i and row k of `other`. */
  compare(i: number, other: ExtentTable, k: number): number {
    return (
      this.start[i]! - other.start[k]! ||
      this.ownerHi[i]! - other.ownerHi[k]! ||
      this.ownerLo[i]! - other.ownerLo[k]! ||
      plain(this.offsetHi[i]!) - plain(other.offsetHi[k]!) ||
      this.offsetLo[i]! - other.offsetLo[k]!
    );
  }

  /** Owner as one number; special owners give 2^64 - something, which is inexact: ask `isSpecial` first. */
  owner(i: number): number {
    return this.ownerHi[i]! * TWO32 + this.ownerLo[i]!;
  }
  isSpecial(i: number): boolean {
    return this.ownerHi[i] === SPECIAL;
  }
  /** Data of a file or directory: neither special nor a bmbt block. */
  isForkData(i: number): boolean {
    return this.ownerHi[i] !== SPECIAL && (this.offsetHi[i]! & RMAP_BMBT_BLOCK) === 0;
  }
  fileBlock(i: number): number {
    return (this.offsetHi[i]! & RMAP_OFFSET_HI_MASK) * TWO32 + this.offsetLo[i]!;
  }

  #isSorted(): boolean {
    for (let i = 1; i < this.length; i++) if (this.compare(i - 1, this, i) > 0) return false;
    return true;
  }

  /** Row numbers in order: by start with a radix sort, equal starts (shared blocks) by comparing. */
  #order(): Uint32Array {
    const order = radixOrder(this.start, this.length);
    for (let i = 0; i < order.length; ) {
      let k = i + 1;
      while (k < order.length && this.start[order[k]!] === this.start[order[i]!]) k++;
      if (k - i > 1) order.subarray(i, k).sort((a, b) => this.compare(a, this, b));
      i = k;
    }
    return order;
  }

  #permute(order: Uint32Array): void {
    this.start = gather(this.start, order);
    this.count = gather(this.count, order);
    this.ownerHi = gather(this.ownerHi, order);
    this.ownerLo = gather(this.ownerLo, order);
    this.offsetHi = gather(this.offsetHi, order);
    this.offsetLo = gather(this.offsetLo, order);
  }

  #joinSpecial(): void {
    let to = 0;
    for (let i = 1; i < this.length; i++) {
      if (
        !this.isForkData(i) &&
        this.start[to]! + this.count[to]! === this.start[i] &&
        this.ownerLo[to] === this.ownerLo[i] &&
        this.ownerHi[to] === this.ownerHi[i] &&
        this.offsetHi[to] === this.offsetHi[i]
      ) {
        this.count[to]! += this.count[i]!;
        continue;
      }
      if (++to !== i) this.moveRow(i, to);
    }
    if (this.length > 0) this.length = to + 1;
  }

  #grow(): void {
    const size = Math.ceil(this.start.length * 1.5);
    this.start = resized(this.start, size);
    this.count = resized(this.count, size);
    this.ownerHi = resized(this.ownerHi, size);
    this.ownerLo = resized(this.ownerLo, size);
    this.offsetHi = resized(this.offsetHi, size);
    this.offsetLo = resized(this.offsetLo, size);
  }
}

/** The offset word without the unwritten bit, unsigned. */
export function plain(offsetHi: number): number {
  return (offsetHi & ~RMAP_UNWRITTEN) >>> 0;
}

/** Would a row with this offset word follow one that starts at lastHi/lastLo and has `count` blocks? */
function continues(
  lastHi: number,
  lastLo: number,
  count: number,
  ownerHi: number,
  offsetHi: number,
  offsetLo: number,
): boolean {
  if (ownerHi === SPECIAL || (offsetHi & RMAP_BMBT_BLOCK) !== 0) return lastHi === offsetHi;
  const low = lastLo + count;
  return low < TWO32 ? lastHi === offsetHi && low === offsetLo : lastHi + 1 === offsetHi && low - TWO32 === offsetLo;
}

export function resized(array: Uint32Array, size: number): Uint32Array {
  const bigger = new Uint32Array(size);
  bigger.set(array);
  return bigger;
}

function gather(array: Uint32Array, order: Uint32Array): Uint32Array {
  const out = new Uint32Array(order.length);
  for (let i = 0; i < order.length; i++) out[i] = array[order[i]!]!;
  return out;
}

const BITS = 11;
const BUCKETS = 1 << BITS;

/** Row numbers 0..length-1 in ascending order of `keys`; equal keys keep their order. */
export function radixOrder(keys: Uint32Array, length: number): Uint32Array {
  let from = new Uint32Array(length);
  for (let i = 0; i < length; i++) from[i] = i;
  let to = new Uint32Array(length);
  let all = 0;
  for (let i = 0; i < length; i++) all |= keys[i]!;
  const starts = new Uint32Array(BUCKETS);
  for (let shift = 0; shift < 32 && all >>> shift !== 0; shift += BITS) {
    starts.fill(0);
    for (let i = 0; i < length; i++) starts[(keys[i]! >>> shift) & (BUCKETS - 1)]!++;
    let sum = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const here = starts[bucket]!;
      starts[bucket] = sum;
      sum += here;
    }
    for (let i = 0; i < length; i++) {
      const row = from[i]!;
      to[starts[(keys[row]! >>> shift) & (BUCKETS - 1)]!++] = row;
    }
    const swap = from;
    from = to;
    to = swap;
  }
  return from;
}
