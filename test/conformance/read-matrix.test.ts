/**
 * Images that mkfs.xfs made and the kernel filled and aged: our reader shows exactly what the mounted view shows, and the
 * checker has nothing to say. A sample of the feature matrix; FULL=1 takes all of it and wears each image longer.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { ageDirectory } from '../support/age.ts';
import { compareTrees, digestTree } from '../support/digest.ts';
import { featureMatrix, type MatrixEntry, makeMatrixImage } from '../support/feature-matrix.ts';
import { digestImage, withoutRawAcls } from '../support/image-digest.ts';
import { loopMount, requireOracle, withTempDir } from '../support/oracle.ts';

const full = process.env.FULL === '1';
const SAMPLE = ['all-features', 'bare', 'block-1k-dir-4k', 'inode-2k', 'exchange-parent'];

function judge(entry: MatrixEntry, image: string): void {
  // Mounting once more read-only: what is compared is what is on the disk, and looking changes nothing.
  const seen = loopMount(image, {}, (at) => digestTree(at, { identity: true }));
  const ours = digestImage(image, { identity: true });
  expect(seen.length).toBeGreaterThan(100);
  expect(compareTrees(withoutRawAcls(seen), ours), entry.name).toBe('');
  const device = new FileDevice(image, 'r');
  try {
    expect(check(device, { data: true }).problems).toEqual([]);
  } finally {
    device.close();
  }
}

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('an image of the kernel', () => {
  const entries = featureMatrix.filter((entry) => full || SAMPLE.includes(entry.name));
  it.each(entries.map((entry) => [entry.name, entry] as const))('reads as mounted: %s', (_name, entry) => {
    withTempDir((directory) => {
      const image = join(directory, 'image');
      makeMatrixImage(entry, image);
      const { dirBlockSize } = entry;
      loopMount(image, { write: true }, (at) => {
        if (entry.size !== undefined && entry.size < 128 << 20)
          ageDirectory(at, { profile: 'random', ops: 2000, budget: 20 << 20 });
        else {
          ageDirectory(at, { profile: 'forms', dirBlockSize });
          ageDirectory(at, { profile: 'random', ops: full ? 5000 : 1500, seed: 7, dirBlockSize, budget: 100 << 20 });
        }
      });
      judge(entry, image);
    });
  });
});
