/** The plan against plain bytes: random writes, copies and reads. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MemoryDevice } from '../device/memory.ts';
import { PlanDevice } from './plan-device.ts';

const SIZE = 64 * 1024;
const place = fc.tuple(fc.nat(63), fc.integer({ min: 1, max: 12 })).map(([at, count]): [number, number] => {
  const start = at * 1024;
  return [start, Math.min(count * 1024, SIZE - start)];
});
const step = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), at: place, byte: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant('copy' as const), at: place, from: fc.nat(63) }),
  fc.record({ kind: fc.constant('zero' as const), at: place }),
);

const firstDifference = (a: Uint8Array, b: Uint8Array): number => a.findIndex((byte, i) => byte !== b[i]);

it('reads what was written and copied, and knows where that is', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const original = Uint8Array.from({ length: SIZE }, (_, i) => (i * 7 + (i >> 10)) & 0xff);
      const model = original.slice();
      const below = new MemoryDevice(original);
      const plan = new PlanDevice(below);
      for (const each of steps) {
        const [at, length] = each.at;
        if (each.kind === 'write') {
          const bytes = new Uint8Array(length).fill(each.byte);
          plan.write(at, bytes);
          model.set(bytes, at);
        } else if (each.kind === 'zero') {
          plan.zero(at, length);
          model.fill(0, at, at + length);
        } else {
          const from = Math.min(each.from * 1024, SIZE - length);
          plan.copy(from, at, length);
          model.copyWithin(at, from, from + length);
        }
      }
      const seen = new Uint8Array(SIZE);
      plan.read(0, seen);
      expect(firstDifference(seen, model)).toBe(-1);
      expect(firstDifference(below.toBytes(), original)).toBe(-1);
      // What it says it changed is all that changed.
      const written = original.slice();
      for (const { to, from, length } of plan.copiedRuns()) written.set(original.subarray(from, from + length), to);
      for (const page of plan.heldPages()) written.set(model.subarray(page * 4096, (page + 1) * 4096), page * 4096);
      expect(firstDifference(written, model)).toBe(-1);
    }),
    { numRuns: 300 },
  );
});

it('does not hold the bytes of copies', () => {
  const plan = new PlanDevice(new MemoryDevice(1 << 30));
  plan.copy(0, 512 << 20, 256 << 20);
  expect(plan.heldPages()).toEqual([]);
  expect(plan.copiedRuns()).toEqual([{ to: 512 << 20, from: 0, length: 256 << 20 }]);
});
