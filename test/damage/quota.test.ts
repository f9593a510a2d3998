/**
 * Quota inodes, which no directory names: the kernel makes an image with all three, and their blocks, forks and cores collide
 * with those of files or are gone. Nobody's bytes are lost, and the kernel switches quota on afterwards.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Superblock } from '../../formats/superblock.ts';
import { check } from '../../lib/check/check.ts';
import { damage } from '../../lib/damage/damage.ts';
import { mapFork, type PlacedExtent } from '../../lib/damage/fork-map.ts';
import { Stage } from '../../lib/damage/scenes/stage.ts';
import type { Device } from '../../lib/device/device.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { repair } from '../../lib/repair/repair.ts';
import { openSuperblock } from '../../lib/volume/open.ts';
import { copyToFile } from '../support/copy-device.ts';
import { mkfsXfs, requireOracle, umlRun, xfsRepairCheck } from '../support/oracle.ts';
import { compareContent, contentOf } from './content.ts';

const QUOTA = 'uquota,gquota,pquota';
const MIB = 1 << 20;

/** Quota inodes by the superblock. */
function quotaInodes(device: Device): { user: number; group: number; project: number } {
  const { sector } = openSuperblock(device);
  const sb = Superblock.at(new DataView(sector.buffer, sector.byteOffset));
  return { user: sb.uquotino, group: sb.gquotino, project: sb.pquotino };
}

function extent(stage: Stage, inode: number, index = 0): PlacedExtent {
  return mapFork(stage.device, stage.geometry, inode, 'data').extents[index]!;
}

type Inodes = ReturnType<typeof quotaInodes>;
const SCENES: Readonly<Record<string, (stage: Stage, inodes: Inodes) => void>> = {
  'a file lies on the user quota': (stage, { user }) =>
    stage.aim(stage.file('/file 3').map.extents[0]!, extent(stage, user).startBlock),
  'the group quota lies on a file': (stage, { group }) =>
    stage.aim(extent(stage, group), stage.file('/file 5').map.extents[0]!.startBlock),
  'two quotas on the same blocks': (stage, { user, project }) =>
    stage.aim(extent(stage, project), extent(stage, user).startBlock),
  'a quota inode that is free': (stage, { group }) => stage.set({ kind: 'inode', inode: group }, 'mode', 0),
  'a quota inode that is a directory': (stage, { user }) => stage.set({ kind: 'inode', inode: user }, 'mode', 0o040755),
};

const FILES = 20;
const MAKE = `
mkdir /mnt/q && mount -t xfs -o ${QUOTA} $DEVICE0 /mnt/q || exit 1
i=0
while [ $i -lt ${FILES} ]; do
  head -c $((i * 3000 + 100)) /dev/urandom > "/mnt/q/file $i" && chown $((1000 + i)):$((2000 + i)) "/mnt/q/file $i" || exit 2
  i=$((i + 1))
done
umount /mnt/q`;
/** What the kernel counts for the users of each image. */
const COUNT = `
mkdir /mnt/q
for device in /mnt/dev/ubd?; do
  mount -t xfs -o ${QUOTA} $device /mnt/q || exit 1
  echo "image $device"
  xfs_quota -x -c 'report -u -n' /mnt/q || exit 2
  umount /mnt/q || exit 3
done`;

/** User-mode Linux: not every kernel that runs this has quota. */
describe.runIf(requireOracle('xfsprogs', 'uml'))('quota inodes', () => {
  let directory = '';
  let base = '';
  const repaired: string[] = [];
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-`));
    base = join(directory, 'base.img');
    mkfsXfs(base, 64 * MIB, ['-m', 'rmapbt=1,reflink=1']);
    const { status, output } = umlRun([base], MAKE, { noMount: true });
    expect(output).not.toMatch(/error|corrupt/i);
    expect(status).toBe(0);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each(Object.entries(SCENES))('%s', (what, play) => {
    const device = new FileDevice(base, 'r');
    try {
      const before = contentOf(device);
      const inodes = quotaInodes(device);
      expect(Object.values(inodes).every((inode) => inode > 0 && inode < 2 ** 32)).toBe(true);
      const plan = new OverlayDevice(device);
      const { geometry } = openSuperblock(device);
      play(new Stage(plan, geometry, 'quota', {}), inodes);
      expect(check(plan).clean).toBe(false);
      const result = repair(plan);
      expect(result.remaining).toEqual([]);
      expect(repair(plan).changed).toBe(false);
      expect(compareContent(before, contentOf(plan))).toEqual(compareContent(before, before));
      const path = join(directory, `${what}.img`);
      copyToFile(plan, path);
      expect(xfsRepairCheck(path).output).toBe('');
      repaired.push(path);
    } finally {
      device.close();
    }
  });

  it('and the kernel counts again', () => {
    const { status, stdout } = umlRun(repaired, COUNT, { noMount: true });
    expect(status).toBe(0);
    const reports = stdout.split('image ').slice(1);
    expect(reports.length).toBe(repaired.length);
    for (const report of reports) {
      for (let i = 0; i < FILES; i++) {
        const blocks = Math.ceil((i * 3000 + 100) / 4096) * 4;
        expect(report).toMatch(new RegExp(`#${1000 + i} +${blocks} `));
      }
    }
    for (const path of repaired) expect(xfsRepairCheck(path).output).toBe('');
  });

  it('names that are no quota inodes are taken away', () => {
    const device = new FileDevice(base, 'r');
    const plan = new OverlayDevice(device);
    const { geometry } = openSuperblock(device);
    const place = { kind: 'superblock', ag: 0 } as const;
    damage(plan, geometry, { place, field: 'uquotino', verb: 'value', value: BigInt(geometry.rootInode), crc: 'fix' });
    const before = contentOf(device);
    expect(check(plan).clean).toBe(false);
    expect(repair(plan)).toMatchObject({ clean: true, losses: [] });
    expect(repair(plan).changed).toBe(false);
    expect(compareContent(before, contentOf(plan))).toEqual(compareContent(before, before));
    device.close();
  });
});
