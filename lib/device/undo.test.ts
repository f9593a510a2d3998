import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Device } from './device.ts';
import { MemoryDevice } from './memory.ts';
import { UndoDevice, undo } from './undo.ts';

const SIZE = 700_000;

type Step =
  | { kind: 'write'; offset: number; length: number; value: number }
  | { kind: 'zero'; offset: number; length: number }
  | { kind: 'resize'; size: number }
  | { kind: 'flush' };

const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('write' as const),
        offset: fc.nat(SIZE),
        length: fc.oneof(fc.nat(20_000), fc.integer({ min: 250_000, max: 400_000 })),
        value: fc.nat(255),
      }),
    },
    fc.record({ kind: fc.constant('zero' as const), offset: fc.nat(SIZE), length: fc.nat(100_000) }),
    fc.record({ kind: fc.constant('resize' as const), size: fc.integer({ min: 1, max: 2 * SIZE }) }),
    fc.record({ kind: fc.constant('flush' as const) }),
  ),
  { maxLength: 25 },
);

/** An image that is zero in some places and not in others. */
function sample(): MemoryDevice {
  const bytes = new Uint8Array(SIZE);
  for (let i = 0; i < SIZE; i++) bytes[i] = i % 200_000 < 90_000 ? 0 : (i * 7) >> 3;
  return new MemoryDevice(bytes);
}

/** Fails at the n-th write, as if the process died: nothing is written any more. */
class Dying implements Device {
  readonly readOnly = false;
  readonly #below: MemoryDevice;
  left: number;
  constructor(below: MemoryDevice, left: number) {
    this.#below = below;
    this.left = left;
  }
  get size(): number {
    return this.#below.size;
  }
  read(offset: number, into: Uint8Array): void {
    this.#below.read(offset, into);
  }
  write(offset: number, from: Uint8Array): void {
    if (this.left-- <= 0) throw new Error('died');
    this.#below.write(offset, from);
  }
  flush(): void {}
  zero(offset: number, length: number): void {
    this.write(offset, new Uint8Array(length));
  }
  resize(size: number): void {
    if (this.left-- <= 0) throw new Error('died');
    this.#below.resize(size);
  }
  close(): void {}
}

function run(device: Device, list: readonly Step[], model?: MemoryDevice): void {
  for (const step of list) {
    if (step.kind === 'flush') device.flush();
    else if (step.kind === 'resize') for (const each of [device, model]) each?.resize(step.size);
    else {
      const offset = Math.min(step.offset, device.size);
      const length = Math.min(step.length, device.size - offset);
      for (const each of [device, model]) {
        if (step.kind === 'zero') each?.zero(offset, length);
        else each?.write(offset, new Uint8Array(length).fill(step.value));
      }
    }
    if (model) expect(contentOf(device).equals(model.toBytes())).toBe(true);
  }
}

function contentOf(device: Device): Buffer {
  const bytes = Buffer.alloc(device.size);
  device.read(0, bytes);
  return bytes;
}

const before = sample().toBytes();
const code = (name: string) => expect.objectContaining({ code: name });

