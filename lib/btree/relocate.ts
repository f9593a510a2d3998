/**
 * Moving one block of a tree to another place: a copy there, and the parent, or the root holder, and both neighbours point at
 * it. Nothing else of the tree changes.
 */
import { LongHeader, ShortHeader } from '../../formats/btree-blocks.ts';
import { setU64 } from '../../formats/struct.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { CadastreError } from '../errors.ts';
import { Path } from './path.ts';
import type { Tree } from './tree.ts';
import type { SearchKey } from './tree-types.ts';

/**
 * Let a block live at `target` from now on, which the caller has allocated; freeing the old place is the caller's, too.
 * @returns false, with nothing changed, when the tree has no such block at this level. Throws `corrupt` on damaged trees.
 */
export function relocateBlock(tx: Transaction, tree: Tree, pointer: number, level: number, target: number): boolean {
  const top = tree.topLevel();
  if (level > top || (level === top && tree.blockRoot?.pointer() !== pointer)) return false;
  const old = readOwn(tx, tree, pointer, level);
  if (!old) return false;
  const path = new Path(tree, tx);
  if (level < top) {
    // The way to its first record leads through the block, if it is one of the tree's.
    const key: SearchKey = [0, 0, 0, 0, 0];
    let view = old.view;
    for (let at = level; at > 0; at--) {
      view = tree.readBlock(tx, tree.readPointer(view, tree.pointersAt), at - 1).view;
    }
    if (view.getUint16(6) === 0) path.seekFirst();
    else {
      tree.type.readKey(view, tree.headerSize, key);
      const [a, b, c, d, e] = key as [number, number, number, number, number];
      path.locate(a, b, c, d, e);
    }
    if (path.pointers[level] !== pointer) return false;
  }
  const neighbours = [tree.left(old.view), tree.right(old.view)] as const;
  const [left, right] = neighbours.map((each) =>
    each === tree.nullPointer ? undefined : tree.readBlock(tx, each, level),
  );
  const bytes = old.data.slice();
  const moved = tx.create(tree.blocks.daddr(target), tree.geometry.blockSize, tree.type.blockType);
  moved.data.set(bytes);
  setU64(moved.view, (tree.long ? LongHeader : ShortHeader).offsets.blkno, tree.blocks.daddr(target));
  if (left) {
    tx.change(left);
    tree.setRight(left.view, target);
  }
  if (right) {
    tx.change(right);
    tree.setLeft(right.view, target);
  }
  if (level === top) tree.blockRoot!.set(tx, target, top + 1);
  else {
    const view = path.change(tx, level + 1);
    tree.writePointer(view, path.pointerAt(level + 1, path.slots[level + 1]!), target);
  }
  return true;
}

/** A block that may have gone from the tree, and be something else by now. */
function readOwn(tx: Transaction, tree: Tree, pointer: number, level: number): Buffer | undefined {
  try {
    return tree.readBlock(tx, pointer, level);
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
    return undefined;
  }
}
