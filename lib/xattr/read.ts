/** Reading attributes in every form: one by name, or all of them through a cursor that is reused. */
import {
  ATTR,
  ATTR_NAMESPACE_MASK,
  AttrLocal,
  AttrRemote,
  AttrShortEntry,
  AttrShortHeader,
  attrHash,
  decodeParent,
} from '../../formats/attribute.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { internal } from '../errors.ts';
import { leafCount, leafFlags, leafRecord } from './leaf.ts';
import { Path } from './path.ts';
import { readRemote } from './remote.ts';
import { findShort, shortEntryBytes, shortform } from './shortform.ts';

const SHORT_ENTRY = AttrShortEntry.size;

/** One attribute during a walk: good until the next step. `name()` and `value()` copy. */
export class AttributeCursor {
  readonly fork: ForkReader;
  /** Namespace bit (`ATTR`), without LOCAL and INCOMPLETE. */
  flags = 0;
  /** The name is bytes[nameStart, nameEnd): a view of the block, do not keep it. */
  bytes: Uint8Array = new Uint8Array(0);
  nameStart = 0;
  nameEnd = 0;
  /** Bytes. */
  valueLength = 0;
  /** First block of a value with blocks of its own, else 0; the value then is not in `bytes`. */
  valueBlock = 0;

  constructor(fork: ForkReader) {
    this.fork = fork;
  }

  name(): Uint8Array {
    return this.bytes.slice(this.nameStart, this.nameEnd);
  }
  /** Reads the value's blocks when it has any; throws `corrupt` when they are damaged. */
  value(): Uint8Array {
    if (this.valueBlock !== 0) return readRemote(this.fork, this.valueBlock, this.valueLength);
    return this.bytes.slice(this.nameEnd, this.nameEnd + this.valueLength);
  }

  /** Move to the shortform entry at an offset. */
  atShort(view: DataView, at: number): void {
    this.flags = view.getUint8(at + 2) & ATTR_NAMESPACE_MASK;
    this.nameStart = at + SHORT_ENTRY;
    this.nameEnd = this.nameStart + view.getUint8(at);
    this.valueLength = view.getUint8(at + 1);
    this.valueBlock = 0;
  }
  /** Move to entry i of a leaf. */
  atLeaf(view: DataView, i: number): void {
    const flags = leafFlags(view, i);
    const record = leafRecord(view, i);
    this.flags = flags & ATTR_NAMESPACE_MASK;
    if (flags & ATTR.LOCAL) {
      this.nameStart = record + AttrLocal.size;
      this.nameEnd = this.nameStart + view.getUint8(record + 2);
      this.valueLength = view.getUint16(record);
      this.valueBlock = 0;
    } else {
      this.nameStart = record + AttrRemote.size;
      this.nameEnd = this.nameStart + view.getUint8(record + 8);
      this.valueLength = view.getUint32(record + 4);
      this.valueBlock = view.getUint32(record);
    }
  }
}

/**
 * Visit every attribute, half-replaced ones left out, in no promised order; stops when the visitor returns false.
 * The visitor must not change the fork. Throws `corrupt` on damage.
 */
export function forEachAttribute(fork: ForkReader, visit: (attribute: AttributeCursor) => unknown): void {
  const cursor = new AttributeCursor(fork);
  const local = shortform(fork);
  if (local) {
    cursor.bytes = new Uint8Array(local.buffer, local.byteOffset, local.byteLength);
    const count = local.getUint8(2);
    for (let i = 0, at: number = AttrShortHeader.size; i < count; i++, at += shortEntryBytes(local, at)) {
      cursor.atShort(local, at);
      if (visit(cursor) === false) return;
    }
    return;
  }
  const path = new Path(fork);
  if (!path.descend(0)) return;
  const start = path.leafBlock;
  do {
    const { view, data } = path.leaf();
    const count = leafCount(view);
    for (let i = 0; i < count; i++) {
      if (leafFlags(view, i) & ATTR.INCOMPLETE) continue;
      cursor.bytes = data;
      cursor.atLeaf(view, i);
      if (visit(cursor) === false) return;
    }
  } while (path.nextLeaf(start));
}

/** One attribute without its value. */
export interface AttributeName {
  flags: number;
  name: Uint8Array;
  valueLength: number;
}
/** All attributes without their values. */
export function listAttributes(fork: ForkReader): AttributeName[] {
  const names: AttributeName[] = [];
  forEachAttribute(fork, (found) => {
    names.push({ flags: found.flags, name: found.name(), valueLength: found.valueLength });
  });
  return names;
}

/**
 * The value of an attribute (a copy), or undefined when it does not exist.
 * @param flags namespace bit. Parent pointers cannot be looked up by name (their hash takes the value in): use
 * `listParents`.
 */
export function getAttribute(fork: ForkReader, flags: number, name: Uint8Array): Uint8Array | undefined {
  if (flags & ATTR.PARENT) throw internal('parent pointers are not looked up by name');
  const cursor = new AttributeCursor(fork);
  const local = shortform(fork);
  if (local) {
    const at = findShort(local, flags, name, undefined);
    if (at < 0) return undefined;
    cursor.bytes = new Uint8Array(local.buffer, local.byteOffset, local.byteLength);
    cursor.atShort(local, at);
    return cursor.value();
  }
  const path = new Path(fork);
  if (!path.find(attrHash(flags, name, 0, name.length, undefined), flags, name, undefined)) return undefined;
  const { view, data } = path.leaf();
  cursor.bytes = data;
  cursor.atLeaf(view, path.entry);
  return cursor.value();
}

/** One parent pointer: an entry of a directory that names this inode. */
export interface Parent {
  inode: number;
  generation: number;
  name: Uint8Array;
}
/** The parent pointers of an inode; those whose value is not one are left out (the checker reports them). */
export function listParents(fork: ForkReader): Parent[] {
  const parents: Parent[] = [];
  forEachAttribute(fork, (found) => {
    if ((found.flags & ATTR.PARENT) === 0) return;
    const parent = decodeParent(found.value());
    if (parent) parents.push({ ...parent, name: found.name() });
  });
  return parents;
}
