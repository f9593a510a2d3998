/** What Node's fs accepts as path, flags, mode, time, data and options, turned into what the image's calls take. */
import { constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Time } from '../../../formats/time.ts';
import { OPEN } from '../flags.ts';
import { badType, badValue, outOfRange } from './errors.ts';

/** A path: its bytes, and how errors show it. */
export interface PathArgument {
  readonly bytes: Uint8Array;
  readonly shown: string;
}

/** A string (UTF-8), bytes, or a `file:` URL. Throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE (NUL bytes). */
export function pathArgument(path: unknown, name = 'path'): PathArgument {
  const value = path instanceof URL ? fileURLToPath(path) : path;
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
    throw badType(name, 'of type string or an instance of Buffer or URL', path);
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  if (bytes.includes(0)) throw badValue(name, 'must be a string, Uint8Array, or URL without null bytes', value);
  return { bytes, shown: typeof value === 'string' ? value : Buffer.from(value).toString() };
}

/** Options given as an object, or as the encoding alone. A callback in their place counts as none. */
export function optionsOf(options: unknown): Readonly<Record<string, unknown>> {
  if (options === undefined || options === null || typeof options === 'function') return {};
  if (typeof options === 'string') return { encoding: checkEncoding(options) };
  if (typeof options !== 'object') throw badType('options', 'of type string or an instance of Object', options);
  const given = options as Record<string, unknown>;
  if (given.encoding !== undefined && given.encoding !== null) checkEncoding(given.encoding);
  return given;
}

function checkEncoding(encoding: unknown): unknown {
  if (encoding === 'buffer' || (typeof encoding === 'string' && Buffer.isEncoding(encoding))) return encoding;
  throw badValue('encoding', 'is invalid encoding', encoding);
}

/** Content for a reader: a Buffer, or text when an encoding was asked for. */
export function encodeContent(bytes: Buffer, encoding: unknown): Buffer | string {
  return isTextEncoding(encoding) ? bytes.toString(encoding) : bytes;
}

/** A name or path for a reader: text unless `buffer` was asked for. */
export function encodeName(bytes: Uint8Array, encoding: unknown): Buffer | string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (encoding === 'buffer') return buffer;
  return buffer.toString(isTextEncoding(encoding) ? encoding : 'utf8');
}

function isTextEncoding(encoding: unknown): encoding is BufferEncoding {
  return typeof encoding === 'string' && encoding !== 'buffer';
}

/** Bytes to write: the view's own memory, or the text encoded. */
export function dataArgument(data: unknown, encoding: unknown, name = 'data'): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data, isTextEncoding(encoding) ? encoding : 'utf8');
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw badType(name, 'of type string or an instance of Buffer, TypedArray, or DataView', data);
}

/** Bytes to read into. */
export function viewArgument(buffer: unknown): Uint8Array {
  if (buffer instanceof Uint8Array) return buffer;
  if (ArrayBuffer.isView(buffer)) return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  throw badType('buffer', 'an instance of Buffer, TypedArray, or DataView', buffer);
}

export function isDescriptor(fd: unknown): fd is number {
  return typeof fd === 'number';
}

export function descriptorArgument(fd: unknown): number {
  if (typeof fd !== 'number') throw badType('fd', 'of type number', fd);
  if (!Number.isInteger(fd) || fd < 0 || fd > 0x7fffffff) throw outOfRange('fd', '>= 0 && <= 2147483647', fd);
  return fd;
}

/** An integer in a range; undefined and null give the default. */
export function integerArgument(value: unknown, name: string, least: number, most: number, fallback: number): number {
  if (value === undefined || value === null) return fallback;
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number !== 'number') throw badType(name, 'of type number', value);
  if (!Number.isInteger(number)) throw outOfRange(name, 'an integer', value);
  if (number < least || number > most) throw outOfRange(name, `>= ${least} && <= ${most}`, value);
  return number;
}

/** Permission bits: a number or an octal string. */
export function modeArgument(mode: unknown, fallback: number, name = 'mode'): number {
  if (mode === undefined || mode === null) return fallback;
  if (typeof mode === 'string') {
    if (!/^[0-7]+$/.test(mode)) throw badValue(name, 'must be a 32-bit unsigned integer or an octal string', mode);
    return Number.parseInt(mode, 8);
  }
  return integerArgument(mode, name, 0, 0xffffffff, fallback);
}

