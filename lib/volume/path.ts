/**
 * Paths inside an image: absolute, bytes. As text they are UTF-8; a byte that is no part of valid UTF-8, a control
 * character and the backslash itself are written `\xNN`, and read back the same way.
 */
import { usage } from '../errors.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
const SLASH = 0x2f;

/** Bytes of a path given as text (`\xNN` stands for one byte). Throws a usage error unless it is absolute. */
export function pathBytes(text: string): Uint8Array {
  const bytes = nameBytes(text);
  if (bytes[0] !== SLASH)
    throw usage('BAD_PATH', `paths inside an image are absolute: ${text}`, { where: { path: text } });
  if (bytes.includes(0)) throw usage('BAD_PATH', 'a path has no NUL byte', { where: { path: text } });
  return bytes;
}

/** Bytes of text in which `\xNN` stands for one byte. */
export function nameBytes(text: string): Uint8Array {
  if (!text.includes('\\x')) return encoder.encode(text);
  const parts: number[] = [];
  for (const piece of text.split(/(\\x[0-9a-fA-F]{2})/)) {
    if (/^\\x[0-9a-fA-F]{2}$/.test(piece)) parts.push(Number.parseInt(piece.slice(2), 16));
    else parts.push(...encoder.encode(piece));
  }
  return Uint8Array.from(parts);
}

/** Parts of a path; empty ones (doubled slashes) are left out. */
export function splitPath(path: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let i = 0; i <= path.length; i++) {
    if (i < path.length && path[i] !== SLASH) continue;
    if (i > start) parts.push(path.subarray(start, i));
    start = i + 1;
  }
  return parts;
}

export function joinPath(directory: Uint8Array, name: Uint8Array): Uint8Array {
  const slash = directory.length > 0 && directory[directory.length - 1] === SLASH ? 0 : 1;
  const path = new Uint8Array(directory.length + slash + name.length);
  path.set(directory);
  if (slash) path[directory.length] = SLASH;
  path.set(name, directory.length + slash);
  return path;
}

/** A path or name as text that `pathBytes` reads back to the same bytes. */
export function showPath(bytes: Uint8Array): string {
  let plain: string | undefined;
  try {
    plain = decoder.decode(bytes);
  } catch {
    plain = undefined;
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (plain !== undefined && !/[\x00-\x1f\x7f\\]/.test(plain)) return plain;
  return escapeBytes(bytes);
}

/** True when the bytes are UTF-8 and need no escape: what JSON can carry as it is. */
export function isPlainText(bytes: Uint8Array): boolean {
  return encoder.encode(showPath(bytes)).length === bytes.length;
}

function escapeBytes(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; ) {
    const length = sequenceLength(bytes, i);
    if (length === 1 && (bytes[i]! < 0x20 || bytes[i] === 0x7f || bytes[i] === 0x5c)) text += hex(bytes[i]!);
    else if (length === 0) text += hex(bytes[i]!);
    else text += decoder.decode(bytes.subarray(i, i + length));
    i += Math.max(1, length);
  }
  return text;
}

const hex = (byte: number) => `\\x${byte.toString(16).padStart(2, '0')}`;

/** Bytes of the UTF-8 sequence that starts here, or 0. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  try {
    decoder.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0;
  }
}
