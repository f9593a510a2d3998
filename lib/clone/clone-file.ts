/**
 * A file (or symlink, device, ...) again under another name: a new inode with the metadata of the old one, data blocks
 * shared.
 *
 * 1. A clone appears whole: a small one is made and named in one transaction, a large one is shared into an unnamed inode
 *    that gets its name at the end.
 * 2. Blocks behind the end of the source (preallocation) are not the clone's.
 */
import { ATTR } from '../../formats/attribute.ts';
import { INODE_FLAG, INODE_FLAG2, MODE } from '../../formats/inode.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { fileError } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import { chooseForkOffset } from '../file/fork-offset.ts';
import type { Inode } from '../file/inode.ts';
import { editFork, readFork } from '../file/inode-fork-blocks.ts';
import { readSymlink } from '../file/symlink.ts';
import { setInodeAttribute } from '../volume/attributes.ts';
import { type Editor, isLogFull } from '../volume/editor.ts';
import { createIn, createUnnamed, finishFreeing, type NewObject, nameIt } from '../volume/names.ts';
import { showPath } from '../volume/path.ts';
import { type AttributeEntry, buildAttributes, shortformBytesOf } from '../xattr/build.ts';
import { forEachAttribute } from '../xattr/read.ts';
import { assertReflink, assertSharable, shareStep } from './share.ts';

/** A file with at most so many extents is cloned in one transaction, of this many units. */
const SMALL_EXTENTS = 128;
const SMALL_UNITS = 64;

/** A file turned out too large for one transaction. */
class TooLarge extends Error {}

/** False when one transaction cannot be enough. */
export function isSmall(file: Inode): boolean {
  return new Fork(file, 'data').extentCount <= SMALL_EXTENTS;
}

/** True when `cloneSmall` could not do it but `cloneFile` may. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof TooLarge || isLogFull(error);
}

/**
 * Clone one object that is not a directory. Throws EEXIST, EISDIR, ENOTDIR, ENOSPC, NO_REFLINK; nothing has happened then.
 * @param replace take the place of a file that has the name.
 * @returns the new inode number.
 */
export function cloneFile(
  editor: Editor,
  source: number,
  directory: number,
  name: Uint8Array,
  replace = false,
): number {
  const inode = editor.volume.inode(source);
  if (inode.isDirectory) throw fileError('EISDIR', 'a directory is cloned with -r', { where: { inode: source } });
  if (inode.isFile) {
    assertReflink(editor);
    assertSharable(inode);
  }
  const parent = editor.volume.inode(directory);
  parent.assertDirectory();
  const old = editor.volume.child(parent, name);
  if (old !== undefined && !replace) {
    throw fileError('EEXIST', `${showPath(name)} exists`, { where: { path: showPath(name) } });
  }
  if (old !== undefined && editor.volume.inode(old).isDirectory) {
    throw fileError('EISDIR', `${showPath(name)} is a directory`, { where: { path: showPath(name) } });
  }
  if (old === source) throw fileError('EINVAL', 'source and target are the same file', { where: { inode: source } });
  if (old === undefined) {
    try {
      return editor.transact((tx) => cloneSmall(editor, tx, source, directory, name));
    } catch (error) {
      if (!isTooLarge(error)) throw error;
    }
  }
  return cloneLarge(editor, source, directory, name, describeObject(editor.volume.inode(source)));
}

/**
 * In a transaction of the caller's: clone an object that is not a directory. Throws TooLarge, or ENOSPC LOG_FULL when the
 * transaction is committed, for what `cloneFile` must do.
 */
export function cloneSmall(
  editor: Editor,
  tx: Transaction,
  source: number,
  directory: number,
  name: Uint8Array,
): number {
  const from = editor.inode(tx, source);
  if (from.isFile) assertSharable(from);
  const end = endBlock(from);
  if (end > 0 && !isSmall(from)) throw new TooLarge();
  const number = createIn(editor, tx, directory, name, describeObject(from));
  setAttributes(editor, tx, source, number);
  if (end > 0 && shareStep(editor, tx, source, number, 0, end, 0, SMALL_UNITS) < end) throw new TooLarge();
  copyMetadata(editor, tx, source, number);
  return number;
}

function cloneLarge(editor: Editor, source: number, directory: number, name: Uint8Array, what: NewObject): number {
  const number = editor.transact((tx) => createUnnamed(editor, tx, directory, what));
  let victim: number | undefined;
  try {
    // Attributes first: they take room in the inode that the extents would else have to leave again.
    copyAttributes(editor, source, number);
    const end = endBlock(editor.volume.inode(source));
    for (let at = 0; at < end; ) {
      at = editor.transactSized((tx, units) => shareStep(editor, tx, source, number, at, end, 0, units));
    }
    victim = editor.transact((tx) => {
      copyMetadata(editor, tx, source, number);
      return nameIt(editor, tx, directory, name, number);
    });
  } catch (error) {
    finishFreeing(editor, number);
    throw error;
  }
  if (victim !== undefined) finishFreeing(editor, victim);
  return number;
}

