/** The border between the two forks, moved when the data fork has no room for the root of an extent tree. */
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  DATA_FORK_OFFSET,
  FORMAT,
  InodeCore,
  setAttrExtentCount,
} from '../../../formats/inode.ts';
import type { RepairState } from '../state.ts';

const at = InodeCore.offsets;
/** The least data fork that kernels make: a root of three children, rounded up to 8 bytes. */
const LEAST_FORKOFF = 7;

/** Make room in a slot whose data fork is blank; attributes that do not fit any more are lost and named. */
export function makeDataRoom(state: RepairState, slot: DataView, inode: number): void {
  const { inodeSize } = state.geometry;
  const room = inodeSize - DATA_FORK_OFFSET - LEAST_FORKOFF * 8;
  const from = attrForkOffset(slot, 0);
  const used = usedAttrBytes(slot, attrForkBytes(slot, 0, inodeSize));
  const bytes = new Uint8Array(slot.buffer, slot.byteOffset, inodeSize);
  const kept = bytes.slice(from, from + (used <= room ? used : 0));
  bytes.fill(0, DATA_FORK_OFFSET);
  bytes.set(kept, DATA_FORK_OFFSET + LEAST_FORKOFF * 8);
  slot.setUint8(at.forkoff, LEAST_FORKOFF);
  if (used <= room) return;
  slot.setUint8(at.aformat, FORMAT.EXTENTS);
  setAttrExtentCount(slot, 0, 0);
  state.report.lose('attribute', `inode ${inode}: the attributes had to make room for the extent tree`, { inode });
}

/** Bytes at the start of the attr fork that mean something; a tree's root cannot be moved as it stands. */
function usedAttrBytes(slot: DataView, bytes: number): number {
  switch (slot.getUint8(at.aformat)) {
    case FORMAT.LOCAL:
      return slot.getUint16(attrForkOffset(slot, 0));
    case FORMAT.EXTENTS:
      return 16 * attrExtentCount(slot, 0);
    default:
      return bytes + 1;
  }
}
