/**
 * Damage repaired: a sample of the field suite and the canned scenes through repair. Clean on the second check, nothing to
 * write on the second repair, and no file's bytes lost that the damage did not hit. CADASTRE_DAMAGE_REPAIR=N cases for each
 * image, and the scenes; without it nothing runs here. FULL=1 runs all.
 */
import { describe, expect, it } from 'vitest';
import { SCENES } from '../../lib/damage/scenes/scenes.ts';
import { casesOf, sample } from './cases.ts';
import { failureReport, type Judged, judge, repairScenes } from './harness.ts';
import { damageImage, IMAGE_NAMES } from './image.ts';

const isFull = process.env.FULL === '1';
const cases = isFull ? Number.POSITIVE_INFINITY : Number(process.env.CADASTRE_DAMAGE_REPAIR ?? 0);
const seed = Number(process.env.CADASTRE_SEED ?? Math.floor(Date.now() / 86_400_000));
const BATCH = 100;

describe.runIf(cases > 0).each(IMAGE_NAMES)('%s', (name) => {
  // Where nothing runs nothing is made.
  const chosen = cases > 0 ? sample(casesOf(damageImage(name)), cases, seed) : [];
  const batches = Array.from({ length: Math.ceil(chosen.length / BATCH) }, (_, i) => i);

  it.each(batches)(`fields are repaired (seed ${seed}, batch %i)`, (batch) => {
    const judged: Judged[] = [];
    for (const each of chosen.slice(batch * BATCH, (batch + 1) * BATCH)) {
      const one = judge(each, true);
      if (one) judged.push(one);
    }
    expect(failureReport(judged)).toBe('');
  });

  it.each(Object.keys(SCENES))('scene %s is repaired', (scene) => {
    expect(repairScenes(damageImage(name), [scene], seed)?.failures ?? []).toEqual([]);
  });
});
