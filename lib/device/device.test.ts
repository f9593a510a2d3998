import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Device } from './device.ts';
import { FileDevice } from './file.ts';
import { MemoryDevice } from './memory.ts';
import { OverlayDevice } from './overlay.ts';

const dir = mkdtempSync(join(tmpdir(), 'cadastre-device-'));
afterAll(() => rmSync(dir, { recursive: true }));
const SIZE = 100_000;
const file = () => {
  const path = join(dir, `f${Math.random()}`);
  writeFileSync(path, new Uint8Array(SIZE));
  return new FileDevice(path, 'rw');
};
const makers: Record<string, () => Device> = {
  file,
  memory: () => new MemoryDevice(SIZE),
  overlay: () => new OverlayDevice(new MemoryDevice(SIZE)),
};

describe.each(Object.entries(makers))('%s device', (_name, make) => {
  it('keeps bytes like an array does', () => {
    const device = make();
    const model = new Uint8Array(SIZE);
    let seed = 1;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    for (let step = 0; step < 500; step++) {
      const offset = random(SIZE);
      const length = Math.min(random(10_000), SIZE - offset);
      if (step % 5 === 0) {
        device.zero(offset, length);
        model.fill(0, offset, offset + length);
      } else {
        const bytes = new Uint8Array(length).fill(random(256));
        device.write(offset, bytes);
        model.set(bytes, offset);
      }
    }
    const all = new Uint8Array(SIZE);
    device.read(0, all);
    expect(all).toEqual(model);
    device.resize(50_000);
    device.resize(SIZE);
    device.read(0, all);
    expect(all.subarray(0, 50_000)).toEqual(model.subarray(0, 50_000));
    expect(all.subarray(50_000).every((byte) => byte === 0)).toBe(true);
    device.close();
  });

  it('refuses what lies outside', () => {
    const device = make();
    for (const offset of [SIZE, SIZE - 3, -1]) {
      expect(() => device.read(offset, new Uint8Array(4))).toThrow(expect.objectContaining({ code: 'SHORT_DEVICE' }));
      expect(() => device.write(offset, new Uint8Array(4))).toThrow(expect.objectContaining({ code: 'SHORT_DEVICE' }));
    }
    device.close();
  });
});

it('an overlay leaves the device below as it was', () => {
  const below = new MemoryDevice(new Uint8Array(SIZE).fill(5));
  const overlay = new OverlayDevice(below);
  overlay.write(10, new Uint8Array(5000));
  overlay.zero(20_000, 9000);
  overlay.resize(200);
  expect(below.toBytes().every((byte) => byte === 5)).toBe(true);
});

it('zero keeps a sparse file sparse', () => {
  const path = join(dir, 'sparse');
  const device = new FileDevice(path, 'create');
  device.resize(64 << 20);
  device.zero(0, 64 << 20);
  expect(statSync(path).blocks).toBe(0);
  device.close();
});

it('names the host error', () => {
  expect(() => new FileDevice(join(dir, 'absent'), 'r')).toThrow(
    expect.objectContaining({ family: 'device', code: 'ENOENT' }),
  );
});
