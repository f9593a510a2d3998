/**
 * CRC32C as the format uses it: start 0xFFFFFFFF, final inversion, the CRC's own four bytes count as zero, stored
 * little-endian in every structure.
 */
import table from 'crc-32/crc32c.js';

const { buf } = table;

const ZEROES = new Uint8Array(4);

/** CRC32C (unsigned) of bytes; pass an earlier result as `seed` to go on. */
export function crc32c(data: Uint8Array, seed = 0): number {
  return buf(data, seed) >>> 0;
}

/** CRC32C of `data` with the four bytes at `crcOffset` taken as zero. */
export function crcWithHole(data: Uint8Array, crcOffset: number): number {
  const head = buf(data.subarray(0, crcOffset), 0);
  return buf(data.subarray(crcOffset + 4), buf(ZEROES, head)) >>> 0;
}

/** The stored CRC at an offset (little-endian). */
export function storedCrc(data: Uint8Array, crcOffset: number): number {
  return (
    (data[crcOffset]! | (data[crcOffset + 1]! << 8) | (data[crcOffset + 2]! << 16) | (data[crcOffset + 3]! << 24)) >>> 0
  );
}

/** Compute and store the CRC of a structure. */
export function sealCrc(data: Uint8Array, crcOffset: number): void {
  const crc = crcWithHole(data, crcOffset);
  data[crcOffset] = crc;
  data[crcOffset + 1] = crc >>> 8;
  data[crcOffset + 2] = crc >>> 16;
  data[crcOffset + 3] = crc >>> 24;
}
