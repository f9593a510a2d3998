/** Which part of an AG to empty, and where to make room: both are the stretch of a given length with the least in it. */
import type { Unit, UnitKind } from './ag-units.ts';

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
function openStretches(units: readonly Unit[], length: number, mustStay: (kind: UnitKind) => boolean): Window[] {
  const open: Window[] = [];
  let from = 0;
  for (const { start, count, kind } of units) {
    if (!mustStay(kind)) continue;
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

/**
 * The window to empty; undefined when the free space is in one piece already as far as it goes.
 * @param units in order. @param longest the longest free run now.
 */
export function chooseWindow(
  units: readonly Unit[],
  length: number,
  freeBlocks: number,
  longest: number,
): Window | undefined {
  if (longest >= freeBlocks * GOOD) return undefined;
  const open = openStretches(units, length, (kind) => kind === 'fixed');
  const used = new Used(units);
  for (let want = Math.floor(freeBlocks * WANTED); want > longest && want > 1; want = Math.floor(want * STEP)) {
    const best = leastUsed(open, units, used, want);
    if (best && best.used <= freeBlocks - (want - best.used)) return { start: best.start, end: best.start + want };
  }
  return undefined;
}

/** Tree blocks of the AG leave the window at the very end, and no other place. */
const isRooted = (kind: UnitKind): boolean => kind === 'fixed' || kind === 'ag-tree';

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
