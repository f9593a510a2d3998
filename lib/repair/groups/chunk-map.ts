/**
 * Chunks of one AG under construction: records taken over, and blocks found to hold inodes that are put together to
 * records. Where a record starts follows from another structure that names it, from alignment, or from the blocks
 * themselves; what is no inode in a record is a hole where the format knows holes.
 */
import type { Geometry } from '../../../formats/geometry.ts';
import { CHUNK, type ChunkList } from '../../check/inode-table.ts';
import { RunList } from '../../check/rows.ts';
import { asSet, runBehind, touches } from './runs.ts';

const ALL_HOLES = 0xffff;

interface Chunk {
  holemask: number;
  /** Taken over from the inode tree. */
  readonly isOld: boolean;
  isConfirmed: boolean;
}

export class ChunkMap {
  readonly #geometry: Geometry;
  readonly #ag: number;
  /** By AG inode of slot 0. */
  readonly #chunks = new Map<number, Chunk>();
  /** Starts that other structures name. */
  readonly #named = new Set<number>();
  #register = new RunList();
  /** Blocks of one record: 1 when a block holds several. */
  readonly #blocks: number;
  readonly #align: number;

  constructor(geometry: Geometry, ag: number) {
    this.#geometry = geometry;
    this.#ag = ag;
    this.#blocks = Math.max(1, CHUNK / geometry.inodesPerBlock);
    this.#align = Math.max(1, geometry.inodeAlignment);
  }

  /** A record of the inode tree. */
  add(start: number, holemask: number): void {
    this.#chunks.set(start, { holemask, isOld: true, isConfirmed: true });
    const { inodesPerBlock } = this.#geometry;
    if (inodesPerBlock > CHUNK) this.#addMissing(Math.floor(start / inodesPerBlock), true);
  }

  /** Another structure has a record that starts here. */
  confirm(start: number): void {
    this.#named.add(start);
  }
  /** The register calls these blocks inodes. */
  confirmBlocks(runs: RunList): void {
    this.#register = runs;
  }

  /** A block holds inodes, `used` of them in use. */
  addBlock(block: number, used: number): void {
    const { inodesPerBlock } = this.#geometry;
    if (inodesPerBlock >= CHUNK) {
      const isNamed = isIn(this.#register, block) || this.#starts(block).some((start) => this.#named.has(start));
      if (used > 0 || isNamed) this.#addMissing(block, isNamed);
      return;
    }
    const start = this.#startOf(block);
    const isNamed = this.#isNamed(start, block);
    let chunk = this.#chunks.get(start);
    if (!chunk) {
      if (used === 0 && !isNamed) {
        // Free inodes alone prove nothing; with used ones beside them they are part of their chunk.
        this.#unused.add(block);
        return;
      }
      chunk = { holemask: this.#geometry.features.sparse ? ALL_HOLES : 0, isOld: false, isConfirmed: false };
      this.#chunks.set(start, chunk);
    }
    chunk.isConfirmed ||= isNamed;
    this.#fill(chunk, start, block);
    for (let other = start / inodesPerBlock; other < start / inodesPerBlock + this.#blocks; other++) {
      if (this.#unused.delete(other)) this.#fill(chunk, start, other);
    }
  }
  /** Blocks of free inodes in chunks not seen yet. */
  readonly #unused = new Set<number>();

  /** The chunk whose first inode is this one is there and whole; only another record that has this inode already stands for it. */
  addFirst(start: number): void {
    for (const [other, { holemask }] of this.#chunks) {
      const slot = start - other;
      if (slot < 0 || slot >= CHUNK) continue;
      if (((holemask >>> (slot >> 2)) & 1) === 0) return;
      this.#chunks.delete(other);
    }
    const { inodesPerBlock } = this.#geometry;
    this.#chunks.set(start, { holemask: 0, isOld: false, isConfirmed: true });
    if (inodesPerBlock > CHUNK) this.#addMissing(Math.floor(start / inodesPerBlock), true);
  }

  /** The records of a block that holds several chunks. */
  #starts(block: number): number[] {
    const { inodesPerBlock } = this.#geometry;
    return Array.from({ length: inodesPerBlock / CHUNK }, (_, i) => block * inodesPerBlock + i * CHUNK);
  }
  #addMissing(block: number, isConfirmed: boolean): void {
    for (const start of this.#starts(block)) {
      if (!this.#chunks.has(start)) this.#chunks.set(start, { holemask: 0, isOld: false, isConfirmed });
    }
  }

  #isNamed(start: number, block: number): boolean {
    return this.#named.has(start) || isIn(this.#register, block);
  }

  /** The unit of a sparse chunk that holds a block exists. */
  #fill(chunk: Chunk, start: number, block: number): void {
    const { inodesPerBlock, sparseAlignment } = this.#geometry;
    const unit = Math.max(1, sparseAlignment);
    const first = start / inodesPerBlock;
    const from = Math.max(first, block - ((block - first) % unit));
    const bits = Math.max(1, (unit * inodesPerBlock) >> 2);
    const bit = ((from - first) * inodesPerBlock) >> 2;
    for (let i = bit; i < Math.min(16, bit + bits); i++) chunk.holemask &= ~(1 << i);
  }

