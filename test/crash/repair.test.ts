/**
 * A repair cut off at any write, what was not flushed lost, reordered or torn: run again it comes to the same end, with the
 * same files; also when that second repair is cut off in turn. A failure prints world, damage, cut and choice; CADASTRE_SEED
 * draws others, CRASH_CUTS more, CRASH_SCRIPTS more kinds of damage.
 */
import { describe, expect, it } from 'vitest';
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import { check } from '../../lib/check/check.ts';
import { playScene } from '../../lib/damage/scenes/scenes.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { FlushedImage, RecorderDevice, seededRandom } from '../../lib/device/recorder.ts';
import { CadastreError } from '../../lib/errors.ts';
import { repair } from '../../lib/repair/repair.ts';
import { randomDamage } from '../damage/random-damage.ts';
import { makeSpecimen, type Specimen } from '../support/specimen.ts';
import { recoverImage } from './recover-image.ts';
import { contents, drawChoice, expectRepair } from './repair-cuts.ts';

const SEED = Number(process.env.CADASTRE_SEED ?? 1);
const SEEDS = Number(process.env.CRASH_SCRIPTS ?? 1);
const CUTS = Number(process.env.CRASH_CUTS ?? 2);
/** States on the way that are checked. */
const STATES = process.env.FULL === '1' || process.env.CRASH_CUTS ? Number.POSITIVE_INFINITY : 6;

const WORLDS = {
  cadastre: [CADASTRE, { size: 16 << 20 }],
  'cadastre, small log and blocks': [CADASTRE, { size: 16 << 20, logSize: 1 << 20, blockSize: 1024 }],
  xfs: [XFS, {}],
  'xfs, small blocks': [XFS, { blockSize: 1024, features: { rmapbt: true } }],
} as const;

type Damage = (device: Device, specimen: Specimen) => void;

const wipe = (device: Device, from: number, length: number): void => device.write(from, new Uint8Array(length));
const DAMAGE: Readonly<Record<string, Damage>> = {
  'no primary superblock': (device) => wipe(device, 0, 512),
  'no first headers': (device) => wipe(device, 0, 4096),
  'headers and trees of AG 1': (device, { geometry }) => wipe(device, geometry.agBlockToByte(1, 0), 1 << 20),
  'blocks of several files': (device, { geometry }) => {
    playScene(device, geometry, 'cross-link', { seed: 1 });
    playScene(device, geometry, 'file-over-directory', { seed: 2 });
    if (geometry.features.rmapbt) playScene(device, geometry, 'lost-rmap-roots', { seed: 3 });
  },
  'garbage for a log': (device, { geometry }) => {
    const random = seededRandom(7);
    const bytes = Uint8Array.from({ length: geometry.logBlocks * geometry.blockSize }, () => random() * 256);
    device.write(geometry.fsBlockToByte(geometry.logStart), bytes);
  },
  'no log': (device, { geometry }) =>
    wipe(device, geometry.fsBlockToByte(geometry.logStart), geometry.logBlocks * geometry.blockSize),
  ...Object.fromEntries(
    Array.from({ length: SEEDS }, (_, i): [string, Damage] => [
      `random damage ${i + 1}`,
      (device, { geometry }) => randomDamage(device, geometry, 1000 + i),
    ]),
  ),
};

/** What a check finds after the log is replayed, the log aside: a new one comes first. Undefined without a superblock. */
function problemsOf(device: Device): string | undefined {
  try {
    recoverImage(device);
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    if (error.family === 'unsupported') return undefined;
  }
  return check(device)
    .problems.filter(({ code }) => !code.startsWith('LOG_'))
    .map(({ message }) => message)
    .join('\n');
}

describe.each(Object.entries(WORLDS))(
  `a repair that is cut off (CADASTRE_SEED=${SEED}), %s`,
  (_name, [dialect, options]) => {
    const specimen = makeSpecimen(dialect, options);

    it.each(Object.entries(DAMAGE))('%s', (what, damage) => {
      const broken = new OverlayDevice(specimen.device);
      damage(broken, specimen);
      const recorder = new RecorderDevice(broken);
      let whole: ReturnType<typeof repair>;
      try {
        whole = repair(recorder);
      } catch (error) {
        if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
        expect(recorder.events.filter(({ kind }) => kind === 'write')).toEqual([]);
        return;
      }
      const { events } = recorder;
      // Whether all damage is mended is for other suites to ask.
      if (what.startsWith('random') && !whole.clean) return;
      expect(whole.clean).toBe(true);
      const expected = contents(recorder);
      const second = new RecorderDevice(new OverlayDevice(recorder));
      expect(repair(second)).toMatchObject({ clean: true, changed: false, actions: [], losses: [] });
      expect(second.events).toEqual([]);
      if (events.length === 0) return;
      const random = seededRandom(SEED * 7919 + events.length);
      if (!what.includes('log')) {
        // Seen through the log, the repair happened or did not: as found, with superblock and log right, or clean.
        const states = new Set<string>();
        const step = Math.max(1, Math.ceil(events.length / STATES));
        const flushed = new FlushedImage(broken);
        for (let cut = events.length % step; cut <= events.length; cut += step) {
          const choice = cut === events.length ? { unflushed: 'all' as const, seed: 0, sector: 0 } : drawChoice(random);
          const found = problemsOf(recorder.crashImage(cut, choice, flushed));
          if (found !== undefined) states.add(found);
        }
        expect([...states].length).toBeLessThanOrEqual(2);
        expect(states).toContain('');
      }
      // A log that is made anew has few writes, and what a part of it looks like is the worst that can be.
      const count = what.includes('log') ? 4 * CUTS : CUTS;
      const cuts = Array.from({ length: count }, () => Math.floor(random() * (events.length + 1)));
      const flushed = new FlushedImage(broken);
      for (const [i, cut] of cuts.sort((a, b) => a - b).entries()) {
        const choice = drawChoice(random);
        const crashed = recorder.crashImage(cut, choice, flushed);
        const where = `cut ${cut} of ${events.length}, ${JSON.stringify(choice)}`;
        const again = new RecorderDevice(crashed);
        expectRepair(again, expected, where);
        if (i % 2 === 1 || again.events.length === 0) continue;
        const second = Math.floor(random() * (again.events.length + 1));
        const choiceAgain = drawChoice(random);
        const twice = again.crashImage(second, choiceAgain);
        const there = `${where}, then ${second} of ${again.events.length}, ${JSON.stringify(choiceAgain)}`;
        expectRepair(twice, expected, there);
      }
    });
  },
);
