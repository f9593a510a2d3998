/**
 * The smallest log an image may have. The kernel refuses a v5 image whose log cannot hold three times the largest
 * transaction it may ever reserve space for, so the bound follows from the shape of every transaction: how many inodes,
 * sectors and blocks it may dirty, at the greatest heights the trees can reach in this geometry.
 *
 * 1. All sizes are bytes unless the name says blocks; a "basic block" is 512 bytes.
 * 2. The result equals mkfs.xfs 6.1's, which assumes the largest log buffers (256 KiB) and the inflated shapes of early
 *    reflink kernels, but for images with a register and without reflink, whose logs newer kernels would refuse: it is never
 *    below what any kernel asks for.
 */
import { BTREES, maxLeafRecords, maxNodeRecords } from '../../formats/btree-blocks.ts';
import { maxTreeLevels } from '../../formats/tree-levels.ts';

/** What the bound depends on. */
export interface LogSizeInput {
  readonly blockSize: number;
  readonly sectorSize: number;
  readonly inodeSize: number;
  /** Bytes of a directory block. */
  readonly dirBlockSize: number;
  readonly agBlocks: number;
  /** Log stripe unit in bytes; 0 or 1 = none. */
  readonly logSunit: number;
  readonly finobt: boolean;
  readonly rmapbt: boolean;
  readonly reflink: boolean;
  readonly nrext64: boolean;
  /** Parent pointers: every change of a name also sets an attribute (newer than mkfs.xfs 6.1; checked against Linux 6.18). */
  readonly parent: boolean;
}

/** Height of a block map of `extents` extents whose root has room for `rootSlots` pointers. */
function bmapHeight(blockSize: number, extents: number, rootSlots: number): number {
  const leaf = Math.floor(maxLeafRecords(BTREES.bmbt, blockSize) / 2);
  const node = Math.floor(maxNodeRecords(BTREES.bmbt, blockSize) / 2);
  let height = 1;
  let blocks = Math.ceil(extents / leaf);
  while (blocks > 1) {
    blocks = blocks <= rootSlots ? 1 : Math.ceil(blocks / node);
    height++;
  }
  return height;
}

const BASIC_BLOCK = 512;
/** Log bytes that go with every logged buffer: its item header and op header, in 128-byte chunks. */
const BUFFER_OVERHEAD = 128;
const OP_HEADER = 12;
const TRANSACTION_HEADER = 16;
/** Format struct of an inode item. */
const INODE_ITEM = 56;
/** In-memory header of a logged block-map root. */
const LONG_HEADER = 72;
/** Six quota records with their item headers: user, group and project of two owners. */
const QUOTA = 6 * (24 + 104);
/** Greatest depth of a directory or attribute tree; directories also touch a data and a free-index block. */
const DA_DEPTH = 5;
const SYMLINK_BYTES = 1024;
/** Largest log buffer and its share of headers: one 512-byte header for each 32 KiB. */
const LOG_BUFFER = 262144;
const LOG_BUFFER_HEADERS = (LOG_BUFFER / 32768) * BASIC_BLOCK;
/** A log must hold three transactions of the largest kind. */
const TRANSACTIONS_IN_LOG = 3;
/** Fewest blocks of any log. */
export const MIN_LOG_BLOCKS = 512;
/** Rolls of setting or removing an attribute. */
const ATTR_ROLLS = 3;
/** More than the log items of one parent-pointer change with its names take. */
const PARENT_ITEMS = 2048;
/** Reverse-map height that early reflink kernels assumed whatever the AG size. */
const OLD_RMAP_LEVELS = 9;

/** A kind of transaction: bytes it reserves at once, and how often it may roll over. */
interface Reservation {
  readonly bytes: number;
  readonly rolls: number;
}

