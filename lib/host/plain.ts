/**
 * HostCalls with Node's own modules only, by path: what a host without the C-library door can still do. No attributes, no
 * holes, no device nodes, times on writing to about a microsecond; tree.ts and writer.ts report each of these.
 * Invariant: a directory is checked not to be a symlink when it is entered; the last component is never followed.
 */
import fs from 'node:fs';
import { type HostCalls, type HostDirectory, type HostObject, type HostStat, hostError, type Xattr } from './calls.ts';
import { joinPath } from './names.ts';

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_NOCTTY = 0 } = fs.constants;
const NO_XATTRS: readonly Xattr[] = Object.freeze([]);

const codeOf = (error: unknown): string => {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : 'EIO';
};

/** Cut to what a double holds, lest .999999999 become the next second; Node takes a negative number for "now", not a Date. */
function nodeTime(seconds: number, nanoseconds: number): number | Date {
  if (seconds < 0) return new Date(seconds * 1000 + Math.floor(nanoseconds / 1e6));
  return seconds + Math.floor(nanoseconds / 1000) / 1e6;
}

function fill(from: fs.BigIntStats, into: HostStat): void {
  into.mode = Number(from.mode) & 0xffff;
  into.nlink = Number(from.nlink);
  into.uid = Number(from.uid);
  into.gid = Number(from.gid);
  into.inoHigh = Number((from.ino >> 32n) & 0xffffffffn);
  into.inoLow = Number(from.ino & 0xffffffffn);
  into.devMajor = 0;
  into.devMinor = Number(from.dev & 0xffffffffn);
  into.rdevMajor = Number(((from.rdev >> 8n) & 0xfffn) | ((from.rdev >> 32n) & 0xfffff000n));
  into.rdevMinor = Number((from.rdev & 0xffn) | ((from.rdev >> 12n) & 0xffffff00n));
  into.size = Number(from.size);
  into.blocks = Number(from.blocks);
  // Node's nanoseconds go wrong by a second's sign before 1970 unless floored.
  const floor = (ns: bigint): [number, number] => {
    const rest = ((ns % 1000000000n) + 1000000000n) % 1000000000n;
    return [Number((ns - rest) / 1000000000n), Number(rest)];
  };
  [into.atimeSeconds, into.atimeNanoseconds] = floor(from.atimeNs);
  [into.mtimeSeconds, into.mtimeNanoseconds] = floor(from.mtimeNs);
  [into.ctimeSeconds, into.ctimeNanoseconds] = floor(from.ctimeNs);
}

/** Doer over Node's fs. */
export class PlainCalls implements HostCalls {
  readonly missing: string;

  constructor(reason: string) {
    this.missing = reason;
  }

