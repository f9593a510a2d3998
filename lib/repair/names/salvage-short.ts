/**
 * Entries of a damaged short form. It has no tags and no index: where an entry ends follows from lengths alone. So the
 * bytes are cut into entries in the way that makes most sense: an entry whose inode is in use and has the type that the
 * entry says is hardly found by chance.
 *
 *   score(place) = the best of: end here | entry with its stored length | entry of another length | skip one byte
 *
 * computed from the end to the start; once for each width of inode numbers and each end that size or count suggest.
 */
import { MAX_FTYPE, readShortInode, ShortDirEntry } from '../../../formats/directory.ts';
import type { InodeTable } from '../../check/inode-table.ts';
import { hasBadByte, isDotName } from '../../directory/names.ts';
import { type FoundEntry, mendName, typeOfInode } from './salvage-blocks.ts';

const HEAD = ShortDirEntry.size;
/** What speaks for a way to cut. */
const SCORE = {
  sameType: 20,
  otherType: 6,
  storedLength: 6,
  otherLength: -6,
  type: 2,
  place: 2,
  badName: -8,
  skipped: -4,
};
/** The way ends where the size says; it has as many entries as the count says. */
const END_BONUS = 15;

/** One way to cut the bytes. */
interface Cut {
  score: number;
  /** Offsets of entries and the lengths of their names. */
  readonly entries: { at: number; length: number }[];
  readonly width: 4 | 8;
  /** Bytes that belong to no entry. */
  readonly skipped: number;
}

export interface ShortSalvage {
  /** As stored, in the width that makes sense; may be no inode. */
  readonly parent: number;
  readonly entries: FoundEntry[];
  /** Entries that the count has and that were not found, at least. */
  readonly missing: number;
}

/** @param view the fork's bytes. @param size what the inode says the directory takes. */
export function salvageShort(view: DataView, size: number, table: InodeTable): ShortSalvage {
  let best: Cut | undefined;
  const count = view.getUint8(0);
  for (const width of [4, 8] as const) {
    const start = 2 + width;
    const ends = new Set([Math.min(size, view.byteLength), endByCount(view, width)]);
    for (const end of ends) {
      if (end < start) continue;
      const cut = cutBest(view, start, end, width, table);
      if (end === size) cut.score += END_BONUS;
      if (cut.entries.length === count) cut.score += END_BONUS;
      if (typeOfInode(table, readShortInode(view, 2, width)) === 2) cut.score += SCORE.sameType;
      if ((view.getUint8(1) === 0) === (width === 4)) cut.score += SCORE.storedLength;
      if (!best || cut.score > best.score) best = cut;
    }
  }
  if (!best) return { parent: 0, entries: [], missing: count };
  const { width, entries } = best;
  const found = entries.map(({ at, length }) => entryAt(view, at, length, width));
  const missing = best.skipped > 0 ? Math.max(0, count - found.length) : 0;
  return { parent: readShortInode(view, 2, width), entries: found, missing };
}

/** Where as many entries as the count says end, by their stored lengths; 0 when they do not fit. */
function endByCount(view: DataView, width: number): number {
  let at = 2 + width;
  for (let left = view.getUint8(0); left > 0; left--) {
    if (at + HEAD > view.byteLength || view.getUint8(at) === 0) return 0;
    at += HEAD + view.getUint8(at) + 1 + width;
  }
  return at <= view.byteLength ? at : 0;
}

function cutBest(view: DataView, start: number, end: number, width: 4 | 8, table: InodeTable): Cut {
  const scores = new Int32Array(end - start + 1);
  /** Length of the name of the entry at a place; 0: skip a byte. */
  const lengths = new Uint8Array(end - start + 1);
  for (let at = end - 1; at >= start; at--) {
    let best = scores[at + 1 - start]! + SCORE.skipped;
    let chosen = 0;
    const stored = view.getUint8(at);
    const most = Math.min(255, end - at - HEAD - 1 - width);
    for (let length = 1; length <= most; length++) {
      const own = entryScore(view, at, length, width, table);
      // Another length than the stored one needs an inode that proves it.
      if (length !== stored && own < SCORE.sameType) continue;
      const rest = scores[at + HEAD + length + 1 + width - start]!;
      const score = own + rest + (length === stored ? SCORE.storedLength : SCORE.otherLength);
      if (score > best) {
        best = score;
        chosen = length;
      }
    }
    scores[at - start] = best;
    lengths[at - start] = chosen;
  }
  const entries: { at: number; length: number }[] = [];
  let skipped = 0;
  for (let at = start; at < end; ) {
    const length = lengths[at - start]!;
    if (length === 0) {
      skipped++;
      at++;
      continue;
    }
    entries.push({ at, length });
    at += HEAD + length + 1 + width;
  }
  return { score: scores[0]!, entries, width, skipped };
}

function entryScore(view: DataView, at: number, length: number, width: 4 | 8, table: InodeTable): number {
  const end = at + HEAD + length;
  const ftype = view.getUint8(end);
  const type = typeOfInode(table, readShortInode(view, end + 1, width));
  const name = new Uint8Array(view.buffer, view.byteOffset + at + HEAD, length);
  const place = view.getUint16(at + 1);
  let score = ftype <= MAX_FTYPE ? SCORE.type : 0;
  if (type > 0) score += type === ftype ? SCORE.sameType : SCORE.otherType;
  else if (type < 0) score += SCORE.otherType;
  if (place >= 96 && place % 8 === 0) score += SCORE.place;
  if (hasBadByte(name, 0, length) || isDotName(name)) score += SCORE.badName;
  return score;
}

function entryAt(view: DataView, at: number, length: number, width: 4 | 8): FoundEntry {
  const end = at + HEAD + length;
  const name = new Uint8Array(view.buffer, view.byteOffset + at + HEAD, length).slice();
  const renamed = hasBadByte(name, 0, length) || isDotName(name);
  if (renamed) mendName(name, undefined);
  const ftype = view.getUint8(end);
  return {
    name,
    inode: readShortInode(view, end + 1, width),
    ftype: ftype <= MAX_FTYPE ? ftype : 0,
    renamed,
    proven: false,
  };
}
