/**
 * A fork of an inode: where its blocks are. Inline extent list or bmbt of any height, behind one interface.
 *
 * 1. Extents are sorted, never overlap, and neighbours that could be one record are one record (as the kernel keeps them),
 *    up to MAX_EXTENT_BLOCKS.
 * 2. The tree form exists only while the extents do not fit into the inode.
 * 3. `nblocks` counts every mapped block and every bmbt block of both forks; this file keeps it.
 * 4. Mapping a block here says nothing to the register: who allocates also records (lib/space).
 */
import { BTREES, LongHeader, MAX_EXTENT_BLOCKS } from '../../formats/btree-blocks.ts';
import { writeExtent } from '../../formats/extent.ts';
import { FORMAT, InodeCore, maxAttrExtents, maxDataExtents } from '../../formats/inode.ts';
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  dataExtentCount,
  dataForkBytes,
  setAttrExtentCount,
  setDataExtentCount,
} from '../../formats/inode-verify.ts';
import { setU64 } from '../../formats/struct.ts';
import { Btree, type InodeRoot, TREE_TYPES, type TreeBlocks } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt, fileError, noSpace } from '../errors.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Space } from '../space/space.ts';
import { type ExtentCursor, InlineExtents, RECORD, TreeExtents } from './extent-cursor.ts';
import type { Inode } from './inode.ts';

export type ForkName = 'data' | 'attr';

/** Called for a run of mapped blocks; return true to stop. */
export type ExtentVisitor = (
  fileBlock: number,
  startBlock: number,
  blockCount: number,
  unwritten: boolean,
) => boolean | void;

export class Fork {
  readonly inode: Inode;
  readonly name: ForkName;
  readonly isAttr: boolean;

  constructor(inode: Inode, name: ForkName) {
    this.inode = inode;
    this.name = name;
    this.isAttr = name === 'attr';
  }

  /** True when the inode has this fork (an attr fork exists when forkoff is not 0). */
  get exists(): boolean {
    return !this.isAttr || this.inode.core.forkoff !== 0;
  }
  get format(): number {
    return this.isAttr ? this.inode.core.aformat : this.inode.core.format;
  }
  /** The inode must have been announced as changed. */
  setFormat(format: number): void {
    if (this.isAttr) this.inode.core.aformat = format;
    else this.inode.core.format = format;
  }
  /** Offset of the fork's bytes in the inode buffer. */
  get base(): number {
    const { view, base } = this.inode;
    return base + (this.isAttr ? attrForkOffset(view, base) : InodeCore.size);
  }
  /** Bytes the fork has inside the inode. */
  get bytes(): number {
    const { view, base, geometry } = this.inode;
    return this.isAttr ? attrForkBytes(view, base, geometry.inodeSize) : dataForkBytes(view, base, geometry.inodeSize);
  }
  /** Extents that fit into the inode. */
  get inlineCapacity(): number {
    return Math.floor(this.bytes / RECORD);
  }
  get extentCount(): number {
    const { view, base } = this.inode;
    return this.isAttr ? attrExtentCount(view, base) : dataExtentCount(view, base);
  }
  setExtentCount(count: number): void {
    const { view, base } = this.inode;
    if (this.isAttr) setAttrExtentCount(view, base, count);
    else setDataExtentCount(view, base, count);
  }

  /** A cursor over the extents; stops being valid when the fork is changed other than through it. */
  cursor(space?: Space): ExtentCursor {
    const count = () => this.extentCount;
    const setCount = (value: number) => this.setExtentCount(value);
    switch (this.format) {
      case FORMAT.EXTENTS:
        return new InlineExtents(this.inode.view, this.base, count, setCount);
      case FORMAT.BTREE:
        return new TreeExtents(this.tree(space).cursor(this.inode.reader), count, setCount);
      default:
        throw corrupt(
          'FORK_FORMAT',
          `inode ${this.inode.number}: the ${this.name} fork has no extents (format ${this.format})`,
          {
            where: { inode: this.inode.number },
          },
        );
    }
  }

