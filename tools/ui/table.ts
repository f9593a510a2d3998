/** Columns of text, as wide as their widest cell; numbers are right-aligned. */
import { line } from './output.ts';

export interface Column {
  title: string;
  right?: boolean;
}

/** Rows kept to measure the columns; a longer table keeps the widths it found. */
const MEASURED = 10_000;

export class Table {
  readonly #columns: readonly Column[];
  readonly #rows: string[][] = [];
  #widths: number[] | undefined;

  constructor(columns: readonly Column[]) {
    this.#columns = columns;
  }

  row(...cells: (string | number)[]): void {
    const texts = cells.map(String);
    if (this.#widths) this.#print(texts);
    else if (this.#rows.push(texts) >= MEASURED) this.#start();
  }

  /** Print what is still held. An empty table prints its titles. */
  end(): void {
    if (!this.#widths) this.#start();
  }

  #start(): void {
    const hasTitles = this.#columns.some(({ title }) => title !== '');
    const rows = hasTitles ? [this.#columns.map(({ title }) => title), ...this.#rows] : this.#rows;
    this.#widths = this.#columns.map((_, i) => Math.max(0, ...rows.map((row) => (row[i] ?? '').length)));
    for (const row of rows) this.#print(row);
    this.#rows.length = 0;
  }

  #print(cells: string[]): void {
    const padded = cells.map((cell, i) => {
      const width = this.#widths![i] ?? 0;
      return this.#columns[i]?.right ? cell.padStart(width) : cell.padEnd(width);
    });
    line(padded.join('  ').trimEnd());
  }
}

/** `name: value` lines with the values in one column. */
export function facts(pairs: readonly (readonly [string, string | number])[]): void {
  const width = Math.max(...pairs.map(([name]) => name.length));
  for (const [name, value] of pairs) line(`${name.padEnd(width)}  ${value}`);
}