  /** AG inode of slot 0 of the record that a block belongs to. */
  #startOf(block: number): number {
    const { inodesPerBlock } = this.#geometry;
    for (let first = block; first > block - this.#blocks && first >= 0; first--) {
      const start = first * inodesPerBlock;
      if (this.#chunks.has(start) || this.#named.has(start)) return start;
    }
    if (this.#align >= this.#blocks) return (block - (block % this.#align)) * inodesPerBlock;
    if (isIn(this.#register, block)) {
      const into = block - this.#register.start[runBehind(this.#register, block)]!;
      return (block - (into % this.#blocks)) * inodesPerBlock;
    }
    return (block - (block % this.#align)) * inodesPerBlock;
  }

  /** Blocks of all records that exist. */
  blocks(): RunList {
    const { inodesPerBlock } = this.#geometry;
    const list = new RunList();
    for (const [start, { holemask }] of this.#chunks) {
      const first = Math.floor(start / inodesPerBlock);
      for (let i = 0; i < this.#blocks; i++) {
        const isHole = inodesPerBlock < CHUNK && ((holemask >>> ((i * inodesPerBlock) >> 2)) & 1) !== 0;
        if (!isHole) list.push(first + i, 1);
      }
    }
    return asSet(list);
  }

  isSameAs(list: ChunkList): boolean {
    if (list.length !== this.#chunks.size) return false;
    for (let i = 0; i < list.length; i++) {
      if (this.#chunks.get(list.start[i]!)?.holemask !== list.holemask[i]) return false;
    }
    return true;
  }

  /** All records inside the AG, ascending, none overlapping the one before. */
  forEach(visit: (start: number, holemask: number, isOld: boolean, isConfirmed: boolean) => void): void {
    const { inodesPerBlock } = this.#geometry;
    const length = this.#geometry.agLength(this.#ag);
    let end = 0;
    for (const start of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const chunk = this.#chunks.get(start)!;
      let { holemask } = chunk;
      const first = Math.floor(start / inodesPerBlock);
      for (let i = 0; i < this.#blocks; i++) {
        if (first + i < length) continue;
        for (let bit = (i * inodesPerBlock) >> 2; bit < ((i + 1) * inodesPerBlock) >> 2; bit++) holemask |= 1 << bit;
      }
      const isWhole = this.#geometry.features.sparse || first + this.#blocks <= length;
      if (start < end || !isWhole || holemask === ALL_HOLES) continue;
      end = start + CHUNK;
      visit(start, holemask, chunk.isOld, chunk.isConfirmed);
    }
  }
}

const isIn = (runs: RunList, block: number): boolean => touches(runs, block, 1);
