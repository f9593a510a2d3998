/**
 * Operations on names: create, link, unlink, rename. Each is one transaction, but for freeing what a large file held, which
 * goes on in further ones while the file waits in its AG's unlinked list (where recovery would find it).
 */
import { ATTR, encodeParent } from '../../formats/attribute.ts';
import { ftypeOfMode, INODE_FLAG, INODE_FLAG2, MODE, S_IFMT } from '../../formats/inode.ts';
import type { Time } from '../../formats/time.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { initialise, insert, isEmpty, lookup, parentOf, remove, replace, setParent } from '../directory/directory.ts';
import { checkName, isDotName } from '../directory/names.ts';
import { fileError } from '../errors.ts';
import { initialiseInode } from '../file/create.ts';
import type { Inode } from '../file/inode.ts';
import { editFork, readFork } from '../file/inode-fork-blocks.ts';
import { writeSymlink } from '../file/symlink.ts';
import { freeForks } from '../file/truncate.ts';
import { ACL_ACCESS, ACL_DEFAULT, inheritedAcl } from './acl.ts';
import { removeInodeAttribute, setInodeAttribute } from './attributes.ts';
import type { Editor } from './editor.ts';
import { showPath } from './path.ts';
import { assertMayAdd, assertMayChange, assertMayRemove } from './protection.ts';

/** What a new object starts with; times default to now. */
export interface NewObject {
  /** Type and permission bits. */
  mode: number;
  /** Bits taken away from the mode, unless the directory hands down an ACL. */
  umask?: number;
  /** False: mode and ACLs are those of something that exists; the directory hands no ACL down. */
  inheritAcl?: boolean;
  uid?: number;
  gid?: number;
  atime?: Time;
  mtime?: Time;
  /** Symlinks. */
  target?: Uint8Array;
  /** Character and block devices. */
  device?: { major: number; minor: number };
}

const MAX_LINKS = 0x7fffffff;
const SETGID = 0o2000;

/** Make an object and name it. Throws EEXIST, ENOTDIR, EINVAL, ENAMETOOLONG, ENOSPC. @returns its inode number. */
export function create(editor: Editor, directory: number, name: Uint8Array, what: NewObject): number {
  return editor.transact((tx) => createIn(editor, tx, directory, name, what));
}

/** The same inside a transaction. */
export function createIn(
  editor: Editor,
  tx: Transaction,
  directory: number,
  name: Uint8Array,
  what: NewObject,
): number {
  const parent = parentOfNew(editor, tx, directory, name);
  const inode = allocate(editor, tx, parent, what);
  addName(editor, tx, editor.inode(tx, directory), name, inode, ftypeOfMode(what.mode));
  return inode.number;
}

/**
 * Make an object without a name: it waits in the unlinked list until `nameIt` gives it one, and goes if that never
 * happens.
 */
export function createUnnamed(editor: Editor, tx: Transaction, directory: number, what: NewObject): number {
  const parent = editor.inode(tx, directory);
  parent.assertDirectory();
  assertMayAdd(parent);
  const inode = allocate(editor, tx, parent, what);
  inode.change(tx);
  inode.core.nlink = 0;
  editor.space.addUnlinked(tx, inode.number);
  return inode.number;
}

/** Give an unnamed object its name; what had the name before loses it. @returns the inode to be freed for that, if any. */
export function nameIt(
  editor: Editor,
  tx: Transaction,
  directory: number,
  name: Uint8Array,
  number: number,
): number | undefined {
  checkName(name);
  const parent = editor.inode(tx, directory);
  parent.assertDirectory();
  const inode = editor.inode(tx, number);
  editor.space.removeUnlinked(tx, number);
  inode.change(tx);
  inode.core.nlink = 1;
  const old = lookup(readFork(parent, 'data'), name)?.inode;
  if (old !== undefined) {
    const victim = editor.inode(tx, old);
    assertMayRemove(parent, victim);
    if (victim.isDirectory) throw fileError('EISDIR', `${showPath(name)} is a directory`, at(name));
    replace(editFork(tx, editor.space, parent, 'data'), name, number, ftypeOfMode(inode.mode));
    setParentPointer(editor, tx, inode, directory, name);
    dropLink(editor, tx, victim, directory, name);
    editor.touch(tx, parent, true);
    return isUnused(editor, victim) ? old : undefined;
  }
  addName(editor, tx, parent, name, inode, ftypeOfMode(inode.mode));
  return undefined;
}

