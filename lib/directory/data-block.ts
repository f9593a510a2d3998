/**
 * Entries and unused regions inside one data block (or the data part of a block-form block). `end` is where the tiling
 * ends: the block's end, or the start of the index in block form.
 *
 * All functions expect a block its verifier has accepted, and leave it so: regions tile, unused ones are coalesced, tags
 * are right, bestfree holds the three longest. bestfree is kept up step by step; only when the fourth longest region
 * could matter is the block scanned anew.
 */
import { DIR_FREE_TAG, DirDataHeader, dirEntrySize } from '../../formats/directory.ts';
import { setWide } from './layout.ts';

const HEAD = DirDataHeader.size;
const BEST = DirDataHeader.offsets.best0Offset;

/** Length of the longest unused region. */
export function longestFree(view: DataView): number {
  return view.getUint16(BEST + 2);
}

/** True when nothing but one unused region is left. */
export function isEmptyData(view: DataView, end: number): boolean {
  return longestFree(view) === end - HEAD;
}

/** Offset of the shortest listed region with room for `need` bytes, or 0. */
export function findFree(view: DataView, need: number): number {
  for (let i = 2; i >= 0; i--) if (view.getUint16(BEST + 4 * i + 2) >= need) return view.getUint16(BEST + 4 * i);
  return 0;
}

/** Offset of the unused region that touches `end`, or 0. */
export function trailingFree(view: DataView, end: number): number {
  const start = view.getUint16(end - 2);
  if (start < HEAD || start >= end || (start & 7) !== 0) return 0;
  if (view.getUint16(start) !== DIR_FREE_TAG || start + view.getUint16(start + 2) !== end) return 0;
  return start;
}

function writeUnused(view: DataView, offset: number, length: number): void {
  view.setUint16(offset, DIR_FREE_TAG);
  view.setUint16(offset + 2, length);
  view.setUint16(offset + length - 2, offset);
}

/** Drop the region at `offset` from bestfree; the rest moves up. Returns whether it was listed. */
function unlist(view: DataView, offset: number): boolean {
  let i = 0;
  while (i < 3 && !(view.getUint16(BEST + 4 * i) === offset && view.getUint16(BEST + 4 * i + 2) !== 0)) i++;
  if (i === 3) return false;
  for (; i < 2; i++) view.setUint32(BEST + 4 * i, view.getUint32(BEST + 4 * i + 4));
  view.setUint32(BEST + 8, 0);
  return true;
}

/** Enter a region into bestfree if it is long enough. */
function list(view: DataView, offset: number, length: number): void {
  let i = 3;
  while (i > 0 && view.getUint16(BEST + 4 * i - 2) < length) i--;
  for (let k = 2; k > i; k--) view.setUint32(BEST + 4 * k, view.getUint32(BEST + 4 * k - 4));
  if (i < 3) view.setUint32(BEST + 4 * i, ((offset << 16) | length) >>> 0);
}

/** Compute bestfree from the regions themselves, passing over `skip` bytes at `skipAt` that hold nothing yet. */
function rescanBest(view: DataView, end: number, skipAt = 0, skip = 0): void {
  for (let i = 0; i < 3; i++) view.setUint32(BEST + 4 * i, 0);
  for (let at = HEAD; at < end; ) {
    if (at === skipAt) at += skip;
    else if (view.getUint16(at) === DIR_FREE_TAG) {
      const length = view.getUint16(at + 2);
      list(view, at, length);
      at += length;
    } else at += dirEntrySize(view.getUint8(at + 8));
  }
}

/**
 * Take `take` bytes from the unused region at `region`: from its front, or its back. The bytes taken are the caller's to
 * fill. Returns their offset.
 */
export function carve(view: DataView, end: number, region: number, take: number, back = false): number {
  const length = view.getUint16(region + 2);
  const rest = length - take;
  const restAt = back ? region : region + take;
  const shortest = view.getUint16(BEST + 10);
  const listed = unlist(view, region);
  if (rest > 0) writeUnused(view, restAt, rest);
  // An unlisted region is no longer than any listed one, and neither is its rest.
  const taken = back ? region + rest : region;
  if (listed) {
    if (shortest !== 0 && rest < shortest) rescanBest(view, end, taken, take);
    else if (rest > 0) list(view, restAt, rest);
  }
  return taken;
}

/** Make a range unused (an entry that goes, or bytes the index gave back) and join it with unused neighbours. */
export function release(view: DataView, end: number, offset: number, length: number): void {
  const complete = view.getUint16(BEST + 10) === 0;
  let removed = 0;
  const before = offset > HEAD ? trailingFree(view, offset) : 0;
  if (before !== 0) {
    if (unlist(view, before)) removed++;
    length += offset - before;
    offset = before;
  }
  const next = offset + length;
  if (next < end && view.getUint16(next) === DIR_FREE_TAG) {
    if (unlist(view, next)) removed++;
    length += view.getUint16(next + 2);
  }
  writeUnused(view, offset, length);
  if (complete || removed < 2) list(view, offset, length);
  else rescanBest(view, end);
}

/** Write an entry at `offset`, which has room for it. */
export function writeEntry(
  view: DataView,
  data: Uint8Array,
  offset: number,
  name: Uint8Array,
  inode: number,
  ftype: number,
): void {
  const size = dirEntrySize(name.length);
  setWide(view, offset, inode);
  data[offset + 8] = name.length;
  data.set(name, offset + 9);
  const tail = offset + 9 + name.length;
  data[tail] = ftype;
  data.fill(0, tail + 1, offset + size - 2);
  view.setUint16(offset + size - 2, offset);
}

/** One unused region from `from` (the header, or the last entry's end) to `end`, and no other in the block. */
export function clearData(view: DataView, end: number, from: number = HEAD): void {
  writeUnused(view, from, end - from);
  for (let i = 0; i < 3; i++) view.setUint32(BEST + 4 * i, 0);
  list(view, from, end - from);
}

/** Name length of the entry at `offset`, or 0 when no entry can be there (an index pointer that is wrong). */
export function entryNameLength(view: DataView, end: number, offset: number): number {
  if (offset < HEAD || offset + 16 > end || view.getUint16(offset) === DIR_FREE_TAG) return 0;
  const length = view.getUint8(offset + 8);
  const size = dirEntrySize(length);
  return length !== 0 && offset + size <= end && view.getUint16(offset + size - 2) === offset ? length : 0;
}

/** True when an entry really starts at `offset`: found by walking, because bytes inside a name can look like one. */
export function isEntryStart(view: DataView, end: number, offset: number): boolean {
  let at = HEAD;
  while (at < offset) {
    at += view.getUint16(at) === DIR_FREE_TAG ? view.getUint16(at + 2) : dirEntrySize(view.getUint8(at + 8));
  }
  return at === offset && at < end && view.getUint16(at) !== DIR_FREE_TAG;
}
