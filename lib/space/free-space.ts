/**
 * Free space of one AG: the same extents in two trees, by start (bnobt) and by length (cntbt).
 *
 * 1. Both trees hold the same extents; no two of them touch.
 * 2. agf.freeblks is their sum, agf.longest the longest.
 * 3. These functions take tree blocks from the free list and never fill it: call `ensureFreeList` before them.
 */
import { AllocRecord } from '../../formats/btree-blocks.ts';
import type { Cursor } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import type { AllocationGroup } from './allocation-group.ts';

const rec = AllocRecord.view();
const scratch = new DataView(new ArrayBuffer(AllocRecord.size));

function write(start: number, length: number): DataView {
  scratch.setUint32(0, start);
  scratch.setUint32(4, length);
  return scratch;
}

const damaged = (ag: AllocationGroup, code: string, message: string, block: number, structure: string) =>
  corrupt(code, `${message} (AG ${ag.number}, block ${block})`, { where: { ag: ag.number, block, structure } });

/** Place `rec` on the cursor's record and refuse one that leaves the AG. */
function at(ag: AllocationGroup, cursor: Cursor): typeof rec {
  rec.at(cursor.view, cursor.offset);
  const { startBlock, blockCount } = rec;
  if (blockCount === 0 || startBlock < ag.geometry.headerBlocks || startBlock + blockCount > ag.length) {
    throw damaged(ag, 'FREE_EXTENT_RANGE', `free extent of ${blockCount} blocks leaves the AG`, startBlock, 'bnobt');
  }
  return rec;
}

function removeFromCnt(tx: Transaction, ag: AllocationGroup, start: number, length: number): void {
  const cursor = ag.cursor('cntbt');
  if (!cursor.seekEQ(length, start)) {
    throw damaged(ag, 'CNTBT_MISSING', `free extent of ${length} blocks is not in the tree by length`, start, 'cntbt');
  }
  cursor.remove(tx);
}

function insertIntoCnt(tx: Transaction, ag: AllocationGroup, start: number, length: number): void {
  ag.cursor('cntbt').insert(tx, write(start, length));
}

/**
 * Take blocks start .. start + length - 1 out of the free extent recordStart + recordLength that holds them.
 */
export function takeFree(
  tx: Transaction,
  ag: AllocationGroup,
  recordStart: number,
  recordLength: number,
  start: number,
  length: number,
): void {
  const head = start - recordStart;
  const tail = recordLength - head - length;
  removeFromCnt(tx, ag, recordStart, recordLength);
  if (head > 0) insertIntoCnt(tx, ag, recordStart, head);
  if (tail > 0) insertIntoCnt(tx, ag, start + length, tail);
  const cursor = ag.cursor('bnobt');
  if (!cursor.seekEQ(recordStart)) {
    throw damaged(
      ag,
      'BNOBT_MISSING',
      `free extent of ${recordLength} blocks is not in the tree by start`,
      recordStart,
      'bnobt',
    );
  }
  if (head > 0) {
    cursor.update(tx, write(recordStart, head));
    if (tail > 0) cursor.insert(tx, write(start + length, tail));
  } else if (tail > 0) cursor.update(tx, write(start + length, tail));
  else cursor.remove(tx);
  const wasLongest = ag.agf.longest === recordLength;
  const agf = ag.changeAgf(tx);
  agf.freeblks -= length;
  if (wasLongest) agf.longest = longestFree(ag);
}

/** Give blocks back, merging with free neighbours. Throws `corrupt` FREE_TWICE when any of them is free already. */
export function giveFree(tx: Transaction, ag: AllocationGroup, start: number, length: number): void {
  giveFreeChain(tx, ag, [start], [length], 0);
}

/** Free extents that one chain swallows: their tree blocks must find room on the free list. */
const CHAIN_EXTENTS = 64;

/**
 * Give runs back that come in order, as many as make one free extent together with what is free before, between and behind
 * them:
 *
 *     ...[free][run][free][run][free]...   ->   one record, instead of one after each run
 *
 * @param first where in the lists of AG blocks and lengths to begin. @returns where to go on, after `ensureFreeList`.
 * Throws `corrupt` FREE_TWICE when any of the blocks is free already.
 */
export function giveFreeChain(
  tx: Transaction,
  ag: AllocationGroup,
  starts: readonly number[],
  lengths: readonly number[],
  first: number,
): number {
  const cursor = ag.cursor('bnobt');
  let start = starts[first]!;
  let end = start;
  let given = 0;
  /** Start of the record that becomes the one of all; -1 while there is none. */
  let record = -1;
  if (cursor.seekLE(start)) {
    const { startBlock, blockCount } = at(ag, cursor);
    if (startBlock + blockCount > start) throw damaged(ag, 'FREE_TWICE', 'block is already free', start, 'bnobt');
    if (startBlock + blockCount === start) {
      removeFromCnt(tx, ag, startBlock, blockCount);
      record = start = startBlock;
    }
  }
  let more = cursor.valid ? cursor.next() : cursor.seekFirst();
  let next = first;
  for (let swallowed = 0; swallowed < CHAIN_EXTENTS && starts[next] === end; ) {
    const length = lengths[next++]!;
    given += length;
    end += length;
    if (!more) continue;
    const { startBlock, blockCount } = at(ag, cursor);
    if (startBlock < end) throw damaged(ag, 'FREE_TWICE', 'block is already free', startBlock, 'bnobt');
    if (startBlock > end) continue;
    removeFromCnt(tx, ag, startBlock, blockCount);
    swallowed++;
    end += blockCount;
    if (record < 0) {
      record = startBlock;
      more = cursor.next();
    } else {
      cursor.remove(tx);
      more = cursor.valid;
    }
  }
  if (record < 0) cursor.insert(tx, write(start, end - start));
  else {
    cursor.seekEQ(record);
    cursor.update(tx, write(start, end - start));
  }
  insertIntoCnt(tx, ag, start, end - start);
  const agf = ag.changeAgf(tx);
  agf.freeblks += given;
  if (end - start > agf.longest) agf.longest = end - start;
  return next;
}

