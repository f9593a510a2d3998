/**
 * B+tree blocks: the two headers, and the records and keys of every tree. Records start right behind the header; in a
 * node the keys do, and the pointers start behind room for the *greatest* number of keys, not behind the last one.
 */
import { bytes, pad, struct, u8, u16, u32, u32le, u32s, u64, u64hl } from './struct.ts';

/** Short form: all per-AG trees. */
export const ShortHeader = struct('ShortBtreeBlock', 56, {
  magic: [0, u32, 'which tree'],
  level: [4, u16, '0 = leaf'],
  numrecs: [6, u16, 'records or keys in this block'],
  leftSibling: [8, u32, 'null at the edge', 'agblock'],
  rightSibling: [12, u32, 'null at the edge', 'agblock'],
  blkno: [16, u64, 'own address (daddr)'],
  lsn: [24, u64hl, 'last logged write'],
  uuid: [32, bytes(16), 'metadata uuid'],
  owner: [48, u32, 'AG number'],
  crc: [52, u32le, 'CRC32C of the block'],
});

/** Long form: bmbt. */
export const LongHeader = struct('LongBtreeBlock', 72, {
  magic: [0, u32, 'BMA3'],
  level: [4, u16, '0 = leaf'],
  numrecs: [6, u16, 'records or keys in this block'],
  leftSibling: [8, u64, 'null at the edge', 'fsblock'],
  rightSibling: [16, u64, 'null at the edge', 'fsblock'],
  blkno: [24, u64, 'own address (daddr)'],
  lsn: [32, u64hl, 'last logged write'],
  uuid: [40, bytes(16), 'metadata uuid'],
  owner: [56, u64, 'inode number', 'inode'],
  crc: [64, u32le, 'CRC32C of the block'],
  pad: [68, pad(4), 'zero'],
});

/** bnobt and cntbt: record and key. */
export const AllocRecord = struct('AllocRecord', 8, {
  startBlock: [0, u32, 'first AG block of the free extent', 'agblock'],
  blockCount: [4, u32, 'length in blocks'],
});

/** inobt and finobt record. Without SPINODES bytes 4-7 are one u32 free count. */
export const InobtRecord = struct('InobtRecord', 16, {
  startInode: [0, u32, 'AG inode number of slot 0 of the chunk', 'aginode'],
  holemask: [4, u16, 'bit i: inodes 4i..4i+3 do not exist'],
  count: [6, u8, 'existing inodes'],
  freeCount: [7, u8, 'free existing inodes'],
  free: [8, u64hl, 'bit i: inode startInode + i is free (bits of holes set)'],
});

export const RmapRecord = struct('RmapRecord', 24, {
  startBlock: [0, u32, 'first AG block of the extent', 'agblock'],
  blockCount: [4, u32, 'length in blocks, never 0'],
  owner: [8, u64hl, 'inode number, or a special owner'],
  offset: [16, u64hl, 'bit 63 attr fork, 62 bmbt block, 61 unwritten; bits 0-53 file block'],
});

export const RefcountRecord = struct('RefcountRecord', 12, {
  startBlock: [0, u32, 'first AG block; bit 31 = copy-on-write staging'],
  blockCount: [4, u32, 'length in blocks'],
  refcount: [8, u32, 'owners; 1 only for staging'],
});

/** bmbt record and inline extent: a 128-bit word, see `formats/extent.ts` for the packing. */
export const BmbtRecord = struct('BmbtRecord', 16, {
  l0: [0, u64hl, 'bit 63 unwritten, 62-9 file block, 8-0 high bits of the start block'],
  l1: [8, u64hl, '63-21 low bits of the start block, 20-0 length'],
});

/** cadastre: checksums of up to 14 blocks. */
export const CsumRecord = struct('CsumRecord', 64, {
  startBlock: [0, u32, 'first AG block', 'agblock'],
  blockCount: [4, u32, '1..14'],
  crcs: [8, u32s(14), 'CRC32C of each block, unused = 0'],
});
/** Checksums a CsumRecord can hold. */
export const CSUM_PER_RECORD = 14;