function parentOfNew(editor: Editor, tx: Transaction, directory: number, name: Uint8Array): Inode {
  checkName(name);
  const parent = editor.inode(tx, directory);
  assertTakesNames(parent);
  if (lookup(readFork(parent, 'data'), name)) throw fileError('EEXIST', `${showPath(name)} exists`, at(name));
  assertMayAdd(parent);
  return parent;
}

/** Throws ENOTDIR, ENOENT (it was removed). */
function assertTakesNames(parent: Inode): void {
  parent.assertDirectory();
  if (parent.core.nlink === 0) throw fileError('ENOENT', 'the directory was removed');
}

/**
 * Many new objects of one directory in one transaction, no directories among them: their inodes are taken together and their
 * names entered together, by `nameAll`.
 */
export class NewObjects {
  readonly #editor: Editor;
  readonly #tx: Transaction;
  readonly #parent: Inode;
  #inodes: number[] = [];
  readonly #unnamed: { name: Uint8Array; inode: Inode; ftype: number }[] = [];

  /** @param count as many will be made. Throws ENOTDIR, ENOENT, EPERM, ENOSPC. */
  constructor(editor: Editor, tx: Transaction, directory: number, count: number) {
    this.#editor = editor;
    this.#tx = tx;
    this.#parent = editor.inode(tx, directory);
    assertTakesNames(this.#parent);
    assertMayAdd(this.#parent);
    const request = { parentInode: directory, isDirectory: false, generation: editor.generation() };
    this.#inodes = editor.space.allocateInodes(tx, request, count).reverse();
  }

  /** Throws EINVAL, ENAMETOOLONG, ENOSPC. */
  make(name: Uint8Array, what: NewObject): Inode {
    checkName(name);
    const inode = allocate(this.#editor, this.#tx, this.#parent, what, this.#inodes.pop()!);
    this.#unnamed.push({ name, inode, ftype: ftypeOfMode(what.mode) });
    return inode;
  }

  /** Enter the names of all that were made since the last time. Throws EEXIST, ENOSPC. */
  nameAll(): void {
    if (this.#unnamed.length === 0) return;
    const parent = this.#parent;
    const fork = editFork(this.#tx, this.#editor.space, parent, 'data');
    for (const { name, inode, ftype } of this.#unnamed) {
      // Two names may be one where case does not count.
      if (lookup(fork, name)) throw fileError('EEXIST', `${showPath(name)} exists`, at(name));
      insert(fork, name, inode.number, ftype);
      setParentPointer(this.#editor, this.#tx, inode, parent.number, name);
    }
    this.#editor.touch(this.#tx, parent, true);
    this.#unnamed.length = 0;
  }
}

/** Device numbers have 14 and 18 bits on the disk. */
const MAX_MAJOR = 2 ** 14;
const MAX_MINOR = 2 ** 18;

/**
 * An inode with nlink 1 (directories 2), no name yet, inheriting what the directory hands down.
 * @param taken number of one that was allocated for it.
 */
function allocate(editor: Editor, tx: Transaction, parent: Inode, what: NewObject, taken?: number): Inode {
  const isDirectory = (what.mode & S_IFMT) === MODE.DIR;
  const { device } = what;
  if (device && (device.major >= MAX_MAJOR || device.minor >= MAX_MINOR)) {
    throw fileError('EINVAL', `device number ${device.major}:${device.minor} is too large for this format`);
  }
  const now = editor.now();
  const { core } = parent;
  const acl = what.inheritAcl === false ? undefined : inheritedAcl(parent, what.mode);
  const mode = acl?.mode ?? what.mode & ~(what.umask ?? 0);
  const inherits = (core.mode & SETGID) !== 0;
  const number =
    taken ??
    editor.space.allocateInode(tx, { parentInode: parent.number, isDirectory, generation: editor.generation() });
  const inode = initialiseInode(tx, number, {
    mode: inherits && isDirectory ? mode | SETGID : mode,
    uid: what.uid ?? 0,
    gid: inherits ? core.gid : (what.gid ?? 0),
    nlink: isDirectory ? 2 : 1,
    atime: what.atime ?? now,
    mtime: what.mtime ?? now,
    ctime: now,
    crtime: now,
    ...(device ? { device } : {}),
    forkoff: 0,
  });
  inheritFlags(core, inode);
  if (isDirectory) initialise(editFork(tx, editor.space, inode, 'data'), number, parent.number);
  else if (what.target) writeSymlink(tx, editor.space, inode, what.target);
  if (acl?.default) setInodeAttribute(tx, editor.space, inode, ATTR.ROOT, ACL_DEFAULT, acl.default);
  if (acl?.access) setInodeAttribute(tx, editor.space, inode, ATTR.ROOT, ACL_ACCESS, acl.access);
  if (acl?.default || acl?.access) editor.noteAttributes(tx);
  return inode;
}

/** Flags that files and directories take from the directory, by the kernel's defaults (fs.xfs.inherit_*). */
const HANDED_DOWN =
  INODE_FLAG.NOATIME | INODE_FLAG.NODUMP | INODE_FLAG.SYNC | INODE_FLAG.NODEFRAG | INODE_FLAG.FILESTREAM;
/** And those that only directories do. */
const HANDED_ON = INODE_FLAG.RTINHERIT | INODE_FLAG.PROJINHERIT;

/** Project, flags and hints that a new object takes from its directory. */
function inheritFlags(parent: Inode['core'], { core, isDirectory, isFile }: Inode): void {
  if ((parent.flags & INODE_FLAG.PROJINHERIT) !== 0) {
    core.projidLo = parent.projidLo;
    core.projidHi = parent.projidHi;
  }
  if (!isDirectory && !isFile) return;
  core.flags |= parent.flags & (isDirectory ? HANDED_DOWN | HANDED_ON : HANDED_DOWN);
  if ((parent.flags & INODE_FLAG.EXTSZINHERIT) !== 0 && parent.extsize !== 0) {
    core.extsize = parent.extsize;
    core.flags |= isDirectory ? INODE_FLAG.EXTSZINHERIT : INODE_FLAG.EXTSIZE;
  }
  core.flags2Lo = (core.flags2Lo | (parent.flags2Lo & (INODE_FLAG2.DAX | INODE_FLAG2.COWEXTSIZE))) >>> 0;
  if ((parent.flags2Lo & INODE_FLAG2.COWEXTSIZE) !== 0) core.cowextsize = parent.cowextsize;
}

/** Enter a name; a directory also counts in its parent. */
function addName(editor: Editor, tx: Transaction, parent: Inode, name: Uint8Array, inode: Inode, ftype: number): void {
  insert(editFork(tx, editor.space, parent, 'data'), name, inode.number, ftype);
  setParentPointer(editor, tx, inode, parent.number, name);
  editor.touch(tx, parent, true);
  if (inode.isDirectory) parent.core.nlink += 1;
}

function setParentPointer(editor: Editor, tx: Transaction, inode: Inode, parent: number, name: Uint8Array): void {
  if (!editor.volume.geometry.features.parent) return;
  const value = encodeParent(parent, editor.inode(tx, parent).core.gen);
  setInodeAttribute(tx, editor.space, inode, ATTR.PARENT, name, value);
  editor.noteAttributes(tx);
}

function dropParentPointer(editor: Editor, tx: Transaction, inode: Inode, parent: number, name: Uint8Array): void {
  if (!editor.volume.geometry.features.parent) return;
  const value = encodeParent(parent, editor.inode(tx, parent).core.gen);
  removeInodeAttribute(tx, editor.space, inode, ATTR.PARENT, name, value);
}

/** One more name for a file. Throws EPERM for directories, EEXIST, EMLINK. */
export function link(editor: Editor, number: number, directory: number, name: Uint8Array): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
    const parent = parentOfNew(editor, tx, directory, name);
    assertLinkable(inode, name);
    addName(editor, tx, parent, name, inode, ftypeOfMode(inode.mode));
    inode.change(tx);
    inode.core.nlink += 1;
    editor.touch(tx, inode, false);
  });
}

function assertLinkable(inode: Inode, name: Uint8Array): void {
  assertMayChange(inode);
  if (inode.isDirectory) throw fileError('EPERM', 'a directory has one name only', at(name));
  if (inode.core.nlink >= MAX_LINKS) throw fileError('EMLINK', 'too many links', at(name));
}

/** As `link`, in place of what has the name. Throws EPERM, EISDIR (a directory has it), ENOENT (nothing has it). */
export function linkOver(editor: Editor, number: number, directory: number, name: Uint8Array): void {
  const gone = editor.transactSized((tx, units) => {
    const inode = editor.inode(tx, number);
    assertLinkable(inode, name);
    const parent = editor.inode(tx, directory);
    parent.assertDirectory();
    const old = lookup(readFork(parent, 'data'), name)?.inode;
    if (old === undefined) throw fileError('ENOENT', `no such file or directory: ${showPath(name)}`, at(name));
    if (old === number) return undefined;
    const victim = editor.inode(tx, old);
    assertMayRemove(parent, victim);
    if (victim.isDirectory) throw fileError('EISDIR', `${showPath(name)} is a directory`, at(name));
    replace(editFork(tx, editor.space, parent, 'data'), name, number, ftypeOfMode(inode.mode));
    setParentPointer(editor, tx, inode, directory, name);
    inode.change(tx);
    inode.core.nlink += 1;
    editor.touch(tx, inode, false);
    editor.touch(tx, parent, true);
    dropLink(editor, tx, victim, directory, name);
    if (!isUnused(editor, victim)) return undefined;
    return freeStep(editor, tx, victim, units) ? victim.number : undefined;
  }, 0);
  if (gone !== undefined) finishFreeing(editor, gone);
}

/**
 * Remove a name. Throws ENOENT; EISDIR for a directory unless `directory` is asked for; ENOTDIR, ENOTEMPTY when it is.
 */
export function unlink(editor: Editor, directory: number, name: Uint8Array, asDirectory = false): void {
  const gone = editor.transactSized((tx, units) => unlinkIn(editor, tx, directory, name, asDirectory, units), 0);
  if (gone !== undefined) finishFreeing(editor, gone);
}

/**
 * The same inside a transaction. @param units of what the object holds that may be freed in it (lib/file/release.ts).
 * @returns the inode that is left to `finishFreeing`, if any.
 */
export function unlinkIn(
  editor: Editor,
  tx: Transaction,
  directory: number,
  name: Uint8Array,
  asDirectory: boolean,
  units: number,
): number | undefined {
  const parent = editor.inode(tx, directory);
  parent.assertDirectory();
  if (isDotName(name)) throw fileError('EINVAL', 'a directory cannot be removed as . or ..', at(name));
  const found = lookup(readFork(parent, 'data'), name);
  if (!found) throw fileError('ENOENT', `no such file or directory: ${showPath(name)}`, at(name));
  const inode = editor.inode(tx, found.inode);
  assertMayRemove(parent, inode);
  if (asDirectory) {
    inode.assertDirectory(showPath(name));
    if (!isEmpty(readFork(inode, 'data'))) throw fileError('ENOTEMPTY', `${showPath(name)} is not empty`, at(name));
  } else if (inode.isDirectory) throw fileError('EISDIR', `${showPath(name)} is a directory`, at(name));
  remove(editFork(tx, editor.space, parent, 'data'), name);
  editor.touch(tx, parent, true);
  if (inode.isDirectory) parent.core.nlink -= 1;
  dropLink(editor, tx, inode, directory, name);
  if (!isUnused(editor, inode)) return undefined;
  return freeStep(editor, tx, inode, units) ? inode.number : undefined;
}

/** An inode lost a name; without any it goes to the unlinked list. */
function dropLink(editor: Editor, tx: Transaction, inode: Inode, parent: number, name: Uint8Array): void {
  inode.change(tx);
  inode.core.nlink = inode.isDirectory ? 0 : inode.core.nlink - 1;
  if (inode.core.nlink > 0) dropParentPointer(editor, tx, inode, parent, name);
  editor.touch(tx, inode, false);
  if (inode.core.nlink === 0) editor.space.addUnlinked(tx, inode.number);
}

/** No name, and nobody has it open. */
function isUnused(editor: Editor, inode: Inode): boolean {
  return inode.core.nlink === 0 && !editor.isHeld(inode.number);
}

/** The other end of `Editor.hold`: an inode that has lost its name meanwhile goes with its last user. */
export function letGo(editor: Editor, number: number): void {
  if (editor.release(number) && editor.volume.inode(number).core.nlink === 0) finishFreeing(editor, number);
}

/** Free a piece of an unnamed inode; at the end the inode itself. @returns true while more is left. */
export function freeStep(editor: Editor, tx: Transaction, inode: Inode, units: number): boolean {
  if (freeForks(tx, editor.space, inode, units)) return true;
  editor.space.removeUnlinked(tx, inode.number);
  editor.space.freeInode(tx, inode.number);
  return false;
}

/** Free what an inode without a name holds, and the inode. */
export function finishFreeing(editor: Editor, number: number): void {
  editor.chain((tx, units) => freeStep(editor, tx, editor.inode(tx, number), units));
}

/**
 * Move a name, over what has the new name if its kind allows. Throws ENOENT, EISDIR, ENOTDIR, ENOTEMPTY, EINVAL (a directory
 * below itself).
 */
export function rename(editor: Editor, from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
  if (isDotName(name) || isDotName(newName)) throw fileError('EINVAL', '. and .. cannot be renamed', at(name));
  checkName(newName);
  const gone = editor.transactSized((tx, units) => {
    const source = editor.inode(tx, from);
    const target = editor.inode(tx, to);
    source.assertDirectory();
    target.assertDirectory();
    const found = lookup(readFork(source, 'data'), name);
    if (!found) throw fileError('ENOENT', `no such file or directory: ${showPath(name)}`, at(name));
    const number = found.inode;
    const inode = editor.inode(tx, number);
    const old = lookup(readFork(target, 'data'), newName)?.inode;
    if (old === number) return undefined; // two names of one file: nothing happens
    if (inode.isDirectory && from !== to && isInside(editor, tx, to, number)) {
      throw fileError('EINVAL', 'a directory cannot move below itself');
    }
    const ftype = ftypeOfMode(inode.mode);
    const victim = old === undefined ? undefined : editor.inode(tx, old);
    if (victim?.isDirectory && isInside(editor, tx, from, victim.number)) {
      throw fileError('ENOTEMPTY', `${showPath(newName)} is not empty`, at(newName));
    }
    assertMayRemove(source, inode);
    if (victim) assertMayRemove(target, victim);
    else assertMayAdd(target);
    if (victim) refuseVictim(inode, victim, newName);
    const targetFork = editFork(tx, editor.space, target, 'data');
    if (victim) replace(targetFork, newName, number, ftype);
    else insert(targetFork, newName, number, ftype);
    remove(editFork(tx, editor.space, source, 'data'), name);
    setParentPointer(editor, tx, inode, to, newName);
    dropParentPointer(editor, tx, inode, from, name);
    editor.touch(tx, source, true);
    if (from !== to) editor.touch(tx, target, true);
    editor.touch(tx, inode, false);
    if (inode.isDirectory) {
      source.core.nlink -= 1;
      if (!victim) target.core.nlink += 1;
      if (from !== to) setParent(editFork(tx, editor.space, inode, 'data'), to);
    }
    if (!victim) return undefined;
    dropLink(editor, tx, victim, to, newName);
    if (!isUnused(editor, victim)) return undefined;
    return freeStep(editor, tx, victim, units) ? victim.number : undefined;
  }, 0);
  if (gone !== undefined) finishFreeing(editor, gone);
}

function refuseVictim(inode: Inode, victim: Inode, name: Uint8Array): void {
  if (victim.isDirectory && !inode.isDirectory) throw fileError('EISDIR', `${showPath(name)} is a directory`, at(name));
  if (inode.isDirectory) {
    victim.assertDirectory(showPath(name));
    if (!isEmpty(readFork(victim, 'data'))) throw fileError('ENOTEMPTY', `${showPath(name)} is not empty`, at(name));
  }
}

/** True when a directory is `above` itself or somewhere below it. */
function isInside(editor: Editor, tx: Transaction, directory: number, above: number): boolean {
  const { rootInode } = editor.volume.geometry;
  const seen = new Set<number>();
  for (let at = directory; at !== above; at = parentOf(readFork(editor.inode(tx, at), 'data'))) {
    if (at === rootInode) return false;
    if (seen.has(at)) throw fileError('ELOOP', 'the directories above the target form a loop');
    seen.add(at);
  }
  return true;
}

function at(name: Uint8Array): { where: { path: string } } {
  return { where: { path: showPath(name) } };
}
