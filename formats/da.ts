/**
 * What directories and attributes share: the header of a da block, the da node (a hash tree's inner block), the name
 * hash, and the checks every self-describing block of a fork needs. Block pointers (`forw`, `back`, `before`) are
 * dablks: fs blocks from the start of the fork, even where one directory block spans several fs blocks.
 */
import { type BlockType, type Fault, fault } from './block-type.ts';
import type { Geometry } from './geometry.ts';
import { bytes, pad, struct, u16, u32, u32le, u64, u64hl } from './struct.ts';

export const DA_NODE_MAGIC = 0x3ebe;
/** Greatest level of a da node: a hash tree has at most five levels above its leaves. */
export const DA_MAX_DEPTH = 5;

/** Head of da nodes, directory leaves and attribute leaves. */
export const DaHeader = struct('DaHeader', 56, {
  forw: [0, u32, 'next block of this level, 0 = none', 'dablk'],
  back: [4, u32, 'previous block of this level, 0 = none', 'dablk'],
  magic: [8, u16, 'which kind of block'],
  pad: [10, pad(2), 'zero'],
  crc: [12, u32le, 'CRC32C of the block'],
  blkno: [16, u64, 'own address (daddr)'],
  lsn: [24, u64hl, 'last logged write'],
  uuid: [32, bytes(16), 'metadata uuid'],
  owner: [48, u64, 'inode number', 'inode'],
});

/** Inner block of a hash tree; entries follow from byte 64. */
export const DaNode = struct('DaNode', 64, {
  forw: [0, u32, 'next node of this level, 0 = none', 'dablk'],
  back: [4, u32, 'previous node of this level, 0 = none', 'dablk'],
  magic: [8, u16, '0x3EBE'],
  pad: [10, pad(2), 'zero'],
  crc: [12, u32le, 'CRC32C of the block'],
  blkno: [16, u64, 'own address (daddr)'],
  lsn: [24, u64hl, 'last logged write'],
  uuid: [32, bytes(16), 'metadata uuid'],
  owner: [48, u64, 'inode number', 'inode'],
  count: [56, u16, 'children, at least 1'],
  level: [58, u16, '1 above the leaves'],
  pad2: [60, pad(4), 'zero'],
});

export const DaNodeEntry = struct('DaNodeEntry', 8, {
  hash: [0, u32, 'greatest hash in the child'],
  before: [4, u32, 'the child', 'dablk'],
});

/** Most children of a da node in a block of this size: 504 for 4096. */
export function maxDaNodeEntries(blockBytes: number): number {
  return Math.floor((blockBytes - DaNode.size) / DaNodeEntry.size);
}

/**
 * Own address, uuid and owner of a self-describing block whose fields are at these offsets. The owner is only checked
 * for being an inode number at all: whose fork this is, the reader of the fork knows.
 */
export function verifySelf(
  view: DataView,
  geometry: Geometry,
  daddr: number,
  blknoOffset: number,
  uuidOffset: number,
  ownerOffset: number,
): Fault | undefined {
  const blkno = view.getUint32(blknoOffset) * 2 ** 32 + view.getUint32(blknoOffset + 4);
  if (blkno !== daddr) return fault('BAD_BLKNO', 'blkno', daddr, blkno);
  const { metaUuid } = geometry;
  for (let i = 0; i < 16; i++) {
    if (view.getUint8(uuidOffset + i) !== metaUuid[i]) return fault('BAD_UUID', 'uuid', 'the metadata uuid', 'another');
  }
  const ownerHi = view.getUint32(ownerOffset);
  const ownerLo = view.getUint32(ownerOffset + 4);
  if ((ownerHi === 0 && ownerLo === 0) || ownerHi >= 2 ** 21) {
    return fault('BAD_OWNER', 'owner', 'an inode number', ownerHi * 2 ** 32 + ownerLo);
  }
  return undefined;
}

/** The same for blocks that start with a DaHeader, after the magic. */
export function verifyDaHeader(view: DataView, geometry: Geometry, daddr: number, magic: number): Fault | undefined {
  if (view.byteLength < DaNode.size) return fault('BAD_SIZE', 'block', DaNode.size, view.byteLength);
  const found = view.getUint16(DaHeader.offsets.magic);
  if (found !== magic) return fault('BAD_MAGIC', 'magic', hex16(magic), hex16(found));
  return verifySelf(view, geometry, daddr, DaHeader.offsets.blkno, DaHeader.offsets.uuid, DaHeader.offsets.owner);
}

const hex16 = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`;

/** Da node, of a directory (one directory block) or an attribute fork (one fs block). */
export const DA_NODE: BlockType = {
  name: 'da node',
  logType: 15,
  crcOffset: DaHeader.offsets.crc,
  lsnOffset: DaHeader.offsets.lsn,
  verify(view, geometry, daddr) {
    const bad = verifyDaHeader(view, geometry, daddr, DA_NODE_MAGIC);
    if (bad) return bad;
    const level = view.getUint16(DaNode.offsets.level);
    if (level < 1 || level > DA_MAX_DEPTH) return fault('BAD_LEVEL', 'level', `1..${DA_MAX_DEPTH}`, level);
    const count = view.getUint16(DaNode.offsets.count);
    const max = maxDaNodeEntries(view.byteLength);
    if (count < 1 || count > max) return fault('BAD_COUNT', 'count', `1..${max}`, count);
    return verifyHashOrder(view, DaNode.size, count);
  },
};

/** Hashes of `count` 8-byte entries at `base` must not go down. */
export function verifyHashOrder(view: DataView, base: number, count: number): Fault | undefined {
  let previous = 0;
  for (let i = 0, at = base; i < count; i++, at += 8) {
    const hash = view.getUint32(at);
    if (hash < previous) return fault('BAD_HASH_ORDER', `entries[${i}].hash`, `at least ${previous}`, hash);
    previous = hash;
  }
  return undefined;
}

/**
 * Index of the first of `count` 8-byte entries at `base` whose first word (the hash) is at least `hash`; `count` when
 * there is none. Fits da nodes and directory and attribute leaves alike.
 */
export function hashLowerBound(view: DataView, base: number, count: number, hash: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (view.getUint32(base + middle * 8) < hash) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Hash of the name in bytes start .. end, as directories and attributes use it. Every byte is rotated in by 7 bits;
 * doing it byte by byte gives the same as the format's four-at-a-time rule.
 */
export function nameHash(name: Uint8Array, start = 0, end = name.length): number {
  let hash = 0;
  for (let i = start; i < end; i++) hash = name[i]! ^ ((hash << 7) | (hash >>> 25));
  return hash >>> 0;
}

/** Lower case of one byte on ASCII-CI file systems: A-Z and the latin-1 capitals. */
export function foldByte(byte: number): number {
  if (byte >= 0x41 && byte <= 0x5a) return byte + 32;
  return byte >= 0xc0 && byte <= 0xde && byte !== 0xd7 ? byte + 32 : byte;
}

/** Directory name hash on ASCII-CI file systems; attribute names are never folded. */
export function nameHashFolded(name: Uint8Array, start = 0, end = name.length): number {
  let hash = 0;
  for (let i = start; i < end; i++) hash = foldByte(name[i]!) ^ ((hash << 7) | (hash >>> 25));
  return hash >>> 0;
}
