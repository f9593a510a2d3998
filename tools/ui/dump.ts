/** A dumped structure as text or JSON. */
import { readField } from '../../formats/struct.ts';
import type { Dump } from '../../lib/inspect/dump.ts';
import type { List } from '../../lib/inspect/lists.ts';
import { showPath } from '../../lib/volume/path.ts';
import { uuidText } from '../../lib/volume/uuid.ts';
import { json, line, paint } from './output.ts';
import { Table } from './table.ts';

/** Rows of a list that are printed unless all are asked for. */
const ROWS = 32;

export function printDump(dump: Dump, asJson: boolean, all: boolean): void {
  const { structure, byte, length, fault, struct, view, lists } = dump;
  if (asJson) {
    const fields = struct ? struct.toObject(view) : {};
    const named = Object.fromEntries(lists.map(({ title, rows }) => [title, rows]));
    json({ structure, byte, length, fault: fault ?? null, fields, lists: named });
    return;
  }
  const verdict = fault
    ? paint.red(`${fault.code}: ${fault.field} is ${fault.found}, expected ${fault.expected}`)
    : struct
      ? 'verified'
      : 'no known magic';
  line(`${paint.bold(structure)} at byte ${byte}: ${verdict}`);
  if (struct) {
    const table = new Table([{ title: '', right: true }, { title: '' }, { title: '' }, { title: '' }]);
    for (const field of struct.fields) {
      if (field.kind === 'pad') continue;
      table.row(field.offset, field.name, showValue(field.name, field.kind, readField(field, view)), field.meaning);
    }
    table.end();
  }
  for (const list of lists) printList(list, all);
}

export function printList({ title, rows }: List, all: boolean): void {
  line();
  line(`${title} (${rows.length})`);
  if (rows.length === 0) return;
  const shown = all ? rows : rows.slice(0, ROWS);
  const names = [...new Set(shown.flatMap((row) => Object.keys(row)))];
  const table = new Table(names.map((name) => ({ title: name, right: typeof shown[0]![name] === 'number' })));
  for (const row of shown)
    table.row(...names.map((name) => (row[name] === undefined ? '' : showValue(name, '', row[name]))));
  table.end();
  if (shown.length < rows.length) line(`... and ${rows.length - shown.length} more (--all shows them)`);
}

const HEXADECIMAL = /magic|crc|features|flags|versionnum|hash|lsn|mode|free$|holemask/i;

function showValue(name: string, kind: string, value: unknown): string {
  if (Array.isArray(value)) return arrayText(value);
  if (kind === 'bytes') return bytesText(name, String(value));
  if (typeof value === 'bigint') return value > 0xffffffffffn ? `0x${value.toString(16)}` : value.toString();
  if (typeof value !== 'number') return String(value);
  if (value === 0xffffffff || value === 2 ** 64) return 'null';
  if (HEXADECIMAL.test(name) && value > 9) return name === 'mode' ? `0${value.toString(8)}` : `0x${value.toString(16)}`;
  return String(value);
}

/** Runs of equal values are counted. */
function arrayText(values: readonly unknown[]): string {
  const parts: string[] = [];
  for (let i = 0; i < values.length; ) {
    let end = i + 1;
    while (end < values.length && values[end] === values[i]) end++;
    const text = values[i] === 0xffffffff ? 'null' : String(values[i]);
    parts.push(end - i > 1 ? `${text} x ${end - i}` : text);
    i = end;
  }
  return parts.slice(0, 16).join(', ');
}

function bytesText(name: string, hex: string): string {
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  if (/uuid/i.test(name)) return uuidText(bytes);
  const end = bytes.indexOf(0);
  return `"${showPath(bytes.subarray(0, end < 0 ? bytes.length : end))}"`;
}
