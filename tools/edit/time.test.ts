import { describe, expect, it } from 'vitest';
import { parseOwner, parseWholeOwner } from './owner.ts';
import { parseStamp, parseTime } from './time.ts';

describe('a time', () => {
  it.each([
    ['2024-01-31T12:00:00.123456789Z', 1706702400, 123456789],
    ['2024-01-31 12:00:00,5', 1706702400, 500_000_000],
    ['2024-01-31T12:00:00+02:00', 1706695200, 0],
    ['2024-01-31T12:00:00 -0130', 1706707800, 0],
    ['2024-01-31', 1706659200, 0],
    ['2024-02-29T23:59', 1709251140, 0],
    ['1969-12-31T23:59:59.25Z', -1, 250_000_000],
    ['@1700000000.5', 1700000000, 500_000_000],
    ['@-1.25', -2, 750_000_000],
    ['@-3', -3, 0],
  ])('%s', (text, seconds, nanoseconds) => {
    expect(parseTime(text)).toEqual({ seconds, nanoseconds });
  });

  it('may be a stamp', () => {
    expect(parseStamp('202401311200.30')).toEqual({ seconds: 1706702430, nanoseconds: 0 });
    expect(parseStamp('7001010000')).toEqual({ seconds: 0, nanoseconds: 0 });
    expect(parseStamp('2401311200')).toEqual({ seconds: 1706702400, nanoseconds: 0 });
    expect(parseStamp('01311200').seconds).toBe(Date.UTC(new Date().getUTCFullYear(), 0, 31, 12) / 1000);
  });

  it('is refused when it is none', () => {
    for (const text of ['', 'yesterday', '2024-13-01', '2024-02-30', '2024-01-01T25:00', '@', '2024-1-1']) {
      expect(() => parseTime(text), text).toThrow(expect.objectContaining({ code: 'BAD_TIME' }));
    }
    for (const text of ['', '1', '13311200', '202402301200']) {
      expect(() => parseStamp(text), text).toThrow(expect.objectContaining({ code: 'BAD_TIME' }));
    }
  });
});

it('owners are numbers', () => {
  expect(parseOwner('5')).toEqual({ uid: 5, gid: undefined });
  expect(parseOwner('5:6')).toEqual({ uid: 5, gid: 6 });
  expect(parseOwner(':6')).toEqual({ uid: undefined, gid: 6 });
  expect(parseWholeOwner('0:4294967294')).toEqual({ uid: 0, gid: 4294967294 });
  for (const text of ['', ':', 'root', '1:2:3', '4294967295']) {
    expect(() => parseOwner(text), text).toThrow(expect.objectContaining({ family: 'usage' }));
  }
  expect(() => parseWholeOwner('5')).toThrow(expect.objectContaining({ code: 'BAD_OWNER' }));
});
