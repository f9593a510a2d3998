/**
 * How a path of bytes leads to a name, as Linux walks it: the rules that programs notice (what a trailing slash means, which
 * symlinks are followed, which error comes first) are here and nowhere else.
 *
 * 1. Relative paths start at the root directory: an image has no working directory.
 * 2. The walk ends: a path has a length limit, and so many symlinks are followed and no more.
 */
import { MAX_NAME_BYTES } from '../../formats/directory.ts';
import { fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { readSymlink } from '../file/symlink.ts';
import { showPath } from '../volume/path.ts';
import type { Volume } from '../volume/volume.ts';

/** Bytes of a path, the NUL byte that ends it on Linux counted. */
const MAX_PATH_BYTES = 4096;
const MAX_SYMLINKS = 40;
const SLASH = 0x2f;
const DOT = 0x2e;

/** What the last part of a path is: a name, `.`, `..`, or nothing (the path is the root). */
export type LastPart = 'name' | 'dot' | 'dotdot' | 'root';

/** Where a path leads. */
export interface Place {
  /** Inode number of the directory that has, or would have, the last part. */
  readonly directory: number;
  readonly name: Uint8Array;
  readonly last: LastPart;
  /** What is there; undefined when nothing is. */
  readonly inode: Inode | undefined;
  /** The path ends in a slash: it can only mean a directory. */
  readonly slash: boolean;
  /** The name is longer than names can be; told only to who asked for it (`lookupPath`). */
  readonly tooLong?: boolean;
}

/** When the last part is a symlink. `slash`: only where a slash follows it, as most calls do that take no link's target. */
export type Follow = 'always' | 'slash' | 'never';

const EMPTY = new Uint8Array(0);

/**
 * Walk a path. The last part need not exist. Throws ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG.
 * @param path absolute or not, without NUL bytes.
 * @param deferLength a last part that is too long is no error yet: `rename` looks at both its directories first.
 */
export function lookupPath(volume: Volume, path: Uint8Array, follow: Follow, deferLength = false): Place {
  if (path.length === 0) throw fileError('ENOENT', 'an empty path');
  if (path.length >= MAX_PATH_BYTES) throw fileError('ENAMETOOLONG', `a path of ${path.length} bytes`);
  let bytes = path;
  let links = 0;
  let at = volume.root;
  for (let start = skipSlashes(bytes, 0); start < bytes.length; ) {
    if (!at.isDirectory) throw fileError('ENOTDIR', `a part of ${showPath(path)} is not a directory`);
    const end = nameEnd(bytes, start);
    const name = bytes.subarray(start, end);
    const rest = skipSlashes(bytes, end);
    const isLast = rest === bytes.length;
    const slash = isLast && end < bytes.length;
    if (name.length > MAX_NAME_BYTES) {
      if (!isLast || !deferLength) throw tooLong(name);
      return { directory: at.number, name, last: 'name', inode: undefined, slash, tooLong: true };
    }
    const number = volume.child(at, name);
    const inode = number === undefined ? undefined : volume.inode(number);
    if (inode?.isSymlink && (!isLast || follow === 'always' || (follow === 'slash' && slash))) {
      if (++links > MAX_SYMLINKS) throw fileError('ELOOP', `too many symlinks: ${showPath(path)}`);
      const target = readSymlink(inode);
      if (target.length === 0) throw fileError('ENOENT', `the symlink inode ${inode.number} is empty`);
      if (target[0] === SLASH) at = volume.root;
      bytes = concat(target, bytes.subarray(end));
      start = skipSlashes(bytes, 0);
      continue;
    }
    if (isLast) return { directory: at.number, name, last: kindOf(name), inode, slash };
    if (!inode) throw fileError('ENOENT', `no such directory: ${showPath(path)}`);
    at = inode;
    start = rest;
  }
  return { directory: at.number, name: EMPTY, last: 'root', inode: at, slash: true };
}

/** What a path names. Throws ENOENT when nothing is there, ENOTDIR when it ends in a slash and is no directory. */
export function resolvePath(volume: Volume, path: Uint8Array, follow: boolean): Inode {
  const { inode, slash } = lookupPath(volume, path, follow ? 'always' : 'slash');
  if (!inode)
    throw fileError('ENOENT', `no such file or directory: ${showPath(path)}`, { where: { path: showPath(path) } });
  if (slash) inode.assertDirectory(showPath(path));
  return inode;
}

/** ENAMETOOLONG. */
export function tooLong(name: Uint8Array): Error {
  return fileError('ENAMETOOLONG', `a name of ${name.length} bytes`);
}

function kindOf(name: Uint8Array): LastPart {
  if (name[0] !== DOT || name.length > 2) return 'name';
  if (name.length === 1) return 'dot';
  return name[1] === DOT ? 'dotdot' : 'name';
}

function skipSlashes(bytes: Uint8Array, from: number): number {
  while (from < bytes.length && bytes[from] === SLASH) from++;
  return from;
}

function nameEnd(bytes: Uint8Array, from: number): number {
  const end = bytes.indexOf(SLASH, from);
  return end < 0 ? bytes.length : end;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
