/**
 * A path from the root to a record: the engine behind a cursor.
 *
 * 1. Between calls a complete path (`top >= 0`) names one block per level, and in each node the slot that leads to the
 *    block below. It is not trusted but re-checked from the root down before it is used again (`isCurrent`): pointers
 *    that match and buffers that are attached make it right, whoever changed the tree in between.
 * 2. `slots[0]` is the place of the current record while `valid`, and an insertion place after `locate`.
 * 3. Every step to another leaf must bring greater (smaller) records than the one before: so no walk over a damaged
 *    tree visits a leaf twice, and all work is bounded by the size of the image.
 */
import type { Buffer } from '../buffer/buffer.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { internal } from '../errors.ts';
import { ROOT_KEYS_AT, rootRoom, type Tree } from './tree.ts';
import type { SearchKey } from './tree-types.ts';

const NO_VIEW = new DataView(new ArrayBuffer(0));
/** Greatest record of any tree: the checksum tree's. */
const MAX_RECORD_BYTES = 64;

export class Path {
  readonly tree: Tree;
  readonly reader: BlockReader;
  /** True when `view`, `offset` are a record. */
  valid = false;
  view: DataView = NO_VIEW;
  offset = 0;
  /** Level of the root, or -1 when there is no complete path. */
  top = -1;
  readonly slots: number[] = [];
  readonly pointers: number[] = [];
  /** Per level; an inode root has none. */
  readonly buffers: Buffer[] = [];
  readonly key: SearchKey = [0, 0, 0, 0, 0];
  #record: DataView | undefined;

  constructor(tree: Tree, reader: BlockReader) {
    this.tree = tree;
    this.reader = reader;
  }

