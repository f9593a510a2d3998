/**
 * Attribute leaves as bytes: search, insert, remove, compact, copy. No block is fetched here.
 *
 * 1. `firstused` is always exact, `holes` is 1 exactly when the heap has gaps, and freemap[0] is the whole region
 *    between the entries and the heap; the other two freemaps stay empty. That is always a legal description.
 * 2. Free heap bytes are zero, so the same attributes give the same bytes.
 * 3. Every view given here has passed the leaf verifier or was made by `initLeaf`.
 */
import {
  ATTR,
  ATTR_LEAF_MAGIC,
  ATTR_NAMESPACE_MASK,
  AttrLeafEntry,
  AttrLeafHeader,
  AttrLocal,
  AttrRemote,
  isLocalSized,
  leafFirstUsed,
  localRecordBytes,
  remoteRecordBytes,
} from '../../formats/attribute.ts';
import { DaHeader, hashLowerBound } from '../../formats/da.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt } from '../errors.ts';

const HEADER = AttrLeafHeader.size;
const ENTRY = AttrLeafEntry.size;
const at = AttrLeafHeader.offsets;

/** An attribute about to be stored. `valueBlock` counts when the value is too long for a leaf. */
export interface NewAttribute {
  hash: number;
  /** Namespace bit only. */
  flags: number;
  name: Uint8Array;
  value: Uint8Array;
  valueBlock: number;
}

/** Bytes of the heap record an attribute needs in a leaf of this block size. */
export function newRecordBytes(item: NewAttribute, blockSize: number): number {
  return isLocalSized(item.name.length, item.value.length, blockSize)
    ? localRecordBytes(item.name.length, item.value.length)
    : remoteRecordBytes(item.name.length);
}

/** The own-address, uuid and owner fields of a fresh da block; everything else zero. */
export function initDaBlock(buffer: Buffer, fork: ForkReader, magic: number): void {
  buffer.data.fill(0);
  const header = DaHeader.at(buffer.view);
  header.magic = magic;
  header.blkno = buffer.daddr;
  header.uuid = fork.geometry.metaUuid;
  header.owner = fork.inode;
}

/** A leaf without entries. */
export function initLeaf(buffer: Buffer, fork: ForkReader): void {
  initDaBlock(buffer, fork, ATTR_LEAF_MAGIC);
  finishHeader(buffer.view, 0, buffer.length, 0);
}

export function leafCount(view: DataView): number {
  return view.getUint16(at.count);
}
export function leafHash(view: DataView, i: number): number {
  return view.getUint32(HEADER + i * ENTRY);
}
/** Greatest hash; 0 for an empty leaf. */
export function leafLastHash(view: DataView): number {
  const count = leafCount(view);
  return count === 0 ? 0 : leafHash(view, count - 1);
}
export function leafFlags(view: DataView, i: number): number {
  return view.getUint8(HEADER + i * ENTRY + 6);
}
/** First byte of an entry's record. */
export function leafRecord(view: DataView, i: number): number {
  return view.getUint16(HEADER + i * ENTRY + 4);
}
/** Bytes a leaf uses of its block: header, entries and records. */
export function leafUsed(view: DataView): number {
  return HEADER + leafCount(view) * ENTRY + view.getUint16(at.usedbytes);
}
/** Bytes of a leaf that entries and records can use. */
export function leafCapacity(blockSize: number): number {
  return blockSize - HEADER;
}
/** Bytes of entry i's record, padding included. */
export function leafRecordBytes(view: DataView, i: number): number {
  const record = leafRecord(view, i);
  return leafFlags(view, i) & ATTR.LOCAL
    ? localRecordBytes(view.getUint8(record + 2), view.getUint16(record))
    : remoteRecordBytes(view.getUint8(record + 8));
}
/** First entry whose hash is at least `hash`; the count when there is none. */
export function leafLowerBound(view: DataView, hash: number): number {
  return hashLowerBound(view, HEADER, leafCount(view), hash);
}

/** True when entry i is this attribute. A parent pointer is told by its value too; half-replaced entries never match. */
export function leafMatches(
  view: DataView,
  i: number,
  flags: number,
  name: Uint8Array,
  value: Uint8Array | undefined,
): boolean {
  const found = leafFlags(view, i);
  if ((found & ATTR_NAMESPACE_MASK) !== flags || (found & ATTR.INCOMPLETE) !== 0) return false;
  const record = leafRecord(view, i);
  const local = (found & ATTR.LOCAL) !== 0;
  if (view.getUint8(record + (local ? 2 : 8)) !== name.length) return false;
  const nameStart = record + (local ? AttrLocal.size : AttrRemote.size);
  if (!sameBytes(view, nameStart, name)) return false;
  if ((flags & ATTR.PARENT) === 0 || value === undefined) return true;
  return local && view.getUint16(record) === value.length && sameBytes(view, nameStart + name.length, value);
}

/** True when the bytes of a view from `start` on are these. */
export function sameBytes(view: DataView, start: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (view.getUint8(start + i) !== wanted[i]) return false;
  return true;
}

