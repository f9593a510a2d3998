/** The log reader against the log writer: heads and tails of any log, written round, torn and damaged. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { XFS } from '../../formats/dialect.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { LOG_BB, LogRecordHeader } from '../../formats/log.ts';
import { BUFFER_ITEM, BufferItem, LOG_ITEM } from '../../formats/log-items.ts';
import { MemoryDevice } from '../device/memory.ts';
import { OverlayDevice } from '../device/overlay.ts';
import { RecorderDevice } from '../device/recorder.ts';
import type { CadastreError } from '../errors.ts';
import { planMake, writeImage } from '../mkfs/make.ts';
import { openSuperblock } from '../volume/open.ts';
import { clearAhead, resetLog } from './clean-log.ts';
import { readLogState } from './log-reader.ts';
import { LogWriter } from './log-writer.ts';
import { comparePositions, LogShape, type Position } from './position.ts';
import { forEachCheckpoint, summarizeLog } from './recovery/checkpoints.ts';

const TIME = { seconds: 1, nanoseconds: 1 };
const image = (() => {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const plan = planMake({ dialect: XFS, size: 32 << 20, uuid, time: TIME });
  const device = new MemoryDevice(plan.image.size);
  writeImage(device, plan, true, { time: TIME, reproducible: true, generation: 1 });
  return device;
})();
const { geometry } = openSuperblock(image);
const shape = new LogShape(geometry);

/** A buffer item of this many bytes in all: a cancel, so that it needs no block. */
function item(bytes: number, seed: number): Uint8Array {
  const region = new Uint8Array(Math.max(BufferItem.size, bytes)).fill(seed);
  const view = new DataView(region.buffer);
  const fields = BufferItem.at(view);
  fields.type = LOG_ITEM.BUFFER;
  fields.regions = 1;
  fields.flags = BUFFER_ITEM.CANCEL;
  fields.mapWords = 0;
  return region;
}

interface Written {
  readonly at: Position;
  readonly regions: Uint8Array[];
}

/** Write checkpoints behind each other; the tail follows so that at most half of the log is in use. */
function writeAll(device: OverlayDevice, sizes: readonly number[][], geometryOf: Geometry = geometry) {
  const state = readLogState(device, geometryOf);
  const writer = new LogWriter(device, geometryOf, state.head, state.previousBlock, state.tail);
  const written: Written[] = [];
  let tail = state.head;
  sizes.forEach((bytes, i) => {
    const regions = bytes.map((each) => item(each, i + 1));
    const at = writer.head;
    while (written.length > 0 && shape.distance(tail, at) > shape.blocks / 2) {
      written.shift();
      tail = written[0]?.at ?? at;
    }
    writer.writeCheckpoint(regions, tail);
    written.push({ at, regions });
  });
  return { writer, written, tail };
}

