/**
 * What of an earlier check still holds: repair looks again only at what it changed. From the blocks that changed follow the
 * chunks, trees and directories that must be read again; all the rest is taken over.
 *
 * 1. Whatever the earlier check found fault with is read again, changed or not.
 * 2. An inode is as it was when the blocks of its chunk and all blocks it claims are. Staleness goes by whole chunks.
 * 3. Compared is everything but AGs in which neither a tree nor a claim is new; sums over the image are made anew.
 * 4. What comes out is trusted when it is clean. Findings are for a whole check to tell (repair.ts).
 */
import { RMAP_OWNER } from '../../formats/btree-blocks.ts';
import { Superblock } from '../../formats/superblock.ts';
import { type ExtentTable, MARK } from './claims.ts';
import type { CheckContext } from './context.ts';
import { AG_DAMAGE, type Damaged } from './damaged.ts';
import { CHUNK, type ChunkList, type InodeTable, NONE, STATE } from './inode-table.ts';
import type { ProblemCode } from './problem-table.ts';
import type { CheckResult, Observed } from './result.ts';
import type { RunList } from './rows.ts';
import { merged, picked } from './tables.ts';

/** Inodes of chunks that the earlier check did not know: seen since. */
export interface Seen {
  /** All inodes, those of the earlier check included. */
  readonly inodes: InodeTable;
  /** By AG, what the inodes seen claim there, sorted. */
  readonly claims: readonly ExtentTable[];
  /** AGs whose inodes were seen: all of them, and what the earlier check knew of them does not count. */
  readonly ags: ReadonlySet<number>;
  /** Inodes among them that a check would find fault with. */
  readonly faulty: ReadonlySet<number>;
}

/** A check of the same image, and what has changed since. */
export interface Earlier {
  /** A whole check that kept the entries (`CheckOptions.keepEntries`). */
  readonly result: CheckResult;
  /** By AG, blocks in which any byte may have changed: ascending, apart from each other. */
  readonly changed: readonly RunList[];
  /** Seen before or after some of these changes. */
  readonly seen?: Seen | undefined;
}

/** Findings that say nothing of who has to be looked at again. */
const PLACELESS: readonly ProblemCode[] = ['READ_ERROR', 'LSN_AHEAD', 'TOO_MANY_PROBLEMS', 'UNSUPPORTED'];
const AG_TREES = new Set<number>([RMAP_OWNER.AG, RMAP_OWNER.INOBT, RMAP_OWNER.REFC, RMAP_OWNER.CSUM]);
/** Bits of an inode's state that are seen in the inode itself. */
const OWN_STATE = STATE.used | STATE.reflink;

export class Carry {
  readonly before: Observed;
  readonly #changed: readonly RunList[];
  readonly #damaged: Damaged;
  readonly #seen: Seen | undefined;
  readonly #inodes: InodeTable;
  /** By AG, 1: headers and trees must be read again. */
  readonly #staleGroups: Uint8Array;
  /** By chunk of the table, 1: must be read again. */
  readonly #staleChunks: Uint8Array;
  /** By AG, 1: claims and trees are the very same. */
  readonly #same: Uint8Array;

  /** Undefined: everything has to be read. */
  static of(earlier: Earlier): Carry | undefined {
    const { observed, damaged } = earlier.result;
    if (!observed?.entries || observed.context.geometry.features.parent) return undefined;
    if (PLACELESS.some((code) => damaged.codes.has(code))) return undefined;
    return new Carry(observed, damaged, earlier);
  }

