/**
 * A repair killed when its checkpoint is in the log and its blocks are not yet, or only some of them, in place: the Linux kernel finishes it. The
 * mount replays what we logged (whole blocks of inodes among it), xfs_repair finds nothing to say, and the kernel shows what
 * our reader shows of the image that was repaired undisturbed.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sealCrc } from '../../formats/checksum.ts';
import { InodeCore } from '../../formats/inode.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { RecorderDevice, seededRandom } from '../../lib/device/recorder.ts';
import { readLogState } from '../../lib/journal/log-reader.ts';
import { repair } from '../../lib/repair/repair.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { type DamageImage, damageImage } from '../damage/image.ts';
import { copyToFile } from '../support/copy-device.ts';
import { compareTrees, digestTree } from '../support/digest.ts';
import { digestVolume, withoutRawAcls } from '../support/image-digest.ts';
import { loopMount, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';

const SEED = Number(process.env.CADASTRE_SEED ?? 1);
const DRAWN = 12;
const EVERY_CUT = process.env.CADASTRE_CRASH_KERNEL_CUTS !== undefined;

type Damage = (device: Device, image: DamageImage) => void;

function editSlot(
  device: Device,
  { geometry, inodes }: DamageImage,
  path: string,
  change: (slot: DataView) => void,
): void {
  const inode = inodes.get(path)!;
  const agInode = geometry.agInodeOfInode(inode);
  const block = geometry.agBlockToByte(geometry.agOfInode(inode), geometry.agBlockOfAgInode(agInode));
  const at = block + (agInode % geometry.inodesPerBlock) * geometry.inodeSize;
  const bytes = new Uint8Array(geometry.inodeSize);
  device.read(at, bytes);
  change(new DataView(bytes.buffer));
  sealCrc(bytes, InodeCore.offsets.crc);
  device.write(at, bytes);
}

const DAMAGE: Readonly<Record<string, Damage>> = {
  'headers and trees of AG 1': (device, { geometry }) =>
    device.write(geometry.agBlockToByte(1, 0), new Uint8Array(12 * geometry.blockSize)),
  'inodes of every kind': (device, image) => {
    for (const path of image.inodes.keys()) {
      editSlot(device, image, path, (slot) => slot.setUint32(InodeCore.offsets.nlink, 77));
    }
  },
};

const isDirty = (device: Device, { geometry }: DamageImage): boolean => {
  try {
    return !readLogState(device, geometry).clean;
  } catch {
    return false;
  }
};

describe.runIf(requireOracle('loop', 'xfsprogs', 'python'))('the kernel finishes a repair', () => {
  describe.each(['xfs', 'xfs-1k', 'xfs-plain'])('%s', (name) => {
    it.each(Object.entries(DAMAGE))('%s', (_what, damage) => {
      const image = damageImage(name);
      const broken = new OverlayDevice(image.device);
      damage(broken, image);
      const recorder = new RecorderDevice(broken);
      expect(repair(recorder)).toMatchObject({ clean: true, changed: true });
      const expected = withoutRawAcls(digestVolume(Volume.open(recorder)));
      const dirty = recorder.events
        .map((_, cut) => cut)
        .filter((cut) => {
          return isDirty(recorder.crashImage(cut, { unflushed: 'all', seed: 0, sector: 0 }), image);
        });
      expect(dirty.length).toBeGreaterThan(0);
      const { geometry } = image;
      const logStart = geometry.fsBlockToByte(geometry.logStart);
      const tearOnly = { start: logStart, end: logStart + geometry.logBlocks * geometry.blockSize };
      const random = seededRandom(SEED);
      // The kernel takes blocks in place to be whole: any of them may be missing, but only the log is torn.
      const drawn = Array.from({ length: DRAWN }, () => ({
        cut: dirty[Math.floor(random() * dirty.length)]!,
        choice: { unflushed: 'some' as const, seed: Math.floor(random() * 2 ** 31), sector: 512, tearOnly },
      })).filter(({ cut, choice }) => isDirty(recorder.crashImage(cut, choice), image));
      const all = { unflushed: 'all' as const, seed: 0, sector: 0 };
      const points = [dirty[0]!, ...(EVERY_CUT ? dirty.slice(1) : [])].map((cut) => ({ cut, choice: all }));
      // One by default, of those that leave a log to replay.
      for (const { cut, choice } of [...points, ...(EVERY_CUT ? drawn : drawn.slice(0, 1))]) {
        withTempDir((directory) => {
          const path = join(directory, 'killed.img');
          copyToFile(recorder.crashImage(cut, choice), path);
          const view = loopMount(path, { write: true }, (mount) => withoutRawAcls(digestTree(mount)));
          expect(xfsRepairCheck(path).output).toBe('');
          expect(compareTrees(view, expected, { ignore: ['directory.size'] })).toBe('');
        });
      }
    });
  });
});
