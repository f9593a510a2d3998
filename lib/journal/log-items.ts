/**
 * From changed blocks to log items. What changed is found by comparing bytes: ordinary blocks in chunks of 128 bytes,
 * inode clusters slot by slot, because the log names inodes, not the blocks they lie in.
 */

import { LongHeader } from '../../formats/btree-blocks.ts';
import { BASIC_BLOCK, type Geometry } from '../../formats/geometry.ts';
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  DATA_FORK_OFFSET,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  InodeCore,
  isBigtime,
} from '../../formats/inode.ts';
import {
  BUFFER_CHUNK,
  BUFFER_ITEM,
  BUFFER_TYPE,
  BUFFER_TYPE_SHIFT,
  BufferItem,
  IcreateItem,
  INODE_ITEM,
  InodeItem,
  LOG_ITEM,
} from '../../formats/log-items.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { Buffer } from '../buffer/buffer.ts';

const NEXT_UNLINKED = InodeCore.offsets.nextUnlinked;
const LSN = InodeCore.offsets.lsn;
const RECORD = 16;

/** Log space: bytes of regions, and how many regions they are. */
export interface LogCost {
  bytes: number;
  regions: number;
}

/** What the log must say about one block: ordinary blocks have `chunks`, inode clusters the two slot sets. */
export interface LoggedBlock {
  readonly buffer: Buffer;
  /** One byte per 128-byte chunk: 1 = log it. */
  readonly chunks: Uint8Array | undefined;
  readonly inodes: Set<number>;
  /** Slots whose place in an unlinked chain changed: that alone is logged with the block. */
  readonly unlinked: Set<number>;
  /** The cluster was made in this checkpoint: replay makes it from the ICREATE item. */
  created: boolean;
  /** What it takes in the log, at most: kept up to date by the journal. */
  cost: LogCost;
}

const NO_COST: LogCost = { bytes: 0, regions: 0 };

/** A block that nothing is known to have changed in. */
export function emptyLoggedBlock(buffer: Buffer): LoggedBlock {
  const isCluster = buffer.type.slotCrcOffset !== undefined;
  return {
    buffer,
    chunks: isCluster ? undefined : new Uint8Array(Math.ceil(buffer.data.length / BUFFER_CHUNK)),
    inodes: new Set(),
    unlinked: new Set(),
    created: false,
    cost: NO_COST,
  };
}

/** Note what differs between the bytes before and now. @param before undefined = the block was made: all of it is new. */
export function noteDifferences(block: LoggedBlock, before: Uint8Array | undefined, inodeSize: number): void {
  if (block.chunks) noteChunks(block.buffer.data, block.chunks, before);
  else noteSlots(block, before, inodeSize);
}

function noteChunks(data: Uint8Array, chunks: Uint8Array, before: Uint8Array | undefined): void {
  if (!before) {
    chunks.fill(1);
    return;
  }
  const now = wordsOf(data);
  const then = wordsOf(before);
  const step = BUFFER_CHUNK / 4;
  for (let i = 0; i < chunks.length; i++) {
    if (!sameWords(now, then, i * step, Math.min((i + 1) * step, now.length))) chunks[i] = 1;
  }
}

function noteSlots(block: LoggedBlock, before: Uint8Array | undefined, inodeSize: number): void {
  const { data, view } = block.buffer;
  const slots = data.length / inodeSize;
  if (!before) {
    block.created = true;
    for (let slot = 0; slot < slots; slot++) {
      const base = slot * inodeSize;
      if (view.getUint16(base + 2) === 0) continue; // still free: ICREATE makes it so
      // ICREATE says "in no chain", and an inode item says nothing of chains.
      if (view.getUint32(base + NEXT_UNLINKED) !== NULL32) block.unlinked.add(slot);
      block.inodes.add(slot);
    }
    return;
  }
  const now = wordsOf(data);
  const then = wordsOf(before);
  const step = inodeSize / 4;
  for (let slot = 0; slot < slots; slot++) {
    const base = slot * step;
    if (sameWords(now, then, base, base + step)) continue;
    const chain = base + NEXT_UNLINKED / 4;
    if (now[chain] !== then[chain]) block.unlinked.add(slot);
    block.inodes.add(slot);
  }
}

/** True when there is anything to log of a block. */
export function hasChanges(block: LoggedBlock): boolean {
  return block.created || block.inodes.size > 0 || (block.chunks?.includes(1) ?? false);
}

