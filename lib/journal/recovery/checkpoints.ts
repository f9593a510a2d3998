/**
 * From records to checkpoints: puts regions together that were cut at record ends, sorts the ops of several transactions
 * by their id, and divides a checkpoint into items.
 *
 * 1. A checkpoint counts when its commit op is in the log; what has no commit, or no start, is dropped without a word.
 * 2. Its LSN is the place of the record that holds its start op (10.10).
 * 3. Counts and lengths are checked against what is there; memory is bounded by MAX_PENDING_BYTES.
 */
import type { Geometry } from '../../../formats/geometry.ts';
import { LOG_CLIENT, LOG_OP, LogOpHeader, TRANSACTION_MAGIC, TransactionHeader } from '../../../formats/log.ts';
import { LOG_ITEM } from '../../../formats/log-items.ts';
import type { Device } from '../../device/device.ts';
import { type CadastreError, corrupt, unsupported } from '../../errors.ts';
import { forEachRecord, type LogRecord, type LogState } from '../log-reader.ts';
import type { Position } from '../position.ts';

/** Regions of unfinished checkpoints held at once: no writer makes a checkpoint near this. */
const MAX_PENDING_BYTES = 256 * 2 ** 20;
const OP = LogOpHeader.size;

/** One item of a checkpoint: its regions, the first of which is the format structure. */
export interface LogItem {
  readonly type: number;
  readonly regions: readonly Uint8Array[];
}

export interface Checkpoint {
  readonly lsn: Position;
  readonly tid: number;
  readonly items: readonly LogItem[];
}

/** Item types by name, and the reverse: what people are shown. */
const TYPE_NAMES = new Map<number, string>(Object.entries(LOG_ITEM).map(([name, type]) => [type, name]));
export const itemTypeName = (type: number): string => TYPE_NAMES.get(type) ?? `0x${type.toString(16)}`;

interface Pending {
  readonly lsn: Position;
  readonly tid: number;
  readonly regions: Uint8Array[];
  /** Pieces of the last region, when it was cut. */
  pieces: Uint8Array[];
  bytes: number;
}

/**
 * Visit the checkpoints of a dirty log in commit order. Throws `corrupt` LOG_* for what cannot be parsed, `unsupported`
 * LOG_ITEM for items we do not know, by name.
 */
export function forEachCheckpoint(
  device: Device,
  geometry: Geometry,
  state: Pick<LogState, 'tail' | 'head'>,
  visit: (checkpoint: Checkpoint) => void,
): void {
  const open = new Map<number, Pending>();
  let bytes = 0;
  forEachRecord(device, geometry, state, (record) => {
    forEachOp(record, (tid, flags, data) => {
      if (flags & LOG_OP.UNMOUNT) return;
      if (flags & LOG_OP.START) {
        bytes -= open.get(tid)?.bytes ?? 0;
        open.set(tid, { lsn: record.position, tid, regions: [], pieces: [], bytes: 0 });
        return;
      }
      const pending = open.get(tid);
      if (!pending) return; // its start lies before the tail: everything it says is in place
      if (flags & LOG_OP.COMMIT) {
        open.delete(tid);
        bytes -= pending.bytes;
        closeRegion(pending);
        visit({ lsn: pending.lsn, tid, items: divide(pending) });
        return;
      }
      if (flags & LOG_OP.CONTINUED) pending.pieces.push(data.slice());
      else {
        closeRegion(pending);
        if (data.length === 0) return;
        pending.pieces.push(data.slice());
      }
      pending.bytes += data.length;
      bytes += data.length;
      if (bytes > MAX_PENDING_BYTES) {
        throw bad(
          'LOG_CHECKPOINT_SIZE',
          'unfinished checkpoints are too large',
          record.position,
          MAX_PENDING_BYTES,
          bytes,
        );
      }
    });
  });
}

function bad(code: string, message: string, at: Position, expected: unknown, found: unknown): CadastreError {
  return corrupt(code, `log: ${message} (record at ${at.cycle}:${at.block})`, {
    where: { structure: 'log', block: at.block },
    expected,
    found,
  });
}