/** Every transaction that can be the largest one in some geometry. */
function reservations(input: LogSizeInput): { list: Reservation[]; attrSet: number } {
  const { blockSize, sectorSize, reflink, rmapbt, dirBlockSize } = input;
  // A register without reflink: Linux 6.18 asks for more than mkfs.xfs 6.1 gives, with or without a free-inode tree. These
  // shapes are above what it was seen to ask for with blocks of 1, 4 and 16 KiB.
  const finobt = input.finobt || (rmapbt && !reflink);
  const agInodes = 2 ** Math.ceil(Math.log2(input.agBlocks)) * (blockSize / input.inodeSize);
  const levels = maxTreeLevels(blockSize, input.agBlocks, agInodes, reflink);
  const bmapData = bmapHeight(blockSize, input.nrext64 ? 2 ** 48 - 1 : 2 ** 31 - 1, 3);
  const bmapAttr = bmapHeight(blockSize, input.nrext64 ? 2 ** 32 - 1 : 2 ** 15 - 1, 2);
  const rmapLevels = rmapbt ? OLD_RMAP_LEVELS : 0;
  const buffers = (count: number, size: number): number => count * (size + BUFFER_OVERHEAD);
  const blocks = (count: number): number => buffers(count, blockSize);
  const sectors = (count: number): number => buffers(count, sectorSize);
  const inodes = (count: number): number => count * (4 * OP_HEADER + INODE_ITEM + input.inodeSize + 2 * LONG_HEADER);
  // Tree blocks that allocating or freeing `n` extents may dirty: a full split of both free-space trees and the register.
  const freeSpace = (n: number): number => n * 2 * (2 * levels.bnobt - 1) + (rmapbt ? n * (2 * rmapLevels - 1) : 0);
  const refcount = (n: number): number => (reflink ? n * (2 * levels.refcountbt - 1) : 0);

  const directoryBlocks = dirBlockSize / blockSize;
  // Longest run of extents that one split of a block map makes room for.
  const extentsPerSplit = Math.ceil(maxLeafRecords(BTREES.bnobt, blockSize) / 2);
  const mapBlocks = (extents: number, height: number): number => Math.ceil(extents / extentsPerSplit) * (height - 1);
  const directoryMap = mapBlocks(directoryBlocks, bmapData);
  const directoryChange = (DA_DEPTH + 2) * (directoryBlocks + directoryMap) + 1;

  const inodeTree = blocks(levels.inobt) + blocks(freeSpace(1));
  const freeInodeTree = finobt ? inodeTree : 0;
  // Unlinked chains live inside the inodes: whole cluster buffers, one for adding, two for removing.
  const clusterBytes = Math.max(blockSize, 8192 * (input.inodeSize / 256));
  const unlinkAdd = sectors(2) + clusterBytes;
  const unlinkRemove = sectors(1) + 2 * clusterBytes;
  const chunkBlocks = Math.max(1, Math.floor((64 * input.inodeSize) / blockSize));

  const write =
    QUOTA +
    Math.max(
      inodes(1) + blocks(bmapData) + sectors(3) + blocks(freeSpace(2)) + blocks(refcount(2)),
      sectors(5) + blocks(freeSpace(2)) + blocks(refcount(2)),
    );
  const truncate =
    QUOTA + Math.max(inodes(1) + blocks(bmapData + 1), sectors(9) + blocks(freeSpace(4)) + blocks(refcount(4)));
  const create =
    QUOTA +
    Math.max(
      sectors(2) + sectorSize + blocks(freeSpace(1)) + inodeTree + freeInodeTree,
      inodes(2) + sectors(1) + blockSize + blocks(directoryChange) + freeInodeTree,
    );
  // With parent pointers a change of a name carries the attribute change with it, and rolls as often again as that does.
  const naming = (bytes: number, rolls: number): Reservation =>
    input.parent ? { bytes: bytes + PARENT_ITEMS, rolls: rolls + ATTR_ROLLS } : { bytes, rolls };
  const rollsOfData = reflink ? 8 : 2;
  const attrSetMain = QUOTA + inodes(1) + sectors(1) + blocks(DA_DEPTH);
  const attrSetBlock = sectors(1) + blocks(bmapAttr);
  // The greatest attribute value kept inside a leaf, less its name; counted once in blocks and once (so the rule goes) as
  // if the bytes were extents.
  const attrBytes = Math.floor(blockSize / 2) + Math.floor(blockSize / 4) - 255 - 1;
  const attrBlocks =
    DA_DEPTH * (1 + mapBlocks(1, bmapAttr)) + Math.ceil(attrBytes / blockSize) + mapBlocks(attrBytes, bmapAttr);
  return {
    attrSet: attrSetMain + attrSetBlock * attrBlocks,
    list: [
      { bytes: write, rolls: rollsOfData },
      { bytes: truncate, rolls: rollsOfData },
      // The first use of a quota block is a write with that block on top.
      { bytes: write + buffers(1, blockSize - 1), rolls: rollsOfData },
      // rename, link, remove
      naming(QUOTA + Math.max(inodes(5) + blocks(2 * directoryChange), sectors(7) + blocks(freeSpace(3))), 2),
      naming(
        QUOTA + unlinkRemove + Math.max(inodes(2) + blocks(directoryChange), sectors(3) + blocks(freeSpace(1))),
        2,
      ),
      naming(QUOTA + unlinkAdd + Math.max(inodes(2) + blocks(directoryChange), sectors(4) + blocks(freeSpace(2))), 2),
      // make a directory, a symlink
      naming(create, 3),
      naming(create + buffers(1, SYMLINK_BYTES), 3),
      // free an inode
      {
        bytes:
          QUOTA +
          inodes(1) +
          sectors(3) +
          unlinkRemove +
          blocks(freeSpace(1)) +
          buffers(chunkBlocks, 0) +
          inodeTree +
          freeInodeTree,
        rolls: 2,
      },
      // add an attribute fork
      {
        bytes:
          QUOTA + inodes(1) + sectors(2) + buffers(1, dirBlockSize) + blocks(directoryMap + 1) + blocks(freeSpace(1)),
        rolls: 2,
      },
      // remove an attribute
      {
        bytes:
          QUOTA +
          Math.max(
            inodes(1) + blocks(DA_DEPTH) + blockSize * bmapAttr + buffers(bmapData, 0),
            sectors(5) + blocks(freeSpace(2)),
          ),
        rolls: 3,
      },
      // drop an attribute fork
      { bytes: Math.max(inodes(1) + blocks(bmapAttr), sectors(9) + blocks(freeSpace(4))), rolls: 1 },
    ],
  };
}

