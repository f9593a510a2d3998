/**
 * Entries of damaged directory data blocks. What stands in its place is believed:
 *
 *   | entry | unused .. | entry | ??????? | entry | ...    each tile ends in a tag that names its own start
 *                                 resync: the next place where a tile starts that its own tag confirms
 *
 * 1. While tile follows tile an entry needs one confirmation: its tag, the index, or the tile behind it.
 * 2. Behind a break the bytes may be those of deleted entries, which keep their tags: there the index must know the
 *    entry, or, when the index is damaged too, the inode must be what the entry says.
 * 3. An entry whose inode number is none is handed on: name and type are still worth something.
 */
import { foldByte, nameHash, nameHashFolded } from '../../../formats/da.ts';
import { DIR_FREE_TAG, dirEntrySize, MAX_FTYPE } from '../../../formats/directory.ts';
import { ftypeOfMode } from '../../../formats/inode.ts';
import { type InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { hasBadByte, isDotName } from '../../directory/names.ts';
import type { NameIndex } from './name-index.ts';

/** An entry that was found; `inode` may be none. */
export interface FoundEntry {
  readonly name: Uint8Array;
  readonly inode: number;
  /** As stored: 0..8, or 0 when what is stored is no type. */
  readonly ftype: number;
  /** The name had bytes that no name may have; they were replaced. */
  readonly renamed: boolean;
  /** The index says the same. */
  readonly proven: boolean;
}

/** Entry type byte that this inode must have; 0: not in use; -1: in use, but it cannot be read. */
export function typeOfInode(table: InodeTable, inode: number): number {
  const index = table.indexOf(inode);
  const state = index === NONE ? 0 : table.state[index]!;
  if ((state & STATE.unreadable) !== 0) return -1;
  return (state & STATE.used) === 0 ? 0 : ftypeOfMode(table.mode[index]!);
}

/** One data block. `base` is the dataptr of its first byte; tiles lie in [from, end). */
export interface DataBlock {
  readonly view: DataView;
  readonly data: Uint8Array;
  readonly base: number;
  readonly from: number;
  readonly end: number;
}

export class BlockSalvage {
  readonly #table: InodeTable;
  readonly #index: NameIndex;
  readonly #fold: boolean;

  constructor(table: InodeTable, index: NameIndex, fold: boolean) {
    this.#table = table;
    this.#index = index;
    this.#fold = fold;
  }

  /** @returns entries in their order, "." and ".." left out; `broken`: the tiles do not make up the whole block. */
  run(block: DataBlock, found: (entry: FoundEntry, pointer: number) => void): { broken: boolean } {
    const { view, end } = block;
    let inSync = true;
    let broken = false;
    for (let at = block.from; at < end; ) {
      const unused = this.#unused(block, at, inSync);
      if (unused > 0) {
        inSync = true;
        at += unused;
        continue;
      }
      const length = this.#nameLength(block, at, inSync);
      if (length === 0) {
        inSync = false;
        broken = true;
        at += 8;
        continue;
      }
      const size = dirEntrySize(length);
      const entry = this.#entry(block, at, length);
      if (entry) found(entry, block.base + at / 8);
      inSync = true;
      if (view.getUint16(at + size - 2) !== at) broken = true;
      at += size;
    }
    return { broken };
  }

  /** Bytes of the unused region that starts here, 0 when none does. */
  #unused({ view, base, end }: DataBlock, at: number, inSync: boolean): number {
    if (view.getUint16(at) !== DIR_FREE_TAG) return 0;
    const length = view.getUint16(at + 2);
    const fits = length >= 8 && (length & 7) === 0 && at + length <= end;
    if (fits && view.getUint16(at + length - 2) === at) return length;
    if (!inSync || this.#index.hashAt(base + at / 8) !== undefined) return 0;
    // Unused regions never touch: this one reaches to the next live entry.
    if (this.#index.complete) return Math.min(end, (this.#index.next(base + at / 8) - base) * 8) - at;
    return fits && this.#isTile(view, at + length, end) ? length : 0;
  }

  /** Could a tile start here, by its own tag? The end of the block counts. */
  #isTile(view: DataView, at: number, end: number): boolean {
    if (at === end) return true;
    if (at + 16 > end) return false;
    const length = view.getUint16(at) === DIR_FREE_TAG ? view.getUint16(at + 2) : dirEntrySize(view.getUint8(at + 8));
    return length >= 8 && at + length <= end && view.getUint16(at + length - 2) === at;
  }

  /** Bytes of the name of the entry that starts here, 0 when none does. */
  #nameLength(block: DataBlock, at: number, inSync: boolean): number {
    const { view, data, base, end } = block;
    if (at + 16 > end) return 0;
    const known = this.#index.hashAt(base + at / 8);
    const stored = view.getUint8(at + 8);
    const size = dirEntrySize(stored);
    // Where the index is whole an entry ends before the next one it knows.
    const most = this.#index.complete ? Math.min(end, (this.#index.next(base + at / 8) - base) * 8) : end;
    if (stored > 0 && at + size <= end) {
      const right = known !== undefined && this.#hash(data, at + 9, at + 9 + stored) === known;
      if (right) return stored;
      const tagged = view.getUint16(at + size - 2) === at;
      if (tagged) {
        const better = this.#lengthInSize(block, at, stored, known);
        if (known !== undefined || (inSync && (!this.#index.complete || this.#fits(block, at, better)))) return better;
        if (!inSync && !this.#index.complete && this.#fits(block, at, better)) return better;
      } else if (known !== undefined) {
        const proven = this.#lengthByHash(block, at, known);
        if (proven > 0) return proven;
      }
      if (!tagged && inSync && at + size <= most && this.#isTile(view, at + size, end) && this.#fits(block, at, stored))
        return stored;
    }
    return known === undefined ? 0 : this.#lengthByHash(block, at, known);
  }

  /** The inode is in use, and of the type the entry says. */
  #fits({ view, data }: DataBlock, at: number, length: number): boolean {
    const type = typeOfInode(this.#table, inodeAt(view, at));
    return type !== 0 && (type === -1 || type === data[at + 9 + length]);
  }

  /** A length of the same padded size: that of the index's hash, or the one whose type byte is right. */
  #lengthInSize(block: DataBlock, at: number, stored: number, known: number | undefined): number {
    const { view, data } = block;
    const size = dirEntrySize(stored);
    const type = typeOfInode(this.#table, inodeAt(view, at));
    if (known === undefined && (type <= 0 || data[at + 9 + stored] === type)) return stored;
    let best = 0;
    for (let length = Math.max(1, size - 19); length <= Math.min(255, size - 12); length++) {
      if (known !== undefined ? this.#hash(data, at + 9, at + 9 + length) !== known : data[at + 9 + length] !== type)
        continue;
      if (best > 0 && known === undefined) return stored; // two of them prove nothing
      best = length;
    }
    return best || stored;
  }

  /** The length at which the name has this hash; one that the tag confirms first. 0: none. */
  #lengthByHash({ view, data, end }: DataBlock, at: number, known: number): number {
    let best = 0;
    let hash = 0;
    for (let length = 1; length <= 255 && at + dirEntrySize(length) <= end; length++) {
      const byte = data[at + 8 + length]!;
      hash = (this.#fold ? foldByte(byte) : byte) ^ ((hash << 7) | (hash >>> 25));
      if (hash >>> 0 !== known) continue;
      if (view.getUint16(at + dirEntrySize(length) - 2) === at) return length;
      best ||= length;
    }
    return best;
  }

  #hash(data: Uint8Array, start: number, end: number): number {
    return this.#fold ? nameHashFolded(data, start, end) : nameHash(data, start, end);
  }

  #entry({ view, data, base }: DataBlock, at: number, length: number): FoundEntry | undefined {
    const start = at + 9;
    const end = start + length;
    const ftype = data[end]! <= MAX_FTYPE ? data[end]! : 0;
    const known = this.#index.hashAt(base + at / 8);
    const inode = inodeAt(view, at);
    const name = data.slice(start, end);
    if (isDotName(name)) return undefined;
    // Not in an index that is whole, and no inode either: something deleted whose mark is gone.
    if (known === undefined && this.#index.complete && typeOfInode(this.#table, inode) === 0) return undefined;
    const renamed = hasBadByte(name, 0, name.length);
    if (renamed) mendName(name, this.#fold ? undefined : known);
    const proven = known !== undefined && this.#hash(name, 0, name.length) === known;
    return { name, inode, ftype, renamed, proven };
  }
}

const inodeAt = (view: DataView, at: number): number => view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);

/**
 * Make a name storable. One bad byte follows from the hash of the whole, if that is known (each byte goes into it rotated
 * by 7 bits for every byte behind it); else bad bytes become "_".
 */
export function mendName(name: Uint8Array, hash: number | undefined): void {
  const bad: number[] = [];
  for (let i = 0; i < name.length; i++) if (name[i] === 0x2f || name[i] === 0) bad.push(i);
  if (bad.length === 1 && hash !== undefined) {
    const at = bad[0]!;
    name[at] = 0;
    const rest = (hash ^ nameHash(name)) >>> 0;
    const turn = (7 * (name.length - 1 - at)) % 32;
    const byte = turn === 0 ? rest : ((rest >>> turn) | (rest << (32 - turn))) >>> 0;
    if (byte > 0 && byte < 256 && byte !== 0x2f) {
      name[at] = byte;
      if (nameHash(name) === hash) return;
    }
  }
  for (const at of bad) name[at] = 0x5f;
  if (isDotName(name)) name[0] = 0x5f;
}
