/**
 * A tree as bytes: where its root is, where its blocks are, how a block is laid out, how a block is fetched and made.
 *
 * 1. Levels count from the leaves: 0 = leaf. The top level is the root's.
 * 2. A root inside an inode fork (`InodeRoot`) is a node without header: level u16, count u16, keys, and pointers behind
 *    room for as many keys as the fork can hold. It is never a leaf.
 * 3. Nothing leaves `readBlock` whose pointer is outside the AG (image), whose level is not the expected one, or, in a
 *    bmbt, that belongs to another inode. Block types have verified everything else.
 */

import { LongHeader, ShortHeader } from '../../formats/btree-blocks.ts';
import { BTREE_MAX_LEVELS } from '../../formats/btree-verify.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { getU64, NULL32, NULL64, setU64 } from '../../formats/struct.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { type CadastreError, corrupt } from '../errors.ts';
import { compareKeyBytes, type TreeType } from './tree-types.ts';

/** Where the root block is and how high the tree: fields of an AG header, or staged while a tree is built aside. */
export interface BtreeRoot {
  pointer(): number;
  /** Number of levels: 1 = the root is a leaf. */
  height(): number;
  set(tx: Transaction, pointer: number, height: number): void;
}

/** A root that lives inside an inode fork. */
export interface InodeRoot {
  /** The fork's bytes; the view's length is the fork's. */
  view(): DataView;
  /** Announce that they are about to change. */
  change(tx: Transaction): void;
}

/** Where blocks come from and go to. Pointers are AG blocks for short-form trees and fs blocks for the bmbt. */
export interface TreeBlocks {
  /** AG number, or inode number for the bmbt. */
  owner: number;
  daddr(pointer: number): number;
  /** A block for this tree, near another if possible. Must not change this tree. Throws `noSpace`. */
  allocate(tx: Transaction, near: number): number;
  free(tx: Transaction, pointer: number): void;
}

/** Bytes of an inode root before its keys. */
export const ROOT_KEYS_AT = 4;
/** Bytes of one child in an inode root: key and pointer. */
const ROOT_ENTRY_BYTES = 16;

export class Tree {
  readonly type: TreeType;
  readonly geometry: Geometry;
  readonly blocks: TreeBlocks;
  readonly blockRoot: BtreeRoot | undefined;
  readonly inodeRoot: InodeRoot | undefined;
  readonly long: boolean;
  readonly headerSize: number;
  readonly recordSize: number;
  /** Bytes of one key, and of a node's key entry: twice that in trees with high keys. */
  readonly keySize: number;
  readonly entrySize: number;
  readonly pointerSize: number;
  readonly hasHighKeys: boolean;
  readonly maxLeaf: number;
  readonly maxNode: number;
  readonly minLeaf: number;
  readonly minNode: number;
  /** Where the pointers of a node block start. */
  readonly pointersAt: number;
  readonly nullPointer: number;

  constructor(type: TreeType, geometry: Geometry, root: BtreeRoot | InodeRoot, blocks: TreeBlocks) {
    const { layout } = type;
    this.type = type;
    this.geometry = geometry;
    this.blocks = blocks;
    this.blockRoot = 'height' in root ? root : undefined;
    this.inodeRoot = 'height' in root ? undefined : root;
    this.long = layout.long;
    this.headerSize = layout.headerSize;
    this.recordSize = layout.recordSize;
    this.keySize = layout.keySize;
    this.hasHighKeys = layout.hasHighKeys;
    this.entrySize = layout.hasHighKeys ? 2 * layout.keySize : layout.keySize;
    this.pointerSize = layout.pointerSize;
    const { maxLeaf, maxNode } = geometry.btree[layout.name];
    this.maxLeaf = maxLeaf;
    this.maxNode = maxNode;
    this.minLeaf = Math.floor(maxLeaf / 2);
    this.minNode = Math.floor(maxNode / 2);
    this.pointersAt = layout.headerSize + maxNode * this.entrySize;
    this.nullPointer = layout.long ? NULL64 : NULL32;
  }

  max(level: number): number {
    return level === 0 ? this.maxLeaf : this.maxNode;
  }
  min(level: number): number {
    return level === 0 ? this.minLeaf : this.minNode;
  }

  /** Level of the root. Throws `corrupt` BTREE_HEIGHT, and BTREE_ROOT when an inode root's count cannot be. */
  topLevel(): number {
    if (this.blockRoot) {
      const height = this.blockRoot.height();
      if (height < 1 || height > BTREE_MAX_LEVELS) {
        throw this.corrupt('BTREE_HEIGHT', 'height of the tree', -1, `1..${BTREE_MAX_LEVELS}`, height);
      }
      return height - 1;
    }
    return this.inodeRootLevel(this.inodeRoot!.view());
  }
  /** The level that an inode root claims, after a look at its count: see `topLevel`. */
  inodeRootLevel(view: DataView): number {
    const level = view.getUint16(0);
    if (level < 1 || level > BTREE_MAX_LEVELS) {
      throw this.corrupt('BTREE_HEIGHT', 'level of the root', -1, `1..${BTREE_MAX_LEVELS}`, level);
    }
    const count = view.getUint16(2);
    const room = rootRoom(view);
    if (count < 1 || count > room) throw this.corrupt('BTREE_ROOT', 'children of the root', -1, `1..${room}`, count);
    return level;
  }

  /** Does this pointer name a block that could belong to the tree? */
  isPointer(pointer: number): boolean {
    return this.long ? this.geometry.isFsBlock(pointer) : this.geometry.isAgBlock(this.blocks.owner, pointer);
  }

