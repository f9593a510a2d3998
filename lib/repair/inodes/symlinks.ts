/**
 * Symlinks: the target is kept when all of it can be read. Half a target is worse than none: it may lead somewhere else.
 * So a symlink whose target is not known whole is cleared and named.
 *
 * 1. Inside the inode the target ends at the first zero byte; the size has to agree, or gives way.
 * 2. In blocks, the size, the lengths in the headers and the text itself are three witnesses; two that agree are believed,
 *    and the headers are written anew from that.
 */
import { sealCrc } from '../../../formats/checksum.ts';
import { DATA_FORK_OFFSET, dataForkBytes, FORMAT, InodeCore } from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import {
  MAX_SYMLINK,
  SYMLINK_MAGIC,
  SymlinkHeader,
  symlinkPayload,
  writeSymlinkExtent,
} from '../../../formats/symlink.ts';
import type { ForkExtents } from '../pending.ts';
import type { RepairState } from '../state.ts';
import { textLength } from './shape.ts';

const at = InodeCore.offsets;
/** More blocks than any target needs. */
const MOST_BLOCKS = 8;

/** The right size, or undefined when the target is lost: that was reported. */
export function mendSymlink(
  state: RepairState,
  slot: DataView,
  inode: number,
  data: ForkExtents | undefined,
): { size: number; rewritten: boolean } | undefined {
  const size = getU64(slot, at.size);
  if (slot.getUint8(at.format) === FORMAT.LOCAL) {
    const bytes = dataForkBytes(slot, 0, state.geometry.inodeSize);
    const fork = new DataView(slot.buffer, slot.byteOffset + DATA_FORK_OFFSET, bytes);
    const length = textLength(fork);
    let rest = false;
    for (let i = length; i < bytes; i++) rest ||= fork.getUint8(i) !== 0;
    // A text that the size confirms, or behind which there is nothing.
    if (length > 0 && (length === size || !rest)) return { size: length, rewritten: false };
    return lost(state, inode);
  }
  if (!data || data.length === 0) {
    // An unlinked one may have been emptied.
    return size === 0 && slot.getUint32(at.nlink) === 0 ? { size: 0, rewritten: false } : lost(state, inode);
  }
  return remote(state, inode, size, data) ?? lost(state, inode);
}

function lost(state: RepairState, inode: number): undefined {
  state.report.lose('symlink target', `inode ${inode}: the target of the symlink cannot be read whole: removed`, {
    inode,
  });
  return undefined;
}

function remote(
  { plan, geometry }: RepairState,
  inode: number,
  size: number,
  data: ForkExtents,
): { size: number; rewritten: boolean } | undefined {
  const pieces: Uint8Array[] = [];
  let said = 0;
  let blocks = 0;
  const text: number[] = [];
  for (let i = 0; i < data.length; i++) {
    blocks += data.blockCount[i]!;
    if (blocks > MOST_BLOCKS) return undefined;
    const bytes = new Uint8Array(data.blockCount[i]! * geometry.blockSize);
    plan.read(geometry.fsBlockToByte(data.startBlock[i]!), bytes);
    const header = SymlinkHeader.at(new DataView(bytes.buffer));
    // A block that is another's, or none at all, has no part of this target.
    const signs =
      (header.magic === SYMLINK_MAGIC ? 1 : 0) +
      (header.owner === inode ? 1 : 0) +
      (header.blkno === geometry.fsBlockToDaddr(data.startBlock[i]!) ? 1 : 0);
    if (signs < 2) return undefined;
    said += header.targetBytes;
    text.push(...bytes.subarray(SymlinkHeader.size));
    pieces.push(bytes);
  }
  const zero = text.indexOf(0);
  const length = zero < 0 ? text.length : zero;
  const chosen = length === size || length === said ? length : size === said ? size : -1;
  if (chosen <= 0 || chosen > MAX_SYMLINK || chosen > length) return undefined;
  const target = Uint8Array.from(text.slice(0, chosen));
  let done = 0;
  let rewritten = false;
  pieces.forEach((old, i) => {
    const daddr = geometry.fsBlockToDaddr(data.startBlock[i]!);
    const room = symlinkPayload(old.length);
    if (done >= chosen) return;
    const fresh = new Uint8Array(old.length);
    writeSymlinkExtent(new DataView(fresh.buffer), geometry, daddr, inode, target, done);
    fresh.set(old.subarray(LSN, LSN + 8), LSN);
    const end = SymlinkHeader.size + Math.min(room, chosen - done);
    fresh.set(old.subarray(end), end);
    done += Math.min(room, chosen - done);
    sealCrc(fresh, SymlinkHeader.offsets.crc);
    if (fresh.every((byte, k) => byte === old[k])) return;
    plan.write(geometry.fsBlockToByte(data.startBlock[i]!), fresh);
    rewritten = true;
  });
  return { size: chosen, rewritten };
}

/** Do the blocks stand one behind the other from the start of the file, as those of a target have to? */
export function isRunning({ length, fileBlock, blockCount }: ForkExtents): boolean {
  let next = 0;
  for (let i = 0; i < length; i++) {
    if (fileBlock[i] !== next) return false;
    next += blockCount[i]!;
  }
  return true;
}

/** Let them; they are those of a target that was read whole, in this order. */
export function setRunning({ length, fileBlock, blockCount }: ForkExtents): void {
  let next = 0;
  for (let i = 0; i < length; i++) {
    fileBlock[i] = next;
    next += blockCount[i]!;
  }
}

const LSN = SymlinkHeader.offsets.lsn;
