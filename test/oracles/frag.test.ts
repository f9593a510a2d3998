/** frag and map against xfs_db on images that the kernel has worn: extents, directories, attributes, free runs, to the last one. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileDevice } from '../../lib/device/file.ts';
import { fragReport } from '../../lib/frag/frag.ts';
import { BLOCK_CLASSES } from '../../lib/map/block-classes.ts';
import { mapImage } from '../../lib/map/map.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { ageImage } from '../support/age.ts';
import { loopMount, mkfsXfs, mustRun, requireOracle, withTempDir, xfsDb } from '../support/oracle.ts';

const MIB = 1 << 20;

/** `actual` and `ideal` of `frag` with this flag. */
function frag(image: string, flag: string): { extents: number; ideal: number } {
  const match = /actual (\d+), ideal (\d+)/.exec(xfsDb(image, [`frag ${flag}`]))!;
  return { extents: Number(match[1]), ideal: Number(match[2]) };
}

/** Runs and blocks of `freesp`, by the first number of each bucket. */
function freesp(image: string): Map<number, { runs: number; blocks: number }> {
  const rows = xfsDb(image, ['freesp']).matchAll(/^ +(\d+) +\d+ +(\d+) +(\d+) /gm);
  return new Map(
    [...rows].map(([, from, runs, blocks]) => [Number(from), { runs: Number(runs), blocks: Number(blocks) }]),
  );
}

function withVolume(image: string, work: (volume: Volume) => void): void {
  const volume = Volume.open(new FileDevice(image, 'r'));
  try {
    work(volume);
  } finally {
    volume.close();
  }
}

const failed = (error: Error): never => {
  throw error;
};

describe.runIf(requireOracle('xfsprogs', 'loop', 'python'))('frag and map against xfs_db', () => {
  it.each([
    ['-m', 'rmapbt=1,reflink=1'],
    ['-b', 'size=1024', '-m', 'reflink=1,rmapbt=0'],
    ['-m', 'reflink=0', '-n', 'size=16384'],
  ])('aged: %s %s %s %s', (...args) =>
    withTempDir((directory) => {
      const image = join(directory, 'image');
      mkfsXfs(
        image,
        128 * MIB,
        args.filter((arg) => typeof arg === 'string'),
      );
      ageImage(image, { profile: 'random', ops: 2500, seed: 5, budget: 24 * MIB });
      withVolume(image, (volume) => {
        const { data, metadata, free } = fragReport(volume, { failed });
        const files = frag(image, '-f');
        expect(data.extents).toBe(files.extents);
        expect(data.extents).toBeGreaterThan(200);
        // xfs_db forgets that unwritten blocks need an extent of their own.
        expect(data.ideal).toBeGreaterThanOrEqual(files.ideal);
        expect({ ...metadata.directories, forks: 0 }).toEqual({ ...frag(image, '-d'), forks: 0 });
        expect({ ...metadata.attributes, forks: 0 }).toEqual({ ...frag(image, '-a'), forks: 0 });
        expect({ ...metadata.symlinks, forks: 0 }).toEqual({ ...frag(image, '-l'), forks: 0 });
        const theirs = freesp(image);
        // It counts the blocks of the free lists as runs of one.
        let listed = 0;
        for (let ag = 0; ag < volume.geometry.agCount; ag++) listed += volume.space.ag(volume.cache, ag).agf.flcount;
        for (const { from, runs, blocks } of free!.histogram) {
          const more = from === 1 ? listed : 0;
          expect([from, theirs.get(from)]).toEqual([from, { runs: runs + more, blocks: blocks + more }]);
          theirs.delete(from);
        }
        theirs.delete(1);
        expect([...theirs]).toEqual([]);
        const { totals } = mapImage(volume, { width: 64, rows: 16 });
        expect(totals[BLOCK_CLASSES.indexOf('free')]).toBe(free!.freeBlocks);
        expect(totals[BLOCK_CLASSES.indexOf('lost')]).toBe(0);
        expect(totals.reduce((sum, blocks) => sum + blocks, 0)).toBe(volume.geometry.blocks);
      });
    }),
  );

  it('the ideal too, where nothing is unwritten', () =>
    withTempDir((directory) => {
      const image = join(directory, 'image');
      mkfsXfs(image, 64 * MIB, ['-m', 'reflink=0']);
      loopMount(image, { write: true }, (at) => {
        const turns = `for i in $(seq 0 40); do for f in a b c; do
          dd if=/dev/zero of=${at}/$f bs=4k count=1 seek=$((i + i / 7)) oflag=direct conv=notrunc status=none
        done; done`;
        mustRun('bash', ['-c', turns]);
      });
      withVolume(image, (volume) => {
        const { data, files } = fragReport(volume, { failed });
        const theirs = frag(image, '-f');
        expect({ extents: data.extents, ideal: data.ideal }).toEqual(theirs);
        expect(theirs.extents).toBeGreaterThan(60);
        expect(files).toHaveLength(3);
        expect(files[0]!.ideal).toBe(6);
      });
    }));
});
