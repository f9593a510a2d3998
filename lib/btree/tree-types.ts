/**
 * What differs between the eight trees besides layout: the order of their records and keys.
 *
 * 1. A search key is up to five numbers a..e; its order is that of the tuple. Which fields they are:
 *    bnobt a=start · cntbt a=length b=start · inobt, finobt, refcountbt, csumbt a=start · bmbt a=file block ·
 *    rmapbt a=start b=ownerHi c=ownerLo d=offsetHi without the unwritten bit e=offsetLo.
 * 2. Key bytes in nodes are big-endian and, word by word, in the same order; so two keys can be compared as bytes.
 * 3. The searches are written out per tree: one call per block instead of one per comparison.
 */
import type { BlockType } from '../../formats/block-type.ts';
import { BTREES, type BtreeLayout, RMAP_BMBT_BLOCK, RMAP_UNWRITTEN } from '../../formats/btree-blocks.ts';
import { BTREE_BLOCK_TYPES } from '../../formats/btree-verify.ts';
import { extentFileBlock } from '../../formats/extent.ts';
import { getU64, setU64 } from '../../formats/struct.ts';

/** Five numbers a..e, unused ones 0. */
export type SearchKey = number[];

export interface TreeType {
  readonly layout: BtreeLayout;
  readonly blockType: BlockType;
  /** How many of `count` records from byte `base` on are <= the key. */
  searchRecords(
    view: DataView,
    base: number,
    count: number,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
  ): number;
  /** How many of `count` node entries from byte `base` on have a (low) key <= the key. */
  searchKeys(
    view: DataView,
    base: number,
    count: number,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
  ): number;
  /** Negative, 0 or positive: the record sorts before, at or after the key. */
  compareRecord(view: DataView, offset: number, a: number, b: number, c: number, d: number, e: number): number;
  /** The same for a key in a node. */
  compareKey(view: DataView, offset: number, a: number, b: number, c: number, d: number, e: number): number;
  /** The search key of a record. */
  readKey(view: DataView, offset: number, into: SearchKey): void;
  /** The key of a record as a node stores it. */
  writeKey(view: DataView, offset: number, keyView: DataView, keyOffset: number): void;
  /** Trees with high keys: the greatest key a record reaches to. Others never call it. */
  writeHighKey(view: DataView, offset: number, keyView: DataView, keyOffset: number): void;
}

const noHighKey = (): void => {};

