/**
 * The refcount tree: how many mappings share a block, where that is more than one.
 *
 * 1. A block with one owner has no record. Neighbouring records of the same count are merged.
 * 2. Copy-on-write staging extents are the other domain of the tree: bit 31 of the start set, count 1; they sort behind
 *    all shared extents and merge among themselves.
 * 3. Tree blocks come from free space, so every change may change the free-space trees and the reverse map, never this
 *    tree itself.
 *
 * A change walks the range piece by piece, a piece being what one record (or one gap between records) covers:
 *
 *        range          |--------------------------|
 *        records    |=====3=====|      |==2==|   |====2====|
 *        pieces         |---3---|--1---|--2--|-1-|-2-|
 */
import { REFCOUNT_COW, RefcountRecord } from '../../formats/btree-blocks.ts';
import type { Cursor } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import type { AllocationGroup } from './allocation-group.ts';

/** A count that stands for "too many to count": it never changes again. */
const MAX_REFCOUNT = 0xffffffff;

const rec = RefcountRecord.view();
const scratch = new DataView(new ArrayBuffer(RefcountRecord.size));

function write(start: number, count: number, refcount: number): DataView {
  scratch.setUint32(0, start);
  scratch.setUint32(4, count);
  scratch.setUint32(8, refcount);
  return scratch;
}

/**
 * The piece at a block: how far it reaches and the record that covers it (recordCount 0: none, refcount 1). A piece without
 * a record also says the counts of the records that touch it on both sides, 0 where none does.
 */
const piece = { end: 0, refcount: 1, recordStart: 0, recordCount: 0, before: 0, behind: 0 };

const damaged = (ag: AllocationGroup, code: string, message: string, block: number) =>
  corrupt(code, `${message} (AG ${ag.number}, block ${block})`, {
    where: { ag: ag.number, block, structure: 'refcountbt' },
  });

/** Place `rec` on the cursor's record; refuse a record that is empty or leaves its AG. */
function at(ag: AllocationGroup, cursor: Cursor): typeof rec {
  rec.at(cursor.view, cursor.offset);
  const { startBlock, blockCount } = rec;
  if (blockCount === 0 || (startBlock & ~REFCOUNT_COW) + blockCount > ag.length) {
    throw damaged(ag, 'REFCOUNT_RANGE', `refcount record of ${blockCount} blocks leaves the AG`, startBlock);
  }
  return rec;
}

function pieceAt(ag: AllocationGroup, block: number, end: number): typeof piece {
  const cursor = ag.cursor('refcountbt');
  piece.end = end;
  piece.refcount = 1;
  piece.recordCount = 0;
  piece.before = 0;
  piece.behind = 0;
  const any = cursor.seekLE(block);
  if (any) {
    const { startBlock, blockCount, refcount } = at(ag, cursor);
    if (block < startBlock + blockCount) {
      piece.end = Math.min(end, startBlock + blockCount);
      piece.refcount = refcount;
      piece.recordStart = startBlock;
      piece.recordCount = blockCount;
      return piece;
    }
    if (block === startBlock + blockCount) piece.before = refcount;
  }
  if (any ? cursor.next() : cursor.seekFirst()) {
    const { startBlock, refcount } = rec.at(cursor.view, cursor.offset);
    if (startBlock <= end) piece.behind = refcount;
    piece.end = Math.min(end, startBlock);
  }
  return piece;
}

/** Insert start + count with this refcount, merging with neighbours that touch and have the same. */
function insertMerged(tx: Transaction, ag: AllocationGroup, start: number, count: number, refcount: number): void {
  const cursor = ag.cursor('refcountbt');
  let newStart = start;
  let newCount = count;
  if (cursor.seekEQ(start + count) && at(ag, cursor).refcount === refcount) {
    newCount += rec.blockCount;
    cursor.remove(tx);
  }
  if (start > 0 && cursor.seekLE(start - 1)) {
    at(ag, cursor);
    if (rec.startBlock + rec.blockCount === start && rec.refcount === refcount) {
      newStart = rec.startBlock;
      newCount += rec.blockCount;
      cursor.update(tx, write(newStart, newCount, refcount));
      return;
    }
  }
  cursor.insert(tx, write(newStart, newCount, refcount));
}

