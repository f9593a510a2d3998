/**
 * Giving up the blocks of a range of a fork, in pieces small enough for one transaction.
 *
 * 1. Work is counted in units: an extent, a run of equal sharing in it, or 1024 blocks of it, whichever ends first: what
 *    one unit changes in the trees is bounded, whatever the image holds.
 * 2. After each unit the fork, the register and the refcounts agree, so a caller may stop and go on in a new transaction.
 */
import type { Transaction } from '../buffer/transaction.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Space } from '../space/space.ts';
import type { Fork } from './fork.ts';

/** Units of work that one transaction takes unless the caller says otherwise: some hundred KiB of log at worst. */
export const DEFAULT_UNITS = 256;
/** Behind every file block there can be. */
export const END_OF_FORK = 2 ** 54;

/** Blocks of one unit: what limits it are the checksum records (14 blocks each). */
const UNIT_BLOCKS = 1024;

/**
 * Unmap and free what is mapped in file blocks [from, to), ascending, or descending so that the first block goes last.
 * @param writtenOnly leave unwritten extents alone.
 * @returns units left of `units`; 0 = the range may still hold blocks, call again.
 */
export function releaseRange(
  tx: Transaction,
  space: Space,
  fork: Fork,
  from: number,
  to: number,
  units: number,
  how: { writtenOnly?: boolean; descending?: boolean } = {},
): number {
  if (!fork.hasExtents) return units;
  const owner = inodeOwner(fork.inode.number);
  let at = from;
  let end = to;
  while (units > 0) {
    if (at >= end) return units;
    const cursor = fork.ownCursor(space);
    const found = how.descending ? cursor.seekLE(end - 1) && cursor.endBlock > from : cursor.seekContaining(at);
    if (!found || cursor.fileBlock >= to) return units;
    let first = Math.max(from, cursor.fileBlock);
    let last = Math.min(to, cursor.endBlock);
    if (how.writtenOnly && cursor.unwritten) {
      if (how.descending) end = first;
      else at = last;
      continue;
    }
    if (how.descending) first = Math.max(first, last - UNIT_BLOCKS);
    else {
      const startBlock = cursor.startBlock + (first - cursor.fileBlock);
      last = first + equalRun(tx, space, fork, startBlock, Math.min(last - first, pieceBlocks(fork)));
    }
    fork.unmap(tx, space, first, last, (fileBlock, startBlock, blockCount, unwritten) => {
      space.free(tx, startBlock, blockCount, owner, { attr: fork.isAttr, fileBlock, unwritten });
    });
    if (how.descending) end = first;
    else at = last;
    units--;
  }
  return 0;
}

/** Most blocks of a unit: without data checksums the length of an extent costs nothing. */
function pieceBlocks(fork: Fork): number {
  return fork.inode.geometry.features.dataChecksums ? UNIT_BLOCKS : Number.MAX_SAFE_INTEGER;
}

/** Blocks at the start of a range that all have the same number of owners. */
function equalRun(tx: Transaction, space: Space, fork: Fork, startBlock: number, count: number): number {
  if (fork.isAttr || !fork.inode.isReflink) return count;
  const shared = space.firstShared(tx, startBlock, count);
  if (!shared) return count;
  return shared.fsBlock > startBlock ? shared.fsBlock - startBlock : shared.blockCount;
}
