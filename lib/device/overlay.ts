/**
 * Writes stay in memory, reads fall through to the device below where nothing was written: dry runs, and reading an
 * image whose log must be replayed first. The device below is never written and never flushed.
 */
import type { Device } from './device.ts';
import { checkRange } from './range.ts';
import { PAGE, SparsePages } from './sparse-map.ts';

export class OverlayDevice implements Device {
  readonly readOnly = false;
  size: number;
  readonly #below: Device;
  readonly #pages = new SparsePages();
  /** Bytes of the device below still visible: shrinks when the overlay is cut and grows again. */
  #belowSize: number;

  constructor(below: Device) {
    this.#below = below;
    this.size = below.size;
    this.#belowSize = below.size;
  }

  /** Bytes held in memory for changed pages. */
  get changedBytes(): number {
    return this.#pages.pages.size * PAGE;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this.size, offset, into.length, 'read');
    this.#readBelow(offset, into);
    if (this.#pages.pages.size === 0) return;
    this.#pages.forEachPiece(offset, into.length, (page, inPage, at, count) => {
      const bytes = this.#pages.pages.get(page);
      if (bytes) into.set(bytes.subarray(inPage, inPage + count), at);
    });
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this.size, offset, from.length, 'write');
    this.#pages.forEachPiece(offset, from.length, (page, inPage, at, count) => {
      let bytes = this.#pages.pages.get(page);
      if (!bytes) {
        bytes = new Uint8Array(PAGE);
        if (count < PAGE) this.#readBelow(page * PAGE, bytes);
        this.#pages.pages.set(page, bytes);
      }
      bytes.set(from.subarray(at, at + count), inPage);
    });
  }

  flush(): void {}

  zero(offset: number, length: number): void {
    const zeroes = new Uint8Array(PAGE);
    checkRange(this.size, offset, length, 'write');
    this.#pages.forEachPiece(offset, length, (page, inPage, _at, count) => {
      this.write(page * PAGE + inPage, zeroes.subarray(0, count));
    });
  }

  resize(size: number): void {
    if (size < this.size) {
      this.#pages.truncate(size);
      this.#belowSize = Math.min(this.#belowSize, size);
    }
    this.size = size;
  }

  dataIn(from: number, to: number): readonly [number, number] {
    const isUntouched = this.#pages.pages.size === 0 && to <= this.#belowSize;
    return isUntouched && this.#below.dataIn ? this.#below.dataIn(from, to) : [from, to];
  }

  close(): void {
    this.#below.close();
  }

  /** Read from below what exists there, zeroes behind it. */
  #readBelow(offset: number, into: Uint8Array): void {
    const there = Math.max(0, Math.min(into.length, this.#belowSize - offset));
    if (there > 0) this.#below.read(offset, into.subarray(0, there));
    if (there < into.length) into.fill(0, there);
  }
}
