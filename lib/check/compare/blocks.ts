/**
 * The blocks of one AG: every block is claimed or free, and claimed by several only where sharing is recorded.
 *
 *   claims   |---A---|   |--B--|
 *                 |--C--|           -> clusters of claims that touch one another: {A C} {B}
 *   free                        |---| -> what no cluster covers must be exactly the free extents
 *
 * 1. Claims are sorted by start. A cluster is swept with the sorted ends of its claims: between two events the number of
 *    owners does not change.
 * 2. Two owners are legitimate when both are data of regular files and the image can share; the refcount tree must then
 *    have the same number. Anything else is a dispute, and every claimant is named.
 */
import { RMAP_ATTR_FORK } from '../../../formats/btree-blocks.ts';
import { MODE, S_IFMT } from '../../../formats/inode.ts';
import { type ExtentTable, MARK } from '../claims.ts';
import type { CheckContext } from '../context.ts';
import { describeRow, kindOf } from '../describe.ts';
import { type InodeTable, NONE, STATE } from '../inode-table.ts';
import type { Claimant } from '../problems.ts';
import { RunList } from '../rows.ts';

/** Claimants named in one problem. */
const MOST_NAMED = 16;
/** Ranges of one AG whose claimants are looked for. */
const MOST_JUDGED = 1000;

export interface BlockSources {
  readonly ag: number;
  /** Free extents by start, or undefined when neither tree could be read. */
  readonly free: RunList | undefined;
  /** Records of the refcount tree, or undefined without one (or when it cannot be read). */
  readonly shared: RunList | undefined;
  /** The reverse map was compared: `registered` marks mean something. */
  readonly hasRegister: boolean;
  /** Every claim of the AG is known: an unclaimed block is a lost one. */
  readonly complete: boolean;
}

export function compareBlocks(context: CheckContext, table: InodeTable, sources: BlockSources): void {
  new BlockCompare(context, table, sources).run();
}

class BlockCompare {
  readonly #context: CheckContext;
  readonly #table: InodeTable;
  readonly #sources: BlockSources;
  readonly #ag: number;
  readonly #claims: ExtentTable;
  readonly #freeList: RunList;
  readonly #sharedList: RunList;
  #free = 0;
  #shared = 0;
  /** Up to here blocks were accounted for. */
  #at = 0;
  #judged = 0;
  /** The claims of the dispute reported last, so that neighbouring pieces with the same owners are one problem. */
  #dispute: { start: number; end: number; rows: number[] } | undefined;
  #wrong: { start: number; end: number; expected: number; found: number } | undefined;

  constructor(context: CheckContext, table: InodeTable, sources: BlockSources) {
    this.#context = context;
    this.#table = table;
    this.#sources = sources;
    this.#ag = sources.ag;
    this.#claims = context.claims[sources.ag]!;
    this.#freeList = sources.free ?? new RunList();
    this.#sharedList = sources.shared ?? new RunList();
  }

