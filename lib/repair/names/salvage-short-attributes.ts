/**
 * Attributes of a damaged shortform. Entries follow each other by their lengths alone; total and count must come out.
 * When one length is wrong, the entries before it and those behind it can still be told, and often the one itself.
 */
import {
  ATTR,
  ATTR_NAMESPACE_MASK,
  AttrShortEntry,
  AttrShortHeader,
  decodeParent,
} from '../../../formats/attribute.ts';
import { showPath } from '../../volume/path.ts';
import type { AttributeEntry } from '../../xattr/build.ts';

const HEAD = AttrShortEntry.size;

interface Piece {
  readonly at: number;
  readonly nameLength: number;
  readonly valueLength: number;
}

/** @param view the fork's bytes. */
export function salvageShortAttributes(view: DataView): { entries: AttributeEntry[]; lost: string[] } {
  const lost: string[] = [];
  const total = view.getUint16(0);
  const count = view.getUint8(2);
  const pieces = cut(view, total, count, lost);
  const data = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const entries: AttributeEntry[] = [];
  for (const { at, nameLength, valueLength } of pieces) {
    const name = data.slice(at + HEAD, at + HEAD + nameLength);
    const value = data.slice(at + HEAD + nameLength, at + HEAD + nameLength + valueLength);
    const flags = view.getUint8(at + 2);
    const namespace = namespaceOf(flags, name);
    const isParent = namespace !== undefined && (namespace & ATTR.PARENT) !== 0;
    const isPossible = namespace !== undefined && !name.includes(0);
    // Parent pointers are written as the entries are: none is lost.
    if (isParent && decodeParent(value) === undefined) continue;
    if (!isPossible) {
      lost.push(`attribute "${showPath(name)}": its namespace or name is damaged`);
    } else if (!entries.some((other) => other.flags === namespace && !isParent && same(other.name, name))) {
      entries.push({ flags: namespace, name, value });
    }
  }
  return { entries, lost };
}

/** Attributes that follow each other as a shortform has them, up to as many as it says, whatever the total is. */
export function countShortAttributes(view: DataView): number {
  const pieces = run(view, AttrShortHeader.size, view.byteLength, view.getUint8(2));
  return pieces.every((piece) => isSane(view, piece)) ? pieces.length : 0;
}

/** Where the entries are. */
function cut(view: DataView, total: number, count: number, lost: string[]): Piece[] {
  const size = view.byteLength;
  const byCount = run(view, AttrShortHeader.size, size, count);
  if (byCount.length === count && endOf(byCount) === total) return byCount;
  if (byCount.length === count && byCount.every((piece) => isSane(view, piece))) {
    // The total or a length is wrong: behind the last entry are zeroes, as a rule.
    const last = endOf(byCount);
    const between = isZero(view, Math.min(last, total), Math.max(last, total));
    if (last === total || (last < total ? between : !between)) return byCount;
  }
  const end = total >= AttrShortHeader.size && total <= size ? total : size;
  const byTotal = run(view, AttrShortHeader.size, end, 255);
  const isTiled = endOf(byTotal) === end && byTotal.every((piece) => isSane(view, piece));
  // Fewer than the count says: a length may be wrong by just as much as an entry has.
  if (isTiled && byTotal.length >= count) return byTotal;
  return around(view, end, count, byTotal, lost) ?? whatFits(view, byTotal, isTiled, count, lost);
}

/** One length is wrong: look for the place behind it from where on everything fits. */
function around(
  view: DataView,
  end: number,
  count: number,
  before: readonly Piece[],
  lost: string[],
): Piece[] | undefined {
  for (let k = before.length; k >= 0; k--) {
    const at = k === 0 ? AttrShortHeader.size : endOf(before.slice(0, k));
    const wanted = count - k - 1;
    if (wanted < 0 || at + HEAD > end) continue;
    for (let next = at + HEAD + 1; next <= end; next++) {
      const behind = run(view, next, end, wanted);
      if (behind.length !== wanted || (wanted > 0 ? endOf(behind) !== end : next !== end)) continue;
      if (!behind.every((piece) => isSane(view, piece))) continue;
      const between = mended(view, at, next - at - HEAD);
      if (!between) lost.push(`an attribute of ${next - at} bytes: its lengths are damaged`);
      return [...before.slice(0, k), ...(between ? [between] : []), ...behind];
    }
  }
  return undefined;
}

