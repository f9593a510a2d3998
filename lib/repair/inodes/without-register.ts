/**
 * Records of a fork for which no register can speak. What is left are ranges that are in use by both free-space trees and
 * claimed by nobody: they are somebody's, and a record whose blocks cannot be its own may be missing exactly one of them.
 *
 * 1. Only a range of the right length that is the only one of its length is believed, and never one that describes itself
 *    as the metadata of somebody else.
 * 2. `nblocks` is the third witness when a record became too long or too short.
 */
import type { PlanReader } from '../forks/plan-reader.ts';
import type { ForkReading } from '../forks/read-fork.ts';
import { forkEnd, isPossible } from '../forks/records.ts';
import { inPlace, Neighbours } from './order.ts';
import { peek } from './peek.ts';
import type { Witness } from './witness.ts';

/** Ranges in use that nobody claims; each is given away once. */
export class LostRuns {
  readonly #witness: Witness;
  /** Lengths by start, starts by end, and starts by length. */
  #runs: Map<number, number> | undefined;
  readonly #ends = new Map<number, number>();
  readonly #lengths = new Map<number, Set<number>>();

  constructor(witness: Witness) {
    this.#witness = witness;
  }

  #all(): Map<number, number> {
    if (!this.#runs) {
      this.#runs = new Map();
      for (const [start, length] of this.#witness.lostRuns()) this.#add(start, length);
    }
    return this.#runs;
  }

  #add(start: number, length: number): void {
    this.#runs!.set(start, length);
    this.#ends.set(start + length, start);
    const same = this.#lengths.get(length);
    if (same) same.add(start);
    else this.#lengths.set(length, new Set([start]));
  }

  /** Start of the only range of this length, or undefined. */
  ofLength(count: number): number | undefined {
    this.#all();
    const starts = this.#lengths.get(count);
    return starts?.size === 1 ? [...starts][0] : undefined;
  }

  /** Blocks of the range that starts here, 0 when none does. */
  startingAt(fsBlock: number): number {
    return this.#all().get(fsBlock) ?? 0;
  }

  /** Blocks of the range that ends before this one, 0 when none does. */
  endingAt(fsBlock: number): number {
    this.#all();
    const start = this.#ends.get(fsBlock);
    return start === undefined ? 0 : fsBlock - start;
  }

  /** The first blocks of a range have an owner now. */
  take(start: number, count: number): void {
    const runs = this.#all();
    const length = runs.get(start) ?? 0;
    runs.delete(start);
    this.#ends.delete(start + length);
    this.#lengths.get(length)?.delete(start);
    if (length > count) this.#add(start + count, length - count);
  }
}

export interface LooseFork {
  readonly inode: number;
  readonly attr: boolean;
  readonly regular: boolean;
  readonly sizeBlocks: number;
  /** The file may have blocks behind its end. */
  readonly preallocated: boolean;
  /** Blocks that `nblocks` leaves for the records; undefined when it says nothing. */
  readonly wanted: number | undefined;
}

/** Correct records in place. Returns how many. */
export function mendLoose(
  reader: PlanReader,
  reading: ForkReading,
  witness: Witness,
  lost: LostRuns,
  of: LooseFork,
): number {
  const { records } = reading;
  const { geometry } = reader;
  if (witness.registerWhole || !witness.isComplete) return 0;
  const end = forkEnd(of.attr, of.regular);
  const isOne = (i: number): boolean =>
    isPossible(geometry, records.fileBlock[i]!, records.startBlock[i]!, records.blockCount[i]!, end);
  let around: Neighbours | undefined;
  let mended = of.wanted !== undefined && adjust(reader, reading, witness, lost, of, end) ? 1 : 0;
  if (mended === 0 && backIntoFile(reading, of)) mended++;
  for (let i = 0; i < records.length; i++) {
    if (isOne(i) && shift(reader, reading, witness, lost, of, i)) mended++;
    if (isOne(i) && !isForeign(reader, witness, of, records.startBlock[i]!, records.blockCount[i]!)) continue;
    around ??= new Neighbours(records, inPlace(records, isOne));
    const [, next] = around.gapAround(i);
    const room = Math.min(next, end) - records.fileBlock[i]!;
    if (restart(reader, reading, lost, of, i, room) || recount(reader, reading, witness, lost, of, i, room, isOne(i))) {
      mended++;
    }
  }
  if (mended > 0) reading.sound = false;
  return mended;
}

/** The last record stands behind the end of the file, and exactly its blocks are missing before that. */
function backIntoFile({ records }: ForkReading, of: LooseFork): boolean {
  const last = records.length - 1;
  if (last < 0 || of.preallocated || !Number.isFinite(of.sizeBlocks)) return false;
  const before = last === 0 ? 0 : records.fileBlock[last - 1]! + records.blockCount[last - 1]!;
  const count = records.blockCount[last]!;
  if (records.fileBlock[last]! + count <= of.sizeBlocks || of.sizeBlocks - before !== count) return false;
  records.fileBlock[last] = before;
  return true;
}

