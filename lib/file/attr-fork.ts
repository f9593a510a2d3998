/**
 * The border between the two forks of an inode in use. Moving it changes how much each fork can hold inside the inode, and
 * where the pointers of a bmbt root stand; the content of both forks stays what it is.
 */
import { FORMAT, InodeCore, maxRootRecords } from '../../formats/inode.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { internal } from '../errors.ts';
import type { Space } from '../space/space.ts';
import { hasDeviceFork } from './create.ts';
import { RECORD } from './extent-cursor.ts';
import { Fork } from './fork.ts';
import type { Inode } from './inode.ts';

const DEFAULT_FORKOFF = 24;
/** The least either fork keeps: a bmbt root of three records, rounded up to 8 bytes. */
const MIN_FORK_BYTES = 56;

/** Bytes the data fork needs inside the inode as it is, and for whatever form it may take later. */
function dataBytesInUse(fork: Fork): number {
  switch (fork.format) {
    case FORMAT.LOCAL:
      return Math.max(MIN_FORK_BYTES, fork.inode.size);
    case FORMAT.EXTENTS:
      return Math.max(MIN_FORK_BYTES, fork.extentCount * RECORD);
    case FORMAT.BTREE:
      return Math.max(MIN_FORK_BYTES, 4 + RECORD * fork.inode.view.getUint16(fork.base + 2));
    default:
      return 8;
  }
}

/**
 * Give an inode an attr fork, or a larger one. The data fork keeps its form if both fit; an extent list becomes a tree, a
 * wide tree root is pushed down. A local directory or symlink that leaves no room is the caller's to move first
 * (`leavesRoom`).
 * @param wanted bytes the shortform is going to have, or undefined when it cannot be one.
 */
export function makeAttrFork(tx: Transaction, space: Space, inode: Inode, wanted: number | undefined): void {
  const { core, geometry } = inode;
  const literal = geometry.inodeSize - InodeCore.size;
  const data = new Fork(inode, 'data');
  if (hasDeviceFork(inode.mode)) {
    if (core.forkoff === 0) setForkOffset(tx, inode, 1);
    return;
  }
  const used = Math.ceil(dataBytesInUse(data) / 8);
  if (core.forkoff !== 0) {
    const attr = new Fork(inode, 'attr');
    if (wanted === undefined || wanted <= attr.bytes || attr.format === FORMAT.BTREE) return;
    const forkoff = Math.floor((literal - wanted) / 8);
    if (forkoff >= used && data.format !== FORMAT.BTREE) setForkOffset(tx, inode, forkoff);
    return;
  }
  const best = wanted === undefined ? DEFAULT_FORKOFF : Math.min(DEFAULT_FORKOFF, Math.floor((literal - wanted) / 8));
  if (best >= used) setForkOffset(tx, inode, best);
  else if (used <= DEFAULT_FORKOFF) setForkOffset(tx, inode, DEFAULT_FORKOFF);
  else if (literal - used * 8 >= MIN_FORK_BYTES) setForkOffset(tx, inode, used);
  else if (data.format === FORMAT.EXTENTS) {
    data.growToTree(tx, space);
    setForkOffset(tx, inode, DEFAULT_FORKOFF);
  } else if (data.format === FORMAT.BTREE) {
    data.tree(space).pushDownRoot(tx);
    setForkOffset(tx, inode, DEFAULT_FORKOFF);
  } else throw internal('local data fork leaves no room for an attr fork');
}

/** True when the inode can get an attr fork without its local data moving out first. */
export function leavesRoom(inode: Inode): boolean {
  const data = new Fork(inode, 'data');
  if (inode.core.forkoff !== 0 || data.format !== FORMAT.LOCAL) return true;
  return inode.geometry.inodeSize - InodeCore.size - Math.ceil(inode.size / 8) * 8 >= MIN_FORK_BYTES;
}

/** The inode has no attributes left: the border goes, the data fork gets all the room. */
export function dropAttrFork(tx: Transaction, inode: Inode): void {
  setForkOffset(tx, inode, 0);
  inode.core.aformat = FORMAT.EXTENTS;
}

/** Move the border, in 8-byte units; both forks must fit. A new attr fork starts as an empty extent list. */
function setForkOffset(tx: Transaction, inode: Inode, forkoff: number): void {
  const { core, view, base, geometry } = inode;
  if (core.forkoff === forkoff) return;
  inode.change(tx);
  const literal = new Uint8Array(
    view.buffer,
    view.byteOffset + base + InodeCore.size,
    geometry.inodeSize - InodeCore.size,
  );
  const data = new Fork(inode, 'data');
  const attr = new Fork(inode, 'attr');
  const oldData = literal.slice(0, data.bytes);
  const oldAttr = attr.exists ? literal.slice(core.forkoff * 8) : undefined;
  if (!oldAttr) core.aformat = FORMAT.EXTENTS;
  core.forkoff = forkoff;
  literal.fill(0);
  placeFork(literal.subarray(0, data.bytes), oldData, data.format);
  if (oldAttr && forkoff !== 0) placeFork(literal.subarray(forkoff * 8), oldAttr, attr.format);
}

/** Copy a fork's content into its new room: the pointers of a bmbt root stand behind room for all its keys. */
function placeFork(into: Uint8Array, from: Uint8Array, format: number): void {
  if (format !== FORMAT.BTREE) {
    into.set(from.subarray(0, Math.min(from.length, into.length)));
    return;
  }
  const count = (from[2]! << 8) | from[3]!;
  const newSlots = maxRootRecords(into.length);
  const oldSlots = maxRootRecords(from.length);
  if (count > newSlots) throw internal(`bmbt root of ${count} records does not fit ${into.length} bytes`);
  into.set(from.subarray(0, 4 + 8 * count));
  into.set(from.subarray(4 + 8 * oldSlots, 4 + 8 * (oldSlots + count)), 4 + 8 * newSlots);
}
