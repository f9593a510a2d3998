/**
 * The plan that joins the free space of an AG, made on paper: which window to empty, and every move that empties it.
 *
 * 1. The longest units in the window go first, each into the shortest hole outside that it fits into.
 * 2. What fits no hole gets one: the stretch of its length with the least in it is emptied of shorter units, into holes or,
 *    when there are none, into the window, from where they move out again. As units get shorter, this ends. Where longer units
 *    are in the way, some of them close ranks: through the window and back, one behind the other, and room behind them all.
 * 3. Several windows are tried; the one that leaves the longest run wins. Nothing is moved for little.
 */
import type { Unit } from './ag-units.ts';
import { Holes } from './holes.ts';
import { clipped, leastUsed, openStretches, Used, type Window } from './window.ts';

/** AG blocks. */
export interface FreeRun {
  readonly start: number;
  readonly count: number;
}

/** A unit moves, to an AG block that is free when the steps before have been made. */
export interface Step {
  /** Index in the list of units. */
  readonly unit: number;
  readonly target: number;
}

export interface JoinPlan {
  readonly window: Window;
  readonly steps: readonly Step[];
  /** Blocks of the longest run afterwards. */
  readonly run: number;
}

/** Parts of the longest run that is possible which windows are tried for, one after the other. */
const WANTED = [0.97, 0.93, 0.88, 0.82, 0.75, 0.65, 0.5, 0.35, 0.2];
/** A plan that gives so much of what is possible is good enough. */
const GOOD = 0.95;
/** Part that a longest run must grow by: moving blocks for less may cost trees of the AG more than it gives. */
const LEAST_GAIN = 1 / 32;
/** Open stretches that windows are looked for in, the longest ones; and then those with no unit of such a part of free space. */
const STRETCHES = 3;
const LONG = [1 / 4, 1 / 16];
/** Blocks moved at most to make room for one unit, for each block that the window wins by it. */
const MOST_DETOUR = 64;
/** Units no longer than this part of the one that room is made for go elsewhere when ranks are closed. */
const SMALL = [0, 1 / 16, 1 / 4, 1 / 2, 0.9];
/** Units of a window that room is made for, at most: each looks at all others. */
const MOST_TRIES = 512;
/** Steps of a plan for each unit that is in the window at first. */
const MOST_STEPS = 8;

const isFixed = ({ kind }: Unit): boolean => kind === 'fixed';
/** Tree blocks of the AG leave the window at the very end, and no other place. */
const isRooted = ({ kind }: Unit): boolean => kind === 'fixed' || kind === 'ag-tree';

/**
 * Blocks of the longest free run there can be without moving what is fixed: no longer than all free space, nor than a stretch
 * between two fixed things without those of its units that are longer than every other stretch.
 */
export function possibleRun(units: readonly Unit[], length: number, freeBlocks: number): number {
  const open = openStretches(units, length, isFixed);
  let longest = 0;
  let second = 0;
  for (const { start, end } of open) {
    if (end - start > longest) [longest, second] = [end - start, longest];
    else second = Math.max(second, end - start);
  }
  let possible = Math.min(second, freeBlocks);
  let unit = 0;
  for (const { start, end } of open) {
    if (end - start < longest) continue;
    let stuck = 0;
    while (unit < units.length && units[unit]!.start < start) unit++;
    for (; unit < units.length && units[unit]!.start < end; unit++) {
      if (units[unit]!.count > second) stuck += units[unit]!.count;
    }
    possible = Math.max(possible, Math.min(longest - stuck, freeBlocks));
  }
  return possible;
}

/**
 * @param units of the AG, in order. @param free its free runs, in order. @param most blocks of the longest run that is wanted.
 * @returns undefined when the free space is as good as it gets.
 */
