/** The journal on real images in memory: what it refuses, what it puts in the log, and when blocks reach their place. */
import { describe, expect, it } from 'vitest';
import { Agf } from '../../formats/ag-headers.ts';
import { AGF_TYPE } from '../../formats/ag-verify.ts';
import { ATTR_REMOTE } from '../../formats/attribute.ts';
import { BTREE_BLOCK_TYPES } from '../../formats/btree-verify.ts';
import { CADASTRE, type Dialect, XFS } from '../../formats/dialect.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { BUFFER_ITEM, BufferItem, LOG_ITEM } from '../../formats/log-items.ts';
import { BufferCache } from '../buffer/cache.ts';
import { check } from '../check/check.ts';
import { MemoryDevice } from '../device/memory.ts';
import { RecorderDevice } from '../device/recorder.ts';
import { finishImage, formatImage } from '../mkfs/format-image.ts';
import { planImage } from '../mkfs/geometry.ts';
import { BlocksBusy, Journal } from './journal.ts';
import { readLogState } from './log-reader.ts';
import { forEachCheckpoint } from './recovery/checkpoints.ts';
import type { JournalTransaction } from './transaction.ts';

const BLOCK = 4096;
const SECTORS = BLOCK / 512;
const RAW = { ...BTREE_BLOCK_TYPES.bmbt, verify: () => undefined };

function world(dialect: Dialect = CADASTRE, size = 8 << 20) {
  const plan = planImage({ dialect, size, uuid: new Uint8Array(16).fill(3), time: { seconds: 1, nanoseconds: 0 } });
  const base = new MemoryDevice(plan.size);
  formatImage(base, plan, true);
  finishImage(base, plan);
  const device = new RecorderDevice(base);
  const { geometry } = plan;
  const cache = new BufferCache(device, geometry);
  const state = readLogState(device, geometry);
  const journal = new Journal(device, cache, state.head, state.previousBlock);
  return { device, geometry, cache, journal };
}

const agf = (tx: JournalTransaction, geometry: Geometry) =>
  tx.get(geometry.agHeaderDaddr(0, 1), geometry.sectorSize, AGF_TYPE);
/** A block far behind everything mkfs made. */
const free = (geometry: Geometry, i = 0): number => geometry.agBlockToDaddr(0, geometry.agLength(0) - 1 - i);

/** Change a field that nobody looks at, so that the image stays clean. */
function touchAgf(tx: JournalTransaction, geometry: Geometry, value: number): void {
  const buffer = agf(tx, geometry);
  tx.change(buffer);
  buffer.view.setUint32(buffer.length - 8, value);
}

function cancels(device: RecorderDevice, geometry: Geometry): number[] {
  const found: number[] = [];
  forEachCheckpoint(device, geometry, readLogState(device, geometry), ({ items }) => {
    for (const { type, regions } of items) {
      if (type !== LOG_ITEM.BUFFER) continue;
      const head = regions[0]!;
      const item = BufferItem.at(new DataView(head.buffer, head.byteOffset, head.byteLength));
      if (item.flags & BUFFER_ITEM.CANCEL) found.push(item.daddr);
    }
  });
  return found;
}