/** Length of the longest free extent, from the tree by length. */
export function longestFree(ag: AllocationGroup): number {
  const cursor = ag.cursor('cntbt');
  return cursor.seekLast() ? at(ag, cursor).blockCount : 0;
}

/** What `findFree` and `findExact` found: the free extent, and the usable part of it. Valid until the next search. */
export const place = { recordStart: 0, recordLength: 0, start: 0, length: 0 };

/** Records looked at on either side of the hint before size decides. */
const NEAR_RECORDS = 8;
/** Records of a fitting length looked at for one with the wanted alignment, before a length that cannot fail. */
const ALIGN_RECORDS = 32;

/** The aligned part of the cursor's extent that starts at or behind `from`: its length; `place` is set when >= `least`. */
function offer(
  ag: AllocationGroup,
  cursor: Cursor,
  from: number,
  least: number,
  most: number,
  alignment: number,
): number {
  const { startBlock, blockCount } = at(ag, cursor);
  let start = Math.max(startBlock, from);
  if (alignment > 1) start = Math.ceil(start / alignment) * alignment;
  const length = Math.min(most, startBlock + blockCount - start);
  if (length >= least) {
    place.recordStart = startBlock;
    place.recordLength = blockCount;
    place.start = start;
    place.length = length;
  }
  return length;
}

/** The free extent that holds block `exact`, from there on: true when at least `min` blocks. */
export function findExact(ag: AllocationGroup, exact: number, min: number, max: number): boolean {
  const cursor = ag.cursor('bnobt');
  return cursor.seekLE(exact) && offer(ag, cursor, exact, min, max, 1) >= min;
}

/**
 * A free extent of `want` blocks in one piece: at the hint, close to it, else the shortest that is long enough.
 * @param near AG block, or -1 for no hint. @param alignment of the start, in blocks.
 */
export function findWhole(ag: AllocationGroup, near: number, want: number, alignment: number): boolean {
  if (ag.agf.longest < want) return false;
  if (near >= 0 && findNear(ag, near, want, alignment)) return true;
  const cursor = ag.cursor('cntbt');
  let left = ALIGN_RECORDS;
  for (let ok = cursor.seekGE(want, 0); ok && left > 0; ok = cursor.next(), left--) {
    if (offer(ag, cursor, 0, want, want, alignment) >= want) return true;
  }
  if (alignment <= 1) return false;
  // Any extent this long has an aligned start with enough behind it.
  if (cursor.seekGE(want + alignment - 1, 0)) return offer(ag, cursor, 0, want, want, alignment) >= want;
  for (let ok = cursor.seekGE(want, 0); ok; ok = cursor.next()) {
    if (offer(ag, cursor, 0, want, want, alignment) >= want) return true;
  }
  return false;
}

function findNear(ag: AllocationGroup, near: number, want: number, alignment: number): boolean {
  const cursor = ag.cursor('bnobt');
  let ok = cursor.seekLE(near);
  if (ok && offer(ag, cursor, near, want, want, alignment) >= want) return true;
  let rightDistance = Infinity;
  ok = ok ? cursor.next() : cursor.seekFirst();
  for (let i = 0; ok && i < NEAR_RECORDS; ok = cursor.next(), i++) {
    if (offer(ag, cursor, 0, want, want, alignment) >= want) {
      rightDistance = place.start - near;
      break;
    }
  }
  ok = cursor.seekLE(near);
  for (let i = 0; ok && i < NEAR_RECORDS; ok = cursor.previous(), i++) {
    const { startBlock } = rec.at(cursor.view, cursor.offset);
    if (near - startBlock >= rightDistance) break;
    if (offer(ag, cursor, 0, want, want, alignment) >= want) return true;
  }
  return rightDistance < Infinity;
}

/** The longest free extent of at least `min` blocks behind its first aligned block, cut to `max`. */
export function findLongest(ag: AllocationGroup, min: number, max: number, alignment: number): boolean {
  const cursor = ag.cursor('cntbt');
  let best = 0;
  for (let ok = cursor.seekLast(); ok; ok = cursor.previous()) {
    // Shorter ones follow: none of them can beat what was found.
    if (rec.at(cursor.view, cursor.offset).blockCount <= best || rec.blockCount < min) break;
    const length = offer(ag, cursor, 0, Math.max(min, best + 1), max, alignment);
    if (length >= min && length > best) best = length;
    if (best >= max) break;
  }
  return best >= min;
}

/**
 * The first free extent with `want` blocks whose start is aligned and lies in from .. last: a walk of the tree by start,
 * for places with rules that length alone cannot answer.
 */
export function findFrom(ag: AllocationGroup, from: number, last: number, want: number, alignment: number): boolean {
  const cursor = ag.cursor('bnobt');
  for (let ok = cursor.seekLE(from) || cursor.seekFirst(); ok; ok = cursor.next()) {
    if (offer(ag, cursor, from, want, want, alignment) >= want) return place.start <= last;
    if (rec.at(cursor.view, cursor.offset).startBlock > last) return false;
  }
  return false;
}
