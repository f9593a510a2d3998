/**
 * A wrong CRC says more than that something is wrong. CRC32C is linear: stored and computed CRC differ by a value (the
 * syndrome) that depends only on which bits changed and where. For every place there is exactly one change of 32 bits that
 * gives it, and changes as small as those of rotting bits are so few that the right one stands out.
 *
 *   delta at byte p  =  the syndrome, run backwards through the n - p bytes from there to the end
 *
 * 1. One bit, a count that is off by one, one byte: tried in this order, over the whole structure. A wrong explanation is
 *    found by chance once in 2^32 / (places * kinds): with 4096 bytes less than once in 4,000, and for one bit in 130,000.
 * 2. An explanation counts only when it is the only one of its kind and the structure then verifies.
 */
import { crcWithHole, storedCrc } from '../../formats/checksum.ts';

const TABLE = new Int32Array(256);
/** Which entry of TABLE has this top byte. */
const BY_TOP = new Uint8Array(256);
for (let b = 0; b < 256; b++) {
  let crc = b;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  TABLE[b] = crc;
  BY_TOP[crc >>> 24] = b;
}

/** A change of up to four bytes from `offset` on: xor these. */
interface Change {
  readonly offset: number;
  readonly delta: readonly number[];
}

/**
 * Undo the one small change that explains a wrong CRC, in place.
 * @param isGood judges the bytes as they would be, CRC right again.
 * @returns what was changed, or undefined when nothing small explains it; the bytes are then as they were.
 */
export function turnBack(bytes: Uint8Array, crcOffset: number, isGood: () => boolean): string | undefined {
  const syndrome = crcWithHole(bytes, crcOffset) ^ storedCrc(bytes, crcOffset);
  if (syndrome === 0) return undefined;
  // One bit of the stored CRC itself: everything else is right.
  if (bitCount(syndrome) === 1) return isGood() ? 'one bit of the CRC' : undefined;
  for (const [kind, isKind] of KINDS) {
    const good = changes(bytes.length, syndrome, crcOffset, isKind).filter((change) => {
      apply(bytes, change);
      const is = isGood();
      apply(bytes, change);
      return is;
    });
    if (good.length > 1) return undefined;
    const [only] = good;
    if (!only) continue;
    apply(bytes, only);
    return `${kind} at byte ${only.offset + only.delta.findIndex((byte) => byte !== 0)}`;
  }
  return undefined;
}

/**
 * The value that a field of up to 32 bits must have for the CRC to be right, everything else being as it stands.
 * @param bits the field's bits, most significant first: bit 0 is the top bit of byte 0.
 * @returns undefined when no value gives the CRC (always possible with 32 bits in a row, seldom with fewer).
 */
export function solveField(bytes: Uint8Array, crcOffset: number, bits: readonly number[]): number | undefined {
  const copy = bytes.slice();
  for (const bit of bits) copy[bit >> 3]! &= ~(0x80 >> (bit & 7));
  const base = crcWithHole(copy, crcOffset);
  let rest = base ^ storedCrc(bytes, crcOffset);
  // Gauss: each row is the effect of some of the bits, with those bits noted.
  const rows: { effect: number; mask: number }[] = [];
  bits.forEach((bit, i) => {
    copy[bit >> 3]! ^= 0x80 >> (bit & 7);
    let effect = crcWithHole(copy, crcOffset) ^ base;
    copy[bit >> 3]! ^= 0x80 >> (bit & 7);
    let mask = (1 << (bits.length - 1 - i)) >>> 0;
    for (const row of rows) {
      if (reduces(row.effect, effect)) {
        effect ^= row.effect;
        mask ^= row.mask;
      }
    }
    if (effect !== 0) rows.push({ effect, mask });
  });
  let value = 0;
  for (const row of rows) {
    if (!reduces(row.effect, rest)) continue;
    rest ^= row.effect;
    value ^= row.mask;
  }
  return rest === 0 ? value >>> 0 : undefined;
}

/** Has `other` the leading bit of `effect`? */
const reduces = (effect: number, other: number): boolean => ((other >>> (31 - Math.clz32(effect))) & 1) === 1;

const KINDS: readonly (readonly [string, (delta: number) => boolean])[] = [
  ['one bit', (delta) => bitCount(delta) === 1],
  ['a number off by one', isCarry],
  ['one byte', isOneByte],
];

/** Is the change of a big-endian word what adding or subtracting one does: a run of ones at its end? */
function isCarry(delta: number): boolean {
  return (delta & (delta + 1)) === 0 && bitCount(delta) > 1;
}

function isOneByte(delta: number): boolean {
  return [0xff, 0xff00, 0xff0000, 0xff000000].some((mask) => (delta & ~mask) === 0 && (delta & mask) !== 0);
}

/** All changes of one kind, looked for in a window of four bytes at every place. */
function changes(length: number, syndrome: number, crcOffset: number, isKind: (delta: number) => boolean): Change[] {
  const found: Change[] = [];
  let state = syndrome;
  for (let offset = length - 1; offset >= 0; offset--) {
    state = backOneByte(state);
    // `state` is the change of the four bytes from `offset` on, the first of them lowest.
    const bytes = [state & 0xff, (state >>> 8) & 0xff, (state >>> 16) & 0xff, state >>> 24];
    if (offset + 4 > length || (offset < crcOffset + 4 && offset + 4 > crcOffset)) continue;
    const word = (bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]! | 0;
    if (isKind(word)) found.push({ offset, delta: bytes });
  }
  // One that several windows see is one.
  return found.filter((change, i) => !found.slice(0, i).some((other) => isSame(change, other)));
}

function isSame(a: Change, b: Change): boolean {
  const list = (change: Change): string =>
    change.delta.flatMap((byte, i) => (byte === 0 ? [] : [`${change.offset + i}:${byte}`])).join();
  return list(a) === list(b);
}

function apply(bytes: Uint8Array, { offset, delta }: Change): void {
  delta.forEach((byte, i) => {
    bytes[offset + i]! ^= byte;
  });
}

/** The CRC register before a zero byte came in. */
function backOneByte(state: number): number {
  const entry = BY_TOP[state >>> 24]!;
  return ((state ^ TABLE[entry]!) << 8) | entry;
}

function bitCount(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return (((v + (v >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}