/** Head of a bmbt root inside an inode fork; keys (u64) follow, pointers (fsblock u64) behind room for all keys. */
export const BmdrHeader = struct('BmbtRoot', 4, {
  level: [0, u16, 'at least 1'],
  numrecs: [2, u16, 'children'],
});

/** Rmap owners that are not inodes: the low word of a 64-bit value whose high word is all ones. */
export const RMAP_OWNER = {
  NULL: 0xffffffff,
  UNKNOWN: 0xfffffffe,
  FS: 0xfffffffd,
  LOG: 0xfffffffc,
  AG: 0xfffffffb,
  INOBT: 0xfffffffa,
  INODES: 0xfffffff9,
  REFC: 0xfffffff8,
  COW: 0xfffffff7,
  /** cadastre: blocks of the checksum tree, 2^64 - 16. */
  CSUM: 0xfffffff0,
} as const;
/** Flags in the high word of an rmap offset. */
export const RMAP_ATTR_FORK = 0x80000000;
export const RMAP_BMBT_BLOCK = 0x40000000;
export const RMAP_UNWRITTEN = 0x20000000;
/** The file-block bits of the high word of an rmap offset (bits 32-53). */
export const RMAP_OFFSET_HI_MASK = 0x003fffff;
/** Start blocks with this bit set are copy-on-write staging extents in the refcount tree. */
export const REFCOUNT_COW = 0x80000000;
/** Longest extent one bmbt record can hold: 2^21 - 1 blocks. */
export const MAX_EXTENT_BLOCKS = 0x1fffff;

/** What a tree looks like in bytes. `hasHighKeys`: nodes hold a low and a high key per child (overlapping records). */
export interface BtreeLayout {
  readonly name: 'bnobt' | 'cntbt' | 'inobt' | 'finobt' | 'rmapbt' | 'refcountbt' | 'bmbt' | 'csumbt';
  readonly magic: number;
  readonly long: boolean;
  readonly headerSize: number;
  readonly recordSize: number;
  /** One key; a node entry of a tree with high keys holds two. */
  readonly keySize: number;
  readonly hasHighKeys: boolean;
  readonly pointerSize: number;
}

const short = (
  name: BtreeLayout['name'],
  magic: number,
  recordSize: number,
  keySize: number,
  hasHighKeys = false,
): BtreeLayout => ({
  name,
  magic,
  long: false,
  headerSize: ShortHeader.size,
  recordSize,
  keySize,
  hasHighKeys,
  pointerSize: 4,
});

export const BTREES = {
  bnobt: short('bnobt', 0x41423342, AllocRecord.size, 8),
  cntbt: short('cntbt', 0x41423343, AllocRecord.size, 8),
  inobt: short('inobt', 0x49414233, InobtRecord.size, 4),
  finobt: short('finobt', 0x46494233, InobtRecord.size, 4),
  rmapbt: short('rmapbt', 0x524d4233, RmapRecord.size, 20, true),
  refcountbt: short('refcountbt', 0x52334643, RefcountRecord.size, 4),
  csumbt: short('csumbt', 0x43534d33, CsumRecord.size, 4),
  bmbt: {
    name: 'bmbt',
    magic: 0x424d4133,
    long: true,
    headerSize: LongHeader.size,
    recordSize: BmbtRecord.size,
    keySize: 8,
    hasHighKeys: false,
    pointerSize: 8,
  } satisfies BtreeLayout as BtreeLayout,
} as const;

/** Most records of a leaf. */
export function maxLeafRecords(layout: BtreeLayout, blockSize: number): number {
  return Math.floor((blockSize - layout.headerSize) / layout.recordSize);
}
/** Most children of a node. */
export function maxNodeRecords(layout: BtreeLayout, blockSize: number): number {
  const keys = layout.hasHighKeys ? 2 * layout.keySize : layout.keySize;
  return Math.floor((blockSize - layout.headerSize) / (keys + layout.pointerSize));
}
