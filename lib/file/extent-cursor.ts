/**
 * One way to walk and change the extents of a fork, whether they stand in the inode (inline list) or in a bmbt. The
 * cursor decodes the current record into plain number fields; no object per extent.
 */
import { BmbtRecord } from '../../formats/btree-blocks.ts';
import {
  extentBlockCount,
  extentFileBlock,
  extentStartBlock,
  extentUnwritten,
  writeExtent,
} from '../../formats/extent.ts';
import type { Cursor } from '../btree/cursor.ts';
import type { Transaction } from '../buffer/transaction.ts';

export const RECORD = BmbtRecord.size;

/** Current extent in public fields; valid only while `valid`. */
export abstract class ExtentCursor {
  valid = false;
  fileBlock = 0;
  startBlock = 0;
  blockCount = 0;
  unwritten = false;

  /** First file block behind the current extent. */
  get endBlock(): number {
    return this.fileBlock + this.blockCount;
  }

  /** Go to the last extent that starts at or before `fileBlock`. */
  abstract seekLE(fileBlock: number): boolean;
  abstract seekFirst(): boolean;
  abstract seekLast(): boolean;
  abstract next(): boolean;
  abstract previous(): boolean;
  abstract insert(tx: Transaction, fileBlock: number, startBlock: number, blockCount: number, unwritten: boolean): void;
  abstract update(tx: Transaction, fileBlock: number, startBlock: number, blockCount: number, unwritten: boolean): void;
  /** Remove the current extent; the cursor is then on the one behind it. */
  abstract remove(tx: Transaction): void;

  /** Go to the extent that contains `fileBlock`, or else the first one behind it. */
  seekContaining(fileBlock: number): boolean {
    if (!this.seekLE(fileBlock)) return this.seekFirst();
    return this.endBlock > fileBlock ? true : this.next();
  }

  protected decode(view: DataView, offset: number): true {
    this.fileBlock = extentFileBlock(view, offset);
    this.startBlock = extentStartBlock(view, offset);
    this.blockCount = extentBlockCount(view, offset);
    this.unwritten = extentUnwritten(view, offset);
    return (this.valid = true);
  }

  protected off(): false {
    return (this.valid = false);
  }
}

/** Extents in the inode: an array of records at `base`; `count` is kept by the caller (the inode's extent counter). */
export class InlineExtents extends ExtentCursor {
  readonly #view: DataView;
  readonly #base: number;
  readonly #count: () => number;
  readonly #setCount: (count: number) => void;
  #index = -1;

  constructor(view: DataView, base: number, count: () => number, setCount: (count: number) => void) {
    super();
    this.#view = view;
    this.#base = base;
    this.#count = count;
    this.#setCount = setCount;
  }

  seekLE(fileBlock: number): boolean {
    let low = 0;
    let high = this.#count();
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (extentFileBlock(this.#view, this.#base + middle * RECORD) <= fileBlock) low = middle + 1;
      else high = middle;
    }
    return this.#go(low - 1);
  }
  seekFirst(): boolean {
    return this.#go(0);
  }
  seekLast(): boolean {
    return this.#go(this.#count() - 1);
  }
  next(): boolean {
    return this.#go(this.#index + 1);
  }
  previous(): boolean {
    return this.#go(this.#index - 1);
  }

  insert(_tx: Transaction, fileBlock: number, startBlock: number, blockCount: number, unwritten: boolean): void {
    const count = this.#count();
    this.seekLE(fileBlock);
    const at = this.#base + (this.#index + 1) * RECORD;
    if (this.#index + 1 < count) this.#bytes().copyWithin(at + RECORD, at, this.#base + count * RECORD);
    writeExtent(this.#view, at, fileBlock, startBlock, blockCount, unwritten);
    this.#setCount(count + 1);
    this.#go(this.#index + 1);
  }

  update(_tx: Transaction, fileBlock: number, startBlock: number, blockCount: number, unwritten: boolean): void {
    writeExtent(this.#view, this.#base + this.#index * RECORD, fileBlock, startBlock, blockCount, unwritten);
    this.#go(this.#index);
  }

  remove(_tx: Transaction): void {
    const count = this.#count();
    const at = this.#base + this.#index * RECORD;
    const end = this.#base + count * RECORD;
    this.#bytes()
      .copyWithin(at, at + RECORD, end)
      .fill(0, end - RECORD, end);
    this.#setCount(count - 1);
    this.#go(this.#index);
  }

  #bytes(): Uint8Array {
    const view = this.#view;
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }

  #go(index: number): boolean {
    this.#index = index;
    if (index < 0 || index >= this.#count()) return this.off();
    return this.decode(this.#view, this.#base + index * RECORD);
  }
}

/** A record on its way into a tree: used within one call. */
const scratch = new DataView(new ArrayBuffer(RECORD));

/** Extents in a bmbt. */
export class TreeExtents extends ExtentCursor {
  readonly #cursor: Cursor;
  readonly #count: () => number;
  readonly #setCount: (count: number) => void;

  constructor(cursor: Cursor, count: () => number, setCount: (count: number) => void) {
    super();
    this.#cursor = cursor;
    this.#count = count;
    this.#setCount = setCount;
  }

  seekLE(fileBlock: number): boolean {
    return this.#sync(this.#cursor.seekLE(fileBlock));
  }
  seekFirst(): boolean {
    return this.#sync(this.#cursor.seekFirst());
  }
  seekLast(): boolean {
    return this.#sync(this.#cursor.seekLast());
  }
  next(): boolean {
    return this.#sync(this.#cursor.next());
  }
  previous(): boolean {
    return this.#sync(this.#cursor.previous());
  }

  insert(tx: Transaction, fileBlock: number, startBlock: number, blockCount: number, unwritten: boolean): void {
    writeExtent(scratch, 0, fileBlock, startBlock, blockCount, unwritten);
    this.#cursor.insert(tx, scratch);
    this.#setCount(this.#count() + 1);
    this.#sync(this.#cursor.valid);
  }

  update(tx: Transaction, fileBlock: number, startBlock: number, blockCount: number, unwritten: boolean): void {
    writeExtent(scratch, 0, fileBlock, startBlock, blockCount, unwritten);
    this.#cursor.update(tx, scratch);
    this.#sync(this.#cursor.valid);
  }

  remove(tx: Transaction): void {
    this.#cursor.remove(tx);
    this.#setCount(this.#count() - 1);
    this.#sync(this.#cursor.valid);
  }

  #sync(valid: boolean): boolean {
    if (!valid) return this.off();
    return this.decode(this.#cursor.view, this.#cursor.offset);
  }
}
