/**
 * Where things lie in an AG nobody has used yet: headers, one empty (or nearly empty) root block per tree, free list.
 *
 *   | headers | bnobt cntbt inobt [finobt] [rmapbt] [refcountbt] [csumbt] | (log) free list, free space ...
 *   0         headerBlocks                                                ^ prealloc
 *
 * The order of the roots is the format's (fact: only these first places are fixed; roots move when trees grow).
 */
import type { Geometry } from '../../formats/geometry.ts';
import { maxTreeLevels, minFreeListLength } from '../../formats/tree-levels.ts';

/** AG blocks of the roots, the same in every AG; 0 = the image has no such tree. */
export interface InitialLayout {
  readonly bnobt: number;
  readonly cntbt: number;
  readonly inobt: number;
  readonly finobt: number;
  readonly rmapbt: number;
  readonly refcountbt: number;
  readonly csumbt: number;
  /** First block behind the roots. */
  readonly prealloc: number;
  /** Blocks a fresh free list holds. */
  readonly freeListLength: number;
}

export function initialLayout(geometry: Geometry): InitialLayout {
  const { features } = geometry;
  let next = geometry.headerBlocks;
  const take = (present: boolean): number => (present ? next++ : 0);
  const roots = {
    bnobt: take(true),
    cntbt: take(true),
    inobt: take(true),
    finobt: take(features.finobt),
    rmapbt: take(features.rmapbt),
    refcountbt: take(features.reflink),
    csumbt: take(features.dataChecksums),
  };
  const max = maxTreeLevels(geometry.blockSize, geometry.agBlocks, 2 ** geometry.agInodeLog, features.reflink);
  return { ...roots, prealloc: next, freeListLength: minFreeListLength(max, 1, 1, features.rmapbt ? 1 : 0) };
}

/** A run of AG blocks. */
export interface Run {
  readonly start: number;
  readonly count: number;
}

/** What the blocks of one fresh AG behind its roots are for. */
export interface AgSpace {
  readonly length: number;
  readonly log: Run | undefined;
  readonly freeList: Run | undefined;
  readonly inodes: Run | undefined;
  /** Ascending, never touching. */
  readonly free: readonly Run[];
}

/** Take [start, start + count) out of the run that holds it. */
function cut(free: readonly Run[], start: number, count: number): Run[] {
  const out: Run[] = [];
  for (const run of free) {
    const end = run.start + run.count;
    if (start >= end || start + count <= run.start) {
      out.push(run);
      continue;
    }
    if (start > run.start) out.push({ start: run.start, count: start - run.start });
    if (start + count < end) out.push({ start: start + count, count: end - start - count });
  }
  return out;
}

/**
 * Share out a fresh AG. The free list comes from the front of the smallest run that holds all of it, as mkfs.xfs's
 * allocator does; where none does (a log that fills its AG) the list stays empty, which is legal.
 * @param inodes the first inode chunk, in AG 0 of a new image.
 */
export function shareAgSpace(geometry: Geometry, layout: InitialLayout, ag: number, inodes?: Run): AgSpace {
  const length = geometry.agLength(ag);
  let free: Run[] = [{ start: layout.prealloc, count: length - layout.prealloc }];
  let log: Run | undefined;
  if (geometry.logBlocks > 0 && geometry.agOfFsBlock(geometry.logStart) === ag) {
    log = { start: geometry.agBlockOfFsBlock(geometry.logStart), count: geometry.logBlocks };
    free = cut(free, log.start, log.count);
  }
  let freeList: Run | undefined;
  for (const run of free)
    if (run.count >= layout.freeListLength && (freeList === undefined || run.count < freeList.count)) freeList = run;
  if (freeList !== undefined) {
    freeList = { start: freeList.start, count: layout.freeListLength };
    free = cut(free, freeList.start, freeList.count);
  }
  if (inodes) free = cut(free, inodes.start, inodes.count);
  return { length, log, freeList, inodes, free };
}
