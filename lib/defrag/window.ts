/** Which part of an AG to empty, and where to make room: both are the stretch of a given length with the least in it. */
import type { Unit } from './ag-units.ts';
import { Holes } from './holes.ts';

/** AG blocks [start, end). */
export interface Window {
  readonly start: number;
  readonly end: number;
}

/** Part of the free space that the window is to have: what is left over is room for what moves. */
const WANTED = 0.93;
/** A longest run of this part is good enough. */
const GOOD = 0.9;
/** Windows are tried in steps this much shorter. */
const STEP = 0.93;

/** Sums of used blocks over units in order, to ask for any stretch. */
class Used {
  readonly #units: readonly Unit[];
  readonly #sums: Float64Array;

  constructor(units: readonly Unit[]) {
    this.#units = units;
    this.#sums = new Float64Array(units.length + 1);
    for (const [i, { count }] of units.entries()) this.#sums[i + 1] = this.#sums[i]! + count;
  }

  /** Number of the first unit that ends behind a block. */
  firstBehind(block: number): number {
    let low = 0;
    let high = this.#units.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { start, count } = this.#units[middle]!;
      if (start + count <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Number of the first unit that starts at or behind a block. */
  firstFrom(block: number): number {
    let low = 0;
    let high = this.#units.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#units[middle]!.start < block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Blocks of units [first, behind). */
  between(first: number, behind: number): number {
    return Math.max(0, this.#sums[behind]! - this.#sums[first]!);
  }

  /** Blocks of all units that reach into [start, end). */
  within(start: number, end: number): number {
    return this.between(this.firstBehind(start), this.firstFrom(end));
  }
}

/** Stretches [from, to) between units that must stay and the ends of the AG. */
function openStretches(units: readonly Unit[], length: number, mustStay: (unit: Unit) => boolean): Window[] {
  const open: Window[] = [];
  let from = 0;
  for (const unit of units) {
    if (!mustStay(unit)) continue;
    const { start, count } = unit;
    if (start > from) open.push({ start: from, end: start });
    from = Math.max(from, start + count);
  }
  if (length > from) open.push({ start: from, end: length });
  return open;
}

/** The stretch of `want` blocks inside one of the open ones that has the least in it. */
function leastUsed(
  open: readonly Window[],
  units: readonly Unit[],
  used: Used,
  want: number,
): { start: number; used: number } | undefined {
  let bestStart = -1;
  let bestUsed = Infinity;
  for (const { start: from, end: to } of open) {
    if (to - from < want) continue;
    const first = used.firstBehind(from);
    // The best one begins where a unit ends, or ends where one begins, or touches an end. Each kind is one pass.
    for (const endsAtUnit of [false, true]) {
      let behind = first;
      let reaching = first;
      for (let i = first - 1; i < units.length; i++) {
        const unit = i < first ? undefined : units[i]!;
        if (unit && unit.start >= to) break;
        const edge = endsAtUnit ? (unit ? unit.start : to) - want : unit ? unit.start + unit.count : from;
        if (edge < from || edge + want > to) continue;
        if (!unit && endsAtUnit) {
          const blocks = used.within(edge, edge + want);
          if (blocks < bestUsed) [bestStart, bestUsed] = [edge, blocks];
          continue;
        }
        while (behind < units.length && units[behind]!.start + units[behind]!.count <= edge) behind++;
        while (reaching < units.length && units[reaching]!.start < edge + want) reaching++;
        const blocks = used.between(behind, reaching);
        if (blocks < bestUsed) [bestStart, bestUsed] = [edge, blocks];
      }
    }
  }
  return bestStart < 0 ? undefined : { start: bestStart, used: bestUsed };
}

/** Part that a longest run must grow by: moving blocks for less may cost trees of the AG more than it gives. */
const LEAST_GAIN = 1 / 32;
/** Units longer than this part of the free space stay, in one plan after the other: what is long finds no hole. */
const MOVABLE = [1, 1 / 4, 1 / 16];

/**
 * The window to empty; undefined when the free space is in one piece already as far as it goes. Plans are tried on paper:
 * the one that leaves the longest run wins.
 * @param units in order. @param free the free runs in order.
 */
export function chooseWindow(
  units: readonly Unit[],
  length: number,
  free: readonly { start: number; count: number }[],
): Window | undefined {
  let freeBlocks = 0;
  let longest = 0;
  for (const { count } of free) {
    freeBlocks += count;
    longest = Math.max(longest, count);
  }
  if (longest >= freeBlocks * GOOD) return undefined;
  longest = Math.ceil(longest * (1 + LEAST_GAIN));
  const used = new Used(units);
  let chosen: Window | undefined;
  for (const part of MOVABLE) {
    const open = openStretches(units, length, ({ kind, count }) => kind === 'fixed' || count > part * freeBlocks);
    for (let want = Math.floor(freeBlocks * WANTED); want > longest && want > 1; want = Math.floor(want * STEP)) {
      const best = leastUsed(open, units, used, want);
      if (!best || best.used > freeBlocks - (want - best.used)) continue;
      const window = { start: best.start, end: best.start + want };
      const run = emptiedRun(units.slice(used.firstBehind(window.start), used.firstFrom(window.end)), free, window);
      if (run > longest) [chosen, longest] = [window, run];
      if (run >= want * GOOD) break;
    }
  }
  return chosen;
}

/** The longest run of a window when everything in it that finds a hole outside has moved there. @param inside in order. */
function emptiedRun(
  inside: readonly Unit[],
  free: readonly { start: number; count: number }[],
  { start, end }: Window,
): number {
  const holes = new Holes([...clipped(free, 0, start), ...clipped(free, end, Number.MAX_SAFE_INTEGER)]);
  const stays = new Set<Unit>();
  for (const unit of [...inside].sort((a, b) => b.count - a.count)) {
    if (holes.take(unit.count) === undefined) stays.add(unit);
  }
  let longest = 0;
  let from = start;
  for (const unit of inside) {
    if (!stays.has(unit)) continue;
    longest = Math.max(longest, unit.start - from);
    from = Math.max(from, unit.start + unit.count);
  }
  return Math.max(longest, end - from);
}

/** The parts of free runs in [from, to). */
export function clipped(
  free: readonly { start: number; count: number }[],
  from: number,
  to: number,
): { start: number; count: number }[] {
  const parts: { start: number; count: number }[] = [];
  for (const run of free) {
    const start = Math.max(run.start, from);
    const count = Math.min(run.start + run.count, to) - start;
    if (count > 0) parts.push({ start, count });
  }
  return parts;
}

/** Tree blocks of the AG leave the window at the very end, and no other place. */
const isRooted = ({ kind }: Unit): boolean => kind === 'fixed' || kind === 'ag-tree';

/** Where outside the window `want` blocks have the least in them, and which units those are. */
export function emptiestStretch(
  outside: Unit[],
  window: Window,
  length: number,
  want: number,
): { start: number; used: number; units: Unit[] } | undefined {
  outside.sort((a, b) => a.start - b.start);
  const used = new Used(outside);
  const open = openStretches(outside, length, isRooted).flatMap(({ start, end }) => [
    { start, end: Math.min(end, Math.max(start, window.start)) },
    { start: Math.max(start, Math.min(end, window.end)), end },
  ]);
  const best = leastUsed(open, outside, used, want);
  if (!best) return undefined;
  const units = outside.slice(used.firstBehind(best.start), used.firstFrom(best.start + want));
  return { ...best, units };
}
