import { describe, expect, it } from 'vitest';
import { testGeometry } from '../test/support/geometry.ts';
import {
  blockIndexBytes,
  DIR_DATA,
  DIR_DATA_MAGIC,
  DirBlockTail,
  DirDataEntry,
  DirDataHeader,
  DirDataUnused,
  DirFree,
  DirLeaf,
  DirLeafEntry,
  DirLeafTail,
  dirEntrySize,
  dirFreeSlots,
  isInodeNumber,
  maxLeaf1Entries,
  maxLeafNEntries,
  ShortDirEntry,
  ShortDirHeader4,
  ShortDirHeader8,
  verifyShortDir,
} from './directory.ts';

const geometry = testGeometry();

it('has the layout of the format', () => {
  const sizes = [DirDataHeader, DirDataEntry, DirDataUnused, DirLeafEntry, DirBlockTail, DirLeaf, DirLeafTail, DirFree];
  expect(sizes.map(({ size }) => size)).toEqual([64, 9, 4, 8, 8, 64, 4, 64]);
  expect([ShortDirHeader4, ShortDirHeader8, ShortDirEntry].map(({ size }) => size)).toEqual([6, 10, 3]);
  expect(DirDataHeader.offsets).toMatchObject({
    crc: 4,
    blkno: 8,
    lsn: 16,
    uuid: 24,
    owner: 40,
    best0Offset: 48,
    pad: 60,
  });
  expect(DirLeaf.offsets).toMatchObject({
    forw: 0,
    back: 4,
    magic: 8,
    crc: 12,
    blkno: 16,
    lsn: 24,
    uuid: 32,
    owner: 48,
  });
  expect(DirLeaf.offsets).toMatchObject({ count: 56, stale: 58 });
  expect(DirFree.offsets).toMatchObject({ crc: 4, firstdb: 48, nvalid: 52, nused: 56 });
  expect([1, 4, 5, 12, 13, 255].map(dirEntrySize)).toEqual([16, 16, 24, 24, 32, 272]);
  expect([dirFreeSlots(4096), maxLeafNEntries(4096), maxLeaf1Entries(4096, 2)]).toEqual([2016, 504, 503]);
  expect(blockIndexBytes(0)).toBe(24);
});

it('knows which inode numbers exist', () => {
  // 16 AGs of 2^20 blocks, 8 inodes a block, headers in block 0.
  expect(isInodeNumber(geometry, 7)).toBe(false);
  expect(isInodeNumber(geometry, 8)).toBe(true);
  expect(isInodeNumber(geometry, 2 ** 27 - 1)).toBe(true);
  expect(isInodeNumber(geometry, 2 ** 23)).toBe(false);
  expect(isInodeNumber(geometry, 2 ** 27)).toBe(false);
  expect(isInodeNumber(geometry, 2 ** 64)).toBe(false);
});

