/**
 * Directories, all forms, over a fork: the door of this folder. An operation looks at the form, does its work there, and
 * moves the directory to the next larger form when it does not fit, or to the smallest that holds it when it shrank.
 *
 * 1. Names are bytes; a name is looked up by its hash, then compared.
 * 2. Insert allocates before it changes, step by step; ENOSPC leaves a valid directory without the new entry.
 * 3. A directory that fits inside its inode after a removal goes there.
 */
import {
  DIR_BLOCK,
  DIR_DATA,
  DIR_DOTDOT_OFFSET,
  dirBlockDataEnd,
  isInodeNumber,
  MAX_FTYPE,
  readShortInode,
  shortDirInodeSize,
} from '../../formats/directory.ts';
import { FTYPE } from '../../formats/inode.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt, internal } from '../errors.ts';
import { blockToLeaf, countBlock, insertBlock, removeBlock, searchBlock } from './block-form.ts';
import { buildDirectory } from './build.ts';
import { isEntryStart } from './data-block.ts';
import { hit } from './hash-leaf.ts';
import {
  at,
  block,
  type DirectoryForm,
  directoryForm,
  directoryHash,
  edit,
  freeAllBlocks,
  leafStart,
  sameName,
  setWide,
} from './layout.ts';
import { countLeaf, insertLeaf, leafToBlock, leafToNode, nodeToLeaf, removeLeaf, searchLeaf } from './leaf-form.ts';
import { checkName, isDotDot, isDotName } from './names.ts';
import { countNode, insertNode, removeNode, searchNode } from './node-form.ts';
import {
  buildShort,
  type DirectoryEntry,
  findShort,
  type PlacedEntry,
  readShort,
  shortCount,
  shortForm,
  shortParent,
} from './short-form.ts';
import { type EntryVisitor, visitData, visitShort } from './visit.ts';

export { buildDirectory, builtBlocks } from './build.ts';
export { checkDirectory, type DirectoryFault } from './check.ts';
export { directoryForm } from './layout.ts';
export type { DirectoryEntry } from './short-form.ts';
export type { EntryVisitor } from './visit.ts';

/** What a name stands for. */
export interface LookupResult {
  inode: number;
  ftype: number;
}

const DOTDOT = Uint8Array.of(0x2e, 0x2e);

/**
 * Find a name, "." and ".." too. Returns `into` (made when missing) or undefined.
 * Throws `corrupt` when the way to the name is damaged.
 */
export function lookup(
  fork: ForkReader,
  name: Uint8Array,
  into: LookupResult = { inode: 0, ftype: 0 },
): LookupResult | undefined {
  const form = directoryForm(fork);
  if (form !== 'local') {
    if (!search(fork, form, name)) return undefined;
    into.inode = hit.inode;
    into.ftype = hit.ftype;
    return into;
  }
  const view = shortForm(fork);
  if (isDotName(name)) {
    into.inode = isDotDot(name) ? shortParent(view) : fork.inode;
    into.ftype = FTYPE.DIR;
    return into;
  }
  const place = findShort(fork, view, name);
  if (place < 0) return undefined;
  const end = place + 3 + name.length;
  into.inode = readShortInode(view, end + 1, shortDirInodeSize(view));
  into.ftype = view.getUint8(end);
  return into;
}

function search(fork: ForkReader, form: DirectoryForm, name: Uint8Array): boolean {
  const hash = directoryHash(fork, name);
  if (form === 'block') return searchBlock(fork, hash, name);
  return form === 'leaf' ? searchLeaf(fork, hash, name) : searchNode(fork, hash, name);
}

/** Make an empty directory in a fork without blocks. */
export function initialise(fork: ForkBlocks, _self: number, parent: number): void {
  putShort(fork, parent, []);
}

/** Write the short form if it fits; else false, and nothing has changed. The fork must be local or have no blocks. */
function putShort(fork: ForkBlocks, parent: number, entries: readonly PlacedEntry[]): boolean {
  const bytes = buildShort(parent, entries, fork.localCapacity, fork.blockBytes);
  if (!bytes) return false;
  fork.setLocal(bytes);
  fork.setSize(bytes.length);
  return true;
}

