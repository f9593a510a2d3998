/**
 * A large extent taken from free space once and handed out in pieces: what mkfs uses to fill an image, where asking the
 * free-space trees for every file would cost more than the files.
 *
 * Between `open` and `close` the rest of the run is neither free nor owned, so it must not outlive a transaction that
 * has to survive a crash; an image under construction may hold one for as long as it likes.
 */
import type { Transaction } from '../buffer/transaction.ts';
import type { ForkPlace, Owner } from './owner.ts';
import type { Allocation, Space } from './space.ts';

export class ReservedRun {
  readonly #space: Space;
  #next: number;
  #left: number;

  private constructor(space: Space, run: Allocation) {
    this.#space = space;
    this.#next = run.fsBlock;
    this.#left = run.blockCount;
  }

  /** Take a run of up to `max` blocks, in one piece, of at least `min`. @returns undefined when there is none. */
  static open(space: Space, tx: Transaction, min: number, max: number, near = 0): ReservedRun | undefined {
    const run = space.allocate(tx, { min, max, near });
    return run && new ReservedRun(space, run);
  }

  /** Blocks not handed out yet. */
  get left(): number {
    return this.#left;
  }
  /** fs block of the next piece. */
  get next(): number {
    return this.#next;
  }

  /** Hand out up to `max` blocks and record their owner. @returns undefined when fewer than `min` are left. */
  take(tx: Transaction, min: number, max: number, owner: Owner, place?: ForkPlace): Allocation | undefined {
    const blockCount = Math.min(max, this.#left);
    if (blockCount < min || blockCount === 0) return undefined;
    const fsBlock = this.#next;
    this.#next += blockCount;
    this.#left -= blockCount;
    this.#space.mapRmap(tx, fsBlock, blockCount, owner, place);
    return { fsBlock, blockCount };
  }

  /** Give the rest back. */
  close(tx: Transaction): void {
    if (this.#left > 0) this.#space.giveBackUnowned(tx, this.#next, this.#left);
    this.#left = 0;
  }
}
