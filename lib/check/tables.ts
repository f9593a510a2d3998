/** Tables of claims as streams: some of their rows, two of them merged, compared. */
import { ExtentTable } from './claims.ts';

/** The rows that `wanted` says yes to, in the same order, with fresh marks. */
export function picked(table: ExtentTable, wanted: (row: number) => boolean): ExtentTable {
  const rows = new Uint32Array(table.length);
  let count = 0;
  for (let row = 0; row < table.length; row++) if (wanted(row)) rows[count++] = row;
  return gathered(table, rows.subarray(0, count));
}

function gathered(table: ExtentTable, rows: Uint32Array): ExtentTable {
  const out = new ExtentTable();
  const of = (column: Uint32Array): Uint32Array => {
    const values = new Uint32Array(Math.max(16, rows.length));
    for (let i = 0; i < rows.length; i++) values[i] = column[rows[i]!]!;
    return values;
  };
  out.start = of(table.start);
  out.count = of(table.count);
  out.ownerHi = of(table.ownerHi);
  out.ownerLo = of(table.ownerLo);
  out.offsetHi = of(table.offsetHi);
  out.offsetLo = of(table.offsetLo);
  out.length = rows.length;
  out.marks = new Uint8Array(rows.length);
  return out;
}

/** Two sorted tables as one. */
export function merged(a: ExtentTable, b: ExtentTable): ExtentTable {
  const out = new ExtentTable();
  const size = Math.max(16, a.length + b.length);
  out.start = new Uint32Array(size);
  out.count = new Uint32Array(size);
  out.ownerHi = new Uint32Array(size);
  out.ownerLo = new Uint32Array(size);
  out.offsetHi = new Uint32Array(size);
  out.offsetLo = new Uint32Array(size);
  let i = 0;
  let k = 0;
  while (i < a.length || k < b.length) {
    const fromA = k >= b.length || (i < a.length && a.compare(i, b, k) <= 0);
    const from = fromA ? a : b;
    const row = fromA ? i++ : k++;
    out.push(
      from.start[row]!,
      from.count[row]!,
      from.ownerHi[row]!,
      from.ownerLo[row]!,
      from.offsetHi[row]!,
      from.offsetLo[row]!,
    );
  }
  out.marks = new Uint8Array(out.length);
  return out;
}

/** Do two sorted tables say the same? */
export function sameRows(a: ExtentTable, b: ExtentTable): boolean {
  if (a.length !== b.length) return false;
  for (let row = 0; row < a.length; row++) {
    if (
      a.start[row] !== b.start[row] ||
      a.count[row] !== b.count[row] ||
      a.ownerHi[row] !== b.ownerHi[row] ||
      a.ownerLo[row] !== b.ownerLo[row] ||
      a.offsetHi[row] !== b.offsetHi[row] ||
      a.offsetLo[row] !== b.offsetLo[row]
    )
      return false;
  }
  return true;
}
