/**
 * What a crash leaves behind although the log is replayed: inodes without a name that somebody had open, and copy-on-write
 * staging extents that no file maps yet. Both are found in the AG headers and trees, and are freed in bounded steps.
 */
import { REFCOUNT_COW, RefcountRecord } from '../../formats/btree-blocks.ts';
import { corrupt } from '../errors.ts';
import { Inode } from '../file/inode.ts';
import { freeForks } from '../file/truncate.ts';
import type { RecoveryContext } from './context.ts';

/** Units of freeing, and staging extents, in one transaction. */
const UNITS = 64;
const EXTENTS = 64;

/** Free all inodes in unlinked lists. @returns how many. Throws `corrupt` UNLINKED_CHAIN, UNLINKED_NAMED. */
export function freeUnlinked(context: RecoveryContext): number {
  const { geometry, cache, space } = context;
  let freed = 0;
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const inodes: number[] = [];
    space.forEachUnlinked(cache, ag, (inode) => inodes.push(inode));
    for (const number of inodes) {
      while (freeStep(context, number)) {
        // a piece a transaction
      }
      freed++;
    }
  }
  return freed;
}

/** @returns true while the inode holds more. */
function freeStep(context: RecoveryContext, number: number): boolean {
  const { space } = context;
  return context.transact((tx) => {
    const inode = Inode.load(tx, number);
    if (inode.core.nlink !== 0) {
      throw corrupt('UNLINKED_NAMED', `inode ${number} is in an unlinked list but has a name`, {
        where: { inode: number, field: 'nlink' },
        expected: 0,
        found: inode.core.nlink,
      });
    }
    if (freeForks(tx, space, inode, UNITS)) return true;
    space.removeUnlinked(tx, number);
    space.freeInode(tx, number);
    return false;
  });
}

/** Free all copy-on-write staging extents. @returns blocks. */
export function freeStaging(context: RecoveryContext): number {
  const { geometry, cache, space } = context;
  if (!geometry.features.reflink) return 0;
  const record = RefcountRecord.view();
  let blocks = 0;
  for (let agno = 0; agno < geometry.agCount; agno++) {
    for (;;) {
      const found: { start: number; count: number }[] = [];
      const cursor = space.ag(cache, agno).cursor('refcountbt');
      let more = cursor.seekLE(REFCOUNT_COW) ? true : cursor.seekFirst();
      for (; more && found.length < EXTENTS; more = cursor.next()) {
        record.at(cursor.view, cursor.offset);
        if (record.startBlock < REFCOUNT_COW) continue;
        found.push({ start: record.startBlock - REFCOUNT_COW, count: record.blockCount });
      }
      if (found.length === 0) break;
      context.transact((tx) => {
        for (const { start, count } of found) {
          const fsBlock = geometry.fsBlock(agno, start);
          context.checkRange(fsBlock, count, 'a staging extent');
          space.removeStaging(tx, fsBlock, count);
          space.giveBackUnowned(tx, fsBlock, count);
          blocks += count;
        }
      });
    }
  }
  return blocks;
}
