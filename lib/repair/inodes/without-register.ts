/**
 * Records of a fork for which no register can speak. What is left are ranges that are in use by both free-space trees and
 * claimed by nobody: they are somebody's, and a record whose blocks cannot be its own may be missing exactly one of them.
 *
 * 1. Data that can stand as a claim is left to stage 2, which knows what everybody else claims (disputes/unregistered.ts). Here are
 *    records that cannot be at all, metadata whose blocks say whose they are, and records that are off by a part.
 * 2. Only a range of the right length that is the only one of its length is believed, and never one that describes itself
 *    as the metadata of somebody else. `nblocks` is the third witness when a record became too long or too short.
 * 3. Every correction is a decision, with its evidence.
 */
import type { Geometry } from '../../../formats/geometry.ts';
import { rangeWords } from '../disputes/words.ts';
import type { PlanReader } from '../forks/plan-reader.ts';
import type { ForkReading } from '../forks/read-fork.ts';
import { forkEnd, isPossible, type Records } from '../forks/records.ts';
import type { ForkOwner, InodeDecisions } from './decisions.ts';
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

export interface LooseFork extends ForkOwner {
  readonly attr: boolean;
  readonly regular: boolean;
  readonly sizeBlocks: number;
  /** The file may have blocks behind its end. */
  readonly preallocated: boolean;
  /** Blocks that `nblocks` leaves for the records; undefined when it says nothing. */
  readonly wanted: number | undefined;
}

/** How a record should read, and why. */
interface Correction {
  readonly action: 'restore' | 'correct-extent';
  readonly fileBlock: number;
  readonly startBlock: number;
  readonly blockCount: number;
  /** The lost range that it has a part in then: fs block and number of blocks. */
  readonly found?: readonly [start: number, count: number];
  readonly evidence: readonly string[];
  /** The record cannot stay as it is. */
  readonly isForced?: boolean;
}

export interface LooseHelp {
  readonly reader: PlanReader;
  readonly witness: Witness;
  readonly lost: LostRuns;
  readonly decisions: InodeDecisions;
}

/** Correct records in place. */
export function mendLoose(help: LooseHelp, reading: ForkReading, of: LooseFork): void {
  const { registerWhole, isComplete } = help.witness;
  if (!registerWhole && isComplete) new LooseRecords(help, reading, of).run();
}

class LooseRecords {
  readonly #help: LooseHelp;
  readonly #geometry: Geometry;
  readonly #reading: ForkReading;
  readonly #records: Records;
  readonly #of: LooseFork;
  readonly #end: number;
  /** Of all records, as they were read. */
  readonly #blocks: number;

  constructor(help: LooseHelp, reading: ForkReading, of: LooseFork) {
    this.#help = help;
    this.#geometry = help.reader.geometry;
    this.#reading = reading;
    this.#records = reading.records;
    this.#of = of;
    this.#end = forkEnd(this.#geometry, of.attr, of.regular);
    this.#blocks = this.#records.blockCount.reduce((sum, count) => sum + count, 0);
  }

