/**
 * The log's own structures: record header, extended header, op header, transaction header; cycle stamps, the record CRC
 * and the record that a clean log ends with. Sizes in the log count basic blocks (BB) of 512 bytes.
 *
 *   record = header BB | extended header BBs, by `size` | body, `len` bytes
 *
 * 1. The first word of every body BB and extended header is the cycle; the word it displaced is kept in cycle_data: body
 *    BB b in the header when b < 64, else in extended header floor(b / 64) - 1.
 * 2. The CRC covers what is on disk, so it is computed after stamping and checked before unstamping.
 * 3. Headers are big-endian; the transaction header and all item structures (log-items.ts) are in the byte order of the
 *    machine that wrote them, which must be little-endian (`fmt` 1) for us.
 */
import { crc32c, storedCrc } from './checksum.ts';
import { bytes, pad, struct, u8, u16, u32, u32le, u32s, u64hl } from './struct.ts';

export const LOG_RECORD_MAGIC = 0xfeedbabe;
export const LOG_VERSION = 2;
/** `fmt`: little-endian items. */
export const LOG_FORMAT_LE = 1;
/** Bytes of a basic block, and body bytes that one header or extended header can describe. */
export const LOG_BB = 512;
export const CYCLES_PER_HEADER = 64;
export const LOG_HEADER_SPAN = CYCLES_PER_HEADER * LOG_BB;
/** Smallest and greatest in-core buffer, field `size`. */
export const MIN_LOG_BUFFER = 32768;
export const MAX_LOG_BUFFER = 262144;

export const LogRecordHeader = struct('LogRecordHeader', 328, {
  magic: [0, u32, '0xFEEDBABE'],
  cycle: [4, u32, 'how often the log has been written round, from 1'],
  version: [8, u32, '2'],
  len: [12, u32, 'body bytes, a multiple of 512'],
  lsn: [16, u64hl, 'own position: cycle and BB'],
  tailLsn: [24, u64hl, 'oldest record still needed'],
  crc: [32, u32le, 'CRC32C of the record as stamped'],
  prevBlock: [36, u32, 'BB of the record before, or null'],
  numLogops: [40, u32, 'op headers in the body'],
  cycleData: [44, u32s(64), 'displaced first words of body BBs 0..63'],
  fmt: [300, u32, 'byte order of items: 1 little-endian'],
  fsUuid: [304, bytes(16), 'the uuid a user sees, also with META_UUID'],
  size: [320, u32, 'in-core buffer size: decides how many header BBs there are'],
  pad: [324, pad(4), 'zero'],
});

export const LogExtendedHeader = struct('LogExtendedHeader', 260, {
  cycle: [0, u32, 'cycle of the record'],
  cycleData: [4, u32s(64), 'displaced first words of 64 more body BBs'],
});

export const LogOpHeader = struct('LogOpHeader', 12, {
  tid: [0, u32, 'transaction'],
  len: [4, u32, 'bytes of data behind this header'],
  clientid: [8, u8, '0x69 transaction, 0xAA log'],
  flags: [9, u8, 'see LOG_OP'],
  reserved: [10, u16, '0'],
});

export const LOG_CLIENT = { TRANSACTION: 0x69, LOG: 0xaa } as const;
export const LOG_OP = {
  START: 0x01,
  COMMIT: 0x02,
  /** The region goes on in the next record. */
  CONTINUES: 0x04,
  /** This is a continuation. */
  CONTINUED: 0x08,
  /** Last piece of a continued region. */
  END: 0x10,
  UNMOUNT: 0x20,
} as const;

/** Data of an unmount op: u16 0x556E (host order) and six zero bytes. */
export const UNMOUNT_MAGIC = 0x556e;
/** First word of that op in every clean record: its transaction id, displaced by the cycle stamp. */
const UNMOUNT_TID = 0xb0c0d0d0;

export const TransactionHeader = struct('TransactionHeader', 16, {
  magic: [0, u32le, '0x5452414E'],
  type: [4, u32le, '40'],
  tid: [8, u32le, 'transaction'],
  numRegions: [12, u32le, 'regions that follow (not items)'],
});
export const TRANSACTION_MAGIC = 0x5452414e;
export const TRANSACTION_CHECKPOINT = 40;

/** Header BBs of a record, from its `size` field: at least 1. */
export function headerBlocks(size: number): number {
  return Math.max(1, Math.ceil(size / LOG_HEADER_SPAN));
}

/** Where the displaced first word of body BB `index` is kept, as an offset from the start of the record. */
function cycleDataOffset(index: number): number {
  return index < CYCLES_PER_HEADER
    ? LogRecordHeader.offsets.cycleData + 4 * index
    : Math.floor(index / CYCLES_PER_HEADER) * LOG_BB + 4 + 4 * (index % CYCLES_PER_HEADER);
}

/**
 * Put the cycle into the first word of every body BB and extended header, keeping the displaced words.
 * @param record header BBs and body, `len` and `size` filled in.
 * @param wrapsAt BBs of the record (headers included) that fit before the end of the log: those behind carry cycle + 1.
 */
