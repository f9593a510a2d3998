/** Stretches of an AG: those between things that must stay, and the part of them, of a given length, with the least in it. */
import type { Unit } from './ag-units.ts';

/** AG blocks [start, end). */
export interface Window {
  readonly start: number;
  readonly end: number;
}

/** Sums of used blocks over units in order, to ask for any stretch. */
export class Used {
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
export function openStretches(units: readonly Unit[], length: number, mustStay: (unit: Unit) => boolean): Window[] {
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
export function leastUsed(
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
