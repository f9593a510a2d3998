/** One inode slot of the plan as bytes: where it lies, a copy to work on, and its way back with the right CRC. */
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { InodeCore } from '../../formats/inode.ts';
import type { Device } from '../device/device.ts';

/** Byte address of an inode's slot. */
export function slotByte(geometry: Geometry, inode: number): number {
  const agInode = geometry.agInodeOfInode(inode);
  const block = geometry.agBlockToByte(geometry.agOfInode(inode), geometry.agBlockOfAgInode(agInode));
  return block + (agInode % geometry.inodesPerBlock) * geometry.inodeSize;
}

/** A copy of the slot. */
export function readSlot(plan: Device, geometry: Geometry, inode: number): DataView {
  const bytes = new Uint8Array(geometry.inodeSize);
  plan.read(slotByte(geometry, inode), bytes);
  return new DataView(bytes.buffer);
}

/** Seal the slot's CRC and put it back. */
export function writeSlot(plan: Device, geometry: Geometry, inode: number, slot: DataView): void {
  const bytes = new Uint8Array(slot.buffer, slot.byteOffset, geometry.inodeSize);
  sealCrc(bytes, InodeCore.offsets.crc);
  plan.write(slotByte(geometry, inode), bytes);
}
