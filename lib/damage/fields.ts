/**
 * The fields of every structure, from the field tables of formats/: the table's own fields, then those of the records that
 * follow. Counts and offsets are bounded by the bytes, never believed, so that what is damaged can be damaged further.
 */
import { Agf, Agfl, Agi } from '../../formats/ag-headers.ts';
import {
  ATTR,
  AttrLeafEntry,
  AttrLeafHeader,
  AttrLocal,
  AttrRemote,
  AttrRemoteHeader,
} from '../../formats/attribute.ts';
import {
  AllocRecord,
  BTREES,
  type BtreeLayout,
  CsumRecord,
  InobtRecord,
  LongHeader,
  maxLeafRecords,
  maxNodeRecords,
  RefcountRecord,
  RmapRecord,
  ShortHeader,
} from '../../formats/btree-blocks.ts';
import { DaNode, DaNodeEntry } from '../../formats/da.ts';
import {
  DIR_FREE_TAG,
  DirBlockTail,
  DirDataEntry,
  DirDataHeader,
  DirDataUnused,
  DirFree,
  DirLeaf,
  DirLeafEntry,
  DirLeafTail,
  dirEntrySize,
} from '../../formats/directory.ts';
import { LOG_BB, LogOpHeader, LogRecordHeader } from '../../formats/log.ts';
import type { AnyStruct } from '../../formats/registry.ts';
import { Superblock } from '../../formats/superblock.ts';
import { SymlinkHeader } from '../../formats/symlink.ts';
import type { BitField } from './bits.ts';

/** Collects fields; everything that does not lie wholly inside the bytes is left out. */
export class FieldList {
  readonly fields: BitField[] = [];
  readonly view: DataView;

  constructor(view: DataView) {
    this.view = view;
  }

  get length(): number {
    return this.view.byteLength;
  }

  /** A field of whole bytes. */
  bytes(name: string, at: number, size: number, littleEndian = false): void {
    if (size > 0) this.bits(name, 8 * at, 8 * size, littleEndian);
  }

  bits(name: string, bit: number, bits: number, littleEndian = false): void {
    if (bit >= 0 && bit + bits <= 8 * this.length) this.fields.push({ name, bit, bits, littleEndian });
  }

  /** All fields of a table placed at a byte; names get the prefix. Padding is a field too. */
  struct(struct: AnyStruct, at = 0, prefix = ''): void {
    for (const field of struct.fields) {
      if (field.kind === 'u32s') {
        for (let i = 0; i < field.count; i++) {
          this.bytes(`${prefix}${field.name}[${i}]`, at + field.offset + 4 * i, 4);
        }
      } else this.bytes(`${prefix}${field.name}`, at + field.offset, field.size, field.kind.endsWith('le'));
    }
  }

  /** A structure repeated `count` times. Returns the byte behind the last. */
  structs(struct: AnyStruct, at: number, count: number, name: string): number {
    const fits = Math.max(0, Math.min(count, Math.floor((this.length - at) / struct.size)));
    for (let i = 0; i < fits; i++) this.struct(struct, at + i * struct.size, `${name}[${i}].`);
    return at + fits * struct.size;
  }

  /** Packed extents. */
  extents(at: number, count: number, name: string): void {
    for (let i = 0; i < count && at + 16 * (i + 1) <= this.length; i++) {
      const bit = 8 * (at + 16 * i);
      this.bits(`${name}[${i}].unwritten`, bit, 1);
      this.bits(`${name}[${i}].fileBlock`, bit + 1, 54);
      this.bits(`${name}[${i}].startBlock`, bit + 55, 52);
      this.bits(`${name}[${i}].blockCount`, bit + 107, 21);
    }
  }

  u16(at: number): number {
    return at + 2 <= this.length ? this.view.getUint16(at) : 0;
  }
  u8(at: number): number {
    return at < this.length ? this.view.getUint8(at) : 0;
  }
}

