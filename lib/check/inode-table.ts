/**
 * What is known of every inode slot, in typed arrays: one index per existing slot, chunk by chunk.
 *
 * 1. Index = 64 * chunk + slot; chunks are sorted by AG and first inode, so a number is found by halving.
 * 2. Nothing is believed twice: the inode tree says which chunks there are, the slots on disk what is in them.
 */
import type { Geometry } from '../../formats/geometry.ts';

export const CHUNK = 64;
/** Bits of `state`. */
export const STATE = {
  /** In use and readable. */
  used: 1,
  /** Should be in use but its slot cannot be read. */
  unreadable: 2,
  /** On an unlinked list. */
  unlinked: 4,
  /** A part of its forks could not be read. */
  partial: 8,
  /** Belongs to no directory by design: realtime and quota inodes. */
  special: 16,
  /** Its reflink flag is set. */
  reflink: 32,
  /** Directory: known to hang below the root. */
  connected: 64,
  /** A wrong link was already reported. */
  reported: 128,
} as const;
/** No index. */
export const NONE = 0xffffffff;

/** A hole mask without holes that end within a block: whoever has some inodes of a block has all of its own. */
export function wholeBlockHoles(geometry: Geometry, holemask: number): number {
  const bits = Math.min(CHUNK, geometry.inodesPerBlock) / 4;
  if (bits <= 1) return holemask;
  const all = 2 ** bits - 1;
  let mask = holemask;
  for (let bit = 0; bit < CHUNK / 4; bit += bits) {
    if (((holemask >> bit) & all) !== all) mask &= ~(all << bit);
  }
  return mask;
}

/** Chunk records of one AG as the inode tree has them. */
export class ChunkList {
  length = 0;
  /** AG inode of slot 0. */
  start = new Uint32Array(64);
  /** Bit i: slots 4i..4i+3 do not exist. */
  holemask = new Uint16Array(64);
  /** Free bits of slots 0-31 and 32-63. */
  freeLo = new Uint32Array(64);
  freeHi = new Uint32Array(64);

  push(start: number, holemask: number, freeHi: number, freeLo: number): void {
    if (this.length === this.start.length) {
      const size = this.length * 2;
      const grow = <T extends Uint32Array | Uint16Array>(old: T, bigger: T): T => {
        bigger.set(old);
        return bigger;
      };
      this.start = grow(this.start, new Uint32Array(size));
      this.holemask = grow(this.holemask, new Uint16Array(size));
      this.freeLo = grow(this.freeLo, new Uint32Array(size));
      this.freeHi = grow(this.freeHi, new Uint32Array(size));
    }
    const i = this.length++;
    this.start[i] = start;
    this.holemask[i] = holemask;
    this.freeHi[i] = freeHi;
    this.freeLo[i] = freeLo;
  }

  isFree(chunk: number, slot: number): boolean {
    return slot < 32 ? ((this.freeLo[chunk]! >>> slot) & 1) !== 0 : ((this.freeHi[chunk]! >>> (slot - 32)) & 1) !== 0;
  }
  exists(chunk: number, slot: number): boolean {
    return ((this.holemask[chunk]! >>> (slot >> 2)) & 1) === 0;
  }
}

export class InodeTable {
  readonly geometry: Geometry;
  /** By AG. */
  readonly chunks: readonly ChunkList[];
  /** Chunks of all AGs before this one. */
  readonly firstChunk: Float64Array;
  /** False when a part of some inode tree could not be read: there may be more inodes. */
  readonly complete: boolean;
  readonly state: Uint8Array;
  readonly mode: Uint16Array;
  readonly nlink: Uint32Array;
  /** Entries that name the inode; for a directory, the directories that stand in it. */
  readonly counted: Uint32Array;
  /** Index of the directory that holds the first entry for this inode. */
  readonly parent: Uint32Array;
  /** Generations, only with parent pointers. */
  readonly generation: Uint32Array;
  /** Sums over entries and over parent pointers, only with parent pointers: equal when they agree. */
  readonly entrySum: Uint32Array;
  readonly pointerSum: Uint32Array;
  /** Chained inodes: (index, next) in index order. */
  readonly chained: number[] = [];
  #lastAg = -1;
  #lastChunk = -1;

  constructor(geometry: Geometry, chunks: readonly ChunkList[], complete: boolean) {
    this.geometry = geometry;
    this.chunks = chunks;
    this.complete = complete;
    this.firstChunk = new Float64Array(chunks.length + 1);
    for (let ag = 0; ag < chunks.length; ag++) this.firstChunk[ag + 1] = this.firstChunk[ag]! + chunks[ag]!.length;
    const slots = this.firstChunk[chunks.length]! * CHUNK;
    this.state = new Uint8Array(slots);
    this.mode = new Uint16Array(slots);
    this.nlink = new Uint32Array(slots);
    this.counted = new Uint32Array(slots);
    this.parent = new Uint32Array(slots).fill(NONE);
    const pointers = geometry.features.parent ? slots : 0;
    this.generation = new Uint32Array(pointers);
    this.entrySum = new Uint32Array(pointers);
    this.pointerSum = new Uint32Array(pointers);
  }

  /** Slots, holes of chunks included. */
  get length(): number {
    return this.state.length;
  }

  /** Is any of these bits set for anybody? */
  hasAny(bits: number): boolean {
    const { state } = this;
    for (let index = 0; index < state.length; index++) if ((state[index]! & bits) !== 0) return true;
    return false;
  }

  /** Index of an inode number, or NONE when no chunk holds it. */
  indexOf(inode: number): number {
    const { geometry } = this;
    const ag = geometry.agOfInode(inode);
    if (!(ag < geometry.agCount)) return NONE;
    return this.indexInAg(ag, geometry.agInodeOfInode(inode));
  }

  indexInAg(ag: number, agInode: number): number {
    const list = this.chunks[ag]!;
    const { start } = list;
    let chunk = this.#lastChunk;
    if (ag !== this.#lastAg || agInode < start[chunk]! || agInode >= start[chunk]! + CHUNK) {
      let low = 0;
      let high = list.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (start[middle]! <= agInode) low = middle + 1;
        else high = middle;
      }
      chunk = low - 1;
      if (chunk < 0 || agInode >= start[chunk]! + CHUNK) return NONE;
      this.#lastAg = ag;
      this.#lastChunk = chunk;
    }
    const slot = agInode - start[chunk]!;
    return list.exists(chunk, slot) ? (this.firstChunk[ag]! + chunk) * CHUNK + slot : NONE;
  }

  agOf(index: number): number {
    const chunk = Math.floor(index / CHUNK);
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.firstChunk[middle + 1]! <= chunk) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Inode number of an index. */
  numberOf(index: number): number {
    const ag = this.agOf(index);
    const chunk = Math.floor(index / CHUNK) - this.firstChunk[ag]!;
    return this.geometry.inodeNumber(ag, this.chunks[ag]!.start[chunk]! + (index % CHUNK));
  }
}
