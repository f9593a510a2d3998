/**
 * The transaction of an edit: changes stay in memory until commit, and can be taken back whole.
 *
 * 1. The bytes of a block before its first change are kept. `cancel` puts them back; `commit` compares them with what is
 *    there now, so what must be logged is found, never listed by hand.
 * 2. Blocks of the transaction are pinned: the cache neither writes nor drops them.
 * 3. Freed blocks are noted: until their freeing is durable, data may not overwrite them (`freedIn`, and the Journal's
 *    gate behind it).
 */
import type { BlockType } from '../../formats/block-type.ts';
import { BASIC_BLOCK, type Geometry } from '../../formats/geometry.ts';
import type { Buffer, Segment } from '../buffer/buffer.ts';
import type { BufferCache } from '../buffer/cache.ts';
import { noteChange, type Transaction } from '../buffer/transaction.ts';
import { internal } from '../errors.ts';
import { type FreedRange, FreedRanges } from './freed-ranges.ts';

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

/** Most bytes that wait to be used again. */
const SPARE_BYTES = 4 << 20;

/** Bytes that transactions keep of blocks before they change, used again and again: garbage of this size is dear. */
export class SpareBytes {
  readonly #bySize = new Map<number, Uint8Array[]>();
  #bytes = 0;

  copyOf(data: Uint8Array): Uint8Array {
    const spare = this.#bySize.get(data.length)?.pop();
    if (!spare) return data.slice();
    this.#bytes -= spare.length;
    spare.set(data);
    return spare;
  }

  /** Nobody looks at these bytes any more. */
  take(bytes: Uint8Array): void {
    if (this.#bytes + bytes.length > SPARE_BYTES) return;
    this.#bytes += bytes.length;
    const list = this.#bySize.get(bytes.length);
    if (list) list.push(bytes);
    else this.#bySize.set(bytes.length, [bytes]);
  }
}

export class JournalTransaction implements Transaction {
  readonly geometry: Geometry;
  readonly joined = new Map<Buffer, Joined>();
  readonly freed: FreedRange[] = [];
  /** Regions of items that are logged as they are (`addItem`). */
  readonly items: Uint8Array[] = [];
  readonly #cache: BufferCache;
  /** Blocks of earlier transactions that were dropped here: brought back by `cancel`. */
  readonly dropped: Joined[] = [];
  readonly #freedHere = new FreedRanges();
  readonly #freedBefore: FreedRanges;
  readonly #spare: SpareBytes;
  #open = true;

  /** @param freedBefore what transactions freed that are not durable yet. @param spare where kept bytes come from and go to. */
  constructor(cache: BufferCache, freedBefore: FreedRanges, spare: SpareBytes) {
    this.geometry = cache.geometry;
    this.#cache = cache;
    this.#freedBefore = freedBefore;
    this.#spare = spare;
    cache.held = true;
  }

  /** Neither committed nor cancelled yet. */
  get isOpen(): boolean {
    return this.#open;
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
    if (!this.joined.has(buffer)) this.#join(buffer, this.#spare.copyOf(buffer.data));
    noteChange(buffer, offset, length, this.geometry.inodeSize);
  }

  forget(daddr: number, length: number): void {
    this.freed.push({ daddr, length });
    this.#freedHere.add({ daddr, length });
    this.#drop(daddr, length);
  }

  freedIn(daddr: number, length: number): { start: number; end: number } | undefined {
    const end = daddr + length / BASIC_BLOCK;
    const here = this.#freedHere.firstIn(daddr, end);
    const before = this.#freedBefore.firstIn(daddr, here ? here.start : end);
    return before ?? here;
  }

  /** The first piece of a range that this transaction itself freed. */
  freedHereIn(daddr: number, length: number): { start: number; end: number } | undefined {
    return this.#freedHere.firstIn(daddr, daddr + length / BASIC_BLOCK);
  }

  /** Data to be written in place: see `atCommit`. */
  readonly late: (() => void)[] = [];

  atCommit(work: () => void): void {
    this.late.push(work);
  }

  /** Log an item that describes no block: an intent, or that one is done. The format structure first. */
  addItem(...regions: Uint8Array[]): void {
    this.items.push(...regions);
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
    this.#letGo();
    for (let i = this.dropped.length - 1; i >= 0; i--) {
      const { buffer, before, slotsBefore, wasDirty, typeBefore } = this.dropped[i]!;
      buffer.type = typeBefore;
      if (before) buffer.data.set(before);
      this.#cache.restore(buffer);
      buffer.dirty = wasDirty;
      buffer.changedSlots = slotsBefore && new Set(slotsBefore);
    }
    this.#cache.held = false;
  }

  /** Nothing of this block changed after all: it is as it was before the transaction. */
  leave(joined: Joined): void {
    const { buffer, slotsBefore, wasDirty, typeBefore } = joined;
    this.joined.delete(buffer);
    if (joined.before) this.#spare.take(joined.before);
    buffer.pins--;
    buffer.type = typeBefore;
    buffer.dirty = wasDirty;
    buffer.changedSlots = slotsBefore && new Set(slotsBefore);
  }

  /** The journal has taken over what was changed. */
  finish(): void {
    if (!this.#open) throw internal('commit of a transaction that is over');
    this.#open = false;
    this.#cache.held = false;
    this.#letGo();
  }

  /** What was kept of the blocks is needed no more. */
  #letGo(): void {
    for (const { before } of this.joined.values()) if (before) this.#spare.take(before);
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
        if (known.before) this.dropped.push(known);
      } else {
        const slotsBefore = buffer.changedSlots && new Set(buffer.changedSlots);
        this.dropped.push({ buffer, before: undefined, slotsBefore, wasDirty: buffer.dirty, typeBefore: buffer.type });
      }
    }
    this.#cache.forget(daddr, length);
  }
}
