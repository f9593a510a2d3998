/** Sets of blocks of one AG as ascending runs that do not touch: the few set operations that free space is made of. */
import type { ExtentTable } from '../../check/claims.ts';
import { RunList } from '../../check/rows.ts';

/** Add [start, start + count) to a list that is built in ascending order of start; what overlaps or touches is joined. */
export function cover(list: RunList, start: number, count: number): void {
  const last = list.length - 1;
  if (last < 0 || start > list.start[last]! + list.count[last]!) list.push(start, count);
  else list.count[last] = Math.max(list.start[last]! + list.count[last]!, start + count) - list.start[last]!;
}

/** The runs of a list in any order, and with overlaps, as a set. The list itself is sorted by this. */
export function asSet(list: RunList): RunList {
  list.sort();
  const out = new RunList();
  for (let i = 0; i < list.length; i++) cover(out, list.start[i]!, list.count[i]!);
  return out;
}

/** Blocks of a table's rows, whatever their order. */
export function coveredBy(table: ExtentTable): RunList {
  const out = new RunList();
  const { start, count, length } = table;
  let sorted = true;
  for (let row = 0; row < length && sorted; row++) {
    if (row > 0 && start[row]! < start[row - 1]!) sorted = false;
    else cover(out, start[row]!, count[row]!);
  }
  if (sorted) return out;
  const all = new RunList();
  for (let row = 0; row < length; row++) all.push(start[row]!, count[row]!);
  return asSet(all);
}

/** Blocks [from, to) that are not in `taken`. */
export function complement(taken: RunList, from: number, to: number): RunList {
  const out = new RunList();
  let at = from;
  for (let i = 0; i < taken.length && at < to; i++) {
    const start = Math.min(to, taken.start[i]!);
    if (start > at) out.push(at, start - at);
    at = Math.max(at, taken.start[i]! + taken.count[i]!);
  }
  if (at < to) out.push(at, to - at);
  return out;
}

/** Blocks that are in both. */
export function intersect(a: RunList, b: RunList): RunList {
  const out = new RunList();
  let i = 0;
  let k = 0;
  while (i < a.length && k < b.length) {
    const aEnd = a.start[i]! + a.count[i]!;
    const bEnd = b.start[k]! + b.count[k]!;
    const from = Math.max(a.start[i]!, b.start[k]!);
    const to = Math.min(aEnd, bEnd);
    if (from < to) out.push(from, to - from);
    if (aEnd <= bEnd) i++;
    else k++;
  }
  return out;
}

/** Blocks of `a` that are not in `b`. */
export function subtract(a: RunList, b: RunList): RunList {
  const out = new RunList();
  let k = 0;
  for (let i = 0; i < a.length; i++) {
    let at = a.start[i]!;
    const end = at + a.count[i]!;
    while (k < b.length && b.start[k]! + b.count[k]! <= at) k++;
    for (let j = k; j < b.length && b.start[j]! < end; j++) {
      if (b.start[j]! > at) out.push(at, b.start[j]! - at);
      at = Math.max(at, b.start[j]! + b.count[j]!);
    }
    if (at < end) out.push(at, end - at);
  }
  return out;
}

/** Blocks that are in one or both. */
export function unite(a: RunList, b: RunList): RunList {
  const out = new RunList();
  let i = 0;
  let k = 0;
  while (i < a.length || k < b.length) {
    if (k >= b.length || (i < a.length && a.start[i]! <= b.start[k]!)) cover(out, a.start[i]!, a.count[i++]!);
    else cover(out, b.start[k]!, b.count[k++]!);
  }
  return out;
}

/** The first run of a set that ends behind a block; its length when there is none. */
export function runBehind(runs: RunList, block: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs.start[middle]! + runs.count[middle]! <= block) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Is any of these blocks in the set? */
export function touches(runs: RunList, start: number, count: number): boolean {
  const run = runBehind(runs, start);
  return run < runs.length && runs.start[run]! < start + count;
}
