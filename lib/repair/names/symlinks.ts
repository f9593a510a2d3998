/**
 * Symlinks whose target cannot be read: the bytes of a target are believed when most of the header before them is right,
 * for nothing else looks like that. A target that is gone takes the symlink with it: there is nothing left to point.
 */
import { FORMAT } from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import { MAX_SYMLINK, SYMLINK, SYMLINK_MAGIC, SymlinkHeader, symlinkPayload } from '../../../formats/symlink.ts';
import { type InodeTable, STATE } from '../../check/inode-table.ts';
import { Fork } from '../../file/fork.ts';
import type { Inode } from '../../file/inode.ts';
import { END_OF_FORK, releaseRange } from '../../file/release.ts';
import { readSymlink, writeSymlink } from '../../file/symlink.ts';
import { mendFlippedBit } from '../bit-flip.ts';
import { attempt, type Workshop } from './workshop.ts';

/** An extent that is longer holds no target. */
const MOST_BLOCKS = 8;

/** @returns false when the symlink had to be removed (its inode is free now; entries still name it). */
export function mendSymlink(shop: Workshop, table: InodeTable, number: number): boolean {
  const inode = shop.tryInode(number);
  if (!inode?.isSymlink) return true;
  const read = attempt(() => readSymlink(inode));
  // An unlinked one may have lost its target already.
  if ((read && !read.includes(0)) || (inode.size === 0 && inode.core.nlink === 0)) return true;
  const target = salvageTarget(shop, inode);
  if (target) {
    releaseRange(shop.tx, shop.space, new Fork(inode, 'data'), 0, END_OF_FORK, Number.MAX_SAFE_INTEGER);
    const again = shop.inode(number);
    again.change(shop.tx);
    again.core.format = FORMAT.EXTENTS;
    writeSymlink(shop.tx, shop.space, again, target);
    shop.report.did('links', `symlink written anew, its target of ${target.length} bytes is whole`, { inode: number });
    shop.settle();
    return true;
  }
  shop.report.lose('symlink target', 'the target cannot be read: the symlink is removed', { inode: number });
  shop.freeInode(number);
  table.state[table.indexOf(number)]! &= ~STATE.used;
  return false;
}

function salvageTarget(shop: Workshop, inode: Inode): Uint8Array | undefined {
  const { size, geometry } = inode;
  if (new Fork(inode, 'data').format === FORMAT.LOCAL || size === 0 || size > MAX_SYMLINK) return undefined;
  const target = new Uint8Array(size);
  let done = 0;
  const whole = attempt(() => {
    let sound = true;
    new Fork(inode, 'data').forEachExtent((_fileBlock, startBlock, blockCount) => {
      if (done >= size || blockCount > MOST_BLOCKS) return true;
      const data = new Uint8Array(blockCount * geometry.blockSize);
      shop.plan.read(geometry.fsBlockToByte(startBlock), data);
      mendFlippedBit(data, SYMLINK.crcOffset);
      const bytes = Math.min(symlinkPayload(data.length), size - done);
      sound &&= isHeader(new DataView(data.buffer), inode.number, geometry.fsBlockToDaddr(startBlock), done, bytes);
      target.set(data.subarray(SymlinkHeader.size, SymlinkHeader.size + bytes), done);
      done += bytes;
      return false;
    });
    return sound;
  });
  return whole && done === size && !target.includes(0) ? target : undefined;
}

/** Three of the five things that a header of this piece must say. */
function isHeader(view: DataView, inode: number, daddr: number, offset: number, bytes: number): boolean {
  const at = SymlinkHeader.offsets;
  const right =
    (view.getUint32(at.magic) === SYMLINK_MAGIC ? 1 : 0) +
    (view.getUint32(at.targetOffset) === offset ? 1 : 0) +
    (view.getUint32(at.targetBytes) === bytes ? 1 : 0) +
    (getU64(view, at.owner) === inode ? 1 : 0) +
    (getU64(view, at.blkno) === daddr ? 1 : 0);
  return right >= 3;
}
