/**
 * The records inside a block, each as a row of plain values. Counts and offsets are bounded by the block, never believed,
 * so that a damaged block shows what it can.
 */
import { Agfl } from '../../formats/ag-headers.ts';
import { AGFL_TYPE } from '../../formats/ag-verify.ts';
import { ATTR, ATTR_LEAF, AttrLeafEntry, AttrLeafHeader, AttrLocal, AttrRemote } from '../../formats/attribute.ts';
import type { BlockType } from '../../formats/block-type.ts';
import {
  AllocRecord,
  BTREES,
  type BtreeLayout,
  CsumRecord,
  InobtRecord,
  maxLeafRecords,
  maxNodeRecords,
  RefcountRecord,
  RmapRecord,
} from '../../formats/btree-blocks.ts';
import { BTREE_BLOCK_TYPES } from '../../formats/btree-verify.ts';
import { DA_NODE, DaNode, DaNodeEntry } from '../../formats/da.ts';
import {
  DIR_BLOCK,
  DIR_DATA,
  DIR_FREE,
  DIR_FREE_TAG,
  DIR_LEAF1,
  DIR_LEAFN,
  DirBlockTail,
  DirFree,
  DirLeaf,
  DirLeafEntry,
  dirEntrySize,
} from '../../formats/directory.ts';
import { readExtent } from '../../formats/extent.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { INODE_MAGIC, InodeCore } from '../../formats/inode.ts';
import { INODE_CLUSTER } from '../../formats/inode-verify.ts';
import type { AnyStruct } from '../../formats/registry.ts';
import { getU64, NULL32 } from '../../formats/struct.ts';
import { nameJson } from '../volume/listing.ts';

/** Names to plain values. */
export type Row = Record<string, unknown>;

