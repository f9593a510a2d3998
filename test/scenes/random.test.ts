/**
 * Random collisions: several extents at once pointed at random blocks. With a sound register every file comes out as it was;
 * without one the files that were not touched do, and the others do not change silently. Seeds are printed; REPLAY=seed runs one. RUNS=n for a longer hunt.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { repair } from '../../lib/repair/repair.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { Hand } from './scenes.ts';
import { blocksOf, makeWorld, VARIANTS, type Variant, type World } from './world.ts';

const FILES = ['/a', '/b', '/c', '/d', '/e', '/two', '/pre', '/frag', '/frag2', '/shared', '/clone'];
const RUNS = Number(process.env.RUNS ?? 8);
/** Blocks that are aimed at: all that is in use in AG 0, and some free ones behind. */
const REACH = 230;

const content = (world: World, path: string): string => blocksOf(world, Volume.open(world.device), path);

describe.each(VARIANTS.map((variant) => [variant.name, variant] as const))('%s', (_name, variant: Variant) => {
  const files = FILES.filter((path) => variant.reflink || path !== '/clone');
  const before = makeWorld(variant);
  const sound = new Map(files.map((path) => [path, content(before, path)]));

  it('are settled', () => {
    const aims = fc.array(
      fc.record({
        path: fc.constantFrom(...files),
        extent: fc.nat(3),
        target: fc.integer({ min: before.geometry.headerBlocks, max: REACH }),
      }),
      { minLength: 1, maxLength: 4 },
    );
    const seed = process.env.REPLAY === undefined ? {} : { seed: Number(process.env.REPLAY) };
    fc.assert(
      fc.property(aims, (list) => {
        const world = { ...before, device: new OverlayDevice(before.device) };
        const hand = new Hand(world);
        const placed = list.flatMap(({ path, extent, target }) => {
          const { extents } = hand.stage.file(path).map;
          const one = extents[extent % extents.length];
          return one ? [{ one, target }] : [];
        });
        for (const { one, target } of placed) hand.aim(one, target);
        const result = repair(world.device);
        expect(result.remaining).toEqual([]);
        expect(check(world.device, { data: true }).problems).toEqual([]);
        expect(repair(world.device).changed).toBe(false);
        const named = new Set([
          ...[...result.losses, ...result.actions].map(({ path }) => path),
          ...result.decisions.flatMap(({ claimants }) => claimants.map(({ path }) => path)),
        ]);
        for (const path of files) {
          const now = content(world, path);
          if (now === sound.get(path)) continue;
          const aimed = list.some((each) => each.path === path);
          if (variant.register || !aimed) expect(`${path}: ${now}`).toBe(`${path}: ${sound.get(path)}`);
          // Of several, one may have come to lie where another was: that cannot be seen.
          if (list.length === 1) expect(named, `${path}: ${now}`).toContain(path);
        }
      }),
      { numRuns: RUNS, ...seed },
    );
  });
});
