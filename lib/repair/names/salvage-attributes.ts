/**
 * Every attribute of a damaged fork that can be read whole. A leaf's index entry holds the hash of the name, so a record
 * that its entry's hash confirms is right whatever else in the block is not; a value in blocks of its own is right when
 * each block's CRC is, possibly after its header was made what it must be.
 */
import {
  ATTR,
  ATTR_LEAF,
  ATTR_LEAF_MAGIC,
  ATTR_NAMESPACE_MASK,
  ATTR_REMOTE_MAGIC,
  AttrLeafEntry,
  AttrLeafHeader,
  AttrLocal,
  AttrRemote,
  AttrRemoteHeader,
  attrHash,
  decodeParent,
  localRecordBytes,
  MAX_ATTR_VALUE,
  remoteBlocks,
  remotePayload,
  remoteRecordBytes,
} from '../../../formats/attribute.ts';
import { crcWithHole, storedCrc } from '../../../formats/checksum.ts';
import { DA_NODE_MAGIC, DaHeader } from '../../../formats/da.ts';
import { FORMAT } from '../../../formats/inode.ts';
import { getU64, NULL32, setU64 } from '../../../formats/struct.ts';
import { Fork } from '../../file/fork.ts';
import type { Inode } from '../../file/inode.ts';
import { showPath } from '../../volume/path.ts';
import type { AttributeEntry } from '../../xattr/build.ts';
import { type RawBlock, RawFork } from './raw-fork.ts';
import { namespaceOf, salvageShortAttributes } from './salvage-short-attributes.ts';
import type { Workshop } from './workshop.ts';

export interface SalvagedAttributes {
  readonly entries: AttributeEntry[];
  /** What was lost, in words: names where they are known. */
  readonly lost: string[];
}

/** File blocks are 32-bit numbers in attribute forks. */
const FILE_BLOCKS = 2 ** 32;
/** Bytes of values that are held in memory at most. */
const MOST_BYTES = 256 << 20;
const MOST_SEARCHED = 64;
const MOST_SEARCHED_ENTRIES = 16;
const HEADER = AttrLeafHeader.size;

/** @param isForeign is this inode, which a block names as its owner, missing that block? */
export function salvageAttributes(
  shop: Workshop,
  inode: Inode,
  isForeign: (owner: number) => boolean,
): SalvagedAttributes {
  const fork = new Fork(inode, 'attr');
  if (fork.format === FORMAT.LOCAL) {
    return salvageShortAttributes(new DataView(inode.view.buffer, inode.view.byteOffset + fork.base, fork.bytes));
  }
  return new BlocksSalvage(shop, inode, isForeign).run();
}

/** A record of a leaf's heap. */
interface HeapRecord {
  readonly flags: number;
  readonly start: number;
  readonly end: number;
  readonly name: Uint8Array;
  readonly value: Uint8Array | undefined;
  readonly valueBlock: number;
  readonly valueLength: number;
  /** The hash of its entry is that of its name. */
  readonly proven: boolean;
}

class BlocksSalvage {
  readonly #shop: Workshop;
  readonly #inode: number;
  readonly #fork: RawFork;
  readonly #isForeign: (owner: number) => boolean;
  readonly #result: SalvagedAttributes = { entries: [], lost: [] };
  readonly #seen = new Set<string>();
  /** File blocks of values that were read. */
  readonly #used = new Set<number>();
  /** Values whose first block could not be found where the entry says. */
  readonly #waiting: HeapRecord[] = [];
  /** Records whose name may be damaged: what has that name rightly comes first. */
  readonly #doubtful: HeapRecord[] = [];
  #bytes = 0;
  /** Damaged leaves that were searched. */
  #searched = 0;

  constructor(shop: Workshop, inode: Inode, isForeign: (owner: number) => boolean) {
    this.#shop = shop;
    this.#inode = inode.number;
    this.#fork = new RawFork(shop, inode, 'attr');
    this.#isForeign = isForeign;
  }

