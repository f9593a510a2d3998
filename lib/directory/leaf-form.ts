/**
 * Leaf form: data blocks, and one leaf1 that holds the whole hash index and, at its back, the longest unused length
 * ("best") of every data block. Conversions to and from block and node form.
 */
import {
  DIR_BLOCK,
  DIR_DATA,
  DIR_FREE,
  DIR_LEAF1,
  DIR_LEAFN,
  DIR_NULL_BEST,
  dirEntrySize,
  maxLeaf1Entries,
} from '../../formats/directory.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt, noSpace } from '../errors.ts';
import {
  carve,
  clearData,
  findFree,
  isEmptyData,
  isEntryStart,
  longestFree,
  release,
  trailingFree,
  writeEntry,
} from './data-block.ts';
import { fillFreeBlock, freeBest, freeValid, onlyFreeBlock } from './free-index.ts';
import {
  compactLeaf,
  hit,
  insertIntoLeaf,
  LEAF_BASE,
  leafCount,
  leafStale,
  makeStale,
  searchEntries,
  squeezeEntries,
} from './hash-leaf.ts';
import { rootIsLeaf } from './hash-tree.ts';
import { at, block, create, dataPointer, edit, freeStart, leafStart, retype, updateSize } from './layout.ts';

const bestCount = (view: DataView): number => view.getUint32(view.byteLength - 4);
const bestAt = (view: DataView, dataBlock: number, count: number): number =>
  view.byteLength - 4 - 2 * (count - dataBlock);

/** Find a name; `hit` tells where. */
export function searchLeaf(fork: ForkReader, hash: number, name: Uint8Array): boolean {
  const { view } = block(fork, leafStart(fork), DIR_LEAF1);
  return searchEntries(fork, view, LEAF_BASE, leafCount(view), hash, name, DIR_DATA);
}

/** Entries besides "." and "..". */
export function countLeaf(fork: ForkReader): number {
  const { view } = block(fork, leafStart(fork), DIR_LEAF1);
  return leafCount(view) - leafStale(view) - 2;
}

/** A new, empty data block. Throws ENOSPC at the end of the data space, `corrupt` when the place is taken. */
export function createData(fork: ForkBlocks, dataBlock: number): void {
  const fileBlock = dataBlock * fork.blockBlocks;
  if (fileBlock >= leafStart(fork)) throw noSpace('directory has as many data blocks as it can have', at(fork));
  for (const taken of fork.mapped(fileBlock, fileBlock + fork.blockBlocks)) {
    throw corrupt(
      'DIR_BAD_BEST',
      `data block ${dataBlock} exists, but the directory counts it as a hole`,
      at(fork, taken),
    );
  }
  clearData(create(fork, fileBlock, DIR_DATA).view, fork.blockBytes);
}

/** What `addEntry` did. */
export const added = { pointer: 0, best: 0 };

/** Put an entry into a data block that should have room; `added` has its dataptr and the block's new best. */
export function addEntry(fork: ForkBlocks, dataBlock: number, name: Uint8Array, inode: number, ftype: number): void {
  const need = dirEntrySize(name.length);
  const { view, data } = edit(fork, dataBlock * fork.blockBlocks, DIR_DATA);
  const region = findFree(view, need);
  if (region === 0) {
    throw corrupt('DIR_BAD_BEST', `data block ${dataBlock} has less room than the directory says`, {
      ...at(fork, dataBlock * fork.blockBlocks),
      expected: need,
      found: longestFree(view),
    });
  }
  const offset = carve(view, fork.blockBytes, region, need);
  writeEntry(view, data, offset, name, inode, ftype);
  added.pointer = dataPointer(fork, dataBlock, offset);
  added.best = longestFree(view);
}

/**
 * Take the entry at `offset` out of its data block, which is freed when that leaves it empty (but block 0). Returns the
 * block's new best, DIR_NULL_BEST when it is gone.
 */
export function dropEntry(fork: ForkBlocks, dataBlock: number, offset: number): number {
  const fileBlock = dataBlock * fork.blockBlocks;
  const { view } = edit(fork, fileBlock, DIR_DATA);
  if (!isEntryStart(view, fork.blockBytes, offset)) {
    throw corrupt('DIR_BAD_POINTER', 'hash index points inside an entry', at(fork, fileBlock));
  }
  release(view, fork.blockBytes, offset, dirEntrySize(view.getUint8(offset + 8)));
  if (dataBlock === 0 || !isEmptyData(view, fork.blockBytes)) return longestFree(view);
  fork.free(fileBlock);
  return DIR_NULL_BEST;
}

/** Change how many bests a leaf1 has; new ones are DIR_NULL_BEST. The caller has made sure they fit. */
function resizeBests(buffer: Buffer, from: number, to: number): void {
  const { view, data } = buffer;
  const end = view.byteLength - 4;
  const keep = Math.min(from, to);
  data.copyWithin(end - 2 * to, end - 2 * from, end - 2 * from + 2 * keep);
  if (to < from) data.fill(0, end - 2 * from, end - 2 * to);
  for (let i = from; i < to; i++) view.setUint16(end - 2 * (to - i), DIR_NULL_BEST);
  view.setUint32(end, to);
}

