/**
 * The block-buffer cache.
 *
 * 1. Every block that leaves it was verified when it came in (CRC, magic, own address, owner): `get` throws otherwise.
 * 2. Every block that goes to the device is sealed (CRC) first.
 * 3. Memory is bounded: clean blocks leave first (second chance, oldest first), then unpinned dirty ones are written.
 *    Only pinned blocks (a transaction not yet in its log) may exceed the bound.
 * 4. Dirty blocks are written in address order, neighbours in one write.
 */
import { type BlockType, checkBlock } from '../../formats/block-type.ts';
import { sealCrc } from '../../formats/checksum.ts';
import { BASIC_BLOCK, type Geometry } from '../../formats/geometry.ts';
import type { Device } from '../device/device.ts';
import { corrupt, internal } from '../errors.ts';
import { Buffer, type Segment } from './buffer.ts';
import type { BlockReader } from './transaction.ts';

export const DEFAULT_CACHE_BYTES = 64 * 2 ** 20;
/** Longest single write that neighbours are gathered into. */
const GATHER_BYTES = 1 << 20;

export class BufferCache implements BlockReader {
  readonly geometry: Geometry;
  readonly device: Device;
  readonly #limit: number;
  readonly #buffers = new Map<number, Buffer>();
  #bytes = 0;
  /** While true nothing is evicted but by `trim`: a transaction is at work on blocks it holds. */
  held = false;
  /** The read-ahead window: raw bytes of [windowStart, windowEnd). */
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;
  #windowEnd = 0;

  constructor(device: Device, geometry: Geometry, limit = DEFAULT_CACHE_BYTES) {
    this.device = device;
    this.geometry = geometry;
    this.#limit = limit;
  }

  /** Bytes of cached blocks. */
  get bytes(): number {
    return this.#bytes;
  }

  get(daddr: number, length: number, type: BlockType): Buffer {
    const cached = this.#buffers.get(daddr);
    if (cached) return this.#hit(cached, length, type);
    return this.#load([{ daddr, length }], length, type);
  }

  getSegments(segments: readonly Segment[], type: BlockType): Buffer {
    const length = segments.reduce((sum, segment) => sum + segment.length, 0);
    const cached = this.#buffers.get(segments[0]!.daddr);
    if (cached) return this.#hit(cached, length, type);
    return this.#load(segments, length, type);
  }

  /** Zero-filled, not read; replaces whatever was cached at that address. The caller marks it dirty. */
  create(segments: readonly Segment[], type: BlockType): Buffer {
    for (const segment of segments) this.forget(segment.daddr, segment.length);
    const length = segments.reduce((sum, segment) => sum + segment.length, 0);
    const buffer = new Buffer(segments, length, type);
    this.#insert(buffer);
    return buffer;
  }

  /** The block cached at this address, whatever it is; no read. */
  peek(daddr: number): Buffer | undefined {
    return this.#buffers.get(daddr);
  }

