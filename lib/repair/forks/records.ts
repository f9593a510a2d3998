/**
 * Extent records as they were found, in the order they were found, nothing joined or sorted; and the rule by which a
 * single record can be believed at all.
 */
import { extentBlockCount, extentFileBlock, extentStartBlock, extentUnwritten } from '../../../formats/extent.ts';
import type { Geometry } from '../../../formats/geometry.ts';

/** File blocks end here in every fork but that of a regular file's data. */
const FORK_END = 2 ** 32;

export class Records {
  length = 0;
  readonly fileBlock: number[] = [];
  /** fs block. */
  readonly startBlock: number[] = [];
  readonly blockCount: number[] = [];
  readonly unwritten: boolean[] = [];

  push(fileBlock: number, startBlock: number, blockCount: number, unwritten: boolean): void {
    this.fileBlock.push(fileBlock);
    this.startBlock.push(startBlock);
    this.blockCount.push(blockCount);
    this.unwritten.push(unwritten);
    this.length++;
  }
  /** A packed record. */
  take(view: DataView, offset: number): void {
    this.push(
      extentFileBlock(view, offset),
      extentStartBlock(view, offset),
      extentBlockCount(view, offset),
      extentUnwritten(view, offset),
    );
  }
  /** Keep the first `length` records. */
  cut(length: number): void {
    this.fileBlock.length = this.startBlock.length = this.blockCount.length = this.unwritten.length = length;
    this.length = length;
  }
  /** Sorted by file block; equal ones keep their order. */
  sorted(): Records {
    const order = Array.from({ length: this.length }, (_, i) => i).sort(
      (a, b) => this.fileBlock[a]! - this.fileBlock[b]! || a - b,
    );
    const out = new Records();
    for (const i of order) out.push(this.fileBlock[i]!, this.startBlock[i]!, this.blockCount[i]!, this.unwritten[i]!);
    return out;
  }
}

/** The first file block that a fork cannot have. */
export function forkEnd(geometry: Geometry, attr: boolean, regular: boolean): number {
  return regular && !attr ? geometry.fileBlockEnd : FORK_END;
}

/** Can a record be true, taken alone? */
export function isPossible(
  geometry: Geometry,
  fileBlock: number,
  startBlock: number,
  blockCount: number,
  end: number,
): boolean {
  return blockCount > 0 && geometry.isFsRange(startBlock, blockCount) && fileBlock + blockCount <= end;
}
