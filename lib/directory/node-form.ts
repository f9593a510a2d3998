/** Node form: data blocks, a hash tree, a free index. Puts the three together. */
import { DIR_NULL_BEST, dirEntrySize } from '../../formats/directory.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { dropFreeBlock, ensureFreeBlock, findRoom, room, setBest } from './free-index.ts';
import { hit } from './hash-leaf.ts';
import { countTree, insertAtPath, makeRoom, removeAtPath, searchTree, TreePath } from './hash-tree.ts';
import { updateSize } from './layout.ts';
import { addEntry, added, createData, dropEntry } from './leaf-form.ts';

/** The path of the last search: `removeNode` needs it. Nothing calls back in between. */
const path = new TreePath();

/** Find a name; `hit` tells where. */
export function searchNode(fork: ForkReader, hash: number, name: Uint8Array): boolean {
  return searchTree(fork, path, hash, name);
}

/** Entries besides "." and "..". */
export function countNode(fork: ForkReader): number {
  return countTree(fork) - 2;
}

/** Insert. Room in the index first, then in the data: each step allocates before it changes anything. */
export function insertNode(fork: ForkBlocks, hash: number, name: Uint8Array, inode: number, ftype: number): void {
  findRoom(fork, dirEntrySize(name.length));
  const fresh = room.dataBlock < 0;
  const dataBlock = fresh ? room.hole : room.dataBlock;
  makeRoom(fork, path, hash);
  if (fresh) {
    const made = ensureFreeBlock(fork, dataBlock);
    try {
      createData(fork, dataBlock);
    } catch (error) {
      // A free index block without a used slot must not stay.
      if (made) dropFreeBlock(fork, dataBlock);
      throw error;
    }
  }
  addEntry(fork, dataBlock, name, inode, ftype);
  setBest(fork, dataBlock, added.best);
  insertAtPath(fork, path, hash, added.pointer);
  if (fresh) updateSize(fork);
}

/** Remove what `searchNode` found. */
export function removeNode(fork: ForkBlocks): void {
  const { slot, dataBlock, offset } = hit;
  const best = dropEntry(fork, dataBlock, offset);
  setBest(fork, dataBlock, best);
  removeAtPath(fork, path, slot);
  if (best === DIR_NULL_BEST) updateSize(fork);
}
