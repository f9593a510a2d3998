/**
 * The transaction of an image under construction (mkfs, populate): changes go to the cache and from there to the image
 * at any `commit`. There is no cancel; what a failure leaves behind is an image whose superblock still says "in progress".
 */
import type { BlockType } from '../../formats/block-type.ts';
import type { Geometry } from '../../formats/geometry.ts';
import type { Buffer, Segment } from './buffer.ts';
import type { BufferCache } from './cache.ts';
import { noteChange, type Transaction } from './transaction.ts';

export class DirectTransaction implements Transaction {
  readonly geometry: Geometry;
  readonly #cache: BufferCache;

  constructor(cache: BufferCache) {
    this.geometry = cache.geometry;
    this.#cache = cache;
    cache.held = true;
  }

  /** The structures are whole: memory may be brought back under its bound. Call it after every operation. */
  commit(): void {
    this.#cache.trim();
  }

  /** Write everything; the transaction is over. */
  close(): void {
    this.#cache.held = false;
    this.#cache.flush();
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
    const buffer = this.#cache.create(segments, type);
    this.change(buffer);
    return buffer;
  }

  change(buffer: Buffer, offset = 0, length = buffer.data.length): void {
    this.#cache.markDirty(buffer);
    noteChange(buffer, offset, length, this.geometry.inodeSize);
  }

  forget(daddr: number, length: number): void {
    this.#cache.forget(daddr, length);
  }
}
