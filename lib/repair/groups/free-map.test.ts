/** Sets of blocks against naive sets, and free runs against a list of single blocks. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RunList } from '../../check/rows.ts';
import { FreeRuns } from './free-runs.ts';
import { asSet, complement, intersect, subtract, unite } from './runs.ts';

const LENGTH = 60;

/** Runs in any order, overlapping as they like. */
const anyRuns = fc.array(fc.tuple(fc.nat(LENGTH - 1), fc.integer({ min: 1, max: 12 })), { maxLength: 12 });
type Runs = readonly (readonly [number, number])[];

function listOf(runs: Runs): RunList {
  const list = new RunList();
  for (const [start, count] of runs) list.push(start, Math.min(count, LENGTH - start));
  return asSet(list);
}
function blocksOf(list: RunList): number[] {
  const blocks: number[] = [];
  for (let i = 0; i < list.length; i++) for (let k = 0; k < list.count[i]!; k++) blocks.push(list.start[i]! + k);
  return blocks;
}
const all = Array.from({ length: LENGTH }, (_, block) => block);

describe('sets of runs', () => {
  it('do what sets do, and their runs never touch', () => {
    fc.assert(
      fc.property(anyRuns, anyRuns, (x, y) => {
        const a = listOf(x);
        const b = listOf(y);
        const inA = new Set(blocksOf(a));
        const inB = new Set(blocksOf(b));
        expect(blocksOf(a)).toEqual(all.filter((block) => x.some(([s, n]) => block >= s && block < s + n)));
        expect(blocksOf(unite(a, b))).toEqual(all.filter((block) => inA.has(block) || inB.has(block)));
        expect(blocksOf(intersect(a, b))).toEqual(all.filter((block) => inA.has(block) && inB.has(block)));
        expect(blocksOf(subtract(a, b))).toEqual(all.filter((block) => inA.has(block) && !inB.has(block)));
        expect(blocksOf(complement(a, 3, 50))).toEqual(all.filter((n) => n >= 3 && n < 50 && !inA.has(n)));
        for (const list of [a, unite(a, b), complement(a, 0, LENGTH)]) {
          for (let i = 1; i < list.length; i++) {
            expect(list.start[i]!).toBeGreaterThan(list.start[i - 1]! + list.count[i - 1]!);
          }
        }
      }),
    );
  });
});

describe('free runs', () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant('take' as const),
      min: fc.integer({ min: 1, max: 6 }),
      more: fc.nat(8),
      near: fc.nat(LENGTH),
    }),
    fc.record({ do: fc.constant('remove' as const), from: fc.nat(LENGTH - 1), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant('put' as const), which: fc.nat(50) }),
  );

  it('give what is free, whole where there is such a run, and the longest otherwise', () => {
    fc.assert(
      fc.property(anyRuns, fc.array(step, { maxLength: 40 }), (runs, steps) => {
        const list = listOf(runs);
        const free = new Set(blocksOf(list));
        const map = new FreeRuns(list);
        const taken: [number, number][] = [];
        const longest = (): number => {
          let most = 0;
          let run = 0;
          for (const block of [...all, LENGTH]) {
            run = free.has(block) ? run + 1 : 0;
            most = Math.max(most, run);
          }
          return most;
        };
        for (const each of steps) {
          if (each.do === 'take') {
            const max = each.min + each.more;
            const count = map.take(each.min, max, each.near);
            expect(count).toBe(longest() < each.min ? 0 : Math.min(max, longest()));
            expect(count === 0 || (count >= each.min && count <= max)).toBe(true);
            for (let i = 0; i < count; i++) expect(free.delete(map.takenStart + i)).toBe(true);
            if (count > 0) taken.push([map.takenStart, count]);
          } else if (each.do === 'remove') {
            map.remove(each.from, each.count);
            for (let i = 0; i < each.count; i++) free.delete(each.from + i);
          } else if (taken.length > 0) {
            const [start, count] = taken.splice(each.which % taken.length, 1)[0]!;
            map.put(start, count);
            for (let i = 0; i < count; i++) free.add(start + i);
          }
          expect(map.blocks).toBe(free.size);
        }
        // Everything that is free can be had.
        while (map.take(1, 1, 0) > 0) expect(free.delete(map.takenStart)).toBe(true);
        expect(free.size).toBe(0);
      }),
    );
  });
});
