/**
 * A set of moves: blocks that are to lie elsewhere. It answers what a list of runs will look like afterwards, before anything
 * is done.
 *
 * Moves are added in the order of their targets (the order of the file they are made for); `close` sorts an index by source.
 */
import type { RunList } from './run-list.ts';

export class Moves {
  length = 0;
  /** fs blocks. */
  readonly from: number[] = [];
  readonly to: number[] = [];
  readonly count: number[] = [];
  /** The blocks hold nothing that would have to be copied. */
  readonly unwritten: boolean[] = [];
  blocks = 0;
  /** Move numbers by source. */
  #bySource: Uint32Array = new Uint32Array(0);

  add(from: number, to: number, count: number, unwritten: boolean): void {
    this.from.push(from);
    this.to.push(to);
    this.count.push(count);
    this.unwritten.push(unwritten);
    this.blocks += count;
    this.length++;
  }

  /** All moves are in. @returns false when two of them have a block in common. */
  close(): boolean {
    const { from, count } = this;
    this.#bySource = Uint32Array.from({ length: this.length }, (_, i) => i);
    this.#bySource.sort((a, b) => from[a]! - from[b]!);
    for (let i = 1; i < this.length; i++) {
      const before = this.#bySource[i - 1]!;
      if (from[before]! + count[before]! > from[this.#bySource[i]!]!) return false;
    }
    return true;
  }

  /** Place in the order of sources of the first move that ends behind a block. */
  #firstBehind(block: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const move = this.#bySource[middle]!;
      if (this.from[move]! + this.count[move]! <= block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The number of the move that takes a block, or -1. */
  moveOf(block: number): number {
    const place = this.#firstBehind(block);
    if (place === this.length) return -1;
    const move = this.#bySource[place]!;
    return this.from[move]! <= block ? move : -1;
  }

  /** All sources in the order of the disk. */
  forEachSource(visit: (from: number, count: number) => void): void {
    for (const move of this.#bySource) visit(this.from[move]!, this.count[move]!);
  }

  /** The parts of a range as they will lie: where each is then, how long it is, and its move (-1: it stays). */
  forEachPart(start: number, count: number, visit: (to: number, count: number, move: number) => void): void {
    const end = start + count;
    let at = start;
    for (let place = this.#firstBehind(start); at < end && place < this.length; place++) {
      const move = this.#bySource[place]!;
      const from = this.from[move]!;
      if (from >= end) break;
      if (from > at) {
        visit(at, from - at, -1);
        at = from;
      }
      const length = Math.min(end, from + this.count[move]!) - at;
      visit(this.to[move]! + (at - from), length, move);
      at += length;
    }
    if (at < end) visit(at, end - at, -1);
  }

  /**
   * Extents that a list of runs makes after the moves; without moves those it makes now.
   * @param most blocks of the longest extent.
   */
  extentsAfter(runs: RunList, most: number): number {
    let extents = 0;
    let fileEnd = -1;
    let blockEnd = -1;
    let length = 0;
    let state = -1;
    for (let i = 0; i < runs.length; i++) {
      let fileBlock = runs.fileBlock[i]!;
      const unwritten = runs.unwritten[i]!;
      this.forEachPart(runs.start[i]!, runs.count[i]!, (to, count) => {
        if (fileBlock !== fileEnd || to !== blockEnd || unwritten !== state) {
          extents += Math.ceil(length / most);
          length = 0;
        }
        length += count;
        fileBlock += count;
        fileEnd = fileBlock;
        blockEnd = to + count;
        state = unwritten;
      });
    }
    return extents + Math.ceil(length / most);
  }

  /** Moves of blocks that another move takes as well: of several that overlap all but one. */
  overlapping(): number[] {
    const found: number[] = [];
    let end = -1;
    for (const move of this.#bySource) {
      if (this.from[move]! < end) found.push(move);
      else end = this.from[move]! + this.count[move]!;
    }
    return found;
  }

  /** Moves of blocks that are in a list of runs; their numbers go into `into`. */
  findShared(runs: RunList, into: Set<number>): void {
    for (let i = 0; i < runs.length; i++) {
      this.forEachPart(runs.start[i]!, runs.count[i]!, (_to, _count, move) => {
        if (move >= 0) into.add(move);
      });
    }
  }

  /**
   * Moves that tear a list of runs: blocks that lie one behind the other now and will not then. Their numbers go into `into`.
   */
  findTears(runs: RunList, into: Set<number>): void {
    for (let i = 0; i < runs.length; i++) {
      let end = -1;
      let before = -1;
      this.forEachPart(runs.start[i]!, runs.count[i]!, (to, count, move) => {
        if (end >= 0 && to !== end) {
          if (before >= 0) into.add(before);
          if (move >= 0) into.add(move);
        }
        end = to + count;
        before = move;
      });
    }
  }
}

/** Nothing moves. */
export const NO_MOVES = new Moves();
