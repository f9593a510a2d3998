/** Operations on what an inode says of itself: mode, owner, times, extended attributes. One transaction each. */
import { AclEntry, ATTR } from '../../formats/attribute.ts';
import { MODE, S_IFMT } from '../../formats/inode.ts';
import type { Time } from '../../formats/time.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { readFork } from '../file/inode-fork-blocks.ts';
import { fromLinux, fromLinuxName, toLinux } from '../xattr/linux-names.ts';
import { forEachAttribute, getAttribute } from '../xattr/read.ts';
import { removeInodeAttribute, setInodeAttribute } from './attributes.ts';
import type { Editor } from './editor.ts';
import { showPath } from './path.ts';

const ACL_ACCESS = new TextEncoder().encode('SGI_ACL_FILE');
/** Tags of ACL entries. */
const TAG = { OWNER: 1, GROUP_OWNER: 4, MASK: 16, OTHER: 32 } as const;
const SET_IDS = 0o6000;
const SETUID = 0o4000;
const GROUP_EXEC = 0o010;
const SETGID = 0o2000;

/** Set the permission bits; an access ACL follows them as on Linux (owner, mask or group, other). */
export function chmod(editor: Editor, number: number, mode: number): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
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
  if (inode.core.forkoff === 0) return;
  const acl = getAttribute(readFork(inode, 'attr'), ATTR.ROOT, ACL_ACCESS);
  if (!acl) return;
  const view = new DataView(acl.buffer, acl.byteOffset, acl.byteLength);
  const entry = AclEntry.view();
  let groupEntry = -1;
  let maskEntry = -1;
  for (let at = 4; at + AclEntry.size <= acl.length; at += AclEntry.size) {
    entry.at(view, at);
    if (entry.tag === TAG.OWNER) entry.perm = (mode >> 6) & 7;
    else if (entry.tag === TAG.OTHER) entry.perm = mode & 7;
    else if (entry.tag === TAG.MASK) maskEntry = at;
    else if (entry.tag === TAG.GROUP_OWNER) groupEntry = at;
  }
  const group = maskEntry >= 0 ? maskEntry : groupEntry;
  if (group >= 0) entry.at(view, group).perm = (mode >> 3) & 7;
  setInodeAttribute(tx, editor.space, inode, ATTR.ROOT, ACL_ACCESS, acl);
}

/** Change owner and group (undefined: as it is). A file that may be executed loses its set-id bits, as on Linux. */
export function chown(editor: Editor, number: number, uid: number | undefined, gid: number | undefined): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
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

/** Set access and modification time (undefined: as it is). */
export function setTimes(editor: Editor, number: number, atime: Time | undefined, mtime: Time | undefined): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
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

/** Set an attribute by its Linux name. Throws EOPNOTSUPP for a name without a known namespace, ERANGE, E2BIG, ENOSPC. */
export function setXattr(editor: Editor, number: number, name: Uint8Array, value: Uint8Array): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
    storeXattr(editor, tx, inode, name, value);
    editor.touch(tx, inode, false);
  });
}

/** The same inside a transaction, times untouched. */
export function storeXattr(editor: Editor, tx: Transaction, inode: Inode, name: Uint8Array, value: Uint8Array): void {
  const stored = fromLinux(name, value);
  if (!stored) throw fileError('EOPNOTSUPP', `attribute ${showPath(name)} has no namespace here`);
  const isUser = stored.flags === ATTR.USER;
  if (isUser && inode.type !== MODE.FILE && inode.type !== MODE.DIR) {
    throw fileError('EPERM', `user attributes are for files and directories, not for inode ${inode.number}`);
  }
  setInodeAttribute(tx, editor.space, inode, stored.flags, stored.name, stored.value);
  editor.noteAttributes(tx);
}

/** Remove an attribute by its Linux name. Throws ENODATA when there is none. */
export function removeXattr(editor: Editor, number: number, name: Uint8Array): void {
  editor.transact((tx) => {
    const inode = editor.inode(tx, number);
    const stored = fromLinuxName(name);
    if (!stored || !removeInodeAttribute(tx, editor.space, inode, stored.flags, stored.name)) {
      throw fileError('ENODATA', `no attribute ${showPath(name)}`, { where: { inode: number } });
    }
    editor.touch(tx, inode, false);
  });
}
