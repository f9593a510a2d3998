/**
 * No false alarms: images that mkfs.xfs made and the kernel filled and wore out check clean, over a sample of the feature
 * matrix. And the other way round: what the kernel left dirty is called dirty.
 */
import { describe, expect, it } from 'vitest';
import { type CheckResult, check } from '../../lib/check/check.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { ageDirectory, ageImage } from '../support/age.ts';
import { featureMatrix, makeMatrixImage, matrixEntry } from '../support/feature-matrix.ts';
import { loopMount, mustRun, requireOracle, withTempDir } from '../support/oracle.ts';

function checkFile(path: string): CheckResult {
  const device = new FileDevice(path, 'r');
  try {
    return check(device);
  } finally {
    device.close();
  }
}

/** What the sample of aged images must show; the rest of the matrix is checked fresh. */
const AGED = [
  'default',
  'all-features',
  'bare',
  'block-1k-dir-4k',
  'block-64k',
  'inode-2k',
  'no-sparse',
  'many-ags',
  'exchange-parent',
];

describe.runIf(requireOracle('xfsprogs'))('images of mkfs.xfs', () => {
  it.each(featureMatrix.map((entry) => [entry.name, entry] as const))('%s is clean', (_name, entry) => {
    withTempDir((directory) => {
      const path = `${directory}/image`;
      makeMatrixImage(entry, path);
      const result = checkFile(path);
      expect(result.problems).toEqual([]);
      expect(result.counts.inodes).toBe(3);
    });
  });
});

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('images the kernel aged', () => {
  it.each(AGED)('%s is clean', (name) => {
    withTempDir((directory) => {
      const entry = matrixEntry(name);
      const path = `${directory}/image`;
      makeMatrixImage(entry, path);
      ageImage(path, { dirBlockSize: entry.dirBlockSize });
      expect(checkFile(path).problems).toEqual([]);
      ageImage(path, { profile: 'random', ops: 1500, seed: 11, budget: 40 << 20 });
      const result = checkFile(path);
      expect(result.problems).toEqual([]);
      expect(result.counts.extents).toBeGreaterThan(500);
    });
  });

  it('a file system that was shut down is dirty', () => {
    withTempDir((directory) => {
      const path = `${directory}/image`;
      makeMatrixImage(matrixEntry('default'), path);
      loopMount(path, { write: true }, (mount) => {
        ageDirectory(mount, { profile: 'random', ops: 50 });
        mustRun('xfs_io', ['-x', '-c', 'shutdown -f', mount]);
      });
      expect(checkFile(path).problems.map((each) => each.code)).toEqual(['LOG_DIRTY']);
    });
  });
});
