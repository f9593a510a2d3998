/**
 * Bytes kept in memory by fixed-size pages, only where something was written. Backs the memory device (terabytes of
 * nothing cost nothing) and the overlay.
 */
export const PAGE = 4096;

export class SparsePages {
  readonly pages = new Map<number, Uint8Array>();

  /** The page holding this byte, or undefined if it was never written. */
  page(offset: number): Uint8Array | undefined {
    return this.pages.get(Math.floor(offset / PAGE));
  }

  /** Call `each` for every piece of offset .. offset + length that lies in one page. */
  forEachPiece(
    offset: number,
    length: number,
    each: (page: number, inPage: number, at: number, count: number) => void,
  ): void {
    let at = 0;
    while (at < length) {
      const page = Math.floor((offset + at) / PAGE);
      const inPage = (offset + at) % PAGE;
      const count = Math.min(PAGE - inPage, length - at);
      each(page, inPage, at, count);
      at += count;
    }
  }

  /** Drop everything at and behind a byte. */
  truncate(size: number): void {
    for (const page of this.pages.keys()) if (page * PAGE >= size) this.pages.delete(page);
    this.page(size)?.fill(0, size % PAGE);
  }
}
