/**
 * Where claims of one AG collide, range by range, with what is known of each claimant there.
 *
 *   A  |-----------|            points  | |   | |  |     between two of them nothing changes: one set of claimants,
 *   B        |---------|                               each registered or not, going home or not
 *   tree         |-|
 *
 * 1. Files that share blocks as the register (without one: the refcounts) has it do not collide. They cost a few counters.
 * 2. Neighbouring ranges with the same claimants and the same evidence are one dispute.
 * 3. A block of a tree of the AG, or of its free list, is a claimant too: it is rebuilt elsewhere, but what it holds now
 *    tells whether a file's bytes can still be there.
 */
import { RMAP_ATTR_FORK, RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import { blocksIn, type Evidence, lastFrom } from './evidence.ts';
import type { ClaimKind } from './kinds.ts';
import type { HomeProof, Move } from './moves.ts';
import type { Stretch } from './register.ts';

/** One owner of a disputed range, as it is at the range's first block. */
export interface Claimant {
  readonly kind: ClaimKind;
  /** Row of the claims; -1: trees and free list of the AG. */
  readonly row: number;
  /** -1: nobody's. */
  readonly inode: number;
  readonly attr: boolean;
  readonly fileBlock: number;
  readonly unwritten: boolean;
  /** What the register says of the claim; undefined when it cannot be asked. */
  readonly registered: boolean | undefined;
  /** fs block it goes back to, or -1; and whether nothing is written there. */
  readonly home: number;
  readonly homeUnwritten: boolean;
  /** What names the home, if there is one. */
  readonly homeProof: HomeProof | undefined;
  /** Data behind the end of the file: nobody can read it. */
  readonly beyondEnd: boolean;
}

export interface Dispute {
  readonly ag: number;
  readonly agBlock: number;
  blockCount: number;
  readonly claimants: readonly Claimant[];
}

/** Claimants of one range that are judged in one pass: an image made of collisions takes several. */
const MOST_CLAIMANTS = 1000;

/** Rows of an AG that may be in the wrong place: not registered, or, where that is not known, colliding. */
export function suspectRows(evidence: Evidence, ag: number): Set<number> {
  const suspects = new Set<number>();
  const table = evidence.table(ag);
  const exact = evidence.exact(ag);
  if (exact) {
    for (let row = 0; row < table.length; row++) if (exact[row] === 0) suspects.add(row);
  } else if (evidence.register.exists) {
    const trees = evidence.treeRuns(ag);
    forEachCluster(evidence, ag, (first, end, from, to) => {
      if (end - first === 1 && blocksIn(trees, from, to) === 0) return;
      for (let row = first; row < end; row++) suspects.add(row);
    });
  }
  return suspects;
}

/** Claims that touch one another, in turn: rows first .. end - 1, blocks [from, to). */
function forEachCluster(
  evidence: Evidence,
  ag: number,
  visit: (first: number, end: number, from: number, to: number) => void,
): void {
  const { start, count, length } = evidence.table(ag);
  for (let first = 0; first < length; ) {
    let to = start[first]! + count[first]!;
    let end = first + 1;
    while (end < length && start[end]! < to) {
      to = Math.max(to, start[end]! + count[end]!);
      end++;
    }
    visit(first, end, start[first]!, to);
    first = end;
  }
}

/** Call back every dispute of an AG, in order of blocks. */
export function forEachDispute(
  evidence: Evidence,
  ag: number,
  moves: ReadonlyMap<number, readonly Move[]>,
  visit: (dispute: Dispute) => void,
): void {
  const trees = evidence.treeRuns(ag);
  const exact = evidence.exact(ag);
  const { reflink } = evidence.geometry.features;
  let last: Dispute | undefined;
  const add = (dispute: Dispute): void => {
    if (last && last.agBlock + last.blockCount === dispute.agBlock && isSame(last, dispute)) {
      last.blockCount += dispute.blockCount;
      return;
    }
    if (last) visit(last);
    last = dispute;
  };
  forEachCluster(evidence, ag, (first, end, from, to) => {
    const free = blocksIn(trees, from, to) === 0;
    if (free && end - first === 1 && !moves.has(first)) return;
    if (free && exact && reflink) {
      let legitimate = true;
      for (let row = first; row < end && legitimate; row++) {
        legitimate = exact[row] === 1 && evidence.kind(ag, row) === 'data';
      }
      if (legitimate) return;
    }
    new ClusterSweep(evidence, ag, moves, first, end).run(from, to, add);
  });
  if (last) visit(last);
}

/** Claimants and evidence go on unchanged. */
function isSame(a: Dispute, b: Dispute): boolean {
  const skip = b.agBlock - a.agBlock;
  return (
    a.claimants.length === b.claimants.length &&
    a.claimants.every((one, i) => {
      const other = b.claimants[i]!;
      const goesOn = one.home < 0 ? other.home < 0 : other.home === one.home + skip;
      return (
        one.row === other.row &&
        one.registered === other.registered &&
        one.beyondEnd === other.beyondEnd &&
        one.kind === other.kind &&
        one.homeUnwritten === other.homeUnwritten &&
        one.homeProof === other.homeProof &&
        goesOn
      );
    })
  );
}

class ClusterSweep {
  readonly #evidence: Evidence;
  readonly #ag: number;
  readonly #moves: ReadonlyMap<number, readonly Move[]>;
  readonly #first: number;
  readonly #end: number;
  readonly #exact: Uint8Array | undefined;
  readonly #kinds: ClaimKind[] = [];
  readonly #stretches = new Map<number, Stretch[]>();
  readonly #active = new Set<number>();
  /** Active rows that may not share without a closer look. */
  #doubtful = 0;

  constructor(evidence: Evidence, ag: number, moves: ReadonlyMap<number, readonly Move[]>, first: number, end: number) {
    this.#evidence = evidence;
    this.#ag = ag;
    this.#moves = moves;
    this.#first = first;
    this.#end = end;
    this.#exact = evidence.exact(ag);
    for (let row = first; row < end; row++) this.#kinds.push(evidence.kind(ag, row));
  }

  run(from: number, to: number, add: (dispute: Dispute) => void): void {
    const table = this.#evidence.table(this.#ag);
    const points = this.#points(from, to);
    const byEnd = Uint32Array.from({ length: this.#end - this.#first }, (_, i) => this.#first + i);
    byEnd.sort((a, b) => table.start[a]! + table.count[a]! - (table.start[b]! + table.count[b]!));
    let starting = this.#first;
    let ending = 0;
    for (let p = 0; p + 1 < points.length; p++) {
      const at = points[p]!;
      while (ending < byEnd.length && table.start[byEnd[ending]!]! + table.count[byEnd[ending]!]! <= at) {
        const row = byEnd[ending++]!;
        this.#active.delete(row);
        if (this.#isDoubtful(row)) this.#doubtful--;
      }
      while (starting < this.#end && table.start[starting]! <= at) {
        this.#active.add(starting);
        if (this.#isDoubtful(starting)) this.#doubtful++;
        starting++;
      }
      const next = points[p + 1]!;
      if (this.#agrees(at, next)) continue;
      const claimants = this.#claimants(at, next);
      if (isDispute(claimants, this.#evidence.geometry.features.reflink)) {
        add({ ag: this.#ag, agBlock: at, blockCount: next - at, claimants });
      }
    }
  }

  /** Blocks where something may change. */
  #points(from: number, to: number): number[] {
    const evidence = this.#evidence;
    const table = evidence.table(this.#ag);
    const points = new Set([from, to]);
    const edges = (start: number, end: number): void => {
      if (start > from && start < to) points.add(start);
      if (end > from && end < to) points.add(end);
    };
    for (let row = this.#first; row < this.#end; row++) {
      const start = table.start[row]!;
      edges(start, start + table.count[row]!);
      for (const move of this.#moves.get(row) ?? []) edges(move.agBlock, move.agBlock + move.blockCount);
      for (const each of this.#stretchesOf(row)) edges(start + each.skip, start + each.skip + each.count);
      if (this.#kinds[row - this.#first] === 'data') {
        const last = Math.ceil(evidence.facts(table.owner(row)).size / evidence.geometry.blockSize);
        edges(start + (last - table.fileBlock(row)), -1);
      }
    }
    const runs = [evidence.treeRuns(this.#ag)];
    if (!this.#exact) runs.push(evidence.observed.trees[this.#ag]!.shared);
    for (const each of runs) {
      for (let i = Math.max(0, lastFrom(each, from)); i < each.length && each.start[i]! < to; i++) {
        edges(each.start[i]!, each.start[i]! + each.count[i]!);
      }
    }
    return [...points].sort((a, b) => a - b);
  }

  #isDoubtful(row: number): boolean {
    return this.#kinds[row - this.#first] !== 'data' || (this.#exact !== undefined && this.#exact[row] === 0);
  }

  /** What the register says of a row that it does not have word for word. */
  #stretchesOf(row: number): readonly Stretch[] {
    const evidence = this.#evidence;
    const table = evidence.table(this.#ag);
    if (this.#exact?.[row] === 1 || !table.isForkData(row) || !evidence.register.exists) return [];
    let found = this.#stretches.get(row);
    if (!found) {
      const fsBlock = evidence.geometry.fsBlock(this.#ag, table.start[row]!);
      const attr = (table.offsetHi[row]! & RMAP_ATTR_FORK) !== 0;
      found = evidence.register.ask(table.owner(row), attr, table.fileBlock(row), table.count[row]!, fsBlock);
      this.#stretches.set(row, found);
    }
    return found;
  }

  /** Nothing to judge: one owner who stays, or sharing that is recorded. */
  #agrees(from: number, to: number): boolean {
    const evidence = this.#evidence;
    const owners = this.#active.size;
    if (owners === 0) return true;
    if (evidence.isAgTree(this.#ag, from, to - from)) return false;
    if (owners === 1) {
      for (const row of this.#active) if (this.#moveAt(row, from)) return false;
      return true;
    }
    if (this.#doubtful > 0 || !evidence.geometry.features.reflink) return false;
    if (this.#exact) return true;
    const recorded = evidence.refcount(this.#ag, from);
    if (recorded !== undefined) return recorded >= owners;
    // Neither register nor refcounts: a file that says of itself that it shares is believed.
    for (const row of this.#active) {
      if (!evidence.facts(evidence.table(this.#ag).owner(row)).reflink) return false;
    }
    return true;
  }

  #moveAt(row: number, block: number): Move | undefined {
    return this.#moves.get(row)?.find((each) => each.agBlock <= block && block < each.agBlock + each.blockCount);
  }

  #claimants(from: number, to: number): Claimant[] {
    const evidence = this.#evidence;
    const table = evidence.table(this.#ag);
    const { blockSize } = evidence.geometry;
    const claimants: Claimant[] = [];
    for (const row of this.#active) {
      if (claimants.length === MOST_CLAIMANTS) break;
      const kind = this.#kinds[row - this.#first]!;
      const isFork = table.isForkData(row);
      const skip = from - table.start[row]!;
      const fileBlock = isFork ? table.fileBlock(row) + skip : 0;
      const move = this.#moveAt(row, from);
      const inode = table.isSpecial(row) ? -1 : table.owner(row);
      claimants.push({
        kind,
        row,
        inode,
        attr: inode >= 0 && (table.offsetHi[row]! & RMAP_ATTR_FORK) !== 0,
        fileBlock,
        unwritten: kind === 'data' && (table.offsetHi[row]! & RMAP_UNWRITTEN) !== 0,
        registered: this.#registered(row, skip),
        home: move ? move.home + (from - move.agBlock) : -1,
        homeUnwritten: move?.unwritten === true,
        homeProof: move?.proof,
        beyondEnd: kind === 'data' && fileBlock * blockSize >= evidence.facts(inode).size,
      });
    }
    if (evidence.isAgTree(this.#ag, from, to - from)) {
      claimants.push({
        kind: 'ag-tree',
        row: -1,
        inode: -1,
        attr: false,
        fileBlock: 0,
        unwritten: false,
        registered: undefined,
        home: -1,
        homeUnwritten: false,
        homeProof: undefined,
        beyondEnd: false,
      });
    }
    return claimants;
  }

  #registered(row: number, skip: number): boolean | undefined {
    if (this.#exact?.[row] === 1) return true;
    const stretch = this.#stretchesOf(row).find((each) => each.skip <= skip && skip < each.skip + each.count);
    if (stretch?.registered) return true;
    return this.#exact ? false : undefined;
  }
}

function isDispute(claimants: readonly Claimant[], reflink: boolean): boolean {
  if (claimants.some(({ home }) => home >= 0)) return true;
  if (claimants.length < 2) return false;
  return !reflink || claimants.some(({ kind, registered }) => kind !== 'data' || !registered);
}
