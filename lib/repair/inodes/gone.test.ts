/** Inodes whose slots are wiped, on images without a register: what says whose it is comes back. */
import { expect, it } from 'vitest';
import { Hand } from '../../../test/scenes/scenes.ts';
import { makeWorld, VARIANTS, type World } from '../../../test/scenes/world.ts';
import { OverlayDevice } from '../../device/overlay.ts';
import { readSymlink } from '../../file/symlink.ts';
import { listXattrs } from '../../volume/metadata.ts';
import { Volume } from '../../volume/volume.ts';
import { repair } from '../repair.ts';
import type { RepairResult } from '../report.ts';
import { slotByte } from '../slot.ts';

const bare = { ...VARIANTS[4]!, options: { blockSize: 1024 } };
const worlds = [VARIANTS[4]!, bare].map((variant) => makeWorld(variant)) as [World, World];

/** Wipe the slots of some paths and repair. */
function wiped(from: World, ...paths: string[]): { volume: Volume; result: RepairResult } {
  const world = { ...from, device: new OverlayDevice(from.device) };
  const hand = new Hand(world);
  const { geometry } = world;
  for (const inode of paths.map((path) => hand.inode(path))) {
    world.device.write(slotByte(geometry, inode), new Uint8Array(geometry.inodeSize));
  }
  const result = repair(world.device);
  expect(result.remaining).toEqual([]);
  expect(repair(world.device).changed).toBe(false);
  return { volume: Volume.open(world.device), result };
}

const attributes = (volume: Volume, path: string): string[] =>
  listXattrs(volume.resolve(path)).map(
    ({ name, value }) => `${Buffer.from(name)}=${Buffer.from(value).toString('base64')}`,
  );
const actions = ({ decisions }: RepairResult): string[] =>
  decisions
    .filter(({ action }) => action.endsWith('-inode'))
    .map(({ action, claimants }) => `${action} ${claimants[0]!.path}`);

it.each(worlds.map((world) => [world.geometry.blockSize, world] as const))('blocks of %i', (_size, world) => {
  const before = Volume.open(world.device);
  const { volume, result } = wiped(world, '/link', '/named', '/remote');
  expect(actions(result).sort()).toEqual(['remake-inode /link', 'remake-inode /named', 'remake-inode /remote']);
  expect(readSymlink(volume.resolve('/link', false))).toEqual(readSymlink(before.resolve('/link', false)));
  for (const path of ['/named', '/remote']) {
    expect(attributes(volume, path).sort(), path).toEqual(attributes(before, path).sort());
  }
  // What the files held is not known, and that is said.
  expect(result.losses.filter(({ what }) => what === 'data').map(({ path }) => path)).toEqual(['/named', '/remote']);
});

it('a value is not put under a name that may be another one’s', () => {
  const [world] = worlds;
  const before = new Set(attributes(Volume.open(world.device), '/many'));
  const { volume, result } = wiped(world, '/many');
  for (const each of attributes(volume, '/many')) expect(before).toContain(each);
  expect(result.losses.filter(({ what }) => what === 'attribute').length).toBeGreaterThan(0);
});

it('an inode of which nothing is left is cleared, and says so', () => {
  const { result } = wiped(worlds[0], '/gap');
  const [decision] = result.decisions;
  expect(decision?.action).toBe('clear-inode');
  expect(decision?.evidence.join()).toContain('"gap"');
});
