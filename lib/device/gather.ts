/**
 * Joins neighbouring writes into long ones: thousands of small files written one behind the other reach the host as a few
 * large writes. Reads see what was written; nothing is durable before `flush`.
 */
import type { Device } from './device.ts';

const GATHER_BYTES = 4 << 20;
/** Writes of at least so many bytes are not copied. */
const DIRECT_BYTES = 512 << 10;

export class GatherDevice implements Device {
  readonly #below: Device;
  readonly #bytes = new Uint8Array(GATHER_BYTES);
  #start = 0;
  #used = 0;

  constructor(below: Device) {
    this.#below = below;
  }

  get size(): number {
    return this.#below.size;
  }
  get readOnly(): boolean {
    return this.#below.readOnly;
  }

  read(offset: number, into: Uint8Array): void {
    if (this.#overlaps(offset, into.length)) this.drain();
    this.#below.read(offset, into);
  }

  write(offset: number, from: Uint8Array): void {
    if (this.#used > 0 && (offset !== this.#start + this.#used || this.#used + from.length > GATHER_BYTES))
      this.drain();
    if (from.length >= DIRECT_BYTES) {
      this.drain();
      this.#below.write(offset, from);
      return;
    }
    if (this.#used === 0) this.#start = offset;
    this.#bytes.set(from, this.#used);
    this.#used += from.length;
  }

  flush(): void {
    this.drain();
    this.#below.flush();
  }

  zero(offset: number, length: number): void {
    this.drain();
    this.#below.zero(offset, length);
  }

  resize(size: number): void {
    this.drain();
    this.#below.resize(size);
  }

  close(): void {
    this.drain();
    this.#below.close();
  }

  /** Hand everything gathered to the device below. */
  drain(): void {
    if (this.#used === 0) return;
    const used = this.#used;
    this.#used = 0;
    this.#below.write(this.#start, this.#bytes.subarray(0, used));
  }

  #overlaps(offset: number, length: number): boolean {
    return this.#used > 0 && offset < this.#start + this.#used && offset + length > this.#start;
  }
}