/** Cut start .. end out of the record that covers it. */
function cut(
  tx: Transaction,
  ag: AllocationGroup,
  recordStart: number,
  recordCount: number,
  refcount: number,
  start: number,
  end: number,
): void {
  const cursor = ag.cursor('refcountbt');
  if (!cursor.seekEQ(recordStart)) throw damaged(ag, 'REFCOUNT_MISSING', 'refcount record has gone', recordStart);
  const recordEnd = recordStart + recordCount;
  if (start > recordStart) {
    cursor.update(tx, write(recordStart, start - recordStart, refcount));
    if (end < recordEnd) cursor.insert(tx, write(end, recordEnd - end, refcount));
  } else if (end < recordEnd) cursor.update(tx, write(end, recordEnd - end, refcount));
  else cursor.remove(tx);
}

/** A piece of a range, in AG blocks. */
export type PieceVisitor = (start: number, count: number) => void;

/**
 * Add `delta` (+1 or -1) to the count of every block of a range. Pieces that nobody holds any more are handed to
 * `unheld`, which may free them.
 */
export function adjustRefcount(
  tx: Transaction,
  ag: AllocationGroup,
  start: number,
  count: number,
  delta: 1 | -1,
  unheld: PieceVisitor,
): void {
  const end = start + count;
  for (let block = start; block < end; ) {
    const { end: pieceEnd, refcount, recordStart, recordCount, before, behind } = pieceAt(ag, block, end);
    const next = refcount === MAX_REFCOUNT ? refcount : refcount + delta;
    if (next === 0) unheld(block, pieceEnd - block);
    else if (next !== refcount) {
      if (recordCount > 0) cut(tx, ag, recordStart, recordCount, refcount, block, pieceEnd);
      else if (before !== next && behind !== next) {
        // Shared for the first time, beside nothing to be joined with: the neighbours need not be looked for again.
        ag.cursor('refcountbt').insert(tx, write(block, pieceEnd - block, next));
        block = pieceEnd;
        continue;
      }
      if (next > 1) insertMerged(tx, ag, block, pieceEnd - block, next);
    }
    block = pieceEnd;
  }
}

/** Call back every shared run that intersects a range: start, count, refcount, clipped to the range; true stops. */
export function forEachShared(
  ag: AllocationGroup,
  start: number,
  count: number,
  visit: (start: number, count: number, refcount: number) => boolean | undefined,
): void {
  const end = start + count;
  for (let block = start; block < end; ) {
    const { end: pieceEnd, refcount, recordCount } = pieceAt(ag, block, end);
    const length = pieceEnd - block;
    if (recordCount > 0 && refcount > 1 && visit(block, length, refcount)) return;
    block = pieceEnd;
  }
}

/**
 * Take the counts of a range away, because the blocks move: each shared run of it is called back, in order, when its record
 * has gone. `visit` may change other AGs, and this one outside the range.
 */
export function takeRefcounts(
  tx: Transaction,
  ag: AllocationGroup,
  start: number,
  count: number,
  visit: (start: number, count: number, refcount: number) => void,
): void {
  const end = start + count;
  for (let block = start; block < end; ) {
    const { end: pieceEnd, refcount, recordStart, recordCount } = pieceAt(ag, block, end);
    if (recordCount > 0) {
      cut(tx, ag, recordStart, recordCount, refcount, block, pieceEnd);
      visit(block, pieceEnd - block, refcount);
    }
    block = pieceEnd;
  }
}

/** Give blocks that have no record a count of more than one. */
export function setRefcount(
  tx: Transaction,
  ag: AllocationGroup,
  start: number,
  count: number,
  refcount: number,
): void {
  insertMerged(tx, ag, start, count, refcount);
}

/** Record a copy-on-write staging extent. */
export function addStaging(tx: Transaction, ag: AllocationGroup, start: number, count: number): void {
  insertMerged(tx, ag, start + REFCOUNT_COW, count, 1);
}

/** Forget a staging extent or a part of one. Throws `corrupt` REFCOUNT_MISSING when it is not recorded. */
export function removeStaging(tx: Transaction, ag: AllocationGroup, start: number, count: number): void {
  const cursor = ag.cursor('refcountbt');
  const key = start + REFCOUNT_COW;
  const hit =
    cursor.seekLE(key) && at(ag, cursor).startBlock >= REFCOUNT_COW && rec.startBlock + rec.blockCount >= key + count;
  if (!hit) throw damaged(ag, 'REFCOUNT_MISSING', `staging extent of ${count} blocks is not recorded`, start);
  cut(tx, ag, rec.startBlock, rec.blockCount, rec.refcount, key, key + count);
}
