/**
 * A fork as it was read, judged by what the rest of the image says of it. What comes out can be written.
 *
 * 1. What fork and register agree on stands. What only one of them says is decided by a third witness: the free-space
 *    trees, the other claims, the order of the records, the size of the file. Where there is none the fork is right: it
 *    is the primary structure, and a damaged register must cost nothing.
 * 2. A record that claims blocks which somebody else claims, too, is left as it is: disputes are settled by stage 2.
 * 3. Where two records want the same file blocks, the better founded one gets them, the other what is left.
 */
import type { Geometry } from '../../../formats/geometry.ts';
import type { ForkReading } from '../forks/read-fork.ts';
import { forkEnd, isPossible, Records } from '../forks/records.ts';
import { ForkExtents } from '../pending.ts';
import { inPlace, Neighbours } from './order.ts';
import { Cover, joined, left, overlay, Ranges } from './ranges.ts';
import type { Witness } from './witness.ts';

export interface ForkCase {
  readonly inode: number;
  readonly attr: boolean;
  /** Data of a regular file. */
  readonly regular: boolean;
  /** Blocks up to the end of the file; infinite where the size says nothing. */
  readonly sizeBlocks: number;
  /** A CRC over the fork was wrong: it weighs less than the register. */
  readonly doubted: boolean;
  /** The file may have preallocated blocks. */
  readonly preallocated: boolean;
}

export interface Judged {
  readonly extents: ForkExtents;
  /** Anything is different from what stands in the inode. */
  changed: boolean;
  /** What the register says and the fork did not. */
  readonly restored: Records;
  /** What the fork says and is not believed. */
  readonly dropped: Records;
  /** File ranges [file block, count] that a record covered and nothing covers now. */
  readonly lost: [fileBlock: number, blockCount: number][];
  /** File ranges of which it is not certain that they stand at the right place in the file. */
  readonly uncertain: [fileBlock: number, blockCount: number][];
}

export function judgeFork(geometry: Geometry, reading: ForkReading, witness: Witness, of: ForkCase): Judged {
  return new Judge(geometry, reading, witness, of).run();
}

const MOST_COMPARISONS = 1e8;

class Judge {
  readonly #geometry: Geometry;
  readonly #reading: ForkReading;
  readonly #witness: Witness;
  readonly #of: ForkCase;
  readonly #rows: Records;
  readonly #placed: readonly boolean[];
  readonly #around: Neighbours;
  /** Comparisons of all records with all rows that are left: a hostile fork must not take hours. */
  #budget = MOST_COMPARISONS;
  /** By standing: agreed, kept from the fork, taken from the register, guessed. */
  readonly #agreed = new Records();
  readonly #kept = new Records();
  readonly #register = new Records();
  readonly #guessed = new Records();
  readonly #dropped = new Records();
  readonly #uncertain: [number, number][] = [];

  constructor(geometry: Geometry, reading: ForkReading, witness: Witness, of: ForkCase) {
    this.#geometry = geometry;
    this.#reading = reading;
    this.#witness = witness;
    this.#of = of;
    this.#rows = witness.registered(of.inode, of.attr)?.rows ?? new Records();
    const { records } = reading;
    const end = forkEnd(this.#geometry, of.attr, of.regular);
    this.#placed = inPlace(records, (i) =>
      isPossible(geometry, records.fileBlock[i]!, records.startBlock[i]!, records.blockCount[i]!, end),
    );
    this.#around = new Neighbours(records, this.#placed);
  }

