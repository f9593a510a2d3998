/**
 * The Linux kernel recovers what we crashed: our log is its log. A mount replays it, xfs_repair finds nothing to say, the
 * content is a state the user may see, and our reader shows what the kernel shows.
 *
 * The kernel takes blocks in place to be whole (its disks write a block or not), so only the log is torn here.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileDevice } from '../../lib/device/file.ts';
import { seededRandom } from '../../lib/device/recorder.ts';
import { openSuperblock } from '../../lib/volume/open.ts';
import { copyToFile } from '../support/copy-device.ts';
import { compareTrees, digestTree } from '../support/digest.ts';
import { digestImage, withoutRawAcls } from '../support/image-digest.ts';
import { loopMount, requireOracle, run, withTempDir, xfsRepairCheck } from '../support/oracle.ts';
import { type CutPoint, Recording, WORLDS } from './harness.ts';
import { recoverImage } from './recover-image.ts';
import { WORKLOADS } from './workload.ts';

const seed = Number(process.env.CADASTRE_SEED ?? 1);
const cuts = Number(process.env.CADASTRE_CRASH_KERNEL_CUTS ?? 2);
const cases = WORLDS.filter(({ name }) => name.startsWith('xfs')).map(({ name }, i) => ({
  world: name,
  workload: WORKLOADS[(i + seed) % WORKLOADS.length]!.name,
}));

describe.runIf(requireOracle('xfsprogs'))('xfs_logprint reads our log', () => {
  it.each(['xfs-4k', 'xfs-sector-4k', 'xfs-stripe'])('%s', (world) => {
    const recording = new Recording({ world, workload: 'mixed', seed: seed * 1000 + 750, steps: 120 });
    withTempDir((directory) => {
      const path = join(directory, 'dirty.img');
      // Everything flushed, and the log not yet closed.
      const cut = recording.recorder.events.length - 4;
      copyToFile(recording.crash(cut, { unflushed: 'all', seed: 0, sector: 0 }), path);
      const transactions = run('xfs_logprint', ['-t', path]);
      expect(transactions.status).toBe(0);
      expect(transactions.output).toContain('<DIRTY>');
      expect(transactions.output).not.toMatch(/error|bad |corrupt|unknown|illegal/i);
      const everything = run('xfs_logprint', [path]);
      expect(everything.output).not.toMatch(/ERROR|Bad |corrupt|illegal/);
      expect(everything.output.match(/INODE: /g)?.length).toBeGreaterThan(10);
    });
  });
});

describe.runIf(requireOracle('loop', 'xfsprogs', 'python'))(`the kernel recovers (CADASTRE_SEED=${seed})`, () => {
  it.each(cases)('$world, $workload', ({ world, workload }) => {
    const recording = new Recording({ world, workload, seed: seed * 1000 + 700, steps: 120 });
    const { geometry } = openSuperblock(recording.recorder);
    const complaints = (path: string) => (geometry.features.parent ? '' : xfsRepairCheck(path).output);
    const logStart = geometry.fsBlockToByte(geometry.logStart);
    const tearOnly = { start: logStart, end: logStart + geometry.logBlocks * geometry.blockSize };
    const random = seededRandom(seed);
    const points: CutPoint[] = Array.from({ length: cuts }, () => ({
      cut: 1 + Math.floor(random() * recording.recorder.events.length),
      choice: { unflushed: 'some' as const, seed: Math.floor(random() * 2 ** 31), sector: 512, tearOnly },
    })).sort((a, b) => a.cut - b.cut);
    for (const point of points) {
      withTempDir((directory) => {
        const path = join(directory, 'crashed.img');
        copyToFile(recording.crash(point.cut, point.choice), path);
        const ours = join(directory, 'ours.img');
        copyFileSync(path, ours);
        try {
          const view = loopMount(path, { write: true }, (mount) => withoutRawAcls(digestTree(mount)));
          expect(complaints(path)).toBe('');
          const image = new FileDevice(path, 'r');
          const index = recording.judgeRecovered(image, point.cut);
          image.close();
          expect(compareTrees(view, withoutRawAcls(digestImage(path)), { ignore: ['directory.size'] })).toBe('');
          const device = new FileDevice(ours, 'rw');
          recoverImage(device);
          device.close();
          expect(complaints(ours)).toBe('');
          expect(compareTrees(view, withoutRawAcls(digestImage(ours)), { ignore: ['directory.size'] })).toBe('');
          expect(index).toBeGreaterThanOrEqual(0);
        } catch (error) {
          throw recording.failure(error, point);
        }
      });
    }
  });
});
