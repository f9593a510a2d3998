/**
 * Crashes in the middle of clones, writes to shared blocks, unshare and dedupe: after recovery every block of every file
 * reads as before or as after the operation that was cut, and every count is right. A failure prints script seed and cut.
 * SEED chooses other scripts, CRASH_SCRIPTS and CRASH_CUTS more of them.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { RecorderDevice } from '../../lib/device/recorder.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { emptyImage } from '../support/empty-image.ts';
import { SharingEditor, SharingModel, sharingOp } from '../support/sharing-model.ts';
import { recoverImage } from './recover-image.ts';

const SCRIPTS = Number(process.env.CRASH_SCRIPTS ?? 2);
const CUTS = Number(process.env.CRASH_CUTS ?? 40);
const SEED = Number(process.env.SEED ?? 1);
const STEPS = 14;

const WORLDS = {
  'cadastre 4k': { dialect: 'cadastre' },
  'cadastre 1k': { dialect: 'cadastre', blockSize: 1024 },
  'xfs 1k, rmapbt': { dialect: 'xfs', blockSize: 1024, features: { rmapbt: true } },
} as const;

type Contents = (Uint8Array | undefined)[];

/** File `index` is what it was before or after; block by block, for a range goes step by step. */
function isMixture(
  found: Uint8Array | undefined,
  before: Uint8Array | undefined,
  after: Uint8Array | undefined,
  blockSize: number,
): boolean {
  if (found === undefined || (before === undefined && after === undefined))
    return before === undefined || after === undefined;
  if (found.length !== before?.length && found.length !== after?.length) return false;
  for (let at = 0; at < found.length; at += blockSize) {
    const part = (bytes: Uint8Array | undefined) => {
      const whole = new Uint8Array(blockSize);
      whole.set(bytes?.subarray(at, at + blockSize) ?? []);
      return whole.subarray(0, Math.min(blockSize, found.length - at));
    };
    const here = part(found);
    if (Buffer.compare(here, part(before)) !== 0 && Buffer.compare(here, part(after)) !== 0) return false;
  }
  return true;
}

describe.each(Object.entries(WORLDS))('a crash while blocks are shared, %s', (_name, options) => {
  it('loses neither old nor new content', () => {
    for (let seed = SEED; seed < SEED + SCRIPTS; seed++) {
      const recorder = new RecorderDevice(emptyImage({ ...options, size: 16 << 20 }));
      const editor = Editor.open(recorder);
      const { blockSize } = editor.volume.geometry;
      const image = new SharingEditor(editor);
      const model = new SharingModel(blockSize);
      const contents = (): Contents => model.files.map((file) => file?.content.slice());
      /** Events after which each state is durable. */
      const states: { events: number; files: Contents }[] = [{ events: 0, files: contents() }];
      for (const op of fc.sample(sharingOp, { seed, numRuns: STEPS })) {
        if (model.apply(op) !== undefined) continue;
        image.apply(op, model);
        editor.sync();
        states.push({ events: recorder.events.length, files: contents() });
      }
      const cuts = fc.sample(
        fc.record({
          cut: fc.integer({ min: 1, max: recorder.events.length }),
          unflushed: fc.constantFrom('all' as const, 'none' as const, 'some' as const),
        }),
        { seed, numRuns: CUTS },
      );
      for (const [i, { cut, unflushed }] of cuts.entries()) {
        const where = `script ${seed}, cut ${cut} of ${recorder.events.length}, unflushed ${unflushed}`;
        const crashed = recorder.crashImage(cut, { unflushed, seed: i, sector: 512 });
        recoverImage(crashed);
        expect(check(crashed, { data: true }).problems, where).toEqual([]);
        const next = states.findIndex(({ events }) => events > cut);
        const before = states[next < 0 ? states.length - 1 : next - 1]!.files;
        const after = next < 0 ? before : states[next]!.files;
        const found = new SharingEditor(Editor.open(crashed));
        for (let file = 0; file < before.length; file++) {
          const isFine = isMixture(found.content(file), before[file], after[file], blockSize);
          expect(isFine, `${where}, file ${file}`).toBe(true);
        }
      }
    }
  });
});
