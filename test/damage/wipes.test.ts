/** Ranges that are gone: what is left is found by what it says of itself, and whatever was there to be saved is. */
import { describe, expect, it } from 'vitest';
import type { Geometry } from '../../formats/geometry.ts';
import { check } from '../../lib/check/check.ts';
import { damage } from '../../lib/damage/damage.ts';
import { placesOfInode } from '../../lib/damage/enumerate.ts';
import { playScene } from '../../lib/damage/scenes/scenes.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { readLogState } from '../../lib/journal/log-reader.ts';
import { repair } from '../../lib/repair/repair.ts';
import type { RepairResult } from '../../lib/repair/report.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { bytesOf, compareContent, contentOf, type Kept } from './content.ts';
import { contentBefore } from './harness.ts';
import { damageImage } from './image.ts';

const SECTOR = 512;

/** Repair: clean, agreed on by a check, nothing left for a second run. */
function mended(name: string, wreck: (device: Device, geometry: Geometry) => void) {
  const image = damageImage(name);
  const device = new OverlayDevice(image.device);
  wreck(device, image.geometry);
  const result: RepairResult = repair(device, {});
  expect(result.remaining).toEqual([]);
  expect(check(device, { data: true }).problems).toEqual([]);
  expect(repair(new OverlayDevice(device), {}).changed).toBe(false);
  const after = contentOf(device);
  const kept: Kept = compareContent(contentBefore(image), after);
  return { device, result, after, kept, lost: kept.lost.map(({ path }) => path).sort() };
}

const scene = (name: string) => (device: Device, geometry: Geometry) => {
  playScene(device, geometry, name, { seed: 1 });
};
const logByte = (geometry: Geometry): number => geometry.fsBlockToByte(geometry.logStart);

/** Zero a slot, as if it had never been written. */
function wipeInode(device: Device, geometry: Geometry, inode: number): void {
  const agInode = geometry.agInodeOfInode(inode);
  const block = geometry.agBlockToByte(geometry.agOfInode(inode), geometry.agBlockOfAgInode(agInode));
  device.zero(block + (agInode % geometry.inodesPerBlock) * geometry.inodeSize, geometry.inodeSize);
}

/** Take away the record that says the log is clean: everything before it is to be replayed. */
function makeDirty(device: Device, geometry: Geometry): void {
  const { previousBlock, head } = readLogState(device, geometry);
  device.zero(logByte(geometry) + previousBlock * SECTOR, (head.block - previousBlock) * SECTOR);
}

describe('the chunk of the root inode', () => {
  it.each([
    ['cadastre', 44],
    ['xfs', 45],
    ['xfs-plain', 44],
    ['xfs-1k', 45],
  ] as const)('%s: is made again in its place when its AG is gone as well', (name, least) => {
    const { kept, result } = mended(name, scene('wipe-1m'));
    expect(kept.intact).toBeGreaterThanOrEqual(least);
    expect(result.actions.map(({ text }) => text).join()).toMatch(/made again/);
  });

  it('without a register: names come back from blocks that say whose they are, files from blocks of their tree', () => {
    const { device, after, lost } = mended('xfs-plain', scene('wipe-inodes'));
    const volume = Volume.open(device);
    const names = volume
      .entries(volume.inode(volume.geometry.rootInode))
      .map(({ name }) => Buffer.from(name).toString());
    const described = ['leaf-attributes', 'long-symlink', 'node-attributes', 'pieces-1', 'pieces-2'];
    expect(names.sort()).toEqual(['block', 'leaf', ...described, 'lost+found', 'node'].sort());
    expect(lost).not.toContain('/pieces-1');
    expect(lost).not.toContain('/long-symlink');
    // Of the others the bytes are kept, as far as they lie together.
    const plain = Buffer.from(bytesOf(damageImage('xfs-plain').device, '/plain-40'));
    const kept = [...after.keys()].filter((path) => path.includes('/blocks-'));
    expect(kept.some((path) => Buffer.from(bytesOf(device, path)).includes(plain))).toBe(true);
  });

  it('with a register: files come back whole, their sizes too', () => {
    const { lost } = mended('xfs', scene('wipe-inodes'));
    // Empty files, devices and short symlinks leave nothing; trailing holes do not either.
    expect(lost).toEqual(['/device', '/empty', '/fifo', '/sparse', '/symlink']);
  });
});

describe('the log', () => {
  it('of zeroes is replaced by an empty one', () => {
    const { device, result, lost } = mended('xfs', scene('wipe-log'));
    expect(result.problems.map(({ code }) => code)).toContain('LOG_ZEROED');
    expect(readLogState(device, damageImage('xfs').geometry).previousBlock).toBeLessThan(2 ** 32 - 1);
    expect(lost).toEqual([]);
  });

  it.each(['cadastre', 'xfs-plain'])('%s: has inodes that are gone from their place', (name) => {
    const { inodes } = damageImage(name);
    const { result, lost, kept } = mended(name, (device, geometry) => {
      makeDirty(device, geometry);
      for (const path of ['/short', '/plain-10', '/symlink']) wipeInode(device, geometry, inodes.get(path)!);
      device.zero(geometry.agHeaderDaddr(1, 3) * SECTOR, 256);
    });
    expect(lost).toEqual([]);
    expect(kept.inPlace).toBe(kept.total);
    expect(result.losses.filter(({ what }) => what !== 'log')).toEqual([]);
  });

  it('ends for the check where it ends for who replays it: before a write that did not arrive', () => {
    const wreck = (device: Device, geometry: Geometry): void => device.zero(logByte(geometry) + 8 * SECTOR, SECTOR);
    const { device, geometry } = damageImage('xfs');
    const overlay = new OverlayDevice(device);
    wreck(overlay, geometry);
    expect(check(overlay).observed!.context.head).toEqual(readLogState(overlay, geometry).head);
    expect(mended('xfs', wreck).lost).toEqual([]);
  });
});

it('a superblock is had back from a damaged copy when nothing else is left', () => {
  const { lost } = mended('cadastre', (device, geometry) => {
    device.zero(0, geometry.blockSize);
    const at = geometry.agBlockToByte(1, 0) + 121;
    device.write(at, Uint8Array.of(0xd2));
  });
  expect(lost).toEqual([]);
});

it('structures of an inode whose extents are nonsense are as many as can be, not as it says', () => {
  const { device, geometry, inodes } = damageImage('xfs');
  const overlay = new OverlayDevice(device);
  const inode = inodes.get('/leaf')!;
  for (const index of [0, 1]) {
    const place = { kind: 'inode', inode } as const;
    damage(overlay, geometry, { place, field: `extents[${index}].blockCount`, verb: 'ones', crc: 'fix', seed: 1 });
  }
  expect(placesOfInode(overlay, geometry, inode).length).toBeLessThanOrEqual(2 ** 16 + 1);
});
