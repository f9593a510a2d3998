import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c } from './checksum.ts';
import {
  cleanLogRecord,
  isLogRecordCrcGood,
  LOG_RECORD_MAGIC,
  LogRecordHeader,
  logRecordCrc,
  logRecordShape,
  sealLogRecord,
  stampCycles,
  unstampCycles,
} from './log.ts';

const UUID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);

/** A record with this buffer size and body. */
function record(size: number, body: Uint8Array, cycle = 7): Uint8Array {
  const headers = Math.max(1, Math.ceil(size / 32768));
  const data = new Uint8Array(headers * 512 + body.length);
  Object.assign(LogRecordHeader.at(viewOf(data)), {
    magic: LOG_RECORD_MAGIC,
    version: 2,
    cycle,
    len: body.length,
    size,
    fmt: 1,
  });
  data.set(body, headers * 512);
  return data;
}

describe('clean record', () => {
  it('is these bytes without a stripe unit', () => {
    const data = cleanLogRecord(UUID, 1);
    expect(data.length).toBe(1024);
    const hex = (from: number, to: number) => Buffer.from(data.subarray(from, to)).toString('hex');
    expect(hex(0, 48)).toBe(
      'feedbabe00000001' +
        '0000000200000200' +
        '0000000100000000' +
        '0000000100000000' +
        '00000000ffffffff' +
        '00000001b0c0d0d0',
    );
    expect(hex(300, 328)).toBe('00000001' + '0102030405060708090a0b0c0d0e0f10' + '0000800000000000');
    expect(hex(512, 536)).toBe('00000001' + '00000008aa200000' + '6e55000000000000' + '00000000');
    expect(cleanLogRecord(UUID, 0)).toEqual(data);
  });

  it.each([
    [4096, 1, 3584],
    [32768, 1, 32256],
    [65536, 2, 64512],
    [262144, 8, 258048],
  ])('fills a stripe unit of %i bytes', (sunit, headers, len) => {
    const data = cleanLogRecord(UUID, sunit);
    const view = viewOf(data);
    expect(data.length).toBe(sunit);
    expect(LogRecordHeader.at(view).len).toBe(len);
    expect(logRecordShape(view, 10000)).toEqual({ headers, body: len / 512, total: sunit / 512 });
    for (let at = 512; at < sunit; at += 512) expect(view.getUint32(at)).toBe(1);
  });

  it('can stand in a later cycle', () => {
    const data = cleanLogRecord(UUID, 1, { cycle: 9, block: 4, tailCycle: 8, tailBlock: 100 });
    const header = LogRecordHeader.at(viewOf(data));
    expect([header.cycle, header.lsnHi, header.lsnLo, header.tailLsnHi, header.tailLsnLo]).toEqual([9, 9, 4, 8, 100]);
    expect(viewOf(data).getUint32(512)).toBe(9);
  });
});

describe('cycle stamps', () => {
  it('displace first words and give them back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 8 * 64 }),
        fc.nat(600),
        (headers, blocks, wrapsAt) => {
          const body = Uint8Array.from(
            { length: Math.min(blocks, headers * 64) * 512 },
            (_, i) => (i * 31 + (i >> 9)) & 255,
          );
          const data = record(headers * 32768, body);
          stampCycles(viewOf(data), wrapsAt);
          const view = viewOf(data);
          for (let bb = 1; bb < data.length / 512; bb++) expect(view.getUint32(bb * 512)).toBe(bb >= wrapsAt ? 8 : 7);
          unstampCycles(view);
          expect(Buffer.compare(data.subarray(headers * 512), body)).toBe(0);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('record CRC', () => {
  it('covers header, needed extended headers and body as stamped', () => {
    const data = record(
      65536,
      Uint8Array.from({ length: 65 * 512 }, (_, i) => i & 255),
    );
    stampCycles(viewOf(data));
    const plain = Buffer.concat([data.subarray(0, 328), data.subarray(512, 512 + 260), data.subarray(1024)]);
    expect(logRecordCrc(data)).toBe(crc32c(plain));
    sealLogRecord(data);
    expect(isLogRecordCrcGood(data)).toBe(true);
    for (const [at, seen] of [
      [10, true],
      [324, true],
      [400, false],
      [600, true],
      [800, false],
      [1100, true],
    ] as const) {
      const copy = data.slice();
      copy[at]! ^= 1;
      expect(isLogRecordCrcGood(copy)).toBe(!seen);
    }
  });

  it('leaves out extended headers that the length does not need', () => {
    const data = record(262144, new Uint8Array(512).fill(5));
    stampCycles(viewOf(data));
    expect(logRecordCrc(data)).toBe(crc32c(Buffer.concat([data.subarray(0, 328), data.subarray(8 * 512)])));
  });

  it('accepts the shorter header of 32-bit kernels', () => {
    const data = record(32768, new Uint8Array(512).fill(9));
    stampCycles(viewOf(data));
    LogRecordHeader.at(viewOf(data)).crc = logRecordCrc(data, 324);
    expect(logRecordCrc(data, 324)).toBe(crc32c(Buffer.concat([record0(data).subarray(0, 324), data.subarray(512)])));
    expect(isLogRecordCrcGood(data)).toBe(true);
  });
});

/** The record with its CRC as zeroes. */
function record0(data: Uint8Array): Uint8Array {
  return data.slice().fill(0, 32, 36);
}

it('believes no header that would lead beyond the record', () => {
  const shape = (over: object, basicBlocks = 1000) => {
    const view = viewOf(record(32768, new Uint8Array(64 * 512)));
    Object.assign(LogRecordHeader.at(view), over);
    return logRecordShape(view, basicBlocks);
  };
  expect(shape({})).toEqual({ headers: 1, body: 64, total: 65 });
  expect(shape({}, 64)).toBeUndefined();
  for (const over of [
    { magic: 1 },
    { version: 1 },
    { len: 513 },
    { len: 65 * 512 },
    { size: 0 },
    { size: 2 ** 31 },
    { len: 2 ** 31 },
  ]) {
    expect(shape(over), JSON.stringify(over)).toBeUndefined();
  }
});
