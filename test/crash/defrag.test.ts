/**
 * Crashes in the middle of defragmentation, with every option: after recovery all content, times and sharing are as before,
 * the checker has nothing to say, and another run ends the job. A failure prints script seed and cut. CRASH_SCRIPTS and
 * CRASH_CUTS for longer hunts; CRASH_CUTS=0 cuts at every write.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { defrag } from '../../lib/defrag/defrag.ts';
import { FlushedImage, RecorderDevice } from '../../lib/device/recorder.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { ageEditor, ageing, extentCounts, unchangeable } from '../support/aged-image.ts';
import { emptyImage } from '../support/empty-image.ts';
import { recoverImage } from './recover-image.ts';

const SCRIPTS = Number(process.env.CRASH_SCRIPTS ?? 2);
const CUTS = Number(process.env.CRASH_CUTS ?? 20);
const SEED = Number(process.env.SEED ?? 1);

const WORLDS = {
  'cadastre 4k': { dialect: 'cadastre' },
  'cadastre 1k': { dialect: 'cadastre', blockSize: 1024 },
  'xfs 4k': { dialect: 'xfs' },
  'xfs 1k, rmapbt': { dialect: 'xfs', blockSize: 1024, features: { rmapbt: true } },
} as const;

describe.each(Object.entries(WORLDS))('a crash while an image is defragmented, %s', (_name, options) => {
  it('changes nothing that a reader sees, and another run ends it', () => {
    for (let seed = SEED; seed < SEED + SCRIPTS; seed++) {
      const base = emptyImage({ ...options, size: 24 << 20 });
      const [how] = fc.sample(ageing, { seed, numRuns: 1 });
      const editor = Editor.open(base);
      ageEditor(editor, how!);
      editor.close();
      const before = unchangeable(Volume.open(base));
      const counts = extentCounts(Volume.open(base));

      const recorder = new RecorderDevice(base);
      const work = Editor.open(recorder);
      // Every other script in chains of small steps.
      const stepLimit = { mappings: 1 + (seed % 5), blocks: 12 };
      const report = defrag(work, {
        freeSpace: seed % 2 === 0,
        metadata: seed % 3 !== 0,
        ...(seed % 4 < 2 ? { stepLimit } : {}),
      });
      work.close();
      const total = recorder.events.length;
      const chosen = fc.sample(
        fc.record({
          cut: fc.integer({ min: 1, max: total }),
          unflushed: fc.constantFrom('all' as const, 'none' as const, 'some' as const),
        }),
        { seed, numRuns: Math.max(1, CUTS) },
      );
      const every = Array.from({ length: total }, (_, i) => ({ cut: i + 1, unflushed: 'some' as const }));
      const cuts = CUTS === 0 ? every : chosen.sort((a, b) => a.cut - b.cut);
      const flushed = new FlushedImage(base);
      for (const [i, { cut, unflushed }] of cuts.entries()) {
        const where = `seed ${seed}, cut ${cut} of ${total}, unflushed ${unflushed}`;
        const crashed = recorder.crashImage(cut, { unflushed, seed: i, sector: 512 }, flushed);
        recoverImage(crashed);
        expect(check(crashed, { data: true }).problems, where).toEqual([]);
        const volume = Volume.open(crashed);
        expect(unchangeable(volume), where).toEqual(before);
        // Half-way through a chain of steps a file may have one extent more.
        for (const [path, count] of extentCounts(volume)) {
          expect(count, `${where}, ${path}`).toBeLessThanOrEqual(counts.get(path)! + 1);
        }
        if (i % 5 !== 0) continue;
        const again = Editor.open(crashed);
        const end = defrag(again);
        again.close();
        expect(end.totals.extentsAfter, where).toBeLessThanOrEqual(report.totals.extentsBefore);
        expect(check(crashed, { data: true }).problems, where).toEqual([]);
        expect(unchangeable(Volume.open(crashed)), where).toEqual(before);
      }
    }
  });
});
