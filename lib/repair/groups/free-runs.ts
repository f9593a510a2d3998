/**
 * Free runs of one AG to take from, in ascending order. Runs are shortened at their ends, so that taking costs no moving of
 * memory; used-up runs stay as empty ones until there are too many of them.
 */
import type { RunList } from '../../check/rows.ts';

/** Empty runs that may gather before they are thrown out. */
const MOST_EMPTY = 64;

export class FreeRuns {
  readonly #list: RunList;
  /** Blocks in all runs. */
  blocks: number;
  /** No run is longer than this. */
  #longest = Number.POSITIVE_INFINITY;
  #empty = 0;
  /** First block of what `take` took last. */
  takenStart = 0;

  /** @param list ascending, without overlaps; it belongs to this object from now on. */
  constructor(list: RunList) {
    this.#list = list;
    this.blocks = list.blocks;
  }

  /**
   * Take `max` blocks from the run nearest to `near` that has as many, else all of the longest if it has `min`.
   * @returns how many were taken (0: none); `takenStart` says where.
   */
  take(min: number, max: number, near: number): number {
    if (this.blocks < min || this.#longest < min) return 0;
    const run = this.#find(max, near);
    if (run < 0 || this.#list.count[run]! < min) return 0;
    const list = this.#list;
    const count = Math.min(max, list.count[run]!);
    // What lies before the place wanted is taken from its end: near, and its start stays where others grow.
    const fromEnd = list.start[run]! + list.count[run]! <= near;
    this.takenStart = fromEnd ? list.start[run]! + list.count[run]! - count : list.start[run]!;
    if (!fromEnd) list.start[run]! += count;
    list.count[run]! -= count;
    this.blocks -= count;
    if (list.count[run] === 0) this.#tidy();
    return count;
  }

  /** The run nearest to `near` with `max` blocks, else the longest (then its length is known); -1: none at all. */
  #find(max: number, near: number): number {
    const { start, count, length } = this.#list;
    let up = this.#firstFrom(near);
    let down = up - 1;
    if (this.#longest >= max) {
      while (up < length || down >= 0) {
        const upGap = up < length ? start[up]! - near : Number.POSITIVE_INFINITY;
        const downGap = down >= 0 ? near - start[down]! : Number.POSITIVE_INFINITY;
        const run = upGap <= downGap ? up++ : down--;
        if (count[run]! >= max) return run;
      }
    }
    let best = -1;
    for (let run = 0; run < length; run++) if (count[run]! > 0 && (best < 0 || count[run]! > count[best]!)) best = run;
    this.#longest = best < 0 ? 0 : count[best]!;
    return best;
  }

  /** First run that ends behind a block. */
  #firstFrom(block: number): number {
    const { start, count, length } = this.#list;
    let low = 0;
    let high = length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (start[middle]! + count[middle]! <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #tidy(): void {
    if (++this.#empty < MOST_EMPTY || this.#empty * 4 < this.#list.length) return;
    const list = this.#list;
    let to = 0;
    for (let run = 0; run < list.length; run++) {
      if (list.count[run] === 0) continue;
      list.start[to] = list.start[run]!;
      list.count[to++] = list.count[run]!;
    }
    list.length = to;
    this.#empty = 0;
  }

  /** Take out whatever of these blocks is free. */
  remove(from: number, blockCount: number): void {
    const list = this.#list;
    const to = from + blockCount;
    for (let run = this.#firstFrom(from); run < list.length && list.start[run]! < to; run++) {
      const start = list.start[run]!;
      const end = start + list.count[run]!;
      const cut = Math.min(end, to) - Math.max(start, from);
      if (cut <= 0) continue;
      this.blocks -= cut;
      if (start < from && end > to) {
        list.count[run] = from - start;
        this.#insert(run + 1, to, end - to);
        return;
      }
      if (start >= from) list.start[run] = Math.min(end, to);
      list.count[run] = end - start - cut;
      if (list.count[run] === 0) this.#empty++;
    }
  }

  /** Give blocks back that are not free. */
  put(from: number, blockCount: number): void {
    const list = this.#list;
    const at = this.#firstFrom(from);
    this.blocks += blockCount;
    this.#longest = Number.POSITIVE_INFINITY;
    let run = at - 1;
    while (run >= 0 && list.count[run] === 0) run--;
    if (run >= 0 && list.start[run]! + list.count[run]! === from) list.count[run]! += blockCount;
    else {
      run = at;
      this.#insert(at, from, blockCount);
    }
    let next = run + 1;
    while (next < list.length && list.count[next] === 0) next++;
    if (next === list.length || list.start[next] !== from + blockCount) return;
    list.count[run]! += list.count[next]!;
    list.start[next]! += list.count[next]!;
    list.count[next] = 0;
    this.#empty++;
    // Empty runs between the two lie inside now: they go to its end.
    for (let i = run + 1; i < next; i++) list.start[i] = list.start[next]!;
  }

  #insert(at: number, start: number, count: number): void {
    const list = this.#list;
    list.push(0, 0);
    for (let run = list.length - 1; run > at; run--) {
      list.start[run] = list.start[run - 1]!;
      list.count[run] = list.count[run - 1]!;
    }
    list.start[at] = start;
    list.count[at] = count;
  }
}
