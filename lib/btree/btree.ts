/**
 * The door of this folder: one engine for all eight trees. A `Btree` is made from four parts: the type (bytes, order),
 * the geometry (capacities), the root holder and the block source; buffers come with each call.
 */
import type { Geometry } from '../../formats/geometry.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { usage } from '../errors.ts';
import { Cursor } from './cursor.ts';
import { growRoot } from './insert.ts';
import { Path } from './path.ts';
import { type BtreeRoot, type InodeRoot, Tree, type TreeBlocks } from './tree.ts';
import type { TreeType } from './tree-types.ts';
import { forEachBlock } from './walk.ts';

export { bulkLoad, bulkShape } from './bulk.ts';
export { checkTree, type TreeFault } from './check.ts';
export { Cursor } from './cursor.ts';
export { relocateBlock } from './relocate.ts';
export { type BtreeRoot, type InodeRoot, rootRoom, Tree, type TreeBlocks } from './tree.ts';
export { TREE_TYPES, type TreeType } from './tree-types.ts';
export { forEachBlock, forEachOverlap, forEachRecord, freeTree } from './walk.ts';

export class Btree extends Tree {
  /** The root tells by its shape what it is: a `BtreeRoot` has a height. */
  constructor(type: TreeType, geometry: Geometry, root: BtreeRoot | InodeRoot, blocks: TreeBlocks) {
    super(type, geometry, root, blocks);
  }

  /** A new cursor, on no record. */
  cursor(reader: BlockReader): Cursor {
    return new Cursor(this, reader);
  }

  /** Every block of the tree but an inode root, children before parents: see `forEachBlock`. */
  forEachBlock(reader: BlockReader, visit: (pointer: number, level: number) => void): void {
    forEachBlock(reader, this, visit);
  }

  /**
   * Move the entries of a root inside an inode into a block of their own, so that the root needs room for one child only:
   * before the fork gets smaller. Throws `noSpace` before anything is changed.
   */
  pushDownRoot(tx: Transaction): void {
    if (!this.inodeRoot) throw usage('BTREE_ROOT', `${this.type.layout.name}: the root is a block`);
    const path = new Path(this, tx);
    path.seekFirst();
    growRoot(path, tx, this.blocks.allocate(tx, path.pointers[path.top - 1]!));
  }
}
