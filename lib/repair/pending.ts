/**
 * What a pass has decided and not written yet: forks as they shall be, and ranges that must not be freed.
 */

/** Extents of a fork in file order, without overlap; a column each. */
export class ForkExtents {
  length = 0;
  readonly fileBlock: number[] = [];
  /** fs block. */
  readonly startBlock: number[] = [];
  readonly blockCount: number[] = [];
  readonly unwritten: boolean[] = [];

  /** Add behind the last; joined to it where it continues it. */
  push(fileBlock: number, startBlock: number, blockCount: number, unwritten: boolean): void {
    const last = this.length - 1;
    if (
      last >= 0 &&
      this.fileBlock[last]! + this.blockCount[last]! === fileBlock &&
      this.startBlock[last]! + this.blockCount[last]! === startBlock &&
      this.unwritten[last] === unwritten
    ) {
      this.blockCount[last]! += blockCount;
      return;
    }
    this.fileBlock.push(fileBlock);
    this.startBlock.push(startBlock);
    this.blockCount.push(blockCount);
    this.unwritten.push(unwritten);
    this.length++;
  }
}

/** A fork that stage 3 has to write. */
export interface PendingFork {
  readonly inode: number;
  readonly attr: boolean;
  readonly extents: ForkExtents;
}

/** A range that nobody claims but that may be somebody's loss: not freed; stage 5 makes a file of it in lost+found. */
export interface KeptRange {
  readonly ag: number;
  readonly agBlock: number;
  readonly blockCount: number;
  /** Whose it may be, when known. */
  readonly inode?: number;
  readonly fileBlock?: number;
}

/** Blocks of data that got a private copy; both in fs blocks. The copy inherits the checksums of its source. */
export interface CopiedRange {
  readonly from: number;
  readonly to: number;
  readonly blockCount: number;
}
