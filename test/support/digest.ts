/**
 * What a directory tree holds, as plain data that can be compared: of a host directory or a mount (digest.py makes it, on
 * the host or under user-mode-linux) and of an image as our own reader sees it.
 *
 * Names, targets and xattr names are bytes, shown with every byte outside 0x21..0x7e, and '%', as %xx (lower case).
 * Lists are sorted by the unescaped bytes of the path, parents first. The same constants stand in digest.py.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { python } from './tools.ts';

/** One file of a tree. */
export interface TreeEntry {
  /** '/' for the root, then '/a/b', bytes escaped. */
  path: string;
  type: 'file' | 'directory' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket';
  /** The lower 12 bits. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  /** Seconds since 1970, point, nine digits counted upwards: -1.5 s is '-2.500000000'. */
  mtime: string;
  /** 'major:minor', of device nodes only. */
  rdev?: string;
  /** Escaped bytes, of symlinks only. */
  target?: string;
  /** Hex, or 'sparse:' and hex for big files (contentDigest); of regular files only. */
  sha256?: string;
  /** Escaped full name ('user.x') to hex or, for values over 256 bytes, 'sha256:HEX:LENGTH'. Missing when there are none. */
  xattrs?: Record<string, string>;
  /** With `identity` only: inode number, 512-byte blocks, times. */
  inode?: number;
  blocks?: number;
  atime?: string;
  ctime?: string;
}

export const digestScript = fileURLToPath(new URL('./digest.py', import.meta.url));

const SPARSE_ABOVE = 64 << 20;
const SPARSE_BLOCK = 4096;
const LONG_VALUE = 256;
const ESCAPED = Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x21 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`,
);

/** Bytes as the digest shows them. */
export function escapeBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += ESCAPED[byte];
  return text;
}

/** An xattr value as the digest shows it. */
export function xattrDigest(value: Uint8Array): string {
  if (value.length <= LONG_VALUE) return Buffer.from(value).toString('hex');
  return `sha256:${createHash('sha256').update(value).digest('hex')}:${value.length}`;
}

/** A time as the digest shows it: whole seconds (may be negative) and nanoseconds 0..999999999. */
export function timeDigest(seconds: number, nanoseconds: number): string {
  return `${seconds}.${String(nanoseconds).padStart(9, '0')}`;
}

/**
 * Digest of a file's content: plain sha256 up to 64 MiB; above, 'sparse:' and the sha256 of the size (u64) and of each
 * 4096-byte block that is not all zeroes (its offset as u64, its bytes padded with zeroes), so that holes cost nothing.
 * `read` fills the buffer from a byte offset. `nextData` gives the first offset >= its argument that may hold data, or
 * `size` when there is none (default: everything may).
 */
export function contentDigest(
  size: number,
  read: (offset: number, into: Uint8Array) => void,
  nextData: (offset: number) => number = (offset) => offset,
): string {
  const hash = createHash('sha256');
  if (size <= SPARSE_ABOVE) {
    const piece = new Uint8Array(Math.min(size, 1 << 20));
    for (let at = 0; at < size; at += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, size - at));
      read(at, part);
      hash.update(part);
    }
    return hash.digest('hex');
  }
  const word = Buffer.alloc(8);
  const putU64 = (value: number) => {
    word.writeUInt32BE(Math.floor(value / 2 ** 32), 0);
    word.writeUInt32BE(value % 2 ** 32, 4);
    hash.update(word);
  };
  putU64(size);
  const block = Buffer.alloc(SPARSE_BLOCK);
  for (let at = 0; at < size; at += SPARSE_BLOCK) {
    const data = nextData(at);
    if (data >= size) break;
    at = data - (data % SPARSE_BLOCK);
    const length = Math.min(SPARSE_BLOCK, size - at);
    block.fill(0);
    read(at, block.subarray(0, length));
    if (block.every((byte) => byte === 0)) continue;
    putU64(at);
    hash.update(block);
  }
  return `sparse:${hash.digest('hex')}`;
}

/** Reads what digest.py printed. */
export function parseDigest(output: string): TreeEntry[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TreeEntry);
}

/**
 * The tree under a host directory or a mount. Throws with the helper's own message when something cannot be read.
 * `identity` adds inode, blocks, atime and ctime: only for two views of the same file system, and best mounted read-only,
 * for reading changes atime.
 */
export function digestTree(directory: string, options: { identity?: boolean } = {}): TreeEntry[] {
  const args = [digestScript, directory, ...(options.identity ? ['--identity'] : [])];
  const run = spawnSync(python(), args, { encoding: 'latin1', maxBuffer: 1 << 30 });
  if (run.status !== 0) throw new Error(`digest of ${directory} failed: ${run.error?.message ?? run.stderr}`);
  return parseDigest(run.stdout);
}

/** Which differences do not count. */
export interface CompareOptions {
  /** Fields that are not compared at all, as 'mtime', or for one type only, as 'directory.size'. */
  ignore?: string[];
  /** Do not show more than this many differences (default 20). */
  limit?: number;
}

const FIELDS: (keyof TreeEntry)[] = [
  ...(['type', 'mode', 'uid', 'gid', 'nlink', 'size', 'mtime', 'rdev', 'target', 'sha256', 'xattrs'] as const),
  ...(['inode', 'blocks', 'atime', 'ctime'] as const),
];

/**
 * Compares two trees; the result is '' when they are equal, else readable text, one difference a line, in path order.
 * Fields that one side does not have for any type (identity) are compared only when both have them.
 */
export function compareTrees(expected: TreeEntry[], found: TreeEntry[], options: CompareOptions = {}): string {
  const ignored = new Set(options.ignore ?? []);
  const limit = options.limit ?? 20;
  const lines: string[] = [];
  const others = new Map(found.map((entry) => [entry.path, entry]));
  if (others.size !== found.length) lines.push(`${found.length - others.size} paths occur more than once`);
  const identity = new Set(['inode', 'blocks', 'atime', 'ctime']);
  for (const entry of expected) {
    const other = others.get(entry.path);
    if (!other) {
      lines.push(`missing   ${entry.path} (${entry.type})`);
      continue;
    }
    others.delete(entry.path);
    for (const field of FIELDS) {
      if (ignored.has(field) || ignored.has(`${entry.type}.${field}`)) continue;
      if (identity.has(field) && (entry[field] === undefined || other[field] === undefined)) continue;
      const difference = field === 'xattrs' ? compareXattrs(entry, other) : compareField(entry, other, field);
      if (difference) lines.push(`differs   ${entry.path}: ${difference}`);
    }
  }
  for (const path of others.keys()) lines.push(`unwanted  ${path} (${others.get(path)?.type})`);
  if (lines.length > limit) lines.splice(limit, Infinity, `... and ${lines.length - limit} more`);
  return lines.join('\n');
}

function compareField(expected: TreeEntry, found: TreeEntry, field: keyof TreeEntry): string {
  const [a, b] = [expected[field], found[field]];
  if (a === b) return '';
  const show = (value: unknown) =>
    value === undefined ? 'nothing' : field === 'mode' ? `0${Number(value).toString(8)}` : String(value);
  return `${field} expected ${show(a)}, found ${show(b)}`;
}

function compareXattrs(expected: TreeEntry, found: TreeEntry): string {
  const [a, b] = [expected.xattrs ?? {}, found.xattrs ?? {}];
  const differences: string[] = [];
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (a[name] === b[name]) continue;
    differences.push(`xattr ${name} expected ${a[name] ?? 'nothing'}, found ${b[name] ?? 'nothing'}`);
  }
  return differences.slice(0, 5).join('; ');
}
