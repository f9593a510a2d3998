import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashLowerBound, maxDaNodeEntries, nameHash, nameHashFolded } from './da.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The rule as the format states it: four bytes at a time, then the rest. */
function hashByRule(name: Uint8Array): number {
  const rotate = (value: number, by: number): number => ((value << by) | (value >>> (32 - by))) >>> 0;
  let hash = 0;
  let i = 0;
  for (; name.length - i >= 4; i += 4) {
    hash = (name[i]! << 21) ^ (name[i + 1]! << 14) ^ (name[i + 2]! << 7) ^ name[i + 3]! ^ rotate(hash, 28);
  }
  const rest = name.length - i;
  if (rest === 3) hash = (name[i]! << 14) ^ (name[i + 1]! << 7) ^ name[i + 2]! ^ rotate(hash, 21);
  if (rest === 2) hash = (name[i]! << 7) ^ name[i + 1]! ^ rotate(hash, 14);
  if (rest === 1) hash = name[i]! ^ rotate(hash, 7);
  return hash >>> 0;
}

describe('name hash', () => {
  it.each([
    ['.', 0x0000002e],
    ['..', 0x0000172e],
    ['abc', 0x00187163],
    ['abcd', 0x0c38b1e4],
    ['hello.txt', 0x9d168f12],
    ['lost+found', 0x021aa60c],
    ['SGI_ACL_FILE', 0x275b19c4],
    ['The quick brown fox', 0x1c053344],
  ])('of %s', (name, hash) => {
    expect(nameHash(bytes(name))).toBe(hash);
    const inside = bytes(`<${name}>`);
    expect(nameHash(inside, 1, inside.length - 1)).toBe(hash);
  });

  it('is the four-at-a-time rule for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 255 }), (name) => {
        expect(nameHash(name)).toBe(hashByRule(name));
      }),
    );
  });

  it('folds ASCII and latin-1 capitals only', () => {
    expect(nameHashFolded(bytes('HeLLo.TXT'))).toBe(nameHash(bytes('hello.txt')));
    expect(nameHashFolded(Uint8Array.of(0xc0, 0xde, 0xd7, 0xdf, 0x5b, 0x40))).toBe(
      nameHash(Uint8Array.of(0xe0, 0xfe, 0xd7, 0xdf, 0x5b, 0x40)),
    );
  });
});

it('finds the first entry not below a hash', () => {
  const hashes = [3, 7, 7, 7, 0xfffffff0];
  const view = new DataView(new ArrayBuffer(8 * hashes.length));
  hashes.forEach((hash, i) => {
    view.setUint32(8 * i, hash);
  });
  expect([0, 3, 4, 7, 8, 0xffffffff].map((hash) => hashLowerBound(view, 0, 5, hash))).toEqual([0, 0, 1, 1, 4, 5]);
  expect(maxDaNodeEntries(4096)).toBe(504);
});
