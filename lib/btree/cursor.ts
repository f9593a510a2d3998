/** The cursor: what the layers above use to find, walk and change the records of a tree. */
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { insertRecord, updateRecord } from './insert.ts';
import { Path } from './path.ts';
import { removeRecord } from './remove.ts';
import type { Tree } from './tree.ts';

/**
 * A place in a tree. While `valid`, `view` and `offset` are the bytes of the current record in its leaf: put a record
 * view there, and do not keep it across a change.
 *
 * - Search keys are numbers; which ones, says lib/btree/tree-types.ts. Unused ones are left out.
 * - A seek is always right. A *position* is not, once the tree was changed through another cursor: seek again. (The engine
 *   refuses to change anything through a position whose path is no longer the tree's.)
 * - Keep a cursor for searches that are near each other: it stays in the leaf when it can.
 * - The reader and every transaction given to the cursor must share one cache.
 * - All calls throw `corrupt` on damaged trees: BTREE_POINTER, BTREE_LEVEL, BTREE_OWNER, BTREE_HEIGHT, BTREE_ROOT,
 *   BTREE_ORDER, BTREE_EMPTY, BTREE_SIBLING, and what block verifiers say.
 */
export class Cursor {
  readonly #path: Path;

  constructor(tree: Tree, reader: BlockReader) {
    this.#path = new Path(tree, reader);
  }

  /** True when there is a current record. */
  get valid(): boolean {
    return this.#path.valid;
  }
  /** The leaf that holds the current record; meaningless unless `valid`. */
  get view(): DataView {
    return this.#path.view;
  }
  /** Where in the leaf the current record starts. */
  get offset(): number {
    return this.#path.offset;
  }

  /** Go to the greatest record <= key. False (and not valid) when there is none. */
  seekLE(a: number, b = 0, c = 0, d = 0, e = 0): boolean {
    return this.#path.seekLE(a, b, c, d, e);
  }
  /** Go to the smallest record >= key. */
  seekGE(a: number, b = 0, c = 0, d = 0, e = 0): boolean {
    return this.#path.seekGE(a, b, c, d, e);
  }
  /** Go to the record with exactly this key. */
  seekEQ(a: number, b = 0, c = 0, d = 0, e = 0): boolean {
    return this.#path.seekEQ(a, b, c, d, e);
  }
  seekFirst(): boolean {
    return this.#path.seekFirst();
  }
  seekLast(): boolean {
    return this.#path.seekLast();
  }
  /** Go to the record behind the current one. */
  next(): boolean {
    return this.#path.next();
  }
  /** Go to the record before the current one. */
  previous(): boolean {
    return this.#path.previous();
  }

  /**
   * Insert a record (its bytes from 0 on) at its sort position, wherever the cursor stands; it ends on it. All blocks
   * needed are allocated first, so `noSpace` leaves the tree as it was. Throws `corrupt` BTREE_DUPLICATE when the key is there.
   */
  insert(tx: Transaction, record: DataView): void {
    insertRecord(this.#path, tx, record);
  }
  /**
   * Overwrite the current record. Its key may change as long as it stays between its neighbours' (`corrupt` BTREE_ORDER
   * when it does not).
   */
  update(tx: Transaction, record: DataView): void {
    updateRecord(this.#path, tx, record);
  }
  /** Delete the current record; the cursor ends on the one that followed it, or is no longer valid. */
  remove(tx: Transaction): void {
    removeRecord(this.#path, tx);
  }
  /**
   * Delete the current record and some of those behind it for which `isGone` says so: as many as their leaf can lose at once. A long
   * run costs two changes for each leaf instead of one for each record. The cursor ends as by `remove`.
   */
  removeWhile(tx: Transaction, isGone: (view: DataView, offset: number) => boolean): void {
    const path = this.#path;
    path.requireRecord();
    const { view } = path;
    const slot = path.slots[0]!;
    // One below half full: that much its neighbours can make good.
    const spare = path.count(0) - path.tree.minLeaf + 1;
    const most = Math.min(path.count(0) - slot, spare);
    let run = 1;
    while (run < most && isGone(view, path.recordAt(slot + run))) run++;
    removeRecord(path, tx, run);
  }
}
