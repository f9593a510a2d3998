/**
 * Log items: what a checkpoint says about buffers, inodes and pending work. An item is a run of regions; the first is
 * one of these structures, all of which start with u16 type, u16 regions. Byte order is that of the machine that wrote
 * the log (little-endian here), except the body of ICREATE, which is big-endian.
 */
import { bytes, pad, struct, u8, u16le, u32, u32le, u64hlle, u64le } from './struct.ts';

/** Item types, first u16 of an item. */
export const LOG_ITEM = {
  EFI: 0x1236,
  EFD: 0x1237,
  /** Never on disk. */
  IUNLINK: 0x1238,
  INODE: 0x123b,
  BUFFER: 0x123c,
  DQUOT: 0x123d,
  QUOTAOFF: 0x123e,
  ICREATE: 0x123f,
  RUI: 0x1240,
  RUD: 0x1241,
  CUI: 0x1242,
  CUD: 0x1243,
  BUI: 0x1244,
  BUD: 0x1245,
  ATTRI: 0x1246,
  ATTRD: 0x1247,
  XMI: 0x1248,
  XMD: 0x1249,
  EFI_RT: 0x124a,
  EFD_RT: 0x124b,
  RUI_RT: 0x124c,
  RUD_RT: 0x124d,
  CUI_RT: 0x124e,
  CUD_RT: 0x124f,
} as const;

/** Buffer item; `mapWords` u32 (little-endian) of dirty bits follow, one bit per 128 bytes. */
export const BufferItem = struct('BufferItem', 20, {
  type: [0, u16le, '0x123C'],
  regions: [2, u16le, 'regions including this one'],
  flags: [4, u16le, 'bits 0-4 see BUFFER_ITEM, bits 11-15 buffer type (BlockType.logType)'],
  length: [6, u16le, 'in BB'],
  daddr: [8, u64le, 'where the buffer lives', 'daddr'],
  mapWords: [16, u32le, 'words of the dirty bitmap'],
});
export const BUFFER_ITEM = {
  /** Inode buffer: only next_unlinked of each inode is replayed. */
  INODES: 0x01,
  /** No data; earlier images of this buffer must not be replayed. */
  CANCEL: 0x02,
  USER_DQUOT: 0x04,
  PROJECT_DQUOT: 0x08,
  GROUP_DQUOT: 0x10,
} as const;
/** Bytes one bit of the dirty map stands for. */
export const BUFFER_CHUNK = 128;
/** Where the buffer type sits in the flags. */
export const BUFFER_TYPE_SHIFT = 11;
/** Buffer types that no BlockType of ours has. */
export const BUFFER_TYPE = {
  UNKNOWN: 0,
  USER_DQUOT: 1,
  PROJECT_DQUOT: 2,
  GROUP_DQUOT: 3,
  BTREE: 4,
  AGF: 5,
  AGFL: 6,
  AGI: 7,
  INODES: 8,
  SYMLINK: 9,
  DIR_BLOCK: 10,
  DIR_DATA: 11,
  DIR_FREE: 12,
  DIR_LEAF1: 13,
  DIR_LEAFN: 14,
  DA_NODE: 15,
  ATTR_LEAF: 16,
  ATTR_REMOTE: 17,
  SUPERBLOCK: 18,
  RT_BITMAP: 19,
  RT_SUMMARY: 20,
} as const;

export const InodeItem = struct('InodeItem', 56, {
  type: [0, u16le, '0x123B'],
  regions: [2, u16le, '2..4'],
  fields: [4, u32le, 'see INODE_ITEM'],
  attrSize: [8, u16le, 'bytes of the attr fork region, unpadded'],
  dataSize: [10, u16le, 'bytes of the data fork region, unpadded'],
  pad: [12, pad(4), 'zero'],
  ino: [16, u64le, 'inode number', 'inode'],
  rdev: [24, u32le, 'device number when DEV is set'],
  unused: [28, pad(12), 'zero'],
  daddr: [40, u64le, 'the inode cluster buffer', 'daddr'],
  length: [48, u32le, 'its length in BB'],
  offset: [52, u32le, 'byte offset of the inode in it'],
});
export const INODE_ITEM = {
  CORE: 0x001,
  DDATA: 0x002,
  DEXT: 0x004,
  DBROOT: 0x008,
  DEV: 0x010,
  ADATA: 0x040,
  AEXT: 0x080,
  ABROOT: 0x100,
  DOWNER: 0x200,
  AOWNER: 0x400,
} as const;

