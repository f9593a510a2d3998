/**
 * The free index of node form: for every data block the length of its longest unused region, 0xFFFF where there is no
 * block. Free block k covers data blocks k * slots and up. A free block without a used slot does not stay.
 */
import { DIR_FREE, DIR_NULL_BEST, DirFree, dirFreeSlots } from '../../formats/directory.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt } from '../errors.ts';
import { at, block, create, DABLK_END, edit, freeStart, leafStart } from './layout.ts';

const BASE = DirFree.size;
const { firstdb: FIRST, nvalid: VALID, nused: USED } = DirFree.offsets;

const blockOf = (fork: ForkReader, dataBlock: number): number =>
  freeStart(fork) + Math.floor(dataBlock / dirFreeSlots(fork.blockBytes)) * fork.blockBlocks;

function checkFirst(fork: ForkReader, fileBlock: number, view: DataView): void {
  const expected = ((fileBlock - freeStart(fork)) / fork.blockBlocks) * dirFreeSlots(fork.blockBytes);
  const found = view.getUint32(FIRST);
  if (found !== expected) {
    throw corrupt(
      'BAD_FIRSTDB',
      `free index block covers data block ${found}, expected ${expected}`,
      at(fork, fileBlock),
    );
  }
}

/** The free block of a data block to change; with `make` it is created where missing. */
function editFree(fork: ForkBlocks, dataBlock: number, make: boolean): Buffer {
  const fileBlock = blockOf(fork, dataBlock);
  if (make && !fork.find(fileBlock, DIR_FREE)) {
    const slots = dirFreeSlots(fork.blockBytes);
    const made = create(fork, fileBlock, DIR_FREE);
    made.view.setUint32(FIRST, Math.floor(dataBlock / slots) * slots);
    return made;
  }
  const buffer = edit(fork, fileBlock, DIR_FREE);
  checkFirst(fork, fileBlock, buffer.view);
  return buffer;
}

/** Make sure the free block of a data block exists. True when it was just made (and has no used slot yet). */
export function ensureFreeBlock(fork: ForkBlocks, dataBlock: number): boolean {
  if (fork.find(blockOf(fork, dataBlock), DIR_FREE)) return false;
  editFree(fork, dataBlock, true);
  return true;
}

/** Free the free block of a data block again: undoes `ensureFreeBlock` when the data block could not be had. */
export function dropFreeBlock(fork: ForkBlocks, dataBlock: number): void {
  fork.free(blockOf(fork, dataBlock));
}

/** Record the longest unused length of a data block (DIR_NULL_BEST: the block is gone). */
export function setBest(fork: ForkBlocks, dataBlock: number, best: number): void {
  const { view } = editFree(fork, dataBlock, false);
  const slot = dataBlock % dirFreeSlots(fork.blockBytes);
  let valid = view.getUint32(VALID);
  for (; valid <= slot; valid++) view.setUint16(BASE + 2 * valid, DIR_NULL_BEST);
  const before = view.getUint16(BASE + 2 * slot);
  view.setUint16(BASE + 2 * slot, best);
  const used = view.getUint32(USED) + (before === DIR_NULL_BEST ? 1 : 0) - (best === DIR_NULL_BEST ? 1 : 0);
  if (used === 0) {
    dropFreeBlock(fork, dataBlock);
    return;
  }
  while (view.getUint16(BASE + 2 * (valid - 1)) === DIR_NULL_BEST) {
    valid--;
    view.setUint16(BASE + 2 * valid, 0);
  }
  view.setUint32(VALID, valid);
  view.setUint32(USED, used);
}

/** What `findRoom` found: a data block with room, or -1 and the first data block number that has no block. */
export const room = { dataBlock: -1, hole: 0 };

/**
 * Look for a data block with an unused region of `need` bytes: the last one first (directories mostly grow), then the
 * first that fits. The answer is in `room`.
 */
export function findRoom(fork: ForkReader, need: number): void {
  const slots = dirFreeSlots(fork.blockBytes);
  const last = (fork.lastMapped(leafStart(fork)) ?? 0) / fork.blockBlocks;
  room.dataBlock = -1;
  room.hole = -1;
  const tail = fork.find(blockOf(fork, last), DIR_FREE);
  if (tail) {
    checkFirst(fork, blockOf(fork, last), tail.view);
    const slot = last % slots;
    if (slot < tail.view.getUint32(VALID) && fits(tail.view, slot, need)) {
      room.dataBlock = last;
      return;
    }
  }
  let expected = 0;
  for (const fileBlock of fork.mapped(freeStart(fork), DABLK_END)) {
    const { view } = block(fork, fileBlock, DIR_FREE);
    checkFirst(fork, fileBlock, view);
    const first = view.getUint32(FIRST);
    if (first > expected && room.hole < 0) room.hole = expected;
    const valid = view.getUint32(VALID);
    for (let slot = 0; slot < valid; slot++) {
      const best = view.getUint16(BASE + 2 * slot);
      if (best === DIR_NULL_BEST) {
        if (room.hole < 0) room.hole = first + slot;
      } else if (best >= need) {
        room.dataBlock = first + slot;
        return;
      }
    }
    // Slots behind the last valid one are holes, unless this is where the data space ends.
    expected = first + slots;
    if (valid < slots && room.hole < 0) room.hole = first + valid;
  }
  if (room.hole < 0) room.hole = expected;
}

function fits(view: DataView, slot: number, need: number): boolean {
  const best = view.getUint16(BASE + 2 * slot);
  return best !== DIR_NULL_BEST && best >= need;
}

/** Bytes from which a single free block's bests can be copied into a leaf1, and how many; undefined if there are more. */
export function onlyFreeBlock(fork: ForkReader): DataView | undefined {
  const last = fork.lastMapped(DABLK_END);
  if (last !== freeStart(fork)) return undefined;
  const { view } = block(fork, last, DIR_FREE);
  checkFirst(fork, last, view);
  return view;
}

export const freeValid = (view: DataView): number => view.getUint32(VALID);
export const freeBest = (view: DataView, slot: number): number => view.getUint16(BASE + 2 * slot);

/** Fill a new free block from the bests of `count` data blocks, none of them missing unless DIR_NULL_BEST. */
export function fillFreeBlock(
  view: DataView,
  first: number,
  bests: ArrayLike<number>,
  from: number,
  count: number,
): void {
  let used = 0;
  for (let i = 0; i < count; i++) {
    const best = bests[from + i]!;
    view.setUint16(BASE + 2 * i, best);
    if (best !== DIR_NULL_BEST) used++;
  }
  view.setUint32(FIRST, first);
  view.setUint32(VALID, count);
  view.setUint32(USED, used);
}
