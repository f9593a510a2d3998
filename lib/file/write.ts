/**
 * Writing file data.
 *
 * 1. Data goes to the device before the mapping that points at it changes: at no moment does a fork name blocks whose
 *    content is not there.
 * 2. Written blocks are overwritten in place only where the dialect allows it and nobody shares them, and then only when
 *    the transaction commits: write no block twice in one. Everything else goes to new blocks, and the old ones lose one
 *    owner.
 * 3. Where the image keeps checksums, every block a fork maps as written has one when the mapping changes.
 */
import { MAX_EXTENT_BLOCKS } from '../../formats/btree-blocks.ts';
import { crc32c } from '../../formats/checksum.ts';
import type { Transaction } from '../buffer/transaction.ts';
import type { Device } from '../device/device.ts';
import { fileError, noSpace } from '../errors.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Allocation, Space } from '../space/space.ts';
import { Fork, homeBlock } from './fork.ts';
import type { Inode } from './inode.ts';
import { FileReader } from './read.ts';
import { releaseRange } from './release.ts';

/** Throws EINVAL or EFBIG unless bytes offset .. offset + length can be part of a file: below 2^53, what numbers hold. */
export function checkFileRange(offset: number, length: number): void {
  if (!Number.isInteger(offset) || !Number.isInteger(length) || offset < 0 || length < 0) {
    throw fileError('EINVAL', `no range of a file: ${length} bytes at ${offset}`);
  }
  if (offset + length > Number.MAX_SAFE_INTEGER) {
    throw fileError('EFBIG', `a file ends below 2^53, not at ${offset + length}`, {
      expected: `at most ${Number.MAX_SAFE_INTEGER}`,
      found: offset + length,
    });
  }
}

/** Gives up to `max` blocks for a file block, recorded for the file; undefined = ask free space. */
export type BlockGiver = (fileBlock: number, max: number, near: number) => Allocation | undefined;

export class FileWriter {
  readonly inode: Inode;
  readonly #tx: Transaction;
  readonly #device: Device;
  readonly #space: Space;
  readonly #fork: Fork;
  /** Made when first needed: most images have no checksums. */
  #crcs: Uint32Array | undefined;
  /** Written to new blocks, not mapped yet. */
  readonly #moved: { fileBlock: number; fsBlock: number; blockCount: number }[] = [];
  readonly #blocks: BlockGiver | undefined;

  /** @param blocks asked for new blocks first. */
  constructor(tx: Transaction, inode: Inode, device: Device, space: Space, blocks?: BlockGiver) {
    this.#blocks = blocks;
    this.#tx = tx;
    this.inode = inode;
    this.#device = device;
    this.#space = space;
    this.#fork = new Fork(inode, 'data');
  }