  private constructor(before: Observed, damaged: Damaged, { changed, seen }: Earlier) {
    this.before = before;
    this.#changed = changed;
    this.#damaged = damaged;
    this.#seen = seen;
    this.#inodes = seen?.inodes ?? before.inodes;
    this.#staleGroups = new Uint8Array(before.trees.length);
    this.#same = new Uint8Array(before.trees.length);
    this.#staleChunks = new Uint8Array(this.#inodes.length / CHUNK);
    for (let ag = 0; ag < before.trees.length; ag++) {
      if (!this.#isWhole(ag)) this.#staleGroups[ag] = 1;
      this.#chunks(ag);
      this.#owners(ag, before.context.claims[ag]!);
      if (seen) this.#owners(ag, seen.claims[ag]!);
    }
    this.#damagedInodes();
  }

  /** Nothing was wrong with an AG's own structures. */
  #isWhole(ag: number): boolean {
    const { headers, trees } = this.before;
    const { agf, agi, freeListKnown } = headers[ag]!;
    if (!agf || !agi || !freeListKnown || this.#damaged.inAg(ag, ~AG_DAMAGE.superblock)) return false;
    return Object.values(trees[ag]!.seen).every(({ complete }) => complete);
  }

  /** Chunks with changed blocks. */
  #chunks(ag: number): void {
    const { geometry, firstChunk, chunks } = this.#inodes;
    const list = chunks[ag]!;
    const runs = this.#changed[ag]!;
    const blocks = Math.max(1, CHUNK / geometry.inodesPerBlock);
    for (let chunk = 0, run = 0; chunk < list.length; chunk++) {
      const start = geometry.agBlockOfAgInode(list.start[chunk]!);
      while (run < runs.length && runs.start[run]! + runs.count[run]! <= start) run++;
      if (run < runs.length && runs.start[run]! < start + blocks) this.#staleChunks[firstChunk[ag]! + chunk] = 1;
    }
  }