  /** Fetch a block and make sure that it is what its parent says. Throws `corrupt` BTREE_POINTER, _LEVEL, _OWNER. */
  readBlock(reader: BlockReader, pointer: number, level: number): Buffer {
    if (!this.isPointer(pointer)) {
      throw this.corrupt('BTREE_POINTER', `pointer at level ${level + 1}`, -1, 'a block behind the headers', pointer);
    }
    const buffer = reader.get(this.blocks.daddr(pointer), this.geometry.blockSize, this.type.blockType);
    const found = buffer.view.getUint16(4);
    if (found !== level) throw this.corrupt('BTREE_LEVEL', 'level', pointer, level, found);
    if (this.long) {
      const owner = getU64(buffer.view, LongHeader.offsets.owner);
      if (owner !== this.blocks.owner) {
        throw this.corrupt('BTREE_OWNER', 'owner', pointer, this.blocks.owner, owner);
      }
    }
    return buffer;
  }

  /** A new block with a full header: no entries, no siblings. Already announced as changed. */
  createBlock(tx: Transaction, pointer: number, level: number): Buffer {
    const { geometry, type, blocks } = this;
    const daddr = blocks.daddr(pointer);
    const buffer = tx.create(daddr, geometry.blockSize, type.blockType);
    const header = this.long ? LongHeader : ShortHeader;
    const { view } = buffer;
    view.setUint32(0, type.layout.magic);
    view.setUint16(4, level);
    this.setLeft(view, this.nullPointer);
    this.setRight(view, this.nullPointer);
    setU64(view, header.offsets.blkno, daddr);
    buffer.data.set(geometry.metaUuid, header.offsets.uuid);
    if (this.long) setU64(view, LongHeader.offsets.owner, blocks.owner);
    else view.setUint32(ShortHeader.offsets.owner, blocks.owner);
    return buffer;
  }

  /** Give a block back. */
  freeBlock(tx: Transaction, pointer: number): void {
    this.blocks.free(tx, pointer);
    tx.forget(this.blocks.daddr(pointer), this.geometry.blockSize);
  }

  left(view: DataView): number {
    return this.long ? getU64(view, 8) : view.getUint32(8);
  }
  right(view: DataView): number {
    return this.long ? getU64(view, 16) : view.getUint32(12);
  }
  setLeft(view: DataView, pointer: number): void {
    if (this.long) setU64(view, 8, pointer);
    else view.setUint32(8, pointer);
  }
  setRight(view: DataView, pointer: number): void {
    if (this.long) setU64(view, 16, pointer);
    else view.setUint32(12, pointer);
  }

  readPointer(view: DataView, offset: number): number {
    return this.pointerSize === 8 ? getU64(view, offset) : view.getUint32(offset);
  }
  writePointer(view: DataView, offset: number, pointer: number): void {
    if (this.pointerSize === 8) setU64(view, offset, pointer);
    else view.setUint32(offset, pointer);
  }

  /** Write the key entry (low key, and high key where the tree has them) that describes a block into `entry`. */
  writeEntry(child: DataView, level: number, entry: DataView, offset: number): void {
    this.writeLowKey(child, level, entry, offset);
    if (this.hasHighKeys) this.writeHighKey(child, level, entry, offset + this.keySize);
  }

  /** The first key of a block that has entries. */
  writeLowKey(child: DataView, level: number, entry: DataView, offset: number): void {
    if (level === 0) this.type.writeKey(child, this.headerSize, entry, offset);
    else copyBytes(child, this.headerSize, entry, offset, this.keySize);
  }

  /** The greatest high key below a block that has entries. */
  writeHighKey(child: DataView, level: number, entry: DataView, offset: number): void {
    const { headerSize, recordSize, entrySize, keySize, type } = this;
    const count = child.getUint16(6);
    if (level === 0) {
      type.writeHighKey(child, headerSize, entry, offset);
      for (let i = 1; i < count; i++) {
        type.writeHighKey(child, headerSize + i * recordSize, SCRATCH, 0);
        if (compareKeyBytes(SCRATCH, 0, entry, offset, keySize) > 0) copyBytes(SCRATCH, 0, entry, offset, keySize);
      }
      return;
    }
    let best = headerSize + keySize;
    for (let i = 1; i < count; i++) {
      const at = headerSize + i * entrySize + keySize;
      if (compareKeyBytes(child, at, child, best, keySize) > 0) best = at;
    }
    copyBytes(child, best, entry, offset, keySize);
  }

  /** An error that names the tree and the block (-1: no block). */
  corrupt(code: string, what: string, pointer: number, expected: unknown, found: unknown): CadastreError {
    const name = this.type.layout.name;
    const place = pointer < 0 ? '' : ` in block ${pointer}`;
    const owner = this.long ? { inode: this.blocks.owner } : { ag: this.blocks.owner };
    const block = pointer < 0 ? {} : { block: pointer };
    return corrupt(code, `${name}: ${what}${place} is ${found}, expected ${expected}`, {
      where: { ...owner, ...block, structure: name },
      expected,
      found,
    });
  }
}

/** Room for one key: high keys under construction. */
const SCRATCH = new DataView(new ArrayBuffer(32));

/** Children that the root in a fork of this many bytes can hold. */
export function rootRoom(view: DataView): number {
  return Math.max(0, Math.floor((view.byteLength - ROOT_KEYS_AT) / ROOT_ENTRY_BYTES));
}

/** Copy a few bytes (a multiple of four) between views. */
export function copyBytes(from: DataView, fromOffset: number, to: DataView, toOffset: number, length: number): void {
  for (let i = 0; i < length; i += 4) to.setUint32(toOffset + i, from.getUint32(fromOffset + i));
}
