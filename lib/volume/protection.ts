/**
 * What the immutable and append-only flags of inodes forbid, as the kernel has it, for root too (EPERM): nothing about an
 * immutable object changes, nor the names in an immutable directory; an append-only file only grows, an append-only directory
 * only gets names. Reading and access times are not concerned.
 */
import { INODE_FLAG } from '../../formats/inode.ts';
import { type CadastreError, fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';

const EITHER = INODE_FLAG.IMMUTABLE | INODE_FLAG.APPEND;

export const isImmutable = (inode: Inode): boolean => (inode.core.flags & INODE_FLAG.IMMUTABLE) !== 0;
export const isAppendOnly = (inode: Inode): boolean => (inode.core.flags & INODE_FLAG.APPEND) !== 0;

function refusal(inode: Inode): CadastreError {
  const what = isImmutable(inode) ? 'immutable' : 'append-only';
  return fileError('EPERM', `inode ${inode.number} is ${what}`, { where: { inode: inode.number } });
}

/** Content from `offset` on. For a file that is appended to, `offset` is its size. */
export function assertMayWrite(inode: Inode, offset: number): void {
  if (isImmutable(inode) || (isAppendOnly(inode) && offset < inode.size)) throw refusal(inode);
}

/** Mode, owner, times, attributes, another name; content that is cut off, shared or copied. */
export function assertMayChange(inode: Inode): void {
  if ((inode.core.flags & EITHER) !== 0) throw refusal(inode);
}

/** A name in the directory. */
export function assertMayAdd(directory: Inode): void {
  if (isImmutable(directory)) throw refusal(directory);
}

/** The name of `inode` in the directory: removing it, or giving it to something else. */
export function assertMayRemove(directory: Inode, inode: Inode): void {
  assertMayChange(directory);
  assertMayChange(inode);
}
