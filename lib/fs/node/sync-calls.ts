/**
 * The synchronous calls of Node's fs on an image. Arguments are Node's, results are Node's, errors are Node's; the work is
 * done by ImageFiles. All other forms (callbacks, promises, FileHandle) are made from these.
 */

import { posix } from 'node:path';
import { firstVisit } from '../first-visit.ts';
import { COPY } from '../flags.ts';
import type { ImageFiles } from '../image-files.ts';
import { makeDirectories } from '../make-directories.ts';
import {
  dataArgument,
  descriptorArgument,
  encodeContent,
  encodeName,
  flagsArgument,
  integerArgument,
  isDescriptor,
  lengthArgument,
  modeArgument,
  optionsOf,
  ownerArgument,
  type PathArgument,
  pathArgument,
  positionArgument,
  timeArgument,
  viewArgument,
} from './arguments.ts';
import { copyTree, runFilters } from './copy-tree.ts';
import { asNode, badValue, type FsError, fsSystemError, outOfRange, refuseWatch } from './errors.ts';
import { BigIntStats, Dir, Dirent, StatFs, Stats } from './stats.ts';

/** Longest file that is read in one piece, as in Node. */
const MAX_READ = 2 ** 31 - 1;
const RANDOM_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

export class SyncCalls {
  readonly files: ImageFiles;
  /** Device number that stat tells: one for each open image. */
  readonly #dev: number;

  constructor(files: ImageFiles, dev: number) {
    this.files = files;
    this.#dev = dev;
  }

  // ---- descriptors

  openSync(path: unknown, flags?: unknown, mode?: unknown): number {
    const { bytes, shown } = pathArgument(path);
    const bits = flagsArgument(flags, 'r');
    const permissions = modeArgument(mode, 0o666);
    return asNode('open', shown, undefined, () => this.files.open(bytes, bits, permissions));
  }

  closeSync(fd: unknown): void {
    const number = descriptorArgument(fd);
    asNode('close', undefined, undefined, () => this.files.close(number));
  }

  readSync(fd: unknown, buffer: unknown, offset?: unknown, length?: unknown, position?: unknown): number {
    const number = descriptorArgument(fd);
    const into = viewArgument(buffer);
    const range = rangeArguments(into, offset, length, position);
    if (range.bytes.length === 0) return 0;
    return asNode('read', undefined, undefined, () => this.files.read(number, range.bytes, range.position));
  }

  writeSync(fd: unknown, data: unknown, offset?: unknown, length?: unknown, position?: unknown): number {
    const number = descriptorArgument(fd);
    if (typeof data === 'string') {
      // (fd, text, position, encoding)
      const bytes = dataArgument(data, length);
      const at = positionArgument(offset);
      return asNode('write', undefined, undefined, () => this.files.write(number, bytes, at));
    }
    const range = rangeArguments(dataArgument(data, undefined, 'buffer'), offset, length, position);
    return asNode('write', undefined, undefined, () => this.files.write(number, range.bytes, range.position));
  }

  readvSync(fd: unknown, buffers: unknown, position?: unknown): number {
    return this.#vector(buffers, position, (view, at) => this.readSync(fd, view, 0, view.length, at), true);
  }

  writevSync(fd: unknown, buffers: unknown, position?: unknown): number {
    return this.#vector(buffers, position, (view, at) => this.writeSync(fd, view, 0, view.length, at), false);
  }

