/**
 * Claims that are in the wrong place although their own blocks are still there: the register names other blocks as their
 * home, and nobody else needs those.
 *
 *   fork of A   0 ──> X ──┐                     X is B's (or free, or somebody else's by the register)
 *   register    A: 0 ──> Y,  B: 5 ──> X         Y is claimed by nobody: A goes back to Y and no byte is lost
 *
 * 1. Who is registered at the home as well shares it. Others there may be in the wrong place themselves: chains and rings are solved together, by
 *    dropping moves whose home stays taken until nothing changes.
 * 2. The fork is the primary structure: only a claim that collides with another, or that stands in recorded free space
 *    while its home does not, is moved, and those that must make room for it. Everything else is the register's error.
 * 3. Metadata that describes itself as the claimant's is where it belongs, whatever the register says; and a home of
 *    metadata must describe itself as the claimant's.
 */
import { RMAP_ATTR_FORK } from '../../../formats/btree-blocks.ts';
import { blocksIn, type Evidence } from './evidence.ts';
import type { Move, Moves } from './moves.ts';
import { type Home, isTreeBlock } from './register.ts';
import type { PlacedRange } from './self.ts';
import { unregisteredMoves } from './unregistered.ts';

interface Candidate extends Move {
  /** All of the claim that has its home there in one piece. */
  readonly range: PlacedRange;
  /** Rows that claim a part of the home. */
  readonly occupants: readonly { ag: number; row: number; from: number; to: number }[];
  isValid: boolean;
  isNeeded: boolean;
}

/** Rounds of dropping; after that what still depends on a claimed home is dropped at once. */
const MOST_ROUNDS = 64;

/** @param suspects rows by AG that may be in the wrong place. @param anyoneGone a whole inode is lost. */
export function findMoves(evidence: Evidence, suspects: readonly ReadonlySet<number>[], anyoneGone: boolean): Moves {
  const moves = new HomeFinder(evidence).run(suspects);
  for (const move of unregisteredMoves(evidence, anyoneGone)) {
    if (!moves[move.ag]!.has(move.row)) moves[move.ag]!.set(move.row, [move]);
  }
  return moves;
}

