/**
 * How high a tree can get, and what follows from it: the shortest legal free list and the place of the root inode.
 * Heights are computed at minimum fill, since that is what a hostile or merely unlucky image may hold.
 */
import { BTREES, type BtreeLayout, maxLeafRecords, maxNodeRecords } from './btree-blocks.ts';

/** Greatest height of each tree; 1 = a single leaf. Trees a file system does not have get their height all the same. */
export type MaxLevels = { readonly [N in BtreeLayout['name']]: number };

/** Most data extents of one inode with NREXT64. */
const MAX_EXTENTS = 2 ** 48;

const minLeaf = (layout: BtreeLayout, blockSize: number): number => Math.floor(maxLeafRecords(layout, blockSize) / 2);
const minNode = (layout: BtreeLayout, blockSize: number): number => Math.floor(maxNodeRecords(layout, blockSize) / 2);

/** Height of a tree of `records` records whose blocks are all half full. */
function levelsFor(layout: BtreeLayout, blockSize: number, records: number): number {
  const fanOut = minNode(layout, blockSize);
  let height = 1;
  for (let blocks = Math.ceil(records / minLeaf(layout, blockSize)); blocks > 1; blocks = Math.ceil(blocks / fanOut))
    height++;
  return height;
}

/** With shared blocks an AG may hold far more rmap records than blocks; what bounds the tree is the room for its own blocks. */
function rmapLevelsByRoom(blockSize: number, agBlocks: number): number {
  const fanOut = minNode(BTREES.rmapbt, blockSize);
  let height = 1;
  let left = agBlocks - 1;
  for (let width = 2; width < left; width *= fanOut) {
    left -= width;
    height++;
  }
  return height;
}

/**
 * Greatest heights in a file system of this shape.
 * @param agInodes 2^(agblklog + inopblog): AG inode numbers that exist in the numbering.
 */
export function maxTreeLevels(blockSize: number, agBlocks: number, agInodes: number, reflink: boolean): MaxLevels {
  const alloc = levelsFor(BTREES.bnobt, blockSize, Math.floor((agBlocks + 1) / 2));
  const inode = levelsFor(BTREES.inobt, blockSize, Math.floor(agInodes / 64));
  return {
    bnobt: alloc,
    cntbt: alloc,
    inobt: inode,
    finobt: inode,
    rmapbt: reflink ? rmapLevelsByRoom(blockSize, agBlocks) : levelsFor(BTREES.rmapbt, blockSize, agBlocks),
    refcountbt: levelsFor(BTREES.refcountbt, blockSize, agBlocks),
    csumbt: levelsFor(BTREES.csumbt, blockSize, agBlocks),
    bmbt: levelsFor(BTREES.bmbt, blockSize, MAX_EXTENTS),
  };
}

/**
 * Blocks the free list must hold before space in an AG may be changed, for trees of these heights: one possible split of
 * every tree that takes its blocks from the list. (Kernels from 6.7 on keep 2 * this - 2 per tree, for two splits in a
 * row; both give the same for trees of height 1, and a list of another length is legal on disk.)
 * @param rmapLevel 0 without a reverse map.
 */
export function minFreeListLength(max: MaxLevels, bnoLevel: number, cntLevel: number, rmapLevel: number): number {
  let length = Math.min(bnoLevel + 1, max.bnobt) + Math.min(cntLevel + 1, max.cntbt);
  if (rmapLevel > 0) length += Math.min(rmapLevel + 1, max.rmapbt);
  return length;
}
