/**
 * Canned scenes on rarer images: one AG and four, blocks of 64 KiB, directory blocks of several blocks, parent pointers. A few
 * of them by default, all with FULL=1. xfs_repair judges what it knows, the kernel shows the same tree as our reader.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { playScene, SCENES } from '../../lib/damage/scenes/scenes.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { repair } from '../../lib/repair/repair.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { copyToFile } from '../support/copy-device.ts';
import { compareTrees } from '../support/digest.ts';
import { digestVolume } from '../support/image-digest.ts';
import { digestImageByLoop, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';
import { repairScenes } from './harness.ts';
import { damageImage, RARE_NAMES } from './image.ts';

const isFull = process.env.FULL === '1';
const seed = Number(process.env.CADASTRE_SEED ?? 1);
const SAMPLE = ['cross-link-three', 'attr-over-data', 'file-over-directory', 'dir-data-garbage', 'wipe-1m'];
/** Where there is one AG, there is no copy of the superblock. */
const NO_PRIMARY = /^wipe-(superblock|64k|1m)$/;
/** Images that are too large, or too like another one, to be looked at by the kernel each time. */
const SLOW = new Set(['xfs-64k', 'xfs-1ag']);
const hasOracles = requireOracle('xfsprogs', 'loop', 'python');

describe.each(RARE_NAMES)('%s', (name) => {
  it.each(isFull ? Object.keys(SCENES) : SAMPLE)('%s', (scene) => {
    const image = damageImage(name);
    if (image.geometry.agCount === 1 && NO_PRIMARY.test(scene)) {
      const device = new OverlayDevice(image.device);
      playScene(device, image.geometry, scene, { seed });
      expect(() => repair(device, {})).toThrow(expect.objectContaining({ code: 'NO_SUPERBLOCK' }));
      return;
    }
    const done = repairScenes(image, [scene], seed);
    if (!done) return;
    expect(done.failures).toEqual([]);
    // The kernel looks at one by default: the image as a file takes a while.
    if (
      !hasOracles ||
      image.geometry.dialect.name !== 'xfs' ||
      (!isFull && (scene !== 'cross-link-three' || SLOW.has(name)))
    )
      return;
    withTempDir((directory) => {
      const path = join(directory, 'repaired.img');
      copyToFile(done.device, path);
      // xfs_repair 6.1 knows no parent pointers.
      if (!image.geometry.features.parent) expect(xfsRepairCheck(path).output).toBe('');
      expect(compareTrees(digestVolume(Volume.open(done.device)), digestImageByLoop(path))).toBe('');
    });
  });
});