  #path(directory: HostDirectory, name?: Uint8Array): Buffer {
    if (directory.identity === undefined && directory.parent) this.#enter(directory);
    return name ? joinPath(directory.hostPath, name) : directory.hostPath;
  }

  #enter(directory: HostDirectory): void {
    const chain: HostDirectory[] = [];
    for (let at: HostDirectory | undefined = directory; at?.parent && at.identity === undefined; at = at.parent)
      chain.push(at);
    for (const step of chain.reverse()) {
      const stats = this.#try('open directory', step, undefined, () => fs.lstatSync(step.hostPath, { bigint: true }));
      if (!stats.isDirectory()) throw hostError('ENOTDIR', 'open directory', step);
      step.identity = `${stats.dev}:${stats.ino}`;
    }
  }

  #try<T>(operation: string, directory: HostDirectory, name: Uint8Array | undefined, action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw hostError(codeOf(error), operation, directory, name);
    }
  }

  list(directory: HostDirectory): Uint8Array[] {
    const path = this.#path(directory);
    return this.#try('list', directory, undefined, () => fs.readdirSync(path, { encoding: 'buffer' }));
  }

  stat(directory: HostDirectory, name: Uint8Array, into: HostStat): boolean {
    const path = this.#path(directory, name);
    const stats = this.#try('stat', directory, name, () => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }));
    if (!stats) return false;
    fill(stats, into);
    return true;
  }

  statDirectory(directory: HostDirectory, into: HostStat): void {
    const path = this.#path(directory);
    fill(
      this.#try('stat', directory, undefined, () => fs.statSync(path, { bigint: true })),
      into,
    );
  }

  statFile(fd: number, into: HostStat): void {
    fill(fs.fstatSync(fd, { bigint: true }), into);
  }

  readLink(directory: HostDirectory, name: Uint8Array): Uint8Array {
    const path = this.#path(directory, name);
    return this.#try('read link', directory, name, () => fs.readlinkSync(path, { encoding: 'buffer' }));
  }

  xattrs(): readonly Xattr[] {
    return NO_XATTRS;
  }

  openFile(directory: HostDirectory, name: Uint8Array): number {
    const path = this.#path(directory, name);
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    return this.#try('open', directory, name, () => fs.openSync(path, flags));
  }

  read(fd: number, into: Uint8Array, offset: number): number {
    return fs.readSync(fd, into, 0, into.length, offset);
  }

  seekData(_fd: number, from: number): number {
    return from;
  }

  seekHole(_fd: number, _from: number, size: number): number {
    return size;
  }

  closeFile(fd: number): void {
    fs.closeSync(fd);
  }

  makeDirectory(directory: HostDirectory, name: Uint8Array): boolean {
    const path = this.#path(directory, name);
    try {
      fs.mkdirSync(path, { mode: 0o700 });
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw hostError(codeOf(error), 'make directory', directory, name);
    }
  }

  createFile(directory: HostDirectory, name: Uint8Array): number {
    const path = this.#path(directory, name);
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    return this.#try('create', directory, name, () => fs.openSync(path, flags, 0o600));
  }

  makeSymlink(directory: HostDirectory, name: Uint8Array, target: Uint8Array): void {
    const path = this.#path(directory, name);
    this.#try('make symlink', directory, name, () => fs.symlinkSync(Buffer.from(target), path));
  }

  makeLink(directory: HostDirectory, name: Uint8Array, toDirectory: HostDirectory, toName: Uint8Array): void {
    const path = this.#path(directory, name);
    const existing = this.#path(toDirectory, toName);
    this.#try('link', directory, name, () => fs.linkSync(existing, path));
  }

  makeNode(): string | undefined {
    return 'ENOSYS';
  }

  remove(directory: HostDirectory, name: Uint8Array): void {
    const path = this.#path(directory, name);
    try {
      fs.unlinkSync(path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw hostError(codeOf(error), 'replace', directory, name);
    }
  }

  #set(action: () => void): string | undefined {
    try {
      action();
      return undefined;
    } catch (error) {
      return codeOf(error);
    }
  }

  setOwner(at: HostObject, uid: number, gid: number): string | undefined {
    if (at.fd >= 0) return this.#set(() => fs.fchownSync(at.fd, uid, gid));
    return this.#set(() => fs.lchownSync(this.#path(at.directory, at.name), uid, gid));
  }

  setMode(at: HostObject, mode: number): string | undefined {
    if (at.fd >= 0) return this.#set(() => fs.fchmodSync(at.fd, mode));
    if (at.name) return 'ENOTSUP';
    return this.#set(() => fs.chmodSync(this.#path(at.directory), mode));
  }

  setXattr(): string | undefined {
    return 'ENOSYS';
  }

  setTimes(
    at: HostObject,
    atimeSeconds: number,
    atimeNanoseconds: number,
    mtimeSeconds: number,
    mtimeNanoseconds: number,
  ): string | undefined {
    const atime = nodeTime(atimeSeconds, atimeNanoseconds);
    const mtime = nodeTime(mtimeSeconds, mtimeNanoseconds);
    if (at.fd >= 0) return this.#set(() => fs.futimesSync(at.fd, atime, mtime));
    return this.#set(() => fs.lutimesSync(this.#path(at.directory, at.name), atime, mtime));
  }

  close(): void {}
}
