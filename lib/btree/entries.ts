/**
 * Moving entries inside and between the blocks of a path, and keeping the keys above them true.
 *
 * 1. A node's key is the first key of its child, exactly; its high key (rmap) the greatest high key below. Whoever
 *    changes a block's first entry, or its greatest high key, calls the functions here before anything else reads them.
 * 2. Blocks are announced (`Path.change`) right before their bytes change, with no fetch in between.
 */
import type { Buffer } from '../buffer/buffer.ts';
import type { Transaction } from '../buffer/transaction.ts';
import type { Path } from './path.ts';
import { copyBytes, type Tree } from './tree.ts';
import { compareKeyBytes } from './tree-types.ts';

/** Room for one key entry. */
const ENTRY = new DataView(new ArrayBuffer(64));

/** Copy `count` entries between two blocks of the same level, or inside one. */
export function copyEntries(
  tree: Tree,
  level: number,
  from: Uint8Array,
  fromSlot: number,
  to: Uint8Array,
  toSlot: number,
  count: number,
): void {
  if (level === 0) {
    copyRun(from, tree.headerSize, fromSlot, to, tree.headerSize, toSlot, count, tree.recordSize);
  } else {
    copyRun(from, tree.headerSize, fromSlot, to, tree.headerSize, toSlot, count, tree.entrySize);
    copyRun(from, tree.pointersAt, fromSlot, to, tree.pointersAt, toSlot, count, tree.pointerSize);
  }
}

/** Copy `count` items of `size` bytes from an array of them at byte `fromBase` to one at byte `toBase`. */
export function copyRun(
  from: Uint8Array,
  fromBase: number,
  fromSlot: number,
  to: Uint8Array,
  toBase: number,
  toSlot: number,
  count: number,
  size: number,
): void {
  if (count <= 0) return;
  const start = fromBase + fromSlot * size;
  const target = toBase + toSlot * size;
  if (from === to) to.copyWithin(target, start, start + count * size);
  else to.set(from.subarray(start, start + count * size), target);
}

/** Set the count of the block or inode root at a level; announced before. */
export function setCount(path: Path, level: number, count: number): void {
  path.viewAt(level).setUint16(path.isInodeRoot(level) ? 2 : 6, count);
}

/** Put an entry for a child block into the node at `level`, which has room. Does not touch the levels above. */
export function insertEntry(
  path: Path,
  tx: Transaction,
  level: number,
  slot: number,
  child: DataView,
  pointer: number,
): void {
  const { tree } = path;
  const view = path.change(tx, level);
  const bytes = path.bytes(level);
  const count = path.count(level);
  const keys = path.keyAt(level, 0);
  const pointers = path.pointerAt(level, 0);
  copyRun(bytes, keys, slot, bytes, keys, slot + 1, count - slot, tree.entrySize);
  copyRun(bytes, pointers, slot, bytes, pointers, slot + 1, count - slot, tree.pointerSize);
  tree.writeEntry(child, level - 1, view, path.keyAt(level, slot));
  tree.writePointer(view, path.pointerAt(level, slot), pointer);
  setCount(path, level, count + 1);
}

/** Take an entry out of the node at `level`. Does not touch the levels above. */
export function removeEntry(path: Path, tx: Transaction, level: number, slot: number): void {
  const { tree } = path;
  path.change(tx, level);
  const bytes = path.bytes(level);
  const count = path.count(level);
  const keys = path.keyAt(level, 0);
  const pointers = path.pointerAt(level, 0);
  copyRun(bytes, keys, slot + 1, bytes, keys, slot, count - slot - 1, tree.entrySize);
  copyRun(bytes, pointers, slot + 1, bytes, pointers, slot, count - slot - 1, tree.pointerSize);
  setCount(path, level, count - 1);
}

/** Rewrite the entry of the child in slot `slot` of the node at `level` from the child's bytes. */
export function refreshEntry(path: Path, tx: Transaction, level: number, slot: number, child: DataView): void {
  path.tree.writeEntry(child, level - 1, path.change(tx, level), path.keyAt(level, slot));
}

