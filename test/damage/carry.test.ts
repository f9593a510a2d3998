/**
 * A check that takes over what an earlier one saw says what a whole one says: for damage done to a sound image since then, and
 * for damaged images that were mended since then, wholly or in part. Where both find nothing they have seen the same.
 */
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type CheckResult, check } from '../../lib/check/check.ts';
import { sameRows } from '../../lib/check/tables.ts';
import { seeded } from '../../lib/damage/bits.ts';
import { damage } from '../../lib/damage/damage.ts';
import { playScene, SCENES } from '../../lib/damage/scenes/scenes.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { PAGE } from '../../lib/device/sparse-map.ts';
import { CadastreError } from '../../lib/errors.ts';
import { changedBlocks, PlanDevice } from '../../lib/repair/plan-device.ts';
import { repair } from '../../lib/repair/repair.ts';
import { casesOf, sample } from './cases.ts';
import { type DamageImage, damageImage, IMAGE_NAMES } from './image.ts';
import { randomDamage } from './random-damage.ts';

const FULL = process.env.FULL === '1';
const SEED = Number(process.env.SEED ?? 1);
const RANDOM = FULL ? 400 : 12;
const FIELDS = FULL ? 1500 : 30;

const whole = (device: Device): CheckResult =>
  check(device, { ignoreLog: true, toTheEnd: true, keepEntries: true, maxProblems: 5 });

/** Both checks of a plan over an image that was checked before. @returns true when they agree that all is well. */
function agree(image: DamageImage, before: CheckResult, plan: PlanDevice, what: string): boolean {
  const all = whole(plan);
  const changed = changedBlocks(plan, image.geometry);
  const some = check(plan, { ignoreLog: true, since: { result: before, changed } });
  if (some.observed && !some.observed.isWhole) takenOver++;
  const found = all.problems.map(({ message }) => message);
  expect(some.clean, `${what}: ${found}; ${some.problems.map(({ message }) => message)}`).toBe(all.clean);
  if (!all.clean || !all.observed || !some.observed) return false;
  const [a, b] = [all.observed, some.observed];
  a.context.claims.forEach((table, ag) => {
    expect(sameRows(table, b.context.claims[ag]!), `${what}: claims of AG ${ag}`).toBe(true);
    expect(sameRows(a.context.recorded[ag]!, b.context.recorded[ag]!), `${what}: register of AG ${ag}`).toBe(true);
  });
  for (const column of ['state', 'mode', 'nlink', 'counted', 'parent'] as const) {
    expect(b.inodes[column], `${what}: ${column}`).toEqual(a.inodes[column]);
  }
  return true;
}

/** Checks that did take over something. */
let takenOver = 0;

type Wreck = (device: Device) => void;

/** Damage since the check; then a check of the damage, and parts of it mended since, at last all. */
function both(image: DamageImage, sound: CheckResult, wreck: Wreck, what: string, seed: number): boolean {
  const broken = new PlanDevice(image.device);
  wreck(broken);
  agree(image, sound, broken, what);
  const before = whole(broken);
  const random = seeded(seed);
  const plan = new PlanDevice(broken);
  const bytes = new Uint8Array(PAGE);
  const restore = (page: number): void => {
    image.device.read(page * PAGE, bytes);
    plan.write(page * PAGE, bytes);
  };
  for (const page of broken.ownPages()) if (random() < 0.5) restore(page);
  agree(image, before, plan, `${what}, mended in part`);
  for (const page of broken.ownPages()) restore(page);
  return agree(image, before, plan, `${what}, mended`);
}

describe.each([...IMAGE_NAMES, 'xfs-4ag'])('%s', (name) => {
  const image = damageImage(name);
  const sound = whole(image.device);

  it('is sound', () => {
    expect(sound.problems).toEqual([]);
    expect(agree(image, sound, new PlanDevice(image.device), 'nothing')).toBe(true);
  });

  it('scenes', async () => {
    takenOver = 0;
    let played = 0;
    for (const scene of Object.keys(SCENES)) {
      await setImmediate();
      const wreck: Wreck = (device) => void playScene(device, image.geometry, scene, { seed: SEED });
      try {
        expect(both(image, sound, wreck, `${scene}, seed ${SEED}`, SEED)).toBe(true);
        played++;
      } catch (error) {
        // Some need what the image has not.
        if (!(error instanceof CadastreError) || error.family !== 'usage') throw error;
      }
    }
    expect(played).toBeGreaterThan(20);
    expect(takenOver).toBeGreaterThan(played);
  }, 600_000);

  it('random damage', async () => {
    for (let seed = SEED; seed < SEED + RANDOM; seed++) {
      await setImmediate();
      const wreck: Wreck = (device) => randomDamage(device, image.geometry, seed);
      expect(both(image, sound, wreck, `random, seed ${seed}`, seed)).toBe(true);
    }
  }, 600_000);

  it('fields', async () => {
    for (const { spec } of sample(casesOf(image), FIELDS, SEED)) {
      await setImmediate();
      const wreck: Wreck = (device) => void damage(device, image.geometry, spec);
      both(image, sound, wreck, `field, seed ${SEED}: ${JSON.stringify(spec)}`, SEED);
    }
  }, 600_000);
});

/** What a repair verified by taking over is what a whole check finds clean. */
describe.each(['xfs-4ag', 'cadastre-4ag'])('repair of %s', (name) => {
  it('leaves what a whole check says it leaves', async () => {
    const { device: image, geometry } = damageImage(name);
    for (let seed = SEED; seed < SEED + (FULL ? 100 : 8); seed++) {
      await setImmediate();
      const device = new OverlayDevice(image);
      // Lost AGs: inodes that the first check does not know.
      const ag = seed % geometry.agCount;
      const blocks = 4 + (seed % 60);
      device.zero(geometry.agBlockToByte(ag, 0), blocks * geometry.blockSize);
      if (seed % 2 === 0) randomDamage(device, geometry, seed);
      const result = repair(device, {});
      const { problems } = check(device, {});
      expect(
        result.clean ? problems.map(({ message }) => message) : [],
        `seed ${seed}: first ${blocks} blocks of AG ${ag}`,
      ).toEqual([]);
    }
  }, 600_000);
});
