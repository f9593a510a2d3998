/**
 * The reverse map: which owner holds which blocks. One record per mapping, merged as far as the format demands.
 *
 * 1. Two records of the same owner and flags (unwritten included) that touch on the disk, and for file data in the file
 *    too, are one record. `mapRmap` and `unmapRmap` keep it so.
 * 2. Only data-fork extents can be shared. So only for them may a neighbour hide behind records of other owners that
 *    start later but lie over it; it is then found by asking who covers the block (an overlap query).
 * 3. These functions take tree blocks from the free list and never fill it: call `ensureFreeList` before them.
 * Without the feature they do nothing.
 */
import {
  RMAP_ATTR_FORK,
  RMAP_BMBT_BLOCK,
  RMAP_OFFSET_HI_MASK,
  RMAP_UNWRITTEN,
  RmapRecord,
} from '../../formats/btree-blocks.ts';
import { NULL32 } from '../../formats/struct.ts';
import { forEachOverlap } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import type { AllocationGroup } from './allocation-group.ts';

const TWO32 = 2 ** 32;
const FLAGS = (RMAP_ATTR_FORK | RMAP_BMBT_BLOCK | RMAP_UNWRITTEN) >>> 0;

const rec = RmapRecord.view();
const scratch = new DataView(new ArrayBuffer(RmapRecord.size));
const out = RmapRecord.at(scratch);

/** A record found, as numbers: valid until the next search. */
const found = { start: 0, count: 0, offsetHi: 0, offsetLo: 0 };

const fileBlockOf = (offsetHi: number, offsetLo: number): number => (offsetHi & RMAP_OFFSET_HI_MASK) * TWO32 + offsetLo;
const searchHi = (offsetHi: number): number => (offsetHi & ~RMAP_UNWRITTEN) >>> 0;
/** File data and attribute extents have a place in the file; tree blocks and special owners have none. */
const hasPlace = (ownerHi: number, offsetHi: number): boolean =>
  ownerHi !== NULL32 && (offsetHi & RMAP_BMBT_BLOCK) === 0;
/** The offset word's high half, moved on by `blocks` of the file. */
const movedHi = (offsetHi: number, offsetLo: number, blocks: number): number =>
  ((offsetHi & FLAGS) | Math.floor((fileBlockOf(offsetHi, offsetLo) + blocks) / TWO32)) >>> 0;
const movedLo = (offsetHi: number, offsetLo: number, blocks: number): number =>
  (fileBlockOf(offsetHi, offsetLo) + blocks) % TWO32;

function write(
  start: number,
  count: number,
  ownerHi: number,
  ownerLo: number,
  offsetHi: number,
  offsetLo: number,
): DataView {
  out.startBlock = start;
  out.blockCount = count;
  out.ownerHi = ownerHi;
  out.ownerLo = ownerLo;
  out.offsetHi = offsetHi;
  out.offsetLo = offsetLo;
  return scratch;
}

function keep(): true {
  found.start = rec.startBlock;
  found.count = rec.blockCount;
  found.offsetHi = rec.offsetHi;
  found.offsetLo = rec.offsetLo;
  return true;
}

/** Does the record `rec` end where a mapping at `start` begins, on the disk and in the file? */
function touchesLeft(start: number, ownerHi: number, ownerLo: number, offsetHi: number, offsetLo: number): boolean {
  return (
    rec.startBlock + rec.blockCount === start &&
    rec.ownerLo === ownerLo &&
    rec.ownerHi === ownerHi &&
    ((rec.offsetHi ^ offsetHi) & FLAGS) === 0 &&
    (!hasPlace(ownerHi, offsetHi) ||
      fileBlockOf(rec.offsetHi, rec.offsetLo) + rec.blockCount === fileBlockOf(offsetHi, offsetLo))
  );
}

/** Does the record `rec` hold this whole mapping, at the same place of the file? */
function holds(
  start: number,
  count: number,
  ownerHi: number,
  ownerLo: number,
  offsetHi: number,
  offsetLo: number,
): boolean {
  return (
    rec.startBlock <= start &&
    rec.startBlock + rec.blockCount >= start + count &&
    rec.ownerLo === ownerLo &&
    rec.ownerHi === ownerHi &&
    ((rec.offsetHi ^ offsetHi) & FLAGS) === 0 &&
    (!hasPlace(ownerHi, offsetHi) ||
      fileBlockOf(offsetHi, offsetLo) - fileBlockOf(rec.offsetHi, rec.offsetLo) === start - rec.startBlock)
  );
}

/** Search what covers a block for a record that `wanted` accepts; it ends up in `rec` and `found`. */
function searchCovering(ag: AllocationGroup, block: number, wanted: () => boolean): boolean {
  let hit = false;
  forEachOverlap(ag.reader, ag.tree('rmapbt'), block, block + 1, (view, offset) => {
    rec.at(view, offset);
    if (wanted()) hit = keep();
    return !hit;
  });
  return hit;
}

