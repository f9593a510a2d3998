/**
 * The exchange: blocks whose content has been copied are mapped at their new place, for all files that have them, and the old
 * ones are free.
 *
 *     take the new run  ->  per block: register, counts, checksums  ->  free the old  ->  forks  ->  register of the new
 *
 * 1. One transaction does some of the moves, in the order of the file they are made for, and all of them when the log can
 *    take that. Between two transactions every file is whole, and has at most one extent more than before.
 * 2. What is taken out of a fork is compared with what the plan saw, and so are size and change counter of the file: any
 *    difference ends it (`FileChanged`) with nothing changed. So does any transaction of somebody else (`Disturbed`).
 * 3. Until the last move is made the rest of the run is free again between the transactions. Each takes it anew, first of
 *    all; one that cannot have it ends the work (`RunTaken`).
 */
import { MAX_EXTENT_BLOCKS } from '../../formats/btree-blocks.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import { inodeOwner } from '../space/owner.ts';
import { type Editor, isLogFull } from '../volume/editor.ts';
import { Disturbed, FileChanged, type InodeGuard, RunTaken } from './guards.ts';
import { Moves } from './moves.ts';
import type { OwnerVisitor } from './owners.ts';

/** What is to be done: the moves lie one behind the other from the first target on. */
export interface Exchange {
  readonly moves: Moves;
  /** All files that have any of the blocks. */
  readonly guards: ReadonlyMap<number, InodeGuard>;
  /** Blocks may have several owners, so they may have counts. */
  readonly mayBeShared: boolean;
  /** The new blocks come from the AG that the old ones go back to. */
  readonly isAllHome: boolean;
  /** Every mapping of `count` blocks from `start` on, a part of a move. */
  forEachMapping(reader: BlockReader, move: number, start: number, count: number, visit: OwnerVisitor): void;
  /** Told of moves that have been made. */
  moved?(done: Moves): void;
}

/** Log bytes that one mapping costs when thousands are changed together, and one block where checksums move along. */
const BYTES_PER_MAPPING = 400;
const BYTES_PER_CHECKSUM = 14;
/** Mappings of one transaction, however large the log: they are held in memory. */
const MOST_MAPPINGS = 1 << 16;

/** How much of an exchange one transaction does. */
export interface StepLimit {
  /** Mappings that change: one for each extent, times its owners. */
  readonly mappings: number;
  readonly blocks: number;
}

/** A mapping that changes its place. */
interface Mapping {
  readonly inode: number;
  readonly fileBlock: number;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly unwritten: boolean;
}

export class Remapper {
  readonly #editor: Editor;
  /** Of the whole run of defrag: what did not fit once is not tried again. */
  readonly #budget: { mappings: number; blocks: number };

  constructor(editor: Editor, limit?: StepLimit) {
    this.#editor = editor;
    const { geometry } = editor.volume;
    const logBytes = (geometry.logBlocks * geometry.blockSize) / 4;
    this.#budget = limit
      ? { ...limit }
      : {
          mappings: Math.max(1, Math.min(MOST_MAPPINGS, Math.floor(logBytes / BYTES_PER_MAPPING))),
          blocks: geometry.features.dataChecksums
            ? Math.max(1, Math.floor(logBytes / BYTES_PER_CHECKSUM))
            : Number.MAX_SAFE_INTEGER,
        };
  }

  /**
   * Make the moves. Yields behind each transaction the blocks it moved; who stops there leaves whole files. Throws
   * FileChanged, Disturbed, RunTaken, ENOSPC, `corrupt`; what was done until then is whole, too.
   * @param seen the journal's count of commits before the blocks were copied.
   */
  *run(exchange: Exchange, seen: number): Generator<number, void, undefined> {
    const { journal } = this.#editor;
    let next = { move: 0, skip: 0 };
    while (next.move < exchange.moves.length) {
      if (journal.commits !== seen) throw new Disturbed();
      const { done, end } = this.#sized(exchange, next);
      exchange.moved?.(done);
      next = end;
      seen = journal.commits;
      yield done.blocks;
    }
  }