  /**
   * Write bytes at `offset`; the file grows when they reach behind its end (the gap is a hole). Times are the caller's.
   * Throws ENOSPC, EFBIG, EINVAL. A caller that writes much calls this in pieces of some MiB, one transaction each.
   */
  write(offset: number, bytes: Uint8Array): void {
    checkFileRange(offset, bytes.length);
    if (bytes.length === 0) return;
    const { blockSize } = this.inode.geometry;
    const end = offset + bytes.length;
    const first = Math.floor(offset / blockSize);
    const last = Math.ceil(end / blockSize);
    // In the block of the old end nothing has to be cleared: what is read of it ends there.
    if (first > Math.floor(this.inode.size / blockSize)) this.clearBehindEnd(offset, first, Number.MAX_SAFE_INTEGER);
    let whole = bytes;
    if (offset % blockSize !== 0 || end % blockSize !== 0) {
      // Only the first and the last block can have old bytes around the new ones.
      whole = new Uint8Array((last - first) * blockSize);
      if (offset % blockSize !== 0) this.#readBlock(first, whole.subarray(0, blockSize));
      if (end % blockSize !== 0 && (last - 1 !== first || offset % blockSize === 0)) {
        this.#readBlock(last - 1, whole.subarray(whole.length - blockSize));
      }
      whole.set(bytes, offset - first * blockSize);
    }
    this.#writeBlocks(first, last - first, whole);
    this.inode.change(this.#tx);
    if (end > this.inode.size) this.inode.core.size = end;
  }

  /**
   * Map new blocks for a hole and fill them: whole blocks of a file that is being made. `bytes` may end inside the last
   * block; the rest of it is zeroes. Pieces as long as free space has them.
   */
  append(fileBlock: number, bytes: Uint8Array, near: number): number {
    const { blockSize } = this.inode.geometry;
    let padded = bytes;
    if (bytes.length % blockSize !== 0) {
      padded = new Uint8Array(Math.ceil(bytes.length / blockSize) * blockSize);
      padded.set(bytes);
    }
    return this.#fillHole(fileBlock, padded.length / blockSize, padded, near);
  }

  /**
   * Make bytes of one block read as zeroes, where the block is mapped and written and they are not zeroes already.
   * @param offset byte of the file. @param length bytes, up to the end of that block at most.
   */
  zeroInBlock(offset: number, length: number): void {
    const { blockSize } = this.inode.geometry;
    const block = Math.floor(offset / blockSize);
    const inBlock = offset % blockSize;
    const cursor = this.#fork.cursor();
    if (!cursor.seekLE(block) || cursor.endBlock <= block || cursor.unwritten) return;
    const whole = new Uint8Array(blockSize);
    const from = this.inode.geometry.fsBlockToByte(cursor.startBlock + (block - cursor.fileBlock));
    this.#device.read(from + inBlock, whole.subarray(inBlock, inBlock + length));
    if (whole.every((byte) => byte === 0)) return;
    this.#readBlock(block, whole);
    whole.fill(0, inBlock, inBlock + length);
    this.#writeBlocks(block, 1, whole);
  }

  /**
   * The file is about to grow to `to` bytes: drop what blocks behind its end hold, so that the new part reads as zeroes.
   * Its size does not change yet.
   * @param untilBlock written extents below this file block are freed. @param units see release.ts.
   * @returns units left; 0 = call again.
   */
  clearBehindEnd(to: number, untilBlock: number, units: number): number {
    const { size, geometry } = this.inode;
    const { blockSize } = geometry;
    if (to <= size) return units;
    if (size % blockSize !== 0) this.zeroInBlock(size, blockSize - (size % blockSize));
    const from = Math.ceil(size / blockSize);
    if (from >= untilBlock) return units;
    return releaseRange(this.#tx, this.#space, this.#fork, from, untilBlock, units, { writtenOnly: true });
  }

  #readBlock(fileBlock: number, into: Uint8Array): void {
    new FileReader(this.inode, this.#device, this.#space).read(fileBlock * this.inode.geometry.blockSize, into);
  }

  #writeBlocks(first: number, count: number, bytes: Uint8Array): void {
    const { blockSize, dialect } = this.inode.geometry;
    this.#moved.length = 0;
    const end = first + count;
    let at = first;
    while (at < end) {
      const slice = (from: number, to: number) => bytes.subarray((from - first) * blockSize, (to - first) * blockSize);
      const cursor = this.#fork.ownCursor(this.#space);
      if (!cursor.seekContaining(at) || cursor.fileBlock >= end) {
        this.#fillHole(at, end - at, slice(at, end), 0);
        break;
      }
      if (cursor.fileBlock > at) {
        const stop = cursor.fileBlock;
        this.#fillHole(at, stop - at, slice(at, stop), 0);
        at = stop;
        continue;
      }
      let stop = Math.min(end, cursor.endBlock);
      const startBlock = cursor.startBlock + (at - cursor.fileBlock);
      const { unwritten } = cursor;
      const shared = this.inode.isReflink ? this.#space.firstShared(this.#tx, startBlock, stop - at) : undefined;
      if (shared && shared.fsBlock > startBlock) stop = at + (shared.fsBlock - startBlock);
      const isShared = shared !== undefined && shared.fsBlock === startBlock;
      if (isShared) stop = Math.min(stop, at + shared.blockCount);
      const piece = slice(at, stop);
      if (unwritten && !isShared) {
        this.#device.write(this.inode.geometry.fsBlockToByte(startBlock), piece);
        this.#remap(at, stop, startBlock, true);
        this.#recordChecksums(startBlock, piece);
      } else if (!isShared && !dialect.alwaysCopyOnWrite) {
        this.#overwrite(this.inode.geometry.fsBlockToByte(startBlock), piece);
      } else {
        this.#writeElsewhere(at, stop, piece, startBlock);
      }
      at = stop;
    }
    this.#switch();
  }

  /** Old content goes for good: not before the transaction is certain to happen. */
  #overwrite(byte: number, bytes: Uint8Array): void {
    const work = () => this.#device.write(byte, bytes);
    if (this.#tx.atCommit) this.#tx.atCommit(work);
    else work();
  }

  /** Unwritten becomes written: the same blocks, the flag off, in the fork and in the register. */
  #remap(from: number, to: number, startBlock: number, wasUnwritten: boolean): void {
    const owner = inodeOwner(this.inode.number);
    this.#fork.unmap(this.#tx, this.#space, from, to, () => {});
    this.#fork.map(this.#tx, this.#space, from, startBlock, to - from, false);
    if (wasUnwritten)
      this.#space.convertRmap(this.#tx, startBlock, to - from, owner, { fileBlock: from, unwritten: true }, false);
  }