function whatFits(view: DataView, found: Piece[], isTiled: boolean, count: number, lost: string[]): Piece[] {
  if (isTiled) return found;
  const kept = found.filter((piece) => isSane(view, piece));
  lost.push(`${Math.max(1, count - kept.length)} attributes: the lengths are damaged`);
  return kept;
}

/** Entries from here on, at most `most`, as far as they fit. */
function run(view: DataView, from: number, end: number, most: number): Piece[] {
  const pieces: Piece[] = [];
  for (let at = from; pieces.length < most && at + HEAD < end; ) {
    const nameLength = view.getUint8(at);
    const valueLength = view.getUint8(at + 1);
    const next = at + HEAD + nameLength + valueLength;
    if (nameLength === 0 || next > end) break;
    pieces.push({ at, nameLength, valueLength });
    at = next;
  }
  return pieces;
}

function isZero(view: DataView, from: number, to: number): boolean {
  for (let at = from; at < Math.min(to, view.byteLength); at++) if (view.getUint8(at) !== 0) return false;
  return true;
}

function endOf(pieces: readonly Piece[]): number {
  const last = pieces.at(-1);
  return last ? last.at + HEAD + last.nameLength + last.valueLength : AttrShortHeader.size;
}

/** One namespace at most, and a name as people give them. */
function isSane(view: DataView, { at, nameLength }: Piece): boolean {
  const flags = view.getUint8(at + 2);
  if ((flags & ~ATTR_NAMESPACE_MASK) !== 0 || (flags & (flags - 1)) !== 0) return false;
  for (let i = at + HEAD; i < at + HEAD + nameLength; i++) if (view.getUint8(i) < 0x20) return false;
  return true;
}

/** The entry whose name and value together have `bytes`: one of its lengths is right, if only one way makes sense. */
function mended(view: DataView, at: number, bytes: number): Piece | undefined {
  const nameLength = view.getUint8(at);
  const valueLength = view.getUint8(at + 1);
  const ways: Piece[] = [];
  if (nameLength > 0 && nameLength <= bytes) ways.push({ at, nameLength, valueLength: bytes - nameLength });
  if (valueLength < bytes) ways.push({ at, nameLength: bytes - valueLength, valueLength });
  const sane = ways.filter((way) => isSane(view, way) && way.nameLength < 255 && way.valueLength < 255);
  if (sane.length === 1) return sane[0];
  const plain = sane.filter((way) => isPlain(view, way));
  return plain.length === 1 ? plain[0] : undefined;
}

/** A name of letters, digits and what usually stands between them. */
function isPlain(view: DataView, { at, nameLength }: Piece): boolean {
  const name = new Uint8Array(view.buffer, view.byteOffset + at + HEAD, nameLength);
  return /^[\w.:+@-]+$/.test(showPath(name));
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

const SECURE_NAMES = ['selinux', 'capability', 'ima', 'evm', 'apparmor', 'SMACK64'];

/** The namespace bit of an entry; where two are set, the one that the name is known to have. */
export function namespaceOf(flags: number, name: Uint8Array): number | undefined {
  const namespace = flags & ATTR_NAMESPACE_MASK;
  if ((namespace & (namespace - 1)) === 0) return namespace;
  const text = showPath(name);
  if (text.startsWith('SGI_ACL_')) return ATTR.ROOT;
  return SECURE_NAMES.includes(text) ? ATTR.SECURE : undefined;
}