  /** Owners of changed blocks, and of rows that were only presumed. */
  #owners(ag: number, claims: ExtentTable): void {
    const runs = this.#changed[ag]!;
    const { start, count, marks, length } = claims;
    for (let row = 0, run = 0; row < length; row++) {
      while (run < runs.length && runs.start[run]! + runs.count[run]! <= start[row]!) run++;
      const isChanged = run < runs.length && runs.start[run]! < start[row]! + count[row]!;
      if (!isChanged && (marks[row]! & MARK.presumed) === 0) continue;
      if (!claims.isSpecial(row)) this.#staleInode(claims.owner(row));
      else if (claims.ownerLo[row] === RMAP_OWNER.FS || AG_TREES.has(claims.ownerLo[row]!)) this.#staleGroups[ag] = 1;
    }
  }

  #damagedInodes(): void {
    const inodes = this.#inodes;
    for (const inode of this.#damaged.inodes.keys()) this.#staleInode(inode);
    for (const inode of this.#seen?.faulty ?? []) this.#staleInode(inode);
    for (let i = 0; i < inodes.chained.length; i += 2) this.#staleChunks[Math.floor(inodes.chained[i]! / CHUNK)] = 1;
    const { state } = inodes;
    for (let index = 0; index < state.length; index++) {
      if ((state[index]! & (STATE.unreadable | STATE.partial)) !== 0) this.#staleChunks[Math.floor(index / CHUNK)] = 1;
    }
  }

  #staleInode(inode: number): void {
    const inodes = this.#inodes;
    const index = inodes.geometry.isInode(inode) ? inodes.indexOf(inode) : NONE;
    if (index !== NONE) this.#staleChunks[Math.floor(index / CHUNK)] = 1;
  }

  /** Does the superblock describe the same image? Then counters are all that may differ. */
  isOf(sector: DataView): boolean {
    const { offsets } = Superblock;
    const old = this.before.primary.sector;
    if (old.byteLength !== sector.byteLength) return false;
    const isLoose = (at: number): boolean =>
      (at >= offsets.icount && at < offsets.frextents) ||
      (at >= offsets.crc && at < offsets.crc + 4) ||
      (at >= offsets.lsn && at < offsets.lsn + 8);
    for (let at = 0; at < sector.byteLength; at++) {
      if (old.getUint8(at) !== sector.getUint8(at) && !isLoose(at)) return false;
    }
    return true;
  }

  /** Headers and trees of an AG are as they were. */
  hasGroup(ag: number): boolean {
    return this.#staleGroups[ag] === 0;
  }

  /**
   * Take over what is known of the chunks of an AG that are as they were and have the same record.
   * @param into a table over the chunks as they are now. @returns by chunk of the AG, 1: taken over.
   */
  takeChunks(into: InodeTable, ag: number): Uint8Array {
    const inodes = this.#inodes;
    const [now, then] = [into.chunks[ag]!, inodes.chunks[ag]!];
    const taken = new Uint8Array(now.length);
    const first = inodes.firstChunk[ag]!;
    let k = 0;
    for (let chunk = 0; chunk < now.length; chunk++) {
      while (k < then.length && then.start[k]! < now.start[chunk]!) this.#staleChunks[first + k++] = 1;
      if (k === then.length || then.start[k] !== now.start[chunk]) continue;
      if (!isSameRecord(now, chunk, then, k)) this.#staleChunks[first + k] = 1;
      else if (this.#staleChunks[first + k] === 0) {
        taken[chunk] = 1;
        const from = (first + k) * CHUNK;
        const to = (into.firstChunk[ag]! + chunk) * CHUNK;
        for (let slot = 0; slot < CHUNK; slot++) into.state[to + slot] = inodes.state[from + slot]! & OWN_STATE;
        into.mode.set(inodes.mode.subarray(from, from + CHUNK), to);
        into.nlink.set(inodes.nlink.subarray(from, from + CHUNK), to);
      }
      k++;
    }
    this.#staleChunks.fill(1, first + k, first + then.length);
    return taken;
  }

  /**
   * Add to the claims of a run those of everybody who was not looked at again. Call it when the chunks of all AGs were taken
   * over and all others were looked at.
   */
  takeClaims(context: CheckContext): void {
    for (let ag = 0; ag < context.claims.length; ag++) {
      const before = this.before.context.claims[ag]!;
      const isKept = this.#keptRows(before, ag, false);
      const later = this.#seen?.claims[ag];
      const fresh = context.claims[ag]!;
      if (fresh.length === 0 && !later?.length && !isKept.includes(0) && this.#isJudged(ag)) {
        context.claims[ag] = before;
        this.#same[ag] = 1;
        continue;
      }
      fresh.sort();
      const kept = picked(before, (row) => isKept[row] === 1);
      const some = merged(kept, fresh);
      if (!later?.length) context.claims[ag] = some;
      else {
        const isKeptLater = this.#keptRows(later, ag, true);
        const keptLater = picked(later, (row) => isKeptLater[row] === 1);
        context.claims[ag] = merged(some, keptLater);
      }
    }
  }

  /** By row, 1: still holds. @param areSeen rows of `#seen`; others have nothing to say of its AGs. */
  #keptRows(table: ExtentTable, ag: number, areSeen: boolean): Uint8Array {
    const kept = new Uint8Array(table.length);
    const inodes = this.#inodes;
    const hasGroup = !areSeen && this.hasGroup(ag);
    for (let row = 0; row < table.length; row++) {
      if (table.isSpecial(row)) kept[row] = hasGroup ? 1 : 0;
      else {
        const index = inodes.indexOf(table.owner(row));
        if (index === NONE || this.#staleChunks[Math.floor(index / CHUNK)] !== 0) continue;
        const isOfSeen = this.#seen?.ags.has(inodes.geometry.agOfInode(table.owner(row))) ?? false;
        kept[row] = isOfSeen === areSeen ? 1 : 0;
      }
    }
    return kept;
  }

  /** Did the earlier check compare all there is to compare, as far as it depends on what was known elsewhere? */
  #isJudged(ag: number): boolean {
    const { context, trees } = this.before;
    const { rmapbt, dataChecksums } = context.geometry.features;
    if (rmapbt && trees[ag]!.seen.rmapbt?.complete === true && !dataChecksums) return true;
    return context.claimsComplete && !this.before.inodes.hasAny(STATE.unreadable | STATE.partial);
  }

  /** Nothing in an AG is new that could be compared. */
  isSame(ag: number): boolean {
    return this.#same[ag] === 1;
  }

  /** The entries of a directory, if they are as they were: its number in the log of the earlier check. */
  findEntries(directory: number): number | undefined {
    const entries = this.before.entries!;
    const i = entries.find(directory);
    if (i === undefined) return undefined;
    const index = this.#inodes.indexOf(directory);
    return index !== NONE && this.#staleChunks[Math.floor(index / CHUNK)] === 0 ? i : undefined;
  }
}

function isSameRecord(a: ChunkList, i: number, b: ChunkList, k: number): boolean {
  return a.holemask[i] === b.holemask[k] && a.freeHi[i] === b.freeHi[k] && a.freeLo[i] === b.freeLo[k];
}
