/**
 * Inserting and overwriting records.
 *
 * A full block first gives entries to a neighbour under the same parent, and only then is split:
 *
 *     [a b c d] full, [e f . .]      ->  [a b c .] [d e f .]         shift (either side), the free room is shared
 *     [a b c d] full, neighbours too ->  [a b . .] [c d . .]         split, both halves hold at least max/2
 *     ... [a b . .] [c d e f] + g    ->  ... [a b c d] [e f . .] + g  appending at the right edge fills the left whole
 *
 * 1. Nothing is changed before every block the insertion needs has been allocated and every block it will link to has
 *    been read: running out of space or meeting a damaged neighbour leaves the tree as it was.
 * 2. Making room works from the top down, so the tree is whole after each step. The path follows the block in which
 *    the new entry belongs.
 */
import { BTREE_MAX_LEVELS } from '../../formats/btree-verify.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt, internal } from '../errors.ts';
import {
  copyEntries,
  copyRun,
  insertEntry,
  raiseHighKeys,
  recomputeHighKeys,
  refreshEntry,
  setCount,
  shiftEntries,
  sibling,
  updateLowKeys,
} from './entries.ts';
import type { Path } from './path.ts';
import { copyBytes, ROOT_KEYS_AT, rootRoom } from './tree.ts';
import { compareKeyBytes } from './tree-types.ts';

/** Two high keys: the new record's at 0, the old one's at 32. */
const HIGH = new DataView(new ArrayBuffer(64));
const OLD = 32;

/** Insert a record at its sort position; the path ends on it. Throws `corrupt` BTREE_DUPLICATE, and `noSpace`. */
export function insertRecord(path: Path, tx: Transaction, record: DataView): void {
  const { tree } = path;
  const { type, recordSize } = tree;
  const copy = path.record;
  copyBytes(record, 0, copy, 0, recordSize);
  type.readKey(copy, 0, path.key);
  const [a, b, c, d, e] = path.key as [number, number, number, number, number];
  path.locate(a, b, c, d, e);
  const place = path.slots[0]!;
  if (place > 0 && type.compareRecord(path.viewAt(0), path.recordAt(place - 1), a, b, c, d, e) === 0) {
    throw tree.corrupt('BTREE_DUPLICATE', `key ${path.key.join('/')}`, path.pointers[0]!, 'absent', 'present');
  }
  if (path.count(0) >= tree.maxLeaf) {
    const spare = takeBlocks(path, tx, blocksNeeded(path, tx));
    makeRoom(path, tx, 0, spare);
    if (spare.length > 0) throw internal(`${type.layout.name}: an insertion left ${spare.length} blocks over`);
  }
  const view = path.change(tx, 0);
  const bytes = path.bytes(0);
  const slot = path.slots[0]!;
  const count = view.getUint16(6);
  if (slot < count) copyRun(bytes, tree.headerSize, slot, bytes, tree.headerSize, slot + 1, count - slot, recordSize);
  copyBytes(copy, 0, view, path.recordAt(slot), recordSize);
  view.setUint16(6, count + 1);
  if (path.top > 0) {
    if (slot === 0) updateLowKeys(path, tx, 0);
    if (tree.hasHighKeys) {
      type.writeHighKey(copy, 0, HIGH, 0);
      raiseHighKeys(path, tx, 0, HIGH, 0);
    }
  }
  path.place(slot);
}

/** Overwrite the current record. The key may change, the order must not: throws `corrupt` BTREE_ORDER if it would. */
export function updateRecord(path: Path, tx: Transaction, record: DataView): void {
  path.requireRecord();
  const { tree } = path;
  const { type, recordSize, keySize } = tree;
  const copy = path.record;
  copyBytes(record, 0, copy, 0, recordSize);
  type.readKey(copy, 0, path.key);
  const [a, b, c, d, e] = path.key as [number, number, number, number, number];
  const slot = path.slots[0]!;
  const at = path.recordAt(slot);
  const before = path.viewAt(0);
  if (
    (slot > 0 && type.compareRecord(before, at - recordSize, a, b, c, d, e) >= 0) ||
    (slot + 1 < path.count(0) && type.compareRecord(before, at + recordSize, a, b, c, d, e) <= 0)
  ) {
    throw tree.corrupt('BTREE_ORDER', 'changed key', path.pointers[0]!, 'between its neighbours', path.key.join('/'));
  }
  const view = path.change(tx, 0);
  if (tree.hasHighKeys) type.writeHighKey(view, at, HIGH, OLD);
  copyBytes(copy, 0, view, at, recordSize);
  if (path.top > 0) {
    if (slot === 0) updateLowKeys(path, tx, 0);
    if (tree.hasHighKeys) {
      type.writeHighKey(copy, 0, HIGH, 0);
      if (compareKeyBytes(HIGH, 0, HIGH, OLD, keySize) >= 0) raiseHighKeys(path, tx, 0, HIGH, 0);
      else recomputeHighKeys(path, tx, 0);
    }
  }
  path.place(slot);
}