/**
 * The inode core in the log: the offsets of formats/inode.ts, in host order. Times: bigtime is one u64 (hi, lo), legacy
 * two i32 of which the first (seconds) is `Lo`.
 */
export const LoggedInodeCore = struct('LoggedInodeCore', 176, {
  magic: [0, u16le, '0x494E'],
  mode: [2, u16le, 'type and permissions'],
  version: [4, u8, '3'],
  format: [5, u8, 'data fork format'],
  metatype: [6, u16le, '0'],
  uid: [8, u32le, 'owner'],
  gid: [12, u32le, 'group'],
  nlink: [16, u32le, 'links'],
  projidLo: [20, u16le, 'project id, low half'],
  projidHi: [22, u16le, 'project id, high half'],
  bigNextents: [24, u64le, 'NREXT64 inode: data extents'],
  atime: [32, u64hlle, 'access time'],
  mtime: [40, u64hlle, 'content change time'],
  ctime: [48, u64hlle, 'inode change time'],
  size: [56, u64le, 'bytes'],
  nblocks: [64, u64le, 'blocks'],
  extsize: [72, u32le, 'extent size hint'],
  nextents: [76, u32le, 'data extents; NREXT64 inode: attr extents'],
  anextents: [80, u16le, 'attr extents; NREXT64 inode: 0'],
  forkoff: [82, u8, 'attr fork start in 8-byte units'],
  aformat: [83, u8, 'attr fork format'],
  dmevmask: [84, u32le, '0'],
  dmstate: [88, u16le, '0'],
  flags: [90, u16le, 'see INODE_FLAG'],
  gen: [92, u32le, 'generation'],
  nextUnlinked: [96, u32le, 'ignored by replay'],
  crc: [100, u32le, 'ignored by replay'],
  changecount: [104, u64hlle, 'change counter'],
  lsn: [112, u64hlle, 'ignored by replay'],
  flags2: [120, u64hlle, 'see INODE_FLAG2'],
  cowextsize: [128, u32le, 'copy-on-write extent size hint'],
  pad: [132, pad(12), 'zero'],
  crtime: [144, u64hlle, 'creation time'],
  ino: [152, u64le, 'inode number', 'inode'],
  uuid: [160, bytes(16), 'metadata uuid'],
});

/** Inodes of a chunk were initialised. Type and regions in host order, the rest big-endian. */
export const IcreateItem = struct('IcreateItem', 28, {
  type: [0, u16le, '0x123F'],
  regions: [2, u16le, '1'],
  ag: [4, u32, 'AG number'],
  agBlock: [8, u32, 'first block', 'agblock'],
  count: [12, u32, 'inodes'],
  inodeSize: [16, u32, 'bytes'],
  length: [20, u32, 'blocks'],
  gen: [24, u32, 'generation of all of them'],
});

/** Head of EFI, EFD, RUI, CUI and BUI: `count` extents follow. */
export const IntentHeader = struct('IntentHeader', 16, {
  type: [0, u16le, 'item type'],
  regions: [2, u16le, '1'],
  count: [4, u32le, 'extents that follow'],
  id: [8, u64hlle, 'opaque: ties the done item to its intent'],
});
/** Extent of EFI and EFD. Logs of 32-bit machines leave the padding out (12 bytes). */
export const EfiExtent = struct('EfiExtent', 16, {
  startBlock: [0, u64le, 'fs block', 'fsblock'],
  blockCount: [8, u32le, 'blocks'],
  pad: [12, pad(4), 'zero'],
});
/** Extent of RUI and BUI (owner = inode there). */
export const MapExtent = struct('MapExtent', 32, {
  owner: [0, u64hlle, 'inode or special owner'],
  startBlock: [8, u64le, 'fs block', 'fsblock'],
  startOffset: [16, u64le, 'file block'],
  blockCount: [24, u32le, 'blocks'],
  flags: [28, u32le, 'see RUI_TYPE, BUI_TYPE, MAP_FLAG'],
});
/** Extent of CUI. */
export const CuiExtent = struct('CuiExtent', 16, {
  startBlock: [0, u64le, 'fs block', 'fsblock'],
  blockCount: [8, u32le, 'blocks'],
  flags: [12, u32le, 'see CUI_TYPE'],
});
/** RUD, CUD, BUD, ATTRD, XMD. */
export const DoneItem = struct('DoneItem', 16, {
  type: [0, u16le, 'item type'],
  regions: [2, u16le, '1'],
  pad: [4, pad(4), 'zero'],
  id: [8, u64hlle, 'id of the intent'],
});