/** Put an attribute in front of entry i. The caller knows that it fits (`leafUsed`) and announced the change. */
export function leafInsert(buffer: Buffer, i: number, item: NewAttribute): void {
  const { view, data } = buffer;
  const count = leafCount(view);
  const length = newRecordBytes(item, data.length);
  if (leafFirstUsed(view) - length < HEADER + (count + 1) * ENTRY) leafCompact(buffer);
  const record = leafFirstUsed(view) - length;
  if (record < HEADER + (count + 1) * ENTRY) throw overlap();
  const used = view.getUint16(at.usedbytes) + length;
  const entry = HEADER + i * ENTRY;
  data.copyWithin(entry + ENTRY, entry, HEADER + count * ENTRY);
  writeEntry(buffer, entry, record, item);
  finishHeader(view, count + 1, record, used);
}

function writeEntry(buffer: Buffer, entry: number, record: number, item: NewAttribute): void {
  const { view, data } = buffer;
  const local = isLocalSized(item.name.length, item.value.length, data.length);
  view.setUint32(entry, item.hash);
  view.setUint16(entry + 4, record);
  view.setUint8(entry + 6, item.flags | (local ? ATTR.LOCAL : 0));
  view.setUint8(entry + 7, 0);
  if (local) {
    view.setUint16(record, item.value.length);
    view.setUint8(record + 2, item.name.length);
    data.set(item.name, record + AttrLocal.size);
    data.set(item.value, record + AttrLocal.size + item.name.length);
  } else {
    view.setUint32(record, item.valueBlock);
    view.setUint32(record + 4, item.value.length);
    view.setUint8(record + 8, item.name.length);
    data.set(item.name, record + AttrRemote.size);
  }
}

/** Take entry i out. */
export function leafRemove(buffer: Buffer, i: number): void {
  const { view, data } = buffer;
  const count = leafCount(view);
  const record = leafRecord(view, i);
  const length = leafRecordBytes(view, i);
  data.fill(0, record, record + length);
  const entry = HEADER + i * ENTRY;
  data.copyWithin(entry, entry + ENTRY, HEADER + count * ENTRY);
  data.fill(0, HEADER + (count - 1) * ENTRY, HEADER + count * ENTRY);
  let firstUsed = leafFirstUsed(view);
  if (record <= firstUsed) {
    firstUsed = data.length;
    for (let k = 0; k < count - 1; k++) firstUsed = Math.min(firstUsed, leafRecord(view, k));
  }
  // A damaged sum must not become a negative one.
  finishHeader(view, count - 1, firstUsed, Math.max(0, view.getUint16(at.usedbytes) - length));
}

/** Scratch for a copy of one leaf; grows to the largest block size seen. */
let scratch = new Uint8Array(0);
let scratchView = new DataView(scratch.buffer);

/** Copy a leaf aside, so that it can be rewritten from the copy. The copy lives until the next call. */
export function copyLeaf(buffer: Buffer): DataView {
  if (scratch.length !== buffer.length) {
    scratch = new Uint8Array(buffer.length);
    scratchView = new DataView(scratch.buffer);
  }
  scratch.set(buffer.data);
  return scratchView;
}

/** Close the gaps of the heap. */
export function leafCompact(buffer: Buffer): void {
  const copy = copyLeaf(buffer);
  clearLeaf(buffer);
  leafAppend(buffer, copy, 0, leafCount(copy));
}

/** Drop all entries; header and siblings stay. */
export function clearLeaf(buffer: Buffer): void {
  buffer.data.fill(0, HEADER);
  finishHeader(buffer.view, 0, buffer.length, 0);
}

/** Append entries from..to-1 of another leaf: their hashes are not below the last one here. */
export function leafAppend(buffer: Buffer, from: DataView, start: number, end: number): void {
  const { view, data } = buffer;
  let count = leafCount(view);
  let firstUsed = leafFirstUsed(view);
  let used = view.getUint16(at.usedbytes);
  const source = new Uint8Array(from.buffer, from.byteOffset, from.byteLength);
  for (let i = start; i < end; i++) {
    const length = leafRecordBytes(from, i);
    const record = leafRecord(from, i);
    firstUsed -= length;
    used += length;
    if (firstUsed < HEADER + (count + 1) * ENTRY) throw overlap();
    data.set(source.subarray(record, record + length), firstUsed);
    const entry = HEADER + count * ENTRY;
    view.setUint32(entry, leafHash(from, i));
    view.setUint16(entry + 4, firstUsed);
    view.setUint8(entry + 6, leafFlags(from, i));
    count++;
  }
  finishHeader(view, count, firstUsed, used);
}

/** Verified leaves whose records overlap (or whose sum is wrong) can claim more bytes than a block has. */
export const overlap = () =>
  corrupt('ATTR_HEAP', 'attribute leaf: its records claim more bytes than the block has', {
    where: { structure: 'AttrLeaf', field: 'usedbytes' },
  });

/** Counters, heap start and freemap (invariant 1). */
function finishHeader(view: DataView, count: number, firstUsed: number, used: number): void {
  const tableEnd = HEADER + count * ENTRY;
  view.setUint16(at.count, count);
  view.setUint16(at.usedbytes, used);
  view.setUint16(at.firstused, firstUsed === 65536 ? 0 : firstUsed);
  view.setUint8(at.holes, used === view.byteLength - firstUsed ? 0 : 1);
  view.setUint16(at.freemap0Base, tableEnd);
  view.setUint16(at.freemap0Size, firstUsed - tableEnd);
  view.setUint32(at.freemap1Base, 0);
  view.setUint32(at.freemap2Base, 0);
}
