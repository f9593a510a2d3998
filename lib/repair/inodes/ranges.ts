/** Sorted lists of extents laid over each other: what one of them leaves of another, by file range or by block range. */
import { Records } from '../forks/records.ts';

/** `base` and, in the file ranges that it leaves, `more`. The base is sorted and without overlap, and so is the result. */
export const overlay = (base: Records, more: Records, end: number): Records => joined(base, left(base, more, end));

/** The parts of `more` in file ranges that `base` leaves, the first of several that want the same. */
export function left(base: Records, more: Records, end: number): Records {
  const cover = new Cover(base);
  const added = new Records();
  const sorted = more.sorted();
  let last = 0;
  for (let i = 0; i < sorted.length; i++) {
    const file = sorted.fileBlock[i]!;
    const stop = Math.min(end, file + sorted.blockCount[i]!);
    const from = Math.max(file, last);
    if (from >= stop) continue;
    cover.gaps(from, stop - from, (gap, count) => {
      added.push(gap, sorted.startBlock[i]! + (gap - file), count, sorted.unwritten[i]!);
    });
    last = stop;
  }
  return added;
}

export function joined(base: Records, more: Records): Records {
  if (more.length === 0) return base;
  const both = new Records();
  for (const list of [base, more]) {
    for (let i = 0; i < list.length; i++) {
      both.push(list.fileBlock[i]!, list.startBlock[i]!, list.blockCount[i]!, list.unwritten[i]!);
    }
  }
  return both.sorted();
}

/** Sorted ranges without overlap, to ask which parts of a range they leave. */
class Gaps {
  readonly #from: readonly number[];
  readonly #count: readonly number[];

  constructor(from: readonly number[], count: readonly number[]) {
    this.#from = from;
    this.#count = count;
  }

  gaps(from: number, count: number, each: (from: number, count: number) => void): void {
    const end = from + count;
    let low = 0;
    let high = this.#from.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#from[middle]! + this.#count[middle]! <= from) low = middle + 1;
      else high = middle;
    }
    let at = from;
    for (let i = low; i < this.#from.length && this.#from[i]! < end; i++) {
      if (this.#from[i]! > at) each(at, this.#from[i]! - at);
      at = Math.max(at, this.#from[i]! + this.#count[i]!);
    }
    if (at < end) each(at, end - at);
  }
}

/** File ranges of a sorted list. */
export class Cover extends Gaps {
  constructor(list: Records) {
    super(list.fileBlock, list.blockCount);
  }
}

/** Block ranges of some lists. */
export class Ranges extends Gaps {
  constructor(...lists: readonly Records[]) {
    const from: number[] = [];
    const count: number[] = [];
    const all: [number, number][] = [];
    for (const list of lists) {
      for (let i = 0; i < list.length; i++) all.push([list.startBlock[i]!, list.blockCount[i]!]);
    }
    all.sort((a, b) => a[0] - b[0]);
    for (const [start, length] of all) {
      const last = from.length - 1;
      if (last >= 0 && from[last]! + count[last]! >= start) {
        count[last] = Math.max(count[last]!, start + length - from[last]!);
      } else {
        from.push(start);
        count.push(length);
      }
    }
    super(from, count);
  }
}
