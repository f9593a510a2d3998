/**
 * Records of a fork that must ascend and do not: which of them are out of place. The longest ascending part is right, what
 * is not in it is wrong; a record that reaches into the next one is too long.
 */
import type { Records } from '../forks/records.ts';

/** For each record whether it is in the longest part that ascends by file block. @param isPossible others never are. */
export function inPlace(records: Records, isPossible: (i: number) => boolean): boolean[] {
  const { length, fileBlock } = records;
  let ascends = length === 0 || isPossible(0);
  for (let i = 1; i < length && ascends; i++) ascends = fileBlock[i]! > fileBlock[i - 1]! && isPossible(i);
  const out = new Array<boolean>(length).fill(ascends);
  if (ascends) return out;
  // Patience: tails[k] is the record that ends the ascending part of length k + 1 with the smallest file block.
  const tails: number[] = [];
  const before = new Int32Array(length).fill(-1);
  for (let i = 0; i < length; i++) {
    if (!isPossible(i)) continue;
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (fileBlock[tails[middle]!]! < fileBlock[i]!) low = middle + 1;
      else high = middle;
    }
    if (low > 0) before[i] = tails[low - 1]!;
    tails[low] = i;
  }
  for (let i = tails.at(-1) ?? -1; i >= 0; i = before[i]!) out[i] = true;
  return out;
}

/** Where records that are out of place belong: the gaps between those that stand around them in the list. */
export class Neighbours {
  readonly #from: Float64Array;
  readonly #to: Float64Array;

  constructor(records: Records, placed: readonly boolean[]) {
    const { length, fileBlock, blockCount } = records;
    this.#from = new Float64Array(length);
    this.#to = new Float64Array(length);
    for (let i = 0, end = 0; i < length; i++) {
      this.#from[i] = end;
      if (placed[i]) end = fileBlock[i]! + blockCount[i]!;
    }
    for (let i = length - 1, next = Number.POSITIVE_INFINITY; i >= 0; i--) {
      this.#to[i] = next;
      if (placed[i]) next = fileBlock[i]!;
    }
  }

  /** File blocks between the placed records before and behind record `i`. */
  gapAround(i: number): [from: number, to: number] {
    return [this.#from[i]!, this.#to[i]!];
  }
}
