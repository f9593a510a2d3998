/**
 * Inode chunks of an AG found by looking only at the places where one can start: a few bytes each, instead of all of its blocks.
 * What sound inodes found there say of their files' blocks need not be looked through afterwards.
 *
 * 1. Every place is looked at, also where a file found before has its data: an inode that was left behind may claim anything.
 * 2. What starts at no such place, or with a damaged inode, is left to whoever reads the rest block by block.
 */
import { extentBlockCount, extentStartBlock } from '../../../formats/extent.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import {
  DATA_FORK_OFFSET,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  INODE_MAGIC,
  InodeCore,
} from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import { CHUNK } from '../../check/inode-table.ts';
import { SlotCrc } from '../../check/observe/slot-crc.ts';
import { RunList } from '../../check/rows.ts';
import type { Device } from '../../device/device.ts';
import { readInto } from './block-scan.ts';
import { asSet } from './runs.ts';

const at = InodeCore.offsets;
const EXTENT_BYTES = 16;
/** Places closer to each other than this are read in one go as well. */
const NEAR_BYTES = 8192;

/**
 * @param visit told of every block of the chunks found, in ascending order.
 * @returns blocks that are accounted for: those visited, and those of the files found.
 */
export function probeChunks(
  device: Device,
  geometry: Geometry,
  ag: number,
  places: RunList,
  visit: (view: DataView, offset: number, agBlock: number) => void,
): RunList {
  const { blockSize, inodeSize, inodesPerBlock, sparseAlignment, inodeAlignment, features } = geometry;
  const known = new RunList();
  const step = Math.max(1, features.sparse && sparseAlignment > 0 ? sparseAlignment : inodeAlignment);
  if (step * blockSize <= NEAR_BYTES) return known;
  const blocks = Math.max(1, CHUNK / inodesPerBlock);
  const first = new Uint8Array(inodeSize);
  const firstView = new DataView(first.buffer);
  const bytes = new Uint8Array(blocks * blockSize);
  const view = new DataView(bytes.buffer);
  const crc = new SlotCrc(bytes, inodeSize);
  for (let i = 0; i < places.length; i++) {
    const end = places.start[i]! + places.count[i]!;
    for (let block = Math.ceil(places.start[i]! / step) * step; block < end; ) {
      const byte = geometry.agBlockToByte(ag, block);
      if (!readInto(device, byte, first) || !isInodeHere(firstView, 0, geometry, ag, block * inodesPerBlock)) {
        block += step;
        continue;
      }
      const count = Math.min(blocks, end - block);
      if (!readInto(device, byte, bytes.subarray(0, count * blockSize))) {
        block += step;
        continue;
      }
      let seen = 0;
      for (; seen < count; seen++) {
        if (!isInodeHere(view, seen * blockSize, geometry, ag, (block + seen) * inodesPerBlock)) break;
        visit(view, seen * blockSize, block + seen);
        for (let slot = 0; slot < inodesPerBlock; slot++) {
          const offset = seen * blockSize + slot * inodeSize;
          const inode = (block + seen) * inodesPerBlock + slot;
          if (!isInodeHere(view, offset, geometry, ag, inode)) continue;
          if (crc.of(offset) === view.getUint32(offset + at.crc, true)) claimData(view, offset, geometry, ag, known);
        }
      }
      known.push(block, seen);
      block += Math.max(step, Math.ceil(seen / step) * step);
    }
  }
  return asSet(known);
}

function isInodeHere(view: DataView, offset: number, geometry: Geometry, ag: number, agInode: number): boolean {
  if (view.getUint16(offset) !== INODE_MAGIC) return false;
  return (
    getU64(view, offset + at.ino) === geometry.inodeNumber(ag, agInode) && geometry.isMetaUuid(view, offset + at.uuid)
  );
}

/** Blocks in this AG that a file has by its list of extents. */
function claimData(view: DataView, offset: number, geometry: Geometry, ag: number, into: RunList): void {
  if (view.getUint16(offset + at.mode) === 0 || view.getUint8(offset + at.format) !== FORMAT.EXTENTS) return;
  const room = Math.floor(dataForkBytes(view, offset, geometry.inodeSize) / EXTENT_BYTES);
  const count = Math.min(room, dataExtentCount(view, offset));
  for (let i = 0; i < count; i++) {
    const record = offset + DATA_FORK_OFFSET + i * EXTENT_BYTES;
    const start = extentStartBlock(view, record);
    const length = extentBlockCount(view, record);
    if (length === 0 || !geometry.isFsRange(start, length) || geometry.agOfFsBlock(start) !== ag) continue;
    into.push(geometry.agBlockOfFsBlock(start), length);
  }
}
