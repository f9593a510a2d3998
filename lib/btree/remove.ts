/**
 * Removing records.
 *
 * A block that falls below half takes entries from a neighbour under the same parent if that one can spare any, and
 * otherwise the two become one:
 *
 *     [a .] [c d e .]  ->  [a c .] [d e . .]     borrow (half of what the neighbour has more)
 *     [a .] [c d . .]  ->  [a c d .]             merge, always into the left one; its parent loses an entry and is next
 *
 * 1. A block without a neighbour under its parent keeps too few entries: legal right under an inode root, elsewhere
 *    only in trees others made. Should it become empty there, it goes altogether.
 * 2. A root node with a single child gives way to it: a root block is freed; an inode root takes the child's entries
 *    when they fit. An inode root over a single leaf stays: the fork decides when to become an extent list.
 */
import type { Transaction } from '../buffer/transaction.ts';
import { internal } from '../errors.ts';
import {
  copyEntries,
  copyRun,
  recomputeHighKeys,
  refreshEntry,
  removeEntry,
  setCount,
  shiftEntries,
  sibling,
  updateLowKeys,
} from './entries.ts';
import type { Path } from './path.ts';
import { ROOT_KEYS_AT } from './tree.ts';
import { compareKeyBytes } from './tree-types.ts';

/** High key of the record that goes. */
const HIGH = new DataView(new ArrayBuffer(32));

/**
 * Remove the current record, and with `run` those that follow it in its leaf, so many in all; the path ends on the one that followed,
 * or on none.
 */
export function removeRecord(path: Path, tx: Transaction, run = 1): void {
  path.requireRecord();
  const { tree } = path;
  const slot = path.slots[0]!;
  path.valid = false;
  tree.type.readKey(path.viewAt(0), path.recordAt(slot), path.key);
  const [a, b, c, d, e] = path.key as [number, number, number, number, number];
  const view = path.change(tx, 0);
  const bytes = path.bytes(0);
  const count = view.getUint16(6);
  // Only a record that reaches as far as the whole leaf can lower the leaf's high key.
  let lowers = false;
  if (tree.hasHighKeys && path.top > 0) {
    tree.type.writeHighKey(view, path.recordAt(slot), HIGH, 0);
    const stored = path.keyAt(1, path.slots[1]!) + tree.keySize;
    lowers = run > 1 || compareKeyBytes(HIGH, 0, path.viewAt(1), stored, tree.keySize) >= 0;
  }
  copyRun(bytes, tree.headerSize, slot + run, bytes, tree.headerSize, slot, count - slot - run, tree.recordSize);
  view.setUint16(6, count - run);
  if (path.top > 0) {
    if (slot === 0) updateLowKeys(path, tx, 0);
    if (lowers) recomputeHighKeys(path, tx, 0);
  }
  if (count - run < tree.minLeaf && path.top > 0 && !rebalance(path, tx, 0)) {
    path.top = -1;
    path.seekGE(a, b, c, d, e);
    return;
  }
  const now = path.slots[0]!;
  const left = path.count(0);
  if (now < left) path.place(now);
  else if (left > 0) {
    // Behind the last record of this leaf: the follower is the first of the next one.
    path.place(left - 1);
    path.next();
  } else path.lose();
}

/**
 * Bring the block at `level` back to half full, and then its parent. Returns false when the path was lost on the way
 * (the block itself had to go).
 */
function rebalance(path: Path, tx: Transaction, level: number): boolean {
  const { tree } = path;
  if (level === path.top) {
    shrinkRoot(path, tx);
    return true;
  }
  const count = path.count(level);
  const min = tree.min(level);
  if (count >= min) return true;
  const parent = level + 1;
  if (path.count(parent) === 1) return alone(path, tx, level);

  // A neighbour that can spare entries comes first; the right one, when both can.
  const right = sibling(path, tx, level, 1);
  const rightCount = right ? right.view.getUint16(6) : 0;
  if (right && rightCount > min) {
    shiftEntries(path, tx, level, right, 1, (rightCount - count) >> 1, false);
    if (count === 0) refill(path, tx, level);
    return true;
  }
  const left = sibling(path, tx, level, -1);
  const leftCount = left ? left.view.getUint16(6) : 0;
  if (left && leftCount > min) {
    const moved = (leftCount - count) >> 1;
    shiftEntries(path, tx, level, left, -1, moved, false);
    path.slots[level]! += moved;
    if (count === 0) refill(path, tx, level);
    return true;
  }
  if (left) {
    // Become part of the left neighbour: from here on the path is that block.
    path.slots[parent]! -= 1;
    path.pointers[level] = path.child(parent, path.slots[parent]!);
    path.buffers[level] = left;
    path.slots[level]! += leftCount;
  }
  mergeRight(path, tx, level);
  if (count === 0) refill(path, tx, level);
  return rebalance(path, tx, parent);
}

