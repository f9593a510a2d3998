/**
 * CRC32C of inode slots, the one thing every inode costs. Two ideas make it several times faster than the general one:
 *
 * 1. Words instead of bytes: eight tables, eight bytes a step, no view made for a slot.
 * 2. Most of a slot is zeroes. What a run of zeroes does to a CRC is a linear map of its 32 bits, so a tail of k * 64 zero
 *    bytes costs four look-ups in a table made for k; finding the tail costs one OR a word.
 */
import { crcWithHole } from '../../../formats/checksum.ts';
import { InodeCore } from '../../../formats/inode.ts';

const CRC_BYTE = InodeCore.offsets.crc;
/** Zero tails are skipped in pieces of this many bytes. */
const PIECE = 64;
const PIECE_WORDS = PIECE / 4;

/** TABLE[256 * k + b]: the effect of byte b followed by k zero bytes. */
const TABLE = new Int32Array(8 * 256);
for (let b = 0; b < 256; b++) {
  let crc = b;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  TABLE[b] = crc;
}
for (let i = 256; i < TABLE.length; i++) TABLE[i] = (TABLE[i - 256]! >>> 8) ^ TABLE[TABLE[i - 256]! & 0xff]!;

const isLittleEndian = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

export class SlotCrc {
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #slotBytes: number;
  /** [k][256 * i + b]: byte i of a CRC being b, moved over k * PIECE zero bytes. */
  readonly #zeroes: readonly Int32Array[];

  /** @param bytes a buffer of its own in which slots start at multiples of 4. @param slotBytes a multiple of 64. */
  constructor(bytes: Uint8Array, slotBytes: number) {
    this.#bytes = bytes;
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.#slotBytes = slotBytes;
    const tables = [new Int32Array(1024)];
    for (let i = 0; i < 4; i++) for (let b = 0; b < 256; b++) tables[0]![256 * i + b] = b << (8 * i);
    for (let k = 1; k <= slotBytes / PIECE; k++) {
      const before = tables[k - 1]!;
      tables.push(Int32Array.from(before, (crc) => overZeroes(crc)));
    }
    this.#zeroes = tables;
  }

  /** CRC of the slot at a byte offset, its own CRC field taken as zero. */
  of(offset: number): number {
    if (!isLittleEndian) return crcWithHole(this.#bytes.subarray(offset, offset + this.#slotBytes), CRC_BYTE);
    const words = this.#words;
    const start = offset >> 2;
    const hole = start + (CRC_BYTE >> 2);
    const least = start + PIECE_WORDS * 2;
    const stop = start + (this.#slotBytes >> 2);
    let end = stop;
    while (end > least) {
      let any = 0;
      for (let i = end - PIECE_WORDS; i < end; i++) any |= words[i]!;
      if (any !== 0) break;
      end -= PIECE_WORDS;
    }
    const kept = words[hole]!;
    words[hole] = 0;
    let crc = -1;
    for (let i = start; i < end; i += 2) {
      const a = words[i]! ^ crc;
      const b = words[i + 1]!;
      crc =
        TABLE[1792 + (a & 0xff)]! ^
        TABLE[1536 + ((a >>> 8) & 0xff)]! ^
        TABLE[1280 + ((a >>> 16) & 0xff)]! ^
        TABLE[1024 + (a >>> 24)]! ^
        TABLE[768 + (b & 0xff)]! ^
        TABLE[512 + ((b >>> 8) & 0xff)]! ^
        TABLE[256 + ((b >>> 16) & 0xff)]! ^
        TABLE[b >>> 24]!;
    }
    words[hole] = kept;
    const over = this.#zeroes[(stop - end) / PIECE_WORDS]!;
    crc =
      over[crc & 0xff]! ^
      over[256 + ((crc >>> 8) & 0xff)]! ^
      over[512 + ((crc >>> 16) & 0xff)]! ^
      over[768 + (crc >>> 24)]!;
    return ~crc >>> 0;
  }
}

/** A raw CRC (not inverted) after PIECE zero bytes. */
function overZeroes(crc: number): number {
  for (let i = 0; i < PIECE; i++) crc = (crc >>> 8) ^ TABLE[crc & 0xff]!;
  return crc;
}
