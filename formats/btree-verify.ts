/**
 * Block types of all B+trees: the seven short-form trees of an AG and the long-form bmbt.
 *
 * 1. `verify` looks at the header alone: magic, level, count, siblings, own address, uuid, owner. Order, keys and links
 *    between blocks take the whole tree (lib/btree/check.ts).
 * 2. After it accepts a block, `numrecs` entries lie inside the block, a node has at least one child, and both siblings
 *    are null or another block that exists. The number of records is not held against the minimum: a root has none.
 */
import { type BlockType, type Fault, fault } from './block-type.ts';
import { BTREES, type BtreeLayout, LongHeader, ShortHeader } from './btree-blocks.ts';
import type { Geometry } from './geometry.ts';
import { getU64, NULL32, NULL64 } from './struct.ts';

/** Levels are 0 (leaf) to 8: no tree of a file system that fits into 2^64 bytes is higher. */
export const BTREE_MAX_LEVELS = 9;

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

/** Magic, level and count: at the same offsets in both forms. */
function commonFault(layout: BtreeLayout, view: DataView, geometry: Geometry): Fault | undefined {
  if (view.getUint32(0) !== layout.magic) return fault('BAD_MAGIC', 'magic', hex(layout.magic), hex(view.getUint32(0)));
  const level = view.getUint16(4);
  if (level >= BTREE_MAX_LEVELS) return fault('BAD_LEVEL', 'level', `0..${BTREE_MAX_LEVELS - 1}`, level);
  const { maxLeaf, maxNode } = geometry.btree[layout.name];
  const count = view.getUint16(6);
  const max = level === 0 ? maxLeaf : maxNode;
  const min = level === 0 ? 0 : 1;
  return count < min || count > max ? fault('BAD_COUNT', 'numrecs', `${min}..${max}`, count) : undefined;
}

function verifyShort(layout: BtreeLayout, view: DataView, geometry: Geometry, daddr: number): Fault | undefined {
  const common = commonFault(layout, view, geometry);
  if (common) return common;
  const { offsets } = ShortHeader;
  const blkno = getU64(view, offsets.blkno);
  if (blkno !== daddr) return fault('BAD_ADDRESS', 'blkno', daddr, blkno);
  if (!geometry.isMetaUuid(view, offsets.uuid)) return fault('BAD_UUID', 'uuid', 'the metadata uuid', 'another one');
  const ag = geometry.agOfDaddr(daddr);
  const owner = view.getUint32(offsets.owner);
  if (owner !== ag) return fault('BAD_OWNER', 'owner', ag, owner);
  const self = geometry.agBlockOfDaddr(daddr);
  const left = view.getUint32(offsets.leftSibling);
  if (left !== NULL32 && (left === self || !geometry.isAgBlock(ag, left))) {
    return fault('BAD_SIBLING', 'leftSibling', 'another block of the AG', left);
  }
  const right = view.getUint32(offsets.rightSibling);
  if (right !== NULL32 && (right === self || !geometry.isAgBlock(ag, right))) {
    return fault('BAD_SIBLING', 'rightSibling', 'another block of the AG', right);
  }
  return undefined;
}

function verifyLong(layout: BtreeLayout, view: DataView, geometry: Geometry, daddr: number): Fault | undefined {
  const common = commonFault(layout, view, geometry);
  if (common) return common;
  const { offsets } = LongHeader;
  const blkno = getU64(view, offsets.blkno);
  if (blkno !== daddr) return fault('BAD_ADDRESS', 'blkno', daddr, blkno);
  if (!geometry.isMetaUuid(view, offsets.uuid)) return fault('BAD_UUID', 'uuid', 'the metadata uuid', 'another one');
  const owner = getU64(view, offsets.owner);
  if (owner === 0) return fault('BAD_OWNER', 'owner', 'an inode number', owner);
  const self = geometry.fsBlock(geometry.agOfDaddr(daddr), geometry.agBlockOfDaddr(daddr));
  const left = getU64(view, offsets.leftSibling);
  if (left !== NULL64 && (left === self || !geometry.isFsBlock(left))) {
    return fault('BAD_SIBLING', 'leftSibling', 'another block of the image', left);
  }
  const right = getU64(view, offsets.rightSibling);
  if (right !== NULL64 && (right === self || !geometry.isFsBlock(right))) {
    return fault('BAD_SIBLING', 'rightSibling', 'another block of the image', right);
  }
  return undefined;
}

function blockType(layout: BtreeLayout): BlockType {
  const header = layout.long ? LongHeader : ShortHeader;
  const verify = layout.long ? verifyLong : verifyShort;
  return {
    name: layout.name,
    logType: 4,
    crcOffset: header.offsets.crc,
    lsnOffset: header.offsets.lsn,
    verify: (view, geometry, daddr) => verify(layout, view, geometry, daddr),
  };
}

/** The block type of each tree. */
export const BTREE_BLOCK_TYPES: { readonly [N in BtreeLayout['name']]: BlockType } = {
  bnobt: blockType(BTREES.bnobt),
  cntbt: blockType(BTREES.cntbt),
  inobt: blockType(BTREES.inobt),
  finobt: blockType(BTREES.finobt),
  rmapbt: blockType(BTREES.rmapbt),
  refcountbt: blockType(BTREES.refcountbt),
  csumbt: blockType(BTREES.csumbt),
  bmbt: blockType(BTREES.bmbt),
};
