/** Extended attributes of an inode in use: the fork they need is made, enlarged or dropped around the change. */
import { FORMAT } from '../../formats/inode.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { buildDirectory, parentOf, readEntries } from '../directory/directory.ts';
import { dropAttrFork, leavesRoom, makeAttrFork } from '../file/attr-fork.ts';
import { Fork } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import { editFork, readFork } from '../file/inode-fork-blocks.ts';
import { readSymlink, writeSymlink } from '../file/symlink.ts';
import type { Space } from '../space/space.ts';
import { removeAttribute, setAttribute, shortformBytesAfter } from '../xattr/write.ts';

/**
 * Create or replace an attribute. @param flags namespace bit, `name` bare bytes (lib/xattr/linux-names.ts).
 * Throws ERANGE, E2BIG, EINVAL, ENOSPC; the transaction is then to be cancelled.
 */
export function setInodeAttribute(
  tx: Transaction,
  space: Space,
  inode: Inode,
  flags: number,
  name: Uint8Array,
  value: Uint8Array,
): void {
  if (!leavesRoom(inode)) moveLocalOut(tx, space, inode);
  const attr = new Fork(inode, 'attr');
  const fork = editFork(tx, space, inode, 'attr');
  const wanted = attr.exists
    ? shortformBytesAfter(fork, flags, name, value.length)
    : 4 + 3 + name.length + value.length;
  makeAttrFork(tx, space, inode, wanted);
  inode.change(tx);
  setAttribute(fork, flags, name, value);
}

/** @returns false when there is no such attribute. @param value only the one with this value (parent pointers). */
export function removeInodeAttribute(
  tx: Transaction,
  space: Space,
  inode: Inode,
  flags: number,
  name: Uint8Array,
  value?: Uint8Array,
): boolean {
  if (inode.core.forkoff === 0) return false;
  inode.change(tx);
  const fork = editFork(tx, space, inode, 'attr');
  if (!removeAttribute(fork, flags, name, value)) return false;
  const local = fork.local();
  // A tree root in the data fork is laid out for its room: it keeps the border.
  if (local && local.getUint8(2) === 0 && new Fork(inode, 'data').format !== FORMAT.BTREE) dropAttrFork(tx, inode);
  return true;
}

/** A local directory or symlink that fills the inode moves into blocks, so that an attr fork has room. */
function moveLocalOut(tx: Transaction, space: Space, inode: Inode): void {
  inode.change(tx);
  if (inode.isDirectory) {
    const reader = readFork(inode, 'data');
    const entries = readEntries(reader).map((entry) => ({ ...entry, name: entry.name.slice() }));
    const parent = parentOf(reader);
    const fork = editFork(tx, space, inode, 'data');
    fork.clearLocal();
    inode.core.forkoff = 24; // too small for the local form: build chooses blocks
    buildDirectory(fork, inode.number, parent, entries);
    return;
  }
  const target = readSymlink(inode);
  editFork(tx, space, inode, 'data').clearLocal();
  inode.core.forkoff = 24;
  writeSymlink(tx, space, inode, target);
}
