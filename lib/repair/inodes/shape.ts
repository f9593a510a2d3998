/**
 * The shape of an inode: its type, the format of each fork, where the attr fork starts, and which of the two layouts of the
 * extent counts it uses. Each of these fields can be wrong; together with what stands in the forks only one combination
 * makes sense. Every combination gets points for what it explains and loses some for every field it changes.
 *
 * 1. A fork that describes itself (a short form that adds up, a block with the right magic, owner and address) weighs more
 *    than one changed field; one that is merely possible weighs less.
 * 2. An entry in a directory weighs less than the inode's own type while the inode's CRC is right, and more when it is not.
 */
import { shortformFault } from '../../../formats/attribute.ts';
import { shortDirSize, verifyShortDir } from '../../../formats/directory.ts';
import { extentBlockCount, extentFileBlock, extentStartBlock } from '../../../formats/extent.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import {
  DATA_FORK_OFFSET,
  FORMAT,
  FTYPE,
  INODE_FLAG2,
  InodeCore,
  isNrext64,
  MODE,
  maxRootRecords,
  S_IFMT,
} from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import { MAX_SYMLINK } from '../../../formats/symlink.ts';
import type { PlanReader } from '../forks/plan-reader.ts';
import { forkEnd, isPossible, Records } from '../forks/records.ts';
import { countShortAttributes } from '../names/salvage-short-attributes.ts';
import { type BlockKind, peek } from './peek.ts';

const at = InodeCore.offsets;

export interface Shape {
  /** MODE.* */
  readonly type: number;
  readonly format: number;
  readonly forkoff: number;
  readonly aformat: number;
  readonly nrext64: boolean;
}

/** What is known of an inode besides its slot. */
export interface ShapeHints {
  /** Type byte of an entry that names it. */
  readonly ftype?: number | undefined;
  readonly wrongCrc: boolean;
  /** What it must be: root directory, realtime inodes. */
  readonly mustBe?: number | undefined;
  /** The register names data blocks, or attr blocks, of it. */
  readonly hasData: boolean;
  readonly hasAttr: boolean;
}

const TYPES: readonly number[] = Object.values(MODE);
const FORMATS = [FORMAT.DEV, FORMAT.LOCAL, FORMAT.EXTENTS, FORMAT.BTREE];
const ATTR_FORMATS = [FORMAT.LOCAL, FORMAT.EXTENTS, FORMAT.BTREE];
/** Points. */
const PROVEN = 8;
const LIKELY = 4;
const POSSIBLE = 1;
const CHANGED = 4;
const AGAINST = -6;
const NEVER = -50;
/** Extents of a list whose first blocks are looked at. */
const LOOKED_AT = 8;

const TYPE_OF_FTYPE: { readonly [ftype: number]: number } = {
  [FTYPE.FILE]: MODE.FILE,
  [FTYPE.DIR]: MODE.DIR,
  [FTYPE.CHAR]: MODE.CHAR,
  [FTYPE.BLOCK]: MODE.BLOCK,
  [FTYPE.FIFO]: MODE.FIFO,
  [FTYPE.SOCKET]: MODE.SOCKET,
  [FTYPE.SYMLINK]: MODE.SYMLINK,
};

/** Type bits of a directory entry's type byte; undefined when it names none. */
export const typeOfFtype = (ftype: number): number | undefined => TYPE_OF_FTYPE[ftype];

/** The combination that explains most of a slot. */
export function findShape(reader: PlanReader, slot: DataView, inode: number, hints: ShapeHints): Shape {
  return new ShapeFinder(reader, slot, inode, hints).best();
}

class ShapeFinder {
  readonly #reader: PlanReader;
  readonly #geometry: Geometry;
  readonly #slot: DataView;
  readonly #inode: number;
  readonly #hints: ShapeHints;
  readonly #literal: number;
  readonly #kinds = new Map<number, BlockKind>();
  /** The data fork taken as a list of extents: the same wherever the attr fork starts. */
  readonly #list = new Records();
  /** By room for records: the first child of the data fork taken as the root of a tree, -1 where it is none. */
  readonly #roots: number[] = [];
  /** By bytes: does the data fork read as a short directory? */
  readonly #shortDirs: boolean[] = [];
  readonly #text: number;

