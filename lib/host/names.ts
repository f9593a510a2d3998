/**
 * Host names and paths as bytes: joining, checking, ordering, and showing them to a person.
 * Invariant: nothing here decodes a name to use it; a string is only ever made to be printed.
 */
import { fileError } from '../errors.ts';

const SLASH = 0x2f;

/**
 * Refuse a name that could leave its directory: empty, `.`, `..`, longer than 255 bytes, or with a slash or a NUL byte.
 * An image may be hostile, so this is checked before any name from it reaches the host. Throws EINVAL.
 */
export function checkName(name: Uint8Array): void {
  const { length } = name;
  let bad = length === 0 || length > 255 || (name[0] === 0x2e && (length === 1 || (length === 2 && name[1] === 0x2e)));
  for (let i = 0; i < length && !bad; i++) bad = name[i] === SLASH || name[i] === 0;
  if (bad) throw fileError('EINVAL', `not a file name: ${showBytes(name)}`, { where: { path: showBytes(name) } });
}

/** Order of `memcmp`, a shorter name first: the same on every machine and in every locale. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Bytes for a message: UTF-8 where valid; control characters and everything else as \xNN. */
export function showBytes(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    text = '';
    for (const byte of bytes) text += byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`;
  }
  // Control characters could otherwise drive the terminal that prints the message.
  let shown = '';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    shown += code < 0x20 || (code >= 0x7f && code < 0xa0) ? `\\x${code.toString(16).padStart(2, '0')}` : character;
  }
  return shown;
}

/** A host path given as text or bytes; refuses an empty path and a NUL byte (EINVAL). */
export function hostPath(path: string | Uint8Array): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path) : Buffer.from(path);
  if (bytes.length === 0 || bytes.includes(0)) throw fileError('EINVAL', `not a host path: ${showBytes(bytes)}`);
  return bytes;
}

/** `base` + `/` + `name`. */
export function joinPath(base: Uint8Array, name: Uint8Array): Buffer {
  if (base.length === 0) return Buffer.from(name);
  const slash = base[base.length - 1] === SLASH ? 0 : 1;
  const joined = Buffer.allocUnsafe(base.length + slash + name.length);
  joined.set(base);
  if (slash) joined[base.length] = SLASH;
  joined.set(name, base.length + slash);
  return joined;
}
