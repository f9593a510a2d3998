/**
 * The plan of a repair: an overlay of the image that knows what it changed, and notes copied ranges instead of holding
 * their bytes.
 *
 * 1. The device below is never written. Memory goes with the pages that were written (4 KiB each), not with what was copied.
 * 2. A page is one of: seen through to the device below, held here, or a copy of bytes of the device below (`#copies`).
 *    Before the source of a copy, or the copy itself, is written over, the copy becomes a held page.
 * 3. What the device below cannot read stays unreadable until it is written; then the rest of its page is zeroes. A lenient
 *    plan reads it as zeroes, sector by sector: after a check has told of it, the rest can go on.
 */
import type { Geometry } from '../../formats/geometry.ts';
import { RunList } from '../check/rows.ts';
import type { Device } from '../device/device.ts';
import { checkRange } from '../device/range.ts';
import { PAGE, SparsePages } from '../device/sparse-map.ts';
import { CadastreError } from '../errors.ts';

const CHUNK = 1 << 20;
/** Smallest piece that a device fails to read. */
const SECTOR = 512;
/** Pages whose presence one bit of `#regions` stands for. */
const REGION_PAGES = 64;

/** A run of pages that were copied, in bytes. */
export interface CopiedRun {
  readonly to: number;
  readonly from: number;
  readonly length: number;
}

export class PlanDevice implements Device {
  readonly readOnly = false;
  size: number;
  readonly #below: Device;
  readonly #lenient: boolean;
  readonly #held = new SparsePages();
  /** Page → first byte below that it is a copy of. */
  readonly #copies = new Map<number, number>();
  /** Page below → pages that are copies of bytes in it. */
  readonly #sources = new Map<number, Set<number>>();
  /** Stretches of pages that have something of their own: the others are read in one go. */
  readonly #regions = new Set<number>();

  /** @param lenient see 3. */
  constructor(below: Device, lenient = false) {
    this.#below = below;
    this.#lenient = lenient;
    this.size = below.size;
  }

  /** Nothing was written. */
  get isUnchanged(): boolean {
    return this.#held.pages.size === 0 && this.#copies.size === 0 && this.size === this.#below.size;
  }

  /** Bytes of pages that were written or copied. */
  get changedBytes(): number {
    return (this.#held.pages.size + this.#copies.size) * PAGE;
  }

  /** Numbers of the pages that are held, ascending. */
  heldPages(): number[] {
    return [...this.#held.pages.keys()].sort((a, b) => a - b);
  }

  /** Numbers of the pages that are held or copies, ascending. */
  ownPages(): Float64Array {
    return Float64Array.from([...this.#held.pages.keys(), ...this.#copies.keys()]).sort();
  }

  /** Copied ranges in the order of where they were copied to, as long as they are contiguous. */
  copiedRuns(): CopiedRun[] {
    const pages = [...this.#copies.keys()].sort((a, b) => a - b);
    const runs: CopiedRun[] = [];
    for (let i = 0; i < pages.length; ) {
      const first = pages[i]!;
      const from = this.#copies.get(first)!;
      let k = i + 1;
      while (k < pages.length && pages[k] === first + k - i && this.#copies.get(pages[k]!) === from + (k - i) * PAGE)
        k++;
      runs.push({ to: first * PAGE, from, length: (k - i) * PAGE });
      i = k;
    }
    return runs;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this.size, offset, into.length, 'read');
    if (into.length === 0) return;
    if (!this.#hasOwn(offset, into.length)) {
      this.#readBelow(offset, into);
      return;
    }
    // Stretches between pages of our own are read in one go.
    let start = 0;
    let end = 0;
    const through = (): void => {
      if (end > start) this.#readBelow(offset + start, into.subarray(start, end));
    };
    this.#held.forEachPiece(offset, into.length, (page, inPage, at, count) => {
      const held = this.#held.pages.get(page);
      const from = held ? undefined : this.#copies.get(page);
      if (!held && from === undefined) {
        end = at + count;
        return;
      }
      through();
      start = end = at + count;
      const piece = into.subarray(at, at + count);
      if (held) piece.set(held.subarray(inPage, inPage + count));
      else this.#readBelow(from! + inPage, piece);
    });
    through();
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this.size, offset, from.length, 'write');
    this.#held.forEachPiece(offset, from.length, (page, inPage, at, count) => {
      this.#hold(page, count < PAGE).set(from.subarray(at, at + count), inPage);
    });
  }