  constructor(reader: PlanReader, slot: DataView, inode: number, hints: ShapeHints) {
    this.#reader = reader;
    this.#geometry = reader.geometry;
    this.#slot = slot;
    this.#inode = inode;
    this.#hints = hints;
    this.#literal = reader.geometry.inodeSize - DATA_FORK_OFFSET;
    this.#text = textLength(this.#fork(this.#literal));
    for (let i = 0; 16 * (i + 1) <= this.#literal; i++) this.#list.take(slot, DATA_FORK_OFFSET + 16 * i);
  }

  best(): Shape {
    const slot = this.#slot;
    const now = {
      type: slot.getUint16(at.mode) & S_IFMT,
      format: slot.getUint8(at.format),
      forkoff: slot.getUint8(at.forkoff),
      aformat: slot.getUint8(at.aformat),
      nrext64: isNrext64(slot, 0),
    };
    const layouts = this.#geometry.features.nrext64 ? [now.nrext64, !now.nrext64] : [false];
    let best: Shape = now;
    let most = Number.NEGATIVE_INFINITY;
    for (const nrext64 of layouts) {
      const layout = nrext64 === now.nrext64 ? this.#layout(nrext64) : this.#layout(nrext64) - CHANGED;
      for (let step = 0; step * 8 < this.#literal; step++) {
        // The value the slot has comes first: where nothing speaks for another, it stays.
        const forkoff = now.forkoff * 8 >= this.#literal ? step : (now.forkoff + step) % (this.#literal / 8);
        const place = forkoff === now.forkoff ? 0 : -CHANGED;
        const [aformat, attr] = this.#attrFork(forkoff, nrext64, now.aformat);
        // No data fork can be worth more than this.
        if (layout + place + attr + 2 * PROVEN < most) continue;
        for (const type of TYPES) {
          const typed = layout + place + attr + this.#type(type, now.type);
          for (const format of FORMATS) {
            const data = this.#dataFork(type, format, forkoff, nrext64);
            const points = typed + data - (format === now.format ? 0 : CHANGED);
            if (points <= most) continue;
            most = points;
            best = { type, format, forkoff, aformat, nrext64 };
          }
        }
      }
    }
    return best;
  }

  /** Points for a type, whatever the forks. */
  #type(type: number, now: number): number {
    const { mustBe, ftype, wrongCrc } = this.#hints;
    if (mustBe !== undefined) return type === mustBe ? 0 : NEVER;
    const named = ftype === undefined ? undefined : TYPE_OF_FTYPE[ftype];
    const entry = named === type ? (wrongCrc ? CHANGED + 2 : CHANGED - 1) : 0;
    if (type === now) return entry;
    // Of two that fit alike, the one that fewer changed bits explain.
    const bits = (type ^ now) >>> 12;
    const distance = (bits & 1) + ((bits >> 1) & 1) + ((bits >> 2) & 1) + ((bits >> 3) & 1);
    return entry - CHANGED - distance / 16;
  }