export function planJoin(
  units: readonly Unit[],
  length: number,
  free: readonly FreeRun[],
  most: number,
): JoinPlan | undefined {
  let freeBlocks = 0;
  let longest = 0;
  for (const { count } of free) {
    freeBlocks += count;
    longest = Math.max(longest, count);
  }
  const possible = Math.min(most, possibleRun(units, length, freeBlocks));
  if (longest >= possible * GOOD) return undefined;
  const open = [Infinity, ...LONG.map((part) => part * freeBlocks)].flatMap((most) =>
    openStretches(units, length, (unit) => isFixed(unit) || unit.count > most)
      .sort((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start)
      .slice(0, STRETCHES),
  );
  const used = new Used(units);
  let best: JoinPlan | undefined;
  let least = Math.ceil(longest * (1 + LEAST_GAIN));
  for (const part of WANTED) {
    const want = Math.floor(possible * part);
    if (want <= least) break;
    const tried = new Set<number>();
    for (const stretch of open) {
      const place = leastUsed([stretch], units, used, want);
      if (!place || tried.has(place.start)) continue;
      tried.add(place.start);
      if (place.used > freeBlocks - (want - place.used)) continue;
      const plan = new Paper(units, length, free, { start: place.start, end: place.start + want }).plan();
      if (plan.run > least) [best, least] = [plan, plan.run];
      if (least >= possible * GOOD) return best;
    }
    if (best && best.run >= want * GOOD) break;
  }
  return best;
}

/** An AG on paper, while one window is emptied. */
class Paper {
  readonly #length: number;
  readonly #window: Window;
  /** The window and all of the units that reach out of it. */
  readonly #taken: Window;
  readonly #outsideHoles: Holes;
  readonly #insideHoles: Holes;
  /** Units outside of the window, in order, as they lie now; `index` is that of the list. */
  readonly #outside: Placed[] = [];
  /** Those inside, by index. */
  readonly #inside = new Map<number, Placed>();
  readonly #steps: Step[] = [];

  constructor(units: readonly Unit[], length: number, free: readonly FreeRun[], window: Window) {
    this.#length = length;
    this.#window = window;
    const { start, end } = window;
    this.#outsideHoles = new Holes([...clipped(free, 0, start), ...clipped(free, end, Number.MAX_SAFE_INTEGER)]);
    this.#insideHoles = new Holes(clipped(free, start, end));
    for (const [index, unit] of units.entries()) {
      const isInside = unit.start < end && unit.start + unit.count > start;
      const placed = { ...unit, index };
      if (isInside) this.#inside.set(index, placed);
      else this.#outside.push(placed);
    }
    const inside = [...this.#inside.values()];
    const last = inside.at(-1);
    this.#taken = {
      start: Math.min(start, inside[0]?.start ?? start),
      end: Math.max(end, last ? last.start + last.count : end),
    };
  }

  plan(): JoinPlan {
    const waiting = [...this.#inside.values()].filter(({ kind }) => kind !== 'ag-tree' && kind !== 'fixed');
    waiting.sort((a, b) => b.count - a.count || a.start - b.start);
    const mostSteps = MOST_STEPS * (waiting.length + 64);
    let tries = 0;
    for (let unit = waiting.shift(); unit && this.#steps.length < mostSteps; unit = waiting.shift()) {
      const target = this.#outsideHoles.take(unit.count);
      if (target !== undefined) {
        this.#move(unit, target);
        continue;
      }
      if (++tries > MOST_TRIES) continue;
      for (const each of this.#makeRoom(unit)) {
        const place = waiting.findIndex(({ count }) => count < each.count);
        waiting.splice(place < 0 ? waiting.length : place, 0, each);
      }
    }
    return { window: this.#window, steps: this.#steps, run: this.#longestRun() };
  }

  /** What stays in the window cuts it. Tree blocks of the AG go when all else is done. */
  #longestRun(): number {
    const { start, end } = this.#window;
    const stays = [...this.#inside.values()].filter(({ kind }) => kind !== 'ag-tree').sort((a, b) => a.start - b.start);
    let longest = 0;
    let from = start;
    for (const unit of stays) {
      longest = Math.max(longest, unit.start - from);
      from = Math.max(from, unit.start + unit.count);
    }
    return Math.max(longest, end - from);
  }

  /** A unit goes to blocks that the holes have given. */
  #move(unit: Placed, target: number): Placed {
    const { start, end } = this.#window;
    this.#steps.push({ unit: unit.index, target });
    for (const { start: at, count } of clipped([unit], 0, start)) this.#outsideHoles.add(at, count);
    for (const { start: at, count } of clipped([unit], end, Number.MAX_SAFE_INTEGER)) this.#outsideHoles.add(at, count);
    for (const { start: at, count } of clipped([unit], start, end)) this.#insideHoles.add(at, count);
    const moved = { ...unit, start: target };
    if (!this.#inside.delete(unit.index)) this.#outside.splice(this.#placeOf(unit.start), 1);
    if (target >= start && target < end) this.#inside.set(unit.index, moved);
    else this.#outside.splice(this.#placeOf(target), 0, moved);
    return moved;
  }

  /** Number of the first unit outside that starts at or behind a block. */
  #placeOf(block: number): number {
    let low = 0;
    let high = this.#outside.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#outside[middle]!.start < block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Empty a stretch outside the window and let a unit go there.
   * @returns units that had to go into the window for it, to be moved out again.
   */
  #makeRoom(unit: Placed): Placed[] {
    const used = new Used(this.#outside);
    const open = this.#openOutside((each) => isRooted(each) || each.count >= unit.count);
    const best = leastUsed(open, this.#outside, used, unit.count);
    if (!best) return this.#closeRanks(unit, used);
    const won = unit.count - best.used;
    if (won <= 0 || unit.count + best.used > MOST_DETOUR * won) return this.#closeRanks(unit, used);
    const { start } = best;
    const end = start + unit.count;
    const inTheWay = this.#outside.slice(used.firstBehind(start), used.firstFrom(end));
    inTheWay.sort((a, b) => b.count - a.count);
    this.#outsideHoles.remove(start, end);
    const displaced: Placed[] = [];
    for (const each of inTheWay) {
      let target = this.#outsideHoles.take(each.count);
      const isOut = target !== undefined;
      target ??= this.#insideHoles.take(each.count);
      // The holes that were set aside are lost for this plan.
      if (target === undefined) return displaced;
      const moved = this.#move(each, target);
      this.#outsideHoles.remove(start, end);
      if (!isOut) displaced.push(moved);
    }
    this.#move(unit, start);
    return displaced;
  }

  /** Stretches outside of the window between units that must stay. */
  #openOutside(mustStay: (unit: Unit) => boolean): Window[] {
    const { start: from, end: to } = this.#taken;
    return openStretches(this.#outside, this.#length, mustStay).flatMap(({ start, end }) => [
      { start, end: Math.min(end, Math.max(start, from)) },
      { start: Math.max(start, Math.min(end, to)), end },
    ]);
  }

  /**
   * Units with enough room between them move together, and a unit goes behind them. Small ones in between go elsewhere, as far
   * as that must be. @returns as #makeRoom.
   */
  #closeRanks(unit: Placed, used: Used): Placed[] {
    for (const part of SMALL) {
      const most = Math.floor(unit.count * part);
      const large = new Used(this.#outside.map((each) => (each.count > most ? each : { ...each, count: 0 })));
      const found = this.#leastRanks(unit.count, used, large);
      if (found && found.blocks <= MOST_DETOUR * unit.count) return this.#reorder(unit, found, most);
    }
    return [];
  }

  /** The range that holds fewest blocks of those with enough room when only the large units of it stay. */
  #leastRanks(want: number, used: Used, large: Used): Ranks | undefined {
    let best: Ranks | undefined;
    for (const { start, end } of this.#openOutside(isRooted)) {
      if (end - start < want) continue;
      const last = used.firstFrom(end);
      const edgeBefore = (i: number): number => {
        const before = this.#outside[i - 1];
        return Math.max(start, before ? before.start + before.count : 0);
      };
      const edgeBehind = (i: number): number => Math.min(end, this.#outside[i]?.start ?? end);
      let behind = used.firstBehind(start);
      for (let first = behind; first <= last; first++) {
        behind = Math.max(behind, first);
        const hasRoom = (): boolean => edgeBehind(behind) - edgeBefore(first) - large.between(first, behind) >= want;
        while (behind < last && !hasRoom()) behind++;
        if (!hasRoom()) break;
        const blocks = used.between(first, behind);
        if (!best || blocks < best.blocks) {
          best = { first, behind, start: edgeBefore(first), end: edgeBehind(behind), blocks };
        }
      }
    }
    return best;
  }

  #reorder(unit: Placed, { first, behind, start, end }: Ranks, mostSmall: number): Placed[] {
    const ranks = this.#outside.slice(first, behind).sort((a, b) => b.count - a.count);
    let room = end - start - unit.count;
    for (const { count } of ranks) if (count > mostSmall) room -= count;
    this.#outsideHoles.remove(start, end);
    const staying: Placed[] = [];
    const displaced: Placed[] = [];
    for (const each of ranks) {
      const isStaying = each.count > mostSmall || each.count <= room;
      if (isStaying && each.count <= mostSmall) room -= each.count;
      let target = isStaying ? undefined : this.#outsideHoles.take(each.count);
      const isOut = target !== undefined;
      target ??= this.#insideHoles.take(each.count);
      // What was set aside until now has to find its way out again.
      if (target === undefined) return [...staying, ...displaced];
      const moved = this.#move(each, target);
      this.#outsideHoles.remove(start, end);
      if (isStaying) staying.push(moved);
      else if (!isOut) displaced.push(moved);
    }
    let at = start;
    for (const each of [...staying, unit]) {
      this.#move(each, at);
      at += each.count;
    }
    this.#outsideHoles.add(at, end - at);
    return displaced;
  }
}

/** Units [first, behind) of those outside, the AG blocks they may use, and how many they have now. */
interface Ranks {
  readonly first: number;
  readonly behind: number;
  readonly start: number;
  readonly end: number;
  readonly blocks: number;
}

interface Placed extends Unit {
  readonly index: number;
}