  /**
   * Mark a block dirty. A block the cache had let go of comes back, unless another copy took its place meanwhile (a
   * holder broke the rule "fetch again before changing").
   */
  markDirty(buffer: Buffer): void {
    if (!buffer.attached) {
      if (this.#buffers.has(buffer.daddr)) throw internal(`stale buffer changed at daddr ${buffer.daddr}`);
      buffer.attached = true;
      this.#insert(buffer);
    }
    buffer.dirty = true;
  }

  /** Let go of every block that starts in this range: its bytes no longer matter. */
  forget(daddr: number, length: number): void {
    for (const buffer of this.within(daddr, length)) this.#remove(buffer);
  }

  /** The cached blocks that start in a range. */
  within(daddr: number, length: number): Buffer[] {
    const end = daddr + length / BASIC_BLOCK;
    const found: Buffer[] = [];
    const blockStep = this.geometry.blockSize / BASIC_BLOCK;
    if ((end - daddr) / blockStep > this.#buffers.size) {
      for (const buffer of this.#buffers.values()) if (buffer.daddr >= daddr && buffer.daddr < end) found.push(buffer);
      return found;
    }
    // Blocks start at block boundaries; only AG headers start inside one, and those are never freed.
    for (let at = daddr; at < end; at += blockStep) {
      const buffer = this.#buffers.get(at);
      if (buffer) found.push(buffer);
    }
    return found;
  }

  /** Bring back a block that was forgotten, bytes and all: a transaction is taken back. */
  restore(buffer: Buffer): void {
    const other = this.#buffers.get(buffer.daddr);
    if (other) this.#remove(other);
    buffer.attached = true;
    this.#insert(buffer);
  }

  /** Read a stretch of the device ahead of many `get`s: one large read instead of many small ones. */
  readAhead(daddr: number, length: number): void {
    const start = daddr * BASIC_BLOCK;
    const end = Math.min(start + length, this.device.size);
    if (start >= this.#windowStart && end <= this.#windowEnd) return;
    if (end <= start) return;
    if (this.#window.length < end - start) this.#window = new Uint8Array(end - start);
    this.#windowStart = this.#windowEnd = 0;
    this.device.read(start, this.#window.subarray(0, end - start));
    this.#windowStart = start;
    this.#windowEnd = end;
  }

  /** Write all unpinned dirty blocks, in address order. Not durable before `device.flush`. */
  writeBack(): void {
    const dirty: Buffer[] = [];
    for (const buffer of this.#buffers.values()) if (buffer.dirty && buffer.pins === 0) dirty.push(buffer);
    this.#write(dirty);
  }

  /** Write everything and make it durable. */
  flush(): void {
    this.writeBack();
    this.device.flush();
  }

  /** Bring memory back under the bound; call between operations. */
  trim(): void {
    if (this.#bytes > this.#limit) this.#makeRoom();
  }

  /** Drop everything unwritten too: the image is being abandoned or was changed underneath. */
  clear(): void {
    for (const buffer of this.#buffers.values()) buffer.attached = false;
    this.#buffers.clear();
    this.#bytes = 0;
    this.#windowStart = this.#windowEnd = 0;
  }

  #hit(buffer: Buffer, length: number, type: BlockType): Buffer {
    buffer.referenced = true;
    if (buffer.type === type && buffer.data.length === length) return buffer;
    if (buffer.data.length !== length) {
      throw corrupt('BLOCK_CLAIMED_TWICE', `block is in use as ${buffer.type.name}, wanted as ${type.name}`, {
        where: { daddr: buffer.daddr },
        expected: `${length} bytes`,
        found: `${buffer.data.length} bytes`,
      });
    }
    const fault = type.verify(buffer.view, this.geometry, buffer.daddr);
    if (fault) this.#throwFault(fault, buffer.daddr, type);
    return buffer;
  }

  #load(segments: readonly Segment[], length: number, type: BlockType): Buffer {
    const buffer = new Buffer(segments, length, type);
    let at = 0;
    for (const segment of segments) {
      this.#read(segment.daddr * BASIC_BLOCK, buffer.data.subarray(at, at + segment.length));
      at += segment.length;
    }
    const fault = checkBlock(type, buffer.data, buffer.view, this.geometry, buffer.daddr);
    if (fault) this.#throwFault(fault, buffer.daddr, type);
    this.#insert(buffer);
    return buffer;
  }

  #throwFault(
    fault: { code: string; field: string; expected: unknown; found: unknown },
    daddr: number,
    type: BlockType,
  ): never {
    throw corrupt(fault.code, `${type.name}: ${fault.field} is ${fault.found}, expected ${fault.expected}`, {
      where: { daddr, structure: type.name, field: fault.field },
      expected: fault.expected,
      found: fault.found,
    });
  }

  #read(start: number, into: Uint8Array): void {
    if (start >= this.#windowStart && start + into.length <= this.#windowEnd) {
      const at = start - this.#windowStart;
      into.set(this.#window.subarray(at, at + into.length));
    } else {
      this.device.read(start, into);
    }
  }

  #insert(buffer: Buffer): void {
    this.#buffers.set(buffer.daddr, buffer);
    this.#bytes += buffer.data.length;
    if (this.#bytes > this.#limit && !this.held) this.#makeRoom();
    buffer.referenced = true;
  }

  #remove(buffer: Buffer): void {
    this.#buffers.delete(buffer.daddr);
    this.#bytes -= buffer.data.length;
    buffer.attached = false;
    buffer.dirty = false;
  }

  /** Evict down to 7/8 of the bound, so that the cost is spread. */
  #makeRoom(): void {
    const goal = this.#limit * 0.875;
    let dirtySeen = false;
    for (let round = 0; round < 3 && this.#bytes > goal; round++) {
      let left = this.#buffers.size;
      for (const buffer of this.#buffers.values()) {
        if (left-- <= 0 || this.#bytes <= goal) break;
        if (buffer.referenced) {
          buffer.referenced = false;
          this.#buffers.delete(buffer.daddr); // to the end of the queue
          this.#buffers.set(buffer.daddr, buffer);
        } else if (buffer.dirty) dirtySeen ||= buffer.pins === 0;
        else if (buffer.pins === 0) this.#remove(buffer);
      }
      if (this.#bytes > goal && dirtySeen) this.writeBack();
    }
  }

  #write(dirty: Buffer[]): void {
    // Scattered blocks are written piece by piece; everything else is gathered into long writes.
    const pieces: { start: number; bytes: Uint8Array }[] = [];
    for (const buffer of dirty) {
      this.#seal(buffer);
      let at = 0;
      for (const segment of buffer.segments) {
        pieces.push({ start: segment.daddr * BASIC_BLOCK, bytes: buffer.data.subarray(at, at + segment.length) });
        at += segment.length;
      }
    }
    pieces.sort((a, b) => a.start - b.start);
    const gather = new Uint8Array(pieces.length > 1 ? GATHER_BYTES : 0);
    for (let i = 0; i < pieces.length; ) {
      const first = pieces[i]!;
      let end = first.start + first.bytes.length;
      let next = i + 1;
      while (
        next < pieces.length &&
        pieces[next]!.start === end &&
        end + pieces[next]!.bytes.length - first.start <= gather.length
      ) {
        end += pieces[next]!.bytes.length;
        next++;
      }
      if (next === i + 1) this.device.write(first.start, first.bytes);
      else {
        for (let k = i; k < next; k++) gather.set(pieces[k]!.bytes, pieces[k]!.start - first.start);
        this.device.write(first.start, gather.subarray(0, end - first.start));
      }
      i = next;
    }
    for (const buffer of dirty) buffer.dirty = false;
    this.#windowStart = this.#windowEnd = 0;
  }

  #seal(buffer: Buffer): void {
    const { type, data } = buffer;
    if (type.crcOffset >= 0) sealCrc(data, type.crcOffset);
    const slots = buffer.changedSlots;
    if (!slots) return;
    const size = this.geometry.inodeSize;
    for (const slot of slots) sealCrc(data.subarray(slot * size, (slot + 1) * size), type.slotCrcOffset!);
    buffer.changedSlots = undefined;
  }
}
