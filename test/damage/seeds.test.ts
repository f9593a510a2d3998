/** What random damage found (`npm run test:damage -- random`), as small as it could be made, each with how repair ends there. */
import { expect, it } from 'vitest';
import { damage } from '../../lib/damage/damage.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { repair } from '../../lib/repair/repair.ts';
import { readSlot, writeSlot } from '../../lib/repair/slot.ts';
import { compareContent, contentOf } from './content.ts';
import { contentBefore } from './harness.ts';
import { type DamageImage, damageImage } from './image.ts';
import { tryRepair, type Verdict } from './survive.ts';

/** Every superblock but the first is gone. */
function loseCopies(device: Device, { geometry }: DamageImage): void {
  const nothing = new Uint8Array(geometry.sectorSize);
  for (let ag = 1; ag < geometry.agCount; ag++) device.write(geometry.agBlockToByte(ag, 0), nothing);
}

/** The slot of one inode is written over that of another. */
function copySlot(device: Device, { geometry }: DamageImage, from: number, to: number): void {
  writeSlot(device, geometry, to, readSlot(device, geometry, from));
}

const CASES: readonly (readonly [
  what: string,
  image: string,
  damage: (device: Device, image: DamageImage) => void,
  verdict: Verdict,
])[] = [
  [
    'a root inode beyond what can be counted (without end, all memory)',
    'cadastre',
    (device, image) => {
      damage(device, image.geometry, {
        place: { kind: 'superblock', ag: 0 },
        field: 'rootino',
        verb: 'value',
        value: 1n << 57n,
        crc: 'keep',
      });
      loseCopies(device, image);
    },
    'clean',
  ],
  [
    'an extent so far behind in the file that numbers are not exact',
    'xfs-plain',
    (device, image) => {
      const { geometry, inodes } = image;
      const place = { kind: 'inode', inode: inodes.get('/node/file 20')! } as const;
      damage(device, geometry, { place, field: 'extents[0].fileBlock', verb: 'value', value: (1n << 54n) - 8n });
      damage(device, geometry, { place, field: 'extents[0].blockCount', verb: 'value', value: 4n });
    },
    'clean',
  ],
  [
    'the root is an empty directory that waits to be freed',
    'xfs-plain',
    (device, image) => {
      const { geometry, inodes } = image;
      copySlot(device, image, inodes.get('/short')!, geometry.rootInode);
      const place = { kind: 'inode', inode: geometry.rootInode } as const;
      for (const field of ['size', 'nlink', 'dir.parent']) damage(device, geometry, { place, field, verb: 'zero' });
    },
    'clean',
  ],
];

it.each(CASES)('%s', (_what, name, broken, verdict) => {
  const end = tryRepair(damageImage(name), broken);
  expect(end, end.why).toMatchObject({ verdict });
});

it('inodes that were written into the slots of others go home', () => {
  const image = damageImage('xfs-plain');
  const { inodes, geometry } = image;
  const [one, two] = [inodes.get('/plain-3')!, inodes.get('/short')!];
  const device = new OverlayDevice(image.device);
  copySlot(device, image, one, two);
  writeSlot(device, geometry, one, readSlot(image.device, geometry, two));
  const { clean, decisions } = repair(device, {});
  expect(clean).toBe(true);
  expect(decisions.map(({ action }) => action)).toEqual(['restore-inode', 'restore-inode']);
  const before = contentBefore(image);
  expect(compareContent(before, contentOf(device))).toEqual(compareContent(before, before));
});

it('the number of a cleared inode may be another one’s: that is not its path', () => {
  const image = damageImage('xfs-plain');
  const { inodes, geometry } = image;
  const device = new OverlayDevice(image.device);
  // The root is lost, so lost+found takes the first free number.
  copySlot(device, image, inodes.get('/plain-3')!, inodes.get('/plain-2')!);
  copySlot(device, image, inodes.get('/short')!, geometry.rootInode);
  const { decisions } = repair(device, {});
  const cleared = decisions.filter(({ action }) => action === 'clear-inode').flatMap(({ claimants }) => claimants);
  expect(cleared.length).toBeGreaterThan(0);
  expect(cleared.filter(({ path }) => path !== undefined)).toEqual([]);
});

it('a symlink whose only record is misplaced, without a register', () => {
  const image = damageImage('xfs-1k');
  const device = new OverlayDevice(image.device);
  const place = { kind: 'inode', inode: image.inodes.get('/long-symlink')! } as const;
  damage(device, image.geometry, { place, field: 'extents[0].fileBlock', verb: 'ones' });
  for (let ag = 0; ag < image.geometry.agCount; ag++) {
    damage(device, image.geometry, { place: { kind: 'agf', ag }, field: 'rmapRoot', verb: 'ones' });
  }
  const { clean } = repair(device, {});
  expect(clean).toBe(true);
  const before = contentBefore(image);
  expect(compareContent(before, contentOf(device))).toEqual(compareContent(before, before));
});
