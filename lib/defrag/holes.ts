/** Free runs of an AG by length: the shortest that is long enough is taken, what is left of it goes back. AG blocks. */
export class Holes {
  /** Sorted by length, then start. */
  readonly #runs: { start: number; count: number }[];

  constructor(runs: Iterable<{ start: number; count: number }>) {
    this.#runs = [...runs].filter(({ count }) => count > 0).sort(byLength);
  }

  /** The start of a run of `count` blocks, taken out of the shortest that has so many. */
  take(count: number): number | undefined {
    const place = this.#firstNotBefore(count, 0);
    const run = this.#runs[place];
    if (!run) return undefined;
    this.#runs.splice(place, 1);
    if (run.count > count) this.add(run.start + count, run.count - count);
    return run.start;
  }

  /** A run that is free now. It is not joined with its neighbours. */
  add(start: number, count: number): void {
    if (count > 0) this.#runs.splice(this.#firstNotBefore(count, start), 0, { start, count });
  }

  /** Blocks [start, end) are to be left alone. */
  remove(start: number, end: number): void {
    const cut = this.#runs.filter((run) => run.start < end && run.start + run.count > start);
    for (const run of cut) {
      this.#runs.splice(this.#runs.indexOf(run), 1);
      this.add(run.start, start - run.start);
      this.add(end, run.start + run.count - end);
    }
  }

  get blocks(): number {
    return this.#runs.reduce((sum, { count }) => sum + count, 0);
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
