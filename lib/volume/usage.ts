/** How much room things take: a tree of files, and the image as a whole. */
import type { CadastreError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { forEachMapped } from './extents.ts';
import type { Volume } from './volume.ts';
import { walkTree } from './walk.ts';

/** What a tree takes. Objects with several names count once. */
export interface TreeUsage {
  /** Allocated, metadata of the objects included. */
  bytes: number;
  /** Part of `bytes` in blocks that other files share. */
  sharedBytes: number;
  /** Sum of the sizes of regular files. */
  size: number;
  objects: number;
}

/**
 * Measure a tree. `each` is told of every directory when it is complete, below before above; it gets its total.
 * @param counted inode numbers counted already: pass one set for several trees.
 */
export function treeUsage(
  volume: Volume,
  start: Inode,
  path: Uint8Array,
  counted: Set<number>,
  each: (path: Uint8Array, usage: TreeUsage, depth: number) => void,
  failed: (error: CadastreError) => void,
): TreeUsage {
  const levels: TreeUsage[] = [];
  const nothing = (): TreeUsage => ({ bytes: 0, sharedBytes: 0, size: 0, objects: 0 });
  const total = nothing();
  walkTree(volume, start, path, {
    enter({ inode }, depth) {
      const usage = inode.isDirectory ? (levels[depth] = nothing()) : (levels[depth - 1] ?? total);
      if (inode.core.nlink > 1 && !inode.isDirectory) {
        if (counted.has(inode.number)) return false;
        counted.add(inode.number);
      }
      add(volume, inode, usage);
      return true;
    },
    leave(found, depth) {
      const usage = levels[depth]!;
      each(found.path, usage, depth);
      const above = levels[depth - 1] ?? total;
      if (depth === 0) Object.assign(total, usage);
      else {
        above.bytes += usage.bytes;
        above.sharedBytes += usage.sharedBytes;
        above.size += usage.size;
        above.objects += usage.objects;
      }
    },
    failed,
  });
  return total;
}

function add(volume: Volume, inode: Inode, usage: TreeUsage): void {
  const { blockSize } = volume.geometry;
  usage.objects++;
  usage.bytes += inode.core.nblocks * blockSize;
  if (!inode.isFile) return;
  usage.size += inode.size;
  if (!inode.isReflink) return;
  forEachMapped(volume, inode, 'data', ({ shared, blockCount }) => {
    if (shared) usage.sharedBytes += blockCount * blockSize;
  });
}

/** Room in one AG, in blocks. */
export interface AgUsage {
  readonly ag: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly longestFree: number;
  readonly inodes: number;
  readonly freeInodes: number;
}

/** Room in the image. Bytes, but for the inodes and the AGs. */
export interface VolumeUsage {
  readonly size: number;
  readonly used: number;
  readonly free: number;
  /** What new data may take: the rest is held back for the trees that describe it. */
  readonly available: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly ags: readonly AgUsage[];
}

/** Throws `corrupt` when an AG header is damaged. */
export function volumeUsage(volume: Volume): VolumeUsage {
  const { geometry, space, cache } = volume;
  const ags: AgUsage[] = [];
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const { agf, agi } = space.ag(cache, ag);
    ags.push({
      ag,
      blocks: geometry.agLength(ag),
      freeBlocks: agf.freeblks,
      longestFree: agf.longest,
      inodes: agi.count,
      freeInodes: agi.freecount,
    });
  }
  const { inodes, free: freeInodes } = space.countInodes(cache);
  const size = geometry.blocks * geometry.blockSize;
  const free = space.countFree(cache) * geometry.blockSize;
  const available = space.available(cache) * geometry.blockSize;
  return { size, used: size - free, free, available, inodes, freeInodes, ags };
}
