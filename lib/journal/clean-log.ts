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
import { CadastreError, unsupported } from '../errors.ts';
import { LogShape, type Position } from './position.ts';

/** Basic blocks that can have been in flight at a crash. */
const IN_FLIGHT = (8 * MAX_LOG_BUFFER) / LOG_BB;
const CHUNK = 1 << 20;
/** Cycles from the greatest in use to that of a new log; the one between them is that of its filling. */
export const BEYOND = 2;
/** Cycles are signed in other tools. */
export const MAX_LOG_CYCLE = 0x7fffffff;

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
 * the old log held is lost. Throws `unsupported` LOG_CYCLE when no later cycle exists.
 * @param beyond a cycle that is known to be in use, if any. @returns the cycle of the log.
 */
export function resetLog(device: Device, geometry: Geometry, beyond = 0): number {
  const cycle = freshLogCycle(device, geometry, beyond);
  const log = new FreshLog(geometry, cycle);
  const put = (at: number, length: number, begun = false): void => {
    const bytes = new Uint8Array(length);
    log.read(at, bytes, begun);
    device.write(log.start + at, bytes);
  };
  // With its first sector in a cycle that does not follow that of its last the log is none: no part of it is ever replayed.
  put(0, LOG_BB);
  device.flush();
  const last = log.bytes - log.piece;
  for (let at = 0; at < last; at += log.step) put(at, Math.min(log.step, last - at));
  device.flush();
  // Now it is a clean one, whether or not the first record of the next cycle gets there whole.
  put(last, log.piece);
  device.flush();
  put(0, log.piece, true);
  device.flush();
  return cycle;
}

/** The cycle that `resetLog` would give the new log. Throws as it does. */
export function freshLogCycle(device: Device, geometry: Geometry, beyond = 0): number {
  const shape = new LogShape(geometry);
  const cycle = Math.max(1, beyond, greatestCycle(device, geometry, shape), greatestLsn(device, geometry)) + BEYOND;
  if (cycle > MAX_LOG_CYCLE) {
    throw unsupported('LOG_CYCLE', 'the log has no cycle left to start anew', {
      where: { structure: 'log' },
      found: cycle,
    });
  }
  return cycle;
}

/** The bytes of a log that says nothing, made when they are asked for. */
export class FreshLog {
  /** Byte address and length of the log. */
  readonly start: number;
  readonly bytes: number;
  /** Bytes of whole records that make a good write. */
  readonly step: number;
  readonly #uuid: Uint8Array;
  readonly #sunit: number;
  readonly #cycle: number;
  /** Bytes of a record. */
  readonly piece: number;

  constructor(geometry: Geometry, cycle: number) {
    const shape = new LogShape(geometry);
    this.start = shape.start;
    this.bytes = shape.blocks * LOG_BB;
    this.#uuid = geometry.uuid;
    this.#sunit = geometry.logSunit;
    this.#cycle = cycle;
    this.piece = cleanLogRecord(geometry.uuid, geometry.logSunit).length;
    this.step = Math.max(1, Math.floor(CHUNK / this.piece)) * this.piece;
  }

  /** Bytes from `offset` of the log on. @param begun its first record is there; else it is all of the cycle before. */
  read(offset: number, into: Uint8Array, begun = true): void {
    const { piece } = this;
    into.fill(0);
    for (let at = offset - (offset % piece); at < offset + into.length && at + piece <= this.bytes; at += piece) {
      const record = this.#record(at / LOG_BB, begun);
      const from = Math.max(at, offset);
      const to = Math.min(at + piece, offset + into.length);
      into.set(record.subarray(from - at, to - at), from - offset);
    }
  }

  #record(block: number, begun: boolean): Uint8Array {
    const isFirst = block === 0 && begun;
    const cycle = isFirst ? this.#cycle : this.#cycle - 1;
    const end = (this.bytes - this.piece) / LOG_BB;
    const tail = isFirst ? { tailCycle: cycle - 1, tailBlock: end } : { tailCycle: cycle, tailBlock: block };
    return cleanLogRecord(this.#uuid, this.#sunit, { cycle, block, ...tail });
  }
}

/** The greatest cycle that any block of the log carries. */
function greatestCycle(device: Device, geometry: Geometry, shape: LogShape): number {
  const bytes = new Uint8Array(Math.min(CHUNK, shape.blocks * LOG_BB));
  const view = new DataView(bytes.buffer);
  let greatest = 0;
  for (let at = 0; at < shape.blocks; at += CHUNK / LOG_BB) {
    const count = Math.min(CHUNK / LOG_BB, shape.blocks - at);
    if (!readIfPossible(device, shape.start + at * LOG_BB, bytes.subarray(0, count * LOG_BB))) continue;
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
      if (!readIfPossible(device, geometry.agHeaderDaddr(ag, i as 0 | 1 | 2 | 3) * LOG_BB, sector)) return;
      const cycle = view.getUint32(type.lsnOffset);
      if (cycle <= MAX_LOG_CYCLE) greatest = Math.max(greatest, cycle);
    });
  }
  return greatest;
}

/** False when the device fails there. */
function readIfPossible(device: Device, offset: number, into: Uint8Array): boolean {
  try {
    device.read(offset, into);
    return true;
  } catch (error) {
    if (error instanceof CadastreError && error.family === 'device') return false;
    throw error;
  }
}
