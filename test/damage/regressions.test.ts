/**
 * Damage that a run against xfs_repair showed us to mend worse than could be, case by case: after the repair the image is clean,
 * a second repair has nothing to do, and everything is where it was: bytes, names, attributes.
 */
import { describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import type { Verb } from '../../lib/damage/bits.ts';
import { damage } from '../../lib/damage/damage.ts';
import type { Place } from '../../lib/damage/place.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { repair } from '../../lib/repair/repair.ts';
import { compareContent, type Kept } from './content.ts';
import { contentBefore, repairAndCompare } from './harness.ts';
import { type DamageImage, damageImage } from './image.ts';

const image = damageImage('xfs');
const inode = (path: string): Place => ({ kind: 'inode', inode: image.inodes.get(path)! });
const superblock = (ag: number): Place => ({ kind: 'superblock', ag });
const leaf: Place = { kind: 'attr', inode: image.inodes.get('/node-attributes')!, fileBlock: 3 };

const CASES: readonly (readonly [what: string, place: Place, field: string, verb: Verb])[] = [
  ['the kernel says DAX of files and directories only', inode('/device'), 'flags2.dax', 'add'],
  ['a file in a realtime section that is not there', inode('/plain-10'), 'flags', 'last'],
  ['flags of the realtime bitmap, and of directories', inode('/symlink'), 'flags', 'ones'],
  [
    'a hint that a free inode cannot have been left with',
    { kind: 'inode', inode: image.geometry.rootInode + 63 },
    'extsize',
    'first',
  ],
  [
    'a symlink whose only record is at a place in the file that cannot be',
    inode('/long-symlink'),
    'extents[0].fileBlock',
    'ones',
  ],
  [
    'an attribute fork shifted into the blocks of another file',
    inode('/leaf-attributes'),
    'attr.extents[0].startBlock',
    'add',
  ],
  [
    'an attribute fork shifted into blocks of its own file',
    inode('/leaf-attributes'),
    'attr.extents[0].startBlock',
    'sub',
  ],
  ['entries of attributes that are not counted', leaf, 'count', 'zero'],
  ['entries of attributes that are none', leaf, 'count', 'middle'],
  ['features of a log that is clean', superblock(0), 'featuresLogIncompat', 'random'],
  ['features of a log in a copy', superblock(1), 'featuresLogIncompat', 'random'],
  ['the primary and its copy say two things of a realtime section', superblock(1), 'rextsize', 'add'],
  ['a copy from mkfs that knows of quota', superblock(1), 'qflags', 'add'],
];

/** Repaired, clean, idle the second time, and nobody's bytes gone. */
function expectMended(of: DamageImage, device: Device): Kept | undefined {
  const failures: string[] = [];
  const kept = repairAndCompare(of, device, failures, undefined);
  expect(failures).toEqual([]);
  return kept;
}

/** All that, and no name or attribute gone either. */
function expectAllKept(of: DamageImage, device: Device): void {
  const before = contentBefore(of);
  expect(expectMended(of, device)).toEqual(compareContent(before, before));
}

it.each(CASES)('%s', (_what, place, field, verb) => {
  const device = new OverlayDevice(image.device);
  const change = damage(device, image.geometry, { place, field, verb, crc: 'fix' });
  expect(change.after).not.toBe(change.before);
  expect(check(device).clean).toBe(false);
  const { losses } = repair(new OverlayDevice(device), {});
  expect(losses).toEqual([]);
  expectAllKept(image, device);
});

it('a superblock whose CRC is wrong is not believed in its other fields either', () => {
  const device = new OverlayDevice(image.device);
  damage(device, image.geometry, { place: superblock(0), field: 'logblocks', verb: 'zero', crc: 'keep' });
  expect(check(device).problems.map(({ where }) => where.field)).toEqual(['crc', 'logblocks']);
  expectMended(image, device);
});

describe('a superblock without a copy', () => {
  const alone = damageImage('xfs-1ag');
  const change = (device: Device, field: string, verb: Verb, value?: bigint): void => {
    damage(device, alone.geometry, { place: superblock(0), field, verb, value, crc: 'fix' });
  };

  it.each([
    ['a log that is one block too long', 'logblocks', 'add'],
    ['a feature that its other features need', 'featuresRoCompat', 'sub'],
    ['a realtime section that its bitmap knows nothing of', 'rblocks', 'add'],
  ] as const)('%s', (_what, field, verb) => {
    const device = new OverlayDevice(alone.device);
    change(device, field, verb);
    expectMended(alone, device);
  });

  it.each([
    ['featuresRoCompat', 0x10fn, 'UNKNOWN_RO_COMPAT'],
    ['featuresIncompat', 0x102bn, 'UNKNOWN_INCOMPAT'],
  ] as const)('%s of a newer kernel are no damage', (field, value, code) => {
    const device = new OverlayDevice(alone.device);
    change(device, field, 'value', value);
    const { changedBytes } = device;
    expect(() => repair(device, {})).toThrow(expect.objectContaining({ family: 'unsupported', code }));
    expect(device.changedBytes).toBe(changedBytes);
  });
});

it.each(['xfs', 'xfs-1ag'])('%s: an image with a realtime section is refused, not made one without', (name) => {
  const { device: base, geometry } = damageImage(name);
  const device = new OverlayDevice(base);
  for (let ag = 0; ag < geometry.agCount; ag++) {
    damage(device, geometry, { place: superblock(ag), field: 'rblocks', verb: 'value', value: 4096n, crc: 'fix' });
  }
  const bitmap: Place = { kind: 'inode', inode: geometry.rootInode + 1 };
  damage(device, geometry, { place: bitmap, field: 'size', verb: 'value', value: 4096n, crc: 'fix' });
  expect(() => repair(device, {})).toThrow(expect.objectContaining({ family: 'unsupported', code: 'REALTIME' }));
  // A wrong checksum does not make it another image.
  for (let ag = 0; ag < geometry.agCount; ag++) {
    damage(device, geometry, { place: superblock(ag), field: 'crc', verb: 'add', crc: 'keep' });
  }
  expect(() => repair(device, {})).toThrow(expect.objectContaining({ code: 'REALTIME' }));
});

it('a copy that knows of no root inode names no other realtime inode than the right one', () => {
  const four = damageImage('xfs-4ag');
  const device = new OverlayDevice(four.device);
  const spec = { place: superblock(2), field: 'rbmino', verb: 'last', crc: 'fix' } as const;
  expect(damage(device, four.geometry, spec).after).not.toBe(BigInt(four.geometry.rootInode + 1));
  expect(check(device).problems.map(({ where }) => where.field)).toEqual(['rbmino']);
  expectMended(four, device);
});

it.each([
  ['startBlock', 'add'],
  ['startBlock', 'sub'],
  ['blockCount', 'first'],
  ['blockCount', 'add'],
  ['blockCount', 'sub'],
] as const)('a record of checksums for other blocks (%s %s) makes no data unreadable', (field, verb) => {
  const summed = damageImage('cadastre');
  const device = new OverlayDevice(summed.device);
  const place: Place = { kind: 'btree', tree: 'csumbt', ag: 1, children: [] };
  damage(device, summed.geometry, { place, field: `recs[0].${field}`, verb, crc: 'fix' });
  expect(check(device).clean).toBe(false);
  expectMended(summed, device);
  expect(check(device, { data: true }).problems).toEqual([]);
});

it.each([0, 1, 40, 83])(
  'a reverse map record (%i) that reaches into the next file gives nobody its block',
  (record) => {
    const summed = damageImage('cadastre');
    const device = new OverlayDevice(summed.device);
    const place: Place = { kind: 'btree', tree: 'rmapbt', ag: 0, children: [1] };
    damage(device, summed.geometry, { place, field: `recs[${record}].blockCount`, verb: 'add', crc: 'fix' });
    expect(check(device).clean).toBe(false);
    expect(repair(new OverlayDevice(device), {}).decisions).toEqual([]);
    expectMended(summed, device);
  },
);

it('a block of a directory that claims to be newer than the log, found only when its inode is found again', () => {
  const small = damageImage('xfs-1k');
  const device = new OverlayDevice(small.device);
  const tree: Place = { kind: 'btree', tree: 'inobt', ag: 0, children: [] };
  damage(device, small.geometry, { place: tree, field: 'blkno', verb: 'first', crc: 'keep' });
  const block: Place = { kind: 'dir', inode: small.inodes.get('/leaf')!, fileBlock: 0 };
  damage(device, small.geometry, { place: block, field: 'lsn', verb: 'first', crc: 'fix' });
  expectMended(small, device);
});

it('a directory that is left with a part of a block is written anew, whole', () => {
  const small = damageImage('xfs-1k');
  const inode = small.inodes.get('/leaf')!;
  const device = new OverlayDevice(small.device);
  const place: Place = { kind: 'inode', inode };
  damage(device, small.geometry, { place, field: 'extents[0].blockCount', verb: 'middle', crc: 'fix' });
  const kept = expectMended(small, device);
  const before = contentBefore(small);
  expect(kept?.intact).toBe(compareContent(before, before).intact);
});

it('a block of a directory whose first part is a hole is found, and mended', () => {
  const small = damageImage('xfs-1k');
  const device = new OverlayDevice(small.device);
  const place: Place = { kind: 'inode', inode: small.inodes.get('/leaf')! };
  for (const [field, verb] of [
    ['fileBlock', 'add'],
    ['startBlock', 'add'],
    ['blockCount', 'sub'],
  ] as const) {
    damage(device, small.geometry, { place, field: `extents[1].${field}`, verb, crc: 'fix' });
  }
  const found = check(device).problems.filter(({ code }) => code === 'DIRECTORY_BLOCK');
  expect(found.map(({ rule }) => rule)).toContain('HALF_MAPPED');
  expectMended(small, device);
});

it('no primary superblock, and the only copy has another uuid', () => {
  const device = new OverlayDevice(image.device);
  damage(device, image.geometry, { place: superblock(0), field: 'magicnum', verb: 'sub', crc: 'fix' });
  damage(device, image.geometry, { place: superblock(1), field: 'uuid', verb: 'sub', crc: 'fix' });
  expectAllKept(image, device);
});

it.each(['add', 'sub'] as const)(
  'blocks of a directory of several fs blocks go home over their own place (%s)',
  (verb) => {
    const small = damageImage('xfs-1k');
    const device = new OverlayDevice(small.device);
    const place: Place = { kind: 'inode', inode: small.inodes.get('/leaf')! };
    damage(device, small.geometry, { place, field: 'extents[1].startBlock', verb, crc: 'fix' });
    expectAllKept(small, device);
  },
);

it('a hole in half a block of inodes is none: they are all there', () => {
  const alone = damageImage('cadastre-1ag');
  const device = new OverlayDevice(alone.device);
  const tree: Place = { kind: 'btree', tree: 'inobt', ag: 0, children: [] };
  damage(device, alone.geometry, { place: tree, field: 'recs[0].holemask', verb: 'first', crc: 'fix' });
  expect(check(device).problems.map(({ rule }) => rule)).toContain('CHUNK_HALF_BLOCK');
  expectAllKept(alone, device);
});

it('a parent pointer that is none any more is written as the entry is', () => {
  const pointed = damageImage('xfs-parent');
  const device = new OverlayDevice(pointed.device);
  const place: Place = { kind: 'inode', inode: pointed.inodes.get('/few-pieces')! };
  damage(device, pointed.geometry, { place, field: 'attr.entries[0].namelen', verb: 'sub', crc: 'fix' });
  expectAllKept(pointed, device);
});

// The checksum tells the first of these changes; behind the other one it has to be guessed.
it.each([
  ['sub', 'keep'],
  ['sub', 'fix'],
  ['random', 'keep'],
] as const)(
  'a superblock without a copy (%s, crc %s) is not guessed to be another because a directory has many problems',
  (verb, crc) => {
    const alone = damageImage('xfs-1ag');
    const device = new OverlayDevice(alone.device);
    damage(device, alone.geometry, { place: superblock(0), field: 'rbmino', verb, crc, seed: 1 });
    const index: Place = { kind: 'dir', inode: alone.inodes.get('/node')!, fileBlock: 8388608 };
    damage(device, alone.geometry, { place: index, field: 'count', verb: 'sub', crc: 'keep' });
    expectAllKept(alone, device);
  },
);

it('a superblock without a copy keeps the feature of a tree that is damaged', () => {
  const alone = damageImage('xfs-1ag');
  const device = new OverlayDevice(alone.device);
  const header: Place = { kind: 'agi', ag: 0 };
  damage(device, alone.geometry, { place: header, field: 'freeLevel', verb: 'first', crc: 'keep' });
  const file: Place = { kind: 'inode', inode: alone.inodes.get('/leaf-attributes')! };
  damage(device, alone.geometry, { place: file, field: 'anextents', verb: 'zero', crc: 'fix' });
  expectAllKept(alone, device);
});

it('an index that points past a name loses none', () => {
  const device = new OverlayDevice(image.device);
  const index: Place = { kind: 'dir', inode: image.inodes.get('/leaf')!, fileBlock: 8388608 };
  damage(device, image.geometry, { place: index, field: 'entries[100].address', verb: 'middle', crc: 'fix' });
  expect(check(device).clean).toBe(false);
  expect(repair(new OverlayDevice(device), {}).losses).toEqual([]);
  expectAllKept(image, device);
});

it('a realtime section that the checksum says is none', () => {
  const alone = damageImage('cadastre-1ag');
  const device = new OverlayDevice(alone.device);
  damage(device, alone.geometry, { place: superblock(0), field: 'rblocks', verb: 'add', crc: 'keep' });
  const index: Place = { kind: 'dir', inode: alone.inodes.get('/leaf')!, fileBlock: 8388608 };
  damage(device, alone.geometry, { place: index, field: 'entries[100].address', verb: 'middle', crc: 'fix' });
  expectAllKept(alone, device);
});
