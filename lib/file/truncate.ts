/**
 * Changing how much of a file there is: truncate, punch, preallocate, and letting go of everything an inode holds.
 *
 * Each call does a bounded piece of work inside the caller's transaction and returns true when more is left: commit, load
 * the inode again in a new transaction, and call again with the same arguments. After every piece the file is whole:
 *
 *   shrink    the size changes with the first piece; blocks behind the end are legal and go piece by piece
 *   grow      the size changes with the last piece, when nothing old is left between the old end and the new one
 *   punch     the hole grows from its start
 *
 * Times are the caller's. `units` bounds the work (release.ts says what a unit is).
 */
import { ATTR_LEAF, ATTR_LEAF_MAGIC, AttrLeafHeader } from '../../formats/attribute.ts';
import { MAX_EXTENT_BLOCKS } from '../../formats/btree-blocks.ts';
import { FORMAT, INODE_FLAG2, InodeCore } from '../../formats/inode.ts';
import type { Transaction } from '../buffer/transaction.ts';
import type { Device } from '../device/device.ts';
import { noSpace } from '../errors.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Space } from '../space/space.ts';
import { Fork, homeBlock } from './fork.ts';
import type { Inode } from './inode.ts';
import { DEFAULT_UNITS, END_OF_FORK, releaseRange } from './release.ts';
import { checkFileRange, FileWriter } from './write.ts';

/**
 * Give a regular file this size in bytes. Shrinking zeroes the rest of the last block that stays and frees everything
 * behind it, preallocated blocks too; growing leaves a hole. A file that keeps no block is marked as sharing none.
 * @returns true when blocks are left to free: call again. Throws EFBIG, EINVAL; ENOSPC (the last block may need a copy).
 */
export function truncateFile(
  tx: Transaction,
  space: Space,
  device: Device,
  inode: Inode,
  size: number,
  units = DEFAULT_UNITS,
): boolean {
  checkFileRange(0, size);
  const { blockSize } = inode.geometry;
  const writer = new FileWriter(tx, inode, device, space);
  if (size > inode.size) {
    if (writer.clearBehindEnd(size, Math.ceil(size / blockSize), units) === 0) return true;
    inode.change(tx);
    inode.core.size = size;
    return false;
  }
  if (size < inode.size) {
    if (size % blockSize !== 0) writer.zeroInBlock(size, blockSize - (size % blockSize));
    inode.change(tx);
    inode.core.size = size;
  }
  const data = new Fork(inode, 'data');
  if (releaseRange(tx, space, data, Math.ceil(size / blockSize), END_OF_FORK, units) === 0) return true;
  // As the kernel: who maps nothing shares nothing.
  if (inode.isReflink && data.extentCount === 0) {
    inode.change(tx);
    inode.core.flags2Lo = (inode.core.flags2Lo & ~INODE_FLAG2.REFLINK) >>> 0;
  }
  return false;
}

/**
 * Make bytes [offset, offset + length) of a regular file read as zeroes: whole blocks become a hole, the edges are zeroed.
 * The size stays. @returns true when more is left: call again. Throws EFBIG, EINVAL; ENOSPC (edges may need a copy).
 */
export function punchHole(
  tx: Transaction,
  space: Space,
  device: Device,
  inode: Inode,
  offset: number,
  length: number,
  units = DEFAULT_UNITS,
): boolean {
  checkFileRange(offset, length);
  if (length === 0) return false;
  const { blockSize } = inode.geometry;
  const end = offset + length;
  const first = Math.ceil(offset / blockSize);
  const last = Math.floor(end / blockSize);
  const writer = new FileWriter(tx, inode, device, space);
  if (first > last) {
    writer.zeroInBlock(offset, length);
    return false;
  }
  // Zeroing what is zero already costs one read, so a later piece may do it again.
  if (offset % blockSize !== 0) writer.zeroInBlock(offset, first * blockSize - offset);
  if (end % blockSize !== 0) writer.zeroInBlock(last * blockSize, end % blockSize);
  return releaseRange(tx, space, new Fork(inode, 'data'), first, last, units) === 0;
}

/**
 * Give every hole in bytes [offset, offset + length) of a regular file blocks that read as zeroes. The file grows to the
 * end of the range unless `keepSize`.
 * @returns true when more is left: call again. Throws EFBIG, EINVAL, ENOSPC (what it got until then stays).
 */