export function stampCycles(record: DataView, wrapsAt = Number.POSITIVE_INFINITY): void {
  const header = LogRecordHeader.at(record);
  const headers = headerBlocks(header.size);
  const { cycle } = header;
  const body = header.len / LOG_BB;
  for (let i = 1; i < headers; i++) record.setUint32(i * LOG_BB, cycle + (i >= wrapsAt ? 1 : 0));
  for (let i = 0; i < body; i++) {
    const at = (headers + i) * LOG_BB;
    record.setUint32(cycleDataOffset(i), record.getUint32(at));
    record.setUint32(at, cycle + (headers + i >= wrapsAt ? 1 : 0));
  }
}

/** Put the displaced words back. The record's header must have passed `logRecordShape`. */
export function unstampCycles(record: DataView): void {
  const header = LogRecordHeader.at(record);
  const headers = headerBlocks(header.size);
  const body = header.len / LOG_BB;
  for (let i = 0; i < body; i++) record.setUint32((headers + i) * LOG_BB, record.getUint32(cycleDataOffset(i)));
}

/**
 * Sizes of the record whose header is given, or undefined when they cannot be right: not a header at all, or counts that
 * would lead a reader beyond the record.
 * @param logBasicBlocks BBs of the log.
 */
export function logRecordShape(
  header: DataView,
  logBasicBlocks: number,
): { headers: number; body: number; total: number } | undefined {
  const record = LogRecordHeader.at(header);
  if (record.magic !== LOG_RECORD_MAGIC || record.version !== LOG_VERSION) return undefined;
  const { size, len } = record;
  if (size === 0 || size > MAX_LOG_BUFFER || len % LOG_BB !== 0) return undefined;
  const headers = headerBlocks(size);
  const body = len / LOG_BB;
  if (body > headers * CYCLES_PER_HEADER || headers + body > logBasicBlocks) return undefined;
  return { headers, body, total: headers + body };
}

const HOLE = new Uint8Array(4);

/**
 * CRC of a record as it is on disk: the header (its CRC as zeroes), 260 bytes of each extended header that `len` needs
 * (by `len`, not by `size`), then the body.
 * @param headerBytes 328; 32-bit kernels covered 324, which readers accept too.
 */
export function logRecordCrc(record: Uint8Array, headerBytes: 328 | 324 = 328): number {
  const header = LogRecordHeader.at(new DataView(record.buffer, record.byteOffset, record.byteLength));
  const at = LogRecordHeader.offsets.crc;
  const headers = headerBlocks(header.size);
  const extended = Math.min(headers, Math.ceil(header.len / LOG_HEADER_SPAN));
  let crc = crc32c(record.subarray(0, at));
  crc = crc32c(record.subarray(at + 4, headerBytes), crc32c(HOLE, crc));
  for (let i = 1; i < extended; i++) {
    crc = crc32c(record.subarray(i * LOG_BB, i * LOG_BB + LogExtendedHeader.size), crc);
  }
  return crc32c(record.subarray(headers * LOG_BB, headers * LOG_BB + header.len), crc);
}

/** True when the stored CRC fits either header length. A record with CRC 0 was written by mkfs and is never replayed. */
export function isLogRecordCrcGood(record: Uint8Array): boolean {
  const stored = storedCrc(record, LogRecordHeader.offsets.crc);
  return stored === logRecordCrc(record) || stored === logRecordCrc(record, 324);
}

/** Compute and store the CRC of a stamped record. */
export function sealLogRecord(record: Uint8Array): void {
  LogRecordHeader.at(new DataView(record.buffer, record.byteOffset, record.byteLength)).crc = logRecordCrc(record);
}

/** Where a clean record stands; mkfs's stands at 1:0 and is its own tail. */
export interface CleanLogPosition {
  cycle: number;
  block: number;
  tailCycle: number;
  tailBlock: number;
}

/**
 * The one record of a clean log: a single unmount op. As the first bytes of an otherwise zero log it is what mkfs writes,
 * CRC 0 included; with a `position`, one piece of a log reset to a later cycle (10.8).
 * @param uuid the one a user sees. @param sunitBytes log stripe unit in bytes, 0 or 1 = none: the record is padded to it.
 */
export function cleanLogRecord(
  uuid: Uint8Array,
  sunitBytes: number,
  position: CleanLogPosition = { cycle: 1, block: 0, tailCycle: 1, tailBlock: 0 },
): Uint8Array {
  const size = Math.max(MIN_LOG_BUFFER, sunitBytes);
  const headers = headerBlocks(size);
  const total = sunitBytes > 1 ? sunitBytes : (headers + 1) * LOG_BB;
  const record = new Uint8Array(total);
  const view = new DataView(record.buffer);
  const header = LogRecordHeader.at(view);
  header.magic = LOG_RECORD_MAGIC;
  header.cycle = position.cycle;
  header.version = LOG_VERSION;
  header.len = total - headers * LOG_BB;
  header.lsnHi = position.cycle;
  header.lsnLo = position.block;
  header.tailLsnHi = position.tailCycle;
  header.tailLsnLo = position.tailBlock;
  header.prevBlock = 0xffffffff;
  header.numLogops = 1;
  header.fmt = LOG_FORMAT_LE;
  header.fsUuid = uuid;
  header.size = size;
  const body = headers * LOG_BB;
  const op = LogOpHeader.at(view, body);
  op.tid = UNMOUNT_TID;
  op.len = 8;
  op.clientid = LOG_CLIENT.LOG;
  op.flags = LOG_OP.UNMOUNT;
  view.setUint16(body + LogOpHeader.size, UNMOUNT_MAGIC, true);
  stampCycles(view);
  return record;
}
