/**
 * Arrays of index entries {hash, dataptr}, sorted by hash, as they stand in a block-form block, a leaf1 and a leafN:
 * searching by name, inserting beside or over a stale entry, squeezing stale entries out. Also the head of a leaf.
 */
import type { BlockType } from '../../formats/block-type.ts';
import { hashLowerBound } from '../../formats/da.ts';
import { DIR_BLOCK, DirLeaf } from '../../formats/directory.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt } from '../errors.ts';
import { entryNameLength } from './data-block.ts';
import { at, block, leafStart, sameName } from './layout.ts';

const { count: COUNT, stale: STALE } = DirLeaf.offsets;
export const LEAF_BASE = DirLeaf.size;

export const leafCount = (view: DataView): number => view.getUint16(COUNT);
export const leafStale = (view: DataView): number => view.getUint16(STALE);
export function setLeafCounts(view: DataView, count: number, stale: number): void {
  view.setUint16(COUNT, count);
  view.setUint16(STALE, stale);
}
/** Greatest hash of a leaf, stale entries included; 0 for a leaf without entries. */
export function lastHash(view: DataView): number {
  const count = leafCount(view);
  return count === 0 ? 0 : view.getUint32(LEAF_BASE + 8 * (count - 1));
}

/** Where a search found its entry. One object is reused: read it before the next search. */
interface Hit {
  /** Index entry. */
  slot: number;
  dataBlock: number;
  /** Entry inside the data block. */
  offset: number;
  inode: number;
  ftype: number;
}
export const hit: Hit = { slot: 0, dataBlock: 0, offset: 0, inode: 0, ftype: 0 };

/**
 * Search `count` index entries at `base` of `view` for a name; `type` is that of the data blocks. True: `hit` tells where it is. False: `hit.slot` is where
 * the run of equal hashes ended; `count` means it may go on in the next leaf.
 * Throws `corrupt` (DIR_BAD_POINTER) when an index entry of this hash points at no entry.
 */
export function searchEntries(
  fork: ForkReader,
  view: DataView,
  base: number,
  count: number,
  hash: number,
  name: Uint8Array,
  type: BlockType,
): boolean {
  const fold = fork.geometry.features.asciiCi;
  const dataEnd = type === DIR_BLOCK ? base : fork.blockBytes;
  let slot = hashLowerBound(view, base, count, hash);
  for (; slot < count && view.getUint32(base + 8 * slot) === hash; slot++) {
    const pointer = view.getUint32(base + 8 * slot + 4);
    if (pointer === 0) continue;
    const position = pointer * 8;
    const dataBlock = Math.floor(position / fork.blockBytes);
    const offset = position % fork.blockBytes;
    if (!pointsInside(fork, dataBlock)) throw badPointer(fork, pointer);
    const data: Buffer = block(fork, dataBlock * fork.blockBlocks, type);
    const length = entryNameLength(data.view, dataEnd, offset);
    if (length === 0) throw badPointer(fork, pointer);
    if (length !== name.length || !sameName(fold, name, data.data, offset + 9)) continue;
    hit.slot = slot;
    hit.dataBlock = dataBlock;
    hit.offset = offset;
    hit.inode = data.view.getUint32(offset) * 2 ** 32 + data.view.getUint32(offset + 4);
    hit.ftype = data.view.getUint8(offset + 9 + length);
    return true;
  }
  hit.slot = slot;
  return false;
}

/** True when a data block number lies in the data space. */
function pointsInside(fork: ForkReader, dataBlock: number): boolean {
  return dataBlock * fork.blockBlocks < leafStart(fork);
}

function badPointer(fork: ForkReader, pointer: number): Error {
  return corrupt('DIR_BAD_POINTER', `hash index points at ${pointer * 8}, where no entry is`, {
    ...at(fork),
    found: pointer,
  });
}

/**
 * Insert an entry into a sorted array. With stale entries the nearest one gives its place (`count` stays, one stale
 * fewer), so that little of the block changes; without, the array grows by one at its end, where there must be room.
 * Returns true when a stale entry was used.
 */
export function insertEntry(
  buffer: Buffer,
  base: number,
  count: number,
  stale: number,
  hash: number,
  pointer: number,
): boolean {
  const { view, data } = buffer;
  let slot = hashLowerBound(view, base, count, hash);
  if (stale === 0) {
    data.copyWithin(base + 8 * (slot + 1), base + 8 * slot, base + 8 * count);
  } else {
    let low = slot - 1;
    let high = slot;
    // Outward in both directions; the verifier counted the stale entries, so one is found.
    while (true) {
      if (high < count && view.getUint32(base + 8 * high + 4) === 0) {
        data.copyWithin(base + 8 * (slot + 1), base + 8 * slot, base + 8 * high);
        break;
      }
      if (low >= 0 && view.getUint32(base + 8 * low + 4) === 0) {
        data.copyWithin(base + 8 * low, base + 8 * (low + 1), base + 8 * slot);
        slot--;
        break;
      }
      if (low < 0 && high >= count) throw corrupt('BAD_STALE', 'stale index entries are counted but not there');
      low--;
      high++;
    }
  }
  view.setUint32(base + 8 * slot, hash);
  view.setUint32(base + 8 * slot + 4, pointer);
  return stale !== 0;
}

/** Squeeze stale entries out of an array, towards its start. Returns how many entries are left. */
export function squeezeEntries(view: DataView, base: number, count: number): number {
  let to = base;
  for (let i = 0, from = base; i < count; i++, from += 8) {
    const pointer = view.getUint32(from + 4);
    if (pointer === 0) continue;
    view.setUint32(to, view.getUint32(from));
    view.setUint32(to + 4, pointer);
    to += 8;
  }
  return (to - base) / 8;
}

/** Insert into a leaf (leaf1 or leafN) that has a stale entry or room behind its last one. */
export function insertIntoLeaf(buffer: Buffer, hash: number, pointer: number): void {
  const { view } = buffer;
  const count = leafCount(view);
  const stale = leafStale(view);
  if (insertEntry(buffer, LEAF_BASE, count, stale, hash, pointer)) setLeafCounts(view, count, stale - 1);
  else setLeafCounts(view, count + 1, 0);
}

/** Make a leaf's entry stale. */
export function makeStale(view: DataView, slot: number): void {
  view.setUint32(LEAF_BASE + 8 * slot + 4, 0);
  view.setUint16(STALE, leafStale(view) + 1);
}

/** Remove the stale entries of a leaf. */
export function compactLeaf(view: DataView): void {
  if (leafStale(view) === 0) return;
  setLeafCounts(view, squeezeEntries(view, LEAF_BASE, leafCount(view)), 0);
}
