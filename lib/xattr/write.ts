/**
 * Changing attributes: the form follows from the content. A fork is local when everything fits there, else a leaf,
 * else leaves under nodes; both directions happen here, inside the caller's transaction.
 */
import {
  ATTR,
  ATTR_LEAF,
  ATTR_NAMESPACE_MASK,
  ATTR_ROOT,
  AttrLocal,
  AttrRemote,
  AttrShortHeader,
  attrHash,
  isLocalSized,
  MAX_ATTR_NAME,
  MAX_ATTR_VALUE,
  MAX_SHORTFORM_FIELD,
  remoteBlocks,
} from '../../formats/attribute.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { fileError, internal } from '../errors.ts';
import { initLeaf, leafCount, leafFlags, leafLowerBound, leafRecord, leafRemove, type NewAttribute } from './leaf.ts';
import { clearLeftovers } from './leftovers.ts';
import { isNode, Path } from './path.ts';
import { FILE_BLOCKS, freeRemote, lowestUnmapped, verifyRemote, writeRemote } from './remote.ts';
import { findShort, ShortformWriter, shortEntryBytes, shortform, shortformSizeWith } from './shortform.ts';
import { insertAt, shrinkAfterRemove } from './tree.ts';

const SHORT_HEADER = AttrShortHeader.size;
const EMPTY = new Uint8Array(0);

/**
 * Refuse what the format cannot hold: ERANGE (name length), E2BIG (value length), EINVAL (flags, NUL in the name, a
 * parent pointer without its 12 bytes).
 */
export function assertStorable(flags: number, name: Uint8Array, valueLength: number): void {
  const namespace = flags & ATTR_NAMESPACE_MASK;
  if (namespace !== flags || (namespace & (namespace - 1)) !== 0) throw fileError('EINVAL', `attribute flags ${flags}`);
  if (name.length === 0 || name.length > MAX_ATTR_NAME)
    throw fileError('ERANGE', `attribute name of ${name.length} bytes`);
  if (name.includes(0)) throw fileError('EINVAL', 'attribute name with a NUL');
  if (valueLength > MAX_ATTR_VALUE) throw fileError('E2BIG', `attribute value of ${valueLength} bytes`);
  if (flags & ATTR.PARENT && valueLength !== 12) throw fileError('EINVAL', `parent pointer of ${valueLength} bytes`);
}

/**
 * Bytes the shortform would have after `setAttribute` with a value of this length; undefined when that can not be a
 * shortform whatever the room (the fork has blocks, or name or value are too long). The file layer compares it with
 * `localCapacity` to see whether moving the fork offset would help.
 */
export function shortformBytesAfter(
  fork: ForkReader,
  flags: number,
  name: Uint8Array,
  valueLength: number,
): number | undefined {
  const local = shortform(fork);
  if (local === undefined && fork.find(0, ATTR_ROOT) !== undefined) return undefined;
  const found = local && (flags & ATTR.PARENT) === 0 ? findShort(local, flags, name, undefined) : -1;
  return shortformSizeWith(local, found, name.length, valueLength);
}

/**
 * Create an attribute or replace its value. What a crash has left half-replaced near it goes. A parent pointer is told by name *and* value: storing one that exists
 * changes nothing.
 * @param flags the namespace bit (`ATTR`). Throws `file` errors of `assertStorable`, ENOSPC from the allocator (cancel
 * the transaction), `corrupt`.
 */
export function setAttribute(fork: ForkBlocks, flags: number, name: Uint8Array, value: Uint8Array): void {
  assertStorable(flags, name, value.length);
  const local = shortform(fork);
  if (local === undefined && fork.find(0, ATTR_ROOT) !== undefined) {
    const hash = attrHash(flags, name, 0, name.length, value);
    clearLeftovers(fork, hash);
    setInBlocks(fork, { hash, flags, name, value, valueBlock: 0 });
    toShortform(fork);
    return;
  }
  const found = local ? findShort(local, flags, name, value) : -1;
  const size = shortformSizeWith(local, found, name.length, value.length);
  if (size !== undefined && size <= fork.localCapacity) {
    if (found >= 0 && flags & ATTR.PARENT) return;
    const writer = new ShortformWriter(size);
    if (local) writer.addAll(local, found);
    writer.add(flags, name, value);
    fork.setLocal(writer.finish());
    return;
  }
  leaveShortform(fork, local, found);
  setInBlocks(fork, { hash: attrHash(flags, name, 0, name.length, value), flags, name, value, valueBlock: 0 });
}

/** Turn a shortform (or an empty fork) into a leaf form without the entry at `except`. */
function leaveShortform(fork: ForkBlocks, local: DataView | undefined, except: number): void {
  const items: NewAttribute[] = [];
  const count = local?.getUint8(2) ?? 0;
  // Copies: the local bytes are gone once the fork leaves the local form.
  const bytes = local ? new Uint8Array(local.buffer, local.byteOffset, local.byteLength).slice() : EMPTY;
  for (let i = 0, at: number = SHORT_HEADER; local && i < count; i++, at += shortEntryBytes(local, at)) {
    if (at === except) continue;
    const nameEnd = at + 3 + bytes[at]!;
    const name = bytes.subarray(at + 3, nameEnd);
    const value = bytes.subarray(nameEnd, nameEnd + bytes[at + 1]!);
    const flags = bytes[at + 2]!;
    items.push({ hash: attrHash(flags, name, 0, name.length, value), flags, name, value, valueBlock: 0 });
  }
  if (local) fork.clearLocal();
  initLeaf(fork.create(0, ATTR_LEAF), fork);
  // Through the general door: many tiny entries take more room in a leaf than in an inode, and may need two.
  for (const item of items) setInBlocks(fork, item);
}

