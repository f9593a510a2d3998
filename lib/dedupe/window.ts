/**
 * Blocks of an image, read on as long as they are asked for in order: small files that lie side by side come with one read.
 * Read blocks must not change while the window is used: it is for data that somebody owns and nobody writes.
 */
import type { Device } from '../device/device.ts';

export class Window {
  readonly #device: Device;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  #start = 0;
  #length = 0;
  /** Bytes of the next read when it goes on where this one ended. */
  #ahead = 0;

  /** @param capacity bytes, the most that can be asked for. */
  constructor(device: Device, capacity: number) {
    this.#device = device;
    this.#bytes = new Uint8Array(capacity);
    this.#words = new Uint32Array(this.#bytes.buffer);
  }

  /** Bytes of the image as words; valid until the next call. Both numbers are multiples of 4. */
  words(offset: number, length: number): Uint32Array {
    if (offset < this.#start || offset + length > this.#start + this.#length) this.#load(offset, length);
    const first = (offset - this.#start) / 4;
    return this.#words.subarray(first, first + length / 4);
  }

  #load(offset: number, length: number): void {
    const capacity = this.#bytes.length;
    const end = this.#start + this.#length;
    const isNear = offset >= this.#start && offset <= end + this.#length;
    this.#ahead = isNear ? Math.min(capacity, 2 * Math.max(this.#ahead, length)) : length;
    const most = Math.floor(Math.min(this.#ahead, this.#device.size - offset) / 4) * 4;
    this.#length = Math.max(length, most);
    this.#start = offset;
    this.#device.read(offset, this.#bytes.subarray(0, this.#length));
  }
}
