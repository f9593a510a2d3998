/**
 * How many extents a fork has, and how few would do. Content stays where it is in the file, so a hole ends an extent, and so
 * does the border between written and unwritten blocks; what is left is cut only by the longest extent there can be.
 */
import { MAX_EXTENT_BLOCKS } from '../../formats/btree-blocks.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { FORMAT } from '../../formats/inode.ts';
import type { Fork } from '../file/fork.ts';

export interface ForkLayout {
  readonly extents: number;
  /** The fewest extents that could hold the same; never more than `extents`. */
  readonly ideal: number;
}

/** Count and compare. Throws `corrupt` (EXTENT_*, BTREE_*) when the extents cannot be read. */
export function forkLayout(fork: Fork): ForkLayout {
  if (!fork.hasExtents) return { extents: 0, ideal: 0 };
  // Most forks of most images.
  if (fork.format === FORMAT.EXTENTS && fork.extentCount < 2) {
    return { extents: fork.extentCount, ideal: fork.extentCount };
  }
  const most = longestExtent(fork.inode.geometry);
  let extents = 0;
  let ideal = 0;
  let run = 0;
  let end = -1;
  let state = false;
  fork.forEachExtent((fileBlock, _startBlock, blockCount, unwritten) => {
    extents++;
    if (fileBlock !== end || unwritten !== state) {
      ideal += Math.ceil(run / most);
      run = 0;
    }
    run += blockCount;
    end = fileBlock + blockCount;
    state = unwritten;
  });
  ideal += Math.ceil(run / most);
  return { extents, ideal: Math.min(ideal, extents) };
}

/** Blocks of the longest extent: the format's limit, or an AG with nothing in it but its headers and the roots of its trees. */
export function longestExtent(geometry: Geometry): number {
  const { finobt, rmapbt, reflink, dataChecksums } = geometry.features;
  const roots = 3 + Number(finobt) + Number(rmapbt) + Number(reflink) + Number(dataChecksums);
  return Math.max(1, Math.min(MAX_EXTENT_BLOCKS, geometry.agBlocks - geometry.headerBlocks - roots));
}
