/** Where the blocks of a file are, and which of them other files share. */
import { Fork, type ForkName } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import type { Volume } from './volume.ts';

/** One run of mapped blocks. `ag` and `agBlock` say where; `fileBlock` counts from the start of the fork. */
export interface MappedExtent {
  readonly fileBlock: number;
  readonly ag: number;
  readonly agBlock: number;
  readonly blockCount: number;
  /** Allocated, but reads as zeroes. */
  readonly unwritten: boolean;
  readonly shared: boolean;
}

/** Visit the extents of a fork in file order, cut where sharing begins or ends. Throws `corrupt` on damage. */
export function forEachMapped(
  volume: Volume,
  inode: Inode,
  fork: ForkName,
  visit: (extent: MappedExtent) => void,
): void {
  const { geometry, space, cache } = volume;
  const mayShare = geometry.features.reflink && fork === 'data' && inode.isFile;
  new Fork(inode, fork).forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
    const emit = (from: number, count: number, shared: boolean): void => {
      if (count === 0) return;
      const ag = geometry.agOfFsBlock(from);
      const agBlock = geometry.agBlockOfFsBlock(from);
      visit({ fileBlock: fileBlock + (from - startBlock), ag, agBlock, blockCount: count, unwritten, shared });
    };
    let done = startBlock;
    if (mayShare) {
      space.sharedRuns(cache, startBlock, blockCount, (from, count) => {
        emit(done, from - done, false);
        emit(from, count, true);
        done = from + count;
        return undefined;
      });
    }
    emit(done, startBlock + blockCount - done, false);
  });
}