  /** A copy of the record that is being inserted: the caller's bytes may be those of the block that moves. */
  get record(): DataView {
    return (this.#record ??= new DataView(new ArrayBuffer(MAX_RECORD_BYTES)));
  }

  isInodeRoot(level: number): boolean {
    return level === this.top && this.tree.inodeRoot !== undefined;
  }
  /** The bytes of the block (or inode root) at a level. */
  viewAt(level: number): DataView {
    return this.isInodeRoot(level) ? this.tree.inodeRoot!.view() : this.buffers[level]!.view;
  }
  /** Entries in the block at a level. */
  count(level: number): number {
    return this.isInodeRoot(level) ? this.tree.inodeRoot!.view().getUint16(2) : this.buffers[level]!.view.getUint16(6);
  }
  /** Entries the block at a level may hold. An inode root never takes more than fit into one block, where they go when it grows. */
  capacity(level: number): number {
    return this.isInodeRoot(level)
      ? Math.min(rootRoom(this.tree.inodeRoot!.view()), this.tree.maxNode - 1)
      : this.tree.max(level);
  }
  /** Byte offset of a node's key entry. */
  keyAt(level: number, slot: number): number {
    return (this.isInodeRoot(level) ? ROOT_KEYS_AT : this.tree.headerSize) + slot * this.tree.entrySize;
  }
  /** Byte offset of a node's pointer. */
  pointerAt(level: number, slot: number): number {
    const base = this.isInodeRoot(level)
      ? ROOT_KEYS_AT + this.tree.entrySize * rootRoom(this.tree.inodeRoot!.view())
      : this.tree.pointersAt;
    return base + slot * this.tree.pointerSize;
  }
  /** The pointer in a node's slot. */
  child(level: number, slot: number): number {
    return this.tree.readPointer(this.viewAt(level), this.pointerAt(level, slot));
  }
  recordAt(slot: number): number {
    return this.tree.headerSize + slot * this.tree.recordSize;
  }

  /** Make slot `slot` of the leaf the current record. */
  place(slot: number): true {
    this.slots[0] = slot;
    this.view = this.buffers[0]!.view;
    this.offset = this.recordAt(slot);
    this.valid = true;
    return true;
  }
  /** No current record. */
  lose(): false {
    this.valid = false;
    return false;
  }

  /** The buffer of a level, fetched again if the cache let go of it. */
  attached(tx: BlockReader, level: number): Buffer {
    const buffer = this.buffers[level]!;
    if (buffer.attached) return buffer;
    return (this.buffers[level] = this.tree.readBlock(tx, this.pointers[level]!, level));
  }
  /** Announce a change of the block (or inode root) at a level and return its bytes. */
  change(tx: Transaction, level: number): DataView {
    if (this.isInodeRoot(level)) {
      this.tree.inodeRoot!.change(tx);
      return this.tree.inodeRoot!.view();
    }
    const buffer = this.attached(tx, level);
    tx.change(buffer);
    return buffer.view;
  }
  /** The bytes of a level as an array; announce first. */
  bytes(level: number): Uint8Array {
    if (!this.isInodeRoot(level)) return this.buffers[level]!.data;
    const view = this.tree.inodeRoot!.view();
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }

  /** Is the remembered path the tree's present one (invariant 1)? */
  isCurrent(): boolean {
    const { top, tree, slots, pointers, buffers } = this;
    if (top < 0) return false;
    let level = top;
    let pointer: number;
    if (tree.inodeRoot) {
      const view = tree.inodeRoot.view();
      if (tree.inodeRootLevel(view) !== top || slots[top]! >= view.getUint16(2)) return false;
      pointer = tree.readPointer(view, ROOT_KEYS_AT + 8 * (rootRoom(view) + slots[top]!));
      level--;
    } else {
      if (tree.topLevel() !== top) return false;
      pointer = tree.blockRoot!.pointer();
    }
    for (; ; level--) {
      if (pointers[level] !== pointer) return false;
      let buffer = buffers[level]!;
      if (!buffer.attached) buffer = buffers[level] = tree.readBlock(this.reader, pointer, level);
      if (buffer.type !== tree.type.blockType || buffer.view.getUint16(4) !== level) return false;
      if (level === 0) return true;
      const slot = slots[level]!;
      if (slot >= buffer.view.getUint16(6)) return false;
      pointer = tree.readPointer(buffer.view, tree.pointersAt + slot * tree.pointerSize);
    }
  }

  /** Go to the leaf where a key belongs; `slots[0]` = how many of its records are <= the key. */
  locate(a: number, b: number, c: number, d: number, e: number): void {
    this.valid = false;
    if (!this.#inLeaf(a, b, c, d, e)) this.#descend(a, b, c, d, e);
    const leaf = this.buffers[0]!.view;
    this.slots[0] = this.tree.type.searchRecords(leaf, this.tree.headerSize, leaf.getUint16(6), a, b, c, d, e);
  }

  /** Does the key belong into the leaf of the remembered path? */
  #inLeaf(a: number, b: number, c: number, d: number, e: number): boolean {
    const { tree, top } = this;
    const { type, headerSize } = tree;
    if (top < 0) return false;
    if (top === 0) return this.isCurrent();
    // The leaf first, though it may be outdated: most keys that are elsewhere are found out here, without the path.
    const buffer = this.buffers[0]!;
    const leaf = buffer.view;
    if (buffer.type !== type.blockType || leaf.getUint16(4) !== 0) return false;
    const count = leaf.getUint16(6);
    if (count === 0 || type.compareRecord(leaf, headerSize, a, b, c, d, e) > 0) return false;
    const inside = type.compareRecord(leaf, this.recordAt(count - 1), a, b, c, d, e) >= 0;
    if (!this.isCurrent()) return false;
    // Fetched anew just now: look again.
    if (this.buffers[0] !== buffer) return false;
    if (inside) return true;
    // Behind the last record: still ours when there is no next leaf, or when that one begins later.
    if (tree.right(leaf) === tree.nullPointer) return true;
    const next = this.slots[1]! + 1;
    return next < this.count(1) && type.compareKey(this.viewAt(1), this.keyAt(1, next), a, b, c, d, e) > 0;
  }

  #descend(a: number, b: number, c: number, d: number, e: number): void {
    const { tree, reader, slots } = this;
    const { type } = tree;
    this.top = -1;
    const root = tree.inodeRoot?.view();
    const top = root ? tree.inodeRootLevel(root) : tree.topLevel();
    let level = top;
    let pointer: number;
    if (root) {
      const slot = Math.max(0, type.searchKeys(root, ROOT_KEYS_AT, root.getUint16(2), a, b, c, d, e) - 1);
      slots[level] = slot;
      pointer = tree.readPointer(root, ROOT_KEYS_AT + 8 * (rootRoom(root) + slot));
      level--;
    } else {
      pointer = tree.blockRoot!.pointer();
    }
    for (; ; level--) {
      const buffer = tree.readBlock(reader, pointer, level);
      this.buffers[level] = buffer;
      this.pointers[level] = pointer;
      if (level === 0) break;
      const { view } = buffer;
      const below = type.searchKeys(view, tree.headerSize, view.getUint16(6), a, b, c, d, e);
      const slot = below > 0 ? below - 1 : 0;
      slots[level] = slot;
      pointer = tree.readPointer(view, tree.pointersAt + slot * tree.pointerSize);
    }
    this.top = top;
  }