describe('transactions', () => {
  it('cancel gives back bytes, type, dirtiness and dropped blocks', () => {
    const { journal, cache, geometry } = world();
    const first = journal.begin();
    const kept = first.create(free(geometry), BLOCK, RAW);
    kept.data.fill(7, 100);
    const other = first.create(free(geometry, 1), BLOCK, RAW);
    other.data.fill(8, 100);
    journal.commit(first);
    const before = [kept.data.slice(), other.data.slice()];

    const tx = journal.begin();
    tx.change(kept);
    kept.data.fill(1);
    kept.type = ATTR_REMOTE;
    tx.change(other);
    other.data.fill(2);
    tx.forget(other.daddr, BLOCK);
    tx.create(other.daddr, BLOCK, RAW).data.fill(9);
    const made = tx.create(free(geometry, 2), BLOCK, RAW);
    const sector = agf(tx, geometry);
    const agfBefore = sector.data.slice();
    touchAgf(tx, geometry, 1);
    journal.cancel(tx);

    expect([kept.data, other.data]).toEqual(before);
    expect(kept.type).toBe(RAW);
    expect(cache.peek(other.daddr)).toBe(other);
    expect(cache.peek(made.daddr)).toBeUndefined();
    expect(sector.data).toEqual(agfBefore);
    expect(sector.dirty).toBe(false);
    expect([kept.pins, other.pins, sector.pins]).toEqual([1, 1, 0]);
  });

  it('what was announced but not changed is neither logged nor written', () => {
    const { journal, device, geometry } = world();
    const tx = journal.begin();
    const buffer = agf(tx, geometry);
    tx.change(buffer);
    journal.commit(tx);
    expect([buffer.dirty, buffer.pins]).toEqual([false, 0]);
    journal.close();
    expect(device.events.filter(({ kind }) => kind === 'write')).toEqual([]);
  });

  it('only one is open, and no checkpoint is written meanwhile', () => {
    const { journal } = world();
    const tx = journal.begin();
    expect(() => journal.begin()).toThrow(/a transaction is open/);
    expect(() => journal.checkpoint()).toThrow(/a transaction is open/);
    journal.cancel(tx);
    journal.checkpoint();
  });

  it('one that could never fit into the log is refused, and nothing has changed', () => {
    const { journal, device, geometry, cache } = world();
    const tx = journal.begin();
    touchAgf(tx, geometry, 5);
    for (let i = 0; i < 300; i++) tx.create(free(geometry, i), BLOCK, RAW).data.fill(1);
    expect(() => journal.commit(tx)).toThrow(expect.objectContaining({ code: 'ENOSPC', where: { field: 'LOG_FULL' } }));
    expect(tx.isOpen).toBe(true);
    journal.cancel(tx);
    expect(cache.peek(free(geometry, 7))).toBeUndefined();
    journal.close();
    expect(device.events.filter(({ kind }) => kind === 'write')).toEqual([]);
  });
});

describe('the log', () => {
  it('has every block before its place has it, with the LSN of its checkpoint', () => {
    const { journal, device, geometry } = world();
    const { head } = readLogState(device, geometry);
    const tx = journal.begin();
    touchAgf(tx, geometry, 77);
    const buffer = agf(tx, geometry);
    journal.commit(tx);
    journal.checkpoint();
    const start = geometry.fsBlockToByte(geometry.logStart);
    const inLog = (offset: number) => offset >= start && offset < start + geometry.logBlocks * geometry.blockSize;
    const writes = device.events.filter((event) => event.kind === 'write');
    expect(writes.length).toBeGreaterThan(0);
    expect(writes.every(({ offset }) => inLog(offset))).toBe(true);
    expect(buffer.view.getUint32(Agf.offsets.lsn)).toBe(head.cycle);
    expect(buffer.view.getUint32(Agf.offsets.lsn + 4)).toBe(head.block);
    const kinds = device.events.map(({ kind }) => kind);
    expect(kinds[0]).toBe('flush');
    expect(kinds.at(-1)).toBe('flush');
    journal.close();
    const place = new Uint8Array(512);
    device.read(geometry.agHeaderDaddr(0, 1) * 512, place);
    expect(new DataView(place.buffer).getUint32(504)).toBe(77);
  });

  it('is emptied when half of it is in use, goes round, and ends clean', () => {
    const { journal, device, geometry } = world();
    let longest = 0;
    for (let i = 1; i <= 8000; i++) {
      const tx = journal.begin();
      touchAgf(tx, geometry, i % 50 === 0 ? 0 : i);
      journal.commit(tx);
      journal.checkpoint();
      if (i % 100 !== 0) continue;
      const { head, tail } = readLogState(device, geometry);
      longest = Math.max(longest, (head.cycle - tail.cycle) * 2048 + head.block - tail.block);
    }
    const tx = journal.begin();
    touchAgf(tx, geometry, 0);
    journal.commit(tx);
    journal.close();
    const state = readLogState(device, geometry);
    expect(state).toMatchObject({ clean: true });
    expect(state.head.cycle).toBeGreaterThan(4);
    expect(longest).toBeGreaterThan(100);
    expect(longest).toBeLessThan((2048 * 7) / 8);
    expect(check(device, { data: true }).problems).toEqual([]);
  });

  it('cancels the images of a freed block, also when it was used and freed again meanwhile', () => {
    const { journal, device, geometry } = world(XFS, 24 << 20);
    const daddr = free(geometry);
    const step = (work: (tx: JournalTransaction) => void) => {
      const tx = journal.begin();
      work(tx);
      touchAgf(tx, geometry, Math.random() * 1e9);
      journal.commit(tx);
    };
    step((tx) => tx.create(daddr, BLOCK, RAW));
    journal.checkpoint();
    step((tx) => tx.forget(daddr, BLOCK));
    step((tx) => tx.create(daddr, BLOCK, RAW));
    journal.checkpoint();
    expect(cancels(device, geometry)).toEqual([]);
    step((tx) => tx.forget(daddr, BLOCK));
    step((tx) => tx.create(daddr, BLOCK, RAW));
    step((tx) => tx.forget(daddr, BLOCK));
    journal.checkpoint();
    expect(cancels(device, geometry)).toEqual([daddr]);
  });

  it('cancels an image although a block of another size begins at the same place', () => {
    const { journal, device, geometry } = world(XFS, 24 << 20);
    const daddr = free(geometry, 7);
    const step = (work: (tx: JournalTransaction) => void) => {
      const tx = journal.begin();
      work(tx);
      journal.commit(tx);
    };
    step((tx) => tx.create(daddr, BLOCK, RAW));
    journal.checkpoint();
    step((tx) => tx.forget(daddr, BLOCK));
    step((tx) => tx.create(daddr, 4 * BLOCK, RAW));
    journal.checkpoint();
    expect(cancels(device, geometry)).toEqual([daddr]);
  });
});

