/**
 * Remote symlinks: a target too long for the inode lies in the data fork's extents. Every *mapped extent* (not every
 * block) starts with one header and is one buffer: its CRC runs over the whole extent. Targets are 1..1023 bytes, so
 * at most a few small extents exist.
 */
import { type BlockType, type Fault, fault } from './block-type.ts';
import { verifySelf } from './da.ts';
import type { Geometry } from './geometry.ts';
import { bytes, NULL32, struct, u32, u32le, u64, u64hl } from './struct.ts';

/** XSLM */
export const SYMLINK_MAGIC = 0x58534c4d;
/** Longest target in bytes. */
export const MAX_SYMLINK = 1023;

export const SymlinkHeader = struct('Symlink', 56, {
  magic: [0, u32, 'XSLM'],
  targetOffset: [4, u32, 'bytes of the target before this extent'],
  targetBytes: [8, u32, 'bytes of the target in this extent'],
  crc: [12, u32le, 'CRC32C of the extent'],
  uuid: [16, bytes(16), 'metadata uuid'],
  owner: [32, u64, 'inode number', 'inode'],
  blkno: [40, u64, 'own address (daddr)'],
  lsn: [48, u64hl, 'last logged write'],
});

const { offsets } = SymlinkHeader;

/** One mapped extent of a remote symlink. */
export const SYMLINK: BlockType = {
  name: 'symlink target',
  logType: 9,
  crcOffset: offsets.crc,
  lsnOffset: offsets.lsn,
  verify(view: DataView, geometry: Geometry, daddr: number): Fault | undefined {
    if (view.byteLength < geometry.blockSize) return fault('BAD_LENGTH', 'length', geometry.blockSize, view.byteLength);
    const magic = view.getUint32(offsets.magic);
    if (magic !== SYMLINK_MAGIC) return fault('BAD_MAGIC', 'magic', SYMLINK_MAGIC, magic);
    const identity = verifySelf(view, geometry, daddr, offsets.blkno, offsets.uuid, offsets.owner);
    if (identity) return identity;
    const length = view.getUint32(offsets.targetBytes);
    const room = symlinkPayload(view.byteLength);
    if (length === 0 || length > room) return fault('BAD_SYMLINK', 'targetBytes', `1..${room}`, length);
    const offset = view.getUint32(offsets.targetOffset);
    if (offset + length > MAX_SYMLINK)
      return fault('BAD_SYMLINK', 'targetOffset', `at most ${MAX_SYMLINK - length}`, offset);
    return undefined;
  },
};

/** Bytes of the target that an extent of this many bytes holds. */
export function symlinkPayload(extentBytes: number): number {
  return extentBytes - SymlinkHeader.size;
}
/** Blocks to allocate for a target, as the kernel does: each block counted as if it had a header of its own. */
export function symlinkBlocks(targetLength: number, blockSize: number): number {
  return Math.ceil(targetLength / symlinkPayload(blockSize));
}

/**
 * Fill one extent: header and its piece of the target, zeroes behind; the CRC is the cache's.
 * @param view the whole extent. @param offset bytes of the target in earlier extents. @param daddr of the extent.
 * @returns bytes of the target written: start the next extent with `offset +` this.
 */
export function writeSymlinkExtent(
  view: DataView,
  geometry: Geometry,
  daddr: number,
  inode: number,
  target: Uint8Array,
  offset: number,
): number {
  const length = Math.min(symlinkPayload(view.byteLength), target.length - offset);
  const data = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  data.fill(0);
  const header = SymlinkHeader.at(view);
  header.magic = SYMLINK_MAGIC;
  header.targetOffset = offset;
  header.targetBytes = length;
  header.uuid = geometry.metaUuid;
  header.owner = inode;
  header.blkno = daddr;
  header.lsnHi = NULL32;
  header.lsnLo = NULL32;
  data.set(target.subarray(offset, offset + length), SymlinkHeader.size);
  return length;
}

/** What is wrong with a verified extent as the piece at `offset` of this inode's target of `total` bytes, or undefined. */
export function symlinkPieceFault(view: DataView, inode: number, offset: number, total: number): Fault | undefined {
  const header = SymlinkHeader.at(view);
  if (header.owner !== inode) return fault('BAD_OWNER', 'owner', inode, header.owner);
  if (header.targetOffset !== offset) return fault('BAD_SYMLINK', 'targetOffset', offset, header.targetOffset);
  const expected = Math.min(symlinkPayload(view.byteLength), total - offset);
  if (header.targetBytes !== expected) return fault('BAD_SYMLINK', 'targetBytes', expected, header.targetBytes);
  return undefined;
}

/** The piece of the target in a verified extent: a view of its bytes, not a copy. */
export function symlinkPiece(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + SymlinkHeader.size, view.getUint32(offsets.targetBytes));
}
