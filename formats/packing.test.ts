/** Extent words, times, checksums and device numbers: fixed bytes, and BigInt as the naive oracle. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c, crcWithHole, sealCrc, storedCrc } from './checksum.ts';
import {
  extentBlockCount,
  extentFileBlock,
  extentStartBlock,
  extentUnwritten,
  readExtent,
  writeExtent,
} from './extent.ts';
import { encodeRdev, rdevMajor, rdevMinor } from './inode.ts';
import { BIGTIME_MAX_SECONDS, readTime, writeTime } from './time.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('crc32c', () => {
  it('has the check value, also in pieces', () => {
    expect(crc32c(ascii('123456789'))).toBe(0xe3069283);
    expect(crc32c(ascii('6789'), crc32c(ascii('12345')))).toBe(0xe3069283);
  });

  it('takes its own four bytes as zero and is stored little-endian', () => {
    const data = ascii('abcdXXXXefgh');
    const zeroed = ascii('abcd\0\0\0\0efgh');
    expect(crcWithHole(data, 4)).toBe(crc32c(zeroed));
    sealCrc(data, 4);
    expect(storedCrc(data, 4)).toBe(crc32c(zeroed));
    expect(new DataView(data.buffer).getUint32(4, true)).toBe(crc32c(zeroed));
  });
});

describe('extent word', () => {
  const view = new DataView(new ArrayBuffer(32));

  it('is these bytes', () => {
    // file block 1, start 0x123456789ABCD (52 bits), 0x1FFFFF blocks, unwritten
    writeExtent(view, 8, 1, 0x123456789abcd, 0x1fffff, true);
    const l0 = (1n << 63n) | (1n << 9n) | (0x123456789abcdn >> 43n);
    expect(view.getBigUint64(8)).toBe(l0);
    expect(view.getBigUint64(16)).toBe(((0x123456789abcdn << 21n) & 0xffffffffffffffffn) | 0x1fffffn);
  });

  it('packs like 128-bit arithmetic', () => {
    fc.assert(
      fc.property(
        fc.maxSafeNat(),
        fc.bigInt({ min: 0n, max: (1n << 52n) - 1n }),
        fc.integer({ min: 1, max: 0x1fffff }),
        fc.boolean(),
        (fileBlock, start, blockCount, unwritten) => {
          const startBlock = Number(start);
          writeExtent(view, 4, fileBlock, startBlock, blockCount, unwritten);
          const word = (BigInt(unwritten) << 127n) | (BigInt(fileBlock) << 73n) | (start << 21n) | BigInt(blockCount);
          expect((view.getBigUint64(4) << 64n) | view.getBigUint64(12)).toBe(word);
          expect(readExtent(view, 4)).toEqual({ fileBlock, startBlock, blockCount, unwritten });
          expect([extentFileBlock(view, 4), extentStartBlock(view, 4)]).toEqual([fileBlock, startBlock]);
          expect([extentBlockCount(view, 4), extentUnwritten(view, 4)]).toEqual([blockCount, unwritten]);
        },
      ),
    );
  });
});

describe('times', () => {
  const view = new DataView(new ArrayBuffer(16));
  const word = (): bigint => view.getBigUint64(4);

  it.each([
    ['1970', { seconds: 0, nanoseconds: 0 }, 0x1dcd650000000000n],
    ['the first instant, 1901', { seconds: -(2 ** 31), nanoseconds: 0 }, 0n],
    ['the last second, 2486', { seconds: BIGTIME_MAX_SECONDS, nanoseconds: 0 }, 18446744072n * 10n ** 9n],
    ['before 1970', { seconds: -1, nanoseconds: 999999999 }, 2n ** 31n * 10n ** 9n - 1n],
  ])('bigtime: %s', (_name, time, expected) => {
    writeTime(view, 4, time, true);
    expect(word()).toBe(expected);
    expect(readTime(view, 4, true)).toEqual(time);
  });

  it('bigtime is (seconds + 2^31) * 10^9 + nanoseconds', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -(2 ** 31), max: BIGTIME_MAX_SECONDS }),
        fc.integer({ min: 0, max: 999_999_999 }),
        (seconds, nanoseconds) => {
          writeTime(view, 4, { seconds, nanoseconds }, true);
          expect(word()).toBe((BigInt(seconds) + 2n ** 31n) * 10n ** 9n + BigInt(nanoseconds));
          expect(readTime(view, 4, true)).toEqual({ seconds, nanoseconds });
        },
      ),
    );
  });

  it('decodes any 64 bits', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (bits) => {
        view.setBigUint64(4, bits);
        const time = readTime(view, 4, true);
        expect(BigInt(time.seconds) + 2n ** 31n).toBe(bits / 10n ** 9n);
        expect(BigInt(time.nanoseconds)).toBe(bits % 10n ** 9n);
      }),
    );
  });

  it('legacy times are signed seconds and nanoseconds', () => {
    for (const seconds of [0, -1, -(2 ** 31), 2 ** 31 - 1]) {
      writeTime(view, 4, { seconds, nanoseconds: 123456789 }, false);
      expect([view.getInt32(4), view.getUint32(8)]).toEqual([seconds, 123456789]);
      expect(readTime(view, 4, false)).toEqual({ seconds, nanoseconds: 123456789 });
    }
  });

  it.each([
    ['legacy, late', false, 2 ** 40, 2 ** 31 - 1],
    ['legacy, early', false, -(2 ** 40), -(2 ** 31)],
    ['bigtime, late', true, 2 ** 40, BIGTIME_MAX_SECONDS],
    ['bigtime, early', true, -(2 ** 40), -(2 ** 31)],
  ])('clamps to the nearest whole second: %s', (_name, bigtime, given, stored) => {
    writeTime(view, 4, { seconds: given, nanoseconds: 5 }, bigtime);
    expect(readTime(view, 4, bigtime)).toEqual({ seconds: stored, nanoseconds: 0 });
  });
});

it('device numbers are 14 bits major and 18 bits minor', () => {
  expect(encodeRdev(5, 300)).toBe(0x0014012c);
  expect(encodeRdev(16383, 262143)).toBe(0xffffffff);
  expect([rdevMajor(0xffffffff), rdevMinor(0xffffffff)]).toEqual([16383, 262143]);
});
