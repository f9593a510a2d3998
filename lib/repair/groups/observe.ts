/**
 * The claims as they stand on the plan, without those of the AG's own trees and free list, which are rebuilt.
 *
 * 1. What the first check saw is used again where nothing changed: rows of inodes that changed on the plan, and of all
 *    inodes of AGs whose chunks changed, are taken out, those inodes are looked at once more, and both are merged. Only
 *    when somebody changed things without saying which inodes, all are looked at again.
 * 2. Pending forks stand empty on the plan; their extents are added as they shall be.
 */
import { RMAP_ATTR_FORK, RMAP_OWNER, RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { Seen } from '../../check/carry.ts';
import type { CheckResult, Observed } from '../../check/check.ts';
import { type ExtentTable, MARK } from '../../check/claims.ts';
import { CheckContext } from '../../check/context.ts';
import { Counts } from '../../check/counts.ts';
import { CHUNK, ChunkList, InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { InodeObserver } from '../../check/observe/inodes.ts';
import { ProblemLog } from '../../check/problems.ts';
import { merged, picked, sameRows } from '../../check/tables.ts';
import type { Device } from '../../device/device.ts';
import type { PendingFork } from '../pending.ts';
import { claimChunks } from './chunk-blocks.ts';

/** By AG, sorted. */
export interface Claims {
  readonly tables: readonly ExtentTable[];
  /** The inodes as they are on the plan; of links and paths it says nothing. */
  readonly inodes: InodeTable;
  /** AGs in which somebody claims something else than when the pass began. */
  readonly changedAgs: ReadonlySet<number>;
  /** Inodes that a check would find fault with, among those that were looked at now. */
  readonly faulty: ReadonlySet<number>;
  /** What was seen of AGs whose chunks are others than when the pass began, if it is as it stands on the plan. */
  readonly seen?: Seen | undefined;
}

export interface ClaimsRequest {
  readonly plan: Device;
  readonly geometry: Geometry;
  readonly first: CheckResult;
  /** Undefined: those of the first check. */
  readonly chunks: readonly ChunkList[] | undefined;
  readonly pending: readonly PendingFork[];
  /** Inodes that changed on the plan since the first check; undefined: any may have. */
  readonly changed: ReadonlySet<number> | undefined;
}

/** More changed inodes than one in so many: look at all of them. */
const FEW = 16;
const TWO32 = 2 ** 32;

/** Owners whose claims are not wanted: everything that is rebuilt. */
const REBUILT = new Set<number>([RMAP_OWNER.AG, RMAP_OWNER.INOBT, RMAP_OWNER.REFC, RMAP_OWNER.CSUM, RMAP_OWNER.COW]);

export function observeClaims(request: ClaimsRequest): Claims {
  const { observed } = request.first;
  const stale = observed && Stale.of(request, observed);
  const kept = stale && keptRows(observed!, stale);
  return kept ? withChanges(request, observed!, stale, kept) : observeAll(request);
}

/** Whose claims the first check did not see, or not as they are now. */
class Stale {
  readonly lists: readonly ChunkList[];
  readonly changed: ReadonlySet<number>;
  /** By AG, 1: other chunks than those of the first check. */
  readonly #ags: Uint8Array;
  readonly #geometry: Geometry;
  readonly isNobody: boolean;

  private constructor(geometry: Geometry, lists: readonly ChunkList[], changed: ReadonlySet<number>, ags: Uint8Array) {
    this.#geometry = geometry;
    this.lists = lists;
    this.changed = changed;
    this.#ags = ags;
    this.isNobody = changed.size === 0 && !ags.includes(1);
  }

  /** Undefined: so many that all are looked at. */
  static of({ geometry, chunks, changed }: ClaimsRequest, { trees, inodes }: Observed): Stale | undefined {
    if (!changed || changed.size * FEW > inodes.length) return undefined;
    const lists = chunks ?? trees.map((each) => each.chunks);
    const ags = Uint8Array.from(lists, (list, ag) => (list === trees[ag]?.chunks ? 0 : 1));
    return ags.includes(0) ? new Stale(geometry, lists, changed, ags) : undefined;
  }

  /** AGs with other chunks. */
  get ags(): ReadonlySet<number> {
    return new Set(this.lists.map((_, ag) => ag).filter((ag) => this.hasAg(ag)));
  }

  hasAg(ag: number): boolean {
    return this.#ags[ag] === 1;
  }

  hasRow(table: ExtentTable, row: number, ag: number): boolean {
    if (table.isSpecial(row)) return this.#ags[ag] === 1 && table.ownerLo[row] === RMAP_OWNER.INODES;
    const owner = table.owner(row);
    return this.#ags[this.#geometry.agOfInode(owner)] === 1 || this.changed.has(owner);
  }
}

/**
 * By AG, what the first check saw of everything that did not change; undefined when what it saw of that is not the whole
 * truth: claims of inodes it could not read were presumed from the register.
 */
function keptRows({ context }: Observed, stale: Stale): ExtentTable[] | undefined {
  const tables: ExtentTable[] = [];
  for (let ag = 0; ag < context.claims.length; ag++) {
    const table = context.claims[ag]!;
    let presumed = false;
    const kept = picked(table, (row) => {
      if (table.isSpecial(row) && REBUILT.has(table.ownerLo[row]!)) return false;
      if (!stale.isNobody && stale.hasRow(table, row, ag)) return false;
      presumed ||= (table.marks[row]! & MARK.presumed) !== 0;
      return true;
    });
    if (presumed) return undefined;
    tables.push(kept);
  }
  return tables;
}

function withChanges(request: ClaimsRequest, observed: Observed, stale: Stale, kept: ExtentTable[]): Claims {
  const { geometry, plan } = request;
  const context = quietContext(plan, geometry);
  const some = scanStale(context, observed.inodes, stale);
  const inodes = carriedOver(observed.inodes, some, stale);
  const faulty = new Set(context.problems.damaged.inodes.keys());
  if (stale.isNobody) return { tables: kept, inodes, changedAgs: new Set(), faulty };
  const isPending = pendingRows(request.pending, geometry);
  const changedAgs = new Set<number>();
  const claims: ExtentTable[] = [];
  const tables = kept.map((rows, ag) => {
    const found = context.claims[ag]!;
    const fresh = picked(found, (row) => stale.hasRow(found, row, ag) && !isPending(found, row));
    addPending(fresh, ag, request.pending, geometry);
    fresh.sort();
    claims.push(fresh);
    const before = observed.context.claims[ag]!;
    const gone = picked(before, (row) => stale.hasRow(before, row, ag));
    if (!sameRows(gone, fresh)) changedAgs.add(ag);
    return fresh.length === 0 ? rows : merged(rows, fresh);
  });
  const isAsItStands = stale.changed.size === 0 && request.pending.length === 0;
  const seen = isAsItStands ? { inodes, claims, ags: stale.ags, faulty } : undefined;
  return { tables, inodes, changedAgs, faulty, seen };
}

/** Look at AGs with other chunks, and elsewhere at the chunks that hold changed inodes. */
function scanStale(context: CheckContext, inodes: InodeTable, stale: Stale): InodeTable {
  const { geometry } = context;
  const wanted = inodes.chunks.map(() => new Set<number>());
  for (const inode of stale.changed) {
    const index = inodes.indexOf(inode);
    if (index === NONE) continue;
    const ag = inodes.agOf(index);
    wanted[ag]!.add(Math.floor(index / CHUNK) - inodes.firstChunk[ag]!);
  }
  const lists = stale.lists.map((list, ag) => {
    if (stale.hasAg(ag)) {
      claimChunks(context.claims[ag]!, geometry, ag, list);
      return list;
    }
    const some = new ChunkList();
    for (const chunk of [...wanted[ag]!].sort((a, b) => a - b)) {
      some.push(list.start[chunk]!, list.holemask[chunk]!, list.freeHi[chunk]!, list.freeLo[chunk]!);
    }
    return some;
  });
  const table = new InodeTable(geometry, lists, true);
  if (!stale.isNobody) observeInodes(context, table);
  return table;
}

/** The table of the first check with what was seen anew in its place. */
function carriedOver(before: InodeTable, seen: InodeTable, stale: Stale): InodeTable {
  const to = new InodeTable(
    before.geometry,
    stale.lists,
    stale.lists.some((_, ag) => stale.hasAg(ag)) || before.complete,
  );
  for (let ag = 0; ag < stale.lists.length; ag++) {
    const from = stale.hasAg(ag) ? seen : before;
    const first = from.firstChunk[ag]! * CHUNK;
    const end = first + stale.lists[ag]!.length * CHUNK;
    const shift = to.firstChunk[ag]! * CHUNK - first;
    to.state.set(from.state.subarray(first, end), first + shift);
    to.mode.set(from.mode.subarray(first, end), first + shift);
    to.nlink.set(from.nlink.subarray(first, end), first + shift);
    for (let i = 0; i < from.chained.length; i += 2) {
      const index = from.chained[i]!;
      if (index >= first && index < end) to.chained.push(index + shift, from.chained[i + 1]!);
    }
  }
  copyStates(seen, to, stale.changed);
  return to;
}

function copyStates(from: InodeTable, to: InodeTable, changed: ReadonlySet<number>): void {
  // Seen by the directories and unlinked lists, not in the inode itself.
  const elsewhere = STATE.unlinked | STATE.special;
  for (const inode of changed) {
    const k = from.indexOf(inode);
    const i = to.indexOf(inode);
    if (k === NONE || i === NONE) continue;
    to.mode[i] = from.mode[k]!;
    to.nlink[i] = from.nlink[k]!;
    to.state[i] = (to.state[i]! & elsewhere) | (from.state[k]! & ~elsewhere);
  }
}

function observeAll({ plan, geometry, first, chunks, pending }: ClaimsRequest): Claims {
  const { observed } = first;
  const lists = chunks ?? observed?.trees.map((each) => each.chunks) ?? emptyLists(geometry);
  const context = quietContext(plan, geometry);
  for (let ag = 0; ag < geometry.agCount; ag++) {
    context.claimSpecial(ag, 0, geometry.headerBlocks, RMAP_OWNER.FS);
    if (geometry.agOfFsBlock(geometry.logStart) === ag) {
      context.claimSpecial(ag, geometry.agBlockOfFsBlock(geometry.logStart), geometry.logBlocks, RMAP_OWNER.LOG);
    }
    claimChunks(context.claims[ag]!, geometry, ag, lists[ag]!);
  }
  const inodes = new InodeTable(geometry, lists, true);
  observeInodes(context, inodes);
  const isPending = pendingRows(pending, geometry);
  const changedAgs = new Set<number>();
  const tables = context.claims.map((seen, ag) => {
    const table = pending.length === 0 ? seen : picked(seen, (row) => !isPending(seen, row));
    addPending(table, ag, pending, geometry);
    table.sort();
    const before = observed?.context.claims[ag];
    const then = before && picked(before, (row) => !(before.isSpecial(row) && REBUILT.has(before.ownerLo[row]!)));
    if (!then || !sameRows(then, table)) changedAgs.add(ag);
    return table;
  });
  return { tables, inodes, changedAgs, faulty: new Set(context.problems.damaged.inodes.keys()) };
}

const emptyLists = (geometry: Geometry): ChunkList[] => Array.from({ length: geometry.agCount }, () => new ChunkList());

/** A context that only says whom it finds fault with: what is wrong was reported by the first check. */
function quietContext(plan: Device, geometry: Geometry): CheckContext {
  return new CheckContext(plan, geometry, new ProblemLog(0, Number.POSITIVE_INFINITY), {});
}

function observeInodes(context: CheckContext, table: InodeTable): void {
  const observer = new InodeObserver(context, table, new Counts());
  for (let ag = 0; ag < context.geometry.agCount; ag++) observer.run(ag);
}

/** Is this row one of a pending fork? (There should be none on the plan, but an inode that nobody blanked must not count twice.) */
function pendingRows(
  pending: readonly PendingFork[],
  geometry: Geometry,
): (table: ExtentTable, row: number) => boolean {
  if (pending.length === 0) return () => false;
  const data = new Set<number>();
  const attr = new Set<number>();
  for (const fork of pending) if (geometry.isInode(fork.inode)) (fork.attr ? attr : data).add(fork.inode);
  return (table, row) =>
    !table.isSpecial(row) && ((table.offsetHi[row]! & RMAP_ATTR_FORK) === 0 ? data : attr).has(table.owner(row));
}

function addPending(table: ExtentTable, ag: number, pending: readonly PendingFork[], geometry: Geometry): void {
  for (const { inode, attr, extents } of pending) {
    const hi = Math.floor(inode / TWO32);
    const lo = inode % TWO32;
    for (let i = 0; i < extents.length; i++) {
      if (geometry.agOfFsBlock(extents.startBlock[i]!) !== ag) continue;
      const fileBlock = extents.fileBlock[i]!;
      const flags =
        ((attr ? RMAP_ATTR_FORK : 0) | (extents.unwritten[i] ? RMAP_UNWRITTEN : 0) | Math.floor(fileBlock / TWO32)) >>>
        0;
      const agBlock = geometry.agBlockOfFsBlock(extents.startBlock[i]!);
      table.add(agBlock, extents.blockCount[i]!, hi, lo, flags, fileBlock % TWO32);
    }
  }
}
