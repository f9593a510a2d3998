/** Every single bit of a block is found by its CRC; two flipped bits never pass for one. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sealCrc } from '../../formats/checksum.ts';
import { isCrcDamaged, mendFlippedBit } from './bit-flip.ts';

const CRC = 12;
const block = Uint8Array.from({ length: 1024 }, (_, i) => (i * 37 + (i >> 3)) & 0xff);
sealCrc(block, CRC);

it('finds any flipped bit but those of the CRC itself', () => {
  fc.assert(
    fc.property(fc.nat(block.length * 8 - 1), (bit) => {
      const at = bit >> 3;
      fc.pre(at < CRC || at >= CRC + 4);
      const damaged = block.slice();
      damaged[at]! ^= 1 << (bit & 7);
      expect(mendFlippedBit(damaged, CRC)).toBe(true);
      expect(damaged).toEqual(block);
    }),
  );
});

it('leaves what is whole, and what has two flipped bits', () => {
  expect(mendFlippedBit(block.slice(), CRC)).toBe(false);
  fc.assert(
    fc.property(fc.integer({ min: 16, max: 1023 }), fc.integer({ min: 16, max: 1023 }), (a, b) => {
      fc.pre(a !== b);
      const damaged = block.slice();
      damaged[a]! ^= 4;
      damaged[b]! ^= 32;
      const before = damaged.slice();
      expect(mendFlippedBit(damaged, CRC)).toBe(false);
      expect(damaged).toEqual(before);
    }),
  );
});

it('tells a damaged CRC from damaged bytes', () => {
  for (const change of [(crc: number) => crc ^ 0x800, () => 0, () => 0xffffffff, (crc: number) => crc + 1]) {
    const damaged = block.slice();
    const view = new DataView(damaged.buffer);
    view.setUint32(CRC, change(view.getUint32(CRC, true)), true);
    expect(isCrcDamaged(damaged, CRC)).toBe(true);
  }
  const other = block.slice();
  other[500]! ^= 0xff;
  expect(isCrcDamaged(other, CRC)).toBe(false);
  expect(isCrcDamaged(block, CRC)).toBe(false);
});