  /** Go to the first (last) leaf. */
  #edge(last: boolean): boolean {
    const { tree } = this;
    this.valid = false;
    this.top = -1;
    const top = tree.topLevel();
    if (tree.inodeRoot) {
      this.top = top;
      this.slots[top] = last ? this.count(top) - 1 : 0;
    } else {
      const pointer = tree.blockRoot!.pointer();
      this.buffers[top] = tree.readBlock(this.reader, pointer, top);
      this.pointers[top] = pointer;
      this.top = top;
      if (top > 0) this.slots[top] = last ? this.count(top) - 1 : 0;
    }
    this.#descendEdge(top, last);
    const count = this.count(0);
    if (count === 0) {
      if (top > 0 && !this.isSingle()) throw this.#empty();
      return this.lose();
    }
    return this.place(last ? count - 1 : 0);
  }

  /** From a node whose slot is set down to the leaf, along the first (last) children. */
  #descendEdge(from: number, last: boolean): void {
    const { tree, top } = this;
    for (let level = from; level > 0; level--) {
      if (level < from) this.slots[level] = last ? this.count(level) - 1 : 0;
      const pointer = this.child(level, this.slots[level]!);
      this.top = -1; // incomplete, should the read throw
      this.buffers[level - 1] = tree.readBlock(this.reader, pointer, level - 1);
      this.pointers[level - 1] = pointer;
      this.top = top;
    }
  }

  /** True when every node on the path has one child: then the leaf may be empty, though it is not the root. */
  isSingle(): boolean {
    for (let level = 1; level <= this.top; level++) if (this.count(level) > 1) return false;
    return true;
  }

  seekFirst(): boolean {
    return this.#edge(false);
  }
  seekLast(): boolean {
    return this.#edge(true);
  }

  /** Greatest record <= key. */
  seekLE(a: number, b: number, c: number, d: number, e: number): boolean {
    this.locate(a, b, c, d, e);
    const slot = this.slots[0]! - 1;
    if (slot >= 0) return this.place(slot);
    return this.#previousLeaf();
  }
  /** Smallest record >= key. */
  seekGE(a: number, b: number, c: number, d: number, e: number): boolean {
    this.locate(a, b, c, d, e);
    const slot = this.slots[0]!;
    if (slot > 0 && this.#equals(slot - 1, a, b, c, d, e)) return this.place(slot - 1);
    if (slot < this.count(0)) return this.place(slot);
    return this.#nextLeaf();
  }
  /** The record with this key. */
  seekEQ(a: number, b: number, c: number, d: number, e: number): boolean {
    this.locate(a, b, c, d, e);
    const slot = this.slots[0]!;
    return slot > 0 && this.#equals(slot - 1, a, b, c, d, e) && this.place(slot - 1);
  }
  #equals(slot: number, a: number, b: number, c: number, d: number, e: number): boolean {
    return this.tree.type.compareRecord(this.buffers[0]!.view, this.recordAt(slot), a, b, c, d, e) === 0;
  }

  next(): boolean {
    if (!this.valid) return false;
    const slot = this.slots[0]! + 1;
    if (slot < this.view.getUint16(6)) return this.place(slot);
    return this.#nextLeaf();
  }
  previous(): boolean {
    if (!this.valid) return false;
    const slot = this.slots[0]! - 1;
    if (slot >= 0) return this.place(slot);
    return this.#previousLeaf();
  }

  /** First record of the next leaf. */
  #nextLeaf(): boolean {
    this.valid = false;
    const count = this.count(0);
    // Only a leaf that is the tree's sole one may be empty: nothing is behind it.
    if (count > 0) this.tree.type.readKey(this.buffers[0]!.view, this.recordAt(count - 1), this.key);
    if (!this.#step(1)) return false;
    return this.#arrive(0, count > 0, 1);
  }
  /** Last record of the previous leaf. */
  #previousLeaf(): boolean {
    this.valid = false;
    const any = this.count(0) > 0;
    if (any) this.tree.type.readKey(this.buffers[0]!.view, this.tree.headerSize, this.key);
    if (!this.#step(-1)) return false;
    return this.#arrive(this.count(0) - 1, any, -1);
  }

  /** Stand on a record of a leaf just reached; it must lie beyond `key` in this direction (invariant 3). */
  #arrive(slot: number, hasKey: boolean, direction: number): boolean {
    if (!hasKey || this.count(0) === 0) throw this.#empty();
    const [a, b, c, d, e] = this.key as [number, number, number, number, number];
    const view = this.buffers[0]!.view;
    if (this.tree.type.compareRecord(view, this.recordAt(slot), a, b, c, d, e) * direction <= 0) {
      const pointer = this.pointers[0]!;
      this.top = -1;
      throw this.tree.corrupt('BTREE_ORDER', 'first key', pointer, 'beyond those of its neighbour', 'not');
    }
    return this.place(slot);
  }
  #empty(): Error {
    const pointer = this.pointers[0]!;
    this.top = -1;
    return this.tree.corrupt('BTREE_EMPTY', 'record count', pointer, 'at least 1', 0);
  }

  /** Move the path to the neighbouring leaf; false (path unchanged) at the edge of the tree. */
  #step(direction: number): boolean {
    let level = 1;
    for (; level <= this.top; level++) {
      const slot = this.slots[level]! + direction;
      if (slot >= 0 && slot < this.count(level)) break;
    }
    if (level > this.top) return false;
    this.slots[level]! += direction;
    this.#descendEdge(level, direction < 0);
    return true;
  }

  /** The leaf after this one, if there is one: for walks that read whole leaves. The path must stand on a record. */
  nextLeaf(): boolean {
    return this.#nextLeaf();
  }

  /** The position must still be right: changes through another cursor would make us write into the wrong place. */
  requireRecord(): void {
    if (!this.valid || !this.isCurrent() || this.slots[0]! >= this.count(0)) {
      throw internal(`${this.tree.type.layout.name}: the cursor stands on no record`);
    }
  }
}
