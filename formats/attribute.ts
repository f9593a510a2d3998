/**
 * Extended attributes as bytes: shortform entries, the leaf block, remote value blocks, POSIX ACLs and parent pointers.
 *
 * 1. In a leaf the entries grow up from byte 80 in hash order, the heap of records grows down from the block's end.
 * 2. A leaf that verified has every entry's record inside [firstused, block size) and its hashes in order; what verify
 *    does not look at (records that overlap, the sum in usedbytes, the freemap against the heap) is the checker's.
 * 3. Attribute blocks are one fs block each, whatever the directory block size.
 * 4. Nodes over the leaves are the da nodes of `formats/da.ts`.
 */
import { type BlockType, type Fault, fault } from './block-type.ts';
import { DA_NODE, DA_NODE_MAGIC, nameHash, verifyDaHeader, verifySelf } from './da.ts';
import type { Geometry } from './geometry.ts';
import { bytes, getU64, NULL32, pad, setU64, struct, u8, u16, u32, u32le, u64, u64hl } from './struct.ts';

export const ATTR_LEAF_MAGIC = 0x3bee;
/** XARM */
export const ATTR_REMOTE_MAGIC = 0x5841524d;

/** The flags byte of an entry. USER is the absence of a namespace bit; LOCAL and INCOMPLETE exist in leaves only. */
export const ATTR = { USER: 0, LOCAL: 0x01, ROOT: 0x02, SECURE: 0x04, PARENT: 0x08, INCOMPLETE: 0x80 } as const;
/** The bits that tell namespaces apart; at most one may be set. */
export const ATTR_NAMESPACE_MASK = ATTR.ROOT | ATTR.SECURE | ATTR.PARENT;

/** Bytes. */
export const MAX_ATTR_NAME = 255;
export const MAX_ATTR_VALUE = 65536;
/** Names and values longer than this do not fit the shortform. */
export const MAX_SHORTFORM_FIELD = 254;

export const AttrShortHeader = struct('AttrShortform', 4, {
  totsize: [0, u16, 'bytes of the form, these four included'],
  count: [2, u8, 'entries'],
  pad: [3, pad(1), 'zero'],
});
/** Name and value follow, without padding. */
export const AttrShortEntry = struct('AttrShortEntry', 3, {
  namelen: [0, u8, '1..254'],
  valuelen: [1, u8, '0..254'],
  flags: [2, u8, 'namespace, see ATTR'],
});

export const AttrLeafHeader = struct('AttrLeaf', 80, {
  forw: [0, u32, 'next leaf, 0 = none', 'dablk'],
  back: [4, u32, 'leaf before, 0 = none', 'dablk'],
  magic: [8, u16, '0x3BEE'],
  pad0: [10, pad(2), 'zero'],
  crc: [12, u32le, 'CRC32C of the block'],
  blkno: [16, u64, 'own address (daddr)'],
  lsn: [24, u64hl, 'last logged write'],
  uuid: [32, bytes(16), 'metadata uuid'],
  owner: [48, u64, 'inode number', 'inode'],
  count: [56, u16, 'entries'],
  usedbytes: [58, u16, 'sum of the padded record sizes'],
  firstused: [60, u16, 'lowest used heap byte; 0 stands for 65536'],
  holes: [62, u8, '1: the heap has gaps'],
  pad1: [63, pad(1), 'zero'],
  freemap0Base: [64, u16, 'a free region: first byte'],
  freemap0Size: [66, u16, 'its bytes'],
  freemap1Base: [68, u16, 'a free region: first byte'],
  freemap1Size: [70, u16, 'its bytes'],
  freemap2Base: [72, u16, 'a free region: first byte'],
  freemap2Size: [74, u16, 'its bytes'],
  pad2: [76, pad(4), 'zero'],
});