  /** New blocks with the new content; the mapping changes in `#switch`, when all data of this write has its place. */
  #writeElsewhere(from: number, to: number, bytes: Uint8Array, near: number): void {
    const { blockSize } = this.inode.geometry;
    for (let at = from; at < to; ) {
      const got = this.#allocate(at, to - at, near);
      const piece = bytes.subarray((at - from) * blockSize, (at - from + got.blockCount) * blockSize);
      this.#device.write(this.inode.geometry.fsBlockToByte(got.fsBlock), piece);
      this.#recordChecksums(got.fsBlock, piece);
      this.#moved.push({ fileBlock: at, fsBlock: got.fsBlock, blockCount: got.blockCount });
      at += got.blockCount;
    }
  }

  /** Map what `#writeElsewhere` wrote. Only now are old blocks freed: none of them can have been taken for this write. */
  #switch(): void {
    const owner = inodeOwner(this.inode.number);
    for (const { fileBlock: at, fsBlock, blockCount } of this.#moved) {
      this.#fork.unmap(this.#tx, this.#space, at, at + blockCount, (fileBlock, startBlock, count, unwritten) => {
        this.#space.free(this.#tx, startBlock, count, owner, { fileBlock, unwritten });
      });
      this.#fork.map(this.#tx, this.#space, at, fsBlock, blockCount, false);
    }
    this.#moved.length = 0;
  }

  /** @returns the fs block behind the last one written. */
  #fillHole(fileBlock: number, count: number, bytes: Uint8Array, near: number): number {
    const { blockSize } = this.inode.geometry;
    let done = 0;
    let hint = near;
    while (done < count) {
      const got = this.#allocate(fileBlock + done, count - done, hint);
      const { fsBlock, blockCount } = got;
      const piece = bytes.subarray(done * blockSize, (done + blockCount) * blockSize);
      this.#device.write(this.inode.geometry.fsBlockToByte(fsBlock), piece);
      this.#recordChecksums(fsBlock, piece);
      this.#fork.map(this.#tx, this.#space, fileBlock + done, fsBlock, blockCount, false);
      done += blockCount;
      hint = fsBlock + blockCount;
    }
    return hint;
  }

  #allocate(fileBlock: number, max: number, near: number): { fsBlock: number; blockCount: number } {
    const given = this.#blocks?.(fileBlock, Math.min(max, MAX_EXTENT_BLOCKS), near);
    if (given) return given;
    const got = this.#space.allocate(this.#tx, {
      min: 1,
      max: Math.min(max, MAX_EXTENT_BLOCKS),
      near: near || this.#nearFor(fileBlock),
      owner: inodeOwner(this.inode.number),
      place: { fileBlock },
    });
    if (!got)
      throw noSpace(`no block for inode ${this.inode.number}`, { where: { inode: this.inode.number, fileBlock } });
    return { fsBlock: got.fsBlock, blockCount: got.blockCount };
  }

  #nearFor(fileBlock: number): number {
    const cursor = this.#fork.ownCursor(this.#space);
    return cursor.seekLE(fileBlock) ? cursor.startBlock + cursor.blockCount : homeBlock(this.inode);
  }

  #recordChecksums(fsBlock: number, bytes: Uint8Array): void {
    const { blockSize, features } = this.inode.geometry;
    if (!features.dataChecksums) return;
    const count = bytes.length / blockSize;
    if (!this.#crcs || this.#crcs.length < count) this.#crcs = new Uint32Array(count);
    const crcs = this.#crcs;
    for (let i = 0; i < count; i++) crcs[i] = crc32c(bytes.subarray(i * blockSize, (i + 1) * blockSize));
    this.#space.setChecksums(this.#tx, fsBlock, crcs, count);
  }
}