/** Record that an owner maps blocks start .. start + count - 1; `offset` is the record's offset word with its flags. */
export function mapRmap(
  tx: Transaction,
  ag: AllocationGroup,
  start: number,
  count: number,
  ownerHi: number,
  ownerLo: number,
  offsetHi: number,
  offsetLo: number,
): void {
  const { features } = ag.geometry;
  if (!features.rmapbt) return;
  const cursor = ag.cursor('rmapbt');
  const placed = hasPlace(ownerHi, offsetHi);
  const any = cursor.seekLE(start, ownerHi, ownerLo, searchHi(offsetHi), offsetLo);
  if (any) rec.at(cursor.view, cursor.offset);
  let left = any && touchesLeft(start, ownerHi, ownerLo, offsetHi, offsetLo) && keep();
  // The record that follows in the tree is, but for shared blocks, the only one that can touch on the right.
  let right = false;
  const rightHi = placed ? movedHi(offsetHi, offsetLo, count) : offsetHi;
  const rightLo = placed ? movedLo(offsetHi, offsetLo, count) : offsetLo;
  if (any ? cursor.next() : cursor.seekFirst()) {
    const next = rec.at(cursor.view, cursor.offset).startBlock;
    if (
      next <= start + count &&
      (next === start + count || features.reflink) &&
      cursor.seekEQ(start + count, ownerHi, ownerLo, searchHi(rightHi), rightLo)
    ) {
      right = ((rec.at(cursor.view, cursor.offset).offsetHi ^ offsetHi) & FLAGS) === 0;
    }
  }
  if (!left && features.reflink && placed && (offsetHi & RMAP_ATTR_FORK) === 0 && fileBlockOf(offsetHi, offsetLo) > 0) {
    left = searchCovering(ag, start - 1, () => touchesLeft(start, ownerHi, ownerLo, offsetHi, offsetLo));
  }
  let total = count;
  if (right) {
    cursor.seekEQ(start + count, ownerHi, ownerLo, searchHi(rightHi), rightLo);
    total += rec.at(cursor.view, cursor.offset).blockCount;
    cursor.remove(tx);
  }
  if (!left) {
    cursor.insert(tx, write(start, total, ownerHi, ownerLo, offsetHi, offsetLo));
    return;
  }
  cursor.seekEQ(found.start, ownerHi, ownerLo, searchHi(found.offsetHi), found.offsetLo);
  cursor.update(tx, write(found.start, found.count + total, ownerHi, ownerLo, found.offsetHi, found.offsetLo));
}

/**
 * Take a mapping out of the record that holds it: the record goes, shrinks or falls in two. Throws `corrupt`
 * RMAP_MISSING when no record holds the whole mapping.
 */
export function unmapRmap(
  tx: Transaction,
  ag: AllocationGroup,
  start: number,
  count: number,
  ownerHi: number,
  ownerLo: number,
  offsetHi: number,
  offsetLo: number,
): void {
  const { features } = ag.geometry;
  if (!features.rmapbt) return;
  const cursor = ag.cursor('rmapbt');
  const placed = hasPlace(ownerHi, offsetHi);
  let hit = false;
  if (cursor.seekLE(start, ownerHi, ownerLo, searchHi(offsetHi), offsetLo)) {
    rec.at(cursor.view, cursor.offset);
    hit = holds(start, count, ownerHi, ownerLo, offsetHi, offsetLo) && keep();
  }
  if (!hit && placed && features.reflink) {
    hit = searchCovering(ag, start, () => holds(start, count, ownerHi, ownerLo, offsetHi, offsetLo));
    if (hit) cursor.seekEQ(found.start, ownerHi, ownerLo, searchHi(found.offsetHi), found.offsetLo);
  }
  if (!hit || !cursor.valid) {
    const who = ownerHi === NULL32 ? `special owner -${TWO32 - ownerLo}` : `inode ${ownerHi * TWO32 + ownerLo}`;
    throw corrupt(
      'RMAP_MISSING',
      `the reverse map does not say that ${who} owns blocks ${start}+${count} of AG ${ag.number}`,
      {
        where: { ag: ag.number, block: start, structure: 'rmapbt' },
      },
    );
  }
  const head = start - found.start;
  const tail = found.start + found.count - (start + count);
  const { start: recordStart, offsetHi: recordHi, offsetLo: recordLo } = found;
  if (head > 0) cursor.update(tx, write(recordStart, head, ownerHi, ownerLo, recordHi, recordLo));
  else cursor.remove(tx);
  if (tail > 0) {
    const hi = placed ? movedHi(offsetHi, offsetLo, count) : offsetHi;
    const lo = placed ? movedLo(offsetHi, offsetLo, count) : offsetLo;
    cursor.insert(tx, write(start + count, tail, ownerHi, ownerLo, hi, lo));
  }
}