  /**
   * The cursor that changes go through: kept for the tree form, where many changes follow one another in one leaf. Every change of
   * the fork moves it: for a search whose result is used at once.
   */
  ownCursor(space: Space): ExtentCursor {
    if (this.format !== FORMAT.BTREE) return this.cursor(space);
    if (this.#kept?.space !== space) this.#kept = { space, cursor: this.cursor(space) };
    return this.#kept.cursor;
  }
  #kept: { space: Space; cursor: ExtentCursor } | undefined;

  /** True when the fork's blocks can be listed (extent list or tree). */
  get hasExtents(): boolean {
    return this.exists && (this.format === FORMAT.EXTENTS || this.format === FORMAT.BTREE);
  }

  /**
   * Visit the extents that end behind file block `from`, ascending. Every extent is checked on the way: it lies in one
   * AG behind its headers, and starts at or behind the end of the one before. Throws `corrupt` (EXTENT_*) otherwise.
   */
  forEachExtent(visit: ExtentVisitor, from = 0): void {
    if (!this.hasExtents) return;
    const { geometry } = this.inode;
    const cursor = this.cursor();
    let end = 0;
    for (let more = from === 0 ? cursor.seekFirst() : cursor.seekContaining(from); more; more = cursor.next()) {
      const { fileBlock, startBlock, blockCount } = cursor;
      if (blockCount === 0 || !geometry.isFsRange(startBlock, blockCount)) {
        throw this.#corrupt('EXTENT_OUT_OF_RANGE', fileBlock, 'blocks inside one AG', `${startBlock}+${blockCount}`);
      }
      if (fileBlock < end) throw this.#corrupt('EXTENT_ORDER', fileBlock, `file block >= ${end}`, fileBlock);
      end = fileBlock + blockCount;
      if (visit(fileBlock, startBlock, blockCount, cursor.unwritten)) return;
    }
  }

  /** The bmbt. `space` is needed when it is going to change. */
  tree(space?: Space): Btree {
    const { inode } = this;
    let view: DataView | undefined;
    const root: InodeRoot = {
      view: () => {
        // Asked for at every step: a new view only when the border between the forks has moved.
        const start = inode.view.byteOffset + this.base;
        const { bytes } = this;
        if (view?.byteOffset !== start || view.byteLength !== bytes) {
          view = new DataView(inode.view.buffer, start, bytes);
        }
        return view;
      },
      change: (tx) => inode.change(tx),
    };
    return new Btree(TREE_TYPES.bmbt, inode.geometry, root, this.treeBlocks(space));
  }

  /** Where bmbt blocks come from; each is counted in nblocks. */
  treeBlocks(space: Space | undefined): TreeBlocks {
    const { inode } = this;
    const { geometry } = inode;
    const owner = inodeOwner(inode.number);
    const place = { attr: this.isAttr, bmbt: true };
    return {
      owner: inode.number,
      daddr: (pointer) => {
        if (!geometry.isFsBlock(pointer)) throw this.#corrupt('BMBT_POINTER', 0, 'a block of the image', pointer);
        return geometry.fsBlockToDaddr(pointer);
      },
      allocate: (tx, near) => {
        const got = space!.allocate(tx, { min: 1, max: 1, near: near || homeBlock(inode), owner, place });
        if (!got) throw noSpace(`no block for the extent tree of inode ${inode.number}`);
        inode.change(tx);
        inode.core.nblocks += 1;
        return got.fsBlock;
      },
      free: (tx, pointer) => {
        space!.free(tx, pointer, 1, owner, place);
        inode.change(tx);
        inode.core.nblocks -= 1;
      },
    };
  }

  /**
   * Map `blockCount` blocks at `fileBlock` (a hole until now) to `startBlock`; joined with its neighbours where it can be.
   * The inode is announced here.
   */
  map(
    tx: Transaction,
    space: Space,
    fileBlock: number,
    startBlock: number,
    blockCount: number,
    unwritten: boolean,
  ): void {
    this.inode.change(tx);
    this.inode.core.nblocks += blockCount;
    const cursor = this.ownCursor(space);
    const hasLeft = cursor.seekLE(fileBlock);
    const left = { fileBlock: cursor.fileBlock, startBlock: cursor.startBlock, blockCount: cursor.blockCount };
    const joinLeft =
      hasLeft &&
      cursor.endBlock === fileBlock &&
      cursor.startBlock + cursor.blockCount === startBlock &&
      cursor.unwritten === unwritten &&
      cursor.blockCount + blockCount <= MAX_EXTENT_BLOCKS;
    const hasRight = hasLeft ? cursor.next() : cursor.seekFirst();
    const total = blockCount + (joinLeft ? left.blockCount : 0);
    const joinRight =
      hasRight &&
      fileBlock + blockCount === cursor.fileBlock &&
      startBlock + blockCount === cursor.startBlock &&
      cursor.unwritten === unwritten &&
      total + cursor.blockCount <= MAX_EXTENT_BLOCKS;
    if (joinRight && joinLeft) {
      const whole = total + cursor.blockCount;
      cursor.remove(tx);
      cursor.seekLE(left.fileBlock);
      cursor.update(tx, left.fileBlock, left.startBlock, whole, unwritten);
      this.#shrinkToInline(tx, space);
    } else if (joinRight) {
      cursor.update(tx, fileBlock, startBlock, blockCount + cursor.blockCount, unwritten);
    } else if (joinLeft) {
      cursor.seekLE(left.fileBlock);
      cursor.update(tx, left.fileBlock, left.startBlock, total, unwritten);
    } else {
      this.#insert(tx, space, cursor, fileBlock, startBlock, blockCount, unwritten);
    }
  }

  /**
   * Remove all mappings in file blocks [from, to). `each` is told of every run that was mapped, after the fork has
   * changed; freeing the blocks is its business.
   */
  unmap(tx: Transaction, space: Space, from: number, to: number, each: ExtentVisitor): void {
    this.inode.change(tx);
    let cursor = this.ownCursor(space);
    const { format } = this;
    let more = cursor.seekContaining(from);
    while (more && cursor.fileBlock < to) {
      const { fileBlock, startBlock, blockCount, unwritten, endBlock } = cursor;
      const cutStart = Math.max(from, fileBlock);
      const cutEnd = Math.min(to, endBlock);
      const cutBlock = startBlock + (cutStart - fileBlock);
      this.inode.core.nblocks -= cutEnd - cutStart;
      if (cutStart === fileBlock && cutEnd === endBlock) cursor.remove(tx);
      else if (cutStart === fileBlock)
        cursor.update(tx, cutEnd, startBlock + (cutEnd - fileBlock), endBlock - cutEnd, unwritten);
      else {
        cursor.update(tx, fileBlock, startBlock, cutStart - fileBlock, unwritten);
        if (cutEnd < endBlock) {
          this.#insert(tx, space, cursor, cutEnd, startBlock + (cutEnd - fileBlock), endBlock - cutEnd, unwritten);
        }
      }
      each(cutStart, cutBlock, cutEnd - cutStart, unwritten);
      if (cutEnd >= to || blockCount === 0) break;
      // The visitor and the splits may have moved things, and the list may have become a tree: find the place again.
      if (this.format !== format) cursor = this.ownCursor(space);
      more = cursor.seekContaining(cutEnd);
    }
    this.#shrinkToInline(tx, space);
  }

  #insert(
    tx: Transaction,
    space: Space,
    cursor: ExtentCursor,
    fileBlock: number,
    startBlock: number,
    blockCount: number,
    unwritten: boolean,
  ): void {
    const { view, base, number } = this.inode;
    if (this.extentCount >= (this.isAttr ? maxAttrExtents(view, base) : maxDataExtents(view, base))) {
      throw fileError('EFBIG', `inode ${number}: the ${this.name} fork is in too many pieces`, {
        where: { inode: number },
      });
    }
    if (this.format === FORMAT.EXTENTS && this.extentCount >= this.inlineCapacity) {
      this.growToTree(tx, space);
      cursor = this.cursor(space);
    }
    cursor.insert(tx, fileBlock, startBlock, blockCount, unwritten);
  }

