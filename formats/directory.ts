/**
 * Directories: the five kinds of block and the short form inside the inode. A directory's data fork holds three spaces of
 * 32 GiB: entries from byte 0, the hash index from 2^35, the free index from 2^36.
 *
 * 1. Entries and unused regions tile a data block exactly; each ends in a tag that holds its own offset; two unused
 *    regions never touch; bestfree lists the three longest, longest first.
 * 2. A dataptr is (byte offset in the data space) / 8; 0 marks a stale index entry.
 * 3. Verifiers make every count, offset and length of a block safe to use; what links blocks to each other is the
 *    business of lib/directory.
 */
import { type BlockType, type Fault, fault } from './block-type.ts';
import { DaHeader, verifyDaHeader, verifyHashOrder, verifySelf } from './da.ts';
import type { Geometry } from './geometry.ts';
import { bytes, pad, struct, u8, u16, u32, u32le, u64, u64hl } from './struct.ts';

export const DIR_BLOCK_MAGIC = 0x58444233;
export const DIR_DATA_MAGIC = 0x58444433;
export const DIR_FREE_MAGIC = 0x58444633;
export const DIR_LEAF1_MAGIC = 0x3df1;
export const DIR_LEAFN_MAGIC = 0x3dff;

/** Bytes of each of the three spaces. */
export const DIR_SPACE_BYTES = 2 ** 35;
export const MAX_NAME_BYTES = 255;
/** Greatest valid directory entry type. */
export const MAX_FTYPE = 8;
/** Marks an unused region, where an entry has the high bytes of its inode number. */
export const DIR_FREE_TAG = 0xffff;
/** In bests and the free index: no such data block. */
export const DIR_NULL_BEST = 0xffff;
/** Offset of "." in data block 0; ".." follows at 80, the first other entry at 96. */
export const DIR_DOT_OFFSET = 64;
export const DIR_DOTDOT_OFFSET = 80;
export const DIR_FIRST_OFFSET = 96;

export const DirDataHeader = struct('DirDataHeader', 64, {
  magic: [0, u32, 'XDB3 (block form) or XDD3'],
  crc: [4, u32le, 'CRC32C of the directory block'],
  blkno: [8, u64, 'own address (daddr)'],
  lsn: [16, u64hl, 'last logged write'],
  uuid: [24, bytes(16), 'metadata uuid'],
  owner: [40, u64, 'inode number', 'inode'],
  best0Offset: [48, u16, 'longest unused region: offset'],
  best0Length: [50, u16, 'and length; 0 = none'],
  best1Offset: [52, u16, 'second longest: offset'],
  best1Length: [54, u16, 'and length'],
  best2Offset: [56, u16, 'third longest: offset'],
  best2Length: [58, u16, 'and length'],
  pad: [60, pad(4), 'zero'],
});

/** Fixed head of an entry; name, ftype (u8), zero pad and tag (u16 = own offset) follow, rounded up to 8 bytes. */
export const DirDataEntry = struct('DirDataEntry', 9, {
  inode: [0, u64, 'inode number', 'inode'],
  namelen: [8, u8, 'bytes of the name, 1..255'],
});

/** Head of an unused region; its last two bytes hold its own offset. */
export const DirDataUnused = struct('DirDataUnused', 4, {
  freetag: [0, u16, '0xFFFF'],
  length: [2, u16, 'bytes, a multiple of 8'],
});

/** One entry of the hash index. */
export const DirLeafEntry = struct('DirLeafEntry', 8, {
  hash: [0, u32, 'hash of the name'],
  address: [4, u32, '(byte offset in the data space) / 8; 0 = stale', 'dataptr'],
});

/** The last 8 bytes of a block-form directory; the hash index stands before it. */
export const DirBlockTail = struct('DirBlockTail', 8, {
  count: [0, u32, 'index entries, stale ones included'],
  stale: [4, u32, 'stale index entries'],
});

