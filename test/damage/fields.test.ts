/**
 * Damage, field by field: every field of every structure is found broken or is listed as unvalidated with the reason; what is
 * found is repaired without loss. By default a sample that CADASTRE_SEED (or the day) decides; FULL=1 runs all cases.
 */
import { describe, expect, it } from 'vitest';
import { casesOf, sample } from './cases.ts';
import { failureReport, type Judged, judge } from './harness.ts';
import { damageImage, IMAGE_NAMES } from './image.ts';
import { unusedRows } from './unvalidated.ts';

const isFull = process.env.FULL === '1';
const seed = Number(process.env.CADASTRE_SEED ?? Math.floor(Date.now() / 86_400_000));
/** Per image: some seconds. */
const CHECKED = isFull ? Number.POSITIVE_INFINITY : 100;
const BATCH = 1000;

describe.each(IMAGE_NAMES)('%s', (name) => {
  const cases = sample(casesOf(damageImage(name)), CHECKED, seed);
  const batches = Array.from({ length: Math.ceil(cases.length / BATCH) }, (_, i) => i);

  it.each(batches)(`is found, or need not be (seed ${seed}, batch %i)`, (batch) => {
    const judged: Judged[] = [];
    for (const each of cases.slice(batch * BATCH, (batch + 1) * BATCH)) {
      const one = judge(each, false);
      if (one) judged.push(one);
    }
    expect(judged.length).toBeGreaterThan(0);
    expect(failureReport(judged)).toBe('');
  });
});

it.runIf(isFull)('every row of the table of unvalidated fields is needed', () => {
  expect(unusedRows()).toEqual([]);
});
