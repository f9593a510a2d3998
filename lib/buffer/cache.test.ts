import { describe, expect, it } from 'vitest';
import { type BlockType, fault } from '../../formats/block-type.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { MemoryDevice } from '../device/memory.ts';
import { BufferCache } from './cache.ts';
import { DirectTransaction } from './direct.ts';

const geometry = { sectorSize: 512, blockSize: 4096, inodeSize: 512 } as Geometry;
const PLAIN: BlockType = {
  name: 'plain',
  logType: 0,
  crcOffset: 4,
  lsnOffset: 8,
  verify: (view) =>
    view.getUint32(0) === 0x504c4149 ? undefined : fault('BAD_MAGIC', 'magic', 'PLAI', view.getUint32(0)),
};
const SLOTS: BlockType = {
  name: 'slots',
  logType: 8,
  crcOffset: -1,
  lsnOffset: -1,
  slotCrcOffset: 100,
  verify: () => undefined,
};

describe('buffer cache', () => {
  it('seals what it writes and verifies what it reads', () => {
    const device = new MemoryDevice(1 << 20);
    const cache = new BufferCache(device, geometry);
    const tx = new DirectTransaction(cache);
    const buffer = tx.create(8, 4096, PLAIN);
    buffer.view.setUint32(0, 0x504c4149);
    buffer.data.fill(7, 100);
    tx.close();
    const again = new BufferCache(device, geometry);
    expect(again.get(8, 4096, PLAIN).data[200]).toBe(7);
    device.write(4096 + 300, Uint8Array.of(1));
    again.clear();
    expect(() => again.get(8, 4096, PLAIN)).toThrow(expect.objectContaining({ code: 'BAD_CRC', family: 'corrupt' }));
    expect(() => again.get(16, 4096, PLAIN)).toThrow(expect.objectContaining({ code: 'BAD_MAGIC' }));
  });

  it('stays within its bound, writes dirty blocks before dropping them, and keeps what is held', () => {
    const device = new MemoryDevice(1 << 24);
    const limit = 64 * 4096;
    const cache = new BufferCache(device, geometry, limit);
    const tx = new DirectTransaction(cache);
    for (let i = 0; i < 1000; i++) {
      const buffer = tx.create(8 * i, 4096, PLAIN);
      buffer.view.setUint32(0, 0x504c4149);
      buffer.view.setUint32(16, i);
      tx.commit();
      expect(cache.bytes).toBeLessThanOrEqual(limit);
    }
    tx.close();
    for (let i = 0; i < 1000; i++) {
      expect(cache.get(8 * i, 4096, PLAIN).view.getUint32(16)).toBe(i);
      expect(cache.bytes).toBeLessThanOrEqual(limit);
    }
  });

  it('gives a block back to a holder that changes it after it was let go, and refuses a stale copy', () => {
    const device = new MemoryDevice(1 << 20);
    const cache = new BufferCache(device, geometry);
    const tx = new DirectTransaction(cache);
    const first = tx.create(8, 4096, SLOTS);
    cache.flush();
    cache.clear();
    tx.change(first);
    expect(cache.peek(8)).toBe(first);
    cache.flush();
    cache.clear();
    const second = tx.get(8, 4096, SLOTS);
    expect(second).not.toBe(first);
    expect(() => tx.change(first)).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
  });

  it('seals only the inode slots that were changed', () => {
    const device = new MemoryDevice(1 << 20);
    const cache = new BufferCache(device, geometry);
    const tx = new DirectTransaction(cache);
    tx.change(tx.get(8, 4096, SLOTS), 512 * 3 + 40, 4);
    tx.close();
    const bytes = device.toBytes().subarray(4096, 8192);
    const crcs = Array.from({ length: 8 }, (_, slot) =>
      new DataView(bytes.buffer, 4096 + 512 * slot + 100).getUint32(0),
    );
    expect(crcs.map((crc) => crc !== 0)).toEqual([false, false, false, true, false, false, false, false]);
  });

  it('joins scattered segments into one block and writes each back to its place', () => {
    const device = new MemoryDevice(1 << 20);
    const cache = new BufferCache(device, geometry);
    const tx = new DirectTransaction(cache);
    const segments = [
      { daddr: 80, length: 4096 },
      { daddr: 8, length: 4096 },
    ];
    const buffer = tx.createSegments(segments, PLAIN);
    buffer.view.setUint32(0, 0x504c4149);
    buffer.data[4096] = 9;
    tx.close();
    cache.clear();
    expect(device.toBytes()[4096]).toBe(9);
    expect(cache.getSegments(segments, PLAIN).data[4096]).toBe(9);
    expect(() => cache.get(80, 4096, PLAIN)).toThrow(expect.objectContaining({ code: 'BLOCK_CLAIMED_TWICE' }));
  });

  it('does not serve stale read-ahead after a write', () => {
    const device = new MemoryDevice(1 << 20);
    const cache = new BufferCache(device, geometry);
    const tx = new DirectTransaction(cache);
    cache.readAhead(0, 65536);
    tx.create(8, 4096, PLAIN).view.setUint32(0, 0x504c4149);
    tx.close();
    cache.clear();
    expect(cache.get(8, 4096, PLAIN).view.getUint32(0)).toBe(0x504c4149);
  });
});