  run(): Judged {
    const { records, spare } = this.#reading;
    const end = forkEnd(this.#geometry, this.#of.attr, this.#of.regular);
    for (let i = 0; i < records.length; i++) {
      const file = records.fileBlock[i]!;
      const start = records.startBlock[i]!;
      const count = records.blockCount[i]!;
      if (isPossible(this.#geometry, file, start, count, end)) this.#record(i);
      else if (count > 0 && this.#geometry.isFsRange(start, count)) this.#misplaced(i);
      else this.#dropped.push(file, start, this.#span(i), false);
    }
    for (let i = 0; i < spare.length; i++) this.#pieces(spare, i, () => {});
    this.#missing();
    return this.#result();
  }

  /** File blocks that a record which cannot be stands for: as many as it says, up to the next one. */
  #span(i: number): number {
    const { records } = this.#reading;
    const file = records.fileBlock[i]!;
    const [, to] = this.#around.gapAround(i);
    const count = records.blockCount[i]!;
    return Math.max(0, Math.min(count || 1, to === Number.POSITIVE_INFINITY ? count || 1 : to - file));
  }

  #record(i: number): void {
    const { records } = this.#reading;
    const rest: [from: number, to: number][] = [];
    const agreed = this.#pieces(records, i, (from, to) => rest.push([from, to]));
    const file = records.fileBlock[i]!;
    if (agreed === 0 && !this.#placed[i]) {
      this.#misplaced(i);
      return;
    }
    for (const [from, to] of rest) {
      const start = records.startBlock[i]! + (from - file);
      if (this.#isKept(from, start, to - from, agreed > 0)) {
        this.#kept.push(from, start, to - from, this.#isUnwritten(start, to - from, records.unwritten[i]!, undefined));
      } else this.#dropped.push(from, start, to - from, false);
    }
  }

  /**
   * Take what the register agrees with; `rest` is told of the other file ranges.
   * @returns blocks agreed on.
   */
  #pieces(records: Records, i: number, rest: (from: number, to: number) => void): number {
    const rows = this.#rows;
    const file = records.fileBlock[i]!;
    const end = file + records.blockCount[i]!;
    const shift = records.startBlock[i]! - file;
    let sum = 0;
    let at = file;
    for (let k = firstRow(rows, file); k < rows.length && rows.fileBlock[k]! < end; k++) {
      if (rows.startBlock[k]! - rows.fileBlock[k]! !== shift) continue;
      const from = Math.max(at, rows.fileBlock[k]!);
      const to = Math.min(end, rows.fileBlock[k]! + rows.blockCount[k]!);
      if (from >= to) continue;
      if (from > at) rest(at, from);
      const unwritten = this.#isUnwritten(from + shift, to - from, records.unwritten[i]!, rows.unwritten[k]!);
      this.#agreed.push(from, from + shift, to - from, unwritten);
      sum += to - from;
      at = to;
    }
    if (at < end) rest(at, end);
    return sum;
  }

  #isUnwritten(start: number, count: number, fork: boolean, register: boolean | undefined): boolean {
    const { attr, regular, doubted, preallocated } = this.#of;
    if (attr || !regular) return false;
    const isSummed = this.#witness.isChecksummed(start, count);
    // Blocks that the register does not give the fork may be somebody's metadata, which has no checksums either.
    if (isSummed !== undefined && register === undefined) return fork && !isSummed;
    if (isSummed !== undefined && register !== fork) return !isSummed;
    if (register === undefined || register === fork) return fork;
    if (doubted) return register;
    // Kernels leave unwritten extents only where somebody asked for space: without that the register is right.
    return fork && preallocated;
  }

