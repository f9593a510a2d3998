/** What a listing says of an inode: type, permissions, owner, size, times, target. */
import { MODE } from '../../formats/inode.ts';
import type { Time } from '../../formats/time.ts';
import { CadastreError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { readSymlink } from '../file/symlink.ts';
import { isPlainText, joinPath, showPath } from './path.ts';
import type { DirectoryEntry, Volume } from './volume.ts';

export type InodeType = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character' | 'block' | 'unknown';

const TYPES = new Map<number, readonly [InodeType, string]>([
  [MODE.FILE, ['file', '-']],
  [MODE.DIR, ['directory', 'd']],
  [MODE.SYMLINK, ['symlink', 'l']],
  [MODE.FIFO, ['fifo', 'p']],
  [MODE.SOCKET, ['socket', 's']],
  [MODE.CHAR, ['character', 'c']],
  [MODE.BLOCK, ['block', 'b']],
]);

export const inodeType = (inode: Inode): InodeType => TYPES.get(inode.type)?.[0] ?? 'unknown';

/** An entry of a directory with its inode, or with the reason why the inode cannot be read. */
export interface ListedEntry {
  readonly entry: DirectoryEntry;
  /** Path of the entry. */
  readonly path: Uint8Array;
  readonly inode: Inode | undefined;
  readonly error?: CadastreError;
}

/** A directory's entries by name, each with its inode. A damaged inode does not hide the others. */
export function listDirectory(volume: Volume, directory: Inode, path: Uint8Array): ListedEntry[] {
  return volume.sortedEntries(directory).map((entry) => {
    const at = joinPath(path, entry.name);
    try {
      return { entry, path: at, inode: volume.inode(entry.inode) };
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
      return { entry, path: at, inode: undefined, error };
    }
  });
}

/** The stable JSON shape of one object in a listing. Mode: type and permission bits, as st_mode. */
export interface ListedJson {
  name: string;
  /** Hexadecimal, where the name is not plain UTF-8 (`name` then has \xNN escapes). */
  nameBytes?: string;
  inode: number;
  type: InodeType;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: string;
  target?: string;
}

export function listedJson(name: Uint8Array, inode: Inode): ListedJson {
  const { core } = inode;
  return {
    ...nameJson(name),
    inode: inode.number,
    type: inodeType(inode),
    mode: inode.mode,
    uid: core.uid,
    gid: core.gid,
    size: inode.size,
    mtime: timeText(inode.time('mtime')),
    ...(inode.isSymlink ? { target: showPath(readSymlink(inode)) } : {}),
  };
}

/** A name for JSON: text, and its bytes where text cannot carry them. */
export function nameJson(name: Uint8Array): { name: string; nameBytes?: string } {
  const text = showPath(name);
  return isPlainText(name) ? { name: text } : { name: text, nameBytes: hexText(name) };
}

export const hexText = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** `drwxr-xr-x`. */
export function modeText(mode: number): string {
  const type = TYPES.get(mode & 0xf000)?.[1] ?? '?';
  let text = type;
  for (let shift = 6; shift >= 0; shift -= 3) {
    const bits = mode >> shift;
    const special = (mode >> (9 + shift / 3)) & 1;
    const letter = shift === 0 ? 't' : 's';
    const execute = bits & 1 ? (special ? letter : 'x') : special ? letter.toUpperCase() : '-';
    text += `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${execute}`;
  }
  return text;
}

/** ISO 8601 in UTC with nine digits: `2024-01-31T12:00:00.123456789Z`. */
export function timeText(time: Time): string {
  const whole = new Date(time.seconds * 1000).toISOString();
  return `${whole.slice(0, whole.lastIndexOf('.'))}.${String(time.nanoseconds).padStart(9, '0')}Z`;
}
