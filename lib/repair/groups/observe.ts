/**
 * The claims as they stand on the plan, without those of the AG's own trees and free list, which are rebuilt.
 *
 * 1. What the first check saw is used again where nothing changed: rows of inodes that changed on the plan are taken out,
 *    those inodes are looked at once more, and both are merged. Only when chunks changed, or when somebody changed
 *    things without saying which inodes, all inodes are looked at again.
 * 2. Pending forks stand empty on the plan; their extents are added as they shall be.
 */
import { RMAP_ATTR_FORK, RMAP_OWNER, RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { CheckResult, Observed } from '../../check/check.ts';
import { type ExtentTable, MARK } from '../../check/claims.ts';
import { CheckContext } from '../../check/context.ts';
import { Counts } from '../../check/counts.ts';
import { CHUNK, ChunkList, InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { InodeObserver } from '../../check/observe/inodes.ts';
import { ProblemLog } from '../../check/problems.ts';
import type { Device } from '../../device/device.ts';
import type { PendingFork } from '../pending.ts';
import { claimChunks } from './chunk-blocks.ts';
import { merged, picked, sameRows } from './tables.ts';

/** By AG, sorted. */
export interface Claims {
  readonly tables: readonly ExtentTable[];
  /** The inodes as they are on the plan; of links and paths it says nothing. */
  readonly inodes: InodeTable;
  /** AGs in which somebody claims something else than when the pass began. */
  readonly changedAgs: ReadonlySet<number>;
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
  const { first, chunks, changed } = request;
  const observed = first.observed;
  if (observed && changed && isSameChunks(observed, chunks) && changed.size * FEW <= observed.inodes.length) {
    const kept = keptRows(observed, changed);
    if (kept) return withChanges(request, observed, changed, kept);
  }
  return observeAll(request);
}

function isSameChunks({ trees }: Observed, chunks: readonly ChunkList[] | undefined): boolean {
  return chunks === undefined || chunks.every((list, ag) => list === trees[ag]?.chunks);
}

/**
 * By AG, what the first check saw of everything that did not change; undefined when what it saw of that is not the whole
 * truth: claims of inodes it could not read were presumed from the register.
 */
function keptRows({ context }: Observed, changed: ReadonlySet<number>): ExtentTable[] | undefined {
  const tables: ExtentTable[] = [];
  for (const table of context.claims) {
    let presumed = false;
    const kept = picked(table, (row) => {
      if (table.isSpecial(row)) {
        if (REBUILT.has(table.ownerLo[row]!)) return false;
      } else if (changed.size > 0 && changed.has(table.owner(row))) return false;
      presumed ||= (table.marks[row]! & MARK.presumed) !== 0;
      return true;
    });
    if (presumed) return undefined;
    tables.push(kept);
  }
  return tables;
}

function withChanges(
  request: ClaimsRequest,
  observed: Observed,
  changed: ReadonlySet<number>,
  kept: ExtentTable[],
): Claims {
  const inodes = copyTable(observed.inodes);
  if (changed.size === 0) return { tables: kept, inodes, changedAgs: new Set() };
  const { geometry, plan } = request;
  const context = quietContext(plan, geometry);
  const some = scanChanged(context, inodes, changed);
  copyStates(some, inodes, changed);
  const isPending = pendingRows(request.pending, geometry);
  const changedAgs = new Set<number>();
  const tables = kept.map((rows, ag) => {
    const seen = context.claims[ag]!;
    const fresh = picked(seen, (row) => changed.has(seen.owner(row)) && !isPending(seen, row));
    addPending(fresh, ag, request.pending, geometry);
    fresh.sort();
    const before = observed.context.claims[ag]!;
    const gone = picked(before, (row) => !before.isSpecial(row) && changed.has(before.owner(row)));
    if (!sameRows(gone, fresh)) changedAgs.add(ag);
    return fresh.length === 0 ? rows : merged(rows, fresh);
  });
  return { tables, inodes, changedAgs };
}

/** Look at the chunks that hold the changed inodes. */
function scanChanged(context: CheckContext, inodes: InodeTable, changed: ReadonlySet<number>): InodeTable {
  const wanted = inodes.chunks.map(() => new Set<number>());
  for (const inode of changed) {
    const index = inodes.indexOf(inode);
    if (index === NONE) continue;
    const ag = inodes.agOf(index);
    wanted[ag]!.add(Math.floor(index / CHUNK) - inodes.firstChunk[ag]!);
  }
  const lists = inodes.chunks.map((list, ag) => {
    const some = new ChunkList();
    for (const chunk of [...wanted[ag]!].sort((a, b) => a - b)) {
      some.push(list.start[chunk]!, list.holemask[chunk]!, list.freeHi[chunk]!, list.freeLo[chunk]!);
    }
    return some;
  });
  const table = new InodeTable(context.geometry, lists, true);
  observeInodes(context, table);
  return table;
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
  return { tables, inodes, changedAgs };
}

const emptyLists = (geometry: Geometry): ChunkList[] => Array.from({ length: geometry.agCount }, () => new ChunkList());

/** A context that reports nothing: what is wrong was reported by the first check. */
function quietContext(plan: Device, geometry: Geometry): CheckContext {
  return new CheckContext(plan, geometry, new ProblemLog(0), {});
}

function observeInodes(context: CheckContext, table: InodeTable): void {
  const observer = new InodeObserver(context, table, new Counts());
  context.problems.mute(() => {
    for (let ag = 0; ag < context.geometry.agCount; ag++) observer.run(ag);
  });
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

function copyTable(from: InodeTable): InodeTable {
  const to = new InodeTable(from.geometry, from.chunks, from.complete);
  to.state.set(from.state);
  to.mode.set(from.mode);
  to.nlink.set(from.nlink);
  to.chained.push(...from.chained);
  return to;
}