/** Head of leaf1 and leafN; index entries follow from byte 64. leaf1 ends in bests and their count. */
export const DirLeaf = struct('DirLeaf', 64, {
  forw: [0, u32, 'leafN: next leaf, 0 = none', 'dablk'],
  back: [4, u32, 'leafN: previous leaf, 0 = none', 'dablk'],
  magic: [8, u16, '0x3DF1 (leaf1) or 0x3DFF (leafN)'],
  pad: [10, pad(2), 'zero'],
  crc: [12, u32le, 'CRC32C of the directory block'],
  blkno: [16, u64, 'own address (daddr)'],
  lsn: [24, u64hl, 'last logged write'],
  uuid: [32, bytes(16), 'metadata uuid'],
  owner: [48, u64, 'inode number', 'inode'],
  count: [56, u16, 'index entries, stale ones included'],
  stale: [58, u16, 'stale index entries'],
  pad2: [60, pad(4), 'zero'],
});

/** The last 4 bytes of a leaf1; u16 bests stand before it, that of data block 0 first. */
export const DirLeafTail = struct('DirLeafTail', 4, {
  bestcount: [0, u32, 'last data block + 1'],
});

/** Head of a free index block; u16 bests follow from byte 64. */
export const DirFree = struct('DirFree', 64, {
  magic: [0, u32, 'XDF3'],
  crc: [4, u32le, 'CRC32C of the directory block'],
  blkno: [8, u64, 'own address (daddr)'],
  lsn: [16, u64hl, 'last logged write'],
  uuid: [24, bytes(16), 'metadata uuid'],
  owner: [40, u64, 'inode number', 'inode'],
  firstdb: [48, u32, 'data block of slot 0'],
  nvalid: [52, u32, 'slots up to the last one in use'],
  nused: [56, u32, 'slots that are not 0xFFFF'],
  pad: [60, pad(4), 'zero'],
});

/** Short form, all inode numbers (parent and entries) below 2^32. */
export const ShortDirHeader4 = struct('ShortDirHeader4', 6, {
  count: [0, u8, 'entries'],
  i8count: [1, u8, '0'],
  parent: [2, u32, 'the directory above', 'inode'],
});

/** Short form with a greater inode number among them: then all take 8 bytes. */
export const ShortDirHeader8 = struct('ShortDirHeader8', 10, {
  count: [0, u8, 'entries'],
  i8count: [1, u8, 'inode numbers of 2^32 and above, not 0'],
  parent: [2, u64, 'the directory above', 'inode'],
});

/** Fixed head of a short form entry; name, ftype (u8) and inode number (4 or 8 bytes) follow. */
export const ShortDirEntry = struct('ShortDirEntry', 3, {
  namelen: [0, u8, 'bytes of the name, 1..255'],
  blockOffset: [1, u16, 'where the entry would be in block form'],
});

/** Bytes an entry takes in a data block. */
export function dirEntrySize(nameLength: number): number {
  return (nameLength + 19) & ~7;
}
/** Data blocks that one free index block covers: 2016 for 4096 bytes. */
export function dirFreeSlots(blockBytes: number): number {
  return (blockBytes - DirFree.size) >>> 1;
}
/** Most index entries of a leafN: 504 for 4096 bytes. */
export function maxLeafNEntries(blockBytes: number): number {
  return Math.floor((blockBytes - DirLeaf.size) / DirLeafEntry.size);
}
/** Most index entries of a leaf1 that carries `bestcount` bests; may be negative. */
export function maxLeaf1Entries(blockBytes: number, bestcount: number): number {
  return Math.floor((blockBytes - DirLeaf.size - DirLeafTail.size - 2 * bestcount) / DirLeafEntry.size);
}
/** Where the index of a block-form block starts, which is where its data ends. */
export function dirBlockDataEnd(view: DataView): number {
  const size = view.byteLength;
  return size - DirBlockTail.size - DirLeafEntry.size * view.getUint32(size - DirBlockTail.size);
}

/** True when an inode number (possibly beyond 2^53) names a slot of an AG of this geometry. */
export function isInodeNumber(geometry: Geometry, inode: number): boolean {
  return isInodeOf(geometry, 2 ** geometry.agInodeLog, inode);
}