/** How many new blocks an insertion into the path's full leaf takes; reads every block that it would link to. */
function blocksNeeded(path: Path, tx: Transaction): number {
  const { tree } = path;
  let needed = 0;
  for (let level = 0; ; level++) {
    if (path.count(level) < path.capacity(level)) return needed;
    if (level === path.top) {
      // An inode root moves into one new block, which then has room; a root block gets a neighbour and a parent.
      const newLevel = tree.inodeRoot ? level : level + 1;
      if (newLevel >= BTREE_MAX_LEVELS) {
        throw tree.corrupt('BTREE_HEIGHT', 'height of the tree', -1, `at most ${BTREE_MAX_LEVELS}`, 'all levels full');
      }
      return needed + (tree.inodeRoot ? 1 : 2);
    }
    if (planShift(path, tx, level)) return needed;
    const right = tree.right(path.viewAt(level));
    if (right !== tree.nullPointer) {
      const back = tree.left(tree.readBlock(tx, right, level).view);
      if (back !== path.pointers[level]) {
        throw tree.corrupt('BTREE_SIBLING', 'left sibling', right, path.pointers[level], back);
      }
    }
    needed++;
  }
}

function takeBlocks(path: Path, tx: Transaction, count: number): number[] {
  const { blocks } = path.tree;
  const taken: number[] = [];
  try {
    while (taken.length < count) taken.push(blocks.allocate(tx, path.pointers[0]!));
  } catch (error) {
    for (const pointer of taken) blocks.free(tx, pointer);
    throw error;
  }
  return taken;
}

/** Entries to move from a full block to a neighbour under the same parent. */
interface Shift {
  readonly neighbour: Buffer;
  readonly direction: 1 | -1;
  readonly moved: number;
}

/** Which neighbour can take entries of the full block at `level`, and how many; undefined when it has to be split. */
function planShift(path: Path, tx: Transaction, level: number): Shift | undefined {
  const { tree } = path;
  const view = path.viewAt(level);
  const slot = path.slots[level]!;
  const max = tree.max(level);
  const count = view.getUint16(6);
  const atRightEdge = slot >= (level === 0 ? count : count - 1) && tree.right(view) === tree.nullPointer;
  const atLeftEdge = slot === 0 && tree.left(view) === tree.nullPointer;
  for (const direction of [1, -1] as const) {
    const neighbour = sibling(path, tx, level, direction);
    if (!neighbour) continue;
    const free = max - neighbour.view.getUint16(6);
    // At an edge, where more of the same is to come, the neighbour is filled: the new entry stays here. Elsewhere the
    // room is shared, and one place is left in the neighbour, where the new entry may belong.
    if (direction === 1 ? atLeftEdge : atRightEdge) {
      if (free > 0) return { neighbour, direction, moved: Math.min(free, max - tree.min(level)) };
    } else if (free > 1) {
      return { neighbour, direction, moved: (free + 1) >> 1 };
    }
  }
  return undefined;
}

/**
 * Make room for one entry in the block at `level`. Afterwards the path names the block that the entry belongs into: for
 * a leaf `slots[0]` is the insertion place; for a node the slot still names the same child, and the entry goes behind it.
 */
