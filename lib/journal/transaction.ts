/**
 * The transaction of an edit: changes stay in memory until commit, and can be taken back whole.
 *
 * 1. The bytes of a block before its first change are kept. `cancel` puts them back; `commit` compares them with what is
 *    there now, so what must be logged is found, never listed by hand.
 * 2. Blocks of the transaction are pinned: the cache neither writes nor drops them.
 * 3. Freed blocks are noted: until their freeing is durable, data may not overwrite them (the Journal sees to it).
 */
import type { BlockType } from '../../formats/block-type.ts';
import type { Geometry } from '../../formats/geometry.ts';
import type { Buffer, Segment } from '../buffer/buffer.ts';
import type { BufferCache } from '../buffer/cache.ts';
import { noteChange, type Transaction } from '../buffer/transaction.ts';
import { internal } from '../errors.ts';

/** A block of a transaction: what it held before; undefined = it was made here. */
export interface Joined {
  readonly buffer: Buffer;
  readonly before: Uint8Array | undefined;
  /** Inode slots that were changed before this transaction. */
  readonly slotsBefore: ReadonlySet<number> | undefined;
  readonly wasDirty: boolean;
  /** A block may change what it is (a directory block that becomes another form). */
  readonly typeBefore: BlockType;
}

/** A range of blocks that was freed, in 512-byte units and bytes. */
export interface FreedRange {
  readonly daddr: number;
  readonly length: number;
}

export class JournalTransaction implements Transaction {
  readonly geometry: Geometry;
  readonly joined = new Map<Buffer, Joined>();
  readonly freed: FreedRange[] = [];
  readonly #cache: BufferCache;
  /** Blocks of this transaction or of earlier ones that were dropped here, to bring back on cancel. */
  readonly #dropped: Joined[] = [];
  #open = true;

  constructor(cache: BufferCache) {
    this.geometry = cache.geometry;
    this.#cache = cache;
    cache.held = true;
  }

  get(daddr: number, length: number, type: BlockType): Buffer {
    return this.#cache.get(daddr, length, type);
  }

  getSegments(segments: readonly Segment[], type: BlockType): Buffer {
    return this.#cache.getSegments(segments, type);
  }

  create(daddr: number, length: number, type: BlockType): Buffer {
    return this.createSegments([{ daddr, length }], type);
  }

  createSegments(segments: readonly Segment[], type: BlockType): Buffer {
    for (const segment of segments) this.#drop(segment.daddr, segment.length);
    const buffer = this.#cache.create(segments, type);
    this.#join(buffer, undefined);
    noteChange(buffer, 0, buffer.data.length, this.geometry.inodeSize);
    return buffer;
  }

  change(buffer: Buffer, offset = 0, length = buffer.data.length): void {
    if (!this.joined.has(buffer)) this.#join(buffer, buffer.data.slice());
    noteChange(buffer, offset, length, this.geometry.inodeSize);
  }

  forget(daddr: number, length: number): void {
    this.freed.push({ daddr, length });
    this.#drop(daddr, length);
  }

  /** Everything is as it was before the transaction. */
  cancel(): void {
    if (!this.#open) throw internal('cancel of a transaction that is over');
    this.#open = false;
    for (const { buffer, before, slotsBefore, wasDirty, typeBefore } of this.joined.values()) {
      buffer.pins--;
      buffer.type = typeBefore;
      if (before === undefined) {
        this.#cache.forget(buffer.daddr, buffer.data.length);
        continue;
      }
      buffer.data.set(before);
      buffer.dirty = wasDirty;
      buffer.changedSlots = slotsBefore && new Set(slotsBefore);
    }
    for (let i = this.#dropped.length - 1; i >= 0; i--) {
      const { buffer, before, slotsBefore, wasDirty, typeBefore } = this.#dropped[i]!;
      buffer.type = typeBefore;
      if (before) buffer.data.set(before);
      this.#cache.restore(buffer);
      buffer.dirty = wasDirty;
      buffer.changedSlots = slotsBefore && new Set(slotsBefore);
    }
    this.#cache.held = false;
  }

  /** The journal has taken over what was changed. */
  finish(): void {
    if (!this.#open) throw internal('commit of a transaction that is over');
    this.#open = false;
    this.#cache.held = false;
  }

  #join(buffer: Buffer, before: Uint8Array | undefined): void {
    const slotsBefore = buffer.changedSlots && new Set(buffer.changedSlots);
    this.joined.set(buffer, { buffer, before, slotsBefore, wasDirty: buffer.dirty, typeBefore: buffer.type });
    this.#cache.markDirty(buffer);
    buffer.pins++;
  }

  /** Cached blocks in a range go; what they held is kept for `cancel` unless they were made here. */
  #drop(daddr: number, length: number): void {
    for (const buffer of this.#cache.within(daddr, length)) {
      const known = this.joined.get(buffer);
      if (known) {
        this.joined.delete(buffer);
        buffer.pins--;
        if (known.before) this.#dropped.push(known);
      } else {
        const slotsBefore = buffer.changedSlots && new Set(buffer.changedSlots);
        this.#dropped.push({ buffer, before: undefined, slotsBefore, wasDirty: buffer.dirty, typeBefore: buffer.type });
      }
    }
    this.#cache.forget(daddr, length);
  }
}
