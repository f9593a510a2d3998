/**
 * Verifiers of one inode slot. They run once per inode of an image, so: plain offsets into the DataView, no view object,
 * nothing allocated unless there is a fault.
 *
 * 1. `inodeCrcFault` and `inodeCoreFault` are separate, so that a checker can go on behind a bad CRC.
 * 2. After `inodeCoreFault` accepts an inode: both forks lie inside the slot, inline extent counts and bmbt root counts
 *    fit their fork, local data fits its fork, `size` and `nblocks` are exact Numbers, and the format suits the type.
 *    What the extents point at is not looked at.
 * 3. A slot that was never used holds magic, version, numbers and uuid but format 0; a freed one has format 2.
 */
import { type BlockType, type Fault, fault } from './block-type.ts';
import { crcWithHole, storedCrc } from './checksum.ts';
import type { Geometry } from './geometry.ts';
import {
  attrExtentCount,
  DATA_FORK_OFFSET,
  dataExtentCount,
  FORMAT,
  INODE_FLAG,
  INODE_FLAG2,
  INODE_MAGIC,
  InodeCore,
  MODE,
  maxAttrExtents,
  maxDataExtents,
  maxInlineExtents,
  maxRootRecords,
  S_IFMT,
} from './inode.ts';
import { getU64, NULL32 } from './struct.ts';
import { MAX_SYMLINK } from './symlink.ts';

export {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  dataExtentCount,
  dataForkBytes,
  isBigtime,
  setAttrExtentCount,
  setDataExtentCount,
} from './inode.ts';

const CRC = InodeCore.offsets.crc;
/** A directory's data space ends where its leaf space starts (7.1). */
const MAX_DIRECTORY_BYTES = 2 ** 35;
const MAX_EXACT = Number.MAX_SAFE_INTEGER;

const KNOWN_FLAGS = 0x7fff;
const KNOWN_FLAGS2 =
  INODE_FLAG2.DAX | INODE_FLAG2.REFLINK | INODE_FLAG2.COWEXTSIZE | INODE_FLAG2.BIGTIME | INODE_FLAG2.NREXT64;

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** CRC of the whole slot. @param offset of the slot in the cluster buffer. */
export function inodeCrcFault(view: DataView, offset: number, geometry: Geometry): Fault | undefined {
  const slot = new Uint8Array(view.buffer, view.byteOffset + offset, geometry.inodeSize);
  const computed = crcWithHole(slot, CRC);
  const stored = storedCrc(slot, CRC);
  return computed === stored ? undefined : fault('BAD_CRC', 'crc', hex(computed, 8), hex(stored, 8));
}

/** Both at once. A wrong magic says more than the wrong CRC that follows from it, so it is told first. */
export function verifyInode(
  view: DataView,
  offset: number,
  geometry: Geometry,
  inodeNumber: number,
): Fault | undefined {
  const bad = view.getUint16(offset) === INODE_MAGIC ? inodeCrcFault(view, offset, geometry) : undefined;
  return bad ?? inodeCoreFault(view, offset, geometry, inodeNumber);
}

/** Everything but the CRC. @param inodeNumber the number that follows from where the slot lies. */
export function inodeCoreFault(
  view: DataView,
  offset: number,
  geometry: Geometry,
  inodeNumber: number,
): Fault | undefined {
  const magic = view.getUint16(offset);
  if (magic !== INODE_MAGIC) return fault('BAD_MAGIC', 'magic', hex(INODE_MAGIC, 4), hex(magic, 4));
  const version = view.getUint8(offset + 4);
  if (version !== 3) return fault('BAD_VERSION', 'version', 3, version);
  const ino = getU64(view, offset + 152);
  if (ino !== inodeNumber) return fault('BAD_ADDRESS', 'ino', inodeNumber, ino);
  if (!geometry.isMetaUuid(view, offset + 160)) return fault('BAD_UUID', 'uuid', 'the metadata uuid', 'another one');
  const next = view.getUint32(offset + 96);
  if (next !== NULL32 && !geometry.isAgInode(geometry.agOfInode(inodeNumber), next)) {
    return fault('BAD_POINTER', 'nextUnlinked', 'null or an inode of this AG', next);
  }
  const mode = view.getUint16(offset + 2);
  return (
    flagsFault(view, offset, geometry, mode) ??
    countsFault(view, offset) ??
    (mode === 0 ? freeFault(view, offset) : allocatedFault(view, offset, geometry, mode))
  );
}