export const RUI_TYPE = {
  MAP: 1,
  MAP_SHARED: 2,
  UNMAP: 3,
  UNMAP_SHARED: 4,
  CONVERT: 5,
  CONVERT_SHARED: 6,
  ALLOC: 7,
  FREE: 8,
} as const;
export const CUI_TYPE = { INCREASE: 1, DECREASE: 2, ALLOC_COW: 3, FREE_COW: 4 } as const;
export const BUI_TYPE = { MAP: 1, UNMAP: 2 } as const;
/** High bits of a RUI extent's flags. */
export const RUI_FLAG = { ATTR_FORK: 0x80000000, BMBT_BLOCK: 0x40000000, UNWRITTEN: 0x20000000 } as const;
/** High bits of a BUI extent's flags. */
export const BUI_FLAG = { ATTR_FORK: 0x80000000, UNWRITTEN: 0x40000000, REALTIME: 0x20000000 } as const;

/** Attribute intent; names and values follow as regions of their own, each padded to 4 bytes. */
export const AttriItem = struct('AttriItem', 40, {
  type: [0, u16le, '0x1246'],
  regions: [2, u16le, 'regions including this one'],
  igen: [4, u32le, 'inode generation (parent pointer ops only)'],
  id: [8, u64hlle, 'opaque'],
  ino: [16, u64le, 'inode', 'inode'],
  op: [24, u32le, 'see ATTRI_OP'],
  nameLength: [28, u32le, 'bytes; op 6: u16 old, u16 new'],
  valueLength: [32, u32le, 'bytes'],
  filter: [36, u32le, 'namespace: 2 root, 4 secure, 8 parent'],
});
export const ATTRI_OP = {
  SET: 1,
  REMOVE: 2,
  REPLACE: 3,
  PARENT_SET: 4,
  PARENT_REMOVE: 5,
  PARENT_REPLACE: 6,
} as const;

/** Mapping exchange between two files. */
export const XmiItem = struct('XmiItem', 88, {
  type: [0, u16le, '0x1248'],
  regions: [2, u16le, '1'],
  pad: [4, pad(4), 'zero'],
  id: [8, u64hlle, 'opaque'],
  inode1: [16, u64le, 'first file', 'inode'],
  inode2: [24, u64le, 'second file', 'inode'],
  gen1: [32, u32le, 'generation of the first'],
  gen2: [36, u32le, 'generation of the second'],
  offset1: [40, u64le, 'file block in the first'],
  offset2: [48, u64le, 'file block in the second'],
  blockCount: [56, u64le, 'blocks'],
  flags: [64, u64hlle, 'see XMI_FLAG'],
  size1: [72, u64le, 'size to set on the first'],
  size2: [80, u64le, 'size to set on the second'],
});
export const XMI_FLAG = {
  ATTR_FORK: 1,
  SET_SIZES: 2,
  WRITTEN_ONLY: 4,
  CLEAR_REFLINK_1: 8,
  CLEAR_REFLINK_2: 16,
} as const;

/** Dquot item; a 104-byte disk dquot (big-endian) follows as second region. */
export const DquotItem = struct('DquotItem', 24, {
  type: [0, u16le, '0x123D'],
  regions: [2, u16le, '2'],
  id: [4, u32le, 'user, group or project id'],
  daddr: [8, u64le, 'the dquot buffer', 'daddr'],
  length: [16, u32le, 'its length in BB'],
  offset: [20, u32le, 'byte offset of the dquot in it'],
});
