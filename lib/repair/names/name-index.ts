/**
 * The hash index of a damaged directory as evidence: which names (by hash) once stood where. The index is redundant: it
 * never outvotes an entry that stands in its place, but it tells live entries from deleted ones where the tiling is
 * broken, and gives back lengths that were overwritten.
 */
import { DA_NODE_MAGIC, DaHeader, verifyHashOrder } from '../../../formats/da.ts';
import {
  DIR_BLOCK_MAGIC,
  DIR_LEAF1,
  DIR_LEAF1_MAGIC,
  DIR_LEAFN,
  DIR_LEAFN_MAGIC,
  DIR_SPACE_BYTES,
  DirLeaf,
  maxLeaf1Entries,
  maxLeafNEntries,
} from '../../../formats/directory.ts';
import { orderByHash } from '../../directory/hash-sort.ts';
import type { RawBlock, RawFork } from './raw-fork.ts';
import type { Workshop } from './workshop.ts';

export class NameIndex {
  /** Every index block could be read and none is missing: what is not here is no live entry. */
  readonly complete: boolean;
  readonly length: number;
  /** Ascending dataptrs, and the hash at each. */
  readonly #pointers: Uint32Array;
  readonly #hashes: Uint32Array;
  /** 1 where the entry was found. */
  readonly #found: Uint8Array;

  constructor(pairs: readonly number[], complete: boolean) {
    const count = pairs.length / 2;
    const pointers = Uint32Array.from({ length: count }, (_, i) => pairs[2 * i + 1]!);
    const order = orderByHash(pointers, count);
    this.#pointers = pointers.map((_, i) => pointers[order[i]!]!);
    this.#hashes = this.#pointers.map((_, i) => pairs[2 * order[i]!]!);
    this.#found = new Uint8Array(count);
    this.length = count;
    this.complete = complete;
  }

  /** Note that the entry at a dataptr was found. @returns false when the index has nothing there. */
  found(pointer: number): boolean {
    const i = this.#firstAt(pointer);
    if (this.#pointers[i] !== pointer) return false;
    this.#found[i] = 1;
    return true;
  }

  /** Names that were not found where they should be. @param elsewhere hashes of those that the index does not know there. */
  missing(elsewhere: readonly number[]): number {
    const left = new Map<number, number>();
    for (const hash of elsewhere) left.set(hash, (left.get(hash) ?? 0) + 1);
    let count = 0;
    for (let i = 0; i < this.length; i++) {
      if (this.#found[i] === 1) continue;
      const same = left.get(this.#hashes[i]!) ?? 0;
      // The pointer was wrong, not the name.
      if (same > 0) left.set(this.#hashes[i]!, same - 1);
      else count++;
    }
    return count;
  }

  /** Hash of the name that stands at a dataptr, undefined when the index has nothing there. */
  hashAt(pointer: number): number | undefined {
    const i = this.#firstAt(pointer);
    return this.#pointers[i] === pointer ? this.#hashes[i] : undefined;
  }

  /** The first dataptr behind this one, infinite when there is none. */
  next(pointer: number): number {
    return this.#pointers[this.#firstAt(pointer + 1)] ?? Number.POSITIVE_INFINITY;
  }

  #firstAt(pointer: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pointers[middle]! < pointer) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What can be read of the index of a directory with blocks. @param block0 its first block, when it has one. */
export function readNameIndex(shop: Workshop, fork: RawFork, block0: RawBlock | undefined): NameIndex {
  const start = DIR_SPACE_BYTES / shop.geometry.blockSize;
  const pairs: number[] = [];
  const leaves = new Map<number, { forw: number; back: number }>();
  let complete = fork.complete;
  let seen = 0;
  fork.forEach(start, 2 * start, (block) => {
    seen++;
    if (!readLeaf(shop, block, pairs, leaves)) complete = false;
  });
  if (seen === 0) return block0 ? blockFormIndex(block0) : new NameIndex([], false);
  for (const { forw, back } of leaves.values()) {
    if ((forw !== 0 && !leaves.has(forw)) || (back !== 0 && !leaves.has(back))) complete = false;
  }
  return new NameIndex(pairs, complete && leaves.size > 0);
}

/** @returns false when something of the block cannot be believed. */
function readLeaf(
  shop: Workshop,
  { fileBlock, daddr, data, view }: RawBlock,
  pairs: number[],
  leaves: Map<number, { forw: number; back: number }>,
): boolean {
  const magic = view.getUint16(DaHeader.offsets.magic);
  if (magic === DA_NODE_MAGIC) return true;
  const type = magic === DIR_LEAF1_MAGIC ? DIR_LEAF1 : DIR_LEAFN;
  const sound = type.verify(view, shop.geometry, daddr) === undefined;
  if (!sound && magic !== DIR_LEAF1_MAGIC && magic !== DIR_LEAFN_MAGIC) return false;
  const most = magic === DIR_LEAF1_MAGIC ? maxLeaf1Entries(data.length, 0) : maxLeafNEntries(data.length);
  const count = Math.min(view.getUint16(DirLeaf.offsets.count), most);
  addPairs(view, DirLeaf.size, count, pairs);
  leaves.set(fileBlock, { forw: view.getUint32(0), back: view.getUint32(4) });
  return sound;
}

function addPairs(view: DataView, base: number, count: number, pairs: number[]): void {
  for (let i = 0, at = base; i < count; i++, at += 8) {
    const pointer = view.getUint32(at + 4);
    if (pointer !== 0) pairs.push(view.getUint32(at), pointer);
  }
}

/** Index entries of a block-form block: by its tail, or else as far back from the end as hashes go down. */
function blockFormIndex({ view, data }: RawBlock): NameIndex {
  if (view.getUint32(0) !== DIR_BLOCK_MAGIC && blockFormEnd(view) === undefined) return new NameIndex([], false);
  const end = data.length - 8;
  const pairs: number[] = [];
  const start = blockFormEnd(view);
  if (start !== undefined) {
    addPairs(view, start, (end - start) / 8, pairs);
    return new NameIndex(pairs, true);
  }
  let at = end;
  let above = 0xffffffff;
  while (at - 8 >= 64 && view.getUint32(at - 8) <= above && view.getUint32(at - 4) * 8 < data.length) {
    at -= 8;
    above = view.getUint32(at);
  }
  addPairs(view, at, (end - at) / 8, pairs);
  return new NameIndex(pairs, false);
}

/** Where the data of a block-form block ends and its index starts; undefined when its tail cannot be believed. */
export function blockFormEnd(view: DataView): number | undefined {
  const size = view.byteLength;
  const count = view.getUint32(size - 8);
  const stale = view.getUint32(size - 4);
  const start = size - 8 - 8 * count;
  if (count < 2 || start < 96 || stale > count || verifyHashOrder(view, start, count)) return undefined;
  let found = 0;
  for (let at = start + 4; at < size - 8; at += 8) {
    const pointer = view.getUint32(at);
    if (pointer === 0) found++;
    else if (pointer * 8 < 64 || pointer * 8 >= start) return undefined;
  }
  return found === stale ? start : undefined;
}