/** The first entry of the block at `level` changed: mend the keys above it, up to the first node where it is not first. */
export function updateLowKeys(path: Path, tx: Transaction, level: number): void {
  const { tree } = path;
  for (; level < path.top; level++) {
    const child = path.viewAt(level);
    if (path.count(level) === 0) return;
    const slot = path.slots[level + 1]!;
    tree.writeLowKey(child, level, ENTRY, 0);
    const at = path.keyAt(level + 1, slot);
    if (compareKeyBytes(ENTRY, 0, path.viewAt(level + 1), at, tree.keySize) !== 0) {
      copyBytes(ENTRY, 0, path.change(tx, level + 1), at, tree.keySize);
    }
    if (slot !== 0) return;
  }
}

/** The block at `level` now reaches at least to this high key. */
export function raiseHighKeys(path: Path, tx: Transaction, level: number, key: DataView, keyOffset: number): void {
  const { keySize } = path.tree;
  for (; level < path.top; level++) {
    const at = path.keyAt(level + 1, path.slots[level + 1]!) + keySize;
    if (compareKeyBytes(key, keyOffset, path.viewAt(level + 1), at, keySize) <= 0) return;
    copyBytes(key, keyOffset, path.change(tx, level + 1), at, keySize);
  }
}

/** The block at `level` may reach less far than before: work its high keys out anew, up to where nothing changes. */
export function recomputeHighKeys(path: Path, tx: Transaction, level: number): void {
  const { tree } = path;
  for (; level < path.top; level++) {
    if (path.count(level) === 0) return;
    tree.writeHighKey(path.viewAt(level), level, ENTRY, 0);
    const at = path.keyAt(level + 1, path.slots[level + 1]!) + tree.keySize;
    if (compareKeyBytes(ENTRY, 0, path.viewAt(level + 1), at, tree.keySize) === 0) return;
    copyBytes(ENTRY, 0, path.change(tx, level + 1), at, tree.keySize);
  }
}

/** The neighbour of the path's block at `level`, `direction` slots away under the same parent, or undefined. */
export function sibling(path: Path, tx: Transaction, level: number, direction: 1 | -1): Buffer | undefined {
  const slot = path.slots[level + 1]! + direction;
  if (slot < 0 || slot >= path.count(level + 1)) return undefined;
  return path.tree.readBlock(tx, path.child(level + 1, slot), level);
}

/**
 * Move `count` entries between the path's block at `level` and its neighbour on that side (`give`: to it, else from it),
 * and mend both entries in the parent. The path keeps naming the block it named; its slot at `level` is the caller's.
 */
export function shiftEntries(
  path: Path,
  tx: Transaction,
  level: number,
  other: Buffer,
  direction: 1 | -1,
  count: number,
  give: boolean,
): void {
  const { tree } = path;
  const own = path.attached(tx, level);
  tx.change(own);
  tx.change(other);
  const ownCount = own.view.getUint16(6);
  const otherCount = other.view.getUint16(6);
  const from = give ? own : other;
  const to = give ? other : own;
  const fromCount = give ? ownCount : otherCount;
  const toCount = give ? otherCount : ownCount;
  // Entries leave `from` at the end that faces `to`.
  const toTheRight = give === (direction === 1);
  if (toTheRight) {
    copyEntries(tree, level, to.data, 0, to.data, count, toCount);
    copyEntries(tree, level, from.data, fromCount - count, to.data, 0, count);
  } else {
    copyEntries(tree, level, from.data, 0, to.data, toCount, count);
    copyEntries(tree, level, from.data, count, from.data, 0, fromCount - count);
  }
  from.view.setUint16(6, fromCount - count);
  to.view.setUint16(6, toCount + count);
  const slot = path.slots[level + 1]!;
  refreshEntry(path, tx, level + 1, slot, own.view);
  refreshEntry(path, tx, level + 1, slot + direction, other.view);
}
