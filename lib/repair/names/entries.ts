/** Single entries of directories on the plan: taken out, put in, pointed elsewhere. */
import { insert, remove, replace } from '../../directory/directory.ts';
import { editFork } from '../../file/inode-fork-blocks.ts';
import type { Workshop } from './workshop.ts';

/** Take an entry out; nothing happens when there is none of that name. */
export function removeEntry(shop: Workshop, directory: number, name: Uint8Array): void {
  remove(editFork(shop.tx, shop.space, shop.inode(directory), 'data'), name);
  shop.settle();
}

/** Put an entry in. @returns false when the name is taken. */
export function addEntry(shop: Workshop, directory: number, name: Uint8Array, inode: number, ftype: number): boolean {
  if (shop.lookUp(directory, name)) return false;
  insert(editFork(shop.tx, shop.space, shop.inode(directory), 'data'), name, inode, ftype);
  shop.settle();
  return true;
}

/** Let an entry name another inode, or another type. */
export function pointEntry(shop: Workshop, directory: number, name: Uint8Array, inode: number, ftype: number): void {
  replace(editFork(shop.tx, shop.space, shop.inode(directory), 'data'), name, inode, ftype);
  shop.settle();
}