function setInBlocks(fork: ForkBlocks, item: NewAttribute): void {
  const path = new Path(fork);
  const local = isLocalSized(item.name.length, item.value.length, fork.blockBytes);
  if (!path.find(item.hash, item.flags, item.name, item.value)) {
    if (!local) storeRemote(fork, item);
    path.descend(item.hash);
    insertAt(path, leafLowerBound(path.leaf().view, item.hash), item);
    return;
  }
  if (item.flags & ATTR.PARENT) return;
  const old = oldValue(path);
  if (old) verifyRemote(fork, old.block, old.length);
  if (!local) storeRemote(fork, item);
  const leaf = path.leaf();
  fork.change(leaf);
  if (!old && local && overwrite(leaf.view, path.entry, item)) return;
  leafRemove(leaf, path.entry);
  insertAt(path, path.entry, item);
  if (old) freeRemote(fork, old.block, old.length);
}

/** Put a value of the same length in the old one's place. */
function overwrite(view: DataView, entry: number, item: NewAttribute): boolean {
  const record = leafRecord(view, entry);
  if (view.getUint16(record) !== item.value.length) return false;
  const at = view.byteOffset + record + AttrLocal.size + item.name.length;
  new Uint8Array(view.buffer, at, item.value.length).set(item.value);
  return true;
}

function storeRemote(fork: ForkBlocks, item: NewAttribute): void {
  item.valueBlock = lowestUnmapped(fork, remoteBlocks(item.value.length, fork.blockBytes));
  writeRemote(fork, item.valueBlock, item.value);
}

/** Where the value of the path's entry lies when it has blocks of its own. */
function oldValue(path: Path): { block: number; length: number } | undefined {
  const { view } = path.leaf();
  if (leafFlags(view, path.entry) & ATTR.LOCAL) return undefined;
  const remote = AttrRemote.at(view, leafRecord(view, path.entry));
  return { block: remote.valueblk, length: remote.valuelen };
}

/**
 * Remove an attribute; false when it does not exist. The last one leaves an empty shortform behind.
 * @param value parent pointers only, and needed there: the value that tells it from others of the same name.
 */
export function removeAttribute(fork: ForkBlocks, flags: number, name: Uint8Array, value?: Uint8Array): boolean {
  if (flags & ATTR.PARENT && !value) throw internal('a parent pointer is removed by name and value');
  const local = shortform(fork);
  if (local) {
    const found = findShort(local, flags, name, value);
    if (found < 0) return false;
    const writer = new ShortformWriter(local.getUint16(0) - shortEntryBytes(local, found));
    writer.addAll(local, found);
    fork.setLocal(writer.finish());
    return true;
  }
  const hash = attrHash(flags, name, 0, name.length, value);
  const path = new Path(fork);
  if (!path.find(hash, flags, name, value)) return false;
  clearLeftovers(fork, hash);
  path.find(hash, flags, name, value);
  const old = oldValue(path);
  if (old) {
    verifyRemote(fork, old.block, old.length);
    freeRemote(fork, old.block, old.length);
  }
  const leaf = path.leaf();
  fork.change(leaf);
  leafRemove(leaf, path.entry);
  shrinkAfterRemove(path);
  toShortform(fork);
  return true;
}

/**
 * Back to the shortform when block 0 is a leaf whose entries all fit. Blocks that nothing points at (damage) keep the
 * fork as it is: a local fork could not hold them.
 */
function toShortform(fork: ForkBlocks): void {
  const { view } = new Path(fork).root();
  if (isNode(view)) return;
  const size = shortformSizeOfLeaf(view);
  if (size > fork.localCapacity || fork.lastMapped(FILE_BLOCKS) !== 0) return;
  const writer = new ShortformWriter(size);
  const count = leafCount(view);
  for (let i = 0; i < count; i++) {
    const record = leafRecord(view, i);
    const local = AttrLocal.at(view, record);
    const name = new Uint8Array(view.buffer, view.byteOffset + record + AttrLocal.size, local.namelen);
    const value = new Uint8Array(view.buffer, name.byteOffset + local.namelen, local.valuelen);
    writer.add(leafFlags(view, i) & ATTR_NAMESPACE_MASK, name, value);
  }
  fork.free(0);
  fork.setLocal(writer.finish());
}

/** Bytes a leaf's entries take in the shortform; infinite when one of them cannot be there. */
function shortformSizeOfLeaf(view: DataView): number {
  const count = leafCount(view);
  if (count > 255) return Number.POSITIVE_INFINITY;
  let size: number = SHORT_HEADER;
  for (let i = 0; i < count; i++) {
    const flags = leafFlags(view, i);
    const record = leafRecord(view, i);
    const valueLength = view.getUint16(record);
    const nameLength = view.getUint8(record + 2);
    if ((flags & ATTR.LOCAL) === 0 || (flags & ATTR.INCOMPLETE) !== 0) return Number.POSITIVE_INFINITY;
    if (nameLength > MAX_SHORTFORM_FIELD || valueLength > MAX_SHORTFORM_FIELD) return Number.POSITIVE_INFINITY;
    size += 3 + nameLength + valueLength;
  }
  return size;
}