class HomeFinder {
  readonly #evidence: Evidence;
  /** By AG and row, ascending. */
  readonly #byRow: Map<number, Candidate[]>[];
  readonly #all: Candidate[] = [];

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
    this.#byRow = evidence.claims.tables.map(() => new Map());
  }

  run(suspects: readonly ReadonlySet<number>[]): Map<number, readonly Move[]>[] {
    const evidence = this.#evidence;
    const inodes = new Set<number>();
    suspects.forEach((rows, ag) => {
      const table = evidence.table(ag);
      for (const row of rows) if (table.isForkData(row)) inodes.add(table.owner(row));
    });
    if (inodes.size > 0) evidence.register.index(inodes);
    suspects.forEach((rows, ag) => {
      for (const row of rows) if (evidence.table(ag).isForkData(row)) this.#row(ag, row);
    });
    this.#dropTaken();
    for (const each of this.#all) if (each.isValid && this.#mustGo(each)) this.#need(each);
    return this.#byRow.map((rows) => {
      const needed = new Map<number, readonly Move[]>();
      for (const [row, list] of rows) {
        const moves = list.filter((each) => each.isValid && each.isNeeded);
        if (moves.length > 0) needed.set(row, moves);
      }
      return needed;
    });
  }

  /** Candidates of one claim. */
  #row(ag: number, row: number): void {
    const evidence = this.#evidence;
    const { geometry, register } = evidence;
    const table = evidence.table(ag);
    if (isTreeBlock(table, row)) return;
    const inode = table.owner(row);
    const attr = (table.offsetHi[row]! & RMAP_ATTR_FORK) !== 0;
    const start = table.start[row]!;
    const stretches = register.ask(inode, attr, table.fileBlock(row), table.count[row]!, geometry.fsBlock(ag, start));
    for (const { skip, count, registered, homes } of stretches) {
      if (registered) continue;
      const home = homes.find(({ fsBlock }) => this.#isPossible(fsBlock, count));
      if (home) this.#split(ag, row, skip, count, home);
    }
  }

  #isPossible(home: number, count: number): boolean {
    const { geometry } = this.#evidence;
    if (!geometry.isFsRange(home, count)) return false;
    const ag = geometry.agOfFsBlock(home);
    const agBlock = geometry.agBlockOfFsBlock(home);
    return !this.#evidence.isAgTree(ag, agBlock, count);
  }

  /** Cut a stretch where the claims on its home begin and end, so that every piece is wholly claimed or wholly not. */
  #split(ag: number, row: number, skip: number, count: number, { fsBlock: home, unwritten }: Home): void {
    const evidence = this.#evidence;
    const { geometry } = evidence;
    const homeAg = geometry.agOfFsBlock(home);
    const from = geometry.agBlockOfFsBlock(home);
    const claimed: { row: number; from: number; to: number }[] = [];
    const cuts = new Set([from, from + count]);
    evidence.overlapping(homeAg, from, from + count, (other) => {
      const table = evidence.table(homeAg);
      const start = Math.max(from, table.start[other]!);
      const end = Math.min(from + count, table.start[other]! + table.count[other]!);
      cuts.add(start).add(end);
      if (!this.#mayShare(ag, row, homeAg, other, start, end)) claimed.push({ row: other, from: start, to: end });
    });
    const edges = [...cuts].sort((a, b) => a - b);
    for (let e = 0; e + 1 < edges.length; e++) {
      const at = edges[e]!;
      const end = edges[e + 1]!;
      const occupants = claimed
        .filter((each) => each.from <= at && each.to >= end)
        .map((each) => ({ ag: homeAg, row: each.row, from: at, to: end }));
      this.#add({
        ag,
        row,
        agBlock: evidence.table(ag).start[row]! + skip + (at - from),
        blockCount: end - at,
        home: geometry.fsBlock(homeAg, at),
        proof: 'register',
        unwritten: unwritten && this.#evidence.checksums(geometry.fsBlock(homeAg, at), 1).known === 0,
        range: { fileBlock: evidence.table(ag).fileBlock(row) + skip, count, fsBlock: home },
        occupants,
        isValid: true,
        isNeeded: false,
      });
    }
  }

  /** Somebody at home who is registered there, too: blocks that are shared. */
  #mayShare(ag: number, row: number, homeAg: number, other: number, from: number, to: number): boolean {
    const evidence = this.#evidence;
    const { geometry, register } = evidence;
    if (!geometry.features.reflink || evidence.kind(ag, row) !== 'data' || evidence.kind(homeAg, other) !== 'data') {
      return false;
    }
    if (evidence.exact(homeAg)?.[other] === 1) return true;
    const table = evidence.table(homeAg);
    const fileBlock = table.fileBlock(other) + (from - table.start[other]!);
    const stretches = register.ask(table.owner(other), false, fileBlock, to - from, geometry.fsBlock(homeAg, from));
    return stretches.every(({ registered }) => registered);
  }

  #add(candidate: Candidate): void {
    if (!this.#describesItself(candidate)) return;
    const rows = this.#byRow[candidate.ag]!;
    const list = rows.get(candidate.row);
    if (list) list.push(candidate);
    else rows.set(candidate.row, [candidate]);
    this.#all.push(candidate);
  }

  /** Invariant 3; data says nothing of itself. */
  #describesItself({ ag, row, agBlock, blockCount, home, range }: Candidate): boolean {
    const { self, geometry } = this.#evidence;
    const kind = this.#evidence.kind(ag, row);
    if (kind === 'data') return true;
    const table = this.#evidence.table(ag);
    const inode = table.owner(row);
    for (let i = 0; i < blockCount; i++) {
      const fileBlock = table.fileBlock(row) + (agBlock + i - table.start[row]!);
      if (self.proves({ kind, inode, fileBlock, ag, agBlock: agBlock + i })) return false;
      const there = { ag: geometry.agOfFsBlock(home + i), agBlock: geometry.agBlockOfFsBlock(home + i) };
      if (!self.proves({ kind, inode, fileBlock, ...there }, range)) return false;
    }
    return true;
  }

  /** Invariant 1. */
  #dropTaken(): void {
    for (let round = 0; ; round++) {
      let dropped = false;
      for (const each of this.#all) {
        if (!each.isValid || each.occupants.length === 0) continue;
        if (round < MOST_ROUNDS && each.occupants.every((o) => this.#leaves(o.ag, o.row, o.from, o.to))) continue;
        each.isValid = false;
        dropped = true;
      }
      if (!dropped) return;
    }
  }

  /** Will this claim have left these blocks? */
  #leaves(ag: number, row: number, from: number, to: number): boolean {
    let at = from;
    for (const move of this.#byRow[ag]!.get(row) ?? []) {
      if (move.agBlock > at) return false;
      if (move.isValid) at = Math.max(at, move.agBlock + move.blockCount);
      else if (move.agBlock + move.blockCount > at) return false;
      if (at >= to) return true;
    }
    return false;
  }

  /** Invariant 2. */
  #mustGo({ ag, row, agBlock, blockCount, home }: Candidate): boolean {
    const evidence = this.#evidence;
    if (evidence.isAgTree(ag, agBlock, blockCount)) return true;
    let collides = false;
    evidence.overlapping(ag, agBlock, agBlock + blockCount, (other) => {
      if (other !== row) collides = true;
    });
    if (collides) return true;
    const { geometry } = evidence;
    const standsFree = evidence.freeBlocksIn(ag, agBlock, blockCount) ?? 0;
    const homeAg = geometry.agOfFsBlock(home);
    const homeBlock = geometry.agBlockOfFsBlock(home);
    const perhapsFree = evidence.perhapsFree(homeAg);
    return standsFree !== 0 && !!perhapsFree && blocksIn(perhapsFree, homeBlock, homeBlock + blockCount) === 0;
  }

  /** This move takes place, and with it those that make room for it. */
  #need(first: Candidate): void {
    const pending = [first];
    for (let next = pending.pop(); next; next = pending.pop()) {
      if (next.isNeeded) continue;
      next.isNeeded = true;
      for (const { ag, row, from, to } of next.occupants) {
        for (const move of this.#byRow[ag]!.get(row) ?? []) {
          if (move.agBlock < to && move.agBlock + move.blockCount > from) pending.push(move);
        }
      }
    }
  }
}