/** flags, flags2 and the two size hints they govern (6.4). */
function flagsFault(view: DataView, offset: number, geometry: Geometry, mode: number): Fault | undefined {
  const { features } = geometry;
  const type = mode & S_IFMT;
  const flags = view.getUint16(offset + 90);
  const flags2 = view.getUint32(offset + 124);
  if ((flags & ~KNOWN_FLAGS) !== 0) return fault('BAD_FLAGS', 'flags', 'bits 0-14', hex(flags, 4));
  if (view.getUint32(offset + 120) !== 0)
    return fault('BAD_FLAGS', 'flags2', 'bits 0-4', hex(view.getUint32(offset + 120), 8));
  if ((flags2 & ~KNOWN_FLAGS2) !== 0) return fault('BAD_FLAGS', 'flags2', 'bits 0-4', hex(flags2, 8));
  if ((flags2 & INODE_FLAG2.BIGTIME) !== 0 && !features.bigtime) return missingFeature(flags2, 'bigtime');
  if ((flags2 & INODE_FLAG2.NREXT64) !== 0 && !features.nrext64) return missingFeature(flags2, 'nrext64');
  if ((flags2 & (INODE_FLAG2.REFLINK | INODE_FLAG2.COWEXTSIZE)) !== 0) {
    if (!features.reflink) return missingFeature(flags2, 'reflink');
    if ((flags2 & INODE_FLAG2.REFLINK) !== 0 && type !== MODE.FILE) {
      return fault('BAD_FLAGS', 'flags2', 'reflink on regular files only', hex(flags2, 8));
    }
  }
  if ((flags & INODE_FLAG.REALTIME) !== 0) {
    return fault('BAD_FLAGS', 'flags', 'no realtime flag without a realtime section', hex(flags, 4));
  }
  if (view.getUint16(offset + 6) !== 0) return fault('BAD_VALUE', 'metatype', 0, view.getUint16(offset + 6));

  const hint = view.getUint32(offset + 72);
  const extsize = (flags & INODE_FLAG.EXTSIZE) !== 0;
  const inherit = (flags & INODE_FLAG.EXTSZINHERIT) !== 0;
  const most = geometry.agBlocks >>> 1;
  if (extsize && type !== MODE.FILE) return fault('BAD_FLAGS', 'flags', 'extsize on regular files only', hex(flags, 4));
  if (inherit && type !== MODE.DIR)
    return fault('BAD_FLAGS', 'flags', 'extszinherit on directories only', hex(flags, 4));
  // Freeing an inode clears its flags and leaves its hints, so there they may be anything that a hint may be.
  if (extsize || inherit ? hint === 0 || hint > most : hint > (mode === 0 ? most : 0)) {
    return fault('BAD_VALUE', 'extsize', extsize || inherit ? `1..${most}` : mode === 0 ? `0..${most}` : 0, hint);
  }
  const cowHint = view.getUint32(offset + 128);
  const cow = (flags2 & INODE_FLAG2.COWEXTSIZE) !== 0;
  if (cow && type !== MODE.FILE && type !== MODE.DIR) {
    return fault('BAD_FLAGS', 'flags2', 'cowextsize on files and directories only', hex(flags2, 8));
  }
  if (cow ? cowHint === 0 || cowHint > most : cowHint > (mode === 0 ? most : 0)) {
    return fault('BAD_VALUE', 'cowextsize', cow ? `1..${most}` : mode === 0 ? `0..${most}` : 0, cowHint);
  }
  return undefined;
}

const DIRECTORY_FLAGS = INODE_FLAG.PROJINHERIT | INODE_FLAG.NOSYMLINKS;

/** Flags of an inode in use that mean nothing on it: no reader minds them, xfs_repair takes them away. Behind `inodeCoreFault`. */
export function inodeFlagsFault(
  view: DataView,
  offset: number,
  geometry: Geometry,
  inodeNumber: number,
): Fault | undefined {
  const type = view.getUint16(offset + 2) & S_IFMT;
  const flags = view.getUint16(offset + 90);
  const flags2 = view.getUint32(offset + 124);
  const wrong = (field: string, expected: string, found: string): Fault => fault('BAD_FLAGS', field, expected, found);
  if ((flags & INODE_FLAG.NEWRTBM) !== 0 && inodeNumber !== geometry.rootInode + 1) {
    return wrong('flags', 'newrtbm on the realtime bitmap only', hex(flags, 4));
  }
  if ((flags & INODE_FLAG.RTINHERIT) !== 0) {
    return wrong('flags', 'no realtime flag without a realtime section', hex(flags, 4));
  }
  if ((flags & DIRECTORY_FLAGS) !== 0 && type !== MODE.DIR) {
    return wrong('flags', 'projinherit and nosymlinks on directories only', hex(flags, 4));
  }
  if ((flags2 & INODE_FLAG2.DAX) !== 0 && type !== MODE.FILE && type !== MODE.DIR) {
    return wrong('flags2', 'dax on files and directories only', hex(flags2, 8));
  }
  return undefined;
}

