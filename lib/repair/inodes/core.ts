/**
 * The core of an inode, field by field, once its shape is known: every field gets a value that the format allows, and keeps
 * its own wherever that can be. What the forks hold decides sizes and counts; that is done by who reads the forks.
 */
import type { Geometry } from '../../../formats/geometry.ts';
import { FORMAT, INODE_FLAG, INODE_FLAG2, INODE_MAGIC, InodeCore, MODE, S_IFMT } from '../../../formats/inode.ts';
import { getU64, NULL32, setU64 } from '../../../formats/struct.ts';
import { writeTime } from '../../../formats/time.ts';

const at = InodeCore.offsets;
const VERSION = 3;
const KNOWN_FLAGS = 0x7fff;
const FIRST_SPARE = 132;
const SPARE_BYTES = 12;
const BILLION = 1e9;

/** Bits that say whose slot it is; how many of magic, number and uuid are right. */
export function identityScore(slot: DataView, geometry: Geometry, inode: number): number {
  return (
    (slot.getUint16(at.magic) === INODE_MAGIC ? 1 : 0) +
    (getU64(slot, at.ino) === inode ? 1 : 0) +
    (geometry.isMetaUuid(slot, at.uuid) ? 1 : 0)
  );
}

/** The fields that every slot of this place has. Returns the names of those that were wrong. */
export function mendIdentity(slot: DataView, geometry: Geometry, inode: number): string[] {
  const wrong: string[] = [];
  if (slot.getUint16(at.magic) !== INODE_MAGIC) wrong.push('magic');
  if (slot.getUint8(at.version) !== VERSION) wrong.push('version');
  if (getU64(slot, at.ino) !== inode) wrong.push('ino');
  if (!geometry.isMetaUuid(slot, at.uuid)) wrong.push('uuid');
  if (slot.getUint16(at.metatype) !== 0) wrong.push('metatype');
  slot.setUint16(at.magic, INODE_MAGIC);
  slot.setUint8(at.version, VERSION);
  slot.setUint16(at.metatype, 0);
  setU64(slot, at.ino, inode);
  new Uint8Array(slot.buffer, slot.byteOffset + at.uuid, 16).set(geometry.metaUuid);
  new Uint8Array(slot.buffer, slot.byteOffset + FIRST_SPARE, SPARE_BYTES).fill(0);
  return wrong;
}

