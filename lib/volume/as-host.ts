/** What the host says of an object, given to its copy in an image: mode, owner, times, attributes, ACLs. */
import type { Transaction } from '../buffer/transaction.ts';
import type { Inode } from '../file/inode.ts';
import type { HostEntry, HostTree } from '../host/tree.ts';
import { fromLinux } from '../xattr/linux-names.ts';
import { isAclName } from './acl.ts';
import type { Editor } from './editor.ts';
import { setMode, storeXattr } from './metadata.ts';
import { showPath } from './path.ts';
import { assertMayChange } from './protection.ts';

const PERMISSIONS = 0o777;

/** True when the host gives an object an ACL, which then counts instead of what a directory of the image hands down. */
export function hasOwnAcl(entry: HostEntry): boolean {
  return entry.xattrs.some(({ name, value }) => {
    const stored = fromLinux(name, value);
    return stored !== undefined && isAclName(stored.flags, stored.name);
  });
}

/** How an object is described. */
export interface AsHost {
  /** Instead of the owner the host says. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** Made in the same edit, with `inheritAcl` as `hasOwnAcl` says. Else its mode is changed, and an ACL it has with it. */
  readonly isNew: boolean;
}

/**
 * Everything the host says of it, whatever the directory handed down; but for an ACL, which stays with what has none on the
 * host. What the format cannot hold goes to `leftOut` of the tree. Throws EPERM for what is protected.
 */
export function describeAsHost(
  editor: Editor,
  tx: Transaction,
  inode: Inode,
  tree: HostTree,
  entry: HostEntry,
  { owner, isNew }: AsHost,
): void {
  if (!isNew) {
    assertMayChange(inode);
    setMode(editor, tx, inode, entry.mode);
  }
  inode.change(tx);
  const { core } = inode;
  core.uid = owner?.uid ?? entry.uid;
  core.gid = owner?.gid ?? entry.gid;
  if (isNew) core.mode = (entry.mode & ~PERMISSIONS) | (core.mode & PERMISSIONS);
  for (const { name, value } of entry.xattrs) {
    if (fromLinux(name, value)) storeXattr(editor, tx, inode, name, value);
    else tree.leftOut.add(entry.path, 'extended attribute', showPath(name));
  }
  inode.setTime('atime', entry.atime);
  inode.setTime('mtime', entry.mtime);
}
