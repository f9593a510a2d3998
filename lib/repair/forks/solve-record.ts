/** A packed extent record solved for from a wrong CRC: one of its parts, all else being as it stands (see bit-rot.ts). */
import { solveField } from '../bit-rot.ts';

/** The part, its last 32 (or fewer) bits, and the words of the record with the bits above those cleared. */
const PARTS: readonly { name: string; first: number; bits: number; clear: readonly [word: number, mask: number][] }[] =
  [
    {
      name: 'file block',
      first: 23,
      bits: 32,
      clear: [[0, 0x800001ff]],
    },
    {
      name: 'start',
      first: 75,
      bits: 32,
      clear: [
        [4, 0xfffffe00],
        [8, 0x001fffff],
      ],
    },
    { name: 'length', first: 107, bits: 21, clear: [] },
  ];

/**
 * Values of one part each with which the CRC is right and the record fits; the bytes stay as they are.
 * @param base byte of the record. @param fits judges the bytes with the value in place.
 * @returns the whole structure for each answer, and which part it was.
 */
export function solveRecord(
  bytes: Uint8Array,
  crcOffset: number,
  base: number,
  fits: () => boolean,
): { name: string; bytes: Uint8Array }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const original = bytes.slice(base, base + 16);
  const answers: { name: string; bytes: Uint8Array }[] = [];
  for (const { name, first, bits, clear } of PARTS) {
    for (const [word, mask] of clear) view.setUint32(base + word, (view.getUint32(base + word) & mask) >>> 0);
    if (solveBits(bytes, crcOffset, 8 * base + first, bits) && fits()) answers.push({ name, bytes: bytes.slice() });
    bytes.set(original, base);
  }
  return answers;
}

/** Set `count` bits from `first` on to what the CRC asks for; false when nothing does. */
export function solveBits(bytes: Uint8Array, crcOffset: number, first: number, count: number): boolean {
  const bits = Array.from({ length: count }, (_, i) => first + i);
  const value = solveField(bytes, crcOffset, bits);
  if (value === undefined) return false;
  bits.forEach((bit, i) => {
    const mask = 0x80 >> (bit & 7);
    if (((value >>> (count - 1 - i)) & 1) !== 0) bytes[bit >> 3]! |= mask;
    else bytes[bit >> 3]! &= ~mask;
  });
  return true;
}