  run(): void {
    const { start, count, length } = this.#claims;
    for (let i = 0; i < length; ) {
      const from = start[i]!;
      let end = from + count[i]!;
      let next = i + 1;
      while (next < length && start[next]! < end) {
        end = Math.max(end, start[next]! + count[next]!);
        next++;
      }
      this.#gap(from);
      this.#covered(i, from, end);
      if (next - i === 1) this.#single(from, end);
      else this.#cluster(i, next);
      this.#at = end;
      i = next;
    }
    this.#gap(this.#context.geometry.agLength(this.#ag));
    this.#surplus(Number.POSITIVE_INFINITY);
    this.#flush();
    if (this.#context.geometry.features.reflink) this.#flags();
  }

  /** Files that share blocks without saying so; disputed ones do not share. */
  #flags(): void {
    const { start, count, length, marks } = this.#claims;
    const told = new Set<number>();
    let end = 0;
    for (let row = 0; row < length; row++) {
      const own = start[row]! + count[row]!;
      const overlaps = start[row]! < end || (row + 1 < length && start[row + 1]! < own);
      end = Math.max(end, own);
      if (!overlaps || (marks[row]! & (MARK.disputed | MARK.presumed)) !== 0 || !this.#isShareable(row)) continue;
      const inode = this.#claims.owner(row);
      const index = this.#table.indexOf(inode);
      if ((this.#table.state[index]! & (STATE.reflink | STATE.reported | STATE.unreadable)) !== 0 || told.has(inode))
        continue;
      told.add(inode);
      this.#context.problems.add(
        'INODE_SHARED_FLAG',
        { inode, structure: 'Inode', field: 'flags2' },
        'reflink set',
        'clear',
      );
    }
  }

  /** Blocks from `#at` to `end` are not claimed: they must be free. */
  #gap(end: number): void {
    if (!this.#sources.free) return;
    const list = this.#freeList;
    let at = this.#at;
    while (at < end) {
      while (this.#free < list.length && list.start[this.#free]! + list.count[this.#free]! <= at) this.#free++;
      const next = this.#free < list.length ? Math.max(at, list.start[this.#free]!) : end;
      if (next > at) this.#lost(at, Math.min(next, end));
      if (next >= end) return;
      at = Math.min(end, list.start[this.#free]! + list.count[this.#free]!);
    }
  }

  #lost(from: number, to: number): void {
    if (!this.#sources.complete) return;
    const recorded = this.#context.recorded[this.#ag]!;
    // With a register the surplus record was told already; what is in neither is told here.
    let at = from;
    if (this.#sources.hasRegister) {
      for (let k = firstReaching(recorded, from); k < recorded.length && recorded.start[k]! < to && at < to; k++) {
        if (recorded.start[k]! > at) this.#lostRange(at, recorded.start[k]!);
        at = Math.max(at, recorded.start[k]! + recorded.count[k]!);
      }
    }
    if (at < to) this.#lostRange(at, to);
  }
  #lostRange(from: number, to: number): void {
    this.#context.problems.add('BLOCK_LOST', { ag: this.#ag, block: from, blockCount: to - from }, 'an owner', 'none');
  }

  /** Claimed blocks [from, end) must not be free. `row` is the first claim. */
  #covered(row: number, from: number, end: number): void {
    const list = this.#freeList;
    const claims = this.#claims;
    let owner = row;
    while (this.#free < list.length && list.start[this.#free]! + list.count[this.#free]! <= from) this.#free++;
    for (let k = this.#free; k < list.length && list.start[k]! < end; k++) {
      const start = Math.max(from, list.start[k]!);
      const stop = Math.min(end, list.start[k]! + list.count[k]!);
      while (owner + 1 < claims.length && claims.start[owner]! + claims.count[owner]! <= start) owner++;
      const where = { ag: this.#ag, block: start, blockCount: stop - start, structure: 'bnobt' };
      const more = claims.isSpecial(owner) ? {} : { inode: claims.owner(owner) };
      this.#context.problems.add('BLOCK_CLAIMED_FREE', { ...where, ...more }, 'not free', describeRow(claims, owner));
    }
  }

  /** One owner: no refcount record. */
  #single(from: number, end: number): void {
    const list = this.#sharedList;
    if (this.#shared < list.length && list.start[this.#shared]! < end) {
      this.#surplus(from);
      this.#counted(from, end, 1, undefined);
    }
  }

  /** Sweep over claims i .. end-1, which overlap. */
  #cluster(i: number, end: number): void {
    const claims = this.#claims;
    const ends = new Uint32Array(end - i);
    for (let k = i; k < end; k++) ends[k - i] = claims.start[k]! + claims.count[k]!;
    ends.sort();
    this.#surplus(claims.start[i]!);
    let starts = i;
    let stops = 0;
    let depth = 0;
    let at = claims.start[i]!;
    while (stops < ends.length) {
      while (starts < end && claims.start[starts] === at) {
        depth++;
        starts++;
      }
      while (stops < ends.length && ends[stops] === at) {
        depth--;
        stops++;
      }
      if (stops === ends.length) break;
      const next = Math.min(starts < end ? claims.start[starts]! : Number.POSITIVE_INFINITY, ends[stops]!);
      if (depth > 0) this.#counted(at, next, depth, depth > 1 ? { first: i, end } : undefined);
      at = next;
    }
  }

  /** Records of the refcount tree that end before `block`: nobody shares what they name. */
  #surplus(block: number): void {
    const list = this.#sharedList;
    while (this.#shared < list.length) {
      const start = Math.max(list.start[this.#shared]!, this.#sharedFrom);
      const end = list.start[this.#shared]! + list.count[this.#shared]!;
      if (start >= end) {
        this.#shared++;
        continue;
      }
      if (start >= block) return;
      this.#mismatch(start, Math.min(end, block), 0, list.value[this.#shared]!);
      if (end > block) {
        this.#sharedFrom = block;
        return;
      }
      this.#shared++;
    }
  }
  /** Part of the current record that was dealt with already. */
  #sharedFrom = 0;

  /** Blocks [from, to) have `depth` owners: compare with the refcount tree, piece by piece. */
  #counted(from: number, to: number, depth: number, cluster: { first: number; end: number } | undefined): void {
    const list = this.#sharedList;
    let at = from;
    while (at < to) {
      while (this.#shared < list.length && list.start[this.#shared]! + list.count[this.#shared]! <= at) this.#shared++;
      const has = this.#shared < list.length && list.start[this.#shared]! < to;
      const start = has ? Math.max(at, list.start[this.#shared]!) : to;
      if (start > at) {
        this.#judge(at, start, depth, 1, cluster);
        at = start;
      }
      if (!has) return;
      const stop = Math.min(to, list.start[this.#shared]! + list.count[this.#shared]!);
      this.#judge(at, stop, depth, list.value[this.#shared]!, cluster);
      at = stop;
      this.#sharedFrom = stop;
    }
  }

  #judge(from: number, to: number, depth: number, recorded: number, cluster?: { first: number; end: number }): void {
    if (depth === 1) {
      if (recorded !== 1) this.#mismatch(from, to, 1, recorded);
      return;
    }
    const { features } = this.#context.geometry;
    const known = this.#sources.shared !== undefined;
    if (features.reflink && known && recorded === depth && !this.#hasOther(from, to, cluster!)) return;
    // Looking for the claimants costs a pass over the cluster: an image made of collisions gets numbers only.
    if (++this.#judged > MOST_JUDGED) {
      this.#context.problems.add(
        'BLOCK_MULTIPLY_CLAIMED',
        { ag: this.#ag, block: from, blockCount: to - from },
        'one owner',
        `${depth} claims`,
      );
      return;
    }
    const rows = this.#rowsIn(from, to, cluster!);
    const shareable = features.reflink && rows.every((row) => this.#isShareable(row));
    if (shareable) {
      if (!known) return;
      const allRegistered = rows.every((row) => (this.#claims.marks[row]! & MARK.registered) !== 0);
      if (this.#sources.hasRegister ? allRegistered : recorded >= 2) {
        this.#mismatch(from, to, depth, recorded);
        return;
      }
    }
    this.#disputed(from, to, rows);
  }

  /** True when somebody in the cluster claims a part of the range and cannot share. */
  #hasOther(from: number, to: number, cluster: { first: number; end: number }): boolean {
    const { start, count } = this.#claims;
    if (this.#otherOf !== cluster.first) {
      this.#otherOf = cluster.first;
      this.#otherStarts = [];
      this.#otherEnds = [];
      let most = 0;
      for (let row = cluster.first; row < cluster.end; row++) {
        if (this.#isShareable(row)) continue;
        most = Math.max(most, start[row]! + count[row]!);
        this.#otherStarts.push(start[row]!);
        this.#otherEnds.push(most);
      }
    }
    // The last that starts before `to`; nobody up to there reaches further than the greatest end so far.
    let low = 0;
    let high = this.#otherStarts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#otherStarts[middle]! < to) low = middle + 1;
      else high = middle;
    }
    return low > 0 && this.#otherEnds[low - 1]! > from;
  }
  #otherOf = -1;
  #otherStarts: number[] = [];
  #otherEnds: number[] = [];

  #rowsIn(from: number, to: number, cluster: { first: number; end: number }): number[] {
    const { start, count } = this.#claims;
    const rows: number[] = [];
    for (let row = cluster.first; row < cluster.end && start[row]! < to; row++) {
      if (start[row]! + count[row]! > from) rows.push(row);
    }
    return rows;
  }

  /** Data of a regular file (or of an inode that cannot be read, by the register). */
  #isShareable(row: number): boolean {
    const claims = this.#claims;
    if (!claims.isForkData(row) || (claims.offsetHi[row]! & RMAP_ATTR_FORK) !== 0) return false;
    const index = this.#table.indexOf(claims.owner(row));
    if (index === NONE) return false;
    return (this.#table.state[index]! & STATE.unreadable) !== 0 || (this.#table.mode[index]! & S_IFMT) === MODE.FILE;
  }

  #mismatch(from: number, to: number, expected: number, found: number): void {
    const before = this.#wrong;
    if (before && before.end === from && before.expected === expected && before.found === found) {
      before.end = to;
      return;
    }
    this.#flush();
    this.#wrong = { start: from, end: to, expected, found };
  }

  #disputed(from: number, to: number, rows: number[]): void {
    const before = this.#dispute;
    if (
      before &&
      before.end === from &&
      before.rows.length === rows.length &&
      before.rows.every((r, i) => r === rows[i])
    ) {
      before.end = to;
      return;
    }
    this.#flush();
    this.#dispute = { start: from, end: to, rows };
  }

  /** Report what is pending. */
  #flush(): void {
    const { problems } = this.#context;
    const wrong = this.#wrong;
    this.#wrong = undefined;
    if (wrong) {
      const where = { ag: this.#ag, block: wrong.start, blockCount: wrong.end - wrong.start, structure: 'refcountbt' };
      problems.add('REFCOUNT_WRONG', where, wrong.expected, wrong.found);
    }
    const dispute = this.#dispute;
    this.#dispute = undefined;
    if (!dispute) return;
    const claims = this.#claims;
    const claimants = dispute.rows.slice(0, MOST_NAMED).map((row) => this.#claimant(row, dispute));
    for (const row of dispute.rows) claims.marks[row]! |= MARK.disputed;
    const found = dispute.rows
      .slice(0, MOST_NAMED)
      .map((row) => describeRow(claims, row))
      .join('; ');
    const where = { ag: this.#ag, block: dispute.start, blockCount: dispute.end - dispute.start };
    const first = claimants.find((each) => each.inode !== undefined);
    problems.add(
      'BLOCK_MULTIPLY_CLAIMED',
      first?.inode === undefined ? where : { ...where, inode: first.inode },
      'one owner',
      found,
      {
        claimants,
      },
    );
  }

  #claimant(row: number, dispute: { start: number; end: number }): Claimant {
    const claims = this.#claims;
    const from = Math.max(dispute.start, claims.start[row]!);
    const to = Math.min(dispute.end, claims.start[row]! + claims.count[row]!);
    const registered = this.#sources.hasRegister ? (claims.marks[row]! & MARK.registered) !== 0 : undefined;
    return {
      kind: kindOf(claims, row),
      ...(claims.isSpecial(row) ? {} : { inode: claims.owner(row) }),
      ...(claims.isForkData(row) ? { fileBlock: claims.fileBlock(row) + (from - claims.start[row]!) } : {}),
      blockCount: to - from,
      ...(registered === undefined ? {} : { registered }),
    };
  }
}

/** First row of a table sorted by start that may reach a block. Rows may overlap, so this is only a lower bound. */
function firstReaching(table: ExtentTable, block: number): number {
  let low = 0;
  let high = table.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (table.start[middle]! + table.count[middle]! <= block) low = middle + 1;
    else high = middle;
  }
  return low;
}