export function allocateUnwritten(
  tx: Transaction,
  space: Space,
  device: Device,
  inode: Inode,
  offset: number,
  length: number,
  keepSize = false,
  units = DEFAULT_UNITS,
): boolean {
  checkFileRange(offset, length);
  if (length === 0) return false;
  const { blockSize } = inode.geometry;
  const end = offset + length;
  const last = Math.ceil(end / blockSize);
  let left = units;
  if (!keepSize && end > inode.size) {
    left = new FileWriter(tx, inode, device, space).clearBehindEnd(end, last, left);
    if (left === 0) return true;
  }
  const fork = new Fork(inode, 'data');
  const owner = inodeOwner(inode.number);
  for (let at = Math.floor(offset / blockSize); at < last; ) {
    const cursor = fork.cursor();
    const near = cursor.seekLE(at) ? cursor.startBlock + cursor.blockCount : homeBlock(inode);
    const found = cursor.seekContaining(at);
    if (found && cursor.fileBlock <= at) {
      at = cursor.endBlock;
      continue;
    }
    if (left-- === 0) return true;
    const holeEnd = found ? Math.min(last, cursor.fileBlock) : last;
    const place = { fileBlock: at, unwritten: true };
    const got = space.allocate(tx, { min: 1, max: Math.min(holeEnd - at, MAX_EXTENT_BLOCKS), near, owner, place });
    if (!got) throw noSpace(`no block for inode ${inode.number}`, { where: { inode: inode.number, fileBlock: at } });
    fork.map(tx, space, at, got.fsBlock, got.blockCount, true);
    at += got.blockCount;
  }
  if (!keepSize && end > inode.size) {
    inode.change(tx);
    inode.core.size = end;
  }
  return false;
}

/**
 * Let go of all an inode holds, of whatever type it is, because it is going away: data or directory blocks, a symlink's
 * target, attributes and their values, extent-tree blocks. Nothing is read but the extents, so damaged content does not matter.
 * At the end the inode is empty and without attr fork: `Space.freeInode` may have it.
 * @returns true when more is left: call again. Between pieces the inode must be on the unlinked list.
 */
export function freeForks(tx: Transaction, space: Space, inode: Inode, units = DEFAULT_UNITS): boolean {
  const { core, geometry } = inode;
  const data = new Fork(inode, 'data');
  const attr = new Fork(inode, 'attr');
  inode.change(tx);
  // The few blocks of a symlink go at once: half a target is nothing a recovery could read.
  const left = releaseRange(tx, space, data, 0, END_OF_FORK, inode.isSymlink ? Number.MAX_SAFE_INTEGER : units);
  if (left === 0) return true;
  if (attr.hasExtents && releaseRange(tx, space, attr, 0, END_OF_FORK, left, { descending: true }) === 0) {
    emptyAttributeRoot(tx, attr);
    return true;
  }
  if (core.format !== FORMAT.DEV) {
    core.format = FORMAT.EXTENTS;
    core.size = 0;
  }
  core.forkoff = 0;
  core.aformat = FORMAT.EXTENTS;
  const start = inode.view.byteOffset + inode.base;
  new Uint8Array(inode.view.buffer, start + InodeCore.size, geometry.inodeSize - InodeCore.size).fill(0);
  return false;
}

/** Attribute blocks have gone: until the rest follows, block 0 must not name them. It becomes a leaf without entries. */
function emptyAttributeRoot(tx: Transaction, attr: Fork): void {
  const { geometry, number } = attr.inode;
  const cursor = attr.cursor();
  if (!cursor.seekFirst() || cursor.fileBlock !== 0) return;
  const daddr = geometry.fsBlockToDaddr(cursor.startBlock);
  const leaf = AttrLeafHeader.at(tx.create(daddr, geometry.blockSize, ATTR_LEAF).view);
  leaf.magic = ATTR_LEAF_MAGIC;
  leaf.blkno = daddr;
  leaf.uuid = geometry.metaUuid;
  leaf.owner = number;
  leaf.firstused = geometry.blockSize % 65536;
  leaf.freemap0Base = AttrLeafHeader.size;
  leaf.freemap0Size = geometry.blockSize - AttrLeafHeader.size;
}