/** Add what a later transaction changed in the same block. */
export function mergeLoggedBlock(known: LoggedBlock, later: LoggedBlock): void {
  if (known.chunks && later.chunks) {
    for (let i = 0; i < known.chunks.length; i++) if (later.chunks[i]) known.chunks[i] = 1;
  }
  for (const slot of later.inodes) known.inodes.add(slot);
  for (const slot of later.unlinked) known.unlinked.add(slot);
}

/** What a block takes in the log, at most: what `encodeBlock` gives and its ICREATE. */
export function loggedCost(block: LoggedBlock, geometry: Geometry): LogCost {
  const { length, segments } = block.buffer;
  const mapBytes = 4 * Math.ceil(length / BUFFER_CHUNK / 32) + 4 * segments.length;
  if (block.chunks) {
    let runs = 0;
    let set = 0;
    for (let i = 0; i < block.chunks.length; i++) {
      if (!block.chunks[i]) continue;
      set++;
      if (!block.chunks[i - 1]) runs++;
    }
    return {
      bytes: segments.length * BufferItem.size + mapBytes + set * BUFFER_CHUNK,
      regions: 2 * segments.length + runs,
    };
  }
  const inodes = block.inodes.size;
  const links = block.unlinked.size;
  return {
    // A tree root grows by its header when it is logged.
    bytes:
      inodes * (InodeItem.size + geometry.inodeSize + 2 * LongHeader.size) +
      (links > 0 ? BufferItem.size + mapBytes + links * BUFFER_CHUNK : 0) +
      (block.created ? IcreateItem.size : 0),
    regions: inodes * 4 + (links > 0 ? links + 1 : 0) + (block.created ? 1 : 0),
  };
}

/** Blocks, and what was kept of them, have buffers of their own: whole words from offset 0 on. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

function sameWords(a: Uint32Array, b: Uint32Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Put the checkpoint's LSN into everything that was logged of this block. */
export function stampLsn(block: LoggedBlock, inodeSize: number, cycle: number, at: number): void {
  const { buffer } = block;
  const { view, type } = buffer;
  if (block.chunks) {
    if (type.lsnOffset < 0) return;
    view.setUint32(type.lsnOffset, cycle);
    view.setUint32(type.lsnOffset + 4, at);
    return;
  }
  for (const slot of block.inodes) {
    view.setUint32(slot * inodeSize + LSN, cycle);
    view.setUint32(slot * inodeSize + LSN + 4, at);
  }
}

/** All regions of a block's items. */
export function encodeBlock(block: LoggedBlock, geometry: Geometry, into: Uint8Array[]): void {
  if (block.chunks) {
    encodeBuffer(block.buffer, block.chunks, logTypeOf(block.buffer) << BUFFER_TYPE_SHIFT, into);
    return;
  }
  for (const slot of block.inodes) encodeInode(block.buffer, slot, geometry, into);
  if (block.unlinked.size > 0) {
    const chunks = new Uint8Array(block.buffer.data.length / BUFFER_CHUNK);
    for (const slot of block.unlinked)
      chunks[Math.floor((slot * geometry.inodeSize + NEXT_UNLINKED) / BUFFER_CHUNK)] = 1;
    encodeBuffer(block.buffer, chunks, (BUFFER_TYPE.INODES << BUFFER_TYPE_SHIFT) | BUFFER_ITEM.INODES, into);
  }
}

/** Buffer items, one for each segment that has dirty chunks. */
function encodeBuffer(buffer: Buffer, chunks: Uint8Array, flags: number, into: Uint8Array[]): void {
  let at = 0;
  for (const segment of buffer.segments) {
    const first = at / BUFFER_CHUNK;
    const count = Math.ceil(segment.length / BUFFER_CHUNK);
    encodeSegment(buffer, at, segment.daddr, segment.length, chunks.subarray(first, first + count), flags, into);
    at += segment.length;
  }
}

