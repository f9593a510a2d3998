/**
 * The superblock: one copy in sector 0 of every AG. 304 bytes; the CRC covers the whole sector.
 * Sector bytes past 264 (past 248 without META_UUID) are zero unless METADIR.
 */
import { bytes, pad, struct, u8, u16, u32, u32le, u64, u64hl } from './struct.ts';

export const Superblock = struct('Superblock', 304, {
  magicnum: [0, u32, 'XFSB or CDST'],
  blocksize: [4, u32, 'bytes per block, 1024..65536'],
  dblocks: [8, u64, 'blocks in the data section'],
  rblocks: [16, u64, '0: no realtime section'],
  rextents: [24, u64, '0: no realtime section'],
  uuid: [32, bytes(16), 'the uuid a user sees'],
  logstart: [48, u64, 'first block of the internal log', 'fsblock'],
  rootino: [56, u64, 'root directory', 'inode'],
  rbmino: [64, u64, 'realtime bitmap inode: rootino + 1', 'inode'],
  rsumino: [72, u64, 'realtime summary inode: rootino + 2', 'inode'],
  rextsize: [80, u32, 'realtime extent size in blocks, never 0'],
  agblocks: [84, u32, 'blocks in every AG but the last'],
  agcount: [88, u32, 'number of AGs: ceil(dblocks / agblocks)'],
  rbmblocks: [92, u32, '0: no realtime section'],
  logblocks: [96, u32, 'blocks of the log'],
  versionnum: [100, u16, 'low nibble 5; feature bits, see VERSION'],
  sectsize: [102, u16, 'bytes per sector, 512..32768'],
  inodesize: [104, u16, 'bytes per inode, 512..2048'],
  inopblock: [106, u16, 'inodes per block'],
  fname: [108, bytes(12), 'label, zero padded'],
  blocklog: [120, u8, 'log2 of blocksize'],
  sectlog: [121, u8, 'log2 of sectsize'],
  inodelog: [122, u8, 'log2 of inodesize'],
  inopblog: [123, u8, 'log2 of inopblock'],
  agblklog: [124, u8, 'log2 of agblocks, rounded up'],
  rextslog: [125, u8, '0: no realtime section'],
  inprogress: [126, u8, '1 in an unfinished image and in all secondary copies'],
  imaxPct: [127, u8, 'most per cent of space for inodes; 0 = no limit'],
  icount: [128, u64, 'allocated inodes, used and free'],
  ifree: [136, u64, 'free inodes'],
  fdblocks: [144, u64, 'free blocks: freeblks + flcount + btreeblks over all AGs'],
  frextents: [152, u64, '0: no realtime section'],
  uquotino: [160, u64, 'user quota inode; 0 or null = none', 'inode'],
  gquotino: [168, u64, 'group quota inode; 0 or null = none', 'inode'],
  qflags: [176, u16, 'quota state'],
  flags: [178, u8, '0'],
  sharedVn: [179, u8, '0'],
  inoalignmt: [180, u32, 'inode chunk alignment in blocks'],
  unit: [184, u32, 'stripe unit in blocks; 0 = none'],
  width: [188, u32, 'stripe width in blocks; 0 = none'],
  dirblklog: [192, u8, 'log2 of (directory block size / block size)'],
  logsectlog: [193, u8, '0 unless SECTOR'],
  logsectsize: [194, u16, '0 unless SECTOR'],
  logsunit: [196, u32, 'log stripe unit in bytes; 1 or 0 = none'],
  features2: [200, u32, 'see FEATURES2'],
  badFeatures2: [204, u32, 'same value as features2'],
  featuresCompat: [208, u32, '0'],
  featuresRoCompat: [212, u32, 'see RO_COMPAT'],
  featuresIncompat: [216, u32, 'see INCOMPAT'],
  featuresLogIncompat: [220, u32, 'see LOG_INCOMPAT'],
  crc: [224, u32le, 'CRC32C of the sector'],
  spinoAlign: [228, u32, 'sparse inode alignment in blocks'],
  pquotino: [232, u64, 'project quota inode; 0 or null = none', 'inode'],
  lsn: [240, u64hl, 'LSN of the last logged write'],
  metaUuid: [248, bytes(16), 'uuid in metadata when META_UUID is set, else zero'],
  metadirino: [264, u64, 'METADIR only', 'inode'],
  rgcount: [272, u32, 'METADIR only'],
  rgextents: [276, u32, 'METADIR only'],
  rgblklog: [280, u8, 'METADIR only'],
  metadirPad: [281, pad(7), 'zero'],
  rtstart: [288, u64, 'zoned only'],
  rtreserved: [296, u64, 'zoned only'],
});

export const XFS_MAGIC = 0x58465342;
export const CADASTRE_MAGIC = 0x43445354;

/** Bits of versionnum; the low nibble is the version, 5. */
export const VERSION = {
  NUMBER: 5,
  ATTR: 0x0010,
  NLINK: 0x0020,
  QUOTA: 0x0040,
  ALIGN: 0x0080,
  DALIGN: 0x0100,
  SHARED: 0x0200,
  LOGV2: 0x0400,
  SECTOR: 0x0800,
  EXTFLG: 0x1000,
  DIRV2: 0x2000,
  ASCII_CI: 0x4000,
  MOREBITS: 0x8000,
} as const;
/** Bits of qflags that say that usage was counted, by user, group and project; without them the kernel counts at the next mount. */
export const QUOTA_CHECKED = 0x0004 | 0x0020 | 0x0100 | 0x0400;
/** Bits that every v5 superblock must carry. */
export const VERSION_REQUIRED =
  VERSION.NLINK | VERSION.ALIGN | VERSION.LOGV2 | VERSION.EXTFLG | VERSION.DIRV2 | VERSION.MOREBITS;

export const FEATURES2 = { LAZYSBCOUNT: 0x002, ATTR2: 0x008, PROJID32: 0x080, CRC: 0x100, FTYPE: 0x200 } as const;
export const FEATURES2_REQUIRED = FEATURES2.LAZYSBCOUNT | FEATURES2.ATTR2 | FEATURES2.PROJID32 | FEATURES2.CRC;

export const RO_COMPAT = { FINOBT: 0x1, RMAPBT: 0x2, REFLINK: 0x4, INOBTCNT: 0x8 } as const;
export const INCOMPAT = {
  FTYPE: 0x1,
  SPINODES: 0x2,
  META_UUID: 0x4,
  BIGTIME: 0x8,
  NEEDSREPAIR: 0x10,
  NREXT64: 0x20,
  EXCHRANGE: 0x40,
  PARENT: 0x80,
  METADIR: 0x100,
  ZONED: 0x200,
  ZONE_GAPS: 0x400,
  /** cadastre dialect only: per-AG data checksum trees. */
  DATA_CHECKSUMS: 0x80000000,
} as const;
export const LOG_INCOMPAT = { XATTRS: 0x1 } as const;
