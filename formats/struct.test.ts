import { describe, expect, it } from 'vitest';
import {
  bytes,
  getU64,
  NULL32,
  NULL64,
  pad,
  setU64,
  struct,
  u8,
  u16,
  u16le,
  u32,
  u32le,
  u32s,
  u64,
  u64hl,
  u64hlle,
  u64le,
} from './struct.ts';

const Every = struct('Every', 72, {
  a: [0, u8, ''],
  b: [1, pad(1), ''],
  c: [2, u16, ''],
  d: [4, u32, ''],
  e: [8, u64, ''],
  f: [16, u64hl, ''],
  g: [24, u16le, ''],
  h: [26, bytes(2), ''],
  i: [28, u32le, ''],
  j: [32, u64le, ''],
  k: [40, u64hlle, ''],
  l: [48, u32s(6), ''],
});

describe('struct', () => {
  it('refuses gaps, overlaps and a wrong size', () => {
    expect(() => struct('Gap', 8, { a: [0, u16, ''], b: [4, u32, ''] })).toThrow(/Gap\.b/);
    expect(() => struct('Overlap', 6, { a: [0, u32, ''], b: [2, u32, ''] })).toThrow(/Overlap\.b/);
    expect(() => struct('Size', 8, { a: [0, u32, ''] })).toThrow(/size is 8/);
  });

  it('writes exactly these bytes at an offset, and reads them back', () => {
    const data = new Uint8Array(76);
    const view = new DataView(data.buffer);
    const every = Every.view().at(view, 4);
    every.a = 0x01;
    every.c = 0x0203;
    every.d = 0x84050607;
    every.e = 0x0008090a0b0c0d;
    every.fHi = 0xf1000000;
    every.fLo = 0x0000000e;
    every.g = 0x1011;
    every.h = Uint8Array.of(0x12, 0x13);
    every.i = 0x94151617;
    every.j = 0x0018191a1b1c1d;
    every.kHi = 0xa0000001;
    every.kLo = 0xb0000002;
    view.setUint32(4 + Every.offsets.l + 20, 0xdeadbeef);
    expect(Buffer.from(data.subarray(4, 52)).toString('hex')).toBe(
      '01000203' +
        '84050607' +
        '0008090a0b0c0d'.padStart(16, '0') +
        'f10000000000000e' +
        '1110' +
        '1213' +
        '17161594' +
        '1d1c1b1a19180000' +
        '020000b0010000a0',
    );
    expect(Every.toObject(view, 4)).toEqual({
      a: 1,
      c: 0x0203,
      d: 0x84050607,
      e: 0x08090a0b0c0d,
      f: 0xf10000000000000en,
      g: 0x1011,
      h: '1213',
      i: 0x94151617,
      j: 0x18191a1b1c1d,
      k: 0xa0000001b0000002n,
      l: [0, 0, 0, 0, 0, 0xdeadbeef],
    });
    expect([every.d, every.e, every.i, every.j, every.fHi, every.kLo]).toEqual([
      0x84050607, 0x08090a0b0c0d, 0x94151617, 0x18191a1b1c1d, 0xf1000000, 0xb0000002,
    ]);
  });

  it('reads and writes null', () => {
    const view = new DataView(new ArrayBuffer(16));
    setU64(view, 0, NULL64);
    expect([view.getUint32(0), view.getUint32(4)]).toEqual([NULL32, NULL32]);
    expect(getU64(view, 0)).toBe(NULL64);
    // One below rounds up to it as a Number; it must not read as null.
    for (const low of [0, 1, 0xfffff000, 0xfffffffe]) {
      view.setUint32(4, low);
      expect(getU64(view, 0)).toBeLessThan(NULL64);
      expect(getU64(view, 0)).toBeGreaterThan(2 ** 63);
    }
    setU64(view, 8, Number.MAX_SAFE_INTEGER);
    expect(view.getBigUint64(8)).toBe(BigInt(Number.MAX_SAFE_INTEGER));
    expect(getU64(view, 8)).toBe(Number.MAX_SAFE_INTEGER);
  });
});