/**
 * Add an entry. The caller has made sure that the name is not there yet.
 * Throws EINVAL, ENAMETOOLONG; ENOSPC.
 */
export function insert(fork: ForkBlocks, name: Uint8Array, inode: number, ftype: number): void {
  checkName(name);
  checkTarget(fork, inode, ftype);
  const form = directoryForm(fork);
  if (form === 'local') {
    const view = shortForm(fork);
    const parent = shortParent(view);
    const entries = readShort(view);
    entries.push({ name, inode, ftype, offset: 0 });
    if (!putShort(fork, parent, entries)) buildDirectory(fork, fork.inode, parent, entries);
    return;
  }
  const hash = directoryHash(fork, name);
  if (form === 'block') {
    if (insertBlock(fork, hash, name, inode, ftype)) return;
    blockToLeaf(fork);
  }
  if (form !== 'node') {
    if (insertLeaf(fork, hash, name, inode, ftype)) return;
    leafToNode(fork);
  }
  insertNode(fork, hash, name, inode, ftype);
}

function checkTarget(fork: ForkReader, inode: number, ftype: number): void {
  if (!isInodeNumber(fork.geometry, inode) || !(ftype >= 0 && ftype <= MAX_FTYPE)) {
    throw internal(`directory entry for inode ${inode}, type ${ftype}`);
  }
}

/** Remove an entry (not "." or ".."); false when there is none of that name. */
export function remove(fork: ForkBlocks, name: Uint8Array): boolean {
  checkName(name);
  const form = directoryForm(fork);
  if (form === 'local') return removeShort(fork, shortForm(fork), name);
  if (!search(fork, form, name)) return false;
  if (form === 'block') removeBlock(fork);
  else if (form === 'leaf') removeLeaf(fork);
  else removeNode(fork);
  settle(fork, form);
  return true;
}

function removeShort(fork: ForkBlocks, view: DataView, name: Uint8Array): boolean {
  const entries = readShort(view);
  const index = indexOfName(fork, entries, name);
  if (index < 0) return false;
  entries.splice(index, 1);
  return putShort(fork, shortParent(view), entries);
}

function indexOfName(fork: ForkReader, entries: readonly DirectoryEntry[], name: Uint8Array): number {
  const fold = fork.geometry.features.asciiCi;
  return entries.findIndex((entry) => entry.name.length === name.length && sameName(fold, name, entry.name, 0));
}

/** After a removal: go to the smallest form this one turns into without moving entries, or into the inode. */
function settle(fork: ForkBlocks, form: DirectoryForm): void {
  if (form === 'node') {
    if (!nodeToLeaf(fork)) return;
    form = 'leaf';
  }
  if (form === 'leaf' && leafToBlock(fork)) form = 'block';
  const count = form === 'block' ? countBlock(fork) : countLeaf(fork);
  // 9 bytes: the smallest entry. Only then is it worth reading all of them.
  if (6 + 9 * count > fork.localCapacity) return;
  const entries: PlacedEntry[] = [];
  forEachEntry(fork, (inode, ftype, bytes, start, end, cookie) => {
    entries.push({ name: bytes.slice(start, end), inode, ftype, offset: form === 'block' ? cookie * 8 : 0 });
  });
  const bytes = buildShort(parentOf(fork), entries, fork.localCapacity, fork.blockBytes);
  if (!bytes) return;
  freeAllBlocks(fork);
  fork.setLocal(bytes);
  fork.setSize(bytes.length);
}

/**
 * Let an entry name another inode (rename over it; ".." when a directory moves). False when there is no such entry.
 * A short form may grow into blocks by it (ENOSPC): an inode number of 2^32 or more widens all of them.
 */
