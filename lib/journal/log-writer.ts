/**
 * Writes checkpoints and the clean-log record.
 *
 *   checkpoint = start op | transaction header | region ... region | commit op
 *   cut into records of at most one in-core buffer; a region may go on in the next record, an op header never does
 *
 * 1. Records are contiguous; each starts and ends on the log's stripe unit and may wrap past the end of the ring.
 * 2. At most FLUSH_BYTES of records are written between two flushes: recovery looks back no further than 2 MiB for holes
 *    that an unordered crash can leave.
 * 3. The writer does not know what is still needed in the log: the caller guarantees room before it writes.
 * 4. While the tail on the disk is an older one, only one record may be written ahead of it unflushed: the rest of the
 *    checkpoint could overwrite what that old tail still points at.
 */

import type { Geometry } from '../../formats/geometry.ts';
import {
  headerBlocks,
  LOG_BB,
  LOG_CLIENT,
  LOG_FORMAT_LE,
  LOG_OP,
  LOG_RECORD_MAGIC,
  LOG_VERSION,
  LogOpHeader,
  LogRecordHeader,
  sealLogRecord,
  stampCycles,
  TRANSACTION_CHECKPOINT,
  TRANSACTION_MAGIC,
  TransactionHeader,
  UNMOUNT_MAGIC,
} from '../../formats/log.ts';
import type { Device } from '../device/device.ts';
import { comparePositions, LogShape, type Position } from './position.ts';

const FLUSH_BYTES = 1 << 20;
const OP = LogOpHeader.size;

export class LogWriter {
  readonly shape: LogShape;
  /** Where the next record goes. */
  head: Position;
  readonly #device: Device;
  readonly #geometry: Geometry;
  #previousBlock: number;
  readonly #record: Uint8Array;
  readonly #view: DataView;
  readonly #bodyStart: number;
  /** Bytes used of the body, ops in it. */
  #used = 0;
  #ops = 0;
  #unflushed = 0;
  #tid = 1;
  /** The tail that the last durable record names, and the one that the last written record names. */
  #durableTail: Position;
  #writtenTail: Position;

  /** @param previousBlock where the last record before `head` starts. @param tail the one it names. */
  constructor(device: Device, geometry: Geometry, head: Position, previousBlock: number, tail: Position) {
    this.shape = new LogShape(geometry);
    this.head = head;
    this.#device = device;
    this.#geometry = geometry;
    this.#previousBlock = previousBlock;
    this.#durableTail = this.#writtenTail = tail;
    this.#record = new Uint8Array(this.shape.bufferBytes);
    this.#view = new DataView(this.#record.buffer);
    this.#bodyStart = headerBlocks(this.shape.bufferBytes) * LOG_BB;
  }

  /** Most basic blocks a checkpoint of these regions takes. */
  blocksFor(regionBytes: number, regionCount: number): number {
    const body = this.shape.recordBytes - this.#bodyStart;
    const bytes = regionBytes + (regionCount + 3) * OP + TransactionHeader.size;
    // Each record may leave an op header's room unused and repeats one for the region that goes on.
    const records = Math.ceil(bytes / (body - 2 * OP)) + 1;
    const perRecord = this.#bodyStart / LOG_BB + this.shape.unit;
    return Math.ceil(bytes / LOG_BB) + records * perRecord;
  }

  /**
   * Write one checkpoint; durable after the caller's flush. All records before it must be durable.
   * @param regions in order: items one after the other, each its format structure first.
   * @param tail oldest record still needed once this one is in the log.
   * @returns the LSN of the checkpoint: where its first record starts.
   */
  writeCheckpoint(regions: readonly Uint8Array[], tail: Position): Position {
    const start = this.head;
    this.#flushed();
    const tid = this.#tid++;
    const header = new Uint8Array(TransactionHeader.size);
    const fields = TransactionHeader.at(new DataView(header.buffer));
    fields.magic = TRANSACTION_MAGIC;
    fields.type = TRANSACTION_CHECKPOINT;
    fields.tid = tid;
    fields.numRegions = regions.length;
    this.#used = this.#ops = 0;
    this.#op(tid, LOG_OP.START, tail);
    this.#region(tid, header, tail);
    for (const region of regions) this.#region(tid, region, tail);
    this.#op(tid, LOG_OP.COMMIT, tail);
    this.#emit(tail);
    return start;
  }