  run(): void {
    const { length } = this.#records;
    let sized = (this.#of.wanted ?? this.#blocks) === this.#blocks;
    for (let i = 0; i < length && !sized; i++)
      sized = this.#settle(i, this.#adjusted(i, this.#of.wanted! - this.#blocks));
    this.#settle(length - 1, this.#backInFile());
    let around: Neighbours | undefined;
    for (let i = 0; i < length; i++) {
      if (this.#isPossible(i)) this.#settle(i, this.#shifted(i));
      const isPossible = this.#isPossible(i);
      // Data that can stand as a claim: invariant 1.
      if (isPossible && (this.#isData || !this.#isForeign(i))) continue;
      around ??= new Neighbours(
        this.#records,
        inPlace(this.#records, (k) => this.#isPossible(k)),
      );
      const [, next] = around.gapAround(i);
      const room = Math.min(next, this.#end) - this.#records.fileBlock[i]!;
      if (!this.#settle(i, this.#restarted(i, room)) && !isPossible) this.#settle(i, this.#recounted(i, room));
    }
  }

  get #isData(): boolean {
    return this.#of.regular && !this.#of.attr;
  }

  #isPossible(i: number): boolean {
    const { fileBlock, startBlock, blockCount } = this.#records;
    return isPossible(this.#geometry, fileBlock[i]!, startBlock[i]!, blockCount[i]!, this.#end);
  }

  /** Carry a correction out, unless whoever is asked does not want it. @returns whether it was. */
  #settle(i: number, correction: Correction | undefined): boolean {
    if (!correction) return false;
    const { action, fileBlock, startBlock, blockCount, found, evidence, isForced } = correction;
    const records = this.#records;
    const before = [records.startBlock[i]!, records.blockCount[i]!] as const;
    const isThere = isRange(this.#geometry, ...before);
    const was = isThere ? rangeWords(this.#geometry, ...before) : 'blocks that the image does not have';
    const carriedOut = this.#help.decisions.settle(this.#of, {
      action,
      home: [startBlock, blockCount],
      before: isThere ? before : undefined,
      fileBlock: records.fileBlock[i]!,
      evidence: [`its record for file block ${records.fileBlock[i]!} names ${was}`, ...evidence],
      outcome: `inode ${this.#of.inode} has ${rangeWords(this.#geometry, startBlock, blockCount)} at file block ${fileBlock}`,
      effect: 'restored',
      canStay: isForced !== true,
    });
    if (!carriedOut) return false;
    records.fileBlock[i] = fileBlock;
    records.startBlock[i] = startBlock;
    records.blockCount[i] = blockCount;
    if (found) this.#help.lost.take(found[0], found[1]);
    this.#reading.sound = false;
    return true;
  }

  /** The last record stands behind the end of the file, and exactly its blocks are missing before that. */
  #backInFile(): Correction | undefined {
    const { fileBlock, startBlock, blockCount, length } = this.#records;
    const { preallocated, sizeBlocks } = this.#of;
    const last = length - 1;
    if (last < 0 || preallocated || !Number.isFinite(sizeBlocks)) return undefined;
    const before = last === 0 ? 0 : fileBlock[last - 1]! + blockCount[last - 1]!;
    const count = blockCount[last]!;
    if (fileBlock[last]! + count <= sizeBlocks || sizeBlocks - before !== count) return undefined;
    return {
      action: 'correct-extent',
      fileBlock: before,
      startBlock: startBlock[last]!,
      blockCount: count,
      evidence: [`the file ends at file block ${sizeBlocks}, and just ${count} blocks are missing before that`],
    };
  }

  /**
   * Can these blocks not be the fork's: free, the AG's own, or somebody's who says so himself? Two files on the same blocks prove
   * nothing against either: that is for stage 2.
   */
  #isForeign(i: number): boolean {
    const { witness, reader } = this.#help;
    const { inode, attr } = this.#of;
    const start = this.#records.startBlock[i]!;
    const count = this.#records.blockCount[i]!;
    if (witness.hasRegister(this.#geometry.agOfFsBlock(start))) return false;
    if (witness.freeBlocks(start, count) === count || witness.isClaimedByAg(start, count)) return true;
    return witness.isClaimedByOthers(start, count, inode, attr) && !isDataOf(reader, this.#of, start);
  }

  /**
   * A record a few blocks beside its place: what it has too many at one end is somebody else's or free, and a lost range of just
   * that length stands at its other end.
   */
  #shifted(i: number): Correction | undefined {
    const { witness, lost } = this.#help;
    const { inode, attr } = this.#of;
    const fileBlock = this.#records.fileBlock[i]!;
    const start = this.#records.startBlock[i]!;
    const count = this.#records.blockCount[i]!;
    if (witness.hasRegister(this.#geometry.agOfFsBlock(start))) return undefined;
    const isWrong = (from: number, length: number): boolean =>
      witness.freeBlocks(from, length) === length || witness.isClaimedByOthers(from, length, inode, attr);
    const before = lost.endingAt(start);
    const behind = lost.startingAt(start + count);
    for (const [length, by, wrong, rest, found] of [
      [before, -before, start + count - before, start, start - before],
      [behind, behind, start, start + behind, start + count],
    ] as const) {
      // A record that lies beside its place as a whole shares nothing with it: any other could be the one.
      if (length === 0 || length >= count) continue;
      // All of it: a claim on a part of it is a collision like any other.
      const isOthers = witness.freeBlocks(wrong, length) === length || witness.isWhollyOthers(wrong, length, this.#of);
      if (!isOthers || isWrong(rest, count - length)) continue;
      // The range may just as well be the whole loss of the other.
      if (witness.isClaimedInLength(wrong, length, inode, attr)) continue;
      if (!this.#geometry.isFsRange(start + by, count)) continue;
      return {
        action: 'correct-extent',
        fileBlock,
        startBlock: start + by,
        blockCount: count,
        found: [found, length],
        evidence: [
          `${rangeWords(this.#geometry, wrong, length)} at one end of it are free or somebody else's`,
          this.#unclaimed(found, length, 'touch its other end'),
        ],
      };
    }
    return undefined;
  }

  /** The record's own blocks are the only lost range of its length. */
  #restarted(i: number, room: number): Correction | undefined {
    const { lost, reader } = this.#help;
    const fileBlock = this.#records.fileBlock[i]!;
    const count = this.#records.blockCount[i]!;
    if (count === 0 || count > room) return undefined;
    const start = lost.ofLength(count);
    if (start === undefined || !isDataOf(reader, this.#of, start)) return undefined;
    const what = this.#isData ? 'are the only such range of this length' : 'say that they are its own';
    return {
      action: 'restore',
      fileBlock,
      startBlock: start,
      blockCount: count,
      found: [start, count],
      evidence: [this.#unclaimed(start, count, what)],
      isForced: !this.#isPossible(i),
    };
  }

  /** The record starts where a lost range starts, and says a length that cannot be. */
  #recounted(i: number, room: number): Correction | undefined {
    const { lost, witness } = this.#help;
    const { sizeBlocks, inode, attr } = this.#of;
    const fileBlock = this.#records.fileBlock[i]!;
    const start = this.#records.startBlock[i]!;
    if (!this.#geometry.isFsRange(start, 1)) return undefined;
    const there = lost.startingAt(start);
    const sized = sizeBlocks - fileBlock;
    const count = Math.min(there, room, sized > 0 ? sized : there);
    if (count <= 0 || witness.isClaimedByOthers(start, count, inode, attr)) return undefined;
    return {
      action: 'correct-extent',
      fileBlock,
      startBlock: start,
      blockCount: count,
      found: [start, count],
      evidence: [this.#unclaimed(start, there, 'begin where it begins')],
      isForced: true,
    };
  }

  /** One record too long or too short by what the sum is off. */
  #adjusted(i: number, off: number): Correction | undefined {
    const { lost, witness } = this.#help;
    const { wanted, inode, attr } = this.#of;
    const { fileBlock, startBlock, blockCount } = this.#records;
    const start = startBlock[i]!;
    const count = blockCount[i]!;
    const evidence = [`the inode counts ${wanted} blocks, its records ${this.#blocks}`];
    const corrected = { action: 'correct-extent', fileBlock: fileBlock[i]!, startBlock: start } as const;
    if (off > 0) {
      const next = fileBlock[i + 1] ?? this.#end;
      if (lost.startingAt(start + count) !== off || fileBlock[i]! + count + off > next) return undefined;
      if (!this.#geometry.isFsRange(start, count + off)) return undefined;
      evidence.push(this.#unclaimed(start + count, off, 'follow it'));
      return { ...corrected, blockCount: count + off, found: [start + count, off], evidence };
    }
    if (-off >= count) return undefined;
    const tail = start + count + off;
    const isFree = witness.freeBlocks(tail, -off) === -off;
    if (!isFree && !witness.isClaimedByOthers(tail, -off, inode, attr)) return undefined;
    if (witness.isClaimedByOthers(start, count + off, inode, attr)) return undefined;
    evidence.push(`${rangeWords(this.#geometry, tail, -off)} are ${isFree ? 'free' : 'claimed by somebody else'}`);
    return { ...corrected, blockCount: count + off, evidence };
  }

  #unclaimed(start: number, count: number, what: string): string {
    return `${rangeWords(this.#geometry, start, count)}, which nobody claims and free space does not have, ${what}`;
  }
}

const isRange = (geometry: Geometry, start: number, count: number): boolean =>
  count > 0 && geometry.isFsRange(start, count);

/** May the block be what the fork holds? Metadata says whose it is. */
function isDataOf(reader: PlanReader, of: LooseFork, start: number): boolean {
  const kind = peek(reader, start, of.inode);
  if (of.regular && !of.attr) return kind === 'other';
  return of.attr
    ? kind === 'attributes' || kind === 'hash-node'
    : kind === 'directory' || kind === 'symlink' || kind === 'hash-node';
}