/** Entries `stride` bytes apart whose key is the u32 at byte `base`. */
function searchWord(view: DataView, base: number, stride: number, count: number, a: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (view.getUint32(base + middle * stride) <= a) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** bnobt, inobt, finobt, refcountbt, csumbt: the key is the first word; in the bnobt the length rides along. */
function wordTree(name: 'bnobt' | 'inobt' | 'finobt' | 'refcountbt' | 'csumbt'): TreeType {
  const layout = BTREES[name];
  const { recordSize, keySize } = layout;
  const nodeStride = keySize;
  return {
    layout,
    blockType: BTREE_BLOCK_TYPES[name],
    searchRecords: (view, base, count, a) => searchWord(view, base, recordSize, count, a),
    searchKeys: (view, base, count, a) => searchWord(view, base, nodeStride, count, a),
    compareRecord: (view, offset, a) => view.getUint32(offset) - a,
    compareKey: (view, offset, a) => view.getUint32(offset) - a,
    readKey(view, offset, into) {
      into[0] = view.getUint32(offset);
    },
    writeKey(view, offset, keyView, keyOffset) {
      for (let i = 0; i < keySize; i += 4) keyView.setUint32(keyOffset + i, view.getUint32(offset + i));
    },
    writeHighKey: noHighKey,
  };
}

/** Record and key are {start, length}, the order is (length, start). */
function compareBySize(view: DataView, offset: number, a: number, b: number): number {
  return view.getUint32(offset + 4) - a || view.getUint32(offset) - b;
}

function searchBySize(view: DataView, base: number, count: number, a: number, b: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = base + middle * 8;
    const length = view.getUint32(at + 4);
    if (length < a || (length === a && view.getUint32(at) <= b)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const cntbt: TreeType = {
  layout: BTREES.cntbt,
  blockType: BTREE_BLOCK_TYPES.cntbt,
  searchRecords: searchBySize,
  searchKeys: searchBySize,
  compareRecord: compareBySize,
  compareKey: compareBySize,
  readKey(view, offset, into) {
    into[0] = view.getUint32(offset + 4);
    into[1] = view.getUint32(offset);
  },
  writeKey(view, offset, keyView, keyOffset) {
    keyView.setUint32(keyOffset, view.getUint32(offset));
    keyView.setUint32(keyOffset + 4, view.getUint32(offset + 4));
  },
  writeHighKey: noHighKey,
};

/** Bytes from the start block of a record, and of a key, to its owner. */
const RMAP_RECORD_OWNER = 8;
const RMAP_KEY_OWNER = 4;
const RMAP_KEY_BYTES = 20;
const TWO32 = 2 ** 32;

function compareRmap(
  view: DataView,
  offset: number,
  ownerAt: number,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
): number {
  const start = view.getUint32(offset) - a;
  if (start !== 0) return start;
  const at = offset + ownerAt;
  return (
    view.getUint32(at) - b ||
    view.getUint32(at + 4) - c ||
    ((view.getUint32(at + 8) & ~RMAP_UNWRITTEN) >>> 0) - d ||
    view.getUint32(at + 12) - e
  );
}

function searchRmap(
  view: DataView,
  base: number,
  stride: number,
  ownerAt: number,
  count: number,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareRmap(view, base + middle * stride, ownerAt, a, b, c, d, e) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

const rmapbt: TreeType = {
  layout: BTREES.rmapbt,
  blockType: BTREE_BLOCK_TYPES.rmapbt,
  searchRecords: (view, base, count, a, b, c, d, e) =>
    searchRmap(view, base, BTREES.rmapbt.recordSize, RMAP_RECORD_OWNER, count, a, b, c, d, e),
  searchKeys: (view, base, count, a, b, c, d, e) =>
    searchRmap(view, base, 2 * RMAP_KEY_BYTES, RMAP_KEY_OWNER, count, a, b, c, d, e),
  compareRecord: (view, offset, a, b, c, d, e) => compareRmap(view, offset, RMAP_RECORD_OWNER, a, b, c, d, e),
  compareKey: (view, offset, a, b, c, d, e) => compareRmap(view, offset, RMAP_KEY_OWNER, a, b, c, d, e),
  readKey(view, offset, into) {
    into[0] = view.getUint32(offset);
    into[1] = view.getUint32(offset + 8);
    into[2] = view.getUint32(offset + 12);
    into[3] = (view.getUint32(offset + 16) & ~RMAP_UNWRITTEN) >>> 0;
    into[4] = view.getUint32(offset + 20);
  },
  writeKey(view, offset, keyView, keyOffset) {
    keyView.setUint32(keyOffset, view.getUint32(offset));
    keyView.setUint32(keyOffset + 4, view.getUint32(offset + 8));
    keyView.setUint32(keyOffset + 8, view.getUint32(offset + 12));
    keyView.setUint32(keyOffset + 12, view.getUint32(offset + 16) & ~RMAP_UNWRITTEN);
    keyView.setUint32(keyOffset + 16, view.getUint32(offset + 20));
  },
  // The last block of the extent; for fork data its place in the file too. Special owners (sign bit of the owner word)
  // and bmbt blocks have no place in the file that could move on.
  writeHighKey(view, offset, keyView, keyOffset) {
    const add = view.getUint32(offset + 4) - 1;
    const ownerHi = view.getUint32(offset + 8);
    let hi = (view.getUint32(offset + 16) & ~RMAP_UNWRITTEN) >>> 0;
    let lo = view.getUint32(offset + 20);
    if (ownerHi < 0x80000000 && (hi & RMAP_BMBT_BLOCK) === 0) {
      lo += add;
      if (lo >= TWO32) hi++;
    }
    keyView.setUint32(keyOffset, view.getUint32(offset) + add);
    keyView.setUint32(keyOffset + 4, ownerHi);
    keyView.setUint32(keyOffset + 8, view.getUint32(offset + 12));
    keyView.setUint32(keyOffset + 12, hi);
    keyView.setUint32(keyOffset + 16, lo);
  },
};

const bmbt: TreeType = {
  layout: BTREES.bmbt,
  blockType: BTREE_BLOCK_TYPES.bmbt,
  searchRecords(view, base, count, a) {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (extentFileBlock(view, base + middle * 16) <= a) low = middle + 1;
      else high = middle;
    }
    return low;
  },
  searchKeys(view, base, count, a) {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (getU64(view, base + middle * 8) <= a) low = middle + 1;
      else high = middle;
    }
    return low;
  },
  compareRecord: (view, offset, a) => extentFileBlock(view, offset) - a,
  compareKey: (view, offset, a) => getU64(view, offset) - a,
  readKey(view, offset, into) {
    into[0] = extentFileBlock(view, offset);
  },
  writeKey: (view, offset, keyView, keyOffset) => setU64(keyView, keyOffset, extentFileBlock(view, offset)),
  writeHighKey: noHighKey,
};

/** All eight trees by name. */
export const TREE_TYPES: { readonly [N in BtreeLayout['name']]: TreeType } = {
  bnobt: wordTree('bnobt'),
  cntbt,
  inobt: wordTree('inobt'),
  finobt: wordTree('finobt'),
  rmapbt,
  refcountbt: wordTree('refcountbt'),
  csumbt: wordTree('csumbt'),
  bmbt,
};

/** Order of two node keys of `bytes` bytes in a tree with high keys (invariant 2): negative, 0 or positive. */
export function compareKeyBytes(a: DataView, aOffset: number, b: DataView, bOffset: number, bytes: number): number {
  for (let i = 0; i < bytes; i += 4) {
    const difference = a.getUint32(aOffset + i) - b.getUint32(bOffset + i);
    if (difference !== 0) return difference;
  }
  return 0;
}
