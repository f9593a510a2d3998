/** A fork taken out of its inode on the plan: until it is written anew it claims nothing. */

import type { Geometry } from '../../../formats/geometry.ts';
import {
  attrForkBytes,
  attrForkOffset,
  DATA_FORK_OFFSET,
  dataForkBytes,
  FORMAT,
  InodeCore,
  setAttrExtentCount,
  setDataExtentCount,
} from '../../../formats/inode.ts';
import type { Device } from '../../device/device.ts';
import { readSlot, writeSlot } from '../slot.ts';

const at = InodeCore.offsets;

/**
 * Make a fork an empty list of extents, and set the right CRC. The other fork and the rest of the core stay as they are:
 * `nblocks` too, which is at least what the other fork needs until stage 3 counts it anew.
 */
export function blankFork(plan: Device, geometry: Geometry, inode: number, attr: boolean): void {
  const slot = readSlot(plan, geometry, inode);
  blankForkBytes(slot, geometry, attr);
  writeSlot(plan, geometry, inode, slot);
}

/** The same on a copy of the slot. */
export function blankForkBytes(slot: DataView, geometry: Geometry, attr: boolean): void {
  const start = attr ? attrForkOffset(slot, 0) : DATA_FORK_OFFSET;
  const bytes = attr ? attrForkBytes(slot, 0, geometry.inodeSize) : dataForkBytes(slot, 0, geometry.inodeSize);
  new Uint8Array(slot.buffer, slot.byteOffset + start, bytes).fill(0);
  if (attr) {
    slot.setUint8(at.aformat, FORMAT.EXTENTS);
    setAttrExtentCount(slot, 0, 0);
  } else {
    slot.setUint8(at.format, FORMAT.EXTENTS);
    setDataExtentCount(slot, 0, 0);
  }
}
