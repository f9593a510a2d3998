/** Free runs of an AG: the shortest that is long enough is taken, what is given back joins its neighbours. AG blocks. */
export class Holes {
  /** Sorted by length, then start. */
  readonly #runs: { start: number; count: number }[];
  /** Length by start, start by end. */
  readonly #byStart = new Map<number, number>();
  readonly #byEnd = new Map<number, number>();

  /** @param runs do not touch each other. */
  constructor(runs: Iterable<{ start: number; count: number }>) {
    this.#runs = [...runs].filter(({ count }) => count > 0).sort(byLength);
    for (const { start, count } of this.#runs) this.#note(start, count);
  }

  /** The start of a run of `count` blocks, taken out of the shortest that has so many. */
  take(count: number): number | undefined {
    const run = this.#runs[this.#firstNotBefore(count, 0)];
    if (!run) return undefined;
    const { start, count: length } = run;
    this.#drop(start, length);
    this.#insert(start + count, length - count);
    return start;
  }

  /** Blocks that are free now. */
  add(start: number, count: number): void {
    if (count <= 0) return;
    let from = start;
    let end = start + count;
    const left = this.#byEnd.get(start);
    if (left !== undefined) {
      this.#drop(left, start - left);
      from = left;
    }
    const right = this.#byStart.get(end);
    if (right !== undefined) {
      this.#drop(end, right);
      end += right;
    }
    this.#insert(from, end - from);
  }

  /** Blocks [start, end) are to be left alone. */
  remove(start: number, end: number): void {
    for (const run of this.#runs.filter((each) => each.start < end && each.start + each.count > start)) {
      this.#drop(run.start, run.count);
      this.#insert(run.start, start - run.start);
      this.#insert(end, run.start + run.count - end);
    }
  }

  #note(start: number, count: number): void {
    this.#byStart.set(start, count);
    this.#byEnd.set(start + count, start);
  }

  #insert(start: number, count: number): void {
    if (count <= 0) return;
    this.#runs.splice(this.#firstNotBefore(count, start), 0, { start, count });
    this.#note(start, count);
  }

  #drop(start: number, count: number): void {
    this.#runs.splice(this.#firstNotBefore(count, start), 1);
    this.#byStart.delete(start);
    this.#byEnd.delete(start + count);
  }

  #firstNotBefore(count: number, start: number): number {
    const runs = this.#runs;
    let low = 0;
    let high = runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const run = runs[middle]!;
      if (run.count < count || (run.count === count && run.start < start)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function byLength(a: { start: number; count: number }, b: { start: number; count: number }): number {
  return a.count - b.count || a.start - b.start;
}
