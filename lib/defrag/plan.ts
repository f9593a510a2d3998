/**
 * What to move of a file, as lists of rows of its run list. A row that has nothing to be joined with stays where it is; so
 * does one that is longer than the longest free run, and the rows around it are joined among themselves.
 */
import type { RunList } from './run-list.ts';

/** Rows that would be joined if all of a list lay one behind the other. */
export function joinsOf(runs: RunList, rows: readonly number[]): number {
  let joins = 0;
  for (let k = 1; k < rows.length; k++) {
    if (rows[k] === rows[k - 1]! + 1 && runs.continues(rows[k - 1]!)) joins++;
  }
  return joins;
}

export function blocksOf(runs: RunList, rows: readonly number[]): number {
  let blocks = 0;
  for (const row of rows) blocks += runs.count[row]!;
  return blocks;
}

/**
 * Rows that can be joined with a neighbour, all in one list.
 * @param most blocks of the longest extent: a row of so many is as good as can be.
 */
export function joinableRows(runs: RunList, most: number): number[] {
  const rows: number[] = [];
  const canMove = (row: number): boolean => runs.count[row]! < most;
  for (let i = 0; i < runs.length; i++) {
    if (!canMove(i)) continue;
    const left = i > 0 && runs.continues(i - 1) && canMove(i - 1);
    const right = runs.continues(i) && canMove(i + 1);
    if (left || right) rows.push(i);
  }
  return rows;
}

/** A list cut where the rows are not neighbours in the file; lists that join nothing are left out. */
export function stretches(runs: RunList, rows: readonly number[]): number[][] {
  const lists: number[][] = [];
  let list: number[] = [];
  for (const row of rows) {
    const last = list.at(-1);
    if (last !== undefined && (row !== last + 1 || !runs.continues(last))) {
      if (list.length > 1) lists.push(list);
      list = [];
    }
    list.push(row);
  }
  if (list.length > 1) lists.push(list);
  return lists;
}

/** A list that is too long for any free run, in smaller ones: stretch by stretch, else as many rows as fit into `room`. */
export function smallerLists(runs: RunList, rows: readonly number[], room: number): number[][] {
  const parts = stretches(runs, rows);
  if (parts.length > 1) return parts;
  const lists: number[][] = [];
  for (const part of parts) {
    let list: number[] = [];
    let blocks = 0;
    const close = (): void => {
      if (list.length > 1) lists.push(list);
      list = [];
      blocks = 0;
    };
    for (const row of part) {
      const count = runs.count[row]!;
      if (blocks + count > room) close();
      if (count > room) continue;
      list.push(row);
      blocks += count;
    }
    close();
  }
  return lists;
}