  /** Move the extent list into one bmbt leaf; the inode keeps the root. */
  growToTree(tx: Transaction, space: Space): void {
    const { inode } = this;
    const { geometry, view } = inode;
    inode.change(tx);
    const count = this.extentCount;
    const pointer = this.treeBlocks(space).allocate(tx, 0);
    const daddr = geometry.fsBlockToDaddr(pointer);
    const leaf = tx.create(daddr, geometry.blockSize, TREE_TYPES.bmbt.blockType);
    const header = LongHeader.at(leaf.view);
    header.magic = BTREES.bmbt.magic;
    header.level = 0;
    header.numrecs = count;
    header.leftSibling = 2 ** 64;
    header.rightSibling = 2 ** 64;
    header.blkno = daddr;
    header.uuid = geometry.metaUuid;
    header.owner = inode.number;
    const start = view.byteOffset + this.base;
    leaf.data.set(new Uint8Array(view.buffer, start, count * RECORD), LongHeader.size);
    const firstKey = this.cursor();
    firstKey.seekFirst();
    new Uint8Array(view.buffer, start, this.bytes).fill(0);
    writeSingleRoot(new DataView(view.buffer, start, this.bytes), firstKey.valid ? firstKey.fileBlock : 0, pointer);
    this.setFormat(FORMAT.BTREE);
  }

