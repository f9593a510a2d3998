/** The sweep over claims against a naive model: one owner list per block. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import { MODE } from '../../../formats/inode.ts';
import { testGeometry } from '../../../test/support/geometry.ts';
import { MemoryDevice } from '../../device/memory.ts';
import { SPECIAL } from '../claims.ts';
import { CheckContext } from '../context.ts';
import { ChunkList, InodeTable, STATE } from '../inode-table.ts';
import { ProblemLog } from '../problems.ts';
import { RunList } from '../rows.ts';
import { compareBlocks } from './blocks.ts';

const BLOCKS = 40;
const geometry = testGeometry({ agBlocks: 2 ** 20 });
const FIRST_INODE = 128;

/** [first block, blocks, inode slot or -1 for something that cannot be shared]. */
type Claim = [start: number, count: number, slot: number];

function setUp(claims: readonly Claim[], max: number): { context: CheckContext; table: InodeTable } {
  const context = new CheckContext(new MemoryDevice(4096), geometry, new ProblemLog(max), {});
  const lists = Array.from({ length: geometry.agCount }, () => new ChunkList());
  lists[0]!.push(FIRST_INODE, 0, 0, 0);
  const table = new InodeTable(geometry, lists, true);
  table.mode.fill(MODE.FILE | 0o644);
  table.state.fill(STATE.used | STATE.reflink);
  claims.forEach(([start, count, slot], i) => {
    // Every claim stands elsewhere in its file, so none are joined.
    if (slot < 0) context.claims[0]!.push(start, count, SPECIAL, RMAP_OWNER.INODES, 0, 0);
    else context.claims[0]!.push(start, count, 0, FIRST_INODE + slot, 0, 1000 * i);
  });
  // Everything behind the model belongs to the log.
  context.claims[0]!.push(BLOCKS, geometry.agBlocks - BLOCKS, SPECIAL, RMAP_OWNER.LOG, 0, 0);
  context.claims[0]!.sort();
  return { context, table };
}

const range = fc
  .tuple(fc.nat(BLOCKS - 1), fc.integer({ min: 1, max: 9 }))
  .map(([start, count]): [number, number] => [start, Math.min(count, BLOCKS - start)]);
/** Ranges that do not overlap, ascending. */
const apart = (ranges: [number, number][]): [number, number][] => {
  const out: [number, number][] = [];
  let end = 0;
  for (const [start, count] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (start < end) continue;
    out.push([start, count]);
    end = start + count;
  }
  return out;
};

it('finds exactly what is wrong, block by block', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(range, fc.integer({ min: -1, max: 6 })), { maxLength: 12 }),
      fc.array(range, { maxLength: 8 }).map(apart),
      fc.array(range, { maxLength: 6 }).map(apart),
      fc.array(fc.integer({ min: 2, max: 4 }), { minLength: 6, maxLength: 6 }),
      (claimed, freeRanges, sharedRanges, counts) => {
        // One claim of unshareable blocks may not touch another: they would be one claim.
        const specials = apart(claimed.filter(([, slot]) => slot < 0).map(([at]) => at)).filter(
          ([start], i, all) => i === 0 || all[i - 1]![0] + all[i - 1]![1] < start,
        );
        const claims: Claim[] = [
          ...claimed.filter(([, slot]) => slot >= 0).map(([[start, count], slot]): Claim => [start, count, slot]),
          ...specials.map(([start, count]): Claim => [start, count, -1]),
        ];
        const free = new RunList();
        for (const [start, count] of freeRanges) free.push(start, count);
        const shared = new RunList();
        sharedRanges.forEach(([start, count], i) => {
          shared.push(start, count, counts[i]!);
        });
        const { context, table } = setUp(claims, 1000);
        compareBlocks(context, table, { ag: 0, free, shared, hasRegister: false, complete: true });

        const found: Record<string, Set<number>> = {
          BLOCK_LOST: new Set(),
          BLOCK_CLAIMED_FREE: new Set(),
          BLOCK_MULTIPLY_CLAIMED: new Set(),
          REFCOUNT_WRONG: new Set(),
        };
        for (const { code, where } of context.problems.problems) {
          for (let i = 0; i < where.blockCount!; i++) found[code]!.add(where.block! + i);
        }
        const covers = (ranges: [number, number][], block: number): number =>
          ranges.findIndex(([start, count]) => start <= block && block < start + count);
        for (let block = 0; block < BLOCKS; block++) {
          const owners = claims.filter(([start, count]) => start <= block && block < start + count);
          const isFree = covers(freeRanges, block) >= 0;
          const record = covers(sharedRanges, block);
          const recorded = record < 0 ? 1 : counts[record]!;
          const depth = owners.length;
          const all = owners.every(([, , slot]) => slot >= 0);
          const disputed = depth > 1 && (!all || (recorded !== depth && recorded < 2));
          const wrong = depth === 0 ? recorded > 1 : depth === 1 ? recorded > 1 : !disputed && recorded !== depth;
          const expected = {
            BLOCK_LOST: depth === 0 && !isFree,
            BLOCK_CLAIMED_FREE: depth > 0 && isFree,
            BLOCK_MULTIPLY_CLAIMED: disputed,
            REFCOUNT_WRONG: wrong,
          };
          const got = Object.fromEntries(Object.entries(found).map(([code, set]) => [code, set.has(block)]));
          expect({ block, ...got }).toEqual({ block, ...expected });
        }
      },
    ),
    { numRuns: 400 },
  );
});

it('does not drown in an image made of collisions', () => {
  const claims: Claim[] = Array.from({ length: 100_000 }, (_, i) => [i % 17, 1 + (i % 23), i % 64]);
  const { context, table } = setUp(claims, 100);
  const shared = new RunList();
  const start = performance.now();
  compareBlocks(context, table, { ag: 0, free: new RunList(), shared, hasRegister: false, complete: true });
  expect(performance.now() - start).toBeLessThan(5000);
  expect(context.problems.total).toBeGreaterThan(0);
});