/**
 * Can these blocks not be the fork's: free, the AG's own, or somebody's who says so himself? Two files on the same blocks prove
 * nothing against either: that is for stage 2.
 */
function isForeign(reader: PlanReader, witness: Witness, of: LooseFork, start: number, count: number): boolean {
  if (witness.hasRegister(reader.geometry.agOfFsBlock(start))) return false;
  if (witness.freeBlocks(start, count) === count || witness.isClaimedByAg(start, count)) return true;
  return witness.isClaimedByOthers(start, count, of.inode, of.attr) && !isDataOf(reader, of, start);
}

/**
 * A record a few blocks beside its place: what it has too many at one end is somebody else's or free, and a lost range of just
 * that length stands at its other end.
 */
function shift(
  reader: PlanReader,
  { records }: ForkReading,
  witness: Witness,
  lost: LostRuns,
  of: LooseFork,
  i: number,
): boolean {
  const start = records.startBlock[i]!;
  const count = records.blockCount[i]!;
  if (witness.hasRegister(reader.geometry.agOfFsBlock(start))) return false;
  const isWrong = (from: number, length: number): boolean =>
    witness.freeBlocks(from, length) === length || witness.isClaimedByOthers(from, length, of.inode, of.attr);
  const before = lost.endingAt(start);
  const behind = lost.startingAt(start + count);
  for (const [length, by, wrong, rest, found] of [
    [before, -before, start + count - before, start, start - before],
    [behind, behind, start, start + behind, start + count],
  ] as const) {
    // A record that lies beside its place as a whole shares nothing with it: any other could be the one.
    if (length === 0 || length >= count) continue;
    // All of it: a claim on a part of it is a collision like any other.
    const isOthers = witness.freeBlocks(wrong, length) === length || witness.isWhollyOthers(wrong, length, of);
    if (!isOthers || isWrong(rest, count - length)) continue;
    // The range may just as well be the whole loss of the other.
    if (witness.isClaimedInLength(wrong, length, of.inode, of.attr)) continue;
    if (!reader.geometry.isFsRange(start + by, count)) continue;
    records.startBlock[i] = start + by;
    lost.take(found, length);
    return true;
  }
  return false;
}

/** The record's own blocks are the only lost range of its length. */
function restart(
  reader: PlanReader,
  { records }: ForkReading,
  lost: LostRuns,
  of: LooseFork,
  i: number,
  room: number,
): boolean {
  const count = records.blockCount[i]!;
  if (count === 0 || count > room) return false;
  const start = lost.ofLength(count);
  if (start === undefined || !isDataOf(reader, of, start)) return false;
  records.startBlock[i] = start;
  lost.take(start, count);
  return true;
}

/** The record starts where a lost range starts, and says a length that cannot be. */
function recount(
  reader: PlanReader,
  { records }: ForkReading,
  witness: Witness,
  lost: LostRuns,
  of: LooseFork,
  i: number,
  room: number,
  isPossibleNow: boolean,
): boolean {
  const start = records.startBlock[i]!;
  if (isPossibleNow || !reader.geometry.isFsRange(start, 1)) return false;
  const there = lost.startingAt(start);
  const sized = of.sizeBlocks - records.fileBlock[i]!;
  const count = Math.min(there, room, sized > 0 ? sized : there);
  if (count <= 0 || witness.isClaimedByOthers(start, count, of.inode, of.attr)) return false;
  records.blockCount[i] = count;
  lost.take(start, count);
  return true;
}

/** One record too long or too short by what the sum is off. */
function adjust(
  reader: PlanReader,
  { records }: ForkReading,
  witness: Witness,
  lost: LostRuns,
  of: LooseFork,
  end: number,
): boolean {
  let sum = 0;
  for (let i = 0; i < records.length; i++) sum += records.blockCount[i]!;
  const off = of.wanted! - sum;
  if (off === 0) return false;
  for (let i = 0; i < records.length; i++) {
    const start = records.startBlock[i]!;
    const count = records.blockCount[i]!;
    const next = records.fileBlock[i + 1] ?? end;
    if (off > 0) {
      if (lost.startingAt(start + count) !== off || records.fileBlock[i]! + count + off > next) continue;
      if (!reader.geometry.isFsRange(start, count + off)) continue;
      lost.take(start + count, off);
    } else {
      if (-off >= count) continue;
      const tail = start + count + off;
      const isFree = witness.freeBlocks(tail, -off) === -off;
      if (!isFree && !witness.isClaimedByOthers(tail, -off, of.inode, of.attr)) continue;
      if (witness.isClaimedByOthers(start, count + off, of.inode, of.attr)) continue;
    }
    records.blockCount[i] = count + off;
    return true;
  }
  return false;
}

/** May the block be what the fork holds? Metadata says whose it is. */
function isDataOf(reader: PlanReader, of: LooseFork, start: number): boolean {
  const kind = peek(reader, start, of.inode);
  if (of.regular && !of.attr) return kind === 'other';
  return of.attr
    ? kind === 'attributes' || kind === 'hash-node'
    : kind === 'directory' || kind === 'symlink' || kind === 'hash-node';
}
