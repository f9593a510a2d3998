/**
 * The v3 inode core. The literal area follows at byte 176: data fork first, attr fork at 176 + forkoff * 8. The CRC
 * covers the whole inode slot (`inodesize` bytes).
 */
import { bytes, pad, struct, u8, u16, u32, u32le, u64, u64hl } from './struct.ts';

export const INODE_MAGIC = 0x494e;

export const InodeCore = struct('Inode', 176, {
  magic: [0, u16, 'IN'],
  mode: [2, u16, 'type and permissions; 0 = free'],
  version: [4, u8, '3'],
  format: [5, u8, 'data fork: 0 dev, 1 local, 2 extents, 3 btree'],
  metatype: [6, u16, '0 unless METADATA'],
  uid: [8, u32, 'owner'],
  gid: [12, u32, 'group'],
  nlink: [16, u32, 'links; a directory: 2 + subdirectories'],
  projidLo: [20, u16, 'project id, low half'],
  projidHi: [22, u16, 'project id, high half'],
  bigNextents: [24, u64, 'NREXT64 inode: data extents; otherwise 0'],
  atime: [32, u64hl, 'access time'],
  mtime: [40, u64hl, 'content change time'],
  ctime: [48, u64hl, 'inode change time'],
  size: [56, u64, 'bytes'],
  nblocks: [64, u64, 'blocks of both forks and their bmbt blocks'],
  extsize: [72, u32, 'extent size hint in blocks'],
  nextents: [76, u32, 'data extents; NREXT64 inode: attr extents'],
  anextents: [80, u16, 'attr extents; NREXT64 inode: 0'],
  forkoff: [82, u8, 'attr fork start in 8-byte units from byte 176; 0 = none'],
  aformat: [83, u8, 'attr fork: 1 local, 2 extents, 3 btree'],
  dmevmask: [84, u32, '0'],
  dmstate: [88, u16, '0'],
  flags: [90, u16, 'see INODE_FLAG'],
  gen: [92, u32, 'generation'],
  nextUnlinked: [96, u32, 'next in the unlinked chain, or null', 'aginode'],
  crc: [100, u32le, 'CRC32C of the inode slot'],
  changecount: [104, u64hl, 'change counter'],
  lsn: [112, u64hl, 'last logged write'],
  flags2: [120, u64hl, 'see INODE_FLAG2 (in the low word)'],
  cowextsize: [128, u32, 'copy-on-write extent size hint in blocks'],
  pad: [132, pad(12), 'zero'],
  crtime: [144, u64hl, 'creation time'],
  ino: [152, u64, 'own inode number', 'inode'],
  uuid: [160, bytes(16), 'metadata uuid'],
});

/** Fork formats. */
export const FORMAT = { DEV: 0, LOCAL: 1, EXTENTS: 2, BTREE: 3, META_BTREE: 5 } as const;

export const INODE_FLAG = {
  REALTIME: 0x1,
  PREALLOC: 0x2,
  NEWRTBM: 0x4,
  IMMUTABLE: 0x8,
  APPEND: 0x10,
  SYNC: 0x20,
  NOATIME: 0x40,
  NODUMP: 0x80,
  RTINHERIT: 0x100,
  PROJINHERIT: 0x200,
  NOSYMLINKS: 0x400,
  EXTSIZE: 0x800,
  EXTSZINHERIT: 0x1000,
  NODEFRAG: 0x2000,
  FILESTREAM: 0x4000,
} as const;
/** Bits of the low word of flags2. */
export const INODE_FLAG2 = { DAX: 1, REFLINK: 2, COWEXTSIZE: 4, BIGTIME: 8, NREXT64: 16, METADATA: 32 } as const;

/** File types in `mode`, and the directory entry type byte of each. */
export const S_IFMT = 0xf000;
export const MODE = {
  FIFO: 0x1000,
  CHAR: 0x2000,
  DIR: 0x4000,
  BLOCK: 0x6000,
  FILE: 0x8000,
  SYMLINK: 0xa000,
  SOCKET: 0xc000,
} as const;
export const FTYPE = {
  UNKNOWN: 0,
  FILE: 1,
  DIR: 2,
  CHAR: 3,
  BLOCK: 4,
  FIFO: 5,
  SOCKET: 6,
  SYMLINK: 7,
  WHITEOUT: 8,
} as const;

/** Directory entry type byte of a mode; 0 for a mode with no valid type. */
export function ftypeOfMode(mode: number): number {
  switch (mode & S_IFMT) {
    case MODE.FILE:
      return FTYPE.FILE;
    case MODE.DIR:
      return FTYPE.DIR;
    case MODE.SYMLINK:
      return FTYPE.SYMLINK;
    case MODE.CHAR:
      return FTYPE.CHAR;
    case MODE.BLOCK:
      return FTYPE.BLOCK;
    case MODE.FIFO:
      return FTYPE.FIFO;
    case MODE.SOCKET:
      return FTYPE.SOCKET;
    default:
      return FTYPE.UNKNOWN;
  }
}

