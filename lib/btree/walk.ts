/**
 * Walks over whole trees and ranges: all records, all blocks, all records that overlap a range.
 * No walk visits a block twice, however the pointers of a damaged tree run; none may change the tree while it walks.
 */
import type { Buffer } from '../buffer/buffer.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { internal } from '../errors.ts';
import { Path } from './path.ts';
import { ROOT_KEYS_AT, rootRoom, type Tree } from './tree.ts';

/** Called for a record in place; return false to stop. */
type RecordVisitor = (view: DataView, offset: number) => unknown;

/** Every record in order. Faster than a cursor: one step per leaf. Throws `corrupt` as cursors do. */
export function forEachRecord(reader: BlockReader, tree: Tree, visit: RecordVisitor): void {
  const path = new Path(tree, reader);
  const { headerSize, recordSize } = tree;
  for (let more = path.seekFirst(); more; more = path.nextLeaf()) {
    const { view } = path;
    const end = headerSize + view.getUint16(6) * recordSize;
    for (let offset = headerSize; offset < end; offset += recordSize) if (visit(view, offset) === false) return;
  }
}

/**
 * Every block of the tree but an inode root, children before parents, so the visitor may free the block it is told of.
 * Throws `corrupt` BTREE_LOOP when a block turns up twice; blocks are read and verified before they are named.
 */
export function forEachBlock(reader: BlockReader, tree: Tree, visit: (pointer: number, level: number) => void): void {
  const seen = new Set<number>();
  const below = (view: DataView, pointersAt: number, count: number, level: number): void => {
    for (let i = 0; i < count; i++) block(tree.readPointer(view, pointersAt + i * tree.pointerSize), level);
  };
  const block = (pointer: number, level: number): void => {
    if (seen.has(pointer)) throw tree.corrupt('BTREE_LOOP', 'number of parents', pointer, 1, 'more');
    seen.add(pointer);
    const { view } = tree.readBlock(reader, pointer, level);
    if (level > 0) below(view, tree.pointersAt, view.getUint16(6), level - 1);
    visit(pointer, level);
  };
  const top = tree.topLevel();
  if (tree.blockRoot) {
    block(tree.blockRoot.pointer(), top);
  } else {
    // A copy: freeing blocks may change the inode around the root.
    const root = tree.inodeRoot!.view();
    const copy = new DataView(root.buffer.slice(root.byteOffset, root.byteOffset + root.byteLength));
    below(copy, ROOT_KEYS_AT + tree.entrySize * rootRoom(copy), copy.getUint16(2), top - 1);
  }
}

/** Give all blocks of a tree back. The root holder is left as it is: it points at nothing any more. */
export function freeTree(tx: Transaction, tree: Tree): void {
  forEachBlock(tx, tree, (pointer) => tree.freeBlock(tx, pointer));
}

/**
 * Every record of a tree with high keys that touches blocks [start, end), in order; subtrees that reach no such block
 * are not read. The first word of a record is its start, the second its length.
 */
export function forEachOverlap(
  reader: BlockReader,
  tree: Tree,
  start: number,
  end: number,
  visit: RecordVisitor,
): void {
  if (!tree.hasHighKeys || !tree.blockRoot) throw internal(`${tree.type.layout.name} has no high keys`);
  const { headerSize, recordSize, entrySize, keySize, pointersAt, pointerSize } = tree;
  // Each block can be read once: more reads than blocks exist mean that pointers run in circles.
  let budget = tree.geometry.agLength(tree.blocks.owner);
  const inside = (pointer: number, level: number): boolean => {
    if (--budget < 0) throw tree.corrupt('BTREE_LOOP', 'number of parents', pointer, 1, 'more');
    const buffer: Buffer = tree.readBlock(reader, pointer, level);
    const { view } = buffer;
    const count = view.getUint16(6);
    if (level === 0) {
      for (let i = 0, at = headerSize; i < count; i++, at += recordSize) {
        const first = view.getUint32(at);
        if (first >= end) return false;
        if (first + view.getUint32(at + 4) > start && visit(view, at) === false) return false;
      }
      return true;
    }
    for (let i = 0, at = headerSize; i < count; i++, at += entrySize) {
      if (view.getUint32(at) >= end) return false;
      if (view.getUint32(at + keySize) < start) continue;
      if (!inside(tree.readPointer(view, pointersAt + i * pointerSize), level - 1)) return false;
    }
    return true;
  };
  inside(tree.blockRoot.pointer(), tree.topLevel());
}