  #count(nrext64: boolean, attr: boolean): number {
    const slot = this.#slot;
    if (attr) return nrext64 ? slot.getUint32(at.nextents) : slot.getUint16(at.anextents);
    return nrext64 ? getU64(slot, at.bigNextents) : slot.getUint32(at.nextents);
  }

  /** In each layout one field must be zero. */
  #layout(nrext64: boolean): number {
    const slot = this.#slot;
    const isZero = nrext64 ? slot.getUint16(at.anextents) === 0 : getU64(slot, at.bigNextents) === 0;
    return isZero ? 0 : -CHANGED;
  }

  #dataFork(type: number, format: number, forkoff: number, nrext64: boolean): number {
    const bytes = forkoff === 0 ? this.#literal : forkoff * 8;
    const isDevice = type !== MODE.FILE && type !== MODE.DIR && type !== MODE.SYMLINK;
    if (isDevice !== (format === FORMAT.DEV)) return NEVER;
    switch (format) {
      case FORMAT.DEV:
        return this.#device(type, forkoff, bytes, nrext64);
      case FORMAT.LOCAL:
        return type === MODE.FILE ? NEVER : this.#local(type, bytes, nrext64);
      case FORMAT.EXTENTS:
        return this.#extents(type, bytes, nrext64);
      default:
        return type === MODE.SYMLINK ? NEVER : this.#tree(type, bytes, nrext64);
    }
  }

  #device(type: number, forkoff: number, bytes: number, nrext64: boolean): number {
    if (forkoff > 1) return NEVER;
    const slot = this.#slot;
    const isPlain = getU64(slot, at.size) === 0 && this.#count(nrext64, false) === 0;
    let points = isPlain && !this.#hints.hasData ? POSSIBLE : AGAINST;
    if (type === MODE.FIFO || type === MODE.SOCKET) points += slot.getUint32(DATA_FORK_OFFSET) === 0 ? 1 : AGAINST;
    else if (slot.getUint32(DATA_FORK_OFFSET) !== 0) points += 2;
    for (let i = 4; i < Math.min(bytes, 64); i += 4) if (slot.getUint32(DATA_FORK_OFFSET + i) !== 0) return points - 3;
    return points;
  }

  #local(type: number, bytes: number, nrext64: boolean): number {
    const slot = this.#slot;
    const size = getU64(slot, at.size);
    const wrongCount = this.#count(nrext64, false) === 0 && !this.#hints.hasData ? 0 : CHANGED;
    if (type === MODE.DIR) {
      this.#shortDirs[bytes] ??= bytes >= 6 && verifyShortDir(this.#fork(bytes), this.#geometry) === undefined;
      if (!this.#shortDirs[bytes]) return -wrongCount;
      const fork = this.#fork(bytes);
      const isRoomy = shortDirSize(fork) === size;
      // An empty one is mostly zeroes, and so proves less.
      return (fork.getUint8(0) > 0 ? PROVEN : LIKELY) - (isRoomy ? 0 : CHANGED) - wrongCount;
    }
    const length = Math.min(this.#text, bytes);
    if (length === 0) return AGAINST / 2;
    if (length === size && size <= MAX_SYMLINK) return (length > 1 ? PROVEN : LIKELY) - wrongCount;
    return (length > 2 ? LIKELY : 0) - wrongCount;
  }

  /** The data fork, were it that long. */
  #fork(bytes: number): DataView {
    return new DataView(this.#slot.buffer, this.#slot.byteOffset + DATA_FORK_OFFSET, bytes);
  }

  #extents(type: number, bytes: number, nrext64: boolean): number {
    const room = Math.floor(bytes / 16);
    const said = this.#count(nrext64, false);
    if (said === 0) {
      if (this.#hints.hasData) return AGAINST;
      const isFirst = this.#possible(Math.min(1, room), type) === 1;
      const isWritten = isFirst && this.#slot.getUint32(DATA_FORK_OFFSET + 12) !== 0;
      if (type !== MODE.FILE) return isWritten ? this.#content(type, 1) - CHANGED : AGAINST;
      return isWritten ? 0 : POSSIBLE;
    }
    const count = Math.min(said, room);
    const good = this.#possible(count, type);
    if (good === 0) {
      // A place in the file that cannot be takes nothing from what the blocks say they are.
      const content = this.#content(type, count);
      return content >= PROVEN ? content - CHANGED : AGAINST;
    }
    let points = good === count && this.#isAscending(count) ? LIKELY : POSSIBLE;
    if (said > room) points -= CHANGED + 1;
    return points + this.#content(type, count);
  }

  /** Records that could be, among the first `count`. */
  #possible(count: number, type: number): number {
    const { fileBlock, startBlock, blockCount } = this.#list;
    const end = forkEnd(this.#geometry, false, type === MODE.FILE);
    let good = 0;
    for (let i = 0; i < count; i++) {
      if (isPossible(this.#geometry, fileBlock[i]!, startBlock[i]!, blockCount[i]!, end)) good++;
    }
    return good;
  }

  /** Does each of the first `count` records begin behind the one before? */
  #isAscending(count: number): boolean {
    const { fileBlock, blockCount } = this.#list;
    for (let i = 0, last = 0; i < count; i++) {
      if (fileBlock[i]! < last) return false;
      last = fileBlock[i]! + blockCount[i]!;
    }
    return true;
  }

  /** Points for what the first blocks of the first `count` extents say they are: one that is sure is enough. */
  #content(type: number, count: number): number {
    let most = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < Math.min(count, LOOKED_AT); i++) {
      const kind = this.#kind(this.#list.startBlock[i]!);
      if (isMetadata(kind)) return this.#kindPoints(type, kind);
      most = Math.max(most, this.#kindPoints(type, kind));
    }
    return most;
  }

  #kindPoints(type: number, kind: BlockKind): number {
    if (!isMetadata(kind)) return type === MODE.FILE ? POSSIBLE : -POSSIBLE * 2;
    if (type === MODE.DIR) return kind === 'directory' || kind === 'hash-node' ? PROVEN : AGAINST;
    if (type === MODE.SYMLINK) return kind === 'symlink' ? PROVEN : AGAINST;
    return AGAINST;
  }

  #kind(fsBlock: number): BlockKind {
    let kind = this.#kinds.get(fsBlock);
    if (!kind) this.#kinds.set(fsBlock, (kind = peek(this.#reader, fsBlock, this.#inode)));
    return kind;
  }

  #tree(type: number, bytes: number, nrext64: boolean): number {
    const room = maxRootRecords(bytes);
    const first = (this.#roots[room] ??= this.#treeRoot(DATA_FORK_OFFSET, bytes) ?? -1);
    if (first === -1) return AGAINST;
    const wrongCount = this.#count(nrext64, false) <= Math.floor(bytes / 16) ? CHANGED : 0;
    const block = this.#firstMapped(first);
    const kind = block === undefined ? 'other' : this.#kind(block);
    return (
      PROVEN -
      wrongCount +
      (type === MODE.DIR
        ? kind === 'directory' || kind === 'hash-node'
          ? LIKELY
          : -POSSIBLE
        : this.#kindPoints(type, kind))
    );
  }

  /** The first child of a tree root that makes sense, undefined when it makes none. */
  #treeRoot(start: number, bytes: number): number | undefined {
    const slot = this.#slot;
    const room = maxRootRecords(bytes);
    const count = slot.getUint16(start + 2);
    if (room === 0) return undefined;
    let good = 0;
    let first: number | undefined;
    // A wrong count or level shows by the pointers, which have to be where the fork's size puts them.
    const most = count >= 1 && count <= room ? count : room;
    for (let i = 0; i < most; i++) {
      const pointer = getU64(slot, start + 4 + 8 * (room + i));
      if (this.#kind(pointer) !== 'tree') continue;
      good++;
      first ??= pointer;
    }
    return good * 2 >= most || (good > 0 && most === room) ? first : undefined;
  }

  /** The first block that the leftmost leaf below a tree block maps. */
  #firstMapped(block: number): number | undefined {
    const { blockSize } = this.#geometry;
    for (let steps = 0; steps < 10; steps++) {
      const view = this.#reader.raw(block);
      if (!view) return undefined;
      if (view.getUint16(4) === 0) {
        return extentStartBlock(view, 72);
      }
      block = getU64(view, 72 + 8 * Math.floor((blockSize - 72) / 16));
      if (this.#kind(block) !== 'tree') return undefined;
    }
    return undefined;
  }

  /** The best format for an attr fork at this place, and its points. */
  #attrFork(forkoff: number, nrext64: boolean, now: number): [aformat: number, points: number] {
    const count = this.#count(nrext64, true);
    if (forkoff === 0) {
      const against = (count === 0 ? 0 : CHANGED) + (this.#hints.hasAttr ? PROVEN : 0);
      return [FORMAT.EXTENTS, (now === FORMAT.EXTENTS ? 2 : 2 - CHANGED) - against];
    }
    let best = FORMAT.EXTENTS as number;
    let most = Number.NEGATIVE_INFINITY;
    for (const aformat of ATTR_FORMATS) {
      const points = this.#attrPoints(forkoff, aformat, count) - (aformat === now ? 0 : CHANGED);
      if (points > most) {
        most = points;
        best = aformat;
      }
    }
    return [best, most];
  }

  #attrPoints(forkoff: number, aformat: number, count: number): number {
    const start = DATA_FORK_OFFSET + forkoff * 8;
    const bytes = this.#literal - forkoff * 8;
    const slot = this.#slot;
    if (aformat === FORMAT.LOCAL) {
      const fork = new DataView(slot.buffer, slot.byteOffset + start, bytes);
      const wrongCount = count === 0 && !this.#hints.hasAttr ? 0 : CHANGED;
      if (shortformFault(fork)) {
        const total = fork.getUint16(0);
        // As many attributes as it says, one after the other: only the total is wrong.
        if (countShortAttributes(fork) === fork.getUint8(2) && fork.getUint8(2) > 0)
          return PROVEN - CHANGED - wrongCount;
        return (total > 4 && total <= bytes ? 0 : AGAINST) - wrongCount;
      }
      return (fork.getUint8(2) > 0 ? PROVEN : POSSIBLE) - wrongCount;
    }
    if (aformat === FORMAT.BTREE) {
      const first = this.#treeRoot(start, bytes);
      return first === undefined ? AGAINST : PROVEN + (count > Math.floor(bytes / 16) ? 0 : -CHANGED);
    }
    const blocks = bytes >= 16 ? extentBlockCount(slot, start) : 0;
    const first = blocks > 0 ? extentStartBlock(slot, start) : 0;
    const kind = blocks > 0 ? this.#kind(first) : 'other';
    const isAttr = kind === 'attributes' || kind === 'hash-node';
    if (count === 0) return (isAttr ? PROVEN - CHANGED : POSSIBLE) - (this.#hints.hasAttr ? CHANGED : 0);
    const tooMany = count > Math.floor(bytes / 16) ? CHANGED : 0;
    if (isAttr) return PROVEN - tooMany;
    return blocks > 0 && isPossible(this.#geometry, extentFileBlock(slot, start), first, blocks, 2 ** 32)
      ? POSSIBLE - tooMany
      : AGAINST;
  }
}

/** Does the block say that it is metadata of this inode? */
const isMetadata = (kind: BlockKind): boolean => kind !== 'other' && kind !== 'foreign';

/** Bytes before the first zero. */
export function textLength(view: DataView): number {
  let length = 0;
  while (length < view.byteLength && view.getUint8(length) !== 0) length++;
  return length;
}

/** Write the shape into the slot. */
export function setShape(slot: DataView, shape: Shape): void {
  slot.setUint16(at.mode, (slot.getUint16(at.mode) & ~S_IFMT) | shape.type);
  slot.setUint8(at.format, shape.format);
  slot.setUint8(at.forkoff, shape.forkoff);
  slot.setUint8(at.aformat, shape.aformat);
  const flags = slot.getUint8(at.flags2 + 7);
  slot.setUint8(at.flags2 + 7, shape.nrext64 ? flags | INODE_FLAG2.NREXT64 : flags & ~INODE_FLAG2.NREXT64);
}