describe('data block verifier', () => {
  /** "abc" (inode 130) at 64, unused 80..4096. */
  function sample(): DataView {
    const view = new DataView(new ArrayBuffer(4096));
    view.setUint32(0, DIR_DATA_MAGIC);
    view.setUint32(12, 800);
    for (let i = 0; i < 16; i++) view.setUint8(24 + i, geometry.metaUuid[i]!);
    view.setUint32(44, 131);
    view.setUint32(48, (80 << 16) | 4016);
    view.setUint32(68, 130);
    view.setUint8(72, 3);
    for (let i = 0; i < 3; i++) view.setUint8(73 + i, 0x61 + i);
    view.setUint8(76, 1);
    view.setUint16(78, 64);
    view.setUint16(80, 0xffff);
    view.setUint16(82, 4016);
    view.setUint16(4094, 80);
    return view;
  }
  it('accepts a block made by hand', () => {
    expect(DIR_DATA.verify(sample(), geometry, 800)).toBeUndefined();
  });
  it.each([
    ['BAD_MAGIC', (v: DataView) => v.setUint8(0, 0)],
    ['BAD_BLKNO', (v: DataView) => v.setUint32(12, 801)],
    ['BAD_UUID', (v: DataView) => v.setUint8(39, 0)],
    ['BAD_OWNER', (v: DataView) => v.setUint32(44, 0)],
    ['BAD_BESTFREE', (v: DataView) => v.setUint16(50, 4008)],
    ['BAD_BESTFREE', (v: DataView) => v.setUint32(48, 0)],
    ['BAD_BESTFREE', (v: DataView) => v.setUint32(52, (64 << 16) | 16)],
    ['BAD_NAME_LENGTH', (v: DataView) => v.setUint8(72, 0)],
    ['BAD_TAG', (v: DataView) => v.setUint16(78, 72)],
    ['BAD_TAG', (v: DataView) => v.setUint16(4094, 88)],
    ['BAD_FTYPE', (v: DataView) => v.setUint8(76, 9)],
    ['BAD_INODE', (v: DataView) => v.setUint32(64, 5)],
    ['BAD_INODE', (v: DataView) => v.setUint32(68, 3)],
    ['BAD_UNUSED', (v: DataView) => v.setUint16(82, 4012)],
    ['BAD_UNUSED', (v: DataView) => v.setUint16(82, 4024)],
    ['BAD_UNUSED', (v: DataView) => v.setUint16(82, 0)],
  ])('%s', (code, change) => {
    const view = sample();
    change(view);
    expect(DIR_DATA.verify(view, geometry, 800)?.code).toBe(code);
  });
  it('refuses two unused regions side by side', () => {
    const view = sample();
    view.setUint32(48, (88 << 16) | 4008);
    view.setUint32(52, (80 << 16) | 8);
    view.setUint16(82, 8);
    view.setUint16(86, 80);
    view.setUint16(88, 0xffff);
    view.setUint16(90, 4008);
    view.setUint16(4094, 88);
    expect(DIR_DATA.verify(view, geometry, 800)).toMatchObject({ code: 'BAD_UNUSED', field: 'unused[88]' });
  });
});

describe('short form verifier', () => {
  const good = [2, 0, 0, 0, 0, 128, 2, 0, 96, 97, 98, 1, 0, 0, 0, 132, 1, 0, 112, 99, 2, 0, 0, 0, 133];
  const verify = (edit: (b: Uint8Array) => void, size = good.length) => {
    const b = Uint8Array.from(good).slice(0, size);
    edit(b);
    return verifyShortDir(new DataView(b.buffer), geometry)?.code;
  };
  it('accepts what the format says, also with bytes behind it', () => {
    expect(verify(() => {})).toBeUndefined();
    expect(verifyShortDir(new DataView(Uint8Array.from([...good, 0, 0, 0]).buffer), geometry)).toBeUndefined();
  });
  it.each([
    ['BAD_INODE', (b: Uint8Array) => (b[5] = 1)],
    ['BAD_INODE', (b: Uint8Array) => (b[15] = 1)],
    ['BAD_OFFSET', (b: Uint8Array) => (b[8] = 88)],
    ['BAD_OFFSET', (b: Uint8Array) => (b[18] = 104)],
    ['BAD_OFFSET', (b: Uint8Array) => (b[17] = 0x20)],
    ['BAD_NAME_LENGTH', (b: Uint8Array) => (b[6] = 0)],
    ['BAD_NAME_LENGTH', (b: Uint8Array) => (b[16] = 2)],
    ['BAD_FTYPE', (b: Uint8Array) => (b[11] = 9)],
    ['BAD_COUNT', (b: Uint8Array) => (b[0] = 3)],
  ])('%s', (code, edit) => {
    expect(verify(edit)).toBe(code);
  });
  it('is cut short', () => {
    expect(verify(() => {}, 5)).toBe('BAD_SIZE');
    expect(verify((b) => (b[1] = 1), 8)).toBe('BAD_SIZE');
    expect(verify(() => {}, 20)).toBe('BAD_NAME_LENGTH');
  });
});
