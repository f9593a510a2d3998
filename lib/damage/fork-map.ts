/**
 * Where the blocks of a fork are, read off the raw bytes: damaged forks give what can be made out. Every extent comes with
 * the place and the name of the record that holds it, so that it can be damaged.
 */
import { BTREES, LongHeader, maxLeafRecords, maxNodeRecords } from '../../formats/btree-blocks.ts';
import { type Extent, readExtent } from '../../formats/extent.ts';
import type { Geometry } from '../../formats/geometry.ts';
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  InodeCore,
  maxRootRecords,
} from '../../formats/inode.ts';
import { getU64 } from '../../formats/struct.ts';
import type { Device } from '../device/device.ts';
import { readBytes } from '../inspect/dump.ts';
import type { ForkName, Place } from './place.ts';

/** An extent and its record: `field` is the name of the record in `place`, as `extents[3]` or `recs[17]`. */
export interface PlacedExtent extends Extent {
  readonly place: Place;
  readonly field: string;
}

export interface ForkMap {
  readonly extents: readonly PlacedExtent[];
  /** Blocks of the extent tree, parents first. */
  readonly treeBlocks: readonly { readonly fsBlock: number; readonly children: readonly number[] }[];
}

const MAX_DEPTH = 8;
/** Blocks of one extent tree that are looked at: far more than any tree of a sane image has. */
const MAX_TREE_BLOCKS = 1 << 16;

/** Byte address of an inode's slot, whether or not there is an inode. */
export function inodeByte(geometry: Geometry, inode: number): number {
  const agInode = geometry.agInodeOfInode(inode);
  const block = geometry.agBlockToByte(geometry.agOfInode(inode), geometry.agBlockOfAgInode(agInode));
  return block + (agInode % geometry.inodesPerBlock) * geometry.inodeSize;
}

export function mapFork(device: Device, geometry: Geometry, inode: number, fork: ForkName): ForkMap {
  const extents: PlacedExtent[] = [];
  const treeBlocks: { fsBlock: number; children: readonly number[] }[] = [];
  const map = { extents, treeBlocks };
  const slot = readBytes(device, inodeByte(geometry, inode), geometry.inodeSize);
  if (slot.byteLength < geometry.inodeSize) return map;
  const core = InodeCore.at(slot);
  const isAttr = fork === 'attr';
  if (core.mode === 0 || (isAttr && core.forkoff === 0)) return map;
  const start = isAttr ? attrForkOffset(slot, 0) : InodeCore.size;
  const claimed = isAttr ? attrForkBytes(slot, 0, slot.byteLength) : dataForkBytes(slot, 0, slot.byteLength);
  const bytes = Math.min(claimed, slot.byteLength - start);
  if (bytes < 16) return map;
  const format = isAttr ? core.aformat : core.format;
  if (format === FORMAT.EXTENTS) {
    const count = isAttr ? attrExtentCount(slot, 0) : dataExtentCount(slot, 0);
    for (let i = 0; i < Math.min(count, bytes >> 4); i++) {
      const field = `${isAttr ? 'attr.' : ''}extents[${i}]`;
      extents.push({ ...readExtent(slot, start + 16 * i), place: { kind: 'inode', inode }, field });
    }
    return map;
  }
  if (format !== FORMAT.BTREE) return map;
  const layout = BTREES.bmbt;
  const seen = new Set<number>();
  const walk = (fsBlock: number, children: readonly number[]): void => {
    if (!geometry.isFsBlock(fsBlock) || seen.has(fsBlock) || children.length > MAX_DEPTH) return;
    if (seen.size >= MAX_TREE_BLOCKS) return;
    seen.add(fsBlock);
    const view = readBytes(device, geometry.fsBlockToByte(fsBlock), geometry.blockSize);
    if (view.byteLength < geometry.blockSize || view.getUint32(0) !== layout.magic) return;
    treeBlocks.push({ fsBlock, children });
    const { level, numrecs } = LongHeader.at(view);
    if (level === 0) {
      const place: Place = { kind: 'bmbt', inode, fork, children };
      const count = Math.min(numrecs, maxLeafRecords(layout, geometry.blockSize));
      for (let i = 0; i < count; i++) {
        extents.push({ ...readExtent(view, layout.headerSize + 16 * i), place, field: `recs[${i}]` });
      }
      return;
    }
    const room = maxNodeRecords(layout, geometry.blockSize);
    const pointers = layout.headerSize + room * layout.keySize;
    for (let i = 0; i < Math.min(numrecs, room); i++) walk(getU64(view, pointers + 8 * i), [...children, i]);
  };
  const room = maxRootRecords(bytes);
  const count = Math.min(room, slot.getUint16(start + 2));
  for (let i = 0; i < count; i++) walk(getU64(slot, start + 4 + 8 * (room + i)), [i]);
  return map;
}
