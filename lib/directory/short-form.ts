/**
 * The short form: the whole directory inside the inode. Small enough that a change decodes and writes it anew.
 * Offsets (the places entries would have in block form) are kept; they are dealt anew only when the next one would no
 * longer fit a directory block.
 */
import {
  blockIndexBytes,
  DIR_FIRST_OFFSET,
  dirEntrySize,
  readShortInode,
  ShortDirEntry,
  shortDirInodeSize,
  verifyShortDir,
} from '../../formats/directory.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt } from '../errors.ts';
import { sameName, setWide } from './layout.ts';

/** An entry as a value. `offset`: its place in a (would-be) data block, 0 when it has none yet. */
export interface DirectoryEntry {
  name: Uint8Array;
  inode: number;
  /** Directory entry type byte (FTYPE). */
  ftype: number;
}
export interface PlacedEntry extends DirectoryEntry {
  offset: number;
}

/** The local bytes, verified; throws `corrupt`. */
export function shortForm(fork: ForkReader): DataView {
  const view = fork.local()!;
  const bad = verifyShortDir(view, fork.geometry);
  if (bad) {
    throw corrupt(bad.code, `short form directory: ${bad.field} is ${bad.found}, expected ${bad.expected}`, {
      where: { inode: fork.inode, structure: 'short form directory', field: bad.field },
      expected: bad.expected,
      found: bad.found,
    });
  }
  return view;
}

export const shortBytes = (view: DataView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
export const shortCount = (view: DataView): number => view.getUint8(0);
export const shortParent = (view: DataView): number => readShortInode(view, 2, shortDirInodeSize(view));

/** Byte offset of the entry with this name, or -1. */
export function findShort(fork: ForkReader, view: DataView, name: Uint8Array): number {
  const width = shortDirInodeSize(view);
  const data = shortBytes(view);
  const fold = fork.geometry.features.asciiCi;
  let place = 2 + width;
  for (let left = shortCount(view); left > 0; left--) {
    const length = data[place]!;
    if (length === name.length && sameName(fold, name, data, place + ShortDirEntry.size)) return place;
    place += ShortDirEntry.size + length + 1 + width;
  }
  return -1;
}

/** Copies of all entries. */
export function readShort(view: DataView): PlacedEntry[] {
  const width = shortDirInodeSize(view);
  const data = shortBytes(view);
  const entries: PlacedEntry[] = [];
  let place = 2 + width;
  for (let left = shortCount(view); left > 0; left--) {
    const start = place + ShortDirEntry.size;
    const end = start + data[place]!;
    entries.push({
      name: data.slice(start, end),
      inode: readShortInode(view, end + 1, width),
      ftype: data[end]!,
      offset: view.getUint16(place + 1),
    });
    place = end + 1 + width;
  }
  return entries;
}

/** Bytes of the short form of these entries. */
function shortFormSize(parent: number, entries: readonly DirectoryEntry[]): number {
  let names = 0;
  let wide = parent >= 2 ** 32;
  for (const entry of entries) {
    names += entry.name.length;
    wide ||= entry.inode >= 2 ** 32;
  }
  const width = wide ? 8 : 4;
  return 2 + width + entries.length * (ShortDirEntry.size + 1 + width) + names;
}

/**
 * Encode the short form, or undefined when it needs more than `capacity` bytes, has more than 255 entries, or when its
 * block form would not fit a directory block of `blockBytes`. Entries with offset 0 stand at the end.
 */
export function buildShort(
  parent: number,
  entries: readonly PlacedEntry[],
  capacity: number,
  blockBytes: number,
): Uint8Array | undefined {
  const size = shortFormSize(parent, entries);
  if (size > capacity || entries.length > 255) return undefined;
  const limit = blockBytes - blockIndexBytes(entries.length);
  let end = DIR_FIRST_OFFSET;
  for (const { name, offset } of entries) end = (offset === 0 ? end : offset) + dirEntrySize(name.length);
  const keep = end <= limit;
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  let large = parent >= 2 ** 32 ? 1 : 0;
  for (const { inode } of entries) if (inode >= 2 ** 32) large++;
  const width = large === 0 ? 4 : 8;
  out[0] = entries.length;
  out[1] = large;
  writeInode(view, 2, parent, width);
  let place = 2 + width;
  end = DIR_FIRST_OFFSET;
  for (const { name, inode, ftype, offset } of entries) {
    const position = keep && offset !== 0 ? offset : end;
    end = position + dirEntrySize(name.length);
    if (end > limit) return undefined;
    out[place] = name.length;
    view.setUint16(place + 1, position);
    out.set(name, place + ShortDirEntry.size);
    place += ShortDirEntry.size + name.length;
    out[place] = ftype;
    writeInode(view, place + 1, inode, width);
    place += 1 + width;
  }
  return out;
}

function writeInode(view: DataView, offset: number, inode: number, width: number): void {
  if (width === 4) view.setUint32(offset, inode);
  else setWide(view, offset, inode);
}
