/** One inode as raw bytes: core, and what each fork holds inside the inode. */
import { AttrShortEntry, AttrShortHeader } from '../../formats/attribute.ts';
import { BmdrHeader, BTREES } from '../../formats/btree-blocks.ts';
import { readShortInode, shortDirInodeSize } from '../../formats/directory.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { FORMAT, InodeCore, MODE, S_IFMT } from '../../formats/inode.ts';
import {
  attrForkBytes,
  attrForkOffset,
  dataExtentCount,
  dataForkBytes,
  verifyInode,
} from '../../formats/inode-verify.ts';
import { getU64 } from '../../formats/struct.ts';
import type { Device } from '../device/device.ts';
import { usage } from '../errors.ts';
import { nameJson } from '../volume/listing.ts';
import { showPath } from '../volume/path.ts';
import { type Dump, readBytes } from './dump.ts';
import { type List, leafRecords, type Row } from './lists.ts';

/** Byte address of an inode's slot. Throws a usage error (BAD_INODE) for a number outside the image. */
function inodeByte(geometry: Geometry, number: number): number {
  if (!geometry.isInode(number)) {
    throw usage('BAD_INODE', `${number} is no inode number of this image`, { found: number });
  }
  const agInode = geometry.agInodeOfInode(number);
  const block = geometry.agBlockToByte(geometry.agOfInode(number), geometry.agBlockOfAgInode(agInode));
  return block + (agInode % geometry.inodesPerBlock) * geometry.inodeSize;
}

/** Throws a usage error (BAD_INODE). */
export function dumpInode(device: Device, geometry: Geometry, number: number): Dump {
  const byte = inodeByte(geometry, number);
  const view = readBytes(device, byte, geometry.inodeSize);
  const fault = verifyInode(view, 0, geometry, number);
  const lists: List[] = [];
  const core = InodeCore.at(view);
  // The border between the forks is a byte of the inode: outside the slot it is worth nothing.
  const attrAt = attrForkOffset(view, 0);
  if (attrAt <= geometry.inodeSize && core.mode !== 0) {
    const data = new DataView(view.buffer, InodeCore.size, Math.max(0, dataForkBytes(view, 0, geometry.inodeSize)));
    lists.push(...dataLists(core.mode & S_IFMT, core.format, core.size, dataExtentCount(view, 0), data));
    if (core.forkoff !== 0) {
      const attr = new DataView(view.buffer, attrAt, Math.max(0, attrForkBytes(view, 0, geometry.inodeSize)));
      lists.push(...attrLists(core.aformat, attr));
    }
  }
  return { structure: 'inode', byte, length: view.byteLength, fault, struct: InodeCore, view, lists };
}

function dataLists(type: number, format: number, size: number, extents: number, fork: DataView): List[] {
  const bytes = new Uint8Array(fork.buffer, fork.byteOffset, fork.byteLength);
  switch (format) {
    case FORMAT.EXTENTS:
      return [{ title: 'data extents', rows: leafRecords(BTREES.bmbt, fork, 0, extents) }];
    case FORMAT.BTREE:
      return [{ title: 'data btree root', rows: rootRows(fork) }];
    case FORMAT.LOCAL:
      if (type === MODE.SYMLINK) {
        return [{ title: 'target', rows: [{ target: showPath(bytes.subarray(0, Math.min(size, bytes.length))) }] }];
      }
      return type === MODE.DIR ? [{ title: 'entries', rows: shortEntries(fork) }] : [];
    default:
      return [];
  }
}

function rootRows(fork: DataView): Row[] {
  const { level, numrecs } = BmdrHeader.at(fork);
  const room = Math.max(0, Math.floor((fork.byteLength - BmdrHeader.size) / 16));
  return Array.from({ length: Math.min(numrecs, room) }, (_, i) => ({
    level: level - 1,
    fileBlock: getU64(fork, BmdrHeader.size + 8 * i),
    pointer: getU64(fork, BmdrHeader.size + 8 * room + 8 * i),
  }));
}

function shortEntries(fork: DataView): Row[] {
  const bytes = new Uint8Array(fork.buffer, fork.byteOffset, fork.byteLength);
  const width = shortDirInodeSize(fork);
  const rows: Row[] = [{ name: '..', inode: readShortInode(fork, 2, width) }];
  let at = 2 + width;
  for (let left = fork.getUint8(0); left > 0 && at + 3 < bytes.length; left--) {
    const end = at + 3 + bytes[at]!;
    if (end + 1 + width > bytes.length) break;
    const name = nameJson(bytes.subarray(at + 3, end));
    rows.push({
      ...name,
      inode: readShortInode(fork, end + 1, width),
      ftype: bytes[end],
      offset: fork.getUint16(at + 1),
    });
    at = end + 1 + width;
  }
  return rows;
}

function attrLists(format: number, fork: DataView): List[] {
  if (format === FORMAT.EXTENTS) {
    const fits = Math.floor(fork.byteLength / 16);
    // How many there are, the core says; empty records behind them are left out.
    const rows = leafRecords(BTREES.bmbt, fork, 0, fits).filter((row) => row.blockCount !== 0);
    return [{ title: 'attribute extents', rows }];
  }
  if (format === FORMAT.BTREE) return [{ title: 'attribute btree root', rows: rootRows(fork) }];
  if (format !== FORMAT.LOCAL || fork.byteLength < AttrShortHeader.size) return [];
  const bytes = new Uint8Array(fork.buffer, fork.byteOffset, fork.byteLength);
  const rows: Row[] = [];
  let at = AttrShortHeader.size;
  for (let left = fork.getUint8(2); left > 0 && at + AttrShortEntry.size <= bytes.length; left--) {
    const { namelen, valuelen, flags } = AttrShortEntry.at(fork, at);
    const start = at + AttrShortEntry.size;
    if (start + namelen + valuelen > bytes.length) break;
    rows.push({ flags, ...nameJson(bytes.subarray(start, start + namelen)), valueLength: valuelen });
    at = start + namelen + valuelen;
  }
  return [{ title: 'attributes', rows }];
}
