/** The fields of an inode slot: the core, and what each fork holds inside the inode (`attr.` before those of the attr fork). */
import { AttrShortEntry, AttrShortHeader } from '../../formats/attribute.ts';
import { BmdrHeader } from '../../formats/btree-blocks.ts';
import { ShortDirEntry, ShortDirHeader4, ShortDirHeader8, shortDirInodeSize } from '../../formats/directory.ts';
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  INODE_FLAG2,
  InodeCore,
  MODE,
  maxRootRecords,
  S_IFMT,
} from '../../formats/inode.ts';
import type { FieldList } from './fields.ts';

/** @param list over one inode slot, whatever is in it. */
export function inodeFields(list: FieldList): void {
  list.struct(InodeCore);
  const { offsets } = InodeCore;
  list.bits('mode.type', 8 * offsets.mode, 4);
  list.bits('mode.permissions', 8 * offsets.mode + 4, 12);
  for (const [name, mask] of Object.entries(INODE_FLAG2)) {
    list.bits(`flags2.${name.toLowerCase()}`, 8 * offsets.flags2 + 63 - Math.log2(mask), 1);
  }
  const { view, length } = list;
  const core = InodeCore.at(view);
  if (core.mode === 0) return;
  const dataEnd = Math.min(length, InodeCore.size + dataForkBytes(view, 0, length));
  dataFork(list, core.mode & S_IFMT, core.format, dataEnd);
  const attrBytes = attrForkBytes(view, 0, length);
  if (attrBytes > 0) attrFork(list, core.aformat, attrForkOffset(view, 0), attrBytes);
}

function dataFork(list: FieldList, type: number, format: number, end: number): void {
  const start = InodeCore.size;
  switch (format) {
    case FORMAT.DEV:
      list.bytes('rdev', start, 4);
      return;
    case FORMAT.EXTENTS:
      list.extents(start, Math.min(dataExtentCount(list.view, 0), (end - start) >> 4), 'extents');
      return;
    case FORMAT.BTREE:
      treeRoot(list, start, end - start, '');
      return;
    case FORMAT.LOCAL:
      if (type === MODE.DIR) shortDirectory(list, start, end);
      else list.bytes('target', start, Math.min(InodeCore.at(list.view).size, end - start));
  }
}

function attrFork(list: FieldList, format: number, start: number, bytes: number): void {
  const fits = Math.min(start + bytes, list.length) - start;
  if (format === FORMAT.EXTENTS) {
    list.extents(start, Math.min(attrExtentCount(list.view, 0), fits >> 4), 'attr.extents');
  } else if (format === FORMAT.BTREE) treeRoot(list, start, fits, 'attr.');
  else if (format === FORMAT.LOCAL) shortAttributes(list, start, start + fits);
}

function treeRoot(list: FieldList, start: number, bytes: number, prefix: string): void {
  list.struct(BmdrHeader, start, `${prefix}root.`);
  const room = maxRootRecords(bytes);
  const count = Math.min(room, list.u16(start + BmdrHeader.offsets.numrecs));
  for (let i = 0; i < count; i++) {
    list.bytes(`${prefix}keys[${i}].fileBlock`, start + BmdrHeader.size + 8 * i, 8);
    list.bytes(`${prefix}pointers[${i}]`, start + BmdrHeader.size + 8 * (room + i), 8);
  }
}

function shortDirectory(list: FieldList, start: number, end: number): void {
  const fork = new DataView(list.view.buffer, list.view.byteOffset + start, end - start);
  if (fork.byteLength < ShortDirHeader8.size) return;
  const width = shortDirInodeSize(fork);
  const head = width === 4 ? ShortDirHeader4 : ShortDirHeader8;
  list.struct(head, start, 'dir.');
  let at = start + head.size;
  for (let i = 0; i < list.u8(start); i++) {
    const nameLength = list.u8(at);
    const name = at + ShortDirEntry.size;
    if (nameLength === 0 || name + nameLength + 1 + width > end) return;
    list.struct(ShortDirEntry, at, `entries[${i}].`);
    list.bytes(`entries[${i}].name`, name, nameLength);
    list.bytes(`entries[${i}].ftype`, name + nameLength, 1);
    list.bytes(`entries[${i}].inode`, name + nameLength + 1, width);
    at = name + nameLength + 1 + width;
  }
}

function shortAttributes(list: FieldList, start: number, end: number): void {
  if (start + AttrShortHeader.size > end) return;
  list.struct(AttrShortHeader, start, 'attr.');
  let at = start + AttrShortHeader.size;
  for (let i = 0; i < list.u8(start + AttrShortHeader.offsets.count); i++) {
    const name = at + AttrShortEntry.size;
    const nameLength = list.u8(at);
    const valueLength = list.u8(at + 1);
    if (name + nameLength + valueLength > end) return;
    list.struct(AttrShortEntry, at, `attr.entries[${i}].`);
    list.bytes(`attr.entries[${i}].name`, name, nameLength);
    list.bytes(`attr.entries[${i}].value`, name + nameLength, valueLength);
    at = name + nameLength + valueLength;
  }
}