/** Insert; false (nothing changed) when the leaf1 cannot hold the entry: convert to node form. */
export function insertLeaf(fork: ForkBlocks, hash: number, name: Uint8Array, inode: number, ftype: number): boolean {
  const need = dirEntrySize(name.length);
  const { view } = block(fork, leafStart(fork), DIR_LEAF1);
  const bests = bestCount(view);
  const count = leafCount(view);
  const stale = leafStale(view);
  let dataBlock = -1;
  let hole = bests;
  for (let i = 0, place = bestAt(view, 0, bests); i < bests; i++, place += 2) {
    const best = view.getUint16(place);
    if (best === DIR_NULL_BEST) hole = Math.min(hole, i);
    else if (best >= need) {
      dataBlock = i;
      break;
    }
  }
  const fresh = dataBlock < 0;
  if (fresh) dataBlock = hole;
  const bestsAfter = Math.max(bests, dataBlock + 1);
  const room = maxLeaf1Entries(fork.blockBytes, bestsAfter);
  if (count - stale + 1 > room) return false;
  if (fresh) createData(fork, dataBlock);
  addEntry(fork, dataBlock, name, inode, ftype);
  const leaf = edit(fork, leafStart(fork), DIR_LEAF1);
  if (count > room) compactLeaf(leaf.view);
  if (bestsAfter !== bests) resizeBests(leaf, bests, bestsAfter);
  leaf.view.setUint16(bestAt(leaf.view, dataBlock, bestsAfter), added.best);
  insertIntoLeaf(leaf, hash, added.pointer);
  if (fresh) updateSize(fork);
  return true;
}

/** Remove the entry of `hit`. */
export function removeLeaf(fork: ForkBlocks): void {
  const { slot, dataBlock, offset } = hit;
  const best = dropEntry(fork, dataBlock, offset);
  const leaf = edit(fork, leafStart(fork), DIR_LEAF1);
  const { view } = leaf;
  makeStale(view, slot);
  const bests = bestCount(view);
  if (dataBlock >= bests) throw corrupt('DIR_BAD_BEST', `leaf has no best for data block ${dataBlock}`, at(fork));
  view.setUint16(bestAt(view, dataBlock, bests), best);
  if (best !== DIR_NULL_BEST) return;
  let left = bests;
  while (left > 1 && view.getUint16(bestAt(view, left - 1, bests)) === DIR_NULL_BEST) left--;
  if (left !== bests) resizeBests(leaf, bests, left);
  updateSize(fork);
}

/** Leaf form to block form when one data block is left and the index fits into the unused bytes at its end. */
export function leafToBlock(fork: ForkBlocks): boolean {
  const start = leafStart(fork);
  const leaf = block(fork, start, DIR_LEAF1);
  if (bestCount(leaf.view) !== 1) return false;
  const live = leafCount(leaf.view) - leafStale(leaf.view);
  const bytes = 8 * live + 8;
  const size = fork.blockBytes;
  const data = block(fork, 0, DIR_DATA);
  const tail = trailingFree(data.view, size);
  if (tail === 0 || size - tail < bytes) return false;
  const index = leaf.data.slice(LEAF_BASE, LEAF_BASE + 8 * leafCount(leaf.view));
  squeezeEntries(new DataView(index.buffer), 0, index.length / 8);
  const only = edit(fork, 0, DIR_DATA);
  carve(only.view, size, tail, bytes, true);
  only.data.set(index.subarray(0, 8 * live), size - bytes);
  only.view.setUint32(size - 8, live);
  only.view.setUint32(size - 4, 0);
  retype(only, DIR_BLOCK);
  fork.free(start);
  fork.setSize(size);
  return true;
}

/** Leaf form to node form: the bests become a free index block. Allocates before it changes anything. */
export function leafToNode(fork: ForkBlocks): void {
  const from = block(fork, leafStart(fork), DIR_LEAF1).view;
  const count = bestCount(from);
  const bests = new Uint16Array(count);
  for (let i = 0; i < count; i++) bests[i] = from.getUint16(bestAt(from, i, count));
  fillFreeBlock(create(fork, freeStart(fork), DIR_FREE).view, 0, bests, 0, count);
  const leaf = edit(fork, leafStart(fork), DIR_LEAF1);
  retype(leaf, DIR_LEAFN);
  leaf.data.fill(0, LEAF_BASE + 8 * leafCount(leaf.view));
}

/** Node form to leaf form when one leafN and one free index block are left and both fit into a leaf1. */
export function nodeToLeaf(fork: ForkBlocks): boolean {
  if (!rootIsLeaf(fork)) return false;
  const free = onlyFreeBlock(fork);
  if (!free) return false;
  const { view } = block(fork, leafStart(fork), DIR_LEAFN);
  const bests = freeValid(free);
  if (leafCount(view) - leafStale(view) > maxLeaf1Entries(fork.blockBytes, bests)) return false;
  const leaf = edit(fork, leafStart(fork), DIR_LEAFN);
  compactLeaf(leaf.view);
  retype(leaf, DIR_LEAF1);
  leaf.data.fill(0, LEAF_BASE + 8 * leafCount(leaf.view));
  for (let i = 0; i < bests; i++) leaf.view.setUint16(bestAt(leaf.view, i, bests), freeBest(free, i));
  leaf.view.setUint32(fork.blockBytes - 4, bests);
  fork.free(freeStart(fork));
  return true;
}
