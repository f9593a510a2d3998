/** The shape of what the log writer writes: records, stripe units, continued regions, flushes. Reading it back: log-reader.test.ts. */
import { describe, expect, it } from 'vitest';
import type { Geometry } from '../../formats/geometry.ts';
import {
  headerBlocks,
  isLogRecordCrcGood,
  LOG_BB,
  LOG_OP,
  LOG_RECORD_MAGIC,
  LogOpHeader,
  LogRecordHeader,
  TransactionHeader,
  unstampCycles,
} from '../../formats/log.ts';
import { MemoryDevice } from '../device/memory.ts';
import { RecorderDevice } from '../device/recorder.ts';
import { LogWriter } from './log-writer.ts';
import type { Position } from './position.ts';

/** A log of `blocks` fs blocks of 4 KiB at byte 0 of a device of its own. */
function log(blocks: number, logSunit: number) {
  const geometry = {
    fsBlockToByte: (block: number) => block * 4096,
    logStart: 0,
    logBlocks: blocks,
    blockSize: 4096,
    logSunit,
    uuid: Uint8Array.from({ length: 16 }, (_, i) => i),
  } as unknown as Geometry;
  const device = new RecorderDevice(new MemoryDevice(blocks * 4096));
  const head = { cycle: 1, block: 0 };
  return { device, writer: new LogWriter(device, geometry, head, 0xffffffff, head), size: blocks * 4096 };
}

const region = (length: number, fill = 1): Uint8Array => new Uint8Array(length).fill(fill);

interface Op {
  flags: number;
  length: number;
}
interface Record {
  at: Position;
  tail: Position;
  blocks: number;
  previous: number;
  ops: Op[];
}

/** All records of a log between two places, checked on the way: CRC, own position, op count. */
function records(device: RecorderDevice, size: number, from: Position, to: Position): Record[] {
  const found: Record[] = [];
  const total = size / LOG_BB;
  let at = from;
  while (at.cycle !== to.cycle || at.block !== to.block) {
    const bytes = new Uint8Array(65536 * 4);
    for (let i = 0; i < bytes.length / LOG_BB && i < total; i++) {
      device.read(((at.block + i) % total) * LOG_BB, bytes.subarray(i * LOG_BB, (i + 1) * LOG_BB));
    }
    const view = new DataView(bytes.buffer);
    const header = LogRecordHeader.at(view);
    expect(header.magic).toBe(LOG_RECORD_MAGIC);
    expect([header.cycle, header.lsnHi, header.lsnLo]).toEqual([at.cycle, at.cycle, at.block]);
    const headers = headerBlocks(header.size);
    const blocks = headers + header.len / LOG_BB;
    expect(isLogRecordCrcGood(bytes.subarray(0, blocks * LOG_BB))).toBe(true);
    unstampCycles(view);
    const ops: Op[] = [];
    let offset = headers * LOG_BB;
    for (let i = 0; i < header.numLogops; i++) {
      const op = LogOpHeader.at(view, offset);
      ops.push({ flags: op.flags, length: op.len });
      offset += LogOpHeader.size + op.len;
    }
    expect(offset).toBeLessThanOrEqual(blocks * LOG_BB);
    const tail = { cycle: header.tailLsnHi, block: header.tailLsnLo };
    found.push({ at, tail, blocks, previous: header.prevBlock, ops });
    const next = at.block + blocks;
    at = next < total ? { cycle: at.cycle, block: next } : { cycle: at.cycle + 1, block: next - total };
  }
  return found;
}

describe('log writer', () => {
  it('a small checkpoint is one record: start, header, regions, commit', () => {
    const { device, writer, size } = log(512, 1);
    const from = writer.head;
    const lsn = writer.writeCheckpoint([region(28), region(128)], from);
    expect(lsn).toEqual(from);
    const [only, ...rest] = records(device, size, from, writer.head);
    expect(rest).toEqual([]);
    expect(only).toMatchObject({ blocks: 2, previous: 0xffffffff, tail: from });
    expect(only!.ops).toEqual([
      { flags: LOG_OP.START, length: 0 },
      { flags: 0, length: TransactionHeader.size },
      { flags: 0, length: 28 },
      { flags: 0, length: 128 },
      { flags: LOG_OP.COMMIT, length: 0 },
    ]);
  });

  it.each([1, 4096, 32768, 65536, 20480])('regions go on in the next record; stripe unit %i', (sunit) => {
    const { device, writer, size } = log(1024, sunit);
    const from = writer.head;
    const lengths = [100_000, 4, 32_000, 8, 70_004];
    writer.writeCheckpoint(
      lengths.map((length) => region(length)),
      from,
    );
    const all = records(device, size, from, writer.head);
    expect(all.length).toBeGreaterThan(2);
    for (const { at, blocks } of all) {
      expect([(at.block * LOG_BB) % Math.max(512, sunit), (blocks * LOG_BB) % Math.max(512, sunit)]).toEqual([0, 0]);
    }
    expect(all.slice(1).map(({ previous }) => previous)).toEqual(all.slice(0, -1).map(({ at }) => at.block));
    const joined: number[] = [];
    let open = 0;
    for (const { flags, length } of all.flatMap(({ ops }) => ops)) {
      expect(length % 4).toBe(0);
      if (flags & LOG_OP.CONTINUED) open += length;
      else open = length;
      const ends = (flags & LOG_OP.CONTINUES) === 0;
      if (flags & LOG_OP.CONTINUED) expect(ends).toBe((flags & LOG_OP.END) !== 0);
      if (ends && open > 0) joined.push(open);
    }
    expect(joined).toEqual([TransactionHeader.size, ...lengths]);
  });

  it('goes round the end, and never takes more than it said', () => {
    const { device, writer, size } = log(256, 1);
    let from = writer.head;
    for (let i = 1; i < 400; i++) {
      const regions = Array.from({ length: 1 + (i % 7) }, (_, k) => region(4 * (1 + ((i * 37 + k * 991) % 3000))));
      const bytes = regions.reduce((sum, each) => sum + each.length, 0);
      writer.writeCheckpoint(regions, from);
      const blocks = records(device, size, from, writer.head).reduce((sum, each) => sum + each.blocks, 0);
      expect(blocks).toBeLessThanOrEqual(writer.blocksFor(bytes, regions.length));
      from = writer.head;
    }
    expect(writer.head.cycle).toBeGreaterThan(3);
  });

  it('flushes before more than a MiB is under way, and behind the first record when the tail has moved', () => {
    const { device, writer } = log(4096, 1);
    const first = writer.head;
    writer.writeCheckpoint([region(3 << 20)], first);
    let unflushed = 0;
    for (const event of device.events) {
      unflushed = event.kind === 'flush' ? 0 : unflushed + event.bytes.length;
      expect(unflushed).toBeLessThanOrEqual(1 << 20);
    }
    device.events.length = 0;
    writer.writeCheckpoint([region(100_000)], writer.head);
    expect(device.events.slice(0, 4).map(({ kind }) => kind)).toEqual(['write', 'flush', 'write', 'write']);
    device.events.length = 0;
    writer.writeCheckpoint([region(100_000)], { cycle: 1, block: 6000 });
    device.events.length = 0;
    writer.writeCheckpoint([region(100_000)], { cycle: 1, block: 6000 });
    expect(device.events.map(({ kind }) => kind)).not.toContain('flush');
  });
});
