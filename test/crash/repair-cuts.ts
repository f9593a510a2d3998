/** What the tests of repairs that are cut off share: how they are cut, and what a repair begun again must come to. */
import { expect } from 'vitest';
import { check } from '../../lib/check/check.ts';
import type { Device } from '../../lib/device/device.ts';
import type { CrashChoice } from '../../lib/device/recorder.ts';
import { repair } from '../../lib/repair/repair.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { digestVolume } from '../support/image-digest.ts';

const SECTOR = 512;

/** Mostly a part of what was not flushed, in any order and torn. */
export function drawChoice(random: () => number): CrashChoice {
  const draw = random();
  const unflushed = draw < 0.1 ? 'all' : draw < 0.2 ? 'none' : 'some';
  return { unflushed, seed: Math.floor(random() * 2 ** 31), sector: SECTOR };
}

/** What is in the image, without the times of what a repair made itself. */
export const contents = (device: Device): unknown =>
  digestVolume(Volume.open(device)).map((entry) =>
    entry.path === '/' || entry.path.startsWith('/lost+found') ? { ...entry, mtime: '' } : entry,
  );

/** A repair of what was cut off ends clean, with the same files. @param where tells the cut. */
export function expectRepair(device: Device, expected: unknown, where: string): void {
  expect(repair(device).clean, where).toBe(true);
  expect(check(device, { data: true }).problems, where).toEqual([]);
  expect(contents(device), where).toEqual(expected);
}