/** First file block that a clone does not have; 0 for what has no data blocks. */
function endBlock(inode: Inode): number {
  return inode.isFile ? Math.ceil(inode.size / inode.geometry.blockSize) : 0;
}

/** An empty directory with the source's metadata; its times are set when its entries are in (`restoreTimes`). */
export function cloneDirectory(
  editor: Editor,
  tx: Transaction,
  source: number,
  directory: number,
  name: Uint8Array,
): number {
  const number = createIn(editor, tx, directory, name, describeObject(editor.inode(tx, source)));
  setAttributes(editor, tx, source, number);
  copyMetadata(editor, tx, source, number);
  return number;
}

/** Times of a directory are those of the source, whatever was entered into it since. */
export function restoreTimes(editor: Editor, tx: Transaction, source: number, target: number): void {
  const from = editor.inode(tx, source);
  const to = editor.inode(tx, target);
  to.change(tx);
  to.setTime('atime', from.time('atime'));
  to.setTime('mtime', from.time('mtime'));
}

/** What an object is, for `createIn`. */
export function describeObject(inode: Inode): NewObject {
  const { core } = inode;
  return {
    mode: core.mode,
    inheritAcl: false,
    uid: core.uid,
    gid: core.gid,
    atime: inode.time('atime'),
    mtime: inode.time('mtime'),
    ...(inode.isSymlink ? { target: readSymlink(inode) } : {}),
    ...(inode.type === MODE.CHAR || inode.type === MODE.BLOCK ? { device: inode.deviceNumber } : {}),
  };
}

/** Attributes of an inode. Parent pointers are left out: the clone has its own. */
function attributesOf(inode: Inode): AttributeEntry[] {
  const entries: AttributeEntry[] = [];
  if (inode.core.forkoff === 0) return entries;
  forEachAttribute(readFork(inode, 'attr'), (attribute) => {
    if (attribute.flags === ATTR.PARENT) return;
    entries.push({ flags: attribute.flags, name: attribute.name(), value: attribute.value() });
  });
  return entries;
}

/** All attributes of the source for a new inode; the whole fork at once where that is possible. */
function setAttributes(editor: Editor, tx: Transaction, source: number, target: number): void {
  const entries = attributesOf(editor.inode(tx, source));
  if (entries.length === 0) return;
  const inode = editor.inode(tx, target);
  editor.noteAttributes(tx);
  if (inode.isFile && inode.core.forkoff === 0 && new Fork(inode, 'data').extentCount === 0) {
    inode.change(tx);
    inode.core.forkoff = chooseForkOffset(inode, shortformBytesOf(entries), 0);
    buildAttributes(editFork(tx, editor.space, inode, 'attr'), entries);
    return;
  }
  for (const { flags, name, value } of entries) setInodeAttribute(tx, editor.space, inode, flags, name, value);
}

/** For an inode without a name: in one transaction, or one for each attribute where the log is too small for that. */
export function copyAttributes(editor: Editor, source: number, target: number): void {
  try {
    editor.transact((tx) => setAttributes(editor, tx, source, target));
  } catch (error) {
    if (!isLogFull(error)) throw error;
    for (const { flags, name, value } of attributesOf(editor.volume.inode(source))) {
      editor.transact((tx) => {
        editor.noteAttributes(tx);
        setInodeAttribute(tx, editor.space, editor.inode(tx, target), flags, name, value);
      });
    }
  }
}

/** Size, flags, project and times as the source has them; what protects the source does not protect its clone. */
export function copyMetadata(editor: Editor, tx: Transaction, source: number, target: number): void {
  const from = editor.inode(tx, source);
  const to = editor.inode(tx, target);
  to.change(tx);
  const { core } = to;
  core.mode = from.core.mode;
  core.gid = from.core.gid;
  if (from.isFile) core.size = from.size;
  core.flags = from.core.flags & ~(INODE_FLAG.IMMUTABLE | INODE_FLAG.APPEND);
  core.extsize = from.core.extsize;
  const hints = INODE_FLAG2.DAX | INODE_FLAG2.COWEXTSIZE;
  core.flags2Lo = ((core.flags2Lo & ~hints) | (from.core.flags2Lo & hints)) >>> 0;
  core.cowextsize = from.core.cowextsize;
  core.projidLo = from.core.projidLo;
  core.projidHi = from.core.projidHi;
  to.setTime('atime', from.time('atime'));
  to.setTime('mtime', from.time('mtime'));
}
