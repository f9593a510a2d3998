/**
 * Defragmentation of aged images: content, times, attributes and sharing are the same before and after, no file has more
 * extents, no space is lost, the checker has nothing to say, and a second run finds nothing to do. DEFRAG_RUNS=n for longer
 * hunts; a failure prints its seed.
 */
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { defrag } from '../../lib/defrag/defrag.ts';
import type { DefragOptions } from '../../lib/defrag/report.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { type Ageing, ageEditor, ageing, extentCounts, freeBlocks, unchangeable } from '../support/aged-image.ts';
import { emptyImage } from '../support/empty-image.ts';

const RUNS = Number(process.env.DEFRAG_RUNS ?? 6);

const MOST_MILLISECONDS = 120_000 + RUNS * 2000;

const WORLDS = {
  'cadastre 4k': { dialect: 'cadastre' },
  'cadastre 1k, 3 AGs': { dialect: 'cadastre', blockSize: 1024, agCount: 3 },
  'xfs 4k': { dialect: 'xfs' },
  'xfs 4k, rmapbt': { dialect: 'xfs', features: { rmapbt: true } },
  'xfs 1k, rmapbt, 2 AGs': { dialect: 'xfs', blockSize: 1024, agCount: 2, features: { rmapbt: true } },
  'xfs 1k, no reflink': { dialect: 'xfs', blockSize: 1024, features: { reflink: false } },
} as const;

const wanted: fc.Arbitrary<DefragOptions> = fc.record(
  {
    freeSpace: fc.boolean(),
    metadata: fc.boolean(),
    // Chains of small steps, as small logs make them.
    stepLimit: fc.record({ mappings: fc.integer({ min: 1, max: 9 }), blocks: fc.integer({ min: 1, max: 30 }) }),
  },
  { requiredKeys: [] },
);

describe.each(Object.entries(WORLDS))('defrag of an aged image, %s', (_name, options) => {
  it(
    'changes the layout and nothing else',
    async () => {
      const hasReflink = !('features' in options && 'reflink' in options.features);
      await fc.assert(
        fc.asyncProperty(ageing, wanted, async (how: Ageing, wish) => {
          await setImmediate();
          const image = emptyImage({ ...options, size: 32 << 20 });
          const editor = Editor.open(image);
          const script = hasReflink
            ? how.script
            : how.script.filter(({ op }) => ['write', 'punch', 'truncate', 'unlink'].includes(op));
          ageEditor(editor, { ...how, script });
          const { volume } = editor;
          const before = unchangeable(volume);
          const counts = extentCounts(volume);
          const room = freeBlocks(volume);
          const available = volume.space.available(volume.cache);

          const report = defrag(editor, wish);
          expect(unchangeable(volume)).toEqual(before);
          for (const [path, count] of extentCounts(volume)) {
            expect(count, path).toBeLessThanOrEqual(counts.get(path)!);
          }
          expect(freeBlocks(volume)).toBeGreaterThanOrEqual(room);
          // What files can have: trees that grow do so into blocks that were held back for them. A few wait on free lists.
          const listed = 12 * volume.geometry.agCount;
          expect(volume.space.available(volume.cache)).toBeGreaterThanOrEqual(available - listed);
          expect(report.totals.extentsAfter).toBe([...extentCounts(volume).values()].reduce((a, b) => a + b, 0));
          const again = defrag(editor, wish);
          expect(again.totals.extentsAfter).toBeLessThanOrEqual(report.totals.extentsAfter);
          editor.close();
          expect(check(image, { data: true }).problems).toEqual([]);
        }),
        { numRuns: RUNS, endOnFailure: true },
      );
    },
    MOST_MILLISECONDS,
  );
});
