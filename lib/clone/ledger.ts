/**
 * What many small steps of sharing do to block ranges, done at once: neighbouring ranges become one, so that a hundred files
 * that lie side by side cost the refcount tree, free space and the checksum tree one change instead of a hundred.
 *
 * 1. New owners are counted before old ones are taken away: a block that changes hands is never free in between.
 * 2. The same range may be noted more than once; each time counts.
 */
import type { Transaction } from '../buffer/transaction.ts';
import type { Space } from '../space/space.ts';

interface BlockRange {
  readonly start: number;
  readonly count: number;
}

export class SharingLedger {
  readonly #gained: BlockRange[] = [];
  readonly #lost: BlockRange[] = [];

  /** fs blocks have one owner more. */
  gain(start: number, count: number): void {
    this.#gained.push({ start, count });
  }

  /** fs blocks have one owner less; what nobody holds then becomes free. */
  lose(start: number, count: number): void {
    this.#lost.push({ start, count });
  }

  /** Do it. In the transaction that all of it was noted in. */
  settle(tx: Transaction, space: Space): void {
    forEachJoined(space, this.#gained, (start, count) => space.increaseRefcount(tx, start, count));
    forEachJoined(space, this.#lost, (start, count) =>
      space.decreaseRefcount(tx, start, count, (from, blocks) => space.giveBackUnowned(tx, from, blocks)),
    );
  }
}

/** Ranges in order, those that touch as one. Of ranges that overlap each is its own. */
function forEachJoined(space: Space, ranges: BlockRange[], visit: (start: number, count: number) => void): void {
  const { geometry } = space;
  ranges.sort((a, b) => a.start - b.start);
  for (let i = 0; i < ranges.length; ) {
    const { start } = ranges[i]!;
    const ag = geometry.agOfFsBlock(start);
    let end = start + ranges[i]!.count;
    for (i++; i < ranges.length && ranges[i]!.start === end && geometry.agOfFsBlock(end) === ag; i++) {
      end += ranges[i]!.count;
    }
    visit(start, end - start);
  }
}
