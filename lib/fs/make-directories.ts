/** `mkdir -p`: a directory and what is missing above it. */

import { MODE, S_IFMT } from '../../formats/inode.ts';
import { CadastreError, fileError } from '../errors.ts';
import type { ImageFiles } from './image-files.ts';

const SLASH = 0x2f;

/**
 * Make a directory and all missing ones above it. A directory that is there already is no error.
 * @returns the path of the topmost directory made, or undefined when none was. Throws EEXIST (a file has the name), ENOTDIR.
 */
export function makeDirectories(files: ImageFiles, path: Uint8Array, mode?: number): Uint8Array | undefined {
  const missing: number[] = [];
  let first: Uint8Array | undefined;
  const slash = path[path.length - 1] === SLASH;
  for (let end = trimmed(path, path.length); ; end = trimmed(path, parentEnd(path, end))) {
    const made = tryMake(files, path.subarray(0, end), mode, slash || missing.length > 0);
    if (made) first = path.subarray(0, end);
    if (made !== undefined) break;
    missing.push(end);
    if (end <= 1) throw fileError('ENOENT', 'no such directory');
  }
  for (let end = missing.pop(); end !== undefined; end = missing.pop()) {
    const part = path.subarray(0, end);
    if (tryMake(files, part, mode, slash || missing.length > 0)) first ??= part;
  }
  return first;
}

/** @returns true: made; false: was there; undefined: something above it is missing. */
function tryMake(files: ImageFiles, path: Uint8Array, mode: number | undefined, inside: boolean): boolean | undefined {
  try {
    files.mkdir(path, mode);
    return true;
  } catch (error) {
    const code = error instanceof CadastreError ? error.code : '';
    if (code === 'ENOENT' && path.includes(SLASH, 1)) return undefined;
    if (code !== 'EEXIST') throw error;
    if ((files.stat(path).mode & S_IFMT) === MODE.DIR) return false;
    throw inside ? fileError('ENOTDIR', 'a part of the path is not a directory') : error;
  }
}

/** End of the path without the slashes before `end`; a root stays. */
function trimmed(path: Uint8Array, end: number): number {
  while (end > 1 && path[end - 1] === SLASH) end--;
  return end;
}

/** End of the part that the last name before `end` is in. */
function parentEnd(path: Uint8Array, end: number): number {
  return Math.max(0, path.subarray(0, end).lastIndexOf(SLASH) + 1);
}
