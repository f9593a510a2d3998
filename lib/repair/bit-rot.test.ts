/** Small changes found through a wrong CRC, and those that are too large to be found. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sealCrc } from '../../formats/checksum.ts';
import { solveField, turnBack } from './bit-rot.ts';

const CRC = 100;
const sealed = fc.uint8Array({ minLength: 512, maxLength: 512 }).map((bytes) => {
  sealCrc(bytes, CRC);
  return bytes;
});
const isContent = (byte: number): boolean => byte < CRC || byte >= CRC + 4;
const yes = (): boolean => true;

describe('a wrong CRC', () => {
  it('tells which bit turned', () => {
    fc.assert(
      fc.property(sealed, fc.nat(512 * 8 - 1), (bytes, bit) => {
        const rotten = bytes.slice();
        rotten[bit >> 3]! ^= 0x80 >> (bit & 7);
        expect(turnBack(rotten, CRC, yes)).toBeDefined();
        if (isContent(bit >> 3)) expect(rotten).toEqual(bytes);
      }),
      { numRuns: 60 },
    );
  });

  it('tells which number is off by one', () => {
    fc.assert(
      fc.property(sealed, fc.integer({ min: 0, max: 124 }), fc.constantFrom(1, -1), (bytes, word, by) => {
        fc.pre(4 * word + 4 <= CRC || 4 * word >= CRC + 4);
        const wrong = bytes.slice();
        const view = new DataView(wrong.buffer);
        view.setUint32(4 * word, view.getUint32(4 * word) + by);
        expect(turnBack(wrong, CRC, yes)).toBeDefined();
        expect(wrong).toEqual(bytes);
      }),
      { numRuns: 60 },
    );
  });

  it('leaves alone what it cannot explain', () => {
    const bytes = new Uint8Array(512).fill(7);
    sealCrc(bytes, CRC);
    const wrong = bytes.slice();
    wrong.fill(0x55, 200, 240);
    const copy = wrong.slice();
    expect(turnBack(wrong, CRC, yes)).toBeUndefined();
    expect(wrong).toEqual(copy);
  });

  it('changes nothing that does not verify then', () => {
    const bytes = new Uint8Array(512);
    sealCrc(bytes, CRC);
    bytes[9] = 1;
    expect(turnBack(bytes, CRC, () => false)).toBeUndefined();
    expect(bytes[9]).toBe(1);
  });

  it('gives the value of a field of 32 bits, and of no shorter one by chance', () => {
    fc.assert(
      fc.property(sealed, fc.integer({ min: 30, max: 120 }), fc.nat(), (bytes, word, other) => {
        const wrong = bytes.slice();
        const bits = Array.from({ length: 32 }, (_, i) => 32 * word + i);
        const value = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4 * word);
        new DataView(wrong.buffer).setUint32(4 * word, other);
        expect(solveField(wrong, CRC, bits)).toBe(value);
        if (other !== value) expect(solveField(wrong, CRC, bits.slice(0, 4))).toBeUndefined();
      }),
      { numRuns: 20 },
    );
  });
});
