/**
 * Inode-tree records, with and without sparse chunks: one set of accessors for both layouts.
 *
 * Slots of a record are numbered 0..63. A slot *exists* unless its hole bit is set; the free bit of a slot that does not
 * exist is set but counts for nothing.
 */
import { InobtRecord } from '../../formats/btree-blocks.ts';
import type { Geometry } from '../../formats/geometry.ts';

export const SLOTS = 64;
/** Slots per bit of the hole mask. */
export const SLOTS_PER_HOLE = 4;

/** An inode-tree record copied out of its block: lives until the next `load`. */
export class ChunkRecord {
  readonly bytes = new DataView(new ArrayBuffer(InobtRecord.size));
  readonly #sparse: boolean;

  constructor(geometry: Geometry) {
    this.#sparse = geometry.features.sparse;
  }

  /** Copy the record at `view`, `offset`. */
  load(view: DataView, offset: number): this {
    for (let i = 0; i < InobtRecord.size; i += 4) this.bytes.setUint32(i, view.getUint32(offset + i));
    return this;
  }

  /** A record of slots that all are free; holes as given. */
  start(startInode: number, holemask: number): this {
    this.startInode = startInode;
    this.bytes.setUint32(4, 0);
    const count = SLOTS - SLOTS_PER_HOLE * bitCount(holemask);
    if (this.#sparse) {
      this.bytes.setUint16(4, holemask);
      this.bytes.setUint8(6, count);
    }
    this.freeCount = count;
    this.bytes.setUint32(8, 0xffffffff);
    this.bytes.setUint32(12, 0xffffffff);
    return this;
  }

  get startInode(): number {
    return this.bytes.getUint32(0);
  }
  set startInode(value: number) {
    this.bytes.setUint32(0, value);
  }
  get holemask(): number {
    return this.#sparse ? this.bytes.getUint16(4) : 0;
  }
  /** Existing slots. */
  get count(): number {
    return this.#sparse ? this.bytes.getUint8(6) : SLOTS;
  }
  /** Free ones among them. */
  get freeCount(): number {
    return this.#sparse ? this.bytes.getUint8(7) : this.bytes.getUint32(4);
  }
  set freeCount(value: number) {
    if (this.#sparse) this.bytes.setUint8(7, value);
    else this.bytes.setUint32(4, value);
  }
  /** Slots that were holes come into being, all free. */
  fill(pieceMask: number): void {
    const added = SLOTS_PER_HOLE * bitCount(pieceMask);
    this.bytes.setUint16(4, this.holemask & ~pieceMask);
    this.bytes.setUint8(6, this.count + added);
    this.freeCount += added;
  }

  exists(slot: number): boolean {
    return ((this.holemask >>> Math.floor(slot / SLOTS_PER_HOLE)) & 1) === 0;
  }
  isFree(slot: number): boolean {
    return ((this.bytes.getUint32(slot < 32 ? 12 : 8) >>> (slot & 31)) & 1) === 1;
  }
  /** Mark a slot free or used and count it. */
  setFree(slot: number, free: boolean): void {
    const at = slot < 32 ? 12 : 8;
    const word = this.bytes.getUint32(at);
    const bit = 1 << (slot & 31);
    this.bytes.setUint32(at, (free ? word | bit : word & ~bit) >>> 0);
    this.freeCount += free ? 1 : -1;
  }
  /** The first existing free slot, or -1. */
  firstFree(): number {
    for (let slot = 0; slot < SLOTS; slot++) {
      // Whole words of used slots are passed over at once.
      if ((slot === 0 || slot === 32) && this.bytes.getUint32(slot === 0 ? 12 : 8) === 0) slot += 31;
      else if (this.isFree(slot) && this.exists(slot)) return slot;
    }
    return -1;
  }
  sameAs(view: DataView, offset: number): boolean {
    for (let i = 0; i < InobtRecord.size; i += 4) {
      if (this.bytes.getUint32(i) !== view.getUint32(offset + i)) return false;
    }
    return true;
  }
}

function bitCount(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}