function makeRoom(path: Path, tx: Transaction, level: number, spare: number[]): void {
  if (level === path.top) growRoot(path, tx, spare.pop()!);
  const { slots } = path;
  const count = path.count(level);
  if (count < path.tree.max(level)) return;
  const shift = planShift(path, tx, level);
  if (!shift) {
    split(path, tx, level, spare);
    return;
  }
  const { neighbour, direction, moved } = shift;
  const neighbourCount = neighbour.view.getUint16(6);
  shiftEntries(path, tx, level, neighbour, direction, moved, true);
  const slot = slots[level]!;
  if (direction === 1) {
    const kept = count - moved;
    if (level === 0 ? slot <= kept : slot < kept) return;
    slots[level] = slot - kept;
  } else {
    if (level === 0 ? slot > moved : slot >= moved) {
      slots[level] = slot - moved;
      return;
    }
    slots[level] = neighbourCount + slot;
  }
  slots[level + 1]! += direction;
  path.pointers[level] = path.child(level + 1, slots[level + 1]!);
  path.buffers[level] = neighbour;
}

/** Split the full block at `level` in halves and tell its parent. */
function split(path: Path, tx: Transaction, level: number, spare: number[]): void {
  const { tree } = path;
  const pointer = spare.shift()!;
  if (path.count(level + 1) >= path.capacity(level + 1)) makeRoom(path, tx, level + 1, spare);
  const max = tree.max(level);
  const kept = max - tree.min(level);
  const oldRight = tree.right(path.viewAt(level));

  const right = tree.createBlock(tx, pointer, level);
  const left = path.attached(tx, level);
  tx.change(left);
  copyEntries(tree, level, left.data, kept, right.data, 0, max - kept);
  left.view.setUint16(6, kept);
  right.view.setUint16(6, max - kept);
  tree.setLeft(right.view, path.pointers[level]!);
  tree.setRight(right.view, oldRight);
  tree.setRight(left.view, pointer);
  if (oldRight !== tree.nullPointer) {
    const neighbour = tree.readBlock(tx, oldRight, level);
    tx.change(neighbour);
    tree.setLeft(neighbour.view, pointer);
  }
  const parentSlot = path.slots[level + 1]!;
  insertEntry(path, tx, level + 1, parentSlot + 1, right.view, pointer);
  if (tree.hasHighKeys) refreshEntry(path, tx, level + 1, parentSlot, left.view);

  const slot = path.slots[level]!;
  if (level === 0 ? slot > kept : slot >= kept) {
    path.pointers[level] = pointer;
    path.buffers[level] = right;
    path.slots[level] = slot - kept;
    path.slots[level + 1] = parentSlot + 1;
  }
}

/** One level more: the old root becomes the only child of a new one. The path must be complete. */
export function growRoot(path: Path, tx: Transaction, pointer: number): void {
  const { tree, top } = path;
  if (tree.blockRoot) {
    const old = path.pointers[top]!;
    const child = path.attached(tx, top).view;
    const root = tree.createBlock(tx, pointer, top + 1);
    root.view.setUint16(6, 1);
    tree.writeEntry(child, top, root.view, tree.headerSize);
    tree.writePointer(root.view, tree.pointersAt, old);
    tree.blockRoot.set(tx, pointer, top + 2);
    path.buffers[top + 1] = root;
    path.pointers[top + 1] = pointer;
    path.slots[top + 1] = 0;
    path.top = top + 1;
    return;
  }
  // The inode root's entries move into a block of their own; the root keeps a single entry, and its place.
  const rootView = path.viewAt(top);
  const count = rootView.getUint16(2);
  const room = rootRoom(rootView);
  if (count > tree.maxNode) {
    throw corrupt('BTREE_ROOT', `${tree.type.layout.name}: ${count} children in the root do not fit into one block`, {
      where: { inode: tree.blocks.owner, structure: tree.type.layout.name },
    });
  }
  const child = tree.createBlock(tx, pointer, top);
  const view = path.change(tx, top);
  const bytes = path.bytes(top);
  const pointers = ROOT_KEYS_AT + tree.entrySize * room;
  copyRun(bytes, ROOT_KEYS_AT, 0, child.data, tree.headerSize, 0, count, tree.entrySize);
  copyRun(bytes, pointers, 0, child.data, tree.pointersAt, 0, count, tree.pointerSize);
  child.view.setUint16(6, count);
  view.setUint16(0, top + 1);
  bytes.fill(0, ROOT_KEYS_AT + tree.entrySize, pointers);
  bytes.fill(0, pointers + tree.pointerSize);
  tree.writePointer(view, pointers, pointer);
  path.buffers[top] = child;
  path.pointers[top] = pointer;
  path.slots[top + 1] = 0;
  path.top = top + 1;
  setCount(path, top + 1, 1);
}