/** Log space that one transaction of `bytes` may take: with op headers, record headers and rounding. */
function logSpace(bytes: number, logSunit: number): number {
  let total = bytes + 2 * OP_HEADER + TRANSACTION_HEADER;
  const room = LOG_BUFFER - LOG_BUFFER_HEADERS;
  let headers = Math.ceil(total / room);
  total += OP_HEADER * headers;
  while (Math.ceil(total / room) > headers) {
    total += OP_HEADER;
    headers++;
  }
  // One more set of headers for the commit record; padding at the end of the data and of the commit record.
  return total + LOG_BUFFER_HEADERS * (headers + 1) + 2 * (logSunit > 1 ? logSunit : BASIC_BLOCK);
}

/** Smallest log, in fs blocks, that mkfs.xfs 6.1 accepts for this geometry (fact: it is at least MIN_LOG_BLOCKS). */
export function minLogBlocks(input: LogSizeInput): number {
  const { list, attrSet } = reservations(input);
  let largest: Reservation = { bytes: 0, rolls: 1 };
  for (const candidate of list) {
    if (candidate.bytes * candidate.rolls > largest.bytes * largest.rolls) largest = candidate;
  }
  if (attrSet > largest.bytes * largest.rolls) largest = { bytes: attrSet, rolls: ATTR_ROLLS };
  const needed = Math.ceil((logSpace(largest.bytes, input.logSunit) * largest.rolls) / BASIC_BLOCK);
  const unit = input.logSunit > 1 ? input.logSunit / BASIC_BLOCK : 0;
  const basicBlocks = unit > 0 ? Math.ceil(needed / unit) * unit + 2 * unit : needed + 2 * BASIC_BLOCK;
  return Math.max(MIN_LOG_BLOCKS, Math.ceil((basicBlocks * TRANSACTIONS_IN_LOG * BASIC_BLOCK) / input.blockSize));
}
