/** An image in memory, sparse: for tests, browsers and dry runs of mkfs. */
import type { Device } from './device.ts';
import { checkRange } from './range.ts';
import { PAGE, SparsePages } from './sparse-map.ts';

export class MemoryDevice implements Device {
  readonly readOnly = false;
  size: number;
  readonly #pages = new SparsePages();

  /** @param content a size in bytes, or the bytes themselves (copied). */
  constructor(content: number | Uint8Array) {
    this.size = typeof content === 'number' ? content : content.length;
    if (typeof content !== 'number') this.write(0, content);
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this.size, offset, into.length, 'read');
    this.#pages.forEachPiece(offset, into.length, (page, inPage, at, count) => {
      const bytes = this.#pages.pages.get(page);
      if (bytes) into.set(bytes.subarray(inPage, inPage + count), at);
      else into.fill(0, at, at + count);
    });
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this.size, offset, from.length, 'write');
    this.#pages.forEachPiece(offset, from.length, (page, inPage, at, count) => {
      let bytes = this.#pages.pages.get(page);
      if (!bytes) this.#pages.pages.set(page, (bytes = new Uint8Array(PAGE)));
      bytes.set(from.subarray(at, at + count), inPage);
    });
  }

  flush(): void {}

  zero(offset: number, length: number): void {
    checkRange(this.size, offset, length, 'write');
    this.#pages.forEachPiece(offset, length, (page, inPage, _at, count) => {
      if (count === PAGE) this.#pages.pages.delete(page);
      else this.#pages.pages.get(page)?.fill(0, inPage, inPage + count);
    });
  }

  resize(size: number): void {
    if (size < this.size) this.#pages.truncate(size);
    this.size = size;
  }

  close(): void {}

  /** All bytes: small images only. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.size);
    this.read(0, bytes);
    return bytes;
  }
}