/** Visit the ops of a record; `data` is a window over the record's bytes. */
function forEachOp(record: LogRecord, visit: (tid: number, flags: number, data: Uint8Array) => void): void {
  const { body, ops, position } = record;
  let at = 0;
  for (let i = 0; i < ops; i++) {
    if (at + OP > body.byteLength) {
      throw bad('LOG_OP', 'op headers run past the record', position, `${ops} ops`, `${i} ops`);
    }
    const op = LogOpHeader.at(body, at);
    const { tid, len, clientid, flags } = op;
    at += OP;
    if (clientid !== LOG_CLIENT.TRANSACTION && clientid !== LOG_CLIENT.LOG) {
      throw bad('LOG_OP', 'an op has an unknown client', position, '0x69 or 0xAA', clientid);
    }
    if (len > body.byteLength - at) {
      throw bad('LOG_OP', 'an op runs past the record', position, `at most ${body.byteLength - at}`, len);
    }
    const known = LOG_OP.START | LOG_OP.COMMIT | LOG_OP.CONTINUES | LOG_OP.CONTINUED | LOG_OP.END | LOG_OP.UNMOUNT;
    if ((flags & ~known) !== 0) throw bad('LOG_OP', 'an op has unknown flags', position, 'flags 0x01-0x20', flags);
    visit(tid, flags, new Uint8Array(body.buffer, body.byteOffset + at, len));
    at += len;
  }
}

function closeRegion(pending: Pending): void {
  const { pieces } = pending;
  if (pieces.length === 0) return;
  pending.pieces = [];
  if (pieces.length === 1) {
    pending.regions.push(pieces[0]!);
    return;
  }
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  pending.regions.push(whole);
}

/** Items are runs of regions; the first region of each says how many there are. */
function divide(pending: Pending): LogItem[] {
  const { regions, lsn } = pending;
  const items: LogItem[] = [];
  if (regions.length === 0) return items;
  const head = regions[0]!;
  const magic = head.length === TransactionHeader.size ? TransactionHeader.at(viewOf(head)).magic : 0;
  if (magic !== TRANSACTION_MAGIC) {
    throw bad(
      'LOG_TRANSACTION',
      'a checkpoint does not start with its header',
      lsn,
      hex(TRANSACTION_MAGIC),
      hex(magic),
    );
  }
  for (let i = 1; i < regions.length; ) {
    const first = viewOf(regions[i]!);
    if (first.byteLength < 4)
      throw bad('LOG_ITEM_SIZE', 'an item is too short', lsn, 'at least 4 bytes', first.byteLength);
    const type = first.getUint16(0, true);
    const count = first.getUint16(2, true);
    if (!TYPE_NAMES.has(type)) {
      throw unsupported('LOG_ITEM', `the log holds items of an unknown type, ${hex(type)}`, {
        where: { structure: 'log', block: lsn.block },
        found: hex(type),
      });
    }
    if (count === 0 || count > regions.length - i) {
      throw bad('LOG_ITEM_REGIONS', `${itemTypeName(type)} item: regions`, lsn, `1..${regions.length - i}`, count);
    }
    items.push({ type, regions: regions.slice(i, i + count) });
    i += count;
  }
  return items;
}

const hex = (value: number): string => `0x${value.toString(16)}`;

/** A DataView over a region. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A checkpoint as `cadastre log` shows it. */
export interface CheckpointSummary {
  lsn: string;
  items: Record<string, number>;
}
/** A log as `cadastre log` shows it; positions are CYCLE:BLOCK, blocks of 512 bytes. */
export interface LogSummary {
  clean: boolean;
  head: string;
  tail: string;
  tornRecords: number;
  /** Items of all checkpoints by type. */
  items: Record<string, number>;
  checkpoints: CheckpointSummary[];
}

/** What a log holds, in numbers. Throws as `forEachCheckpoint` does. */
export function summarizeLog(device: Device, geometry: Geometry, state: LogState): LogSummary {
  const show = (at: Position): string => `${at.cycle}:${at.block}`;
  const summary: LogSummary = {
    clean: state.clean,
    head: show(state.head),
    tail: show(state.tail),
    tornRecords: state.tornRecords,
    items: {},
    checkpoints: [],
  };
  if (state.clean) return summary;
  forEachCheckpoint(device, geometry, state, ({ lsn, items }) => {
    const counts: Record<string, number> = {};
    for (const { type } of items) {
      const name = itemTypeName(type);
      counts[name] = (counts[name] ?? 0) + 1;
      summary.items[name] = (summary.items[name] ?? 0) + 1;
    }
    summary.checkpoints.push({ lsn: show(lsn), items: counts });
  });
  return summary;
}