describe('undo device', () => {
  it('reads what was written and restores every byte', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const image = sample();
        const file = new MemoryDevice(0);
        const device = new UndoDevice(image, file);
        run(device, list, sample());
        device.close();
        expect(undo(image, file)).toMatchObject({ size: SIZE, finished: true });
        expect(contentOf(image).equals(before)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('restores after a death at any write, also of undo itself', () => {
    fc.assert(
      fc.property(steps, fc.nat(40), fc.nat(10), (list, writes, undoWrites) => {
        const image = sample();
        const file = new MemoryDevice(0);
        const device = new UndoDevice(new Dying(image, writes), file);
        try {
          run(device, list);
          device.close();
        } catch (error) {
          expect(String(error)).toContain('died');
        }
        try {
          undo(new Dying(image, undoWrites), file);
        } catch (error) {
          expect(String(error)).toContain('died');
          undo(image, file);
        }
        expect(contentOf(image).equals(before)).toBe(true);
      }),
      {
        numRuns: 80,
        examples: [
          // Cut off where the page of the old end is old before it and new behind it.
          [
            [
              { kind: 'resize', size: 700_001 },
              { kind: 'write', offset: 0, length: 250_000, value: 0 },
              { kind: 'write', offset: 437_858, length: 262_143, value: 1 },
            ],
            3,
            2,
          ],
          // Cut off when the image is longer already and the page behind its old end not yet written.
          [
            [
              { kind: 'resize', size: 700_417 },
              { kind: 'write', offset: 307_222, length: 393_195, value: 1 },
            ],
            1,
            0,
          ],
        ],
      },
    );
  });

  it('takes no notice of a torn last block', () => {
    const image = sample();
    const file = new MemoryDevice(0);
    const device = new UndoDevice(image, file);
    device.write(150_000, new Uint8Array(9000).fill(1));
    device.flush();
    const whole = file.size;
    device.write(350_000, new Uint8Array(9000).fill(2));
    const dying = file.toBytes();
    expect(dying.length).toBe(whole);
    device.flush();
    // The second block is cut off in the middle; the write that it protects is not made.
    const torn = new MemoryDevice(file.toBytes().subarray(0, whole + 500));
    const half = sample();
    half.write(150_000, new Uint8Array(9000).fill(1));
    expect(undo(half, torn)).toMatchObject({ finished: false });
    expect(contentOf(half).equals(before)).toBe(true);
  });

  it('names damage in the middle of the file', () => {
    const image = sample();
    const file = new MemoryDevice(0);
    const device = new UndoDevice(image, file);
    for (let i = 0; i < 3; i++) {
      device.write(100_000 + i * 50_000, new Uint8Array(9000).fill(1));
      device.flush();
    }
    device.close();
    for (const at of [70, 300, 9000]) {
      const bytes = file.toBytes();
      bytes[at]! ^= 1;
      expect(() => undo(image, new MemoryDevice(bytes))).toThrow(code('UNDO_DAMAGED'));
    }
    expect(() => undo(image, new MemoryDevice(500))).toThrow(code('NOT_AN_UNDO_FILE'));
    expect(contentOf(image).equals(before)).toBe(false);
  });

  it('refuses an image that was changed since, or another one, unless forced', () => {
    const make = () => {
      const image = sample();
      const file = new MemoryDevice(0);
      const device = new UndoDevice(image, file, () => [{ offset: 600_000, length: 1000 }]);
      device.write(150_000, new Uint8Array(100).fill(1));
      device.close();
      return { image, file };
    };
    const changedPage = make();
    changedPage.image.write(151_000, Uint8Array.of(99));
    expect(() => undo(changedPage.image, changedPage.file)).toThrow(code('CHANGED_SINCE'));
    const changedWatch = make();
    changedWatch.image.write(600_500, Uint8Array.of(99));
    expect(() => undo(changedWatch.image, changedWatch.file)).toThrow(code('CHANGED_SINCE'));
    const changedSize = make();
    changedSize.image.resize(SIZE + 1);
    expect(() => undo(changedSize.image, changedSize.file)).toThrow(code('CHANGED_SINCE'));
    undo(changedPage.image, changedPage.file, { force: true });
    undo(changedSize.image, changedSize.file, { force: true });
    expect(contentOf(changedPage.image).equals(before)).toBe(true);
    expect(contentOf(changedSize.image).equals(before)).toBe(true);
    const other = new MemoryDevice(SIZE);
    other.write(32, Uint8Array.of(9));
    expect(() => undo(other, make().file)).toThrow(code('OTHER_IMAGE'));
  });

  it('is used once', () => {
    const image = sample();
    const file = new MemoryDevice(0);
    const device = new UndoDevice(image, file);
    device.write(0, Uint8Array.of(1, 2, 3));
    device.close();
    undo(image, file);
    expect(() => undo(image, file)).toThrow(code('ALREADY_UNDONE'));
    undo(image, file, { force: true });
    expect(contentOf(image).equals(before)).toBe(true);
  });

  it('keeps zeroes out of the undo file', () => {
    const image = new MemoryDevice(64 << 20);
    const file = new MemoryDevice(0);
    const device = new UndoDevice(image, file);
    device.write(0, new Uint8Array(32 << 20).fill(3));
    device.zero(40 << 20, 20 << 20);
    device.close();
    expect(file.size).toBeLessThan(100_000);
    undo(image, file);
    expect(contentOf(image).every((byte) => byte === 0)).toBe(true);
  });
});