  /** Blocks that the fork claims and the register does not give it at this place. */
  #isKept(file: number, start: number, count: number, isPartOfAgreed: boolean): boolean {
    const witness = this.#witness;
    const { inode, attr, doubted, sizeBlocks } = this.#of;
    if (!witness.hasRegister(this.#geometry.agOfFsBlock(start))) return true;
    if (witness.isRegisteredTo(start, count, inode, attr)) {
      // Both name these blocks, at different places of the file.
      if (doubted || (file + count > sizeBlocks && !this.#isRegisteredBeyond(start, count))) return false;
      // The fork has them at the register's place as well: a collision with itself, for stage 2.
      if (this.#hasTwice(file, start, count)) return true;
      // Some of them cannot be its own, and the register has a home for the whole range.
      const isForeign =
        witness.isClaimedByOthers(start, count, inode, attr) || (witness.freeBlocks(start, count) ?? 0) > 0;
      if (isForeign && this.#hasHome(file, count)) return false;
      if (this.#fillsGap(start, count)) return false;
      this.#uncertain.push([file, count]);
      return true;
    }
    const free = witness.freeBlocks(start, count);
    const isOthers = witness.isRegisteredToOthers(start, count, inode, attr);
    if (isPartOfAgreed && (isOthers || free === count)) return false;
    const hasHome = this.#hasHome(file, count);
    // Free in both trees, and the whole register has nothing of it: a record from another time. But where the register names
    // blocks that somebody else holds, stage 2 has to say who must leave them.
    if (!hasHome) return this.#isNamed(file, count) || !(free === count && witness.registerWhole);
    if (isOthers) return witness.isClaimedByOthers(start, count, inode, attr);
    return free !== count && !doubted;
  }

  /** Do two records of the fork claim a block of the range? */
  #hasTwice(file: number, start: number, count: number): boolean {
    const { records } = this.#reading;
    this.#budget -= records.length;
    if (this.#budget < 0) return false;
    for (let i = 0; i < records.length; i++) {
      const from = records.startBlock[i]!;
      const overlaps = from < start + count && from + records.blockCount[i]! > start;
      if (overlaps && records.fileBlock[i]! - from !== file - start) return true;
    }
    return false;
  }

  /**
   * Would the register's place for these blocks close a gap of the file exactly, or the one at its start? Files seldom have
   * holes, and hardly ever at their start.
   */
  #fillsGap(start: number, count: number): boolean {
    const { records } = this.#reading;
    const rows = this.#rows;
    this.#budget -= rows.length + records.length;
    if (this.#budget < 0) return false;
    for (let k = 0; k < rows.length; k++) {
      if (rows.startBlock[k]! > start || rows.startBlock[k]! + rows.blockCount[k]! < start + count) continue;
      const file = rows.fileBlock[k]! + (start - rows.startBlock[k]!);
      let before = 0;
      let after = this.#of.sizeBlocks;
      for (let i = 0; i < records.length; i++) {
        if (records.startBlock[i]! < start + count && records.startBlock[i]! + records.blockCount[i]! > start) continue;
        const end = records.fileBlock[i]! + records.blockCount[i]!;
        if (records.fileBlock[i]! < file + count && end > file) return false;
        if (end <= file) before = Math.max(before, end);
        else after = Math.min(after, records.fileBlock[i]!);
      }
      return file === 0 || (before === file && after === file + count);
    }
    return false;
  }

  /** Does the register, too, have these blocks behind the end of the file? */
  #isRegisteredBeyond(start: number, count: number): boolean {
    const rows = this.#rows;
    this.#budget -= rows.length;
    if (this.#budget < 0) return true;
    for (let k = 0; k < rows.length; k++) {
      const from = Math.max(start, rows.startBlock[k]!);
      const to = Math.min(start + count, rows.startBlock[k]! + rows.blockCount[k]!);
      if (from >= to) continue;
      return rows.fileBlock[k]! + (to - rows.startBlock[k]!) > this.#of.sizeBlocks;
    }
    return true;
  }

  /** Does the register name blocks for some of this file range, whoever has them now? */
  #isNamed(file: number, count: number): boolean {
    const rows = this.#rows;
    for (let k = firstRow(rows, file); k < rows.length && rows.fileBlock[k]! < file + count; k++) {
      if (rows.fileBlock[k]! + rows.blockCount[k]! > file) return true;
    }
    return false;
  }

  /** Does the register name blocks for this whole file range that are in use and nobody else's? */
  #hasHome(file: number, count: number): boolean {
    const rows = this.#rows;
    let at = file;
    for (let k = firstRow(rows, file); k < rows.length && rows.fileBlock[k]! < file + count; k++) {
      const from = Math.max(at, rows.fileBlock[k]!);
      const to = Math.min(file + count, rows.fileBlock[k]! + rows.blockCount[k]!);
      if (from !== at || from >= to) continue;
      if (!this.#isHome(rows.startBlock[k]! + (from - rows.fileBlock[k]!), to - from)) return false;
      at = to;
    }
    return at === file + count;
  }

  #isHome(start: number, count: number): boolean {
    const { inode, attr } = this.#of;
    const free = this.#witness.freeBlocks(start, count);
    // Where the free-space trees say nothing, a fork that is damaged itself leaves only the register to go by.
    if (free !== 0 && (free !== undefined || this.#reading.sound)) return false;
    return !this.#witness.isClaimedByStrangers(start, count, inode, attr);
  }

  /** A record whose file block does not fit between its neighbours: put into the gap where it stands. */
  #misplaced(i: number): void {
    const { records } = this.#reading;
    const { inode, attr } = this.#of;
    const start = records.startBlock[i]!;
    const count = records.blockCount[i]!;
    // The register knows better where it belongs.
    if (this.#witness.isRegisteredTo(start, count, inode, attr)) return;
    const [from, to] = this.#around.gapAround(i);
    if (from + count > to) {
      this.#dropped.push(records.fileBlock[i]!, start, 0, false);
      return;
    }
    const file = this.#guess(records.fileBlock[i]!, from, to, count);
    this.#guessed.push(file, start, count, records.unwritten[i]! && this.#of.regular && !attr);
    this.#uncertain.push([file, count]);
  }

  /** Where in a gap: where one turned bit puts it, or at the end of the file, or at once behind what is before it. */
  #guess(said: number, from: number, to: number, count: number): number {
    const near: number[] = [];
    for (let bit = 1; bit < 2 ** 54; bit *= 2) {
      const other = Math.floor(said / bit) % 2 === 1 ? said - bit : said + bit;
      if (other >= from && other + count <= Math.min(to, this.#of.sizeBlocks)) near.push(other);
    }
    if (near.length === 1) return near[0]!;
    const atEnd = this.#of.sizeBlocks - count;
    return to === Number.POSITIVE_INFINITY && Number.isFinite(atEnd) && atEnd >= from ? atEnd : from;
  }

  /** What the register has and the fork has not. */
  #missing(): void {
    const rows = this.#rows;
    if (rows.length === 0) return;
    const used = new Ranges(this.#agreed, this.#kept);
    for (let k = 0; k < rows.length; k++) {
      const start = rows.startBlock[k]!;
      const count = rows.blockCount[k]!;
      // A part of a row may be the fork's already, as when a record became too short.
      used.gaps(start, count, (from, length) => {
        if (!this.#isHome(from, length)) return;
        const file = rows.fileBlock[k]! + (from - start);
        this.#register.push(
          file,
          from,
          length,
          this.#isUnwritten(from, length, rows.unwritten[k]!, rows.unwritten[k]!),
        );
      });
    }
  }

  #result(): Judged {
    const { records } = this.#reading;
    const end = forkEnd(this.#geometry, this.#of.attr, this.#of.regular);
    let sum = overlay(new Records(), this.#agreed, end);
    sum = overlay(sum, this.#kept, end);
    const restored = left(sum, this.#register, end);
    sum = joined(sum, restored);
    sum = overlay(sum, this.#guessed, end);
    const lost: [number, number][] = [];
    const covered = new Cover(sum);
    for (let i = 0; i < this.#dropped.length; i++) {
      covered.gaps(this.#dropped.fileBlock[i]!, this.#dropped.blockCount[i]!, (from, count) =>
        lost.push([from, count]),
      );
    }
    const extents = asExtents(sum);
    return {
      extents,
      changed: !this.#reading.sound || !sameMap(records, extents),
      restored,
      dropped: this.#dropped,
      lost,
      uncertain: this.#uncertain,
    };
  }
}

/** Index of the first row that may reach behind a file block. */
function firstRow(rows: Records, file: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (rows.fileBlock[middle]! <= file) low = middle + 1;
    else high = middle;
  }
  // Rows of a sound register do not overlap in the file; of a damaged one a few may.
  return Math.max(0, low - 8);
}

/** Do sorted records and joined extents map the same? */
function sameMap(records: Records, extents: ForkExtents): boolean {
  const same = asExtents(records);
  if (same.length !== extents.length) return false;
  for (let i = 0; i < same.length; i++) {
    if (
      same.fileBlock[i] !== extents.fileBlock[i] ||
      same.startBlock[i] !== extents.startBlock[i] ||
      same.blockCount[i] !== extents.blockCount[i] ||
      same.unwritten[i] !== extents.unwritten[i]
    )
      return false;
  }
  return true;
}

/** Sorted records, those joined that go on. */
function asExtents(records: Records): ForkExtents {
  const extents = new ForkExtents();
  for (let i = 0; i < records.length; i++) {
    extents.push(records.fileBlock[i]!, records.startBlock[i]!, records.blockCount[i]!, records.unwritten[i]!);
  }
  return extents;
}

/** The verdict that a sound fork stays as it was read. */
export function asRead(reading: ForkReading): Judged {
  const none = new Records();
  return {
    extents: asExtents(reading.records),
    changed: !reading.sound,
    restored: none,
    dropped: none,
    lost: [],
    uncertain: [],
  };
}