function encodeSegment(
  buffer: Buffer,
  start: number,
  daddr: number,
  length: number,
  chunks: Uint8Array,
  flags: number,
  into: Uint8Array[],
): void {
  const words = Math.ceil(chunks.length / 32);
  const head = new Uint8Array(BufferItem.size + 4 * words);
  const view = new DataView(head.buffer);
  const regions: Uint8Array[] = [head];
  for (let i = 0; i < chunks.length; ) {
    if (!chunks[i]) {
      i++;
      continue;
    }
    let end = i;
    while (end < chunks.length && chunks[end]) {
      const word = BufferItem.size + 4 * (end >> 5);
      view.setUint32(word, (view.getUint32(word, true) | (1 << (end & 31))) >>> 0, true);
      end++;
    }
    regions.push(buffer.data.slice(start + i * BUFFER_CHUNK, start + Math.min(end * BUFFER_CHUNK, length)));
    i = end;
  }
  if (regions.length === 1) return;
  fillBufferItem(view, regions.length, flags, daddr, length, words);
  into.push(...regions);
}

function fillBufferItem(
  view: DataView,
  regions: number,
  flags: number,
  daddr: number,
  length: number,
  words: number,
): void {
  const item = BufferItem.at(view);
  item.type = LOG_ITEM.BUFFER;
  item.regions = regions;
  item.flags = flags;
  item.length = length / BASIC_BLOCK;
  item.daddr = daddr;
  item.mapWords = words;
}

/** "Do not replay earlier images of this block": it was freed. */
export function encodeCancel(daddr: number, length: number, into: Uint8Array[]): void {
  const words = Math.ceil(length / BUFFER_CHUNK / 32);
  const head = new Uint8Array(BufferItem.size + 4 * words);
  fillBufferItem(new DataView(head.buffer), 1, BUFFER_ITEM.CANCEL, daddr, length, words);
  into.push(head);
}

/** Inodes of `blocks` blocks were made, all with one generation. */
export function encodeIcreate(
  geometry: Geometry,
  ag: number,
  agBlock: number,
  blocks: number,
  gen: number,
  into: Uint8Array[],
): void {
  const bytes = new Uint8Array(IcreateItem.size);
  const item = IcreateItem.at(new DataView(bytes.buffer));
  item.type = LOG_ITEM.ICREATE;
  item.regions = 1;
  item.ag = ag;
  item.agBlock = agBlock;
  item.count = blocks * geometry.inodesPerBlock;
  item.inodeSize = geometry.inodeSize;
  item.length = blocks;
  item.gen = gen;
  into.push(bytes);
}

/** Buffer type in the log, by the magic where one BlockType stands for several. */
function logTypeOf(buffer: Buffer): number {
  const { view, type } = buffer;
  switch (view.byteLength >= 10 ? view.getUint16(8) : 0) {
    case 0x3bee:
      return isDa(type.crcOffset) ? BUFFER_TYPE.ATTR_LEAF : type.logType;
    case 0x3ebe:
      return isDa(type.crcOffset) ? BUFFER_TYPE.DA_NODE : type.logType;
    case 0x3df1:
      return isDa(type.crcOffset) ? BUFFER_TYPE.DIR_LEAF1 : type.logType;
    case 0x3dff:
      return isDa(type.crcOffset) ? BUFFER_TYPE.DIR_LEAFN : type.logType;
    default:
      return type.logType;
  }
}
/** The da block header has its CRC at 12. */
const isDa = (crcOffset: number): boolean => crcOffset === 12;

/** Byte swaps of the core: which fields are 2, 4 and 8 bytes wide; the rest is copied. */
const CORE_FIELDS = InodeCore.fields.filter(
  (field) => field.kind !== 'bytes' && field.kind !== 'pad' && field.size > 1,
);