/** User or group number; -1 = as it is. */
export function ownerArgument(id: unknown, name: string): number | undefined {
  if (id === undefined) throw badType(name, 'of type number', id);
  const number = integerArgument(id, name, -1, 0xffffffff, -1);
  return number === -1 || number === 0xffffffff ? undefined : number;
}

/** Position of a read or write; undefined: where the descriptor stands. */
export function positionArgument(position: unknown): number | undefined {
  if (position === undefined || position === null) return undefined;
  if (typeof position !== 'number' && typeof position !== 'bigint') {
    throw badType('position', 'of type bigint or integer', position);
  }
  const number = Number(position);
  if (!Number.isSafeInteger(number)) throw outOfRange('position', 'an integer', position);
  return number < 0 ? undefined : number;
}

/** A file's length. */
export function lengthArgument(length: unknown): number {
  return Math.max(0, integerArgument(length, 'len', -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 0));
}

const { CREAT, EXCL, TRUNC, APPEND, SYNC, RDONLY, WRONLY, RDWR } = OPEN;
const FLAGS: Readonly<Record<string, number>> = {
  r: RDONLY,
  rs: RDONLY | SYNC,
  sr: RDONLY | SYNC,
  'r+': RDWR,
  'rs+': RDWR | SYNC,
  'sr+': RDWR | SYNC,
  w: TRUNC | CREAT | WRONLY,
  wx: TRUNC | CREAT | WRONLY | EXCL,
  xw: TRUNC | CREAT | WRONLY | EXCL,
  'w+': TRUNC | CREAT | RDWR,
  'wx+': TRUNC | CREAT | RDWR | EXCL,
  'xw+': TRUNC | CREAT | RDWR | EXCL,
  a: APPEND | CREAT | WRONLY,
  ax: APPEND | CREAT | WRONLY | EXCL,
  xa: APPEND | CREAT | WRONLY | EXCL,
  as: APPEND | CREAT | WRONLY | SYNC,
  sa: APPEND | CREAT | WRONLY | SYNC,
  'a+': APPEND | CREAT | RDWR,
  'ax+': APPEND | CREAT | RDWR | EXCL,
  'xa+': APPEND | CREAT | RDWR | EXCL,
  'as+': APPEND | CREAT | RDWR | SYNC,
  'sa+': APPEND | CREAT | RDWR | SYNC,
};

/** The host's own bits (they differ between systems) and ours. */
const HOST_FLAGS: readonly (readonly [host: number | undefined, ours: number])[] = [
  [constants.O_CREAT, CREAT],
  [constants.O_EXCL, EXCL],
  [constants.O_TRUNC, TRUNC],
  [constants.O_APPEND, APPEND],
  [constants.O_DIRECTORY, OPEN.DIRECTORY],
  [constants.O_NOFOLLOW, OPEN.NOFOLLOW],
];

/** OPEN bits of Node's letters, or of the host's `O_` constants. */
export function flagsArgument(flags: unknown, fallback: string): number {
  const value = flags ?? fallback;
  if (typeof value === 'number') {
    const bits = integerArgument(value, 'flags', -0x80000000, 0x7fffffff, 0);
    let ours = bits & OPEN.ACCESS;
    for (const [host, bit] of HOST_FLAGS) if (host !== undefined && (bits & host) !== 0) ours |= bit;
    return ours;
  }
  const bits = typeof value === 'string' && Object.hasOwn(FLAGS, value) ? FLAGS[value] : undefined;
  if (bits === undefined) throw badValue('flags', 'is invalid', value);
  return bits;
}

/**
 * A time: seconds (a number, or a string of one) or a Date. As Node: microseconds count, nothing finer, and a negative number
 * of seconds means now.
 */
export function timeArgument(time: unknown, name: string): Time {
  let seconds: number;
  if (typeof time === 'string' && Number(time).toString() !== 'NaN') seconds = Number(time);
  else if (typeof time === 'number' && Number.isFinite(time)) seconds = time < 0 ? Date.now() / 1000 : time;
  else if (time instanceof Date) seconds = time.getTime() / 1000;
  else throw badType(name, 'of type number or string or an instance of Date', time);
  if (!Number.isFinite(seconds)) throw outOfRange(name, 'a time', time);
  let whole = Math.trunc(seconds);
  let nanoseconds = Math.trunc((seconds - whole) * 1e9);
  nanoseconds -= nanoseconds % 1000;
  if (nanoseconds < 0) {
    nanoseconds += 1e9;
    whole -= 1;
  }
  return { seconds: whole, nanoseconds };
}
