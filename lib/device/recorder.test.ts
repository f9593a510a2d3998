import { describe, expect, it } from 'vitest';
import { MemoryDevice } from './memory.ts';
import { FlushedImage, RecorderDevice } from './recorder.ts';

const at = (device: { read(offset: number, into: Uint8Array): void }, offset: number, length = 1): number[] => {
  const bytes = new Uint8Array(length);
  device.read(offset, bytes);
  return [...bytes];
};
const base = new MemoryDevice(8192);
const record = (): RecorderDevice => {
  const device = new RecorderDevice(base);
  device.write(0, Uint8Array.of(1));
  device.flush();
  device.write(0, Uint8Array.of(2));
  device.write(512, new Uint8Array(2048).fill(3));
  return device;
};

describe('recorder', () => {
  it('reads what was written and leaves the base alone', () => {
    expect(at(record(), 0)).toEqual([2]);
    expect(at(base, 0)).toEqual([0]);
  });

  it('keeps flushed writes whatever is chosen, and drops or keeps the others', () => {
    const device = record();
    expect(at(device.crashImage(4, { unflushed: 'none', seed: 1, sector: 512 }), 0)).toEqual([1]);
    expect(at(device.crashImage(4, { unflushed: 'all', seed: 1, sector: 512 }), 0)).toEqual([2]);
    expect(at(device.crashImage(1, { unflushed: 'none', seed: 1, sector: 512 }), 0)).toEqual([0]);
    expect(at(device.crashImage(1, { unflushed: 'all', seed: 1, sector: 512 }), 0)).toEqual([1]);
  });

  it('tears writes at sectors, the same way for the same seed', () => {
    const device = record();
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const choice = { unflushed: 'some', seed, sector: 512 } as const;
      const bytes = at(device.crashImage(4, choice), 512, 2048);
      expect(at(device.crashImage(4, choice), 512, 2048)).toEqual(bytes);
      for (let i = 0; i < 2048; i += 512) expect(new Set(bytes.slice(i, i + 512)).size).toBe(1);
      seen.add([0, 512, 1024, 1536].map((i) => bytes[i]).join(''));
      expect(at(device.crashImage(4, { ...choice, sector: 0 }), 512, 2048).every((x, _i, all) => x === all[0])).toBe(
        true,
      );
      const elsewhere = { ...choice, tearOnly: { start: 4096, end: 8192 } };
      expect(new Set(at(device.crashImage(4, elsewhere), 512, 2048)).size).toBe(1);
    }
    expect(seen.size).toBeGreaterThan(4);
  });

  it('reorders writes to the same place', () => {
    const device = new RecorderDevice(base);
    device.write(0, Uint8Array.of(1));
    device.write(0, Uint8Array.of(2));
    const last = new Set<number>();
    for (let seed = 0; seed < 100; seed++)
      last.add(at(device.crashImage(2, { unflushed: 'some', seed, sector: 512 }), 0)[0]!);
    expect(last).toEqual(new Set([0, 1, 2]));
  });

  it('brings the durable image forward from cut to cut', () => {
    const device = record();
    const flushed = new FlushedImage(base);
    const none = { unflushed: 'none', seed: 0, sector: 512 } as const;
    expect(at(device.crashImage(1, none, flushed), 0)).toEqual([0]);
    expect(at(device.crashImage(3, none, flushed), 0)).toEqual([1]);
    expect(() => device.crashImage(1, none, flushed)).toThrow(/cuts must grow/);
  });
});
