/**
 * Blocks of a fork as bytes, whatever they are: nothing is verified, for somebody who looks for what is left of them.
 */
import { BASIC_BLOCK } from '../../../formats/geometry.ts';
import { Fork, type ForkName } from '../../file/fork.ts';
import type { Inode } from '../../file/inode.ts';
import { attempt, type Workshop } from './workshop.ts';

/** One block of the fork's space: a directory block, or an fs block of attributes. Good until the next one. */
export interface RawBlock {
  readonly fileBlock: number;
  /** 512-byte address of its first piece. */
  readonly daddr: number;
  readonly data: Uint8Array;
  readonly view: DataView;
}

interface Piece {
  readonly fileBlock: number;
  readonly startBlock: number;
  readonly blockCount: number;
}

export class RawFork {
  readonly blockBlocks: number;
  readonly blockBytes: number;
  /** False when the list of extents itself could not be read to its end. */
  readonly complete: boolean;
  readonly #shop: Workshop;
  readonly #pieces: Piece[] = [];

  constructor(shop: Workshop, inode: Inode, name: ForkName) {
    this.#shop = shop;
    this.blockBlocks = name === 'attr' ? 1 : shop.geometry.dirBlockBlocks;
    this.blockBytes = this.blockBlocks * shop.geometry.blockSize;
    const read = attempt(() => {
      new Fork(inode, name).forEachExtent((fileBlock, startBlock, blockCount) => {
        this.#pieces.push({ fileBlock, startBlock, blockCount });
      });
      return true;
    });
    this.complete = read === true;
  }

  /** Visit every block of [from, to) of which at least a part is mapped and readable; what is missing reads as zeroes. */
  forEach(from: number, to: number, visit: (block: RawBlock) => void): void {
    const step = this.blockBlocks;
    let next = from;
    for (const { fileBlock, blockCount } of this.#pieces) {
      const end = Math.min(to, fileBlock + blockCount);
      let at = Math.max(next, fileBlock - (fileBlock % step));
      for (; at < end; at += step) {
        const block = this.read(at);
        if (block) visit(block);
        next = at + step;
      }
    }
  }

  /** The block at a file block, undefined when nothing of it is mapped or readable. */
  read(fileBlock: number): RawBlock | undefined {
    const { plan, geometry } = this.#shop;
    const { blockSize } = geometry;
    const data = new Uint8Array(this.blockBytes);
    let daddr = -1;
    for (let i = 0; i < this.blockBlocks; i++) {
      const fsBlock = this.#find(fileBlock + i);
      if (fsBlock === undefined) continue;
      const byte = geometry.fsBlockToByte(fsBlock);
      const part = data.subarray(i * blockSize, (i + 1) * blockSize);
      const readable = attempt(() => {
        plan.read(byte, part);
        return true;
      });
      if (!readable) part.fill(0);
      else if (daddr < 0) daddr = byte / BASIC_BLOCK;
    }
    return daddr < 0 ? undefined : { fileBlock, daddr, data, view: new DataView(data.buffer) };
  }

  #find(fileBlock: number): number | undefined {
    const pieces = this.#pieces;
    let low = 0;
    let high = pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (pieces[middle]!.fileBlock <= fileBlock) low = middle + 1;
      else high = middle;
    }
    const piece = pieces[low - 1];
    if (!piece || fileBlock >= piece.fileBlock + piece.blockCount) return undefined;
    return piece.startBlock + (fileBlock - piece.fileBlock);
  }
}
