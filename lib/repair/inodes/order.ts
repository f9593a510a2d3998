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

/** Where a record that is out of place belongs: the gap between those that stand around it in the list. */
export function gapAround(records: Records, placed: readonly boolean[], i: number): [from: number, to: number] {
  let left = i - 1;
  while (left >= 0 && !placed[left]) left--;
  let right = i + 1;
  while (right < records.length && !placed[right]) right++;
  return [
    left < 0 ? 0 : records.fileBlock[left]! + records.blockCount[left]!,
    right < records.length ? records.fileBlock[right]! : Number.POSITIVE_INFINITY,
  ];
}
