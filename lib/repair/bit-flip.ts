/**
 * One flipped bit, found by the CRC. CRC32C of a block tells every single-bit error from every other one: the difference
 * between the stored and the computed CRC is what that bit alone contributes.
 *
 *   difference = bit b of byte p, followed by as many zero bytes as the block has behind p
 */
import { crcWithHole, storedCrc } from '../../formats/checksum.ts';

const POLYNOMIAL = 0x82f63b78;
const TABLE = new Int32Array(256);
for (let b = 0; b < 256; b++) {
  let crc = b;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  TABLE[b] = crc;
}

/**
 * Set the one bit right that makes the CRC of these bytes fit. The caller verifies what comes out: damage of other kinds
 * looks like this once in 2^32 times for every bit.
 * @returns false, and nothing has changed, when no single bit does it (or the CRC fits already).
 */
export function mendFlippedBit(data: Uint8Array, crcOffset: number): boolean {
  const difference = (crcWithHole(data, crcOffset) ^ storedCrc(data, crcOffset)) | 0;
  if (difference === 0) return false;
  const effects = Int32Array.from({ length: 8 }, (_, bit) => TABLE[1 << bit]!);
  for (let at = data.length - 1; at >= 0; at--) {
    const isCrc = at >= crcOffset && at < crcOffset + 4;
    for (let bit = 0; bit < 8; bit++) {
      const effect = effects[bit]!;
      if (effect === difference && !isCrc) {
        data[at]! ^= 1 << bit;
        return true;
      }
      effects[bit] = (effect >>> 8) ^ TABLE[effect & 0xff]!;
    }
  }
  return false;
}

/** The CRC does not fit because it was damaged itself, and not what it covers: as sure as a flipped bit is. */
export function isCrcDamaged(data: Uint8Array, crcOffset: number): boolean {
  const computed = crcWithHole(data, crcOffset);
  const stored = storedCrc(data, crcOffset);
  const difference = (computed ^ stored) >>> 0;
  if (difference === 0) return false;
  const isOneBit = (difference & (difference - 1)) === 0;
  return isOneBit || stored === 0 || stored === 0xffffffff || Math.abs(computed - stored) === 1;
}
