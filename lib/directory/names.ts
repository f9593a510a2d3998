/** What a directory entry may be called. */
import { foldByte } from '../../formats/da.ts';
import { MAX_NAME_BYTES } from '../../formats/directory.ts';
import { fileError } from '../errors.ts';

/** True for "." and "..". */
export function isDotName(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

/** True for `name` = "..", which names the parent. */
export function isDotDot(name: Uint8Array): boolean {
  return name.length === 2 && name[0] === 0x2e && name[1] === 0x2e;
}

/** True when bytes start .. end have a character no name may have: "/" or NUL. */
export function hasBadByte(name: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (name[i] === 0x2f || name[i] === 0) return true;
  return false;
}

/** Equal for names that are one and the same in a directory. @param fold case does not count. */
export function nameKey(name: Uint8Array, fold: boolean): string {
  return String.fromCharCode(...(fold ? name.map(foldByte) : name));
}

/** Throws EINVAL or ENAMETOOLONG for what cannot be a new entry's name. */
export function checkName(name: Uint8Array): void {
  if (name.length > MAX_NAME_BYTES) throw fileError('ENAMETOOLONG', `name of ${name.length} bytes, at most 255`);
  if (name.length === 0 || isDotName(name) || hasBadByte(name, 0, name.length)) {
    throw fileError('EINVAL', 'not a valid name for a directory entry');
  }
}