/** Flags, hints and times of an inode in use whose mode is right. Returns the names of the fields that were changed. */
export function mendFlags(slot: DataView, geometry: Geometry): string[] {
  const { features } = geometry;
  const type = slot.getUint16(at.mode) & S_IFMT;
  const before = { flags: slot.getUint16(at.flags), flags2: slot.getUint32(at.flags2 + 4) };
  const hints = { extsize: slot.getUint32(at.extsize), cowextsize: slot.getUint32(at.cowextsize) };
  const most = geometry.agBlocks >>> 1;
  const isHint = (value: number): boolean => value > 0 && value <= most;

  let flags = before.flags & KNOWN_FLAGS & ~(INODE_FLAG.REALTIME | INODE_FLAG.RTINHERIT);
  if (getU64(slot, at.ino) !== geometry.rootInode + 1) flags &= ~INODE_FLAG.NEWRTBM;
  if (type !== MODE.FILE || !isHint(hints.extsize)) flags &= ~INODE_FLAG.EXTSIZE;
  if (type !== MODE.DIR || !isHint(hints.extsize)) flags &= ~INODE_FLAG.EXTSZINHERIT;
  // What directories hand down means nothing elsewhere, and xfs_repair complains of it.
  if (type !== MODE.DIR) flags &= ~(INODE_FLAG.PROJINHERIT | INODE_FLAG.NOSYMLINKS);
  if ((flags & (INODE_FLAG.EXTSIZE | INODE_FLAG.EXTSZINHERIT)) === 0) hints.extsize = 0;

  let flags2 = before.flags2 & (INODE_FLAG2.DAX | INODE_FLAG2.REFLINK | INODE_FLAG2.COWEXTSIZE);
  if (features.bigtime) flags2 |= before.flags2 & INODE_FLAG2.BIGTIME;
  if (features.nrext64) flags2 |= before.flags2 & INODE_FLAG2.NREXT64;
  if (!features.reflink) flags2 &= ~(INODE_FLAG2.REFLINK | INODE_FLAG2.COWEXTSIZE);
  if (type !== MODE.FILE) flags2 &= ~INODE_FLAG2.REFLINK;
  if (type !== MODE.FILE && type !== MODE.DIR) flags2 &= ~INODE_FLAG2.DAX;
  if ((type !== MODE.FILE && type !== MODE.DIR) || !isHint(hints.cowextsize)) flags2 &= ~INODE_FLAG2.COWEXTSIZE;
  if ((flags2 & INODE_FLAG2.COWEXTSIZE) === 0) hints.cowextsize = 0;
  if (features.bigtime && (flags2 & INODE_FLAG2.BIGTIME) === 0 && !hasLegacyTimes(slot)) flags2 |= INODE_FLAG2.BIGTIME;

  const changed: string[] = [];
  // In either layout of the extent counts one field has no use.
  if ((flags2 & INODE_FLAG2.NREXT64) !== 0) {
    if (slot.getUint16(at.anextents) !== 0) changed.push('anextents');
    slot.setUint16(at.anextents, 0);
  } else {
    if (getU64(slot, at.bigNextents) !== 0) changed.push('bigNextents');
    setU64(slot, at.bigNextents, 0);
  }
  if (flags !== before.flags) changed.push('flags');
  if (slot.getUint32(at.flags2) !== 0 || flags2 !== before.flags2) changed.push('flags2');
  if (hints.extsize !== slot.getUint32(at.extsize)) changed.push('extsize');
  if (hints.cowextsize !== slot.getUint32(at.cowextsize)) changed.push('cowextsize');
  slot.setUint16(at.flags, flags);
  slot.setUint32(at.flags2, 0);
  slot.setUint32(at.flags2 + 4, flags2);
  slot.setUint32(at.extsize, hints.extsize);
  slot.setUint32(at.cowextsize, hints.cowextsize);
  if ((flags2 & INODE_FLAG2.BIGTIME) === 0) {
    for (const field of TIMES) {
      if (slot.getUint32(at[field] + 4) < BILLION) continue;
      slot.setUint32(at[field] + 4, 0);
      changed.push(field);
    }
  }
  return changed;
}

const TIMES = ['atime', 'mtime', 'ctime', 'crtime'] as const;

/** Could the four times be seconds and nanoseconds? */
function hasLegacyTimes(slot: DataView): boolean {
  return TIMES.every((field) => slot.getUint32(at[field] + 4) < BILLION);
}

/** Make the slot a free one: as a new chunk has it, with the generation it had. */
export function freeSlot(slot: DataView, geometry: Geometry, inode: number): void {
  const generation = slot.getUint32(at.gen);
  new Uint8Array(slot.buffer, slot.byteOffset, geometry.inodeSize).fill(0);
  mendIdentity(slot, geometry, inode);
  slot.setUint32(at.gen, generation);
  slot.setUint32(at.nextUnlinked, NULL32);
}

/** A core for an inode that has none any more: type and times as given, everything else as for a new file. */
export function newCore(slot: DataView, geometry: Geometry, inode: number, mode: number): void {
  freeSlot(slot, geometry, inode);
  const { features } = geometry;
  slot.setUint16(at.mode, mode);
  slot.setUint8(at.format, FORMAT.EXTENTS);
  slot.setUint8(at.aformat, FORMAT.EXTENTS);
  slot.setUint32(at.nlink, (mode & S_IFMT) === MODE.DIR ? 2 : 1);
  slot.setUint32(
    at.flags2 + 4,
    (features.bigtime ? INODE_FLAG2.BIGTIME : 0) | (features.nrext64 ? INODE_FLAG2.NREXT64 : 0),
  );
  for (const field of TIMES) writeTime(slot, at[field], { seconds: 0, nanoseconds: 0 }, features.bigtime);
}

/** True when nothing in a slot says that it was ever in use. */
export function isUnused(slot: DataView): boolean {
  const format = slot.getUint8(at.format);
  return (
    slot.getUint32(at.nlink) === 0 &&
    getU64(slot, at.nblocks) === 0 &&
    getU64(slot, at.size) === 0 &&
    (format === 0 || format === FORMAT.EXTENTS)
  );
}