  /** Bytes `from .. from + length` also at `to`: whole pages without holding them. */
  copy(from: number, to: number, length: number): void {
    checkRange(this.size, from, length, 'read');
    checkRange(this.size, to, length, 'write');
    const overlaps = from < to + length && to < from + length;
    const piece = new Uint8Array(overlaps ? length : Math.min(CHUNK, length));
    const plain = (at: number, count: number): void => {
      for (let done = 0; done < count; done += piece.length) {
        const bytes = piece.subarray(0, Math.min(piece.length, count - done));
        this.read(from + at + done, bytes);
        this.write(to + at + done, bytes);
      }
    };
    if (overlaps) {
      plain(0, length);
      return;
    }
    this.#held.forEachPiece(to, length, (page, _inPage, at, count) => {
      const source = from + at;
      if (count < PAGE || this.#hasOwn(source, PAGE, true)) plain(at, count);
      else this.#noteCopy(page, source);
    });
  }

  flush(): void {}

  zero(offset: number, length: number): void {
    checkRange(this.size, offset, length, 'write');
    const zeroes = new Uint8Array(PAGE);
    this.#held.forEachPiece(offset, length, (page, inPage, _at, count) => {
      this.write(page * PAGE + inPage, zeroes.subarray(0, count));
    });
  }

  /** Grow: what is new reads as zeroes. */
  resize(size: number): void {
    this.size = Math.max(this.size, size);
  }

  close(): void {}

  dataIn(from: number, to: number): readonly [number, number] {
    const end = Math.min(to, this.#below.size);
    if (!this.#below.dataIn || from >= end) return [from, to];
    const [start, stop] = this.#below.dataIn(from, end);
    const isHole = start === end;
    // A region with something of its own counts as data.
    const bytes = REGION_PAGES * PAGE;
    for (let region = Math.floor(from / bytes); region * bytes < (isHole ? to : start); region++) {
      if (!this.#regions.has(region)) continue;
      return [Math.max(from, region * bytes), Math.min(to, (region + 1) * bytes)];
    }
    return isHole ? [to, to] : [start, stop];
  }

  #hasOwn(offset: number, length: number, exactly = false): boolean {
    const last = Math.floor((offset + length - 1) / PAGE);
    const first = Math.floor(offset / PAGE);
    let found = false;
    for (let region = Math.floor(first / REGION_PAGES); region * REGION_PAGES <= last && !found; region++) {
      found = this.#regions.has(region);
    }
    if (!found || !exactly) return found;
    for (let page = first; page <= last; page++) {
      if (this.#held.pages.has(page) || this.#copies.has(page)) return true;
    }
    return false;
  }

  /** The page, to be written. @param keep its bytes matter. */
  #hold(page: number, keep: boolean): Uint8Array {
    this.#settleCopiesOf(page);
    let bytes = this.#held.pages.get(page);
    if (bytes) return bytes;
    bytes = new Uint8Array(PAGE);
    const from = this.#copies.get(page);
    if (keep) this.#readPage(from ?? page * PAGE, bytes);
    if (from !== undefined) this.#dropCopy(page, from);
    this.#held.pages.set(page, bytes);
    this.#regions.add(Math.floor(page / REGION_PAGES));
    return bytes;
  }

  #noteCopy(page: number, source: number): void {
    this.#settleCopiesOf(page);
    const before = this.#copies.get(page);
    if (before !== undefined) this.#dropCopy(page, before);
    this.#held.pages.delete(page);
    this.#copies.set(page, source);
    this.#regions.add(Math.floor(page / REGION_PAGES));
    for (const below of pagesOf(source)) {
      const pages = this.#sources.get(below);
      if (pages) pages.add(page);
      else this.#sources.set(below, new Set([page]));
    }
  }

  #dropCopy(page: number, source: number): void {
    this.#copies.delete(page);
    for (const below of pagesOf(source)) {
      const pages = this.#sources.get(below);
      pages?.delete(page);
      if (pages?.size === 0) this.#sources.delete(below);
    }
  }

  /** A page is about to change: who is a copy of it gets the bytes now. The image itself will change there one day. */
  #settleCopiesOf(page: number): void {
    for (const copy of [...(this.#sources.get(page) ?? [])]) {
      const source = this.#copies.get(copy)!;
      const bytes = new Uint8Array(PAGE);
      this.#readPage(source, bytes);
      this.#dropCopy(copy, source);
      this.#held.pages.set(copy, bytes);
    }
  }

  /** A page's worth of bytes from below, zeroes where they cannot be read. */
  #readPage(offset: number, into: Uint8Array): void {
    this.#readBelow(offset, into, true);
  }

  /** What is below, zeroes behind its end. @param lenient zeroes also where it cannot be read. */
  #readBelow(offset: number, into: Uint8Array, lenient = this.#lenient): void {
    const there = Math.max(0, Math.min(into.length, this.#below.size - offset));
    if (there < into.length) into.fill(0, there);
    if (there === 0) return;
    try {
      this.#below.read(offset, into.subarray(0, there));
    } catch (error) {
      if (!lenient || !(error instanceof CadastreError) || error.family !== 'device') throw error;
      // Halves until single sectors are left: a long read with one bad sector costs a few dozen short ones.
      if (there <= SECTOR) {
        into.fill(0, 0, there);
        return;
      }
      const half = Math.ceil(there / 2 / SECTOR) * SECTOR;
      this.#readBelow(offset, into.subarray(0, half), true);
      this.#readBelow(offset + half, into.subarray(half, there), true);
    }
  }
}

/** By AG, blocks of which the plan has something of its own. */
export function changedBlocks(plan: PlanDevice, geometry: Geometry): RunList[] {
  const { blockSize, agBlocks, agCount, blocks } = geometry;
  const lists = Array.from({ length: agCount }, () => new RunList());
  let next = 0;
  for (const page of plan.ownPages()) {
    const end = Math.min(blocks, Math.ceil(((page + 1) * PAGE) / blockSize));
    for (let block = Math.max(next, Math.floor((page * PAGE) / blockSize)); block < end; block++) {
      lists[Math.floor(block / agBlocks)]!.join(block % agBlocks, 1);
    }
    next = Math.max(next, end);
  }
  return lists;
}

/** The one or two pages that a page's worth of bytes lies in. */
function pagesOf(offset: number): number[] {
  const first = Math.floor(offset / PAGE);
  return offset % PAGE === 0 ? [first] : [first, first + 1];
}
