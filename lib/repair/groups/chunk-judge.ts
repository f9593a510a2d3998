/**
 * Chunks that only the search found: live ones whose record is lost, or inodes left behind in blocks that were freed long
 * ago. All are taken for true at first; then it shows whose inodes are named by a directory, and who stands in whose way.
 *
 * | the chunk's inodes | its blocks and those its inodes claim | |
 * |---|---|---|
 * | one of them is named by an entry | whatever | counts |
 * | none is named | nobody else's | counts: its inodes may have lost their directory |
 * | none is named | claimed by others too | left behind: dropped, and said |
 */
import { RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { ExtentTable } from '../../check/claims.ts';
import { CheckContext } from '../../check/context.ts';
import { Counts } from '../../check/counts.ts';
import { CHUNK, ChunkList, type InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { DirectoryObserver } from '../../check/observe/directories.ts';
import { ProblemLog } from '../../check/problems.ts';
import { RunList } from '../../check/rows.ts';
import type { RepairState } from '../state.ts';
import { cover, touches } from './runs.ts';

/** Ascending by AG and start. */
export interface FoundChunk {
  readonly ag: number;
  /** AG inode of slot 0. */
  readonly start: number;
}

/** The lists without the chunks that do not count. What is observed for that stays the state's, if all of them do. */
export function judgeChunks(
  state: RepairState,
  lists: readonly ChunkList[],
  found: readonly FoundChunk[],
): readonly ChunkList[] {
  const { plan, geometry, report } = state;
  // Chunks are decided before anything changes on the plan.
  state.chunks = lists;
  const { tables, inodes } = state.claims;
  // Directories are read when it matters who is named: that takes as long as a third of a check.
  let areNamesRead = false;
  const isNamed = (index: number): boolean => {
    if (!areNamesRead) {
      areNamesRead = true;
      const context = new CheckContext(plan, geometry, new ProblemLog(0), {});
      context.problems.mute(() => new DirectoryObserver(context, inodes, new Counts()).run());
    }
    return inodes.parent[index] !== NONE;
  };
  const disputed = disputedInodes(tables);
  const dropped = lists.map(() => new Set<number>());
  const others = new Map<number, RunList>();
  for (const group of byBlock(found, geometry)) {
    const { ag, start } = group[0]!;
    const claimed = others.get(ag) ?? othersThanInodes(tables[ag]!);
    others.set(ag, claimed);
    const blocks = Math.max(1, CHUNK / geometry.inodesPerBlock);
    const used: number[] = [];
    let isDisputed = touches(claimed, geometry.agBlockOfAgInode(start), blocks);
    for (const chunk of group) {
      const index = indexOf(inodes, ag, chunk.start);
      for (let slot = 0; slot < CHUNK; slot++) {
        if ((inodes.state[index + slot]! & STATE.used) === 0) continue;
        used.push(index + slot);
        isDisputed ||= disputed.has(geometry.inodeNumber(ag, chunk.start + slot));
      }
    }
    if (used.length > 0 && (!isDisputed || used.some(isNamed))) continue;
    for (const chunk of group) dropped[ag]!.add(chunk.start);
    const number = geometry.inodeNumber(ag, start);
    const text = `${used.length} inodes at inode ${number} were left behind in blocks that belong to others: not taken for live ones`;
    if (used.length > 0) report.did('inodes', text, { ag });
  }
  if (dropped.every(({ size }) => size === 0)) return lists;
  return lists.map((list, ag) => (dropped[ag]!.size === 0 ? list : without(list, dropped[ag]!)));
}

/** Index of slot 0 of a chunk, also when that is a hole. */
function indexOf(inodes: InodeTable, ag: number, start: number): number {
  const list = inodes.chunks[ag]!;
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list.start[middle]! < start) low = middle + 1;
    else high = middle;
  }
  return (inodes.firstChunk[ag]! + low) * CHUNK;
}

/** Blocks that somebody else claims. */
function othersThanInodes(table: ExtentTable): RunList {
  const runs = new RunList();
  for (let row = 0; row < table.length; row++) {
    if (!table.isSpecial(row) || table.ownerLo[row] !== RMAP_OWNER.INODES)
      cover(runs, table.start[row]!, table.count[row]!);
  }
  return runs;
}

/** Chunks that share a block, by AG and block: they stand or fall together. */
function byBlock(found: readonly FoundChunk[], geometry: Geometry): FoundChunk[][] {
  const groups: FoundChunk[][] = [];
  let last = -1;
  for (const chunk of found) {
    const block = geometry.fsBlock(chunk.ag, geometry.agBlockOfAgInode(chunk.start));
    if (block === last) groups[groups.length - 1]!.push(chunk);
    else groups.push([chunk]);
    last = block;
  }
  return groups;
}

/** Inodes with a claim that overlaps somebody else's. */
function disputedInodes(tables: readonly ExtentTable[]): Set<number> {
  const disputed = new Set<number>();
  for (const table of tables) {
    let end = 0;
    let last = -1;
    for (let row = 0; row < table.length; row++) {
      if (last >= 0 && table.start[row]! < end) {
        for (const each of [last, row]) if (!table.isSpecial(each)) disputed.add(table.owner(each));
      }
      const own = table.start[row]! + table.count[row]!;
      if (own > end) {
        end = own;
        last = row;
      }
    }
  }
  return disputed;
}

function without(list: ChunkList, dropped: ReadonlySet<number>): ChunkList {
  const out = new ChunkList();
  for (let i = 0; i < list.length; i++) {
    if (!dropped.has(list.start[i]!)) out.push(list.start[i]!, list.holemask[i]!, list.freeHi[i]!, list.freeLo[i]!);
  }
  return out;
}
