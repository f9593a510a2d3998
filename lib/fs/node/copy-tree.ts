/**
 * `fs.cp`: a file, symlink or tree copied inside the image, with Node's options and Node's refusals.
 *
 * The copy is a generator that yields what the caller's filter says, so that one piece of code serves the synchronous form
 * (filter gives a boolean) and the asynchronous one (filter gives a promise).
 */
import { posix } from 'node:path';
import { MODE, S_IFMT } from '../../../formats/inode.ts';
import { firstVisit } from '../first-visit.ts';
import type { ImageFiles } from '../image-files.ts';
import type { FileStat } from '../stat.ts';
import { modeArgument, type PathArgument } from './arguments.ts';
import { asNode, badType, type FsError, fsError, fsSystemError } from './errors.ts';

/** The calls a copy is made of. */
export interface CopyCalls {
  readonly files: ImageFiles;
  mkdirSync(path: unknown, options?: unknown): unknown;
  chmodSync(path: unknown, mode: unknown): void;
  unlinkSync(path: unknown): void;
  copyFileSync(from: unknown, to: unknown, mode?: unknown): void;
  symlinkSync(target: unknown, path: unknown): void;
}

type Options = Readonly<Record<string, unknown>>;
/** Yields answers of the filter as they came, gets them back as booleans. */
export type Copying = Generator<unknown, void, boolean>;

/** Run a copy whose filter answers at once. */
export function runFilters(copying: Copying): void {
  for (let step = copying.next(); !step.done; ) {
    if (step.value instanceof Promise) throw badType('filter', 'a synchronous function in cpSync', step.value);
    step = copying.next(Boolean(step.value));
  }
}

/** Run a copy whose filter may answer later. */
export async function awaitFilters(copying: Copying): Promise<void> {
  for (let step = copying.next(); !step.done; ) step = copying.next(Boolean(await step.value));
}

/** Names of a copy under way: what goes where, and what is there now. */
interface Pair {
  readonly from: PathArgument;
  readonly to: PathArgument;
}

/**
 * Copy `from` to `to`. Options: recursive, force (default true), errorOnExist, dereference, preserveTimestamps,
 * verbatimSymlinks, filter, mode.
 */
export function* copyTree(fs: CopyCalls, from: PathArgument, to: PathArgument, options: Options): Copying {
  const pair = { from, to };
  check(fs, pair, options);
  if (!(yield answer(options, pair))) return;
  const parent = posix.dirname(to.bytes.length === 0 ? '/' : latin(to.bytes));
  fs.mkdirSync(Buffer.from(parent, 'latin1'), { recursive: true });
  yield* copyOne(fs, pair, options, new Set());
}

function answer(options: Options, { from, to }: Pair): unknown {
  const { filter } = options;
  if (filter === undefined) return true;
  if (typeof filter !== 'function') throw badType('options.filter', 'of type function', filter);
  return filter(from.shown, to.shown) as unknown;
}

/** Paths as text in which every byte is a character, so that `posix` can work on them. */
const latin = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
const absolute = (path: PathArgument): string => posix.resolve('/', latin(path.bytes));

function statOf(fs: CopyCalls, path: PathArgument, options: Options): FileStat {
  const follow = Boolean(options.dereference);
  return asNode(follow ? 'stat' : 'lstat', path.shown, undefined, () => fs.files.stat(path.bytes, follow));
}

function statOrNothing(fs: CopyCalls, path: PathArgument, options: Options): FileStat | undefined {
  try {
    return statOf(fs, path, options);
  } catch (error) {
    if ((error as FsError).code === 'ENOENT') return undefined;
    throw error;
  }
}

const isDirectory = (stat: FileStat): boolean => (stat.mode & S_IFMT) === MODE.DIR;

function refuse(code: string, text: string, errno: string, message: string, path: string): FsError {
  return fsSystemError(code, text, { code: errno, message, syscall: 'cp', path });
}