export function replace(fork: ForkBlocks, name: Uint8Array, inode: number, ftype: number): boolean {
  checkTarget(fork, inode, ftype);
  const form = directoryForm(fork);
  if (form === 'local') {
    const view = shortForm(fork);
    const entries = readShort(view);
    let parent = shortParent(view);
    if (isDotDot(name)) parent = inode;
    else {
      const entry = entries[indexOfName(fork, entries, name)];
      if (!entry) return false;
      entry.inode = inode;
      entry.ftype = ftype;
    }
    if (!putShort(fork, parent, entries)) buildDirectory(fork, fork.inode, parent, entries);
    return true;
  }
  if (!search(fork, form, name)) return false;
  const { view } = edit(fork, hit.dataBlock * fork.blockBlocks, form === 'block' ? DIR_BLOCK : DIR_DATA);
  const end = form === 'block' ? dirBlockDataEnd(view) : view.byteLength;
  if (!isEntryStart(view, end, hit.offset))
    throw corrupt('DIR_BAD_POINTER', 'hash index points inside an entry', at(fork));
  setWide(view, hit.offset, inode);
  view.setUint8(hit.offset + 9 + view.getUint8(hit.offset + 8), ftype);
  return true;
}

/** Inode number of "..". */
export function parentOf(fork: ForkReader): number {
  const form = directoryForm(fork);
  if (form === 'local') return shortParent(shortForm(fork));
  // ".." is always the second entry of block 0: no need for the index, which may be damaged.
  const { view } = block(fork, 0, form === 'block' ? DIR_BLOCK : DIR_DATA);
  const offset = DIR_DOTDOT_OFFSET;
  if (
    view.getUint8(offset + 8) !== 2 ||
    view.getUint16(offset + 9) !== 0x2e2e ||
    view.getUint16(offset + 14) !== offset
  ) {
    throw corrupt('DIR_NO_DOTDOT', 'directory has no ".." in its place', at(fork, 0));
  }
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

/** Change "..". */
export function setParent(fork: ForkBlocks, inode: number): void {
  if (!replace(fork, DOTDOT, inode, FTYPE.DIR)) throw corrupt('DIR_NO_DOTDOT', 'directory has no ".."', at(fork));
}

/** Entries besides "." and "..". */
export function entryCount(fork: ForkReader): number {
  const form = directoryForm(fork);
  if (form === 'local') return shortCount(shortForm(fork));
  if (form === 'block') return countBlock(fork);
  return form === 'leaf' ? countLeaf(fork) : countNode(fork);
}

/** True when there is nothing besides "." and "..": by the entries themselves, not the index. */
export function isEmpty(fork: ForkReader): boolean {
  let empty = true;
  forEachEntry(fork, () => (empty = false));
  return empty;
}

/** Visit all entries besides "." and "..", in stored order. The directory must not change meanwhile. */
export function forEachEntry(fork: ForkReader, visit: EntryVisitor): void {
  const form = directoryForm(fork);
  if (form === 'local') {
    visitShort(shortForm(fork), visit);
    return;
  }
  if (form === 'block') {
    const { view, data } = block(fork, 0, DIR_BLOCK);
    visitData(view, data, dirBlockDataEnd(view), 0, visit);
    return;
  }
  const step = fork.blockBytes / 8 / fork.blockBlocks;
  for (const fileBlock of fork.mapped(0, leafStart(fork))) {
    const { view, data } = block(fork, fileBlock, DIR_DATA);
    if (!visitData(view, data, fork.blockBytes, fileBlock * step, visit)) return;
  }
}

/** Copies of all entries besides "." and "..", in stored order. */
export function readEntries(fork: ForkReader): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  forEachEntry(fork, (inode, ftype, bytes, start, end) => {
    entries.push({ name: bytes.slice(start, end), inode, ftype });
  });
  return entries;
}

/** Write the directory anew in the smallest form, without gaps or stale index entries. */
export function compact(fork: ForkBlocks): void {
  const parent = parentOf(fork);
  buildDirectory(fork, fork.inode, parent, readEntries(fork));
}
