/**
 * What a fork maps, as numbers: one row per run of blocks that lie one behind the other both in the file and on the disk.
 * Plans are made on these lists, never on the fork, so that they can be compared with what the fork says later.
 *
 * 1. Rows are in file order. Extents that continue each other are one row, whatever the format's limit for an extent is.
 * 2. Forty bytes a row; a fork cannot have more rows than the image has blocks.
 */
import type { Fork } from '../file/fork.ts';

export class RunList {
  length = 0;
  fileBlock = new Float64Array(8);
  /** fs block. */
  start = new Float64Array(8);
  count = new Float64Array(8);
  unwritten = new Uint8Array(8);
  /** Blocks of all rows. */
  blocks = 0;

  /** Add a row, or make the last one longer. */
  add(fileBlock: number, start: number, count: number, unwritten: boolean): void {
    this.blocks += count;
    const last = this.length - 1;
    if (
      last >= 0 &&
      this.fileBlock[last]! + this.count[last]! === fileBlock &&
      this.start[last]! + this.count[last]! === start &&
      (this.unwritten[last] === 1) === unwritten
    ) {
      this.count[last]! += count;
      return;
    }
    if (this.length === this.start.length) this.#grow();
    const i = this.length++;
    this.fileBlock[i] = fileBlock;
    this.start[i] = start;
    this.count[i] = count;
    this.unwritten[i] = unwritten ? 1 : 0;
  }

  /** Does row i + 1 go on in the file where row i ends, so that both could be one extent? */
  continues(i: number): boolean {
    return (
      i + 1 < this.length &&
      this.fileBlock[i]! + this.count[i]! === this.fileBlock[i + 1] &&
      this.unwritten[i] === this.unwritten[i + 1]
    );
  }

  /** The same blocks at the same places. */
  equals(other: RunList): boolean {
    if (other.length !== this.length) return false;
    for (let i = 0; i < this.length; i++) {
      const isSame =
        this.start[i] === other.start[i] &&
        this.count[i] === other.count[i] &&
        this.fileBlock[i] === other.fileBlock[i] &&
        this.unwritten[i] === other.unwritten[i];
      if (!isSame) return false;
    }
    return true;
  }

  #grow(): void {
    const size = 2 * this.length;
    this.fileBlock = enlarged(this.fileBlock, size);
    this.start = enlarged(this.start, size);
    this.count = enlarged(this.count, size);
    const flags = new Uint8Array(size);
    flags.set(this.unwritten);
    this.unwritten = flags;
  }
}

function enlarged(old: Float64Array<ArrayBuffer>, size: number): Float64Array<ArrayBuffer> {
  const bigger = new Float64Array(size);
  bigger.set(old);
  return bigger;
}

/** Throws `corrupt` (EXTENT_*, BTREE_*) when the extents cannot be read. */
export function readRuns(fork: Fork): RunList {
  const runs = new RunList();
  fork.forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
    runs.add(fileBlock, startBlock, blockCount, unwritten);
  });
  return runs;
}