const sizes = (max: number): fc.Arbitrary<number[][]> =>
  fc.array(fc.array(fc.integer({ min: 20, max: 200_000 }), { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: max,
  });

describe('log reader', () => {
  it('finds the clean log of a fresh image', () => {
    expect(readLogState(image, geometry)).toEqual({
      clean: true,
      head: { cycle: 1, block: 2 },
      tail: { cycle: 1, block: 2 },
      previousBlock: 0,
      tornRecords: 0,
    });
  });

  it('finds what was written, also round the end of the log', () => {
    fc.assert(
      fc.property(sizes(30), (each) => {
        const device = new OverlayDevice(image);
        const { writer, written, tail } = writeAll(device, each);
        const state = readLogState(device, geometry);
        expect(state).toMatchObject({ clean: false, head: writer.head, tornRecords: 0 });
        expect(comparePositions(state.tail, tail)).toBe(0);
        const found: Written[] = [];
        forEachCheckpoint(device, geometry, state, ({ lsn, items }) => {
          found.push({ at: lsn, regions: items.map(({ regions }) => regions[0]!) });
        });
        expect(found.map(({ at }) => at)).toEqual(written.map(({ at }) => at));
        found.forEach(({ regions }, i) => {
          const expected = written[i]!.regions;
          expect(regions.length).toBe(expected.length);
          regions.forEach((region, k) => void expect(Buffer.compare(region, expected[k]!)).toBe(0));
        });
        const items = written.reduce((sum, { regions }) => sum + regions.length, 0);
        expect(summarizeLog(device, geometry, state).items).toEqual({ BUFFER: items });
        writer.writeUnmount();
        expect(readLogState(device, geometry)).toMatchObject({ clean: true, head: writer.head, tail: writer.head });
      }),
      { numRuns: 12 },
    );
  });

  it('cuts off what a crash left unfinished at the head, and only there', () => {
    const base = new OverlayDevice(image);
    const { written } = writeAll(
      base,
      Array.from({ length: 12 }, () => [30_000, 200]),
    );
    const last = written.at(-1)!.at;
    const at = (position: Position, offset: number): number => shape.start + position.block * LOG_BB + offset;
    // A damaged body: the checkpoint is not there.
    const torn = new OverlayDevice(base);
    torn.write(at(last, 3000), Uint8Array.of(1, 2, 3));
    expect(readLogState(torn, geometry)).toMatchObject({ head: last, clean: false });
    // A hole: a sector that was never written.
    const hole = new OverlayDevice(base);
    hole.write(at(written.at(-2)!.at, 5 * LOG_BB), new Uint8Array(LOG_BB));
    expect(readLogState(hole, geometry).head).toEqual(written.at(-2)!.at);
    // Further back than anything can have been in flight: damage.
    const damaged = new OverlayDevice(base);
    damaged.write(at(written[0]!.at, 3000), Uint8Array.of(1, 2, 3));
    const state = readLogState(damaged, geometry);
    const read = () => forEachCheckpoint(damaged, geometry, state, () => {});
    expect(read).toThrow(
      expect.objectContaining({ code: 'LOG_RECORD_CRC', where: { structure: 'log', block: written[0]!.at.block } }),
    );
  });

  it('does not take what lies ahead of a cut head for new records', () => {
    const device = new OverlayDevice(image);
    const { written } = writeAll(
      device,
      Array.from({ length: 6 }, () => [20_000]),
    );
    // The fourth is torn; the two behind it stay whole and would be taken up when a new record reaches them.
    device.write(shape.start + written[3]!.at.block * LOG_BB + 5000, Uint8Array.of(9));
    const state = readLogState(device, geometry);
    expect(state.head).toEqual(written[3]!.at);
    clearAhead(device, geometry, state.head, state.tail);
    const writer = new LogWriter(device, geometry, state.head, state.previousBlock, state.tail);
    writer.writeCheckpoint([item(20_000, 77)], state.tail);
    expect(readLogState(device, geometry).head).toEqual(writer.head);
    expect(comparePositions(writer.head, written[4]!.at)).toBe(0);
  });

  it('refuses cycles, places and sizes that cannot be', () => {
    const base = new OverlayDevice(image);
    const { written } = writeAll(base, [[1000], [2000]]);
    const last = shape.start + written[1]!.at.block * LOG_BB;
    const break1 = (change: (header: ReturnType<typeof LogRecordHeader.at>) => void): (() => unknown) => {
      const device = new OverlayDevice(base);
      const head = new Uint8Array(LOG_BB);
      device.read(last, head);
      change(LogRecordHeader.at(new DataView(head.buffer)));
      device.write(last, head);
      return () => readLogState(device, geometry);
    };
    const code = (expected: string) => expect.objectContaining({ code: expected });
    // Whatever the header of the newest record says, it is torn at worst: the one before it counts.
    expect(break1((header) => void (header.tailLsnLo = 0xffffff))()).toMatchObject({ head: written[1]!.at });
    expect(break1((header) => void (header.len = 0x7ffffe00))).toThrow(code('LOG_HEAD'));
    const zeroStart = new OverlayDevice(base);
    zeroStart.write(shape.start, new Uint8Array(LOG_BB));
    zeroStart.write(shape.start + (shape.blocks - 1) * LOG_BB, Uint8Array.of(0, 0, 0, 7));
    expect(() => readLogState(zeroStart, geometry)).toThrow(code('LOG_CYCLE'));
    const jump = new OverlayDevice(base);
    jump.write(shape.start + (shape.blocks - 1) * LOG_BB, Uint8Array.of(0, 0, 9, 7));
    expect(() => readLogState(jump, geometry)).toThrow(code('LOG_CYCLE'));
  });

  it('a log of zeroes is clean, a log that was reset is clean in a later cycle', () => {
    const device = new OverlayDevice(image);
    device.zero(shape.start, shape.blocks * LOG_BB);
    expect(readLogState(device, geometry)).toMatchObject({ clean: true, head: { cycle: 1, block: 0 } });
    writeAll(
      device,
      Array.from({ length: 50 }, () => [200_000]),
    );
    const before = readLogState(device, geometry);
    const cycle = resetLog(device, geometry);
    expect(cycle).toBeGreaterThan(before.head.cycle);
    expect(readLogState(device, geometry)).toMatchObject({ clean: true, head: { cycle, block: 2 } });
    const { writer } = writeAll(device, [[5000]]);
    expect(readLogState(device, geometry)).toMatchObject({ clean: false, head: writer.head });
  });

  it.each(['zeroes', 'a clean log', 'a dirty log', 'garbage'])(
    'a reset over %s that is cut off leaves nothing to replay',
    (what) => {
      const old = new OverlayDevice(image);
      const bytes = Uint8Array.from({ length: shape.blocks * LOG_BB }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24);
      if (what === 'zeroes') old.zero(shape.start, bytes.length);
      if (what === 'garbage') old.write(shape.start, bytes);
      if (what === 'a dirty log') writeAll(old, [[5000], [200_000]]);
      const recorder = new RecorderDevice(old);
      resetLog(recorder, geometry);
      for (let cut = 0; cut <= recorder.events.length; cut++) {
        for (let seed = 0; seed < 12; seed++) {
          const crashed = recorder.crashImage(cut, { unflushed: 'some', seed, sector: LOG_BB });
          const untouched = crashed.changedBytes === 0;
          try {
            const { clean } = readLogState(crashed, geometry);
            if (!untouched) expect(clean, `cut ${cut}, seed ${seed}`).toBe(true);
          } catch (error) {
            // No log at all: a new one is made.
            if (!untouched)
              expect(['LOG_CYCLE', 'LOG_HEAD'], `cut ${cut}, seed ${seed}: ${error}`).toContain(
                (error as CadastreError).code,
              );
          }
        }
      }
    },
  );
});
