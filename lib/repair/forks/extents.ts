/** The extents of a fork as they stand on the plan: for whoever edits a fork and then has it written anew. */
import type { Geometry } from '../../../formats/geometry.ts';
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  DATA_FORK_OFFSET,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  InodeCore,
  MODE,
  S_IFMT,
} from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import type { Device } from '../../device/device.ts';
import { ForkExtents } from '../pending.ts';
import { readSlot } from '../slot.ts';
import { PlanReader } from './plan-reader.ts';
import { type ForkBytes, readFork } from './read-fork.ts';
import { forkEnd, isPossible } from './records.ts';

const at = InodeCore.offsets;

/** A fork of a slot whose core is in order; undefined when it holds no extents (local, device, no attr fork). */
export function forkOfSlot(geometry: Geometry, slot: DataView, inode: number, attr: boolean): ForkBytes | undefined {
  const format = slot.getUint8(attr ? at.aformat : at.format);
  if (attr && slot.getUint8(at.forkoff) === 0) return undefined;
  if (format !== FORMAT.EXTENTS && format !== FORMAT.BTREE) return undefined;
  const start = attr ? attrForkOffset(slot, 0) : DATA_FORK_OFFSET;
  const bytes = attr ? attrForkBytes(slot, 0, geometry.inodeSize) : dataForkBytes(slot, 0, geometry.inodeSize);
  const regular = (slot.getUint16(at.mode) & S_IFMT) === MODE.FILE;
  const size = getU64(slot, at.size);
  const isSized = regular && !attr && size <= Number.MAX_SAFE_INTEGER;
  return {
    inode,
    attr,
    regular,
    sizeBlocks: isSized ? Math.ceil(size / geometry.blockSize) : Number.POSITIVE_INFINITY,
    format,
    count: attr ? attrExtentCount(slot, 0) : dataExtentCount(slot, 0),
    view: new DataView(slot.buffer, slot.byteOffset + start, bytes),
  };
}

/**
 * The extents of a fork on the plan, in file order. The inode's core must be in order (stage 1); extents that cannot be
 * or that overlap an earlier one are left out.
 */
export function readExtents(plan: Device, geometry: Geometry, inode: number, attr: boolean): ForkExtents {
  const out = new ForkExtents();
  const fork = forkOfSlot(geometry, readSlot(plan, geometry, inode), inode, attr);
  if (!fork) return out;
  const reading = readFork(new PlanReader(plan, geometry), fork);
  const records = reading.sound ? reading.records : reading.records.sorted();
  const end = forkEnd(geometry, attr, fork.regular);
  let last = 0;
  for (let i = 0; i < records.length; i++) {
    const first = records.fileBlock[i]!;
    const count = records.blockCount[i]!;
    if (first < last || !isPossible(geometry, first, records.startBlock[i]!, count, end)) continue;
    out.push(first, records.startBlock[i]!, count, records.unwritten[i]!);
    last = first + count;
  }
  return out;
}
