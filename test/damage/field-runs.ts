/**
 * Every field of every structure, every verb, CRC right or not: found or unvalidated with a reason, repaired, clean afterwards,
 * a second repair idle, nobody's bytes lost who was not hit. In parts, for there are tens of thousands of cases: part k of n
 * takes every n-th of them. Prints a table with times.
 */
import { caseLine, casesOf, type DamageCase, sample } from './cases.ts';
import { judge } from './harness.ts';
import { damageImage } from './image.ts';

interface FieldOptions {
  readonly images: readonly string[];
  /** Of each image and structure, at most. */
  readonly cases: number;
  /** Every `of`-th case, from the `part`-th on. */
  readonly part: number;
  readonly of: number;
  /** Structures whose name begins so; undefined = all. */
  readonly only: string | undefined;
  readonly seed: number;
  readonly fail: (line: string) => void;
}

/** What the cases of one structure of one image came to. */
interface Row {
  cases: number;
  /** The verb changed nothing. */
  idle: number;
  found: number;
  failures: number;
  milliseconds: number;
}

/** Runs the cases, notes failures as they come, prints the table. */
export function fieldRuns({ images, cases, part, of, only, seed, fail }: FieldOptions): void {
  const lines = [
    '| image | structure | cases | changed nothing | found | failures | seconds |',
    '|---|---|---|---|---|---|---|',
  ];
  const total = newRow();
  for (const name of images) {
    for (const [structure, group] of groupsOf(name, only)) {
      const chosen = sample(group, cases, seed).filter((_, i) => i % of === part - 1);
      const row = newRow();
      for (const each of chosen) runCase(each, row, fail);
      lines.push(lineOf(name, structure, row));
      for (const key of Object.keys(total) as (keyof Row)[]) total[key] += row[key];
      console.error(lines.at(-1));
    }
  }
  console.log([...lines, lineOf('**all**', `part ${part}/${of}`, total)].join('\n'));
}

const newRow = (): Row => ({ cases: 0, idle: 0, found: 0, failures: 0, milliseconds: 0 });

const lineOf = (image: string, structure: string, row: Row): string =>
  `| ${image} | ${structure} | ${row.cases} | ${row.idle} | ${row.found} | ${row.failures} | ${(row.milliseconds / 1000).toFixed(1)} |`;

function groupsOf(image: string, only: string | undefined): Map<string, DamageCase[]> {
  const groups = new Map<string, DamageCase[]>();
  for (const each of casesOf(damageImage(image))) {
    if (only !== undefined && !each.structure.startsWith(only)) continue;
    const group = groups.get(each.structure);
    if (group) group.push(each);
    else groups.set(each.structure, [each]);
  }
  return groups;
}

function runCase(each: DamageCase, row: Row, fail: (line: string) => void): void {
  row.cases++;
  const start = performance.now();
  const judged = judge(each, true);
  row.milliseconds += performance.now() - start;
  if (!judged) {
    row.idle++;
    return;
  }
  if (judged.found) row.found++;
  if (judged.failures.length > 0) row.failures++;
  for (const failure of judged.failures) fail(`${caseLine(each)} seed ${each.spec.seed}: ${failure}`);
}
