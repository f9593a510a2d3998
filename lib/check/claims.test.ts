import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crcWithHole } from '../../formats/checksum.ts';
import { ExtentTable, radixOrder, SPECIAL } from './claims.ts';
import { SlotCrc } from './observe/slot-crc.ts';

const rows = (table: ExtentTable): number[][] =>
  Array.from({ length: table.length }, (_, i) => [
    table.start[i]!,
    table.count[i]!,
    table.ownerHi[i]!,
    table.ownerLo[i]!,
    table.offsetHi[i]!,
    table.offsetLo[i]!,
  ]);

describe('claims', () => {
  it('joins what follows on disk and in the file, across the 32-bit border of file blocks', () => {
    const table = new ExtentTable();
    table.add(10, 5, 0, 7, 0, 0xfffffffe);
    table.add(15, 1, 0, 7, 1, 3);
    expect(rows(table)).toEqual([[10, 6, 0, 7, 0, 0xfffffffe]]);
    table.add(16, 1, 0, 7, 1, 5); // a hole in the file
    table.add(17, 1, 0, 8, 1, 6); // another owner
    table.add(18, 1, 0, 8, 0x20000001, 7); // unwritten
    expect(table.length).toBe(4);
  });

  it('sorts as the reverse map does: start, owner unsigned, offset without the unwritten bit', () => {
    const table = new ExtentTable();
    table.push(5, 1, SPECIAL, 0xfffffffb, 0, 0);
    table.push(5, 1, 0, 9, 0x20000000, 1);
    table.push(5, 1, 0, 9, 0, 2);
    table.push(5, 1, 0, 9, 0, 0);
    table.push(2, 1, SPECIAL, 0xfffffff9, 0, 0);
    table.push(3, 2, SPECIAL, 0xfffffff9, 0, 0);
    table.sort();
    expect(rows(table)).toEqual([
      [2, 3, SPECIAL, 0xfffffff9, 0, 0],
      [5, 1, 0, 9, 0, 0],
      [5, 1, 0, 9, 0x20000000, 1],
      [5, 1, 0, 9, 0, 2],
      [5, 1, SPECIAL, 0xfffffffb, 0, 0],
    ]);
  });

  it('orders any keys, stably', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(20), fc.integer({ min: 0, max: 0xffffffff }))), (keys) => {
        const order = [...radixOrder(Uint32Array.from(keys), keys.length)];
        const naive = keys.map((_, i) => i).sort((a, b) => keys[a]! - keys[b]! || a - b);
        expect(order).toEqual(naive);
      }),
    );
  });
});

describe('the CRC of slots', () => {
  it.each([512, 1024, 2048])('is the general one, whatever zeroes a slot of %i bytes ends with', (size) => {
    const bytes = new Uint8Array(4 * size);
    const fast = new SlotCrc(bytes, size);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: size }), fc.nat(3), (content, slot) => {
        bytes.fill(0);
        bytes.set(content, slot * size);
        const own = bytes.slice(slot * size, (slot + 1) * size);
        expect(fast.of(slot * size)).toBe(crcWithHole(own, 100));
        expect(bytes.slice(slot * size, (slot + 1) * size)).toEqual(own);
      }),
      { numRuns: 60 },
    );
  });
});
