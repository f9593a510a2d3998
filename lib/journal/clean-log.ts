/**
 * Log blocks that say nothing: ahead of the head after a crash, and a whole log that is thrown away.
 *
 * 1. Ahead of the head a crash may have left blocks of the current cycle. They would look like records as soon as new ones
 *    reach them, so they are overwritten with empty headers of the cycle before, as far as writes in flight can have been.
 * 2. A log made anew stands in a later cycle than every LSN in the metadata: an LSN ahead of the log is damage (10.10).
 */
import { AGF_TYPE, AGFL_TYPE, AGI_TYPE } from '../../formats/ag-verify.ts';
import type { Geometry } from '../../formats/geometry.ts';
import {
  cleanLogRecord,
  LOG_BB,
  LOG_FORMAT_LE,
  LOG_RECORD_MAGIC,
  LOG_VERSION,
  LogRecordHeader,
  MAX_LOG_BUFFER,
} from '../../formats/log.ts';
import { SUPERBLOCK_TYPE } from '../../formats/superblock-verify.ts';
import type { Device } from '../device/device.ts';
import { unsupported } from '../errors.ts';
import { LogShape, type Position } from './position.ts';

/** Basic blocks that can have been in flight at a crash. */
const IN_FLIGHT = (8 * MAX_LOG_BUFFER) / LOG_BB;
const CHUNK = 1 << 20;
/** Cycles are signed in other tools. */
const MAX_CYCLE = 0x7fffffff;

/** Make what lies ahead of the head harmless. Nothing is written when nothing there carries a cycle it must not. */
export function clearAhead(device: Device, geometry: Geometry, head: Position, tail: Position): void {
  const shape = new LogShape(geometry);
  const used = shape.distance(tail, head);
  const count = Math.min(IN_FLIGHT, shape.blocks - used);
  const fits = Math.min(count, shape.blocks - head.block);
  clearRun(device, geometry, shape, head.block, fits, head.cycle, tail);
  clearRun(device, geometry, shape, 0, count - fits, head.cycle + 1, tail);
}

/** Blocks of a run must be older than `cycle`. */
function clearRun(
  device: Device,
  geometry: Geometry,
  shape: LogShape,
  start: number,
  count: number,
  cycle: number,
  tail: Position,
): void {
  if (count <= 0) return;
  const bytes = new Uint8Array(count * LOG_BB);
  const view = new DataView(bytes.buffer);
  device.read(shape.start + start * LOG_BB, bytes);
  let stale = false;
  for (let i = 0; i < count && !stale; i++) {
    const word = view.getUint32(i * LOG_BB);
    stale = (word === LOG_RECORD_MAGIC ? view.getUint32(i * LOG_BB + 4) : word) >= cycle;
  }
  if (!stale) return;
  bytes.fill(0);
  // In the first cycle there is no cycle before: zeroes, as mkfs leaves them.
  for (let i = 0; i < count && cycle > 1; i++) {
    const header = LogRecordHeader.at(view, i * LOG_BB);
    header.magic = LOG_RECORD_MAGIC;
    header.cycle = cycle - 1;
    header.version = LOG_VERSION;
    header.lsnHi = cycle - 1;
    header.lsnLo = start + i;
    header.tailLsnHi = tail.cycle;
    header.tailLsnLo = tail.block;
    header.fmt = LOG_FORMAT_LE;
    header.fsUuid = geometry.uuid;
  }
  device.write(shape.start + start * LOG_BB, bytes);
  device.flush();
}

/**
 * Write a new clean log over whatever is there, in a cycle beyond everything found in the log and in the AG headers. What
 * the old log held is lost. Throws `unsupported` LOG_CYCLE when no later cycle exists. @returns its cycle.
 */
export function resetLog(device: Device, geometry: Geometry): number {
  const shape = new LogShape(geometry);
  const cycle = Math.max(1, greatestCycle(device, geometry, shape), greatestLsn(device, geometry)) + 1;
  if (cycle > MAX_CYCLE) {
    throw unsupported('LOG_CYCLE', 'the log has no cycle left to start anew', {
      where: { structure: 'log' },
      found: cycle,
    });
  }
  const sunit = geometry.logSunit;
  const piece = cleanLogRecord(geometry.uuid, sunit).length / LOG_BB;
  const end = shape.blocks - piece;
  // From the end to the start: until the first record is there the log does not look clean in the new cycle.
  const perWrite = Math.max(1, Math.floor(CHUNK / (piece * LOG_BB))) * piece;
  const last = Math.floor((shape.blocks - 1) / perWrite) * perWrite;
  for (let at = last; at >= 0; at -= perWrite) {
    const count = Math.min(perWrite, shape.blocks - at);
    const bytes = new Uint8Array(count * LOG_BB);
    for (let i = 0; i + piece <= count; i += piece) {
      const block = at + i;
      const own = block === 0 ? cycle : cycle - 1;
      const tail = block === 0 ? { tailCycle: cycle - 1, tailBlock: end } : { tailCycle: own, tailBlock: block };
      bytes.set(cleanLogRecord(geometry.uuid, sunit, { cycle: own, block, ...tail }), i * LOG_BB);
    }
    if (at === 0) device.flush();
    device.write(shape.start + at * LOG_BB, bytes);
  }
  device.flush();
  return cycle;
}

/** The greatest cycle that any block of the log carries. */
function greatestCycle(device: Device, geometry: Geometry, shape: LogShape): number {
  const bytes = new Uint8Array(Math.min(CHUNK, shape.blocks * LOG_BB));
  const view = new DataView(bytes.buffer);
  let greatest = 0;
  for (let at = 0; at < shape.blocks; at += CHUNK / LOG_BB) {
    const count = Math.min(CHUNK / LOG_BB, shape.blocks - at);
    device.read(shape.start + at * LOG_BB, bytes.subarray(0, count * LOG_BB));
    for (let i = 0; i < count; i++) {
      // Only headers of this image count: a damaged word could name any cycle.
      if (view.getUint32(i * LOG_BB) !== LOG_RECORD_MAGIC) continue;
      const header = LogRecordHeader.at(view, i * LOG_BB);
      const isOurs = header.lsnHi === header.cycle && header.fsUuid.every((byte, k) => byte === geometry.uuid[k]);
      if (isOurs) greatest = Math.max(greatest, header.cycle);
    }
  }
  return greatest;
}

/** The greatest cycle of an LSN in the headers of the AGs. */
function greatestLsn(device: Device, geometry: Geometry): number {
  const sector = new Uint8Array(geometry.sectorSize);
  const view = new DataView(sector.buffer);
  let greatest = 0;
  for (let ag = 0; ag < geometry.agCount; ag++) {
    [SUPERBLOCK_TYPE, AGF_TYPE, AGI_TYPE, AGFL_TYPE].forEach((type, i) => {
      device.read(geometry.agHeaderDaddr(ag, i as 0 | 1 | 2 | 3) * LOG_BB, sector);
      const cycle = view.getUint32(type.lsnOffset);
      if (cycle <= MAX_CYCLE) greatest = Math.max(greatest, cycle);
    });
  }
  return greatest;
}