/** Take the right neighbour (under the same parent) into the path's block at `level`, and free it. */
function mergeRight(path: Path, tx: Transaction, level: number): void {
  const { tree } = path;
  const parent = level + 1;
  const slot = path.slots[parent]!;
  const gone = path.child(parent, slot + 1);
  const right = tree.readBlock(tx, gone, level);
  const beyond = tree.right(right.view);
  const neighbour = beyond === tree.nullPointer ? undefined : tree.readBlock(tx, beyond, level);
  const back = neighbour ? tree.left(neighbour.view) : gone;
  if (back !== gone) throw tree.corrupt('BTREE_SIBLING', 'left sibling', beyond, gone, back);

  const left = path.attached(tx, level);
  const leftCount = left.view.getUint16(6);
  const rightCount = right.view.getUint16(6);
  if (leftCount + rightCount > tree.max(level)) throw internal('merged block too large');
  tx.change(left);
  copyEntries(tree, level, right.data, 0, left.data, leftCount, rightCount);
  left.view.setUint16(6, leftCount + rightCount);
  tree.setRight(left.view, beyond);
  if (neighbour) {
    tx.change(neighbour);
    tree.setLeft(neighbour.view, path.pointers[level]!);
  }
  removeEntry(path, tx, parent, slot + 1);
  if (leftCount + rightCount > 0) refreshEntry(path, tx, parent, slot, left.view);
  tree.freeBlock(tx, gone);
}

/** The path's block was empty, so the keys above its parent could not be mended when its last entry went: do it now. */
function refill(path: Path, tx: Transaction, level: number): void {
  updateLowKeys(path, tx, level);
  if (path.tree.hasHighKeys) recomputeHighKeys(path, tx, level + 1);
}

/** A block that is its parent's only child has too few entries (invariant 1). */
function alone(path: Path, tx: Transaction, level: number): boolean {
  const { tree } = path;
  shrinkRoot(path, tx);
  if (level >= path.top) return true;
  if (path.count(level + 1) > 1) return rebalance(path, tx, level);
  if (path.count(level) > 0 || path.isSingle()) return true;
  // Empty, and not the tree's only leaf: unlink it, then its parent is empty in turn.
  const pointer = path.pointers[level]!;
  const view = path.viewAt(level);
  const leftPointer = tree.left(view);
  const rightPointer = tree.right(view);
  const left = leftPointer === tree.nullPointer ? undefined : tree.readBlock(tx, leftPointer, level);
  const right = rightPointer === tree.nullPointer ? undefined : tree.readBlock(tx, rightPointer, level);
  if (left) {
    tx.change(left);
    tree.setRight(left.view, rightPointer);
  }
  if (right) {
    tx.change(right);
    tree.setLeft(right.view, leftPointer);
  }
  removeEntry(path, tx, level + 1, 0);
  tree.freeBlock(tx, pointer);
  rebalance(path, tx, level + 1);
  return false;
}

/** While the root has a single child that can take its place: one level less. Relies on nothing of the path below the root. */
function shrinkRoot(path: Path, tx: Transaction): void {
  const { tree } = path;
  const { blockRoot } = tree;
  while (path.top > (blockRoot ? 0 : 1) && path.count(path.top) === 1) {
    const { top } = path;
    const only = path.child(top, 0);
    const child = tree.readBlock(tx, only, top - 1);
    if (blockRoot) {
      const old = path.pointers[top]!;
      blockRoot.set(tx, only, top);
      path.pointers[top - 1] = only;
      path.buffers[top - 1] = child;
      path.top = top - 1;
      tree.freeBlock(tx, old);
      continue;
    }
    const count = child.view.getUint16(6);
    if (count > path.capacity(top)) return;
    const view = path.change(tx, top);
    const bytes = path.bytes(top);
    const pointers = path.pointerAt(top, 0);
    copyRun(child.data, tree.headerSize, 0, bytes, ROOT_KEYS_AT, 0, count, tree.entrySize);
    copyRun(child.data, tree.pointersAt, 0, bytes, pointers, 0, count, tree.pointerSize);
    setCount(path, top, count);
    view.setUint16(0, top - 1);
    path.top = top - 1;
    tree.freeBlock(tx, only);
  }
}
