/**
 * Reads the log: where it ends (head), where replay starts (tail), and the records between.
 *
 * 1. The log is a ring. Ahead of the head lie blocks of the cycle before, so the head is found by a binary search over
 *    cycle words; memory and reading are bounded whatever the size of the log.
 * 2. A crash leaves the last writes in any state: holes among the last WINDOW blocks and bad CRCs in the last
 *    TORN_RECORDS records cut the head back. Anything wrong further back is damage: `corrupt`, with place and reason.
 * 3. Nothing a header says is believed before its shape, own position, cycle, uuid and the record's CRC were checked.
 */
import { storedCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import {
  isLogRecordCrcGood,
  LOG_BB,
  LOG_FORMAT_LE,
  LOG_OP,
  LOG_RECORD_MAGIC,
  LogOpHeader,
  LogRecordHeader,
  logRecordShape,
  MAX_LOG_BUFFER,
  unstampCycles,
} from '../../formats/log.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { Device } from '../device/device.ts';
import { type CadastreError, corrupt, unsupported } from '../errors.ts';
import { comparePositions, LogShape, type Position } from './position.ts';

/** Basic blocks that may be in flight at once: 8 buffers of 256 KiB. */
const WINDOW = (8 * MAX_LOG_BUFFER) / LOG_BB;
/** Records that may be torn at a crash: as many as the kernel has buffers. */
const TORN_RECORDS = 8;
/** Basic blocks of the longest record, headers and stripe padding included. */
const LONGEST_RECORD = (2 * MAX_LOG_BUFFER) / LOG_BB + 8;
const CHUNK = 256;

/** What was found out about a log. */
export interface LogState {
  /** Nothing needs to be replayed. */
  readonly clean: boolean;
  /** Where the next record goes. */
  readonly head: Position;
  /** Oldest record to replay; equals `head` when the log is clean. */
  readonly tail: Position;
  /** Basic block of the last record's header; null (all ones) in a log of zeroes. */
  readonly previousBlock: number;
  /** Records at the head that a crash left unfinished: they are not part of the log. */
  readonly tornRecords: number;
}

/** A record as `forEachRecord` shows it: valid until the callback returns. */
export interface LogRecord {
  readonly position: Position;
  readonly tail: Position;
  /** Body bytes, cycle words taken out again. */
  readonly body: DataView;
  /** Op headers in the body, as the record says. */
  readonly ops: number;
}

/** The shape of a record in basic blocks. */
interface Shape {
  readonly headers: number;
  readonly body: number;
  readonly total: number;
}

/** A record header found by searching, with its size. */
interface Found extends Shape {
  readonly block: number;
  readonly cycle: number;
}

class Reader {
  readonly shape: LogShape;
  readonly geometry: Geometry;
  readonly #device: Device;
  readonly #chunk = new Uint8Array(CHUNK * LOG_BB);
  readonly #view = new DataView(this.#chunk.buffer);
  #start = 0;
  #count = 0;
  readonly #record = new Uint8Array(LONGEST_RECORD * LOG_BB);

  constructor(device: Device, geometry: Geometry) {
    this.#device = device;
    this.geometry = geometry;
    this.shape = new LogShape(geometry);
  }

  /** The bytes of one basic block, valid until the next call. `backwards` says which neighbours come along. */
  block(index: number, backwards = false): DataView {
    if (index < this.#start || index >= this.#start + this.#count) {
      this.#start = backwards ? Math.max(0, index - CHUNK + 1) : index;
      this.#count = Math.min(CHUNK, this.shape.blocks - this.#start);
      this.#device.read(this.shape.start + this.#start * LOG_BB, this.#chunk.subarray(0, this.#count * LOG_BB));
    }
    return new DataView(this.#view.buffer, (index - this.#start) * LOG_BB, LOG_BB);
  }

  cycle(index: number, single = false): number {
    let view: DataView;
    if (single) {
      view = new DataView(this.#record.buffer, 0, LOG_BB);
      this.#device.read(this.shape.start + index * LOG_BB, this.#record.subarray(0, LOG_BB));
    } else view = this.block(index);
    const word = view.getUint32(0);
    return word === LOG_RECORD_MAGIC ? view.getUint32(4) : word;
  }

  /** First block of [from, to) whose cycle is `cycle`, or -1. */
  firstWithCycle(from: number, to: number, cycle: number): number {
    for (let i = from; i < to; i++) if (this.cycle(i) === cycle) return i;
    return -1;
  }

  /** First block of a run that has this cycle up to `last`, which has it; block `first` has not. */
  startOfCycle(first: number, last: number, cycle: number): number {
    while (last - first > 1) {
      const middle = Math.floor((first + last) / 2);
      if (this.cycle(middle, true) === cycle) last = middle;
      else first = middle;
    }
    return last;
  }

  /** The record header at a block, if there is one that makes sense. */
  headerAt(index: number): Found | undefined {
    const view = this.block(index, true);
    if (view.getUint32(0) !== LOG_RECORD_MAGIC) return undefined;
    const shape = logRecordShape(view, this.shape.blocks);
    return shape && { block: index, cycle: view.getUint32(4), ...shape };
  }

  /** The nearest record header before `head` (going round the ring), at most `distance` blocks away. */
  headerBefore(head: number, distance: number): Found | undefined {
    for (let i = 1; i <= distance; i++) {
      const index = (head - i + this.shape.blocks) % this.shape.blocks;
      if (this.block(index, true).getUint32(0) === LOG_RECORD_MAGIC) return this.headerAt(index);
    }
    return undefined;
  }

  /** All bytes of a record as they are on the disk. The next call overwrites them. */
  record(found: Found): Uint8Array {
    const bytes = this.#record.subarray(0, found.total * LOG_BB);
    const fits = Math.min(found.total, this.shape.blocks - found.block);
    this.#device.read(this.shape.start + found.block * LOG_BB, bytes.subarray(0, fits * LOG_BB));
    if (fits < found.total) this.#device.read(this.shape.start, bytes.subarray(fits * LOG_BB));
    return bytes;
  }

  /** Is the record whole? mkfs writes CRC 0, which counts as good while the head is looked for. */
  isWhole(found: Found): boolean {
    const bytes = this.record(found);
    return storedCrc(bytes, LogRecordHeader.offsets.crc) === 0 || isLogRecordCrcGood(bytes);
  }
}

function damaged(code: string, message: string, at: number, expected?: unknown, found?: unknown): CadastreError {
  return corrupt(code, `log: ${message} (basic block ${at})`, {
    where: { structure: 'log', block: at },
    expected,
    found,
  });
}

/**
 * Find head and tail (docs/FORMAT.md, log). Throws `corrupt` LOG_* with the place, `unsupported` LOG_BYTE_ORDER for a
 * dirty log of a big-endian machine.
 */
export function readLogState(device: Device, geometry: Geometry): LogState {
  const reader = new Reader(device, geometry);
  const { shape } = reader;
  if (shape.blocks < 4) throw damaged('LOG_SIZE', 'the log is too small', 0, 'at least 4 basic blocks', shape.blocks);
  const raw = findHead(reader);
  if (raw === undefined) {
    const zero = { cycle: 1, block: 0 };
    return { clean: true, head: zero, tail: zero, previousBlock: NULL32, tornRecords: 0 };
  }
  let head = raw;
  let last = lastRecord(reader, head);
  let clean = endsClean(reader, last, head);
  let tornRecords = 0;
  if (!clean) {
    const cut = verifyHead(reader, last, head);
    if (cut) {
      tornRecords = cut.torn;
      head = cut.block;
      last = lastRecord(reader, head);
      clean = endsClean(reader, last, head);
    }
  }
  const headPosition = shape.advance({ cycle: last.cycle, block: last.block }, last.total);
  if (headPosition.block !== head) {
    throw damaged('LOG_HEAD', 'the last record does not reach the head', head, head, headPosition.block);
  }
  const state = { clean, head: headPosition, previousBlock: last.block, tornRecords };
  const view = reader.block(last.block, true);
  const header = LogRecordHeader.at(view);
  checkHeader(reader, view, last, { cycle: last.cycle, block: last.block }, clean);
  if (clean) return { ...state, tail: headPosition };
  const tail = { cycle: header.tailLsnHi, block: header.tailLsnLo };
  const distance = shape.distance(tail, headPosition);
  if (tail.block >= shape.blocks || tail.cycle === 0 || distance <= 0 || distance > shape.blocks) {
    throw damaged(
      'LOG_TAIL',
      'the tail lies outside the log',
      last.block,
      'a place before the head',
      showPosition(tail),
    );
  }
  return { ...state, tail: verifyTail(reader, tail, headPosition, (TORN_RECORDS * header.size) / LOG_BB) };
}

const showPosition = (at: Position): string => `${at.cycle}:${at.block}`;

/** The block the next record goes to, judged by cycles and record boundaries; undefined for a log of zeroes. */
function findHead(reader: Reader): number | undefined {
  const { blocks } = reader.shape;
  const first = reader.cycle(0);
  const last = reader.cycle(blocks - 1);
  if (first === 0) {
    if (last !== 0) throw damaged('LOG_CYCLE', 'the log starts with cycle 0 but was written', 0, 'cycle 1 or later', 0);
    return undefined;
  }
  let head: number;
  /** Blocks ahead of the head have this cycle. */
  let old: number;
  if (last === 0) {
    if (first !== 1) throw damaged('LOG_CYCLE', 'a log that was never full starts in its first cycle', 0, 1, first);
    head = reader.startOfCycle(0, blocks - 1, 0);
    old = 0;
  } else if (first === last) {
    head = blocks;
    old = last - 1;
  } else {
    if (first !== last + 1) throw damaged('LOG_CYCLE', 'cycles at both ends do not follow', 0, last + 1, first);
    head = reader.startOfCycle(0, blocks - 1, last);
    old = last;
  }
  head = beforeHoles(reader, head, old);
  head = toRecordBoundary(reader, head);
  return head === blocks ? 0 : head;
}

/** Cut the head back to the first block of the window that still has the old cycle: writes behind it were in flight. */
function beforeHoles(reader: Reader, head: number, old: number): number {
  const { blocks } = reader.shape;
  const window = Math.min(WINDOW, blocks - 1);
  if (head < window && old > 0) {
    // The window reaches round the end, where blocks are one cycle older.
    const hole = reader.firstWithCycle(blocks - (window - head), blocks, old - 1);
    if (hole >= 0) return hole;
  }
  const hole = reader.firstWithCycle(Math.max(0, head - window), head, old);
  return hole >= 0 ? hole : head;
}

/** A record that does not reach the head was not written to its end: the head is its start. */
function toRecordBoundary(reader: Reader, head: number): number {
  const { blocks } = reader.shape;
  const found = reader.headerBefore(head % blocks, Math.min(blocks, LONGEST_RECORD));
  if (!found) throw damaged('LOG_HEAD', 'no record ends at the head', head % blocks, 'a record header', 'none');
  const distance = (head - found.block + blocks) % blocks || blocks;
  if (found.total === distance) return head;
  return found.total > distance ? found.block : (found.block + found.total) % blocks;
}

function lastRecord(reader: Reader, head: number): Found {
  const found = reader.headerBefore(head, Math.min(reader.shape.blocks, LONGEST_RECORD));
  if (!found) throw damaged('LOG_HEAD', 'no record ends at the head', head, 'a record header', 'none');
  return found;
}

/** A clean log ends with a record of one op, "unmounted" (10.8). */
function endsClean(reader: Reader, last: Found, head: number): boolean {
  const { blocks } = reader.shape;
  const header = LogRecordHeader.at(reader.block(last.block, true));
  if (header.numLogops !== 1 || last.body === 0 || (last.block + last.total) % blocks !== head) return false;
  const op = LogOpHeader.at(reader.block((last.block + last.headers) % blocks));
  return (op.flags & LOG_OP.UNMOUNT) !== 0;
}

/**
 * Check the CRCs of the last records before the head.
 * @returns where the head must be cut back to: the first record that is not whole; undefined when all are.
 */
function verifyHead(reader: Reader, last: Found, head: number): { block: number; torn: number } | undefined {
  const { shape } = reader;
  const header = LogRecordHeader.at(reader.block(last.block, true));
  const tail = { cycle: header.tailLsnHi, block: header.tailLsnLo };
  const headPosition = shape.advance({ cycle: last.cycle, block: last.block }, last.total);
  // Whatever it says of the tail, the last record itself is checked.
  let room = Math.min(shape.blocks, Math.max(last.total, shape.distance(tail, headPosition)));
  const records: Found[] = [];
  for (let at = head; records.length < TORN_RECORDS && room > 0; ) {
    const found = reader.headerBefore(at, Math.min(room, LONGEST_RECORD));
    if (!found) break;
    records.push(found);
    room -= (at - found.block + shape.blocks) % shape.blocks || shape.blocks;
    at = found.block;
  }
  for (let i = records.length - 1; i >= 0; i--) {
    if (reader.isWhole(records[i]!)) continue;
    if (i === records.length - 1 && records.length === TORN_RECORDS) {
      const { block } = records[i]!;
      throw damaged(
        'LOG_RECORD_CRC',
        'a record too far behind the head is damaged',
        block,
        'a good CRC',
        'a wrong one',
      );
    }
    return { block: records[i]!.block, torn: i + 1 };
  }
  return undefined;
}

/**
 * A log that is nearly full may have been torn over its own tail: damaged records at the tail are passed over when the
 * blocks in flight ahead of the head can have hit them. What they said was in place, or the head could not have come here.
 */
function verifyTail(reader: Reader, tail: Position, head: Position, inFlight: number): Position {
  const { shape } = reader;
  let at = tail;
  while (shape.blocks - shape.distance(at, head) <= inFlight) {
    const found = reader.headerAt(at.block);
    if (found && found.cycle === at.cycle && reader.isWhole(found)) break;
    let next = shape.advance(at, 1);
    while (comparePositions(next, head) < 0 && reader.headerAt(next.block)?.cycle !== next.cycle) {
      next = shape.advance(next, 1);
    }
    if (comparePositions(next, head) >= 0) {
      throw damaged('LOG_RECORD_CRC', 'the whole log is damaged', tail.block, 'good records', 'none');
    }
    at = next;
  }
  return at;
}

function checkHeader(reader: Reader, view: DataView, found: Found, at: Position, anyByteOrder = false): void {
  const header = LogRecordHeader.at(view);
  const { uuid } = reader.geometry;
  if (header.cycle !== at.cycle || header.lsnHi !== at.cycle || header.lsnLo !== at.block) {
    const own = `${header.lsnHi}:${header.lsnLo}`;
    throw damaged('LOG_RECORD_PLACE', 'a record says it stands elsewhere', found.block, showPosition(at), own);
  }
  if (header.fsUuid.some((byte, i) => byte !== uuid[i])) {
    throw damaged(
      'LOG_UUID',
      'a record belongs to another file system',
      found.block,
      'the uuid of the image',
      'another',
    );
  }
  if (header.fmt !== LOG_FORMAT_LE && !anyByteOrder) {
    throw unsupported(
      'LOG_BYTE_ORDER',
      `the log was written on a machine of another byte order (format ${header.fmt})`,
      {
        where: { structure: 'log', block: found.block },
        expected: LOG_FORMAT_LE,
        found: header.fmt,
      },
    );
  }
}

/**
 * Visit the records of a dirty log from its tail to its head, each checked. Throws `corrupt` LOG_RECORD_* at the first
 * one that is not what it must be.
 */
export function forEachRecord(
  device: Device,
  geometry: Geometry,
  state: Pick<LogState, 'tail' | 'head'>,
  visit: (record: LogRecord) => void,
): void {
  const reader = new Reader(device, geometry);
  const { shape } = reader;
  let at = state.tail;
  while (comparePositions(at, state.head) < 0) {
    const found = reader.headerAt(at.block);
    if (!found)
      throw damaged('LOG_RECORD_HEADER', 'no record where one must start', at.block, 'a record header', 'none');
    checkHeader(reader, reader.block(at.block), found, at);
    const bytes = reader.record(found);
    if (!isLogRecordCrcGood(bytes)) {
      throw damaged('LOG_RECORD_CRC', 'a record is damaged', at.block, 'a good CRC', 'a wrong one');
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    unstampCycles(view);
    const header = LogRecordHeader.at(view);
    const next = shape.advance(at, found.total);
    if (comparePositions(next, state.head) > 0) {
      throw damaged(
        'LOG_RECORD_SIZE',
        'a record reaches beyond the head',
        at.block,
        showPosition(state.head),
        showPosition(next),
      );
    }
    visit({
      position: at,
      tail: { cycle: header.tailLsnHi, block: header.tailLsnLo },
      body: new DataView(bytes.buffer, bytes.byteOffset + found.headers * LOG_BB, found.body * LOG_BB),
      ops: header.numLogops,
    });
    at = next;
  }
}