  #vector(
    buffers: unknown,
    position: unknown,
    step: (view: Uint8Array, at: number | null) => number,
    stopsShort: boolean,
  ): number {
    if (!Array.isArray(buffers)) throw badValue('buffers', 'must be an array of views', buffers);
    const start = positionArgument(position);
    let done = 0;
    for (const buffer of buffers) {
      const view = viewArgument(buffer);
      if (view.length === 0) continue;
      const moved = step(view, start === undefined ? null : start + done);
      done += moved;
      if (stopsShort && moved < view.length) break;
    }
    return done;
  }

  ftruncateSync(fd: unknown, length?: unknown): void {
    const number = descriptorArgument(fd);
    const size = lengthArgument(length);
    asNode('ftruncate', undefined, undefined, () => this.files.ftruncate(number, size));
  }

  fsyncSync(fd: unknown): void {
    const number = descriptorArgument(fd);
    asNode('fsync', undefined, undefined, () => this.files.fsync(number));
  }

  fdatasyncSync(fd: unknown): void {
    const number = descriptorArgument(fd);
    asNode('fdatasync', undefined, undefined, () => this.files.fsync(number));
  }

  fstatSync(fd: unknown, options?: unknown): Stats | BigIntStats {
    const number = descriptorArgument(fd);
    return asNode('fstat', undefined, undefined, () => this.#stats(this.files.fstat(number), options));
  }

  fchmodSync(fd: unknown, mode: unknown): void {
    const number = descriptorArgument(fd);
    const permissions = modeArgument(mode, 0);
    asNode('fchmod', undefined, undefined, () => this.files.fchmod(number, permissions));
  }

  fchownSync(fd: unknown, uid: unknown, gid: unknown): void {
    const number = descriptorArgument(fd);
    const [owner, group] = [ownerArgument(uid, 'uid'), ownerArgument(gid, 'gid')];
    asNode('fchown', undefined, undefined, () => this.files.fchown(number, owner, group));
  }

  futimesSync(fd: unknown, atime: unknown, mtime: unknown): void {
    const number = descriptorArgument(fd);
    const [accessed, modified] = [timeArgument(atime, 'atime'), timeArgument(mtime, 'mtime')];
    asNode('futime', undefined, undefined, () => this.files.futimes(number, accessed, modified));
  }

  // ---- whole files

  /** @param path or a descriptor, which is read from where it stands. */
  readFileSync(path: unknown, options?: unknown): Buffer | string {
    const given = optionsOf(options);
    const own = !isDescriptor(path);
    const fd = own ? this.openSync(path, given.flag ?? 'r') : descriptorArgument(path);
    try {
      return encodeContent(this.#readAll(fd), given.encoding);
    } finally {
      if (own) this.closeSync(fd);
    }
  }

  #readAll(fd: number): Buffer {
    const stat = asNode('fstat', undefined, undefined, () => this.files.fstat(fd));
    if (stat.size > MAX_READ) {
      const error = new RangeError(`File size (${stat.size}) is greater than 2 GiB`);
      throw Object.assign(error, { code: 'ERR_FS_FILE_TOO_LARGE' });
    }
    const whole = Buffer.allocUnsafeSlow(Math.max(stat.size, 1));
    let have = 0;
    for (;;) {
      const got = this.readSync(fd, whole, have, whole.length - have, null);
      have += got;
      if (got === 0 || have === whole.length) return whole.subarray(0, have);
    }
  }

  writeFileSync(path: unknown, data: unknown, options?: unknown): void {
    this.#store(path, data, optionsOf(options), 'w');
  }

  appendFileSync(path: unknown, data: unknown, options?: unknown): void {
    this.#store(path, data, optionsOf(options), 'a');
  }

  #store(path: unknown, data: unknown, options: Readonly<Record<string, unknown>>, flag: string): void {
    const bytes = dataArgument(data, options.encoding);
    const own = !isDescriptor(path);
    const fd = own ? this.openSync(path, options.flag ?? flag, options.mode) : descriptorArgument(path);
    try {
      if (bytes.length > 0) this.writeSync(fd, bytes, 0, bytes.length, null);
      if (options.flush) this.fsyncSync(fd);
    } finally {
      if (own) this.closeSync(fd);
    }
  }

  truncateSync(path: unknown, length?: unknown): void {
    if (isDescriptor(path)) {
      this.ftruncateSync(path, length);
      return;
    }
    const size = lengthArgument(length);
    const fd = this.openSync(path, 'r+');
    try {
      this.ftruncateSync(fd, size);
    } finally {
      this.closeSync(fd);
    }
  }

  /** @param mode COPYFILE_ bits: FICLONE shares blocks where the image can (else copies), FICLONE_FORCE refuses otherwise. */
  copyFileSync(from: unknown, to: unknown, mode?: unknown): void {
    const source = pathArgument(from, 'src');
    const target = pathArgument(to, 'dest');
    const bits = integerArgument(mode, 'mode', 0, 7, 0);
    asNode('copyfile', source.shown, target.shown, () => {
      this.files.copyFile(source.bytes, target.bytes, {
        exclusive: (bits & COPY.EXCLUSIVE) !== 0,
        clone: (bits & COPY.CLONE_FORCE) !== 0 ? 'only' : (bits & COPY.CLONE) !== 0 ? 'try' : undefined,
      });
    });
  }

  // ---- what a path names

  statSync(path: unknown, options?: unknown): Stats | BigIntStats | undefined {
    return this.#statPath('stat', path, options, true);
  }

  lstatSync(path: unknown, options?: unknown): Stats | BigIntStats | undefined {
    return this.#statPath('lstat', path, options, false);
  }

  #statPath(syscall: string, path: unknown, options: unknown, follow: boolean): Stats | BigIntStats | undefined {
    const { bytes, shown } = pathArgument(path);
    try {
      return asNode(syscall, shown, undefined, () => this.#stats(this.files.stat(bytes, follow), options));
    } catch (error) {
      if (optionsOf(options).throwIfNoEntry === false && (error as FsError).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  #stats(stat: ReturnType<ImageFiles['stat']>, options: unknown): Stats | BigIntStats {
    return optionsOf(options).bigint ? new BigIntStats(stat, this.#dev) : new Stats(stat, this.#dev);
  }

  statfsSync(path: unknown, options?: unknown): StatFs<number> | StatFs<bigint> {
    const { bytes, shown } = pathArgument(path);
    return asNode('statfs', shown, undefined, () => {
      this.files.stat(bytes);
      const { blockSize, blocks, freeBlocks, inodes, freeInodes } = this.files.statfs();
      return optionsOf(options).bigint
        ? new StatFs(BigInt, blockSize, blocks, freeBlocks, inodes, freeInodes)
        : new StatFs(Number, blockSize, blocks, freeBlocks, inodes, freeInodes);
    });
  }

  accessSync(path: unknown, mode?: unknown): void {
    const { bytes, shown } = pathArgument(path);
    const bits = integerArgument(mode, 'mode', 0, 7, 0);
    asNode('access', shown, undefined, () => this.files.access(bytes, bits));
  }

  existsSync(path: unknown): boolean {
    try {
      this.accessSync(path);
      return true;
    } catch {
      return false;
    }
  }

  readlinkSync(path: unknown, options?: unknown): string | Buffer {
    const { bytes, shown } = pathArgument(path);
    const { encoding } = optionsOf(options);
    return encodeName(
      asNode('readlink', shown, undefined, () => this.files.readlink(bytes)),
      encoding,
    );
  }

  realpathSync(path: unknown, options?: unknown): string | Buffer {
    const { bytes, shown } = pathArgument(path);
    const { encoding } = optionsOf(options);
    return encodeName(
      asNode('realpath', shown, undefined, () => this.files.realpath(bytes)),
      encoding,
    );
  }

  chmodSync(path: unknown, mode: unknown): void {
    const { bytes, shown } = pathArgument(path);
    const permissions = modeArgument(mode, 0);
    asNode('chmod', shown, undefined, () => this.files.chmod(bytes, permissions));
  }

  chownSync(path: unknown, uid: unknown, gid: unknown): void {
    this.#chown('chown', path, uid, gid, true);
  }

  lchownSync(path: unknown, uid: unknown, gid: unknown): void {
    this.#chown('lchown', path, uid, gid, false);
  }

  #chown(syscall: string, path: unknown, uid: unknown, gid: unknown, follow: boolean): void {
    const { bytes, shown } = pathArgument(path);
    const [owner, group] = [ownerArgument(uid, 'uid'), ownerArgument(gid, 'gid')];
    asNode(syscall, shown, undefined, () => this.files.chown(bytes, owner, group, follow));
  }

  utimesSync(path: unknown, atime: unknown, mtime: unknown): void {
    this.#utimes('utime', path, atime, mtime, true);
  }

  lutimesSync(path: unknown, atime: unknown, mtime: unknown): void {
    this.#utimes('lutime', path, atime, mtime, false);
  }

  #utimes(syscall: string, path: unknown, atime: unknown, mtime: unknown, follow: boolean): void {
    const { bytes, shown } = pathArgument(path);
    const [accessed, modified] = [timeArgument(atime, 'atime'), timeArgument(mtime, 'mtime')];
    asNode(syscall, shown, undefined, () => this.files.utimes(bytes, accessed, modified, follow));
  }

  // ---- names

  linkSync(from: unknown, to: unknown): void {
    const [source, target] = [pathArgument(from, 'existingPath'), pathArgument(to, 'newPath')];
    asNode('link', source.shown, target.shown, () => this.files.link(source.bytes, target.bytes));
  }

  /** @param _type of Windows. */
  symlinkSync(target: unknown, path: unknown, _type?: unknown): void {
    const [to, place] = [pathArgument(target, 'target'), pathArgument(path)];
    asNode('symlink', to.shown, place.shown, () => this.files.symlink(to.bytes, place.bytes));
  }

  unlinkSync(path: unknown): void {
    const { bytes, shown } = pathArgument(path);
    asNode('unlink', shown, undefined, () => this.files.unlink(bytes));
  }

  renameSync(from: unknown, to: unknown): void {
    const [source, target] = [pathArgument(from, 'oldPath'), pathArgument(to, 'newPath')];
    asNode('rename', source.shown, target.shown, () => this.files.rename(source.bytes, target.bytes));
  }

  // ---- directories and trees

  mkdirSync(path: unknown, options?: unknown): string | undefined {
    const { bytes, shown } = pathArgument(path);
    const given =
      typeof options === 'object' && options !== null ? (options as Record<string, unknown>) : { mode: options };
    const mode = modeArgument(given.mode, 0o777);
    if (given.recursive) {
      const first = asNode('mkdir', shown, undefined, () => makeDirectories(this.files, bytes, mode));
      return first && Buffer.from(first).toString();
    }
    asNode('mkdir', shown, undefined, () => this.files.mkdir(bytes, mode));
    return undefined;
  }

  mkdtempSync(prefix: unknown, options?: unknown): string | Buffer {
    const { bytes, shown } = pathArgument(prefix, 'prefix');
    for (;;) {
      const path = Buffer.concat([bytes, Buffer.from(randomLetters())]);
      try {
        asNode('mkdtemp', `${shown}XXXXXX`, undefined, () => this.files.mkdir(path, 0o700));
        return encodeName(path, optionsOf(options).encoding);
      } catch (error) {
        if ((error as FsError).code !== 'EEXIST') throw error;
      }
    }
  }

  /** @param options `recursive: true` as Node's old form of rm. */
  rmdirSync(path: unknown, options?: unknown): void {
    const { bytes, shown } = pathArgument(path);
    if (optionsOf(options).recursive && asNode('rmdir', shown, undefined, () => this.#isDirectory(bytes))) {
      asNode('rmdir', shown, undefined, () => this.files.removeTree(bytes));
    } else asNode('rmdir', shown, undefined, () => this.files.rmdir(bytes));
  }

  rmSync(path: unknown, options?: unknown): void {
    const { bytes, shown } = pathArgument(path);
    const { recursive, force } = optionsOf(options);
    let isDirectory: boolean;
    try {
      isDirectory = asNode('lstat', shown, undefined, () => this.#isDirectory(bytes));
    } catch (error) {
      if (force && (error as FsError).code === 'ENOENT') return;
      throw error;
    }
    if (!isDirectory) asNode('unlink', shown, undefined, () => this.files.unlink(bytes));
    else if (recursive) asNode('rm', shown, undefined, () => this.files.removeTree(bytes));
    else {
      const info = { code: 'EISDIR', message: 'is a directory', syscall: 'rm', path: shown };
      throw fsSystemError('ERR_FS_EISDIR', 'Path is a directory', info);
    }
  }

  #isDirectory(path: Uint8Array): boolean {
    return (this.files.stat(path, false).mode & 0xf000) === 0x4000;
  }

  readdirSync(path: unknown, options?: unknown): (string | Buffer | Dirent)[] {
    const { encoding, withFileTypes, recursive } = optionsOf(options);
    const start = pathArgument(path);
    const list: (string | Buffer | Dirent)[] = [];
    /** Directories listed: in a damaged image one may be reached twice, and this would never end. */
    const seen = new Set<number>();
    const pending = [{ bytes: start.bytes, shown: start.shown, prefix: new Uint8Array(0) }];
    for (let at = pending.shift(); at; at = pending.shift()) {
      const { bytes, shown, prefix } = at;
      for (const entry of asNode('scandir', shown, undefined, () => this.files.readdir(bytes))) {
        const below = Buffer.concat([prefix, entry.name]);
        const type = withFileTypes || recursive ? this.files.entryType(entry) : 0;
        if (withFileTypes) list.push(new Dirent(encodeName(entry.name, encoding), shown, type));
        else list.push(encodeName(below, encoding));
        if (!recursive || type !== 0x4000) continue;
        asNode('scandir', shown, undefined, () => firstVisit(seen, entry.inode));
        const text = Buffer.from(entry.name).toString();
        const inside = Buffer.concat([bytes, bytes.at(-1) === 0x2f ? NOTHING : SLASH, entry.name]);
        pending.push({ bytes: inside, shown: posix.join(shown, text), prefix: Buffer.concat([below, SLASH]) });
      }
    }
    return list;
  }

  opendirSync(path: unknown, options?: unknown): Dir {
    const { bytes, shown } = pathArgument(path);
    asNode('opendir', shown, undefined, () => this.files.readdir(bytes));
    return new Dir(shown, this.readdirSync(path, { ...optionsOf(options), withFileTypes: true }) as Dirent[]);
  }

  cpSync(from: unknown, to: unknown, options?: unknown): void {
    const [source, target]: PathArgument[] = [pathArgument(from, 'src'), pathArgument(to, 'dest')];
    runFilters(copyTree(this, source!, target!, optionsOf(options)));
  }

  // ---- what an image has not

  watch(path: unknown): never {
    return refuseWatch('watch', pathArgument(path, 'filename').shown);
  }
  watchFile(path: unknown): never {
    return refuseWatch('watchFile', pathArgument(path, 'filename').shown);
  }
  unwatchFile(): void {}
}

const NOTHING = new Uint8Array(0);
const SLASH = Uint8Array.of(0x2f);

/** `(buffer, offset, length, position)` or `(buffer, {offset, length, position})`: the bytes meant. */
function rangeArguments(
  buffer: Uint8Array,
  offset: unknown,
  length: unknown,
  position: unknown,
): { bytes: Uint8Array; position: number | undefined } {
  if (typeof offset === 'object' && offset !== null) {
    const given = offset as Record<string, unknown>;
    return rangeArguments(buffer, given.offset, given.length, given.position);
  }
  const start = integerArgument(offset, 'offset', 0, Number.MAX_SAFE_INTEGER, 0);
  if (start > buffer.length) throw outOfRange('offset', `<= ${buffer.length}`, offset);
  const count = integerArgument(length, 'length', 0, Number.MAX_SAFE_INTEGER, buffer.length - start);
  if (count > buffer.length - start) throw outOfRange('length', `<= ${buffer.length - start}`, length);
  return { bytes: buffer.subarray(start, start + count), position: positionArgument(position) };
}

function randomLetters(): string {
  let text = '';
  for (let i = 0; i < 6; i++) text += RANDOM_LETTERS[Math.floor(Math.random() * RANDOM_LETTERS.length)];
  return text;
}