  /** Back to the extent list as soon as the extents fit into the inode (the tree form is then not legal). */
  #shrinkToInline(tx: Transaction, space: Space): void {
    if (this.format !== FORMAT.BTREE || this.extentCount > this.inlineCapacity) return;
    const { inode } = this;
    const records = new Uint8Array(this.inlineCapacity * RECORD);
    const view = new DataView(records.buffer);
    let count = 0;
    const cursor = this.cursor();
    for (let more = cursor.seekFirst(); more && count < this.inlineCapacity; more = cursor.next()) {
      writeExtent(view, count++ * RECORD, cursor.fileBlock, cursor.startBlock, cursor.blockCount, cursor.unwritten);
    }
    const blocks = this.treeBlocks(space);
    this.tree(space).forEachBlock(inode.reader, (pointer) => {
      blocks.free(tx, pointer);
      tx.forget(inode.geometry.fsBlockToDaddr(pointer), inode.geometry.blockSize);
    });
    const bytes = new Uint8Array(inode.view.buffer, inode.view.byteOffset + this.base, this.bytes);
    bytes.fill(0);
    bytes.set(records.subarray(0, count * RECORD));
    this.setFormat(FORMAT.EXTENTS);
    this.setExtentCount(count);
  }

  #corrupt(code: string, fileBlock: number, expected: string, found: unknown): Error {
    const { number } = this.inode;
    return corrupt(code, `inode ${number}, ${this.name} fork: expected ${expected}, found ${found}`, {
      where: { inode: number, fileBlock },
      expected,
      found,
    });
  }
}

/** A block near which an inode's own blocks are best placed: where the inode itself is. */
export function homeBlock(inode: Inode): number {
  const { geometry, number } = inode;
  return geometry.fsBlock(geometry.agOfInode(number), geometry.agBlockOfAgInode(geometry.agInodeOfInode(number)));
}

/** A bmbt root in the inode with one child leaf. Pointers stand behind room for all keys (formats/btree-blocks.ts). */
function writeSingleRoot(root: DataView, key: number, pointer: number): void {
  const capacity = Math.floor((root.byteLength - 4) / 16);
  root.setUint16(0, 1);
  root.setUint16(2, 1);
  setU64(root, 4, key);
  setU64(root, 4 + 8 * capacity, pointer);
}