export const AttrLeafEntry = struct('AttrLeafEntry', 8, {
  hash: [0, u32, 'hash of the name'],
  nameidx: [4, u16, 'byte of the record in the block, a multiple of 4'],
  flags: [6, u8, 'see ATTR'],
  pad: [7, pad(1), 'zero'],
});
/** Heap record with the value inside: name, then value follow; padded to 4. */
export const AttrLocal = struct('AttrLocal', 3, {
  valuelen: [0, u16, 'bytes of the value'],
  namelen: [2, u8, 'bytes of the name'],
});
/** Heap record of a value in blocks of its own: the name follows; padded to 4. */
export const AttrRemote = struct('AttrRemote', 9, {
  valueblk: [0, u32, 'first block of the value', 'dablk'],
  valuelen: [4, u32, 'bytes of the value'],
  namelen: [8, u8, 'bytes of the name'],
});
/** A remote record is counted two bytes longer than its fields: 11 + name, rounded up. */
const REMOTE_RECORD_BASE = 11;

/** Head of every block of a remote value. The value's blocks carry no LSN: its lsn is always null. */
export const AttrRemoteHeader = struct('AttrRemoteValue', 56, {
  magic: [0, u32, 'XARM'],
  valueOffset: [4, u32, 'bytes of the value before this block'],
  valueBytes: [8, u32, 'bytes of the value in this block'],
  crc: [12, u32le, 'CRC32C of the block'],
  uuid: [16, bytes(16), 'metadata uuid'],
  owner: [32, u64, 'inode number', 'inode'],
  blkno: [40, u64, 'own address (daddr)'],
  lsn: [48, u64hl, 'null'],
});

/** Bytes of a heap record. */
export function localRecordBytes(nameLength: number, valueLength: number): number {
  return (AttrLocal.size + nameLength + valueLength + 3) & ~3;
}
export function remoteRecordBytes(nameLength: number): number {
  return (REMOTE_RECORD_BASE + nameLength + 3) & ~3;
}
/** True when a value belongs into the leaf itself: the padded record is below three quarters of a block. */
export function isLocalSized(nameLength: number, valueLength: number, blockSize: number): boolean {
  return localRecordBytes(nameLength, valueLength) < (blockSize >> 1) + (blockSize >> 2);
}
/** Bytes of a remote value in one block. */
export function remotePayload(blockSize: number): number {
  return blockSize - AttrRemoteHeader.size;
}
/** Blocks of a remote value. */
export function remoteBlocks(valueLength: number, blockSize: number): number {
  return Math.ceil(valueLength / remotePayload(blockSize));
}
/** `firstused` of a verified leaf as a plain number: 0 on disk stands for 65536. */
export function leafFirstUsed(view: DataView): number {
  return view.getUint16(AttrLeafHeader.offsets.firstused) || 65536;
}

