/**
 * `ForkReader` and `ForkBlocks` over a real inode: what directories and attributes see of a fork. A block of a directory
 * may be scattered over several extents (directory blocks larger than an fs block); it is still one buffer.
 */
import type { BlockType } from '../../formats/block-type.ts';
import { BASIC_BLOCK, type Geometry } from '../../formats/geometry.ts';
import { FORMAT } from '../../formats/inode.ts';
import type { Buffer, Segment } from '../buffer/buffer.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { corrupt, noSpace } from '../errors.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Space } from '../space/space.ts';
import type { ExtentCursor } from './extent-cursor.ts';
import { Fork, homeBlock } from './fork.ts';
import type { Inode } from './inode.ts';
import type { BlockGiver } from './write.ts';

class InodeForkReader implements ForkReader {
  readonly geometry: Geometry;
  readonly inode: number;
  readonly blockBytes: number;
  readonly blockBlocks: number;
  protected readonly fork: Fork;
  protected readonly reader: BlockReader;

  constructor(reader: BlockReader, fork: Fork) {
    this.reader = reader;
    this.fork = fork;
    this.geometry = fork.inode.geometry;
    this.inode = fork.inode.number;
    this.blockBlocks = fork.isAttr ? 1 : this.geometry.dirBlockBlocks;
    this.blockBytes = this.blockBlocks * this.geometry.blockSize;
  }

  /**
   * For a search whose result is used at once. A list is looked at where it stands, so its cursor is kept; what a tree's cursor
   * knows may be out of date.
   */
  protected cursor(): ExtentCursor {
    const { fork } = this;
    if (fork.format !== FORMAT.EXTENTS) return fork.cursor();
    const { base } = fork;
    if (this.#list?.base !== base) this.#list = { base, cursor: fork.cursor() };
    return this.#list.cursor;
  }
  #list: { base: number; cursor: ExtentCursor } | undefined;

  get localCapacity(): number {
    return this.fork.bytes;
  }

  local(): DataView | undefined {
    const { fork } = this;
    if (!fork.exists || fork.format !== FORMAT.LOCAL) return undefined;
    return new DataView(fork.inode.view.buffer, fork.inode.view.byteOffset + fork.base, fork.bytes);
  }

  find(fileBlock: number, type: BlockType): Buffer | undefined {
    if (!this.fork.hasExtents) return undefined;
    if (this.blockBlocks === 1) {
      const cursor = this.cursor();
      if (!cursor.seekLE(fileBlock) || cursor.endBlock <= fileBlock) return undefined;
      const daddr = this.#daddr(cursor.startBlock + (fileBlock - cursor.fileBlock), fileBlock);
      return this.reader.get(daddr, this.blockBytes, type);
    }
    const segments = this.#segments(fileBlock);
    return segments && this.reader.getSegments(segments, type);
  }

  *mapped(from: number, to: number): Iterable<number> {
    if (!this.fork.hasExtents) return;
    const step = this.blockBlocks;
    const cursor = this.fork.cursor();
    let next = from;
    for (let more = cursor.seekContaining(from); more && cursor.fileBlock < to; more = cursor.next()) {
      const first = Math.max(next, cursor.fileBlock - (cursor.fileBlock % step));
      const end = Math.min(to, cursor.endBlock);
      for (let block = first; block < end; block += step) {
        yield block;
        next = block + step;
      }
    }
  }

  lastMapped(before: number): number | undefined {
    if (!this.fork.hasExtents || before <= 0) return undefined;
    const cursor = this.cursor();
    if (!cursor.seekLE(before - 1)) return undefined;
    const last = Math.min(before, cursor.endBlock) - 1;
    return last - (last % this.blockBlocks);
  }

  #daddr(fsBlock: number, fileBlock: number): number {
    if (!this.geometry.isFsBlock(fsBlock)) {
      throw corrupt('EXTENT_OUT_OF_RANGE', `inode ${this.inode}: file block ${fileBlock} is mapped outside the image`, {
        where: { inode: this.inode, fileBlock },
        expected: 'a block of the image',
        found: fsBlock,
      });
    }
    return this.geometry.fsBlockToDaddr(fsBlock);
  }