export interface List {
  readonly title: string;
  readonly rows: readonly Row[];
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

/** What a block of this type holds besides its header. @param byte where it is on the device. */
export function listsOf(type: BlockType, view: DataView, geometry: Geometry, byte: number): List[] {
  const tree = Object.values(BTREES).find((layout) => BTREE_BLOCK_TYPES[layout.name] === type);
  if (tree) return treeLists(tree, view, geometry);
  switch (type) {
    case AGFL_TYPE:
      return [{ title: 'slots', rows: slots(view, geometry) }];
    case INODE_CLUSTER:
      return [{ title: 'inodes', rows: inodes(view, geometry, byte) }];
    case DIR_BLOCK:
    case DIR_DATA:
      return directoryData(view, type === DIR_BLOCK);
    case DIR_LEAF1:
    case DIR_LEAFN:
      return [{ title: 'entries', rows: hashEntries(view, DirLeaf.size, DirLeaf.offsets.count) }];
    case DIR_FREE:
      return [{ title: 'bests', rows: bests(view) }];
    case DA_NODE:
      return [{ title: 'children', rows: children(view) }];
    case ATTR_LEAF:
      return [{ title: 'entries', rows: attributeEntries(view) }];
    default:
      return [];
  }
}

/** Rows of a repeated structure; no more than fit into the block. */
function repeated(struct: AnyStruct, view: DataView, start: number, count: number): Row[] {
  const fits = Math.max(0, Math.floor((view.byteLength - start) / struct.size));
  return Array.from({ length: Math.min(count, fits) }, (_, i) => struct.toObject(view, start + i * struct.size));
}

/** Records of a leaf; keys and pointers of a node. */
function treeLists(layout: BtreeLayout, view: DataView, geometry: Geometry): List[] {
  const count = view.getUint16(6);
  const { headerSize, keySize, pointerSize, hasHighKeys } = layout;
  if (view.getUint16(4) === 0) {
    const most = Math.min(count, maxLeafRecords(layout, geometry.blockSize));
    return [{ title: 'records', rows: leafRecords(layout, view, headerSize, most) }];
  }
  const room = maxNodeRecords(layout, geometry.blockSize);
  const stride = hasHighKeys ? 2 * keySize : keySize;
  const rows: Row[] = [];
  for (let i = 0; i < Math.min(count, room); i++) {
    const key = headerSize + i * stride;
    const pointer = headerSize + room * stride + i * pointerSize;
    rows.push({
      ...keyRow(layout, view, key, ''),
      ...(hasHighKeys ? keyRow(layout, view, key + keySize, 'high') : {}),
      pointer: pointerSize === 8 ? getU64(view, pointer) : view.getUint32(pointer),
    });
  }
  return [{ title: 'children', rows }];
}

/** Records of a leaf, or of an inline extent list. */
export function leafRecords(layout: BtreeLayout, view: DataView, start: number, count: number): Row[] {
  const struct = LEAF_RECORDS[layout.name];
  if (struct) return repeated(struct, view, start, count);
  const fits = Math.max(0, Math.floor((view.byteLength - start) / layout.recordSize));
  return Array.from({ length: Math.min(count, fits) }, (_, i) => ({
    ...readExtent(view, start + i * layout.recordSize),
  }));
}

function keyRow(layout: BtreeLayout, view: DataView, at: number, prefix: string): Row {
  const name = (text: string): string => (prefix === '' ? text : prefix + text[0]!.toUpperCase() + text.slice(1));
  if (layout.name === 'bmbt') return { [name('fileBlock')]: getU64(view, at) };
  const row: Row = { [name(layout.name.includes('inobt') ? 'startInode' : 'startBlock')]: view.getUint32(at) };
  if (layout.keySize === 8) row[name('blockCount')] = view.getUint32(at + 4);
  if (layout.keySize === 20) {
    row[name('owner')] = view.getBigUint64(at + 4);
    row[name('offset')] = view.getBigUint64(at + 12);
  }
  return row;
}

function slots(view: DataView, geometry: Geometry): Row[] {
  return Array.from({ length: geometry.agflSlots }, (_, slot) => {
    const agBlock = view.getUint32(Agfl.size + 4 * slot);
    return { slot, agBlock: agBlock === NULL32 ? null : agBlock };
  });
}

function inodes(view: DataView, geometry: Geometry, byte: number): Row[] {
  const { inodeSize, blockSize, agBlocks, inodesPerBlock } = geometry;
  const block = Math.floor(byte / blockSize);
  const first = geometry.inodeNumber(Math.floor(block / agBlocks), (block % agBlocks) * inodesPerBlock);
  const core = InodeCore.view();
  const rows: Row[] = [];
  for (let at = 0; at + inodeSize <= view.byteLength; at += inodeSize) {
    core.at(view, at);
    if (core.magic !== INODE_MAGIC) continue;
    rows.push({
      inode: first + at / inodeSize,
      mode: core.mode,
      format: core.format,
      links: core.nlink,
      size: core.size,
    });
  }
  return rows;
}

/** Entries and unused regions; in block form the hash index at the end too. */
function directoryData(view: DataView, isBlockForm: boolean): List[] {
  const lists: List[] = [];
  let end = view.byteLength;
  if (isBlockForm) {
    const tail = DirBlockTail.at(view, end - DirBlockTail.size);
    const index = end - DirBlockTail.size - 8 * tail.count;
    if (index >= 64) {
      lists.push({ title: 'index', rows: repeated(DirLeafEntry, view, index, tail.count) });
      end = index;
    }
  }
  const rows: Row[] = [];
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  for (let at = 64; at + 8 <= end; ) {
    if (view.getUint16(at) === DIR_FREE_TAG) {
      const length = view.getUint16(at + 2);
      rows.push({ offset: at, unused: length });
      if (length === 0) break;
      at += length;
      continue;
    }
    if (at + 12 > end) break;
    const length = view.getUint8(at + 8);
    const next = at + dirEntrySize(length);
    if (next > end) break;
    const name = bytes.subarray(at + 9, at + 9 + length);
    rows.push({ offset: at, inode: getU64(view, at), ftype: view.getUint8(at + 9 + length), ...nameJson(name) });
    at = next;
  }
  return [{ title: 'entries', rows }, ...lists];
}

function hashEntries(view: DataView, start: number, countAt: number): Row[] {
  return repeated(DirLeafEntry, view, start, view.getUint16(countAt));
}

function bests(view: DataView): Row[] {
  const { firstdb, nvalid } = DirFree.at(view);
  const fits = Math.floor((view.byteLength - DirFree.size) / 2);
  return Array.from({ length: Math.min(nvalid, fits) }, (_, i) => ({
    dataBlock: firstdb + i,
    best: view.getUint16(DirFree.size + 2 * i),
  }));
}

function children(view: DataView): Row[] {
  return repeated(DaNodeEntry, view, DaNode.size, view.getUint16(DaNode.offsets.count));
}

function attributeEntries(view: DataView): Row[] {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  return repeated(AttrLeafEntry, view, AttrLeafHeader.size, view.getUint16(AttrLeafHeader.offsets.count)).map((row) => {
    const at = Number(row.nameidx);
    const isLocal = (Number(row.flags) & ATTR.LOCAL) !== 0;
    const head = isLocal ? AttrLocal.size : AttrRemote.size;
    if (at + head > bytes.length) return row;
    const length = view.getUint8(at + head - 1);
    const name = nameJson(bytes.subarray(at + head, at + head + length));
    const value = isLocal
      ? { valueLength: view.getUint16(at) }
      : { valueLength: view.getUint32(at + 4), valueBlock: view.getUint32(at) };
    return { ...row, ...name, ...value };
  });
}
