/**
 * Fields as runs of bits, and what can be done to one: the verbs of the damage tool. A field is anything from one bit of a
 * packed extent to a whole name, so values are big integers; nothing here is on a hot path.
 */
import { usage } from '../errors.ts';

/** A field inside the bytes of a structure. */
export interface BitField {
  /** As it is typed: `longest`, `recs[5].startBlock`, `attr.extents[0].blockCount`. */
  readonly name: string;
  /** Its first bit, counted from the most significant bit of byte 0, and how many there are. */
  readonly bit: number;
  readonly bits: number;
  /** Whole bytes, least significant first: CRC fields. */
  readonly littleEndian: boolean;
}

export const VERBS = ['zero', 'ones', 'first', 'middle', 'last', 'add', 'sub', 'random', 'value'] as const;
/**
 * - `zero`, `ones`: all bits. `first`, `middle`, `last`: that one bit turned over (first = most significant).
 * - `add`, `sub`: by `value` (default 1), round the end. `random`: another value, by seed. `value`: exactly that.
 */
export type Verb = (typeof VERBS)[number];

export function readBits(bytes: Uint8Array, { bit, bits, littleEndian }: BitField): bigint {
  const first = bit >> 3;
  const end = (bit + bits + 7) >> 3;
  let word = 0n;
  if (littleEndian) for (let i = end - 1; i >= first; i--) word = (word << 8n) | BigInt(bytes[i]!);
  else for (let i = first; i < end; i++) word = (word << 8n) | BigInt(bytes[i]!);
  return (word >> BigInt(end * 8 - bit - bits)) & ones(bits);
}

export function writeBits(bytes: Uint8Array, { bit, bits, littleEndian }: BitField, value: bigint): void {
  const first = bit >> 3;
  const end = (bit + bits + 7) >> 3;
  if (littleEndian) {
    for (let i = first; i < end; i++) bytes[i] = Number((value >> BigInt(8 * (i - first))) & 0xffn);
    return;
  }
  const shift = BigInt(end * 8 - bit - bits);
  const mask = ones(bits) << shift;
  let word = 0n;
  for (let i = first; i < end; i++) word = (word << 8n) | BigInt(bytes[i]!);
  word = (word & ~mask) | ((value << shift) & mask);
  for (let i = end - 1; i >= first; i--) {
    bytes[i] = Number(word & 0xffn);
    word >>= 8n;
  }
}

/**
 * The value of a field of `bits` bits after a verb.
 * @param operand of add, sub and value; -1 as a value is all ones. @param random gives numbers in [0, 1).
 * Throws a usage error (BAD_VALUE) when the value does not fit.
 */
export function applyVerb(
  verb: Verb,
  before: bigint,
  bits: number,
  operand: bigint | undefined,
  random: () => number,
): bigint {
  const mask = ones(bits);
  switch (verb) {
    case 'zero':
      return 0n;
    case 'ones':
      return mask;
    case 'first':
      return before ^ (1n << BigInt(bits - 1));
    case 'middle':
      return before ^ (1n << BigInt(bits >> 1));
    case 'last':
      return before ^ 1n;
    case 'add':
      return (before + (operand ?? 1n)) & mask;
    case 'sub':
      return (before - (operand ?? 1n)) & mask;
    case 'random':
      return randomOther(before, bits, random);
    case 'value':
      if (operand === -1n) return mask;
      if (operand === undefined || operand < 0n || operand > mask) {
        throw usage(
          'BAD_VALUE',
          `the value ${operand ?? 'is missing'}${operand === undefined ? '' : ' does not fit'}`,
          {
            expected: `0..${mask}`,
            found: operand,
          },
        );
      }
      return operand;
  }
}

const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

function randomOther(before: bigint, bits: number, random: () => number): bigint {
  for (;;) {
    let value = 0n;
    for (let done = 0; done < bits; done += 16) value = (value << 16n) | BigInt(Math.floor(random() * 65536));
    value &= ones(bits);
    if (value !== before) return value;
  }
}

/** Numbers in [0, 1), the same ones for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}
