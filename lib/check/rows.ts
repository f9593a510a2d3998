/** Runs of blocks with one value each, in two or three typed arrays that grow: free extents, refcounts, checksummed runs. */
import { radixOrder, resized } from './claims.ts';

export class RunList {
  length = 0;
  start: Uint32Array = new Uint32Array(16);
  count: Uint32Array = new Uint32Array(16);
  value: Uint32Array = new Uint32Array(16);

  push(start: number, count: number, value = 0): void {
    if (this.length === this.start.length) {
      const size = this.length * 2;
      this.start = resized(this.start, size);
      this.count = resized(this.count, size);
      this.value = resized(this.value, size);
    }
    const i = this.length++;
    this.start[i] = start;
    this.count[i] = count;
    this.value[i] = value;
  }

  /** As push, but a run that follows the last one with the same value is joined to it. */
  join(start: number, count: number, value = 0): void {
    const last = this.length - 1;
    if (last >= 0 && this.start[last]! + this.count[last]! === start && this.value[last] === value) {
      this.count[last]! += count;
    } else this.push(start, count, value);
  }

  /** Blocks in all runs. */
  get blocks(): number {
    let sum = 0;
    for (let i = 0; i < this.length; i++) sum += this.count[i]!;
    return sum;
  }

  sort(): void {
    let sorted = true;
    for (let i = 1; i < this.length && sorted; i++) sorted = this.start[i - 1]! <= this.start[i]!;
    if (sorted) return;
    const order = radixOrder(this.start, this.length);
    for (const name of ['start', 'count', 'value'] as const) {
      const old = this[name];
      this[name] = Uint32Array.from(order, (row) => old[row]!);
    }
  }
}
