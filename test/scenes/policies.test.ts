/** One rule for all disputes (`--conflicts`), and somebody who is asked (`--interactive`). */
import { describe, expect, it } from 'vitest';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { repair } from '../../lib/repair/repair.ts';
import type { RepairResult } from '../../lib/repair/report.ts';
import type { RepairOptions } from '../../lib/repair/state.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { Hand } from './scenes.ts';
import { blocksOf, makeWorld, VARIANTS, type World } from './world.ts';

const [cadastre, , noReflink, noRegister] = VARIANTS as typeof VARIANTS & { length: 5 };
const worlds = new Map<string, World>();

/** /a lies on /b: repaired with these options. */
function crossLinked(
  variant: (typeof VARIANTS)[number],
  options: RepairOptions,
): { world: World; result: RepairResult } {
  const base = worlds.get(variant.name) ?? makeWorld(variant);
  worlds.set(variant.name, base);
  const world = { ...base, device: new OverlayDevice(base.device) };
  new Hand(world).link('/a', '/b');
  const result = repair(world.device, options);
  expect(result.remaining).toEqual([]);
  expect(repair(world.device).changed).toBe(false);
  return { world, result };
}

const read = (world: World, path: string): string => blocksOf(world, Volume.open(world.device), path);
const outcomes = ({ decisions }: RepairResult): unknown =>
  decisions.map(({ action, claimants }) => [action, ...claimants.map(({ path, outcome }) => `${path} ${outcome}`)]);

/** Blocks of the files in lost+found. */
function found(world: World): string[] {
  const volume = Volume.open(world.device);
  const number = volume.child(volume.root, new TextEncoder().encode('lost+found'));
  if (number === undefined) return [];
  const names = volume.entries(volume.inode(number)).map(({ name }) => new TextDecoder().decode(name));
  return names.map((name) => blocksOf(world, volume, `/lost+found/${name}`));
}

describe('conflicts', () => {
  it('copy: both keep the bytes, and what the register calls the home of one is kept', () => {
    const { world, result } = crossLinked(cadastre!, { conflicts: 'copy' });
    expect(outcomes(result)).toEqual([['copy', '/a copied', '/b keeps']]);
    expect(read(world, '/a')).toBe('b.0 b.1 b.2 b.3');
    expect(read(world, '/b')).toBe('. . . . . .');
    expect(found(world)).toEqual(['a.0 a.1 a.2 a.3']);
  });

  it('share: the same, shared; copies where an image cannot share', () => {
    const shared = crossLinked(cadastre!, { conflicts: 'share' });
    expect(outcomes(shared.result)).toEqual([['share', '/a shares', '/b shares']]);
    expect(read(shared.world, '/a')).toBe('b.0 b.1 b.2 b.3');
    expect(found(shared.world)).toEqual(['a.0 a.1 a.2 a.3']);
    const copied = crossLinked(noReflink!, { conflicts: 'share' });
    expect(outcomes(copied.result)).toEqual([['copy', '/a copied', '/b keeps']]);
  });

  it('owner: home if there is one, else a hole for all but one', () => {
    const home = crossLinked(cadastre!, { conflicts: 'owner' });
    expect(outcomes(home.result)).toEqual([['restore', '/a restored', '/b keeps']]);
    expect(read(home.world, '/a')).toBe('. . . .');
    const { world, result } = crossLinked(noRegister!, { conflicts: 'owner' });
    expect(outcomes(result)).toEqual([['owner', '/a keeps', '/b hole']]);
    expect(read(world, '/b')).toBe('0 0 0 0 . .');
    expect(result.losses.map(({ path, blockCount }) => [path, blockCount])).toEqual([['/b', 4]]);
  });
});

describe('decide', () => {
  it('is shown the proposal with its evidence and chooses among what can be done', () => {
    const asked: unknown[] = [];
    const { world, result } = crossLinked(cadastre!, {
      decide: (proposal, choices) => {
        asked.push([proposal.action, proposal.claimants.map(({ path }) => path), choices]);
        expect(proposal.evidence[0]).toContain('home of inode');
        return 'share';
      },
    });
    expect(asked).toEqual([['restore', ['/a', '/b'], ['restore', 'share', 'copy', 'owner']]]);
    expect(outcomes(result)).toEqual([['share', '/a shares', '/b shares']]);
    expect(read(world, '/a')).toBe('b.0 b.1 b.2 b.3');
    expect(found(world)).toEqual(['a.0 a.1 a.2 a.3']);
  });

  it('an answer that was not offered is none', () => {
    const { world } = crossLinked(cadastre!, { decide: () => 'burn' });
    expect(read(world, '/a')).toBe('. . . .');
  });
});