  /** Write the record that says "nothing to replay". Everything must be in place before. */
  writeUnmount(): void {
    this.#used = this.#ops = 0;
    const at = this.#bodyStart;
    const op = LogOpHeader.at(this.#view, at);
    op.tid = this.#tid++;
    op.len = 8;
    op.clientid = LOG_CLIENT.LOG;
    op.flags = LOG_OP.UNMOUNT;
    op.reserved = 0;
    this.#record.fill(0, at + OP, at + OP + 8);
    this.#view.setUint16(at + OP, UNMOUNT_MAGIC, true);
    this.#used = OP + 8;
    this.#ops = 1;
    this.#emit(this.head);
  }

  /** What was written is durable. */
  #flushed(): void {
    this.#unflushed = 0;
    this.#durableTail = this.#writtenTail;
  }

  get #room(): number {
    return this.shape.recordBytes - this.#bodyStart - this.#used;
  }

  /** An op without data. */
  #op(tid: number, flags: number, tail: Position): void {
    if (this.#room < OP) this.#emit(tail);
    this.#opHeader(tid, 0, flags);
  }

  #opHeader(tid: number, length: number, flags: number): void {
    const op = LogOpHeader.at(this.#view, this.#bodyStart + this.#used);
    op.tid = tid;
    op.len = length;
    op.clientid = LOG_CLIENT.TRANSACTION;
    op.flags = flags;
    op.reserved = 0;
    this.#used += OP;
    this.#ops++;
  }

  #region(tid: number, bytes: Uint8Array, tail: Position): void {
    for (let done = 0; ; ) {
      // A piece keeps regions 4-byte aligned and is never empty.
      if (this.#room < OP + Math.min(4, bytes.length)) this.#emit(tail);
      const length = Math.min(bytes.length - done, (this.#room - OP) & ~3);
      const last = done + length === bytes.length;
      const flags =
        done === 0
          ? last
            ? 0
            : LOG_OP.CONTINUES
          : last
            ? LOG_OP.CONTINUED | LOG_OP.END
            : LOG_OP.CONTINUES | LOG_OP.CONTINUED;
      this.#opHeader(tid, length, flags);
      this.#record.set(bytes.subarray(done, done + length), this.#bodyStart + this.#used);
      this.#used += length;
      done += length;
      if (last) return;
    }
  }

  /** Pad, stamp, seal and write the record; the next one starts behind it. */
  #emit(tail: Position): void {
    const { shape } = this;
    const unitBytes = shape.unit * LOG_BB;
    const total = Math.ceil((this.#bodyStart + this.#used) / unitBytes) * unitBytes;
    const blocks = total / LOG_BB;
    const record = this.#record.subarray(0, total);
    record.fill(0, this.#bodyStart + this.#used);
    record.fill(0, 0, this.#bodyStart);
    const view = new DataView(this.#record.buffer, 0, total);
    const header = LogRecordHeader.at(view);
    header.magic = LOG_RECORD_MAGIC;
    header.cycle = this.head.cycle;
    header.version = LOG_VERSION;
    header.len = total - this.#bodyStart;
    header.lsnHi = this.head.cycle;
    header.lsnLo = this.head.block;
    header.tailLsnHi = tail.cycle;
    header.tailLsnLo = tail.block;
    header.prevBlock = this.#previousBlock;
    header.numLogops = this.#ops;
    header.fmt = LOG_FORMAT_LE;
    header.fsUuid = this.#geometry.uuid;
    header.size = shape.bufferBytes;
    const fits = shape.blocks - this.head.block;
    stampCycles(view, fits);
    sealLogRecord(record);
    const tailMoves = this.#unflushed > 0 && comparePositions(this.#writtenTail, this.#durableTail) !== 0;
    if (tailMoves || this.#unflushed + total > FLUSH_BYTES) {
      this.#device.flush();
      this.#flushed();
    }
    const first = Math.min(blocks, fits) * LOG_BB;
    this.#device.write(shape.start + this.head.block * LOG_BB, record.subarray(0, first));
    if (first < total) this.#device.write(shape.start, record.subarray(first));
    this.#unflushed += total;
    this.#writtenTail = tail;
    this.#previousBlock = this.head.block;
    this.head = shape.advance(this.head, blocks);
    this.#used = this.#ops = 0;
  }
}