/** @returns what is at the target. Throws when this copy makes no sense. */
function check(fs: CopyCalls, { from, to }: Pair, options: Options): FileStat | undefined {
  const source = statOf(fs, from, options);
  const target = statOrNothing(fs, to, options);
  const [a, b] = [from.shown, to.shown];
  if (target) {
    if (target.inode === source.inode) {
      throw refuse('ERR_FS_CP_EINVAL', 'Invalid src or dest', 'EINVAL', 'src and dest cannot be the same', b);
    }
    if (isDirectory(source) && !isDirectory(target)) {
      const message = `cannot overwrite non-directory ${b} with directory ${a}`;
      throw refuse('ERR_FS_CP_DIR_TO_NON_DIR', 'Cannot overwrite non-directory with directory', 'EISDIR', message, b);
    }
    if (!isDirectory(source) && isDirectory(target)) {
      const message = `cannot overwrite directory ${b} with non-directory ${a}`;
      throw refuse('ERR_FS_CP_NON_DIR_TO_DIR', 'Cannot overwrite directory with non-directory', 'ENOTDIR', message, b);
    }
  }
  if (isDirectory(source) && (liesIn(absolute(from), absolute(to)) || liesInInode(fs, source.inode, to))) {
    const message = `cannot copy ${a} to a subdirectory of self ${b}`;
    throw refuse('ERR_FS_CP_EINVAL', 'Invalid src or dest', 'EINVAL', message, b);
  }
  return target;
}

/** True when the second absolute path is the first or lies below it. */
const liesIn = (outer: string, inner: string): boolean =>
  inner === outer || inner.startsWith(outer === '/' ? outer : `${outer}/`);

/** True when a directory above the target is the source under another name: the copy would feed on itself. */
function liesInInode(fs: CopyCalls, inode: number, to: PathArgument): boolean {
  for (let path = posix.dirname(absolute(to)); ; path = posix.dirname(path)) {
    try {
      if (fs.files.stat(Buffer.from(path, 'latin1')).inode === inode) return true;
    } catch {
      // Not there yet.
    }
    if (path === '/') return false;
  }
}

function* copyOne(fs: CopyCalls, pair: Pair, options: Options, seen: Set<number>): Copying {
  const { from, to } = pair;
  const source = statOf(fs, from, options);
  const target = statOrNothing(fs, to, options);
  const type = source.mode & S_IFMT;
  if (type === MODE.DIR) {
    if (!options.recursive) {
      const message = `${from.shown} is a directory (not copied)`;
      throw refuse('ERR_FS_EISDIR', 'Path is a directory', 'EISDIR', message, from.shown);
    }
    asNode('cp', from.shown, to.shown, () => firstVisit(seen, source.inode));
    if (!target) fs.mkdirSync(to.bytes);
    for (const entry of fs.files.readdir(from.bytes)) {
      const inner = { from: inside(from, entry.name), to: inside(to, entry.name) };
      check(fs, inner, options);
      if (yield answer(options, inner)) yield* copyOne(fs, inner, options, seen);
    }
    if (!target) fs.chmodSync(to.bytes, source.mode & 0o7777);
  } else if (type === MODE.SYMLINK) copyLink(fs, pair, target, options);
  else if (type === MODE.FILE) copyFile(fs, pair, source, target, options);
  else {
    const message = `cannot copy a special file: ${to.shown}`;
    throw refuse('ERR_FS_CP_UNKNOWN', 'Cannot copy an unknown file type', 'EINVAL', message, to.shown);
  }
}

function copyFile(fs: CopyCalls, pair: Pair, source: FileStat, target: FileStat | undefined, options: Options): void {
  const { from, to } = pair;
  if (target) {
    if (options.force === false) {
      if (!options.errorOnExist) return;
      throw refuse('ERR_FS_CP_EEXIST', 'Target already exists', 'EEXIST', `${to.shown} already exists`, to.shown);
    }
    fs.unlinkSync(to.bytes);
  }
  fs.copyFileSync(from.bytes, to.bytes, modeArgument(options.mode, 0));
  if (options.preserveTimestamps) fs.files.utimes(to.bytes, source.atime, source.mtime);
  fs.chmodSync(to.bytes, source.mode & 0o7777);
}

function copyLink(fs: CopyCalls, { from, to }: Pair, target: FileStat | undefined, options: Options): void {
  const text = latin(asNode('readlink', from.shown, undefined, () => fs.files.readlink(from.bytes)));
  const base = posix.dirname(absolute(from));
  const goal = Buffer.from(options.verbatimSymlinks ? text : posix.resolve(base, text), 'latin1');
  if (target) {
    if ((target.mode & S_IFMT) !== MODE.SYMLINK) throw fsError('EEXIST', 'symlink', goal.toString(), to.shown);
    fs.unlinkSync(to.bytes);
  }
  fs.symlinkSync(goal, to.bytes);
}

function inside(path: PathArgument, name: Uint8Array): PathArgument {
  const bytes = Buffer.from(posix.join(latin(path.bytes), latin(name)), 'latin1');
  return { bytes, shown: bytes.toString() };
}
