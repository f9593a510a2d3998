/**
 * Block form: one directory block with entries from the front and the hash index, then its tail, at the back.
 * Our own removals leave no stale index entries here; those a kernel left are squeezed out before an insert.
 */
import {
  DIR_BLOCK,
  DIR_DATA,
  DIR_LEAF1,
  DirBlockTail,
  dirBlockDataEnd,
  dirEntrySize,
} from '../../formats/directory.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt } from '../errors.ts';
import { carve, findFree, isEntryStart, longestFree, release, trailingFree, writeEntry } from './data-block.ts';
import { hit, insertEntry, LEAF_BASE, searchEntries, setLeafCounts, squeezeEntries } from './hash-leaf.ts';
import { at, block, create, dataPointer, edit, leafStart, retype } from './layout.ts';

/** Find a name; `hit` tells where. */
export function searchBlock(fork: ForkReader, hash: number, name: Uint8Array): boolean {
  const { view } = block(fork, 0, DIR_BLOCK);
  return searchEntries(fork, view, dirBlockDataEnd(view), indexCount(view), hash, name, DIR_BLOCK);
}

const indexCount = (view: DataView): number => view.getUint32(view.byteLength - DirBlockTail.size);
const staleCount = (view: DataView): number => view.getUint32(view.byteLength - 4);

/** Entries besides "." and "..". */
export function countBlock(fork: ForkReader): number {
  const { view } = block(fork, 0, DIR_BLOCK);
  return indexCount(view) - staleCount(view) - 2;
}

/** Move the index to the back after stale entries were squeezed out; the room goes to the data part. */
function compactIndex(view: DataView, data: Uint8Array): void {
  if (staleCount(view) === 0) return;
  const start = dirBlockDataEnd(view);
  const count = indexCount(view);
  const live = squeezeEntries(view, start, count);
  const from = start + 8 * (count - live);
  data.copyWithin(from, start, start + 8 * live);
  setTail(view, live);
  release(view, from, start, from - start);
}

function setTail(view: DataView, count: number): void {
  view.setUint32(view.byteLength - 8, count);
  view.setUint32(view.byteLength - 4, 0);
}

/** Insert; false (and nothing changed but stale index entries) when the block has no room for entry and index entry. */
export function insertBlock(fork: ForkBlocks, hash: number, name: Uint8Array, inode: number, ftype: number): boolean {
  const need = dirEntrySize(name.length);
  const buffer = edit(fork, 0, DIR_BLOCK);
  const { view, data } = buffer;
  compactIndex(view, data);
  const count = indexCount(view);
  const end = dirBlockDataEnd(view);
  const tail = trailingFree(view, end);
  if (tail === 0) return false;
  // The index grows by 8 bytes into the last unused region; what is left of it, or another region, takes the entry.
  const rest = end - tail - 8;
  if (rest < need && !fitsElsewhere(view, tail, need)) return false;
  carve(view, end, tail, 8, true);
  data.copyWithin(end - 8, end, end + 8 * count);
  const offset = carve(view, end - 8, findFree(view, need), need);
  writeEntry(view, data, offset, name, inode, ftype);
  setTail(view, count + 1);
  // The array now starts 8 bytes earlier and has its free place at its end.
  insertEntry(buffer, end - 8, count, 0, hash, dataPointer(fork, 0, offset));
  return true;
}

/** True when an unused region other than `tail` has room. */
function fitsElsewhere(view: DataView, tail: number, need: number): boolean {
  const first = view.getUint16(48) !== tail ? longestFree(view) : view.getUint16(54);
  return first >= need;
}

/** Remove the entry of `hit`. */
export function removeBlock(fork: ForkBlocks): void {
  const { slot, offset } = hit;
  const { view, data } = edit(fork, 0, DIR_BLOCK);
  let end = dirBlockDataEnd(view);
  if (!isEntryStart(view, end, offset)) throw corrupt('DIR_BAD_POINTER', 'hash index points inside an entry', at(fork));
  compactAround(view, data, end, slot);
  release(view, end, offset, dirEntrySize(view.getUint8(offset + 8)));
  end += 8;
  release(view, end, end - 8, 8);
}

/** Take one index entry out; those before it move up by 8 bytes. */
function compactAround(view: DataView, data: Uint8Array, end: number, slot: number): void {
  data.copyWithin(end + 8, end, end + 8 * slot);
  view.setUint32(view.byteLength - 8, indexCount(view) - 1);
}

/** Block form to leaf form: the index moves to a block of its own. Allocates before it changes anything. */
export function blockToLeaf(fork: ForkBlocks): void {
  const from = block(fork, 0, DIR_BLOCK);
  const leaf = create(fork, leafStart(fork), DIR_LEAF1);
  const start = dirBlockDataEnd(from.view);
  const count = indexCount(from.view);
  leaf.data.set(from.data.subarray(start, start + 8 * count), LEAF_BASE);
  setLeafCounts(leaf.view, count, staleCount(from.view));
  const only = edit(fork, 0, DIR_BLOCK);
  const { view, data } = only;
  retype(only, DIR_DATA);
  data.fill(0, start);
  release(view, fork.blockBytes, start, fork.blockBytes - start);
  const best = longestFree(view);
  const index = edit(fork, leafStart(fork), DIR_LEAF1).view;
  index.setUint32(fork.blockBytes - 4, 1);
  index.setUint16(fork.blockBytes - 6, best);
}