/** Where the data fork starts; the literal area reaches from here to the end of the slot. */
export const DATA_FORK_OFFSET = 176;
/** Bytes of one inline extent record. */
const EXTENT_BYTES = 16;
/** Bytes of a bmbt root's head inside a fork. */
const BMDR_HEADER_BYTES = 4;
const TWO32 = 2 ** 32;

/** flags2 bit: extent counts are in the wide layout. The flag is per inode, whatever the file system's feature says. */
export function isNrext64(view: DataView, offset: number): boolean {
  return (view.getUint8(offset + 127) & INODE_FLAG2.NREXT64) !== 0;
}
/** flags2 bit: times are u64 nanoseconds. Per inode, too. */
export function isBigtime(view: DataView, offset: number): boolean {
  return (view.getUint8(offset + 127) & INODE_FLAG2.BIGTIME) !== 0;
}

/** Extents of the data fork, from either layout. */
export function dataExtentCount(view: DataView, offset: number): number {
  return isNrext64(view, offset)
    ? view.getUint32(offset + 24) * TWO32 + view.getUint32(offset + 28)
    : view.getUint32(offset + 76);
}
/** Extents of the attr fork, from either layout. */
export function attrExtentCount(view: DataView, offset: number): number {
  return isNrext64(view, offset) ? view.getUint32(offset + 76) : view.getUint16(offset + 80);
}
/** Greatest extent count of a data fork (6.4): 2^48 - 1, or 2^31 - 1 in the classic layout. */
export function maxDataExtents(view: DataView, offset: number): number {
  return isNrext64(view, offset) ? 2 ** 48 - 1 : 2 ** 31 - 1;
}
/** Greatest extent count of an attr fork: 2^32 - 1, or 2^15 - 1 in the classic layout. */
export function maxAttrExtents(view: DataView, offset: number): number {
  return isNrext64(view, offset) ? 2 ** 32 - 1 : 2 ** 15 - 1;
}
/** Store the data extent count in the layout this inode uses; the caller has checked it against `maxDataExtents`. */
export function setDataExtentCount(view: DataView, offset: number, count: number): void {
  if (isNrext64(view, offset)) {
    view.setUint32(offset + 24, Math.floor(count / TWO32));
    view.setUint32(offset + 28, count % TWO32);
  } else {
    view.setUint32(offset + 76, count);
  }
}
/** Store the attr extent count in the layout this inode uses; the caller has checked it against `maxAttrExtents`. */
export function setAttrExtentCount(view: DataView, offset: number, count: number): void {
  if (isNrext64(view, offset)) view.setUint32(offset + 76, count);
  else view.setUint16(offset + 80, count);
}

/** Bytes of the data fork: up to the attr fork, or the whole literal area when there is none. */
export function dataForkBytes(view: DataView, offset: number, inodeSize: number): number {
  const forkoff = view.getUint8(offset + 82);
  return forkoff === 0 ? inodeSize - DATA_FORK_OFFSET : forkoff * 8;
}
/** Offset of the attr fork from the start of the inode; meaningless when forkoff is 0 (`attrForkBytes` is 0 then). */
export function attrForkOffset(view: DataView, offset: number): number {
  return DATA_FORK_OFFSET + view.getUint8(offset + 82) * 8;
}
/** Bytes of the attr fork, 0 when there is none. */
export function attrForkBytes(view: DataView, offset: number, inodeSize: number): number {
  const forkoff = view.getUint8(offset + 82);
  return forkoff === 0 ? 0 : inodeSize - DATA_FORK_OFFSET - forkoff * 8;
}
/** Most extents a fork of this many bytes holds inline. */
export function maxInlineExtents(forkBytes: number): number {
  return Math.floor(forkBytes / EXTENT_BYTES);
}
/** Most children a bmbt root in a fork of this many bytes holds; pointers start at byte 4 + 8 * this. */
export function maxRootRecords(forkBytes: number): number {
  return Math.max(0, Math.floor((forkBytes - BMDR_HEADER_BYTES) / 16));
}

/** Device number as kernels store it: 14 bits major, 18 bits minor. */
export function encodeRdev(major: number, minor: number): number {
  return ((major << 18) | minor) >>> 0;
}
export function rdevMajor(rdev: number): number {
  return rdev >>> 18;
}
export function rdevMinor(rdev: number): number {
  return rdev & 0x3ffff;
}
