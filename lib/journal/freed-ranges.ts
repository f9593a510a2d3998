/** A set of 512-byte-block ranges: what was freed and may not be overwritten yet. Sorted and merged when it is asked. */
import { BASIC_BLOCK } from '../../formats/geometry.ts';

/** A range of blocks that was freed, in 512-byte units and bytes. */
export interface FreedRange {
  readonly daddr: number;
  readonly length: number;
}

export class FreedRanges {
  #starts: number[] = [];
  #ends: number[] = [];
  #added: FreedRange[] = [];

  get isEmpty(): boolean {
    return this.#starts.length === 0 && this.#added.length === 0;
  }

  add(range: FreedRange): void {
    this.#added.push(range);
  }

  clear(): void {
    this.#starts = [];
    this.#ends = [];
    this.#added = [];
  }

  /** The first piece of [daddr, end) that is in the set: 512-byte units, clipped; undefined when none is. */
  firstIn(daddr: number, end: number): { start: number; end: number } | undefined {
    if (this.#added.length > 0) this.#merge();
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! <= daddr) low = middle + 1;
      else high = middle;
    }
    const start = this.#starts[low];
    if (start === undefined || start >= end) return undefined;
    return { start: Math.max(start, daddr), end: Math.min(this.#ends[low]!, end) };
  }

  #merge(): void {
    const all = this.#starts.map((start, i) => ({ start, end: this.#ends[i]! }));
    for (const { daddr, length } of this.#added) all.push({ start: daddr, end: daddr + length / BASIC_BLOCK });
    all.sort((a, b) => a.start - b.start);
    this.clear();
    for (const { start, end } of all) {
      const last = this.#ends.length - 1;
      if (last >= 0 && this.#ends[last]! >= start) this.#ends[last] = Math.max(this.#ends[last]!, end);
      else {
        this.#starts.push(start);
        this.#ends.push(end);
      }
    }
  }
}