  /** Where the fs blocks of one block are; undefined if it is a hole. Half-mapped blocks are corrupt. */
  #segments(fileBlock: number): Segment[] | undefined {
    const segments: { daddr: number; length: number }[] = [];
    const end = fileBlock + this.blockBlocks;
    const cursor = this.fork.cursor();
    let at = fileBlock;
    for (let more = cursor.seekLE(fileBlock); more && at < end; more = cursor.next()) {
      if (cursor.fileBlock > at || cursor.endBlock <= at) break;
      const count = Math.min(end, cursor.endBlock) - at;
      const daddr = this.#daddr(cursor.startBlock + (at - cursor.fileBlock), at);
      const last = segments.at(-1);
      const length = count * this.geometry.blockSize;
      if (last && last.daddr + last.length / BASIC_BLOCK === daddr) last.length += length;
      else segments.push({ daddr, length });
      at += count;
    }
    if (at === fileBlock && !(cursor.seekContaining(fileBlock) && cursor.fileBlock < end)) return undefined;
    if (at < end) {
      throw corrupt(
        'DIRECTORY_BLOCK_HALF_MAPPED',
        `inode ${this.inode}: directory block at ${fileBlock} is not whole`,
        {
          where: { inode: this.inode, fileBlock: at },
          expected: `${this.blockBlocks} blocks`,
          found: at - fileBlock,
        },
      );
    }
    return segments;
  }
}

class InodeForkBlocks extends InodeForkReader implements ForkBlocks {
  readonly #tx: Transaction;
  readonly #space: Space;
  readonly #blocks: BlockGiver | undefined;

  constructor(tx: Transaction, space: Space, fork: Fork, blocks: BlockGiver | undefined) {
    super(tx, fork);
    this.#blocks = blocks;
    this.#tx = tx;
    this.#space = space;
  }

  create(fileBlock: number, type: BlockType): Buffer {
    const { fork, geometry } = this;
    const { inode } = fork;
    const owner = inodeOwner(inode.number);
    const segments: Segment[] = [];
    let at = fileBlock;
    const end = fileBlock + this.blockBlocks;
    while (at < end) {
      const place = { attr: fork.isAttr, fileBlock: at };
      const near = this.#near(at);
      const got =
        this.#blocks?.(at, end - at, near) ??
        this.#space.allocate(this.#tx, { min: 1, max: end - at, near, owner, place });
      if (!got) throw noSpace(`no block for the ${fork.isAttr ? 'attributes' : 'directory'} of inode ${inode.number}`);
      fork.map(this.#tx, this.#space, at, got.fsBlock, got.blockCount, false);
      segments.push({ daddr: geometry.fsBlockToDaddr(got.fsBlock), length: got.blockCount * geometry.blockSize });
      at += got.blockCount;
    }
    return this.#tx.createSegments(segments, type);
  }

  free(fileBlock: number): void {
    const { fork, geometry } = this;
    const owner = inodeOwner(fork.inode.number);
    fork.unmap(this.#tx, this.#space, fileBlock, fileBlock + this.blockBlocks, (at, startBlock, blockCount) => {
      this.#space.free(this.#tx, startBlock, blockCount, owner, { attr: fork.isAttr, fileBlock: at });
      this.#tx.forget(geometry.fsBlockToDaddr(startBlock), blockCount * geometry.blockSize);
    });
  }

  change(buffer: Buffer, offset?: number, length?: number): void {
    this.#tx.change(buffer, offset, length);
  }

  setLocal(bytes: Uint8Array): void {
    const { fork } = this;
    const { view } = fork.inode;
    fork.inode.change(this.#tx);
    const area = new Uint8Array(view.buffer, view.byteOffset + fork.base, fork.bytes);
    area.fill(0);
    area.set(bytes);
    fork.setFormat(FORMAT.LOCAL);
    fork.setExtentCount(0);
  }

  clearLocal(): void {
    const { fork } = this;
    const { view } = fork.inode;
    fork.inode.change(this.#tx);
    new Uint8Array(view.buffer, view.byteOffset + fork.base, fork.bytes).fill(0);
    fork.setFormat(FORMAT.EXTENTS);
    fork.setExtentCount(0);
  }

  setSize(size: number): void {
    if (this.fork.isAttr) return;
    this.fork.inode.change(this.#tx);
    this.fork.inode.core.size = size;
  }

  /** Behind the block mapped before this one if there is one, else near the inode. */
  #near(fileBlock: number): number {
    if (this.fork.hasExtents) {
      const cursor = this.cursor();
      if (cursor.seekLE(fileBlock)) return cursor.startBlock + cursor.blockCount;
    }
    return homeBlock(this.fork.inode);
  }
}

/** Look at a fork. */
export function readFork(inode: Inode, name: 'data' | 'attr'): ForkReader {
  return new InodeForkReader(inode.reader, new Fork(inode, name));
}

/** Look at and change a fork. @param blocks asked for new blocks first. */
export function editFork(
  tx: Transaction,
  space: Space,
  inode: Inode,
  name: 'data' | 'attr',
  blocks?: BlockGiver,
): ForkBlocks {
  return new InodeForkBlocks(tx, space, new Fork(inode, name), blocks);
}
