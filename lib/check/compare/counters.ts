/**
 * Counters: AG headers against their trees, the superblock against the AG headers. A counter is only judged when
 * everything it counts was read.
 */
import { Agf, Agi } from '../../../formats/ag-headers.ts';
import { Superblock } from '../../../formats/superblock.ts';
import type { CheckContext } from '../context.ts';
import type { AgHeaders } from '../observe/ag-headers.ts';
import type { AgTrees } from '../observe/ag-trees.ts';
import type { RunList } from '../rows.ts';

/** Sums over the AGs for the superblock; undefined when an AG could not be counted. */
export interface ImageSums {
  icount: number | undefined;
  ifree: number | undefined;
  fdblocks: number | undefined;
}

/** One AG; adds to the sums what is *counted*, so that one wrong AG counter is one problem. */
export function compareAgCounters(
  context: CheckContext,
  ag: number,
  headers: AgHeaders,
  trees: AgTrees,
  sums: ImageSums,
): void {
  const { geometry, problems } = context;
  const { features } = geometry;
  const { seen } = trees;
  const compare = (structure: string, field: string, expected: number, found: number): void => {
    if (expected !== found) problems.add('AG_COUNTER', { ag, structure, field }, expected, found);
  };
  const spare =
    seen.bnobt?.complete && seen.cntbt?.complete && (!features.rmapbt || seen.rmapbt?.complete)
      ? seen.bnobt.blocks - 1 + (seen.cntbt.blocks - 1) + (features.rmapbt ? seen.rmapbt!.blocks - 1 : 0)
      : undefined;
  let free: number | undefined;
  if (headers.agf) {
    const agf = Agf.at(headers.agf);
    const list = freeExtents(trees);
    if (list) {
      free = list.blocks;
      compare('AGF', 'freeblks', free, agf.freeblks);
      compare('AGF', 'longest', longest(list), agf.longest);
    }
    if (spare !== undefined) compare('AGF', 'btreeblks', spare, agf.btreeblks);
    if (features.rmapbt && seen.rmapbt?.complete) compare('AGF', 'rmapBlocks', seen.rmapbt.blocks, agf.rmapBlocks);
    if (features.reflink && seen.refcountbt?.complete) {
      compare('AGF', 'refcountBlocks', seen.refcountbt.blocks, agf.refcountBlocks);
    }
    if (features.dataChecksums && seen.csumbt?.complete)
      compare('AGF', 'csumBlocks', seen.csumbt.blocks, agf.csumBlocks);
    const known = free !== undefined && spare !== undefined && headers.freeListKnown && sums.fdblocks !== undefined;
    sums.fdblocks = known ? sums.fdblocks! + free! + spare! + agf.flcount : undefined;
  } else sums.fdblocks = undefined;
  if (headers.agi && seen.inobt?.complete) {
    const agi = Agi.at(headers.agi);
    compare('AGI', 'count', trees.inodes, agi.count);
    compare('AGI', 'freecount', trees.freeInodes, agi.freecount);
    if (features.inobtcount) {
      compare('AGI', 'iblocks', seen.inobt.blocks, agi.iblocks);
      if (features.finobt && seen.finobt?.complete) compare('AGI', 'fblocks', seen.finobt.blocks, agi.fblocks);
    }
    if (sums.icount !== undefined) sums.icount += trees.inodes;
    if (sums.ifree !== undefined) sums.ifree += trees.freeInodes;
  } else sums.icount = sums.ifree = undefined;
}

/** Right only after a clean unmount: call it for images whose log is clean. */
export function compareSuperblockCounters(context: CheckContext, sector: DataView, sums: ImageSums): void {
  const sb = Superblock.at(sector);
  for (const field of ['icount', 'ifree', 'fdblocks'] as const) {
    const expected = sums[field];
    if (expected !== undefined && expected !== sb[field]) {
      context.problems.add('SUPERBLOCK_COUNTER', { ag: 0, structure: 'Superblock', field }, expected, sb[field]);
    }
  }
}

/** The free extents sorted by start, from whichever tree could be read whole. */
export function freeExtents(trees: AgTrees): RunList | undefined {
  if (trees.seen.bnobt?.complete) return trees.byStart;
  return trees.seen.cntbt?.complete ? trees.byLength : undefined;
}

function longest(list: RunList): number {
  let most = 0;
  for (let i = 0; i < list.length; i++) most = Math.max(most, list.count[i]!);
  return most;
}

/** The two free-space trees must hold the same extents. Sorts the one by length by start. */
export function compareFreeTrees(context: CheckContext, ag: number, trees: AgTrees): void {
  const { byStart, byLength, seen } = trees;
  byLength.sort();
  if (!seen.bnobt?.complete || !seen.cntbt?.complete) return;
  const report = (block: number, expected: string, found: string): void =>
    context.problems.add('FREE_TREES_DIFFER', { ag, block, structure: 'cntbt' }, expected, found);
  const text = (list: RunList, i: number): string => `${list.start[i]}+${list.count[i]}`;
  let i = 0;
  let k = 0;
  while (i < byStart.length || k < byLength.length) {
    const a = i < byStart.length ? byStart.start[i]! : Number.POSITIVE_INFINITY;
    const b = k < byLength.length ? byLength.start[k]! : Number.POSITIVE_INFINITY;
    if (a < b) report(a, text(byStart, i++), 'nothing');
    else if (b < a) report(b, 'nothing', text(byLength, k++));
    else {
      if (byStart.count[i] !== byLength.count[k]) report(a, text(byStart, i), text(byLength, k));
      i++;
      k++;
    }
  }
}
