/** Free space as it lies: how many runs of which length. Blocks of the free lists are not in it: files cannot have them. */
import { forEachRecord } from '../btree/btree.ts';
import type { Volume } from '../volume/volume.ts';

/** Runs of free blocks of `from` to `to` blocks (a power of two to the next). */
export interface FreeBucket {
  readonly from: number;
  readonly to: number;
  runs: number;
  blocks: number;
}

export interface FreeSpaceLayout {
  freeBlocks: number;
  freeExtents: number;
  /** Blocks of the longest run. */
  largestFree: number;
  /** Without the empty buckets, ascending. */
  histogram: readonly FreeBucket[];
}

/** One pass over the free-space trees. Throws `corrupt` when one cannot be read. */
export function freeSpaceLayout(volume: Volume): FreeSpaceLayout {
  const { geometry, space, cache } = volume;
  const buckets: FreeBucket[] = Array.from({ length: 32 }, (_, i) => {
    return { from: 2 ** i, to: 2 ** (i + 1) - 1, runs: 0, blocks: 0 };
  });
  let freeBlocks = 0;
  let freeExtents = 0;
  let largestFree = 0;
  for (let ag = 0; ag < geometry.agCount; ag++) {
    forEachRecord(cache, space.ag(cache, ag).tree('bnobt'), (view, offset) => {
      const count = view.getUint32(offset + 4);
      if (count === 0) return;
      const bucket = buckets[31 - Math.clz32(count)]!;
      bucket.runs++;
      bucket.blocks += count;
      freeBlocks += count;
      freeExtents++;
      largestFree = Math.max(largestFree, count);
    });
  }
  return { freeBlocks, freeExtents, largestFree, histogram: buckets.filter(({ runs }) => runs > 0) };
}
