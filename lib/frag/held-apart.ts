/**
 * Extents that exist only because files share blocks in different orders: no layout can give every file its own.
 *
 *     file A wants  x y        file B wants  x z        on the disk  [x z] [y]        A's two extents are held apart
 *
 * A border between two blocks is crossed when some file maps both in one extent; blocks between borders that are not crossed
 * are a unit, and only whole units can move without a new extent somewhere. Two rows of a file can be joined when the first
 * one ends a unit and the second one begins another.
 *
 * Sixteen bytes for each extent of the files that share, while the units are made.
 */
import { Fork } from '../file/fork.ts';
import { forEachInode } from '../volume/inodes.ts';
import type { Volume } from '../volume/volume.ts';
import { forkLayout } from './ideal.ts';

/** The units that the extents of all sharing files of an image make, in fs blocks. */
export class SharingUnits {
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;

  /** Reads the extents of every file that may share blocks. Those that cannot be read hold nothing. */
  constructor(volume: Volume) {
    const starts = new Numbers();
    const ends = new Numbers();
    forEachInode(volume, {
      visit: (inode) => {
        if (!inode.isFile || !inode.isReflink) return;
        new Fork(inode, 'data').forEachExtent((_fileBlock, startBlock, blockCount) => {
          starts.push(startBlock);
          ends.push(startBlock + blockCount);
        });
      },
      // Whoever asks has met it already, and said so.
      failed: () => undefined,
    });
    const from = starts.sorted();
    const to = ends.sorted();
    // A unit begins where nothing is open and ends where the last one that is open does. Written over what was read.
    let units = 0;
    let open = 0;
    for (let s = 0, e = 0; e < to.length; ) {
      if (s < from.length && from[s]! < to[e]!) {
        const start = from[s++]!;
        if (open++ === 0) from[units] = start;
        continue;
      }
      const end = to[e++]!;
      if (--open === 0) to[units++] = end;
    }
    this.#starts = from.subarray(0, units);
    this.#ends = to.subarray(0, units);
  }

  /** The unit that a block is in. */
  #unitOf(block: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= block) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Extents of a data fork above its ideal that sharing costs. Throws `corrupt` when the fork cannot be read. */
  heldApart(fork: Fork): number {
    if (!fork.inode.isReflink) return 0;
    let held = 0;
    let fileEnd = -1;
    let last = -1;
    let state = false;
    fork.forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
      if (fileBlock === fileEnd && unwritten === state && startBlock !== last + 1) {
        const left = this.#unitOf(last);
        const right = this.#unitOf(startBlock);
        const canJoin = left !== right && this.#ends[left] === last + 1 && this.#starts[right] === startBlock;
        if (!canJoin) held++;
      }
      fileEnd = fileBlock + blockCount;
      last = startBlock + blockCount - 1;
      state = unwritten;
    });
    const { extents, ideal } = forkLayout(fork);
    return Math.min(held, extents - ideal);
  }
}

/** A list that grows. */
class Numbers {
  #values = new Float64Array(1024);
  #length = 0;

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const bigger = new Float64Array(2 * this.#length);
      bigger.set(this.#values);
      this.#values = bigger;
    }
    this.#values[this.#length++] = value;
  }

  sorted(): Float64Array {
    return this.#values.subarray(0, this.#length).sort();
  }
}
