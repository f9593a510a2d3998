/** Where the attr fork starts inside an inode: the one number that divides the literal area between the two forks. */
import { InodeCore } from '../../formats/inode.ts';
import { hasDeviceFork } from './create.ts';
import type { Inode } from './inode.ts';

/** The kernel's default for inodes of 512 bytes and more: 192 bytes of data fork. */
const DEFAULT_FORKOFF = 24;
/** The least a data fork keeps: a bmbt root of three records, rounded up to 8 bytes. */
const MIN_DATA_BYTES = 56;

/**
 * The offset, in 8-byte units, for an inode that has no attr fork yet and whose data fork is still empty.
 * @param shortBytes bytes of the attributes in shortform, or undefined when they cannot have it.
 * @param localBytes bytes the data fork is going to hold inside the inode (a symlink's target); 0 when it can adapt.
 */
export function chooseForkOffset(inode: Inode, shortBytes: number | undefined, localBytes: number): number {
  if (hasDeviceFork(inode.mode)) return 1;
  const literal = inode.geometry.inodeSize - InodeCore.size;
  const roomAt = (forkoff: number) => literal - forkoff * 8;
  const wanted = shortBytes ?? 0;
  const forTarget = Math.ceil(localBytes / 8);
  // A longer target than the default leaves room for is worth moving the border, if the attributes still fit.
  if (forTarget > DEFAULT_FORKOFF && roomAt(forTarget) >= Math.max(wanted, 16)) return forTarget;
  if (shortBytes === undefined || wanted <= roomAt(DEFAULT_FORKOFF)) return DEFAULT_FORKOFF;
  const least = Math.max(MIN_DATA_BYTES / 8, forTarget <= DEFAULT_FORKOFF ? forTarget : 0);
  const largest = Math.floor((literal - wanted) / 8);
  return largest >= least ? largest : DEFAULT_FORKOFF;
}