  run(): SalvagedAttributes {
    this.#fork.forEach(0, FILE_BLOCKS, (block) => this.#block(block));
    for (const record of this.#doubtful) this.#take(record);
    for (const record of this.#waiting) this.#search(record);
    return this.#result;
  }

  #block(block: RawBlock): void {
    const { view, daddr } = block;
    const magic = view.getUint16(DaHeader.offsets.magic);
    if (view.getUint32(0) === ATTR_REMOTE_MAGIC || magic === DA_NODE_MAGIC) return;
    if (ATTR_LEAF.verify(view, this.#shop.geometry, daddr)) {
      const records = this.#records(view, false);
      if (magic === ATTR_LEAF_MAGIC || records.length > 0) this.#leaf(view, records);
    } else this.#leaf(view, this.#records(view, namedBytes(view) === view.getUint16(AttrLeafHeader.offsets.usedbytes)));
  }

  #leaf(view: DataView, records: readonly HeapRecord[]): void {
    const owner = getU64(view, DaHeader.offsets.owner);
    if (owner !== this.#inode && this.#isForeign(owner)) {
      this.#result.lost.push('a block of attributes that is that of another inode');
      return;
    }
    const sorted = [...records].sort((a, b) => a.start - b.start);
    const isPacked = view.getUint8(AttrLeafHeader.offsets.holes) === 0;
    sorted.forEach((record, i) => {
      if ((record.flags & ATTR.INCOMPLETE) !== 0) return;
      const next = sorted[i + 1]?.start ?? view.byteLength;
      // A length that reaches into the next record, or leaves room where there are no holes, is not the right one.
      const isWhole = record.end <= next && (record.end === next || !isPacked || records.length < countOf(view));
      if (!isWhole && record.value) {
        const isKnown = record.proven && isPacked && records.length === countOf(view);
        if (isKnown) this.#measure(view, record, next);
        else this.#lose(record.name, 'its length is damaged');
      } else if (record.proven) this.#take(record);
      else this.#doubtful.push(record);
    });
  }

  /**
   * A value inside the leaf whose length is damaged, between records that are all known: it ends where the next one begins, but for
   * up to three bytes of padding. Zeroes there are taken for padding.
   */
  #measure(view: DataView, record: HeapRecord, next: number): void {
    const start = record.start + AttrLocal.size + record.name.length;
    let end = next;
    while (end > start && next - end < 3 && view.getUint8(end - 1) === 0) end--;
    const value = new Uint8Array(view.buffer, view.byteOffset + start, Math.max(0, end - start)).slice();
    this.#keep(record, value);
    this.#lose(
      record.name,
      `its length is damaged: ${value.length} bytes are kept, and zeroes may be missing at the end`,
    );
  }

  #take(record: HeapRecord): void {
    if (record.value) this.#keep(record, record.value);
    else this.#remote(record);
  }

  /** Records that index entries name. @param sound the block has verified, and its count is right. */
  #records(view: DataView, sound: boolean): HeapRecord[] {
    const most = Math.floor((view.byteLength - HEADER) / AttrLeafEntry.size);
    const count = countOf(view);
    const found: (HeapRecord | undefined)[] = [];
    const taken = (record: HeapRecord): boolean =>
      found.some((other) => other !== undefined && record.start < other.end && other.start < record.end);
    let tableEnd = HEADER;
    // What costs time is done for so many blocks and entries: more damage than that is no accident.
    const searches = this.#searched < MOST_SEARCHED;
    let left = searches ? MOST_SEARCHED_ENTRIES : 0;
    // First those whose hash is right, then what is left.
    for (let i = 0; i < (sound ? count : most); i++) {
      const at = HEADER + AttrLeafEntry.size * i;
      if (!sound && i >= count && view.getUint32(at) === 0 && view.getUint16(at + 4) === 0) break;
      const start = view.getUint16(at + 4);
      const flags = view.getUint8(at + 6);
      const hash = view.getUint32(at);
      let record = proven(view, start, flags, hash);
      if (!record && i >= count) break;
      if (!record && searches) record = provenByLength(view, start, flags, hash);
      found.push(record && !taken(record) ? record : undefined);
      tableEnd = at + AttrLeafEntry.size;
    }
    trim(view, found);
    if (found.some((record) => !record)) this.#searched++;
    for (let i = 0; i < found.length; i++) {
      if (found[i]) continue;
      const at = HEADER + AttrLeafEntry.size * i;
      const flags = view.getUint8(at + 6);
      const hash = view.getUint32(at);
      let record: HeapRecord | undefined;
      if (left-- <= 0) tableEnd = view.byteLength;
      for (let start = (tableEnd + 3) & ~3; start < view.byteLength - 4 && !record; start += 4) {
        const candidate = proven(view, start, flags, hash);
        if (candidate && !taken(candidate)) record = candidate;
      }
      // The hash itself may be what is wrong.
      record ??= recordAt(view, view.getUint16(at + 4), flags);
      if (record && !taken(record) && isName(record.name)) found[i] = record;
      else {
        const name = nameAt(view, view.getUint16(at + 4), hash);
        if (name) found[i] = unmeasured(view.getUint16(at + 4), flags, name);
        else this.#result.lost.push(`an attribute of hash 0x${hash.toString(16).padStart(8, '0')}`);
      }
    }
    return found.filter((record) => record !== undefined);
  }

  #keep(record: HeapRecord, value: Uint8Array): void {
    const { name } = record;
    const flags = namespaceOf(record.flags, name);
    if (flags === undefined) {
      this.#lose(name, 'its namespace is damaged');
      return;
    }
    // Parent pointers are written as the entries are: none is lost.
    if ((flags & ATTR.PARENT) !== 0 && (!this.#shop.geometry.features.parent || !decodeParent(value))) return;
    const key = `${flags}:${String.fromCharCode(...name)}:${(flags & ATTR.PARENT) !== 0 ? value.join() : ''}`;
    if (this.#seen.has(key)) {
      this.#lose(name, 'there are two of that name');
      return;
    }
    this.#bytes += value.length + name.length;
    if (this.#bytes > MOST_BYTES) {
      this.#lose(name, 'the attributes together are too large');
      return;
    }
    this.#seen.add(key);
    this.#result.entries.push({ flags, name, value });
  }

  #lose(name: Uint8Array, why: string): void {
    this.#result.lost.push(`attribute "${showPath(name)}": ${why}`);
  }

  #remote(record: HeapRecord): void {
    const value = this.#value(record.valueBlock, record.valueLength) ?? this.#measured(record.valueBlock);
    if (value) this.#keep(record, value);
    else this.#waiting.push(record);
  }

  /** A value of which the length is not known: as far as its blocks say that they follow each other. */
  #measured(start: number): Uint8Array | undefined {
    const at = AttrRemoteHeader.offsets;
    let length = 0;
    for (let i = 0; length < MAX_ATTR_VALUE; i++) {
      const block = this.#fork.read(start + i);
      if (!block || this.#used.has(start + i)) break;
      const { view } = block;
      const bytes = view.getUint32(at.valueBytes);
      const follows = view.getUint32(at.magic) === ATTR_REMOTE_MAGIC && view.getUint32(at.valueOffset) === length;
      if (!follows || bytes > remotePayload(view.byteLength)) break;
      length += bytes;
      if (bytes < remotePayload(view.byteLength)) break;
    }
    return length > 0 && length <= MAX_ATTR_VALUE ? this.#value(start, length) : undefined;
  }

  /** The blocks of a value, every one of which must be proven by its CRC. */
  #value(start: number, length: number): Uint8Array | undefined {
    if (start === 0 || length > MAX_ATTR_VALUE) return undefined;
    const value = new Uint8Array(length);
    const payload = remotePayload(this.#fork.blockBytes);
    const count = remoteBlocks(length, this.#fork.blockBytes);
    for (let i = 0; i < count; i++) {
      const block = this.#used.has(start + i) ? undefined : this.#fork.read(start + i);
      const bytes = Math.min(payload, length - i * payload);
      if (!block || !this.#isProven(block, i * payload, bytes)) return undefined;
      value.set(block.data.subarray(AttrRemoteHeader.size, AttrRemoteHeader.size + bytes), i * payload);
    }
    for (let i = 0; i < count; i++) this.#used.add(start + i);
    return value;
  }

  /** The CRC is right as it is, with a header that is ours; or would be with the header that the block must have. */
  #isProven({ data, view, daddr }: RawBlock, offset: number, bytes: number): boolean {
    const at = AttrRemoteHeader.offsets;
    const stored = storedCrc(data, at.crc);
    const right =
      (view.getUint32(at.magic) === ATTR_REMOTE_MAGIC ? 1 : 0) +
      (view.getUint32(at.valueOffset) === offset ? 1 : 0) +
      (view.getUint32(at.valueBytes) === bytes ? 1 : 0) +
      (getU64(view, at.owner) === this.#inode ? 1 : 0) +
      (getU64(view, at.blkno) === daddr ? 1 : 0);
    if (right >= 4 && crcWithHole(data, at.crc) === stored) return true;
    // A CRC that was wiped says nothing of what it covers; everything else in the header says that it is right.
    if (right === 5 && (stored === 0 || stored === NULL32)) return true;
    const healed = data.slice();
    const header = AttrRemoteHeader.at(new DataView(healed.buffer));
    header.magic = ATTR_REMOTE_MAGIC;
    header.valueOffset = offset;
    header.valueBytes = bytes;
    header.uuid = this.#shop.geometry.metaUuid;
    setU64(new DataView(healed.buffer), at.owner, this.#inode);
    setU64(new DataView(healed.buffer), at.blkno, daddr);
    header.lsnHi = NULL32;
    header.lsnLo = NULL32;
    return crcWithHole(healed, at.crc) === stored;
  }

  /** A value whose place is not known: the only unused run of blocks that starts one of this length. */
  #search(record: HeapRecord): void {
    const at = AttrRemoteHeader.offsets;
    const starts: number[] = [];
    this.#fork.forEach(1, FILE_BLOCKS, ({ view, fileBlock }) => {
      const isStart = view.getUint32(at.magic) === ATTR_REMOTE_MAGIC && view.getUint32(at.valueOffset) === 0;
      if (isStart && !this.#used.has(fileBlock)) starts.push(fileBlock);
    });
    const fitting = starts.filter((start) => {
      const last = start + remoteBlocks(record.valueLength, this.#fork.blockBytes);
      const view = this.#fork.read(last - 1)?.view;
      return view && view.getUint32(at.valueOffset) + view.getUint32(at.valueBytes) === record.valueLength;
    });
    const value = fitting.length === 1 ? this.#value(fitting[0]!, record.valueLength) : undefined;
    if (value) this.#keep(record, value);
    else this.#lose(record.name, 'its value cannot be read');
  }
}

/** Bytes of the records that entries name: fewer than are used when the count is too small. */
function namedBytes(view: DataView): number {
  let sum = 0;
  for (let i = 0; i < countOf(view); i++) {
    const at = HEADER + AttrLeafEntry.size * i;
    const record = recordAt(view, view.getUint16(at + 4), view.getUint8(at + 6));
    if (record) sum += record.end - record.start;
  }
  return sum;
}

/** Drop what a count that is too great takes for entries: zeroes behind the last one, and records. */
function trim(view: DataView, found: (HeapRecord | undefined)[]): void {
  const heap = found.reduce((least, record) => Math.min(least, record?.start ?? least), view.byteLength);
  for (let i = found.length - 1; i >= 0 && !found[i]; i--) {
    const at = HEADER + AttrLeafEntry.size * i;
    const isZero = view.getUint32(at) === 0 && view.getUint32(at + 4) === 0;
    if (!isZero && at + AttrLeafEntry.size <= heap) return;
    found.pop();
  }
}

const countOf = (view: DataView): number => view.getUint16(AttrLeafHeader.offsets.count);

/** No NUL, not empty. */
const isName = (name: Uint8Array): boolean => name.length > 0 && !name.includes(0);

/** The record here in the form its flags say, or else in the other one, whose name has this hash. */
function proven(view: DataView, start: number, flags: number, hash: number): HeapRecord | undefined {
  for (const form of [flags, flags ^ ATTR.LOCAL]) {
    const record = recordAt(view, start, form);
    if (record && isName(record.name) && hashOf(record) === hash) return { ...record, proven: true };
  }
  return undefined;
}

/** The same with another length of the name than the stored one: the one that gives the hash. */
function provenByLength(view: DataView, start: number, flags: number, hash: number): HeapRecord | undefined {
  for (const form of [flags, flags ^ ATTR.LOCAL]) {
    const nameStart = start + ((form & ATTR.LOCAL) !== 0 ? AttrLocal.size : AttrRemote.size);
    let rolling = 0;
    for (let length = 1; length <= 255 && nameStart + length <= view.byteLength; length++) {
      const byte = view.getUint8(nameStart + length - 1);
      if (byte === 0) break;
      rolling = byte ^ ((rolling << 7) | (rolling >>> 25));
      // Short names match by chance.
      const record = length > 3 && rolling >>> 0 === hash ? recordAt(view, start, form, length) : undefined;
      if (record) return { ...record, proven: true };
    }
  }
  return undefined;
}

/** The name of a local record whose value does not fit, if the hash confirms it. */
function nameAt(view: DataView, start: number, hash: number): Uint8Array | undefined {
  if ((start & 3) !== 0 || start < HEADER || start + AttrLocal.size > view.byteLength) return undefined;
  const end = start + AttrLocal.size + view.getUint8(start + 2);
  if (end > view.byteLength) return undefined;
  const name = new Uint8Array(view.buffer, view.byteOffset + start + AttrLocal.size, view.getUint8(start + 2)).slice();
  return isName(name) && attrHash(0, name, 0, name.length, undefined) === hash ? name : undefined;
}

/** A local record of which all but the length of the value is known. */
function unmeasured(start: number, flags: number, name: Uint8Array): HeapRecord {
  const end = start + AttrLocal.size + name.length;
  const value = new Uint8Array(0);
  return { flags: flags | ATTR.LOCAL, start, end, name, value, valueBlock: 0, valueLength: 0, proven: true };
}

function hashOf({ flags, name, value }: HeapRecord): number {
  return attrHash(flags & ATTR_NAMESPACE_MASK, name, 0, name.length, value);
}

/** The record at a place, undefined when it does not fit the block. @param forced another length of the name. */
function recordAt(view: DataView, start: number, flags: number, forced?: number): HeapRecord | undefined {
  const size = view.byteLength;
  const isLocal = (flags & ATTR.LOCAL) !== 0;
  if ((start & 3) !== 0 || start < HEADER || start + (isLocal ? AttrLocal.size : AttrRemote.size) > size)
    return undefined;
  const nameLength = forced ?? view.getUint8(start + (isLocal ? 2 : 8));
  const valueLength = isLocal ? view.getUint16(start) : view.getUint32(start + 4);
  const end = start + (isLocal ? localRecordBytes(nameLength, valueLength) : remoteRecordBytes(nameLength));
  if (end > size || nameLength === 0) return undefined;
  const data = new Uint8Array(view.buffer, view.byteOffset, size);
  const nameStart = start + (isLocal ? AttrLocal.size : AttrRemote.size);
  const nameEnd = nameStart + nameLength;
  return {
    flags,
    start,
    end,
    name: data.slice(nameStart, nameEnd),
    value: isLocal ? data.slice(nameEnd, nameEnd + valueLength) : undefined,
    valueBlock: isLocal ? 0 : view.getUint32(start),
    valueLength,
    proven: false,
  };
}
