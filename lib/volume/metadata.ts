/** Operations on what an inode says of itself: mode, owner, times, extended attributes. One transaction each. */
import { ATTR } from '../../formats/attribute.ts';
import { S_IFMT } from '../../formats/inode.ts';
import type { Time } from '../../formats/time.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { readFork } from '../file/inode-fork-blocks.ts';
import { fromLinux, fromLinuxName, toLinux } from '../xattr/linux-names.ts';
import { forEachAttribute } from '../xattr/read.ts';
import { ACL_ACCESS, ACL_DEFAULT, aclWithMode, assertDefaultAcl, modeWithAcl } from './acl.ts';
import { removeInodeAttribute, setInodeAttribute } from './attributes.ts';
import type { Editor } from './editor.ts';
import { showPath } from './path.ts';
import { assertMayChange, isImmutable } from './protection.ts';

const SET_IDS = 0o6000;
const SETUID = 0o4000;
const GROUP_EXEC = 0o010;
const SETGID = 0o2000;

/** Set the permission bits; an access ACL follows them as on Linux (owner, mask or group, other). Throws EPERM (protected). */
export function chmod(editor: Editor, number: number, mode: number): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
    assertMayChange(inode);
    if (inode.isSymlink)
      throw fileError('EOPNOTSUPP', 'a symlink has no mode of its own', { where: { inode: number } });
    setMode(editor, tx, inode, mode);
    editor.touch(tx, inode, false);
  });
}

/** The same inside a transaction, times untouched. */
export function setMode(editor: Editor, tx: Transaction, inode: Inode, mode: number): void {
  inode.change(tx);
  inode.core.mode = (inode.core.mode & S_IFMT) | (mode & 0o7777);
  const acl = aclWithMode(inode, mode);
  if (acl) setInodeAttribute(tx, editor.space, inode, ATTR.ROOT, ACL_ACCESS, acl);
}

/** Change owner and group (undefined: as it is). A file that may be executed loses its set-id bits, as on Linux. */
export function chown(editor: Editor, number: number, uid: number | undefined, gid: number | undefined): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
    assertMayChange(inode);
    setOwner(tx, inode, uid, gid);
    editor.touch(tx, inode, false);
  });
}

/** The same inside a transaction, times untouched. */
export function setOwner(tx: Transaction, inode: Inode, uid: number | undefined, gid: number | undefined): void {
  inode.change(tx);
  if (uid !== undefined) inode.core.uid = uid;
  if (gid !== undefined) inode.core.gid = gid;
  const { mode } = inode.core;
  if (!inode.isDirectory && (mode & SET_IDS) !== 0) {
    inode.core.mode = mode & ~(SETUID | ((mode & GROUP_EXEC) !== 0 ? SETGID : 0));
  }
}

/**
 * Set access and modification time (undefined: as it is).
 * @param isNow they are the present: that is allowed on what is append-only.
 */
export function setTimes(
  editor: Editor,
  number: number,
  atime: Time | undefined,
  mtime: Time | undefined,
  isNow = false,
): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
    if (!isNow || isImmutable(inode)) assertMayChange(inode);
    editor.touch(tx, inode, false);
    if (atime) inode.setTime('atime', atime);
    if (mtime) inode.setTime('mtime', mtime);
  });
}

/** An attribute as Linux names it. */
export interface NamedAttribute {
  name: Uint8Array;
  value: Uint8Array;
}

/** All attributes of an inode that Linux would show. */
export function listXattrs(inode: Inode): NamedAttribute[] {
  const list: NamedAttribute[] = [];
  if (inode.core.forkoff === 0) return list;
  forEachAttribute(readFork(inode, 'attr'), (attribute) => {
    const shown = toLinux(attribute.flags, attribute.name(), attribute.value());
    if (shown) list.push(shown);
  });
  return list;
}

/**
 * Set an attribute by its Linux name. An access ACL also sets the mode, and is not kept where the mode says it all. Throws
 * EOPNOTSUPP for a name without a known namespace, ERANGE, E2BIG, ENOSPC, EPERM, EINVAL and EACCES for ACLs.
 */
export function setXattr(editor: Editor, number: number, name: Uint8Array, value: Uint8Array): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
    assertMayChange(inode);
    if (fromLinuxName(name)?.acl) setAcl(editor, tx, inode, name, value);
    else storeXattr(editor, tx, inode, name, value);
    editor.touch(tx, inode, false);
  });
}

function setAcl(editor: Editor, tx: Transaction, inode: Inode, name: Uint8Array, value: Uint8Array): void {
  if (inode.isSymlink) throw fileError('EOPNOTSUPP', 'symlinks have no ACLs', { where: { inode: inode.number } });
  const stored = fromLinux(name, value);
  if (!stored) throw fileError('EINVAL', 'not a valid ACL');
  if (stored.name.length === ACL_DEFAULT.length) assertDefaultAcl(stored.value, inode);
  else {
    const { mode, needed } = modeWithAcl(stored.value, inode.mode);
    inode.change(tx);
    inode.core.mode = mode;
    if (!needed) {
      removeInodeAttribute(tx, editor.space, inode, ATTR.ROOT, ACL_ACCESS);
      return;
    }
  }
  storeXattr(editor, tx, inode, name, value);
}

/** The attribute as it is, inside a transaction, times untouched. */
export function storeXattr(editor: Editor, tx: Transaction, inode: Inode, name: Uint8Array, value: Uint8Array): void {
  const stored = fromLinux(name, value);
  if (!stored) throw fileError('EOPNOTSUPP', `attribute ${showPath(name)} has no namespace here`);
  if (stored.flags === ATTR.USER) assertUserAttributes(inode);
  setInodeAttribute(tx, editor.space, inode, stored.flags, stored.name, stored.value);
  editor.noteAttributes(tx);
}

function assertUserAttributes(inode: Inode): void {
  if (inode.isFile || inode.isDirectory) return;
  throw fileError('EPERM', `user attributes are for files and directories, not for inode ${inode.number}`);
}

/** Remove an attribute by its Linux name. Throws ENODATA when there is none. */
export function removeXattr(editor: Editor, number: number, name: Uint8Array): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
    assertMayChange(inode);
    const stored = fromLinuxName(name);
    if (stored?.flags === ATTR.USER) assertUserAttributes(inode);
    if (!stored || !removeInodeAttribute(tx, editor.space, inode, stored.flags, stored.name)) {
      throw fileError('ENODATA', `no attribute ${showPath(name)}`, { where: { inode: number } });
    }
    editor.touch(tx, inode, false);
  });
}
