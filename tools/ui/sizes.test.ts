/** Sizes in and out. */
import { expect, it } from 'vitest';
import { CadastreError } from '../../lib/errors.ts';
import { count, parseNumber, parseSize, showSeconds, showSize } from './sizes.ts';

it.each([
  ['0', 0],
  ['4096', 4096],
  ['64k', 65536],
  ['64K', 65536],
  ['1.5g', 1610612736],
  ['2MiB', 2097152],
  ['3tb', 3 * 2 ** 40],
  ['7b', 7],
])('reads %s', (text, bytes) => expect(parseSize(text)).toBe(bytes));

it.each(['', 'k', '-1', '1.3', '1e9', '0x10', '12 apples', '9999999p', 'NaN', '1k5'])('refuses the size %j', (text) =>
  expect(() => parseSize(text)).toThrow(CadastreError),
);

it('reads numbers in a range', () => {
  expect(parseNumber('0x10', 'n')).toBe(16);
  expect(parseNumber('7', 'n', 1, 7)).toBe(7);
  for (const text of ['', '-1', '8', '1.5', 'x', '1e1']) expect(() => parseNumber(text, 'n', 0, 7)).toThrow(/n: /);
});

it('writes sizes, counts and times', () => {
  expect([0, 1023, 1024, 1536, 10240, 2 ** 20, 2 ** 60].map(showSize)).toEqual([
    '0 B',
    '1023 B',
    '1 KiB',
    '1.5 KiB',
    '10 KiB',
    '1 MiB',
    '1024 PiB',
  ]);
  expect([count(1, 'file'), count(2, 'file'), count(1234567, 'entry', 'entries')]).toEqual([
    '1 file',
    '2 files',
    '1,234,567 entries',
  ]);
  expect([0.04, 9.96, 59, 61, 7322].map(showSeconds)).toEqual(['0.0 s', '10.0 s', '59 s', '1 min 1 s', '2 h 2 min']);
});
