/**
 * Writes the field tables of docs/FORMAT.md from the structures of formats/registry.ts, so that text and code never drift.
 * `node scripts/format-tables.mjs` rewrites the document, `--check` only says whether it would (exit status 1).
 *
 * A table stands between `<!-- table NAME -->` and `<!-- end -->`. Every structure of the registry has exactly one place.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { tsImport } from 'tsx/esm/api';

const path = fileURLToPath(new URL('../docs/FORMAT.md', import.meta.url));
const { STRUCTURES } = await tsImport('../formats/registry.ts', import.meta.url);

/** How the document writes a kind. */
const TYPES = { u64hl: 'u64', u64hlle: 'u64le' };
const typeOf = ({ kind, size, count }) => {
  if (kind === 'pad') return `${size} bytes`;
  if (kind === 'bytes') return `${size} bytes`;
  if (kind === 'u32s') return `u32 × ${count}`;
  return TYPES[kind] ?? kind;
};

/** What the value names, where it is an address. */
const TARGETS = {
  fsblock: 'fsbno',
  agblock: 'agbno',
  inode: 'inode number',
  aginode: 'agino',
  daddr: 'daddr',
  dablk: 'dablk',
  dataptr: 'dataptr',
};

function meaningOf({ meaning, target }) {
  const text = meaning.replaceAll('|', '\\|');
  const kind = TARGETS[target];
  return kind && !text.includes(kind) ? `${text} (${kind})` : text;
}

function tableOf({ name, struct, where }) {
  const rows = struct.fields.map((field) => {
    const shown = field.kind === 'pad' ? 'reserved' : `\`${field.name}\``;
    return `| ${field.offset} | ${typeOf(field)} | ${shown} | ${meaningOf(field)} |`;
  });
  return [
    `**\`${name}\`**, ${struct.size} bytes: ${where}`,
    '',
    '| byte | type | field | meaning |',
    '|---:|---|---|---|',
    ...rows,
  ].join('\n');
}

const before = readFileSync(path, 'utf8');
const seen = new Map(STRUCTURES.map(({ name }) => [name, 0]));
const after = before.replace(/<!-- table ([\w-]+) -->\n[\s\S]*?<!-- end -->/g, (_all, name) => {
  const structure = STRUCTURES.find((each) => each.name === name);
  if (!structure) throw new Error(`docs/FORMAT.md asks for a table of ${name}, which no structure is called`);
  seen.set(name, seen.get(name) + 1);
  return `<!-- table ${name} -->\n${tableOf(structure)}\n<!-- end -->`;
});
const wrong = [...seen].filter(([, times]) => times !== 1).map(([name, times]) => `${name}: ${times} places`);
if (wrong.length > 0) throw new Error(`every structure needs one place in docs/FORMAT.md; ${wrong.join(', ')}`);

if (process.argv.includes('--check')) {
  if (after !== before) {
    console.error('docs/FORMAT.md does not agree with formats/registry.ts: run node scripts/format-tables.mjs');
    process.exitCode = 1;
  }
} else if (after !== before) writeFileSync(path, after);
