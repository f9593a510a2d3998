/** Rows of a table of claims, or of a register, by the blocks that they touch. */
import { ExtentTable } from '../check/claims.ts';

export class Overlaps {
  /** Sorted by start. */
  readonly table: ExtentTable;
  /** Greatest end among rows 0..i. */
  readonly #reach: Uint32Array;

  constructor(table: ExtentTable) {
    this.table = sorted(table);
    const { start, count, length } = this.table;
    this.#reach = new Uint32Array(length);
    for (let row = 0, most = 0; row < length; row++) {
      this.#reach[row] = most = Math.max(most, start[row]! + count[row]!);
    }
  }

  /** Rows that touch [from, to), the last one first, until one is `wanted`. @returns whether one was. */
  some(from: number, to: number, wanted: (row: number) => boolean): boolean {
    const { start, count, length } = this.table;
    let low = 0;
    let high = length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (start[middle]! < to) low = middle + 1;
      else high = middle;
    }
    for (let row = low - 1; row >= 0 && this.#reach[row]! > from; row--) {
      if (start[row]! + count[row]! > from && wanted(row)) return true;
    }
    return false;
  }
}

/** The table, or a sorted copy of it: a register that is damaged need not be in order. */
function sorted(table: ExtentTable): ExtentTable {
  const { start, count, ownerHi, ownerLo, offsetHi, offsetLo, length } = table;
  let row = 1;
  while (row < length && start[row - 1]! <= start[row]!) row++;
  if (row >= length) return table;
  const copy = new ExtentTable();
  for (let i = 0; i < length; i++) {
    copy.push(start[i]!, count[i]!, ownerHi[i]!, ownerLo[i]!, offsetHi[i]!, offsetLo[i]!);
  }
  copy.sort();
  return copy;
}
