/**
 * The three AG headers beside the superblock: AGF (free space), AGI (inodes), AGFL (free list). One sector each,
 * sectors 1, 2 and 3 of the AG; every CRC covers the whole sector.
 */
import { bytes, pad, struct, u32, u32le, u32s, u64hl } from './struct.ts';

export const AGF_MAGIC = 0x58414746;
export const AGI_MAGIC = 0x58414749;
export const AGFL_MAGIC = 0x5841464c;
export const AG_HEADER_VERSION = 1;

/** AGF. The three checksum-tree fields live in what XFS leaves spare: they are zero in the xfs dialect. */
export const Agf = struct('AGF', 224, {
  magicnum: [0, u32, 'XAGF'],
  versionnum: [4, u32, '1'],
  seqno: [8, u32, 'AG number'],
  length: [12, u32, 'blocks in this AG'],
  bnoRoot: [16, u32, 'free space by start: root', 'agblock'],
  cntRoot: [20, u32, 'free space by length: root', 'agblock'],
  rmapRoot: [24, u32, 'reverse map: root, 0 without', 'agblock'],
  bnoLevel: [28, u32, 'height of the tree by start'],
  cntLevel: [32, u32, 'height of the tree by length'],
  rmapLevel: [36, u32, 'height of the reverse map, 0 without'],
  flfirst: [40, u32, 'AGFL index of the first active slot'],
  fllast: [44, u32, 'AGFL index of the last active slot'],
  flcount: [48, u32, 'active slots'],
  freeblks: [52, u32, 'free blocks in the trees'],
  longest: [56, u32, 'longest free extent'],
  btreeblks: [60, u32, 'non-root blocks of bnobt, cntbt and rmapbt'],
  uuid: [64, bytes(16), 'metadata uuid'],
  rmapBlocks: [80, u32, 'blocks of the reverse map'],
  refcountBlocks: [84, u32, 'blocks of the refcount tree'],
  refcountRoot: [88, u32, 'refcount tree: root, 0 without', 'agblock'],
  refcountLevel: [92, u32, 'height of the refcount tree'],
  csumRoot: [96, u32, 'cadastre: checksum tree: root', 'agblock'],
  csumLevel: [100, u32, 'cadastre: height of the checksum tree'],
  csumBlocks: [104, u32, 'cadastre: blocks of the checksum tree'],
  spare: [108, pad(100), 'zero'],
  lsn: [208, u64hl, 'last logged write'],
  crc: [216, u32le, 'CRC32C of the sector'],
  spare2: [220, pad(4), 'zero'],
});

export const AGI_BUCKETS = 64;

export const Agi = struct('AGI', 344, {
  magicnum: [0, u32, 'XAGI'],
  versionnum: [4, u32, '1'],
  seqno: [8, u32, 'AG number'],
  length: [12, u32, 'blocks in this AG'],
  count: [16, u32, 'inodes that exist'],
  root: [20, u32, 'inode tree: root', 'agblock'],
  level: [24, u32, 'height of the inode tree'],
  freecount: [28, u32, 'free inodes'],
  newino: [32, u32, 'chunk allocated last (a hint), or null'],
  dirino: [36, u32, 'null'],
  unlinked: [40, u32s(AGI_BUCKETS), 'heads of the unlinked chains, or null', 'aginode'],
  uuid: [296, bytes(16), 'metadata uuid'],
  crc: [312, u32le, 'CRC32C of the sector'],
  pad: [316, pad(4), 'zero'],
  lsn: [320, u64hl, 'last logged write'],
  freeRoot: [328, u32, 'free inode tree: root, 0 without', 'agblock'],
  freeLevel: [332, u32, 'height of the free inode tree'],
  iblocks: [336, u32, 'INOBTCNT: blocks of the inode tree'],
  fblocks: [340, u32, 'INOBTCNT: blocks of the free inode tree'],
});

/** AGFL header; u32 slots follow from byte 36 to the end of the sector. */
export const Agfl = struct('AGFL', 36, {
  magicnum: [0, u32, 'XAFL'],
  seqno: [4, u32, 'AG number'],
  uuid: [8, bytes(16), 'metadata uuid'],
  lsn: [24, u64hl, 'last logged write'],
  crc: [32, u32le, 'CRC32C of the sector'],
});

/** Slots of an AGFL in a sector of this size: 119 for 512 bytes. */
export function agflSlots(sectorSize: number): number {
  return Math.floor((sectorSize - Agfl.size) / 4);
}
