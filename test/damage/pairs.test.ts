/**
 * Two damages at once: a dispute while what would decide it is gone as well, and random pairs of scenes and of fields. Seeded:
 * CADASTRE_SEED (or the day); CADASTRE_PAIRS pairs of each kind and image, FULL=1 for many.
 */
import { describe, expect, it } from 'vitest';
import { seeded } from '../../lib/damage/bits.ts';
import { damage } from '../../lib/damage/damage.ts';
import { SCENES } from '../../lib/damage/scenes/scenes.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { CadastreError } from '../../lib/errors.ts';
import { caseLine, casesOf, sample } from './cases.ts';
import { isRightlyRefused, mayLose, repairAndCompare, repairScenes } from './harness.ts';
import { damageImage, IMAGE_NAMES, RARE_NAMES } from './image.ts';

const isFull = process.env.FULL === '1';
const seed = Number(process.env.CADASTRE_SEED ?? Math.floor(Date.now() / 86_400_000));
const PAIRS = Number(process.env.CADASTRE_PAIRS ?? (isFull ? 300 : 6));

const GONE = ['lost-rmap-roots', 'lost-refcount-roots', 'lost-agf', 'lost-free-space-leaf'];
const DISPUTES = Object.keys(SCENES).filter((scene) => /^(cross-link|self-collision|file-over|attr-over)/.test(scene));

describe.each(['cadastre', 'xfs', 'xfs-plain'])('%s: a dispute without', (name) => {
  it.each(GONE)('%s', (gone) => {
    const image = damageImage(name);
    for (const [i, dispute] of DISPUTES.entries()) {
      // Every other one, which ones the seed says, with the way to all trees gone as well.
      const alone = [dispute, gone];
      const more = [...alone, 'lost-agf'];
      for (const scenes of isFull ? [alone, more] : [(i + seed) % 2 === 0 ? alone : more]) {
        expect(repairScenes(image, scenes, seed)?.failures ?? [], `${scenes} seed ${seed}`).toEqual([]);
      }
    }
  });
});

describe.each([...IMAGE_NAMES, ...RARE_NAMES])('%s: pairs', (name) => {
  const image = damageImage(name);
  const pairs = IMAGE_NAMES.includes(name) ? PAIRS : Math.ceil(PAIRS / 3);

  it(`of scenes (seed ${seed})`, () => {
    const random = seeded(seed);
    const names = Object.keys(SCENES).filter((scene) => !/^wipe-(64k|1m)$/.test(scene));
    const pick = (): string => names[Math.floor(random() * names.length)]!;
    for (let i = 0; i < pairs; i++) {
      const scenes = [pick(), pick()];
      expect(repairScenes(image, scenes, seed + i)?.failures ?? [], `${scenes} seed ${seed + i}`).toEqual([]);
    }
  });

  it(`of fields (seed ${seed})`, () => {
    const cases = sample(casesOf(image), 2 * pairs, seed);
    for (let i = 0; i + 1 < cases.length; i += 2) {
      const pair = [cases[i]!, cases[i + 1]!];
      const device = new OverlayDevice(image.device);
      try {
        for (const { spec } of pair) damage(device, image.geometry, spec);
      } catch (error) {
        // The first has hidden the second.
        if (!(error instanceof CadastreError && error.family === 'usage')) throw error;
      }
      if (isRightlyRefused(device, pair)) continue;
      const hit = pair.map(mayLose);
      const failures: string[] = [];
      repairAndCompare(image, device, failures, (held) => hit.some((may) => may?.(held)));
      expect(failures, pair.map((each) => `${caseLine(each)} seed ${each.spec.seed}`).join('; ')).toEqual([]);
    }
  });
});