function encodeInode(buffer: Buffer, slot: number, geometry: Geometry, into: Uint8Array[]): void {
  const { view, data } = buffer;
  const base = slot * geometry.inodeSize;
  const head = new Uint8Array(InodeItem.size);
  const item = InodeItem.at(new DataView(head.buffer));
  const core = InodeCore.at(view, base);
  const regions: Uint8Array[] = [head, encodeCore(view, data, base)];
  let fields: number = INODE_ITEM.CORE;
  if (core.mode !== 0) {
    const dataFork = encodeFork(view, data, base + DATA_FORK_OFFSET, dataForkBytes(view, base, geometry.inodeSize), {
      format: core.format,
      count: dataExtentCount(view, base),
      localBytes: core.size,
      inode: core.ino,
      geometry,
    });
    if (core.format === FORMAT.DEV) {
      fields |= INODE_ITEM.DEV;
      item.rdev = view.getUint32(base + DATA_FORK_OFFSET);
    } else if (dataFork) {
      fields |=
        core.format === FORMAT.LOCAL
          ? INODE_ITEM.DDATA
          : core.format === FORMAT.BTREE
            ? INODE_ITEM.DBROOT
            : INODE_ITEM.DEXT;
      item.dataSize = dataFork.size;
      regions.push(dataFork.bytes);
    }
    if (core.forkoff !== 0) {
      const at = base + attrForkOffset(view, base);
      const attrFork = encodeFork(view, data, at, attrForkBytes(view, base, geometry.inodeSize), {
        format: core.aformat,
        count: attrExtentCount(view, base),
        localBytes: view.getUint16(at),
        inode: core.ino,
        geometry,
      });
      if (attrFork) {
        fields |=
          core.aformat === FORMAT.LOCAL
            ? INODE_ITEM.ADATA
            : core.aformat === FORMAT.BTREE
              ? INODE_ITEM.ABROOT
              : INODE_ITEM.AEXT;
        item.attrSize = attrFork.size;
        regions.push(attrFork.bytes);
      }
    }
  }
  item.type = LOG_ITEM.INODE;
  item.regions = regions.length;
  item.fields = fields;
  item.ino = core.ino;
  item.daddr = buffer.daddr;
  item.length = data.length / BASIC_BLOCK;
  item.offset = base;
  into.push(...regions);
}

/** The core in host (little-endian) order. Legacy times are two i32, bigtime one u64. */
function encodeCore(view: DataView, data: Uint8Array, base: number): Uint8Array {
  const bytes = data.slice(base, base + InodeCore.size);
  const bigtime = isBigtime(view, base);
  for (const field of CORE_FIELDS) {
    const at = field.offset;
    if (field.size === 8 && !bigtime && field.name.endsWith('time')) {
      reverse(bytes, at, 4);
      reverse(bytes, at + 4, 4);
    } else if (field.kind !== 'u32le') reverse(bytes, at, field.size);
  }
  return bytes;
}

function reverse(bytes: Uint8Array, at: number, length: number): void {
  for (let low = at, high = at + length - 1; low < high; low++, high--) {
    const byte = bytes[low]!;
    bytes[low] = bytes[high]!;
    bytes[high] = byte;
  }
}

interface ForkShape {
  format: number;
  count: number;
  localBytes: number;
  inode: number;
  geometry: Geometry;
}

/** The fork's region and its unpadded size; undefined when the fork is empty. */
function encodeFork(
  view: DataView,
  data: Uint8Array,
  at: number,
  forkBytes: number,
  shape: ForkShape,
): { bytes: Uint8Array; size: number } | undefined {
  switch (shape.format) {
    case FORMAT.LOCAL: {
      if (shape.localBytes === 0) return undefined;
      const bytes = new Uint8Array(Math.ceil(shape.localBytes / 4) * 4);
      bytes.set(data.subarray(at, at + shape.localBytes));
      return { bytes, size: shape.localBytes };
    }
    case FORMAT.EXTENTS: {
      const size = shape.count * RECORD;
      return size === 0 ? undefined : { bytes: data.slice(at, at + size), size };
    }
    case FORMAT.BTREE: {
      const bytes = encodeRoot(view, data, at, forkBytes, shape);
      return { bytes, size: bytes.length };
    }
    default:
      return undefined;
  }
}

/** The in-memory form of a bmbt root: a long block header, keys at 72, pointers right behind the keys there are. */
function encodeRoot(view: DataView, data: Uint8Array, at: number, forkBytes: number, shape: ForkShape): Uint8Array {
  const level = view.getUint16(at);
  const count = view.getUint16(at + 2);
  const slots = Math.floor((forkBytes - 4) / RECORD);
  const bytes = new Uint8Array(LongHeader.size + count * RECORD);
  const header = LongHeader.at(new DataView(bytes.buffer));
  header.magic = 0x424d4133;
  header.level = level;
  header.numrecs = count;
  header.leftSibling = 2 ** 64;
  header.rightSibling = 2 ** 64;
  header.blkno = 2 ** 64;
  header.uuid = shape.geometry.metaUuid;
  header.owner = shape.inode;
  bytes.set(data.subarray(at + 4, at + 4 + 8 * count), LongHeader.size);
  const pointers = at + 4 + 8 * slots;
  bytes.set(data.subarray(pointers, pointers + 8 * count), LongHeader.size + 8 * count);
  return bytes;
}