describe('data and freed blocks', () => {
  it('blocks freed by a transaction that is not durable are passed over and refused', () => {
    const { journal, geometry } = world();
    const daddr = free(geometry, 9);
    const tx = journal.begin();
    tx.forget(daddr, 3 * BLOCK);
    expect(tx.freedIn(daddr - SECTORS, 10 * BLOCK)).toEqual({ start: daddr, end: daddr + 3 * SECTORS });
    expect(() => journal.beforeDataWrite((daddr + SECTORS) * 512, BLOCK)).toThrow(/this very transaction freed/);
    journal.commit(tx);
    const next = journal.begin();
    expect(next.freedIn(daddr + SECTORS, BLOCK)).toEqual({ start: daddr + SECTORS, end: daddr + 2 * SECTORS });
    expect(next.freedIn(daddr + 3 * SECTORS, BLOCK)).toBeUndefined();
    expect(() => journal.beforeDataWrite((daddr + SECTORS) * 512, BLOCK)).toThrow(BlocksBusy);
    journal.cancel(next);
    journal.checkpoint();
    const later = journal.begin();
    expect(later.freedIn(daddr, 3 * BLOCK)).toBeUndefined();
    journal.beforeDataWrite(daddr * 512, BLOCK);
    journal.cancel(later);
  });

  it('without an open transaction the freeing is made durable at once', () => {
    const { journal, geometry, device } = world();
    const tx = journal.begin();
    touchAgf(tx, geometry, 3);
    tx.forget(free(geometry), BLOCK);
    journal.commit(tx);
    journal.beforeDataWrite(free(geometry) * 512, BLOCK);
    expect(readLogState(device, geometry).clean).toBe(false);
    expect(journal.hasFreed).toBe(false);
  });

  it('what is written over old content waits for the commit', () => {
    const { journal, geometry } = world();
    const done: number[] = [];
    const cancelled = journal.begin();
    cancelled.atCommit(() => done.push(1));
    journal.cancel(cancelled);
    const committed = journal.begin();
    touchAgf(committed, geometry, 1);
    committed.atCommit(() => done.push(2));
    committed.atCommit(() => done.push(3));
    expect(done).toEqual([]);
    journal.commit(committed);
    expect(done).toEqual([2, 3]);
  });
});

it('after a device error in a checkpoint nothing is written any more', () => {
  const { journal, geometry, device } = world();
  const tx = journal.begin();
  touchAgf(tx, geometry, 3);
  journal.commit(tx);
  device.write = () => {
    throw new Error('unplugged');
  };
  expect(() => journal.checkpoint()).toThrow('unplugged');
  expect(() => journal.checkpoint()).toThrow(expect.objectContaining({ code: 'JOURNAL_FAILED', family: 'device' }));
  expect(() => journal.begin()).toThrow(expect.objectContaining({ code: 'JOURNAL_FAILED' }));
});