  #sized(exchange: Exchange, from: Place): { done: Moves; end: Place } {
    for (;;) {
      try {
        return this.#editor.transact((tx) => this.#step(tx, exchange, from));
      } catch (error) {
        const budget = this.#budget;
        if (!isLogFull(error) || (budget.mappings === 1 && budget.blocks === 1)) throw error;
        budget.mappings = Math.max(1, budget.mappings >> 2);
        budget.blocks = Math.max(1, Math.min(budget.blocks, exchange.moves.blocks) >> 2);
      }
    }
  }

  #step(tx: Transaction, exchange: Exchange, from: Place): { done: Moves; end: Place } {
    const { space } = this.#editor;
    const { done, end, mappings } = this.#select(tx, exchange, from);
    const first = done.to[0]!;
    const { moves } = exchange;
    const last = moves.length - 1;
    const rest = moves.to[last]! + moves.count[last]! - first;
    const taken = space.allocate(tx, { min: rest, max: rest, exact: first, reserved: exchange.isAllHome });
    if (!taken) throw new RunTaken();

    mappings.sort((a, b) => a.from - b.from);
    for (const { inode, fileBlock, from: start, count, unwritten } of mappings) {
      space.unmapRmap(tx, start, count, inodeOwner(inode), { fileBlock, unwritten });
    }
    for (let i = 0; i < done.length; i++) {
      if (exchange.mayBeShared) space.moveRefcounts(tx, done.from[i]!, done.to[i]!, done.count[i]!);
      if (!done.unwritten[i]) this.#moveChecksums(tx, done.from[i]!, done.to[i]!, done.count[i]!);
    }
    this.#free(tx, done);
    mappings.sort((a, b) => a.inode - b.inode || a.fileBlock - b.fileBlock);
    for (let i = 0; i < mappings.length; ) {
      let behind = i + 1;
      while (behind < mappings.length && mappings[behind]!.inode === mappings[i]!.inode) behind++;
      this.#remapFile(tx, exchange, mappings, i, behind);
      i = behind;
    }
    if (rest > done.blocks) space.giveBackUnowned(tx, first + done.blocks, rest - done.blocks);
    return { done, end };
  }

  /** As many moves from a place on as the budget has room for, and all mappings of their blocks. */
  #select(tx: Transaction, exchange: Exchange, from: Place): { done: Moves; end: Place; mappings: Mapping[] } {
    const { moves } = exchange;
    const done = new Moves();
    const mappings: Mapping[] = [];
    let { move, skip } = from;
    let blocks = this.#budget.blocks;
    while (move < moves.length && blocks > 0 && mappings.length < this.#budget.mappings) {
      const start = moves.from[move]! + skip;
      const to = moves.to[move]! + skip;
      const count = Math.min(blocks, moves.count[move]! - skip);
      const unwritten = moves.unwritten[move]!;
      let mapped = 0;
      exchange.forEachMapping(tx, move, start, count, (inode, fileBlock, at, many, state) => {
        mappings.push({ inode, fileBlock, from: at, to: to + (at - start), count: many, unwritten: state });
        mapped += many;
      });
      if (exchange.mayBeShared) this.#verifyCounts(tx, start, count, mapped);
      done.add(start, to, count, unwritten);
      blocks -= count;
      skip += count;
      if (skip === moves.count[move]) {
        move++;
        skip = 0;
      }
    }
    done.close();
    return { done, end: { move, skip }, mappings };
  }

  /** Moving blocks away from an owner nobody knows of would lose its data: the counts say how many there are. */
  #verifyCounts(tx: Transaction, start: number, count: number, mapped: number): void {
    let expected = count;
    this.#editor.space.sharedRuns(tx, start, count, (_from, length, refcount) => {
      expected += length * (refcount - 1);
      return undefined;
    });
    if (mapped === expected) return;
    throw corrupt('OWNERS_UNKNOWN', `${count} blocks from ${start} on have owners that cannot be found: run check`, {
      where: { block: start },
      expected,
      found: mapped,
    });
  }

  #moveChecksums(tx: Transaction, from: number, to: number, count: number): void {
    const { space, volume } = this.#editor;
    if (!volume.geometry.features.dataChecksums) return;
    const crcs = new Uint32Array(count);
    const present = space.readChecksums(tx, from, count, crcs);
    for (let i = 0; i < count; i++) {
      if (!present[i])
        throw corrupt('DATA_CHECKSUM', `block ${from + i} has no checksum`, { where: { block: from + i } });
    }
    space.setChecksums(tx, to, crcs, count);
  }

  /** The old blocks. */
  #free(tx: Transaction, done: Moves): void {
    const starts: number[] = [];
    const counts: number[] = [];
    done.forEachSource((from, count) => {
      starts.push(from);
      counts.push(count);
    });
    this.#editor.space.giveBackRuns(tx, starts, counts);
  }

  /** Mappings [first, behind) are those of one file, in its order. */
  #remapFile(tx: Transaction, exchange: Exchange, mappings: readonly Mapping[], first: number, behind: number): void {
    const { space } = this.#editor;
    const { inode: number } = mappings[first]!;
    const inode = this.#editor.inode(tx, number);
    const guard = exchange.guards.get(number);
    if (!guard) throw new FileChanged(number);
    guard.verify(inode);
    const fork = new Fork(inode, 'data');
    const owner = inodeOwner(number);
    for (let i = first; i < behind; ) {
      const { fileBlock, to, unwritten } = mappings[i]!;
      let end = fileBlock;
      let expected = i;
      // What lies together then is mapped as one.
      while (i < behind && mappings[i]!.fileBlock === end && mappings[i]!.unwritten === unwritten) {
        if (mappings[i]!.to !== to + (end - fileBlock)) break;
        end += mappings[i]!.count;
        i++;
      }
      let at = fileBlock;
      fork.unmap(tx, space, fileBlock, end, (found, startBlock, blockCount, state) => {
        for (let done = 0; done < blockCount; ) {
          const mapping = mappings[expected];
          const skip = at - (mapping?.fileBlock ?? 0);
          const isSame =
            mapping !== undefined &&
            found + done === at &&
            state === unwritten &&
            mapping.from + skip === startBlock + done;
          if (!isSame) throw new FileChanged(number);
          const count = Math.min(blockCount - done, mapping.count - skip);
          done += count;
          at += count;
          if (at === mapping.fileBlock + mapping.count) expected++;
        }
      });
      if (at !== end) throw new FileChanged(number);
      space.mapRmap(tx, to, end - fileBlock, owner, { fileBlock, unwritten });
      for (let done = 0; done < end - fileBlock; ) {
        const count = Math.min(MAX_EXTENT_BLOCKS, end - fileBlock - done);
        fork.map(tx, space, fileBlock + done, to + done, count, unwritten);
        done += count;
      }
    }
  }
}

/** A move, and the blocks of it that are done. */
interface Place {
  readonly move: number;
  readonly skip: number;
}
