/**
 * The checksum tree (cadastre dialect): the CRC32C of every written data block.
 *
 * 1. Records hold the checksums of 1 to 14 consecutive blocks, are sorted and never overlap.
 * 2. Sequential writes fill records: a new checksum goes to the end of the record before it while that has room.
 */
import { CSUM_PER_RECORD, CsumRecord } from '../../formats/btree-blocks.ts';
import type { Cursor } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import type { AllocationGroup } from './allocation-group.ts';

const CRCS = CsumRecord.offsets.crcs;
const rec = CsumRecord.view();
const scratchBytes = new Uint8Array(CsumRecord.size);
const scratch = new DataView(scratchBytes.buffer);

const isPossible = (blockCount: number): boolean => blockCount > 0 && blockCount <= CSUM_PER_RECORD;

/** Place `rec` on the cursor's record; refuse one whose count is impossible. */
function at(ag: AllocationGroup, cursor: Cursor): typeof rec {
  rec.at(cursor.view, cursor.offset);
  const { startBlock, blockCount } = rec;
  if (!isPossible(blockCount) || startBlock + blockCount > ag.length) {
    throw corrupt('CSUM_RECORD', `checksum record of ${blockCount} blocks at block ${startBlock} of AG ${ag.number}`, {
      where: { ag: ag.number, block: startBlock, structure: 'csumbt' },
    });
  }
  return rec;
}

/** Copy the part from slot `from`, `count` slots, of the cursor's record into the scratch record. */
function copyPart(cursor: Cursor, from: number, count: number): DataView {
  const start = cursor.view.getUint32(cursor.offset);
  for (let i = 0; i < CSUM_PER_RECORD; i++) {
    scratch.setUint32(CRCS + 4 * i, i < count ? cursor.view.getUint32(cursor.offset + CRCS + 4 * (from + i)) : 0);
  }
  scratch.setUint32(0, start + from);
  scratch.setUint32(4, count);
  return scratch;
}

/** Store the checksums of blocks start .. start + count - 1, over old ones where there are any. */
export function setChecksums(
  tx: Transaction,
  ag: AllocationGroup,
  start: number,
  crcs: Uint32Array,
  count: number,
): void {
  const cursor = ag.cursor('csumbt');
  const end = start + count;
  let block = start;
  while (block < end) {
    const any = cursor.seekLE(block);
    const slot = any ? block - at(ag, cursor).startBlock : CSUM_PER_RECORD;
    const held = any ? rec.blockCount : 0;
    if (slot < held) {
      // Over old checksums: the record keeps its range.
      const n = Math.min(held - slot, end - block);
      copyPart(cursor, 0, held);
      for (let i = 0; i < n; i++) scratch.setUint32(CRCS + 4 * (slot + i), crcs[block - start + i]!);
      cursor.update(tx, scratch);
      block += n;
      continue;
    }
    let limit = end;
    if (any ? cursor.next() : cursor.seekFirst()) limit = Math.min(limit, at(ag, cursor).startBlock);
    if (slot === held && held < CSUM_PER_RECORD && any) {
      cursor.seekLE(block);
      const n = Math.min(CSUM_PER_RECORD - held, limit - block);
      copyPart(cursor, 0, held);
      for (let i = 0; i < n; i++) scratch.setUint32(CRCS + 4 * (held + i), crcs[block - start + i]!);
      scratch.setUint32(4, held + n);
      cursor.update(tx, scratch);
      block += n;
      continue;
    }
    const n = Math.min(CSUM_PER_RECORD, limit - block);
    scratchBytes.fill(0);
    scratch.setUint32(0, block);
    scratch.setUint32(4, n);
    for (let i = 0; i < n; i++) scratch.setUint32(CRCS + 4 * i, crcs[block - start + i]!);
    cursor.insert(tx, scratch);
    block += n;
  }
}

/**
 * The checksums of blocks start .. start + count - 1.
 * @param crcs receives them. @param present receives 1 where there is one, else 0. @returns how many there are.
 */
export function readChecksums(
  ag: AllocationGroup,
  start: number,
  count: number,
  crcs: Uint32Array,
  present: Uint8Array,
): number {
  const cursor = ag.cursor('csumbt');
  const end = start + count;
  present.fill(0, 0, count);
  let seen = 0;
  let ok = cursor.seekLE(start) || cursor.seekFirst();
  for (; ok; ok = cursor.next()) {
    const { startBlock, blockCount } = at(ag, cursor);
    if (startBlock >= end) break;
    const to = Math.min(end, startBlock + blockCount);
    for (let block = Math.max(start, startBlock); block < to; block++) {
      crcs[block - start] = cursor.view.getUint32(cursor.offset + CRCS + 4 * (block - startBlock));
      present[block - start] = 1;
      seen++;
    }
  }
  return seen;
}

/** Forget the checksums of a range; blocks without one are passed over. */
export function removeChecksums(tx: Transaction, ag: AllocationGroup, start: number, count: number): void {
  const cursor = ag.cursor('csumbt');
  const end = start + count;
  let ok = cursor.seekLE(start) || cursor.seekFirst();
  while (ok) {
    const { startBlock, blockCount } = at(ag, cursor);
    const recordEnd = startBlock + blockCount;
    if (startBlock >= end) return;
    if (recordEnd <= start) {
      ok = cursor.next();
      continue;
    }
    const head = Math.max(0, start - startBlock);
    const tail = Math.max(0, recordEnd - end);
    if (head === 0 && tail === 0) {
      cursor.removeWhile(tx, (view, offset) => {
        rec.at(view, offset);
        return isPossible(rec.blockCount) && rec.startBlock + rec.blockCount <= end;
      });
      // Removing may have given blocks back, but never changed this tree: the cursor is on the record that followed.
      ok = cursor.valid;
      continue;
    }
    if (head > 0 && tail > 0) {
      copyPart(cursor, head + (end - start), tail);
      const tailRecord = new DataView(scratchBytes.slice().buffer);
      cursor.update(tx, copyPart(cursor, 0, head));
      cursor.insert(tx, tailRecord);
      return;
    }
    cursor.update(tx, head > 0 ? copyPart(cursor, 0, head) : copyPart(cursor, blockCount - tail, tail));
    ok = cursor.next();
  }
}
