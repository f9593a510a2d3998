/** The shortform: all attributes of a file as a few bytes inside its inode, in no order. */
import {
  ATTR,
  ATTR_NAMESPACE_MASK,
  AttrShortEntry,
  AttrShortHeader,
  MAX_SHORTFORM_FIELD,
  shortformFault,
} from '../../formats/attribute.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt } from '../errors.ts';
import { sameBytes } from './leaf.ts';

const HEADER = AttrShortHeader.size;
const ENTRY = AttrShortEntry.size;
/** The count is one byte. */
const MAX_ENTRIES = 255;

/** The fork's verified shortform, or undefined when it is not local. Throws `corrupt` when it does not verify. */
export function shortform(fork: ForkReader): DataView | undefined {
  const view = fork.local();
  if (view === undefined) return undefined;
  const fault = shortformFault(view);
  if (fault) {
    throw corrupt(fault.code, `attribute shortform: ${fault.field} is ${fault.found}, expected ${fault.expected}`, {
      where: { inode: fork.inode, structure: 'AttrShortform', field: fault.field },
      expected: fault.expected,
      found: fault.found,
    });
  }
  return view;
}

/** Bytes of the entry at this offset. */
export function shortEntryBytes(view: DataView, at: number): number {
  return ENTRY + view.getUint8(at) + view.getUint8(at + 1);
}

/** Offset of an attribute's entry, or -1. */
export function findShort(view: DataView, flags: number, name: Uint8Array, value: Uint8Array | undefined): number {
  const count = view.getUint8(2);
  for (let i = 0, at: number = HEADER; i < count; i++, at += shortEntryBytes(view, at)) {
    if ((view.getUint8(at + 2) & ATTR_NAMESPACE_MASK) !== flags || view.getUint8(at) !== name.length) continue;
    if (!sameBytes(view, at + ENTRY, name)) continue;
    if ((flags & ATTR.PARENT) === 0 || value === undefined) return at;
    if (view.getUint8(at + 1) === value.length && sameBytes(view, at + ENTRY + name.length, value)) return at;
  }
  return -1;
}

/**
 * Size of the form after a value of `valueLength` bytes took the place of entry `found` (-1: joined), or undefined when
 * it cannot be stored in this form whatever the room.
 */
export function shortformSizeWith(
  view: DataView | undefined,
  found: number,
  nameLength: number,
  valueLength: number,
): number | undefined {
  if (nameLength > MAX_SHORTFORM_FIELD || valueLength > MAX_SHORTFORM_FIELD) return undefined;
  const total = view?.getUint16(0) ?? HEADER;
  const count = view?.getUint8(2) ?? 0;
  if (found < 0 && count >= MAX_ENTRIES) return undefined;
  return total + ENTRY + nameLength + valueLength - (found < 0 || !view ? 0 : shortEntryBytes(view, found));
}

/** Builds a shortform from entries; the caller has made sure that they fit. */
export class ShortformWriter {
  readonly #data: Uint8Array;
  #at: number = HEADER;
  #count = 0;

  constructor(size: number) {
    this.#data = new Uint8Array(size);
  }
  add(flags: number, name: Uint8Array, value: Uint8Array): void {
    this.#data[this.#at] = name.length;
    this.#data[this.#at + 1] = value.length;
    this.#data[this.#at + 2] = flags;
    this.#data.set(name, this.#at + ENTRY);
    this.#data.set(value, this.#at + ENTRY + name.length);
    this.#at += ENTRY + name.length + value.length;
    this.#count++;
  }
  /** All entries of another shortform but the one at `except` (-1: none). */
  addAll(view: DataView, except: number): void {
    const count = view.getUint8(2);
    for (let i = 0, at: number = HEADER; i < count; i++) {
      const length = shortEntryBytes(view, at);
      if (at !== except) {
        this.#data.set(new Uint8Array(view.buffer, view.byteOffset + at, length), this.#at);
        this.#at += length;
        this.#count++;
      }
      at += length;
    }
  }
  finish(): Uint8Array {
    const view = new DataView(this.#data.buffer);
    view.setUint16(0, this.#at);
    view.setUint8(2, this.#count);
    return this.#data.subarray(0, this.#at);
  }
}