function missingFeature(flags2: number, feature: string): Fault {
  return fault('BAD_FLAGS', 'flags2', `no ${feature} flag without the feature`, hex(flags2, 8));
}

/** Extent counts in their two layouts (6.4, trap 28), and the 64-bit sizes. */
function countsFault(view: DataView, offset: number): Fault | undefined {
  const wide = (view.getUint32(offset + 124) & INODE_FLAG2.NREXT64) !== 0;
  if (wide) {
    if (view.getUint16(offset + 80) !== 0) return fault('BAD_VALUE', 'anextents', 0, view.getUint16(offset + 80));
  } else {
    const big = getU64(view, offset + 24);
    if (big !== 0) return fault('BAD_VALUE', 'bigNextents', 0, big);
  }
  const data = dataExtentCount(view, offset);
  const attr = attrExtentCount(view, offset);
  if (data > maxDataExtents(view, offset)) {
    return fault('BAD_COUNT', wide ? 'bigNextents' : 'nextents', `0..${maxDataExtents(view, offset)}`, data);
  }
  if (attr > maxAttrExtents(view, offset)) {
    return fault('BAD_COUNT', wide ? 'nextents' : 'anextents', `0..${maxAttrExtents(view, offset)}`, attr);
  }
  const size = getU64(view, offset + 56);
  if (size > MAX_EXACT) {
    return view.getUint8(offset + 56) >= 0x80
      ? fault('BAD_VALUE', 'size', 'bit 63 clear', size)
      : fault('TOO_LARGE', 'size', `0..${MAX_EXACT}`, size);
  }
  const blocks = getU64(view, offset + 64);
  if (blocks > MAX_EXACT) return fault('BAD_COUNT', 'nblocks', `0..${MAX_EXACT}`, blocks);
  // Every extent is at least one block: rules out counts that no fork could back.
  if (data + attr > blocks) return fault('BAD_COUNT', 'nblocks', `at least ${data + attr}`, blocks);
  return undefined;
}

/** A free slot: no blocks, no attr fork; the format is that of a fresh chunk (0) or of a freed inode (2). */
function freeFault(view: DataView, offset: number): Fault | undefined {
  const format = view.getUint8(offset + 5);
  if (format !== FORMAT.DEV && format !== FORMAT.EXTENTS)
    return fault('BAD_FORMAT', 'format', '0 or 2 when free', format);
  const aformat = view.getUint8(offset + 83);
  if (aformat !== 0 && aformat !== FORMAT.EXTENTS) return fault('BAD_FORMAT', 'aformat', '0 or 2 when free', aformat);
  if (view.getUint8(offset + 82) !== 0) return fault('BAD_FORKOFF', 'forkoff', 0, view.getUint8(offset + 82));
  const blocks = getU64(view, offset + 64);
  return blocks === 0 ? undefined : fault('BAD_COUNT', 'nblocks', '0 when free', blocks);
}