/** The same for loops, which compute the inode numbers per AG once. */
function isInodeOf(geometry: Geometry, perAg: number, inode: number): boolean {
  const ag = Math.floor(inode / perAg);
  if (ag >= geometry.agCount) return false;
  const block = Math.floor((inode - ag * perAg) / geometry.inodesPerBlock);
  return block >= geometry.headerBlocks && block < geometry.agLength(ag);
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

function verifyDataHeader(view: DataView, geometry: Geometry, daddr: number, magic: number): Fault | undefined {
  if (view.byteLength < 512) return fault('BAD_SIZE', 'block', 512, view.byteLength);
  const found = view.getUint32(0);
  if (found !== magic) return fault('BAD_MAGIC', 'magic', hex(magic), hex(found));
  const { blkno, uuid, owner } = DirDataHeader.offsets;
  return verifySelf(view, geometry, daddr, blkno, uuid, owner);
}

/** Entries and unused regions from byte 64 to `end`, and bestfree (invariant 1). */
function verifyTiles(view: DataView, geometry: Geometry, end: number): Fault | undefined {
  const perAg = 2 ** geometry.agInodeLog;
  const best0 = view.getUint32(48);
  const best1 = view.getUint32(52);
  const best2 = view.getUint32(56);
  const shortest = best2 & 0xffff;
  if ((best0 & 0xffff) < (best1 & 0xffff) || (best1 & 0xffff) < shortest) {
    return fault('BAD_BESTFREE', 'bestfree', 'longest first', `${best0 & 0xffff}, ${best1 & 0xffff}, ${shortest}`);
  }
  let wanted = (best0 === 0 ? 0 : 1) | (best1 === 0 ? 0 : 2) | (best2 === 0 ? 0 : 4);
  let afterUnused = false;
  let at = DirDataHeader.size;
  while (at < end) {
    if (view.getUint16(at) === DIR_FREE_TAG) {
      const length = view.getUint16(at + 2);
      if (length < 8 || (length & 7) !== 0 || at + length > end) {
        return fault('BAD_UNUSED', `unused[${at}].length`, `8..${end - at}, in steps of 8`, length);
      }
      if (afterUnused) return fault('BAD_UNUSED', `unused[${at}]`, 'an entry', 'two unused regions side by side');
      const tag = view.getUint16(at + length - 2);
      if (tag !== at) return fault('BAD_TAG', `unused[${at}].tag`, at, tag);
      const word = ((at << 16) | length) >>> 0;
      if (word === best0 && (wanted & 1) !== 0) wanted ^= 1;
      else if (word === best1 && (wanted & 2) !== 0) wanted ^= 2;
      else if (word === best2 && (wanted & 4) !== 0) wanted ^= 4;
      else if (length > shortest)
        return fault('BAD_BESTFREE', 'bestfree', `region ${at}, length ${length}`, 'not listed');
      afterUnused = true;
      at += length;
    } else {
      afterUnused = false;
      if (at + 16 > end) return fault('BAD_ENTRY', `entry[${at}]`, `at most ${end - 16}`, at);
      const nameLength = view.getUint8(at + 8);
      const size = dirEntrySize(nameLength);
      if (nameLength === 0 || at + size > end) {
        return fault('BAD_NAME_LENGTH', `entry[${at}].namelen`, `1..${Math.min(255, end - at - 12)}`, nameLength);
      }
      const tag = view.getUint16(at + size - 2);
      if (tag !== at) return fault('BAD_TAG', `entry[${at}].tag`, at, tag);
      const ftype = view.getUint8(at + 9 + nameLength);
      if (ftype > MAX_FTYPE) return fault('BAD_FTYPE', `entry[${at}].ftype`, `0..${MAX_FTYPE}`, ftype);
      const inode = view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
      if (!isInodeOf(geometry, perAg, inode)) return fault('BAD_INODE', `entry[${at}].inode`, 'an inode number', inode);
      at += size;
    }
  }
  if (wanted !== 0) return fault('BAD_BESTFREE', 'bestfree', 'unused regions', 'a region that is not there');
  return undefined;
}

function verifyStale(view: DataView, base: number, count: number, stale: number): Fault | undefined {
  let found = 0;
  for (let i = 0, at = base + 4; i < count; i++, at += 8) if (view.getUint32(at) === 0) found++;
  return found === stale ? undefined : fault('BAD_STALE', 'stale', found, stale);
}

/** The only block of a small directory: entries, then the hash index, then its tail. */
export const DIR_BLOCK: BlockType = {
  name: 'directory block',
  logType: 10,
  crcOffset: 4,
  lsnOffset: 16,
  verify(view, geometry, daddr) {
    const bad = verifyDataHeader(view, geometry, daddr, DIR_BLOCK_MAGIC);
    if (bad) return bad;
    const size = view.byteLength;
    const count = view.getUint32(size - 8);
    const stale = view.getUint32(size - 4);
    const max = Math.floor((size - DirDataHeader.size - DirBlockTail.size) / DirLeafEntry.size);
    if (count > max) return fault('BAD_COUNT', 'tail.count', `0..${max}`, count);
    if (stale > count) return fault('BAD_STALE', 'tail.stale', `0..${count}`, stale);
    const end = dirBlockDataEnd(view);
    return (
      verifyHashOrder(view, end, count) ?? verifyStale(view, end, count, stale) ?? verifyTiles(view, geometry, end)
    );
  },
};

export const DIR_DATA: BlockType = {
  name: 'directory data',
  logType: 11,
  crcOffset: 4,
  lsnOffset: 16,
  verify: (view, geometry, daddr) =>
    verifyDataHeader(view, geometry, daddr, DIR_DATA_MAGIC) ?? verifyTiles(view, geometry, view.byteLength),
};

export const DIR_FREE: BlockType = {
  name: 'directory free index',
  logType: 12,
  crcOffset: 4,
  lsnOffset: 16,
  verify(view, geometry, daddr) {
    const bad = verifyDataHeader(view, geometry, daddr, DIR_FREE_MAGIC);
    if (bad) return bad;
    const slots = dirFreeSlots(view.byteLength);
    const { firstdb, nvalid, nused } = DirFree.offsets;
    const first = view.getUint32(firstdb);
    if (first % slots !== 0) return fault('BAD_FIRSTDB', 'firstdb', `a multiple of ${slots}`, first);
    const valid = view.getUint32(nvalid);
    if (valid > slots) return fault('BAD_COUNT', 'nvalid', `0..${slots}`, valid);
    let used = 0;
    for (let i = 0; i < valid; i++) if (view.getUint16(DirFree.size + 2 * i) !== DIR_NULL_BEST) used++;
    const found = view.getUint32(nused);
    return found === used ? undefined : fault('BAD_COUNT', 'nused', used, found);
  },
};

function verifyLeafEntries(view: DataView, max: number): Fault | undefined {
  const count = view.getUint16(DirLeaf.offsets.count);
  if (count > max) return fault('BAD_COUNT', 'count', `0..${max}`, count);
  return (
    verifyHashOrder(view, DirLeaf.size, count) ??
    verifyStale(view, DirLeaf.size, count, view.getUint16(DirLeaf.offsets.stale))
  );
}

/** The whole hash index of a middle-sized directory, with the longest unused length of each data block. */
export const DIR_LEAF1: BlockType = {
  name: 'directory leaf',
  logType: 13,
  crcOffset: DaHeader.offsets.crc,
  lsnOffset: DaHeader.offsets.lsn,
  verify(view, geometry, daddr) {
    const bad = verifyDaHeader(view, geometry, daddr, DIR_LEAF1_MAGIC);
    if (bad) return bad;
    const bests = view.getUint32(view.byteLength - 4);
    const most = (view.byteLength - DirLeaf.size - DirLeafTail.size) >>> 1;
    if (bests > most) return fault('BAD_COUNT', 'tail.bestcount', `0..${most}`, bests);
    return verifyLeafEntries(view, maxLeaf1Entries(view.byteLength, bests));
  },
};

/** A leaf of the hash index of a large directory. */
export const DIR_LEAFN: BlockType = {
  name: 'directory leaf (node form)',
  logType: 14,
  crcOffset: DaHeader.offsets.crc,
  lsnOffset: DaHeader.offsets.lsn,
  verify: (view, geometry, daddr) =>
    verifyDaHeader(view, geometry, daddr, DIR_LEAFN_MAGIC) ?? verifyLeafEntries(view, maxLeafNEntries(view.byteLength)),
};

/** Bytes of an inode number in this short form: 4 or 8. */
export function shortDirInodeSize(view: DataView): 4 | 8 {
  return view.getUint8(1) === 0 ? 4 : 8;
}
/** Inode number of 4 or 8 bytes. */
export function readShortInode(view: DataView, offset: number, size: 4 | 8): number {
  return size === 4 ? view.getUint32(offset) : view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

/**
 * The short form at the start of these bytes, which may go on behind it (`shortDirSize` must equal di_size). After it
 * returns undefined every entry lies inside. Offsets are those of a block-form image, which must fit a directory block.
 */
export function verifyShortDir(view: DataView, geometry: Geometry): Fault | undefined {
  const size = view.byteLength;
  if (size < ShortDirHeader4.size) return fault('BAD_SIZE', 'size', `at least ${ShortDirHeader4.size}`, size);
  const count = view.getUint8(0);
  const i8count = view.getUint8(1);
  const width = shortDirInodeSize(view);
  if (size < 2 + width) return fault('BAD_SIZE', 'size', `at least ${2 + width}`, size);
  const parent = readShortInode(view, 2, width);
  if (!isInodeNumber(geometry, parent)) return fault('BAD_INODE', 'parent', 'an inode number', parent);
  let large = parent >= 2 ** 32 ? 1 : 0;
  let at = 2 + width;
  let place = DIR_FIRST_OFFSET;
  for (let i = 0; i < count; i++) {
    if (at + ShortDirEntry.size > size) return fault('BAD_COUNT', 'count', i, count);
    const nameLength = view.getUint8(at);
    const end = at + ShortDirEntry.size + nameLength + 1 + width;
    if (nameLength === 0 || end > size) return fault('BAD_NAME_LENGTH', `entry[${i}].namelen`, 'inside', nameLength);
    const offset = view.getUint16(at + 1);
    if (offset < place) return fault('BAD_OFFSET', `entry[${i}].offset`, `at least ${place}`, offset);
    place = offset + dirEntrySize(nameLength);
    const ftype = view.getUint8(at + ShortDirEntry.size + nameLength);
    if (ftype > MAX_FTYPE) return fault('BAD_FTYPE', `entry[${i}].ftype`, `0..${MAX_FTYPE}`, ftype);
    const inode = readShortInode(view, end - width, width);
    if (!isInodeNumber(geometry, inode)) return fault('BAD_INODE', `entry[${i}].inode`, 'an inode number', inode);
    if (inode >= 2 ** 32) large++;
    at = end;
  }
  if (large !== i8count) return fault('BAD_COUNT', 'i8count', large, i8count);
  if (place + blockIndexBytes(count) > geometry.dirBlockSize) {
    return fault('BAD_OFFSET', 'offsets', `a block form of at most ${geometry.dirBlockSize}`, place);
  }
  return undefined;
}

/** Bytes that a verified short form takes. */
export function shortDirSize(view: DataView): number {
  const width = shortDirInodeSize(view);
  let at = 2 + width;
  for (let left = view.getUint8(0); left > 0; left--) at += ShortDirEntry.size + view.getUint8(at) + 1 + width;
  return at;
}

/** Bytes of index and tail of a block-form directory with this many entries besides "." and "..". */
export function blockIndexBytes(entries: number): number {
  return DirLeafEntry.size * (entries + 2) + DirBlockTail.size;
}