export function superblockFields(list: FieldList): void {
  list.struct(Superblock);
}
export function agfFields(list: FieldList): void {
  list.struct(Agf);
}
export function agiFields(list: FieldList): void {
  list.struct(Agi);
}
export function agflFields(list: FieldList): void {
  list.struct(Agfl);
  for (let at = Agfl.size, i = 0; at + 4 <= list.length; at += 4, i++) list.bytes(`slots[${i}]`, at, 4);
}

const LEAF_RECORDS: Partial<Record<BtreeLayout['name'], AnyStruct>> = {
  bnobt: AllocRecord,
  cntbt: AllocRecord,
  inobt: InobtRecord,
  finobt: InobtRecord,
  rmapbt: RmapRecord,
  refcountbt: RefcountRecord,
  csumbt: CsumRecord,
};

/** A block of any tree: its header, then `recs[i].*` of a leaf, or `keys[i].*`, `highKeys[i].*` and `pointers[i]`. */
export function treeFields(list: FieldList, layout: BtreeLayout): void {
  const { headerSize, keySize, pointerSize, hasHighKeys } = layout;
  list.struct(layout.long ? LongHeader : ShortHeader);
  const count = list.u16(6);
  if (list.u16(4) === 0) {
    const most = Math.min(count, maxLeafRecords(layout, list.length));
    const struct = LEAF_RECORDS[layout.name];
    if (!struct) {
      list.extents(headerSize, most, 'recs');
      return;
    }
    list.structs(struct, headerSize, most, 'recs');
    for (let i = 0; i < most; i++) {
      const bit = 8 * (headerSize + i * struct.size);
      if (struct === RmapRecord) offsetWord(list, `recs[${i}].`, bit + 128);
      if (struct === RefcountRecord) list.bits(`recs[${i}].staging`, bit, 1);
    }
    return;
  }
  const room = maxNodeRecords(layout, list.length);
  const stride = hasHighKeys ? 2 * keySize : keySize;
  for (let i = 0; i < Math.min(count, room); i++) {
    keyFields(list, layout, headerSize + i * stride, `keys[${i}].`);
    if (hasHighKeys) keyFields(list, layout, headerSize + i * stride + keySize, `highKeys[${i}].`);
    list.bytes(`pointers[${i}]`, headerSize + room * stride + i * pointerSize, pointerSize);
  }
}

/** The parts of the offset word of a reverse-map record. */
function offsetWord(list: FieldList, prefix: string, bit: number): void {
  list.bits(`${prefix}attrFork`, bit, 1);
  list.bits(`${prefix}bmbtBlock`, bit + 1, 1);
  list.bits(`${prefix}unwritten`, bit + 2, 1);
  list.bits(`${prefix}fileBlock`, bit + 10, 54);
}

function keyFields(list: FieldList, layout: BtreeLayout, at: number, prefix: string): void {
  if (layout === BTREES.bmbt) {
    list.bytes(`${prefix}fileBlock`, at, 8);
    return;
  }
  list.bytes(`${prefix}${layout.name.includes('inobt') ? 'startInode' : 'startBlock'}`, at, 4);
  if (layout.keySize === 8) list.bytes(`${prefix}blockCount`, at + 4, 4);
  if (layout.keySize === 20) {
    list.bytes(`${prefix}owner`, at + 4, 8);
    list.bytes(`${prefix}offset`, at + 12, 8);
  }
}