/** Hash of an attribute. A parent pointer mixes in its value's inode number (fact: both halves are xored on). */
export function attrHash(
  flags: number,
  data: Uint8Array,
  nameStart: number,
  nameEnd: number,
  value: Uint8Array | undefined,
): number {
  const hash = nameHash(data, nameStart, nameEnd);
  if ((flags & ATTR.PARENT) === 0 || value === undefined || value.length < 8) return hash;
  return (hash ^ word(value, 0) ^ word(value, 4)) >>> 0;
}
const word = (data: Uint8Array, at: number): number =>
  (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!;

const { offsets } = AttrLeafHeader;
const FREEMAPS = 3;

/** An attribute leaf. */
export const ATTR_LEAF: BlockType = {
  name: 'attribute leaf',
  logType: 16,
  crcOffset: offsets.crc,
  lsnOffset: offsets.lsn,
  verify(view: DataView, geometry: Geometry, daddr: number): Fault | undefined {
    const size = geometry.blockSize;
    if (view.byteLength !== size) return fault('BAD_LENGTH', 'length', size, view.byteLength);
    const header = verifyDaHeader(view, geometry, daddr, ATTR_LEAF_MAGIC);
    return header ?? leafHeaderFault(view, size) ?? leafEntriesFault(view, size);
  },
};

/** Block 0 of an attribute fork with blocks: a leaf, or the root of the nodes above many. */
export const ATTR_ROOT: BlockType = {
  ...ATTR_LEAF,
  name: 'attribute root',
  verify(view, geometry, daddr) {
    if (view.byteLength !== geometry.blockSize)
      return fault('BAD_LENGTH', 'length', geometry.blockSize, view.byteLength);
    const type = view.getUint16(offsets.magic) === DA_NODE_MAGIC ? DA_NODE : ATTR_LEAF;
    return type.verify(view, geometry, daddr);
  },
};

/** One block of a remote value. */
export const ATTR_REMOTE: BlockType = {
  name: 'attribute value',
  logType: 17,
  crcOffset: AttrRemoteHeader.offsets.crc,
  lsnOffset: -1,
  verify(view, geometry, daddr) {
    const size = geometry.blockSize;
    const at = AttrRemoteHeader.offsets;
    if (view.byteLength !== size) return fault('BAD_LENGTH', 'length', size, view.byteLength);
    const magic = view.getUint32(at.magic);
    if (magic !== ATTR_REMOTE_MAGIC) return fault('BAD_MAGIC', 'magic', ATTR_REMOTE_MAGIC, magic);
    const identity = verifySelf(view, geometry, daddr, at.blkno, at.uuid, at.owner);
    if (identity) return identity;
    const offset = view.getUint32(at.valueOffset);
    const length = view.getUint32(at.valueBytes);
    if (length === 0 || length > remotePayload(size)) {
      return fault('BAD_REMOTE_LENGTH', 'valueBytes', `1..${remotePayload(size)}`, length);
    }
    if (offset + length > MAX_ATTR_VALUE)
      return fault('BAD_REMOTE_LENGTH', 'valueOffset', `at most ${MAX_ATTR_VALUE - length}`, offset);
    return undefined;
  },
};

function leafHeaderFault(view: DataView, size: number): Fault | undefined {
  const count = view.getUint16(offsets.count);
  const tableEnd = AttrLeafHeader.size + count * AttrLeafEntry.size;
  if (tableEnd > size) return fault('BAD_COUNT', 'count', `at most ${(size - AttrLeafHeader.size) >> 3}`, count);
  const firstUsed = view.getUint16(offsets.firstused) || 65536;
  if (firstUsed < tableEnd || firstUsed > size)
    return fault('BAD_FIRSTUSED', 'firstused', `${tableEnd}..${size}`, firstUsed);
  const used = view.getUint16(offsets.usedbytes);
  if (used > size - firstUsed) return fault('BAD_USEDBYTES', 'usedbytes', `at most ${size - firstUsed}`, used);
  for (let i = 0; i < FREEMAPS; i++) {
    const base = view.getUint16(offsets.freemap0Base + 4 * i);
    const length = view.getUint16(offsets.freemap0Size + 4 * i);
    if ((base & 3) !== 0 || (length & 3) !== 0 || base + length > size || (length > 0 && base < tableEnd)) {
      return fault('BAD_FREEMAP', `freemap${i}`, `aligned, inside ${tableEnd}..${size}`, `${base}+${length}`);
    }
  }
  return undefined;
}

function leafEntriesFault(view: DataView, size: number): Fault | undefined {
  const count = view.getUint16(offsets.count);
  const firstUsed = leafFirstUsed(view);
  let before = 0;
  for (let i = 0, at = AttrLeafHeader.size; i < count; i++, at += AttrLeafEntry.size) {
    const hash = view.getUint32(at);
    if (hash < before) return fault('BAD_ORDER', `entry ${i} hash`, `at least ${before}`, hash);
    before = hash;
    const record = view.getUint16(at + 4);
    if ((record & 3) !== 0 || record < firstUsed)
      return fault('BAD_NAMEIDX', `entry ${i} nameidx`, `aligned, ${firstUsed}..${size}`, record);
    const flags = view.getUint8(at + 6);
    const badFlags = flagsFault(flags, ATTR.LOCAL | ATTR.INCOMPLETE, i);
    if (badFlags) return badFlags;
    const local = (flags & ATTR.LOCAL) !== 0;
    if (record + (local ? AttrLocal.size : AttrRemote.size) > size) {
      return fault('BAD_NAMEIDX', `entry ${i} nameidx`, `inside the block`, record);
    }
    const nameLength = view.getUint8(record + (local ? 2 : 8));
    if (nameLength === 0) return fault('BAD_NAMELEN', `entry ${i} namelen`, '1..255', 0);
    const length = local ? localRecordBytes(nameLength, view.getUint16(record)) : remoteRecordBytes(nameLength);
    if (record + length > size)
      return fault('BAD_NAMEIDX', `entry ${i} record end`, `at most ${size}`, record + length);
    if (!local && (flags & ATTR.INCOMPLETE) === 0) {
      const remote = remoteFault(view.getUint32(record), view.getUint32(record + 4), size, i);
      if (remote) return remote;
    }
  }
  return undefined;
}

function remoteFault(valueBlock: number, valueLength: number, blockSize: number, i: number): Fault | undefined {
  if (valueLength > MAX_ATTR_VALUE)
    return fault('BAD_VALUELEN', `entry ${i} valuelen`, `at most ${MAX_ATTR_VALUE}`, valueLength);
  if (valueBlock === 0 || valueBlock + remoteBlocks(valueLength, blockSize) > NULL32) {
    return fault('BAD_VALUEBLK', `entry ${i} valueblk`, 'a block of the fork, not 0', valueBlock);
  }
  return undefined;
}

/** Unknown bits or two namespaces at once. `allowed`: the bits this form may carry beside the namespace. */
function flagsFault(flags: number, allowed: number, i: number): Fault | undefined {
  const namespace = flags & ATTR_NAMESPACE_MASK;
  if ((flags & ~(ATTR_NAMESPACE_MASK | allowed)) !== 0 || (namespace & (namespace - 1)) !== 0) {
    return fault('BAD_FLAGS', `entry ${i} flags`, 'one namespace, no unknown bit', flags);
  }
  return undefined;
}

/**
 * What is wrong with a shortform, or undefined; after that readers may walk `count` entries without further bounds.
 * @param view the attr fork's local bytes: at least `totsize` long.
 */
export function shortformFault(view: DataView): Fault | undefined {
  if (view.byteLength < AttrShortHeader.size)
    return fault('BAD_SHORTFORM', 'totsize', 'at least 4 bytes', view.byteLength);
  const total = view.getUint16(0);
  if (total < AttrShortHeader.size || total > view.byteLength)
    return fault('BAD_SHORTFORM', 'totsize', `4..${view.byteLength}`, total);
  const count = view.getUint8(2);
  let at: number = AttrShortHeader.size;
  for (let i = 0; i < count; i++) {
    if (at + AttrShortEntry.size > total) return fault('BAD_SHORTFORM', `entry ${i}`, `inside ${total} bytes`, at);
    const nameLength = view.getUint8(at);
    if (nameLength === 0) return fault('BAD_NAMELEN', `entry ${i} namelen`, '1..254', 0);
    const badFlags = flagsFault(view.getUint8(at + 2), 0, i);
    if (badFlags) return badFlags;
    at += AttrShortEntry.size + nameLength + view.getUint8(at + 1);
    if (at > total) return fault('BAD_SHORTFORM', `entry ${i} end`, `at most ${total}`, at);
  }
  if (at !== total) return fault('BAD_SHORTFORM', 'totsize', at, total);
  return undefined;
}

/** Value of a parent pointer: its name is the entry's name in that directory. */
export const ParentValue = struct('ParentPointer', 12, {
  inode: [0, u64, 'parent directory', 'inode'],
  generation: [8, u32, "the parent inode's generation"],
});
/** The value bytes of a parent pointer. */
export function encodeParent(inode: number, generation: number): Uint8Array {
  const value = new Uint8Array(ParentValue.size);
  const view = new DataView(value.buffer);
  setU64(view, 0, inode);
  view.setUint32(8, generation);
  return value;
}
/** Parent inode and generation, or undefined when the value is not a parent pointer's. */
export function decodeParent(value: Uint8Array): { inode: number; generation: number } | undefined {
  if (value.length !== ParentValue.size) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const inode = getU64(view, 0);
  return inode === 0 || inode >= 2 ** 53 ? undefined : { inode, generation: view.getUint32(8) };
}

/** POSIX ACL on disk: a u32 count, then entries. */
export const AclEntry = struct('AclEntry', 12, {
  tag: [0, u32, '1 owner, 2 user, 4 owning group, 8 group, 16 mask, 32 other'],
  id: [4, u32, 'uid or gid; null where the tag needs none'],
  perm: [8, u16, 'rwx bits'],
  pad: [10, pad(2), 'zero'],
});
/** Linux's form: u32 version (2), then entries of u16 tag, u16 perm, u32 id; all little-endian. */
const LINUX_ACL_VERSION = 2;
const LINUX_ACL_HEADER = 4;
const LINUX_ACL_ENTRY = 8;
const ACL_HEADER = 4;
/** Most entries whose on-disk form is still a legal value. */
const MAX_ACL_ENTRIES = Math.floor((MAX_ATTR_VALUE - ACL_HEADER) / AclEntry.size);

/** On-disk form of a Linux `system.posix_acl_*` value; undefined when it is not one. */
export function aclFromLinux(value: Uint8Array): Uint8Array | undefined {
  const count = (value.length - LINUX_ACL_HEADER) / LINUX_ACL_ENTRY;
  if (!Number.isInteger(count) || count < 0 || count > MAX_ACL_ENTRIES) return undefined;
  const from = new DataView(value.buffer, value.byteOffset, value.length);
  if (from.getUint32(0, true) !== LINUX_ACL_VERSION) return undefined;
  const out = new Uint8Array(ACL_HEADER + count * AclEntry.size);
  const to = new DataView(out.buffer);
  to.setUint32(0, count);
  for (let i = 0; i < count; i++) {
    const source = LINUX_ACL_HEADER + i * LINUX_ACL_ENTRY;
    const target = ACL_HEADER + i * AclEntry.size;
    const tag = from.getUint16(source, true);
    if (!isAclTag(tag)) return undefined;
    to.setUint32(target, tag);
    to.setUint32(target + 4, from.getUint32(source + 4, true));
    to.setUint16(target + 8, from.getUint16(source + 2, true));
  }
  return out;
}

/** Linux form of an on-disk ACL value; undefined when it is not one. */
export function aclToLinux(value: Uint8Array): Uint8Array | undefined {
  if (value.length < ACL_HEADER) return undefined;
  const from = new DataView(value.buffer, value.byteOffset, value.length);
  const count = from.getUint32(0);
  if (count > MAX_ACL_ENTRIES || value.length !== ACL_HEADER + count * AclEntry.size) return undefined;
  const out = new Uint8Array(LINUX_ACL_HEADER + count * LINUX_ACL_ENTRY);
  const to = new DataView(out.buffer);
  to.setUint32(0, LINUX_ACL_VERSION, true);
  for (let i = 0; i < count; i++) {
    const source = ACL_HEADER + i * AclEntry.size;
    const target = LINUX_ACL_HEADER + i * LINUX_ACL_ENTRY;
    const tag = from.getUint32(source);
    if (!isAclTag(tag)) return undefined;
    to.setUint16(target, tag, true);
    to.setUint16(target + 2, from.getUint16(source + 8), true);
    to.setUint32(target + 4, from.getUint32(source + 4), true);
  }
  return out;
}

const isAclTag = (tag: number): boolean => tag > 0 && tag <= 0x20 && (tag & (tag - 1)) === 0;
