import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Unit, UnitKind } from './ag-units.ts';
import { type FreeRun, planJoin, possibleRun } from './join-plan.ts';

const unit = (start: number, count: number, kind: UnitKind = 'data'): Unit => {
  return { start, count, kind, firstRow: 0, rows: 1 };
};

/** Units of an AG drawn as text: a letter per block, capitals cannot move, a dot is free. */
function drawn(picture: string): { units: Unit[]; free: FreeRun[]; length: number } {
  const units: Unit[] = [];
  const free: FreeRun[] = [];
  for (const { 0: run, index } of picture.matchAll(/(.)\1*/g)) {
    if (run[0] === '.') free.push({ start: index, count: run.length });
    else units.push(unit(index, run.length, /[A-Z]/.test(run) ? 'fixed' : 'data'));
  }
  return { units, free, length: picture.length };
}

/** Carry a plan out, and see that every unit only ever goes to free blocks. @returns the longest free run then. */
function carriedOut(picture: { units: Unit[]; length: number }, steps: readonly { unit: number; target: number }[]) {
  const owner = new Int32Array(picture.length).fill(-1);
  const places = picture.units.map(({ start }) => start);
  for (const [i, { start, count }] of picture.units.entries()) owner.fill(i, start, start + count);
  for (const { unit: index, target } of steps) {
    const { count, kind } = picture.units[index]!;
    expect(kind).not.toBe('fixed');
    expect(owner.subarray(target, target + count)).toEqual(new Int32Array(count).fill(-1));
    owner.fill(-1, places[index]!, places[index]! + count);
    owner.fill(index, target, target + count);
    places[index] = target;
  }
  let longest = 0;
  let run = 0;
  for (const each of owner) longest = Math.max(longest, (run = each < 0 ? run + 1 : 0));
  return longest;
}

describe('the plan that joins free space', () => {
  it.each([
    // Small ones into the holes outside.
    ['A..bbb....c.....d...eeee..F', 14],
    // The long one goes where two short ones were.
    ['A.bb..cc.B......dddddd.......', 14],
    // Ranks close: no hole is long enough, and a longer unit is in the way.
    ['A..bbbbbbbb..C........dddd..........', 18],
  ])('leaves %s with a run of at least %i', (text, least) => {
    const picture = drawn(text);
    const plan = planJoin(picture.units, picture.length, picture.free, picture.length)!;
    expect(plan.run).toBeGreaterThanOrEqual(least);
    expect(carriedOut(picture, plan.steps)).toBeGreaterThanOrEqual(plan.run);
  });

  it('has nothing to do when all is as good as it gets', () => {
    const { units, free, length } = drawn('Aaaabbb..............B.C');
    expect(planJoin(units, length, free, length)).toBeUndefined();
  });

  it('stops at what is wanted', () => {
    const { units, free, length } = drawn('A....b....c....d....e....');
    expect(planJoin(units, length, free, 4)).toBeUndefined();
    expect(planJoin(units, length, free, 8)!.run).toBeGreaterThanOrEqual(7);
  });

  it('can be carried out, whatever the AG looks like, and keeps its word', () => {
    const block = fc.constantFrom('.', '..', '....', 'a', 'bb', 'cccc', 'dddddddd', 'F', '........');
    fc.assert(
      fc.property(fc.array(block, { minLength: 5, maxLength: 60, size: 'max' }), (parts) => {
        const picture = drawn(`H${parts.join('')}`);
        const longest = Math.max(0, ...picture.free.map(({ count }) => count));
        const freeBlocks = picture.free.reduce((sum, { count }) => sum + count, 0);
        const possible = possibleRun(picture.units, picture.length, freeBlocks);
        expect(possible).toBeGreaterThanOrEqual(longest);
        const plan = planJoin(picture.units, picture.length, picture.free, picture.length);
        if (!plan) return;
        const reached = carriedOut(picture, plan.steps);
        expect(reached).toBeGreaterThan(longest);
        expect(reached).toBeGreaterThanOrEqual(plan.run);
        expect(reached).toBeLessThanOrEqual(possible);
      }),
      { numRuns: 400 },
    );
  });
});

describe('the longest run that is possible', () => {
  it.each([
    ['A....bb....', 8],
    ['A....bb..C.bb.', 8],
    // Too long for any other stretch.
    ['A...bbbbbbbb...C....', 6],
    ['A...........', 11],
  ])('%s: %i', (text, expected) => {
    const { units, free, length } = drawn(text);
    const freeBlocks = free.reduce((sum, { count }) => sum + count, 0);
    expect(possibleRun(units, length, freeBlocks)).toBe(expected);
  });
});