function allocatedFault(view: DataView, offset: number, geometry: Geometry, mode: number): Fault | undefined {
  const format = view.getUint8(offset + 5);
  const forkoff = view.getUint8(offset + 82);
  const literal = geometry.inodeSize - DATA_FORK_OFFSET;
  if (forkoff * 8 >= literal) return fault('BAD_FORKOFF', 'forkoff', `0..${literal / 8 - 1}`, forkoff);
  const size = getU64(view, offset + 56);
  const linked = view.getUint32(offset + 16) !== 0;

  switch (mode & S_IFMT) {
    case MODE.FILE:
      if (format !== FORMAT.EXTENTS && format !== FORMAT.BTREE) return badFormat(format, '2 or 3 for a file');
      break;
    case MODE.DIR:
      if (format !== FORMAT.LOCAL && format !== FORMAT.EXTENTS && format !== FORMAT.BTREE) {
        return badFormat(format, '1, 2 or 3 for a directory');
      }
      // An unlinked directory or symlink may already have been emptied.
      if ((size === 0 && linked) || size > MAX_DIRECTORY_BYTES) {
        return fault('BAD_VALUE', 'size', `1..${MAX_DIRECTORY_BYTES} for a directory`, size);
      }
      break;
    case MODE.SYMLINK:
      if (format !== FORMAT.LOCAL && format !== FORMAT.EXTENTS) return badFormat(format, '1 or 2 for a symlink');
      if ((size === 0 && linked) || size > MAX_SYMLINK) {
        return fault('BAD_VALUE', 'size', `1..${MAX_SYMLINK} for a symlink`, size);
      }
      break;
    case MODE.CHAR:
    case MODE.BLOCK:
    case MODE.FIFO:
    case MODE.SOCKET:
      if (format !== FORMAT.DEV) return badFormat(format, '0 for a device, fifo or socket');
      if (size !== 0) return fault('BAD_VALUE', 'size', 0, size);
      if (forkoff > 1) return fault('BAD_FORKOFF', 'forkoff', '0 or 1 for a device, fifo or socket', forkoff);
      if (dataExtentCount(view, offset) !== 0) {
        return fault('BAD_COUNT', 'nextents', 0, dataExtentCount(view, offset));
      }
      return attrForkFault(view, offset, geometry, forkoff, literal);
    default:
      return fault('BAD_MODE', 'mode', 'a file type', `0o${mode.toString(8)}`);
  }
  const dataBytes = forkoff === 0 ? literal : forkoff * 8;
  const start = offset + DATA_FORK_OFFSET;
  const extents = dataExtentCount(view, offset);
  if (format === FORMAT.LOCAL) {
    if (size > dataBytes) return fault('BAD_VALUE', 'size', `0..${dataBytes} in local form`, size);
    if (extents !== 0) return fault('BAD_COUNT', 'nextents', '0 in local form', extents);
  } else {
    const found = extentForkFault(view, start, dataBytes, extents, format, geometry, 'nextents');
    if (found) return found;
  }
  return attrForkFault(view, offset, geometry, forkoff, literal);
}

function badFormat(format: number, expected: string): Fault {
  return fault('BAD_FORMAT', 'format', expected, format);
}

/** An inline list must fit its fork; a btree is legal only beyond that, and its root must fit as well. */
function extentForkFault(
  view: DataView,
  start: number,
  forkBytes: number,
  extents: number,
  format: number,
  geometry: Geometry,
  field: string,
): Fault | undefined {
  const inline = maxInlineExtents(forkBytes);
  if (format === FORMAT.EXTENTS) {
    return extents <= inline ? undefined : fault('BAD_COUNT', field, `0..${inline} inline`, extents);
  }
  if (extents <= inline) return fault('BAD_COUNT', field, `more than ${inline} in btree form`, extents);
  const level = view.getUint16(start);
  const records = view.getUint16(start + 2);
  const most = maxRootRecords(forkBytes);
  if (level < 1 || level >= geometry.maxLevels.bmbt) {
    return fault('BAD_LEVEL', 'root.level', `1..${geometry.maxLevels.bmbt - 1}`, level);
  }
  return records >= 1 && records <= most ? undefined : fault('BAD_COUNT', 'root.numrecs', `1..${most}`, records);
}

function attrForkFault(
  view: DataView,
  offset: number,
  geometry: Geometry,
  forkoff: number,
  literal: number,
): Fault | undefined {
  const aformat = view.getUint8(offset + 83);
  const extents = attrExtentCount(view, offset);
  if (forkoff === 0) {
    if (aformat !== FORMAT.EXTENTS) return fault('BAD_FORMAT', 'aformat', '2 without an attr fork', aformat);
    return extents === 0 ? undefined : fault('BAD_COUNT', 'anextents', '0 without an attr fork', extents);
  }
  const forkBytes = literal - forkoff * 8;
  const start = offset + DATA_FORK_OFFSET + forkoff * 8;
  switch (aformat) {
    case FORMAT.LOCAL: {
      if (extents !== 0) return fault('BAD_COUNT', 'anextents', '0 in local form', extents);
      const total = view.getUint16(start); // shortform header: total bytes, header included
      return total >= 4 && total <= forkBytes
        ? undefined
        : fault('BAD_VALUE', 'attr.totsize', `4..${forkBytes}`, total);
    }
    case FORMAT.EXTENTS:
    case FORMAT.BTREE:
      return extentForkFault(view, start, forkBytes, extents, aformat, geometry, 'anextents');
    default:
      return fault('BAD_FORMAT', 'aformat', '1, 2 or 3', aformat);
  }
}

/** A buffer of inode slots. It has no CRC or LSN of its own: each slot is verified where it is used. */
export const INODE_CLUSTER: BlockType = {
  name: 'inode cluster',
  logType: 8,
  crcOffset: -1,
  lsnOffset: -1,
  slotCrcOffset: CRC,
  verify: () => undefined,
};
