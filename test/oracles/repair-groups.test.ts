/**
 * AGs of images that the kernel has aged, damaged by lot and rebuilt: the check is clean, xfs_repair has nothing to say, and
 * the kernel mounts the image and sees the same files. CADASTRE_HUNT=n: so many tries for each image.
 */
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { ageImage } from '../support/age.ts';
import { copyToFile } from '../support/copy-device.ts';
import { damageGroups, groupBlocks } from '../support/damage-groups.ts';
import { seeded } from '../support/edit-ops.ts';
import { makeMatrixImage, matrixEntry } from '../support/feature-matrix.ts';
import { digestImageByLoop, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';
import { mendGroups } from '../support/repair-groups.ts';

const TRIES = Number(process.env.CADASTRE_HUNT ?? 3);
const IMAGES = process.env.CADASTRE_HUNT
  ? ['default', 'all-features', 'bare', 'block-1k', 'block-64k', 'no-sparse', 'many-ags', 'inode-2k', 'small']
  : ['all-features', 'bare'];

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('AGs of images that the kernel aged', () => {
  it.each(IMAGES)('%s', (name) => {
    withTempDir((directory) => {
      const path = `${directory}/image`;
      makeMatrixImage(matrixEntry(name), path);
      ageImage(path, { profile: 'random', ops: 1500, seed: 5, budget: 30 << 20 });
      const content = digestImageByLoop(path);
      const image = new FileDevice(path, 'r');
      try {
        const { context, ...observed } = check(image).observed!;
        const blocks = groupBlocks({ context, ...observed });
        for (let seed = 1; seed <= TRIES; seed++) {
          const damaged = new OverlayDevice(image);
          const done = damageGroups(damaged, context.geometry, blocks, seeded(seed)).join('; ');
          const { after, plan } = mendGroups(damaged);
          expect(after.problems, `seed ${seed}: ${done}`).toEqual([]);
          if (seed > 1 && !process.env.CADASTRE_HUNT) continue;
          const mended = `${directory}/mended`;
          copyToFile(plan, mended);
          expect(xfsRepairCheck(mended), `seed ${seed}: ${done}`).toEqual({ ok: true, output: '' });
          expect(digestImageByLoop(mended)).toEqual(content);
        }
      } finally {
        image.close();
      }
    });
  });
});