/** A directory block with entries; the one of block form has the hash index too. */
export function dirDataFields(list: FieldList, isBlockForm: boolean): void {
  list.struct(DirDataHeader);
  let end = list.length;
  if (isBlockForm) {
    const tail = end - DirBlockTail.size;
    const index = tail - DirLeafEntry.size * DirBlockTail.at(list.view, tail).count;
    if (index >= DirDataHeader.size) {
      list.structs(DirLeafEntry, index, (tail - index) / DirLeafEntry.size, 'index');
      end = index;
    }
    list.struct(DirBlockTail, tail, 'tail.');
  }
  let entries = 0;
  let unused = 0;
  for (let at = DirDataHeader.size; at + 8 <= end; ) {
    if (list.u16(at) === DIR_FREE_TAG) {
      const length = list.u16(at + 2);
      const name = `unused[${unused++}].`;
      list.struct(DirDataUnused, at, name);
      if (length < 8 || at + length > end) break;
      list.bytes(`${name}tag`, at + length - 2, 2);
      at += length;
      continue;
    }
    const length = list.u8(at + 8);
    const next = at + dirEntrySize(length);
    if (length === 0 || next > end) break;
    const name = `entries[${entries++}].`;
    list.struct(DirDataEntry, at, name);
    list.bytes(`${name}name`, at + 9, length);
    list.bytes(`${name}ftype`, at + 9 + length, 1);
    list.bytes(`${name}tag`, next - 2, 2);
    at = next;
  }
}

export function dirLeafFields(list: FieldList, isOnly: boolean): void {
  list.struct(DirLeaf);
  list.structs(DirLeafEntry, DirLeaf.size, list.u16(DirLeaf.offsets.count), 'entries');
  if (!isOnly) return;
  const tail = list.length - DirLeafTail.size;
  list.struct(DirLeafTail, tail, 'tail.');
  const { bestcount } = DirLeafTail.at(list.view, tail);
  for (let i = 0; i < bestcount; i++) {
    const at = tail - 2 * (bestcount - i);
    if (at >= DirLeaf.size) list.bytes(`bests[${i}]`, at, 2);
  }
}

export function dirFreeFields(list: FieldList): void {
  list.struct(DirFree);
  const { nvalid } = DirFree.at(list.view);
  for (let i = 0, at = DirFree.size; i < nvalid && at + 2 <= list.length; i++, at += 2)
    list.bytes(`bests[${i}]`, at, 2);
}

export function daNodeFields(list: FieldList): void {
  list.struct(DaNode);
  list.structs(DaNodeEntry, DaNode.size, list.u16(DaNode.offsets.count), 'children');
}

/** Entries, then what each of them points at in the heap: `records[i].*`. */
export function attrLeafFields(list: FieldList): void {
  list.struct(AttrLeafHeader);
  const count = list.u16(AttrLeafHeader.offsets.count);
  const end = list.structs(AttrLeafEntry, AttrLeafHeader.size, count, 'entries');
  for (let i = 0, entry = AttrLeafHeader.size; entry < end; i++, entry += AttrLeafEntry.size) {
    const at = list.u16(entry + 4);
    const isLocal = (list.u8(entry + 6) & ATTR.LOCAL) !== 0;
    const head = isLocal ? AttrLocal : AttrRemote;
    const name = `records[${i}].`;
    list.struct(head, at, name);
    const nameLength = list.u8(at + head.size - 1);
    list.bytes(`${name}name`, at + head.size, nameLength);
    if (isLocal) list.bytes(`${name}value`, at + head.size + nameLength, list.u16(at));
  }
}

export function attrValueFields(list: FieldList): void {
  list.struct(AttrRemoteHeader);
  const { valueBytes } = AttrRemoteHeader.at(list.view);
  list.bytes('value', AttrRemoteHeader.size, Math.min(valueBytes, list.length - AttrRemoteHeader.size));
}

export function symlinkFields(list: FieldList): void {
  list.struct(SymlinkHeader);
  const { targetBytes } = SymlinkHeader.at(list.view);
  list.bytes('target', SymlinkHeader.size, Math.min(targetBytes, list.length - SymlinkHeader.size));
}

/** A log record: header, and the op headers at the start of its body (cycle words stand where they stand). */
export function logRecordFields(list: FieldList, headers: number): void {
  list.struct(LogRecordHeader);
  const { numLogops } = LogRecordHeader.at(list.view);
  let at = headers * LOG_BB;
  for (let i = 0; i < Math.min(numLogops, 64) && at + LogOpHeader.size <= list.length; i++) {
    list.struct(LogOpHeader, at, `ops[${i}].`);
    at += LogOpHeader.size + list.view.getUint32(at + LogOpHeader.offsets.len);
  }
}
