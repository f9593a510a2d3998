/**
 * Every collision scene on every kind of image: the report is the promised one, every file holds what is promised byte for
 * byte, whoever does not have his own bytes any more is named, and the second run finds nothing to do. Then xfs_repair and the
 * kernel judge the xfs images: a sample of them, all with FULL=1.
 */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { repair } from '../../lib/repair/repair.ts';
import type { Decision, RepairResult } from '../../lib/repair/report.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { compareTrees } from '../support/digest.ts';
import { bytesOf } from '../support/empty-image.ts';
import { digestVolume } from '../support/image-digest.ts';
import { digestImageByLoop, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';
import { Hand, SCENES, type Scene } from './scenes.ts';
import { blocksOf, keyOf, makeWorld, VARIANTS, type Variant, type World } from './world.ts';

const FILES = ['/a', '/b', '/c', '/d', '/e', '/two', '/gap', '/pre', '/frag', '/frag2', '/named', '/shared', '/clone'];
const TREES = ['/dir', '/dir2', '/tree'];

const worlds = new Map<string, World>();

function worldOf(variant: Variant): World {
  let world = worlds.get(variant.name);
  if (!world) {
    world = makeWorld(variant);
    worlds.set(variant.name, world);
  }
  return world;
}

interface Played {
  readonly before: World;
  readonly after: World;
  readonly result: RepairResult;
}

function play(variant: Variant, scene: Scene): Played {
  const before = worldOf(variant);
  const after = { ...before, device: new OverlayDevice(before.device) };
  scene.damage(new Hand(after));
  return { before, after, result: repair(after.device) };
}

const shown = ({ action, claimants }: Decision): string =>
  [
    action,
    ...claimants.map(({ kind, path, fileBlock, outcome }) => {
      const place = fileBlock === undefined ? '' : `.${fileBlock}`;
      return `${path ?? kind}${place}=${outcome}`;
    }),
  ].join(' ');

/** Every block of every file, and what is in directories, symlinks and attributes. */
function contentOf(world: World, device: Device): Record<string, string> {
  const volume = Volume.open(device);
  const content: Record<string, string> = {};
  const at = (path: string, look: (path: string) => string): void => {
    if (volume.child(volume.root, new TextEncoder().encode(path.slice(1))) !== undefined) content[path] = look(path);
  };
  for (const path of FILES) at(path, () => blocksOf(world, volume, path));
  for (const path of TREES) {
    at(path, () =>
      volume
        .sortedEntries(volume.resolve(path))
        .map(({ name, inode }) => `${name}:${inode}`)
        .join(' '),
    );
  }
  at('/link', () => `${volume.resolve('/link', false).size}`);
  return content;
}

/** Labels of all blocks found in lost+found. */
function keptBlocks(world: World, device: Device): Set<string> {
  const found = new Set<string>();
  const volume = Volume.open(device);
  const number = volume.child(volume.root, new TextEncoder().encode('lost+found'));
  if (number === undefined) return found;
  const { blockSize } = world.geometry;
  const labels = new Map([...world.written].map(([label, key]) => [key, label]));
  for (const { inode } of volume.entries(volume.inode(number))) {
    const file = volume.inode(inode);
    if (!file.isFile) continue;
    const reader = volume.fileReader(file);
    const block = new Uint8Array(blockSize);
    for (let at = 0; at < file.size; at += blockSize) {
      reader.read(at, block);
      const label = labels.get(keyOf(block));
      if (label !== undefined) found.add(label);
    }
  }
  return found;
}

describe.each(VARIANTS.map((variant) => [variant.name, variant] as const))('%s', (_name, variant) => {
  const scenes = SCENES.filter(({ needs }) => !needs || needs(variant));
  it.each(scenes.map((scene) => [scene.name, scene] as const))('%s', (_scene, scene) => {
    const { before, after, result } = play(variant, scene);
    const promised = scene.promise(variant);
    expect(result.remaining).toEqual([]);
    expect(result.clean).toBe(true);
    expect(result.decisions.map(shown)).toEqual(promised.decisions ?? []);
    for (const { evidence, outcome } of result.decisions) {
      expect(evidence.length).toBeGreaterThan(0);
      expect(outcome).not.toBe('');
    }
    const content = contentOf(before, after.device);
    expect(content).toEqual({ ...contentOf(before, before.device), ...promised.files });
    const kept = keptBlocks(before, after.device);
    for (const label of promised.kept ?? []) expect(kept).toContain(label);
    // Nobody loses bytes silently. (In a chain without a register the first claim collides with nobody any more.)
    const named = new Set([
      ...[...result.losses, ...result.actions].map(({ path }) => path),
      ...result.decisions.flatMap(({ claimants }) => claimants.map(({ path }) => path)),
      ...(scene.name === 'chain' ? ['/a'] : []),
    ]);
    for (const path of Object.keys(promised.files ?? {})) expect(named).toContain(path);

    const again = repair(after.device);
    expect(again.problems).toEqual([]);
    expect(again.changed).toBe(false);
    expect(check(after.device, { data: true }).problems).toEqual([]);
  });
});

const FULL = process.env.FULL === '1';
const SAMPLE = ['three', 'attributes-over-data', 'intruder', 'unwritten-over-written'];

describe.runIf(requireOracle('xfsprogs', 'loop'))('xfs_repair and the kernel agree', () => {
  const variants = VARIANTS.filter(({ dialect }) => dialect === 'xfs');
  it.each(variants.map((variant) => [variant.name, variant] as const))('%s', (_name, variant) => {
    withTempDir((directory) => {
      for (const scene of SCENES) {
        if ((scene.needs && !scene.needs(variant)) || (!FULL && !SAMPLE.includes(scene.name))) continue;
        const { after } = play(variant, scene);
        const image = `${directory}/image`;
        writeFileSync(image, bytesOf(after.device));
        const judged = xfsRepairCheck(image);
        expect(judged.ok, `${scene.name}: ${judged.output}`).toBe(true);
        const ours = digestVolume(Volume.open(after.device));
        expect(compareTrees(ours, digestImageByLoop(image)), scene.name).toBe('');
      }
    });
  });
});
