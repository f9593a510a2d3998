/**
 * HostCalls through the C library (koffi, an optional dependency): attributes, holes, device nodes, nanosecond times, and
 * everything relative to an open directory, so paths may be of any length and no symlink can be slipped in between (only
 * reading attributes goes by path where that is short enough: the host has no other call for what is not open).
 * Invariants: descriptors kept in HostDirectory are at most KEPT at a time; a directory opened again is refused unless it
 * is the same inode. Linux with 64-bit words only, other hosts get plain.ts and a reason.
 */
import { constants as fsConstants, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import {
  errnoName,
  type HostCalls,
  type HostDirectory,
  type HostObject,
  HostStat,
  hostError,
  type Xattr,
} from './calls.ts';
import { compareBytes } from './names.ts';

/** Directory descriptors kept open; deeper trees go back up through `..`. */
const KEPT = 64;
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const O_CLOEXEC = 0x80000;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const LOCK_EX_NB = 6;
const PATH_MAX = 4096;
/** The kernel's own limits on an attribute list and on a value. */
const XATTR_MAX = 65536;
/** Asked for first: the kernel allocates what it is offered at every call, and 64 KiB doubles the time. */
const XATTR_TRY = 512;
const LITTLE = endianness() === 'LE';
const NO_XATTRS: readonly Xattr[] = Object.freeze([]);

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY, O_NONBLOCK, O_NOCTTY, O_NOATIME } = fsConstants;

type Pointer = Uint8Array;

/** The C functions used. Signatures are fixed below in SIGNATURES; every one returns -1 with errno when refused. */
interface CLibrary {
  errno(): number;
  statx(fd: number, path: Pointer, flags: number, mask: number, into: Pointer): number;
  getdents64(fd: number, into: Pointer, length: number): number;
  openat(fd: number, path: Pointer, flags: number, mode: number): number;
  close(fd: number): number;
  pread(fd: number, into: Pointer, length: number, offset: number): number;
  lseek(fd: number, offset: number, whence: number): number;
  readlinkat(fd: number, path: Pointer, into: Pointer, length: number): number;
  llistxattr(path: Pointer, into: Pointer, length: number): number;
  flistxattr(fd: number, into: Pointer, length: number): number;
  lgetxattr(path: Pointer, name: Pointer, into: Pointer, length: number): number;
  fgetxattr(fd: number, name: Pointer, into: Pointer, length: number): number;
  lsetxattr(path: Pointer, name: Pointer, value: Pointer, length: number, flags: number): number;
  fsetxattr(fd: number, name: Pointer, value: Pointer, length: number, flags: number): number;
  mkdirat(fd: number, path: Pointer, mode: number): number;
  mknodat(fd: number, path: Pointer, mode: number, device: number): number;
  symlinkat(target: Pointer, fd: number, path: Pointer): number;
  linkat(fromFd: number, from: Pointer, toFd: number, to: Pointer, flags: number): number;
  unlinkat(fd: number, path: Pointer, flags: number): number;
  fchownat(fd: number, path: Pointer, uid: number, gid: number, flags: number): number;
  fchmod(fd: number, mode: number): number;
  umask(mode: number): number;
  utimensat(fd: number, path: Pointer, times: Pointer, flags: number): number;
  futimens(fd: number, times: Pointer): number;
  flock(fd: number, operation: number): number;
}

/** i int, u uint32, p pointer, z size_t, l int64: result first. */
const SIGNATURES: Record<Exclude<keyof CLibrary, 'errno'>, string> = {
  statx: 'iipiup',
  getdents64: 'lipz',
  openat: 'iipiu',
  close: 'ii',
  pread: 'lipzl',
  lseek: 'lili',
  readlinkat: 'lippz',
  llistxattr: 'lppz',
  flistxattr: 'lipz',
  lgetxattr: 'lpppz',
  fgetxattr: 'lippz',
  lsetxattr: 'ipppzi',
  fsetxattr: 'iippzi',
  mkdirat: 'iipu',
  mknodat: 'iipul',
  symlinkat: 'ipip',
  linkat: 'iipipi',
  unlinkat: 'iipi',
  fchownat: 'iipuui',
  fchmod: 'iiu',
  umask: 'uu',
  utimensat: 'iippi',
  futimens: 'iip',
  flock: 'iii',
};
const C_TYPES: Record<string, string> = { i: 'int', u: 'uint32_t', p: 'void *', z: 'size_t', l: 'int64_t' };

let loaded: CLibrary | string | undefined;

/** The C library, or the reason why there is none. Loaded once, at the first call (15 ms). */
export function loadCLibrary(): CLibrary | string {
  return (loaded ??= tryLoad());
}

function tryLoad(): CLibrary | string {
  if (process.platform !== 'linux')
    return `system calls beyond Node's own are used on Linux only, not ${process.platform}`;
  if (['arm', 'ia32', 'mips', 'mipsel', 'ppc', 's390'].includes(process.arch)) return `not on ${process.arch}`;
  let koffi: typeof import('koffi');
  try {
    koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  } catch (error) {
    return `the optional package koffi is not installed or does not load: ${firstLine(error)}`;
  }
  // The process itself first: whatever C library Node was linked with is already there.
  let problem = 'no C library found';
  for (const name of [
    null,
    'libc.so.6',
    `libc.musl-${process.arch === 'x64' ? 'x86_64' : 'aarch64'}.so.1`,
    'libc.so',
  ]) {
    try {
      const library = koffi.load(name);
      const functions: Record<string, unknown> = { errno: () => koffi.errno() };
      for (const [symbol, [result, ...parameters]] of Object.entries(SIGNATURES)) {
        const declare = (as: string) =>
          library.func(
            as,
            C_TYPES[result!]!,
            parameters.map((letter) => C_TYPES[letter]!),
          );
        try {
          functions[symbol] = declare(symbol);
        } catch (error) {
          if (symbol !== 'getdents64') throw error;
          functions[symbol] = declare('getdents'); // musl: the 64-bit call under its plain name
        }
      }
      return functions as unknown as CLibrary;
    } catch (error) {
      problem = firstLine(error);
    }
  }
  return `the C library does not offer what is needed: ${problem}`;
}

const firstLine = (error: unknown): string => String(error instanceof Error ? error.message : error).split('\n')[0]!;

/**
 * Take the advisory lock on an open image so that two of these tools never edit it at once. True when taken (it goes with
 * the descriptor), false when another process holds it, undefined when this host cannot lock.
 */
export function lockFile(fd: number): boolean | undefined {
  const c = loadCLibrary();
  if (typeof c === 'string') return undefined;
  if (c.flock(fd, LOCK_EX_NB) === 0) return true;
  const code = errnoName(c.errno());
  return code === 'EAGAIN' || code === 'EWOULDBLOCK' ? false : undefined;
}

/** Doer over the C library. */
/** The next data of an open file in [from, to): [start, end), empty at `to` when there is nothing but holes. */
export type FileHoles = (fd: number, from: number, to: number) => readonly [start: number, end: number];

/** Asks the host's file system; what it cannot tell is data. */
export const fileHoles: FileHoles = (fd, from, to) => {
  const c = loadCLibrary();
  if (typeof c === 'string' || from >= to) return [from, to];
  const start = c.lseek(fd, from, SEEK_DATA);
  if (start < 0) return errnoName(c.errno()) === 'ENXIO' ? [to, to] : [from, to];
  if (start >= to) return [to, to];
  const end = c.lseek(fd, start, SEEK_HOLE);
  return [start, end < 0 ? to : Math.min(end, to)];
};

export class NativeCalls implements HostCalls {
  readonly missing = undefined;
  readonly #c: CLibrary;
  readonly #open: HostDirectory[] = [];
  #clock = 0;
  readonly #name = new Uint8Array(PATH_MAX + 1);
  readonly #otherName = new Uint8Array(PATH_MAX + 1);
  readonly #path = new Uint8Array(PATH_MAX + 256);
  #pathOf: HostDirectory | undefined;
  #pathPrefix = 0;
  readonly #statBytes = new Uint8Array(256);
  readonly #statView = new DataView(this.#statBytes.buffer);
  readonly #times = new DataView(new ArrayBuffer(32));
  readonly #list = new Uint8Array(XATTR_MAX);
  readonly #value = new Uint8Array(XATTR_MAX);
  readonly #entries = new Uint8Array(XATTR_MAX);
  readonly #scratch = new HostStat();

  constructor(library: CLibrary) {
    this.#c = library;
  }

  #errno(): string {
    return errnoName(this.#c.errno());
  }

  /** `name` with its NUL in a buffer that the next call uses again. */
  #terminated(name: Uint8Array, into = this.#name): Uint8Array {
    if (name.length >= into.length) name = name.subarray(0, into.length - 1); // the kernel answers ENAMETOOLONG
    into.set(name);
    into[name.length] = 0;
    return into;
  }

  /** A path for the calls that take nothing else, good until the next call. */
  #pathFor(directory: HostDirectory, name: Uint8Array): Uint8Array {
    const path = this.#path;
    if (directory.pathLength + 1 + name.length >= PATH_MAX) {
      const prefix = Buffer.from(`/proc/self/fd/${this.#fd(directory)}/`);
      path.set(prefix);
      this.#pathPrefix = prefix.length;
      this.#pathOf = undefined;
    } else if (this.#pathOf !== directory) {
      const prefix = directory.hostPath;
      path.set(prefix);
      this.#pathPrefix = prefix.length;
      if (prefix[prefix.length - 1] !== 0x2f) path[this.#pathPrefix++] = 0x2f;
      this.#pathOf = directory;
    }
    path.set(name, this.#pathPrefix);
    path[this.#pathPrefix + name.length] = 0;
    return path;
  }

  // ---- directory descriptors ----

  #fd(directory: HostDirectory): number {
    directory.lastUse = ++this.#clock;
    return directory.fd >= 0 ? directory.fd : this.#reopen(directory);
  }

  /** Open from the nearest directory that still has a descriptor: a child of it (`..`) or one above it. */
  #reopen(directory: HostDirectory): number {
    for (const child of this.#open) {
      if (child.parent !== directory || directory.identity === undefined) continue;
      const fd = this.#openDirectory(child.fd, Buffer.from('..'), O_NOFOLLOW);
      if (fd < 0) continue;
      if (this.#identityOf(fd) === directory.identity) return this.#keep(directory, fd);
      this.#c.close(fd); // the child was moved elsewhere meanwhile
    }
    const chain: HostDirectory[] = [];
    let above: HostDirectory | undefined = directory;
    for (; above && above.fd < 0; above = above.parent) chain.push(above);
    let fd = above ? above.fd : AT_FDCWD;
    for (let i = chain.length - 1; i >= 0; i--) {
      const step = chain[i]!;
      // The root is what the user named, and may be a symlink; below it nothing may.
      const next = this.#openDirectory(fd, step.name, step.parent ? O_NOFOLLOW : 0);
      const errno = next < 0 ? this.#errno() : '';
      if (i < chain.length - 1) this.#c.close(fd);
      if (next < 0) throw hostError(errno === 'ELOOP' ? 'ENOTDIR' : errno, 'open directory', step);
      fd = next;
      const identity = this.#identityOf(fd);
      if (step.identity !== undefined && step.identity !== identity) {
        this.#c.close(fd);
        throw hostError('ESTALE', 'go on in a directory that was replaced meanwhile:', step);
      }
      step.identity = identity;
    }
    return this.#keep(directory, fd);
  }

  #openDirectory(at: number, name: Uint8Array, flags: number): number {
    const all = O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags;
    let fd = this.#c.openat(at, this.#terminated(name), all | O_NOATIME, 0);
    // Only the owner (and root) may leave the access time alone; for anybody else the plain open has to do.
    if (fd < 0 && this.#errno() === 'EPERM') fd = this.#c.openat(at, this.#terminated(name), all, 0);
    return fd;
  }

  #keep(directory: HostDirectory, fd: number): number {
    if (this.#open.length >= KEPT) {
      let oldest = 0;
      for (let i = 1; i < this.#open.length; i++) if (this.#open[i]!.lastUse < this.#open[oldest]!.lastUse) oldest = i;
      const gone = this.#open[oldest]!;
      this.#c.close(gone.fd);
      gone.fd = -1;
      this.#open[oldest] = this.#open[this.#open.length - 1]!;
      this.#open.pop();
    }
    this.#open.push(directory);
    directory.fd = fd;
    return fd;
  }

  #identityOf(fd: number): string {
    this.#statx(fd, EMPTY_NAME, AT_EMPTY_PATH, this.#scratch);
    const { devMajor, devMinor, inoHigh, inoLow } = this.#scratch;
    return `${devMajor}:${devMinor}:${inoHigh}:${inoLow}`;
  }

  close(): void {
    for (const directory of this.#open) {
      this.#c.close(directory.fd);
      directory.fd = -1;
    }
    this.#open.length = 0;
  }

  // ---- reading ----

  list(directory: HostDirectory): Uint8Array[] {
    const fd = this.#fd(directory);
    this.#c.lseek(fd, 0, 0); // a kept descriptor may have been read before
    const names: Uint8Array[] = [];
    for (;;) {
      const length = this.#c.getdents64(fd, this.#entries, this.#entries.length);
      if (length < 0) throw hostError(this.#errno(), 'list', directory);
      if (length === 0) return names;
      const bytes = this.#entries.slice(0, length);
      const view = new DataView(bytes.buffer);
      // linux_dirent64: ino u64, off u64, record length u16, type u8, name with NUL and padding.
      for (let at = 0; at < length; ) {
        const recordLength = view.getUint16(at + 16, LITTLE);
        const start = at + 19;
        const end = bytes.indexOf(0, start);
        at += recordLength;
        if (bytes[start] === 0x2e && (end === start + 1 || (end === start + 2 && bytes[start + 1] === 0x2e))) continue;
        names.push(bytes.subarray(start, end));
      }
    }
  }

  stat(directory: HostDirectory, name: Uint8Array, into: HostStat): boolean {
    if (this.#statx(this.#fd(directory), this.#terminated(name), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, into))
      return true;
    const errno = this.#errno();
    if (errno === 'ENOENT') return false;
    throw hostError(errno, 'stat', directory, name);
  }

  statDirectory(directory: HostDirectory, into: HostStat): void {
    this.statFile(this.#fd(directory), into);
  }

  statFile(fd: number, into: HostStat): void {
    this.#statx(fd, EMPTY_NAME, AT_EMPTY_PATH, into);
  }

  #statx(fd: number, path: Uint8Array, flags: number, into: HostStat): boolean {
    if (this.#c.statx(fd, path, flags, STATX_BASIC_STATS, this.#statBytes) !== 0) return false;
    const view = this.#statView;
    into.nlink = view.getUint32(16, LITTLE);
    into.uid = view.getUint32(20, LITTLE);
    into.gid = view.getUint32(24, LITTLE);
    into.mode = view.getUint16(28, LITTLE);
    into.inoHigh = view.getUint32(LITTLE ? 36 : 32, LITTLE);
    into.inoLow = view.getUint32(LITTLE ? 32 : 36, LITTLE);
    into.size = getU64(view, 40);
    into.blocks = getU64(view, 48);
    into.atimeSeconds = getI64(view, 64);
    into.atimeNanoseconds = view.getUint32(72, LITTLE);
    into.ctimeSeconds = getI64(view, 96);
    into.ctimeNanoseconds = view.getUint32(104, LITTLE);
    into.mtimeSeconds = getI64(view, 112);
    into.mtimeNanoseconds = view.getUint32(120, LITTLE);
    into.rdevMajor = view.getUint32(128, LITTLE);
    into.rdevMinor = view.getUint32(132, LITTLE);
    into.devMajor = view.getUint32(136, LITTLE);
    into.devMinor = view.getUint32(140, LITTLE);
    return true;
  }

  readLink(directory: HostDirectory, name: Uint8Array): Uint8Array {
    const length = this.#c.readlinkat(this.#fd(directory), this.#terminated(name), this.#value, this.#value.length);
    if (length < 0) throw hostError(this.#errno(), 'read link', directory, name);
    return this.#value.slice(0, length);
  }

  xattrs(
    directory: HostDirectory,
    name: Uint8Array | undefined,
    failed: (attribute: Uint8Array, errno: string) => void,
  ): readonly Xattr[] {
    const fd = name ? -1 : this.#fd(directory);
    const path = name ? this.#pathFor(directory, name) : EMPTY_NAME;
    const c = this.#c;
    let length = name ? c.llistxattr(path, this.#list, XATTR_TRY) : c.flistxattr(fd, this.#list, XATTR_TRY);
    if (length < 0 && this.#errno() === 'ERANGE')
      length = name ? c.llistxattr(path, this.#list, XATTR_MAX) : c.flistxattr(fd, this.#list, XATTR_MAX);
    if (length === 0) return NO_XATTRS;
    if (length < 0) {
      const errno = this.#errno();
      // A file system without attributes has lost none.
      if (errno !== 'ENOTSUP' && errno !== 'EOPNOTSUPP') failed(EMPTY_NAME.subarray(0, 0), errno);
      return NO_XATTRS;
    }
    const found: Xattr[] = [];
    for (let start = 0; start < length; ) {
      const end = this.#list.indexOf(0, start);
      if (end < 0 || end >= length) break;
      const attribute = this.#list.slice(start, end);
      const terminated = this.#list.subarray(start, end + 1);
      let size = name
        ? c.lgetxattr(path, terminated, this.#value, XATTR_TRY)
        : c.fgetxattr(fd, terminated, this.#value, XATTR_TRY);
      if (size < 0 && this.#errno() === 'ERANGE')
        size = name
          ? c.lgetxattr(path, terminated, this.#value, XATTR_MAX)
          : c.fgetxattr(fd, terminated, this.#value, XATTR_MAX);
      if (size < 0) failed(attribute, this.#errno());
      else found.push({ name: attribute, value: this.#value.slice(0, size) });
      start = end + 1;
    }
    return found.sort((a, b) => compareBytes(a.name, b.name));
  }

  openFile(directory: HostDirectory, name: Uint8Array): number {
    const at = this.#fd(directory);
    // O_NONBLOCK: should the file have become a fifo since it was listed, opening it must not wait for a writer.
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    let fd = this.#c.openat(at, this.#terminated(name), flags | O_NOATIME, 0);
    if (fd < 0 && this.#errno() === 'EPERM') fd = this.#c.openat(at, this.#terminated(name), flags, 0);
    if (fd < 0) throw hostError(this.#errno(), 'open', directory, name);
    return fd;
  }

  read(fd: number, into: Uint8Array, offset: number): number {
    for (;;) {
      const length = this.#c.pread(fd, into, into.length, offset);
      if (length >= 0) return length;
      const errno = this.#errno();
      if (errno !== 'EINTR') throw Object.assign(new Error(errno), { code: errno });
    }
  }

  seekData(fd: number, from: number): number {
    const at = this.#c.lseek(fd, from, SEEK_DATA);
    if (at >= 0) return at;
    // ENXIO: nothing but a hole from here on. Anything else: this file system cannot tell, so all of it is data.
    return this.#errno() === 'ENXIO' ? -1 : from;
  }

  seekHole(fd: number, from: number, size: number): number {
    const at = this.#c.lseek(fd, from, SEEK_HOLE);
    return at >= 0 ? at : size;
  }

  closeFile(fd: number): void {
    this.#c.close(fd);
  }

  // ---- writing ----

  makeDirectory(directory: HostDirectory, name: Uint8Array): boolean {
    if (this.#c.mkdirat(this.#fd(directory), this.#terminated(name), 0o700) === 0) return true;
    const errno = this.#errno();
    if (errno === 'EEXIST') return false;
    throw hostError(errno, 'make directory', directory, name);
  }

  createFile(directory: HostDirectory, name: Uint8Array): number {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const fd = this.#c.openat(this.#fd(directory), this.#terminated(name), flags, 0o600);
    if (fd < 0) throw hostError(this.#errno(), 'create', directory, name);
    return fd;
  }

  makeSymlink(directory: HostDirectory, name: Uint8Array, target: Uint8Array): void {
    const to = this.#terminated(target, this.#otherName);
    if (this.#c.symlinkat(to, this.#fd(directory), this.#terminated(name)) !== 0)
      throw hostError(this.#errno(), 'make symlink', directory, name);
  }

  makeLink(directory: HostDirectory, name: Uint8Array, toDirectory: HostDirectory, toName: Uint8Array): void {
    const into = this.#fd(directory);
    const from = this.#fd(toDirectory);
    const existing = this.#terminated(toName, this.#otherName);
    if (this.#c.linkat(from, existing, into, this.#terminated(name), 0) !== 0)
      throw hostError(this.#errno(), 'link', directory, name);
  }

  makeNode(
    directory: HostDirectory,
    name: Uint8Array,
    mode: number,
    rdevMajor: number,
    rdevMinor: number,
  ): string | undefined {
    const at = this.#fd(directory);
    // A chmod by name would follow a symlink put in its place, so the mode must be right from the start.
    const before = this.#c.umask(0);
    const failed = this.#c.mknodat(at, this.#terminated(name), mode, deviceNumber(rdevMajor, rdevMinor)) !== 0;
    const errno = failed ? this.#errno() : undefined;
    this.#c.umask(before);
    return errno;
  }

  remove(directory: HostDirectory, name: Uint8Array): void {
    if (this.#c.unlinkat(this.#fd(directory), this.#terminated(name), 0) === 0) return;
    const errno = this.#errno();
    if (errno !== 'ENOENT') throw hostError(errno, 'replace', directory, name);
  }

  setOwner(at: HostObject, uid: number, gid: number): string | undefined {
    const fd = at.fd >= 0 ? at.fd : this.#fd(at.directory);
    const whole = at.fd >= 0 || !at.name;
    const name = whole ? EMPTY_NAME : this.#terminated(at.name!);
    const failed = this.#c.fchownat(fd, name, uid, gid, whole ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW) !== 0;
    return failed ? this.#errno() : undefined;
  }

  setMode(at: HostObject, mode: number): string | undefined {
    if (at.fd < 0 && at.name) return 'ENOTSUP';
    const fd = at.fd >= 0 ? at.fd : this.#fd(at.directory);
    return this.#c.fchmod(fd, mode) !== 0 ? this.#errno() : undefined;
  }

  setXattr(at: HostObject, name: Uint8Array, value: Uint8Array): string | undefined {
    if (name.length === 0 || name.length > 255 || name.includes(0)) return 'ERANGE';
    // An empty view has no address to give; the length 0 is what counts.
    const bytes = value.length > 0 ? value : EMPTY_NAME;
    let failed: boolean;
    if (at.fd >= 0 || !at.name) {
      const fd = at.fd >= 0 ? at.fd : this.#fd(at.directory);
      failed = this.#c.fsetxattr(fd, this.#terminated(name), bytes, value.length, 0) !== 0;
    } else {
      // Through the descriptor, so that no other component can have become a symlink.
      const prefix = Buffer.from(`/proc/self/fd/${this.#fd(at.directory)}/`);
      const path = this.#terminated(Buffer.concat([prefix, at.name]), this.#otherName);
      failed = this.#c.lsetxattr(path, this.#terminated(name), bytes, value.length, 0) !== 0;
    }
    return failed ? this.#errno() : undefined;
  }

  setTimes(
    at: HostObject,
    atimeSeconds: number,
    atimeNanoseconds: number,
    mtimeSeconds: number,
    mtimeNanoseconds: number,
  ): string | undefined {
    const times = this.#times;
    putI64(times, 0, atimeSeconds);
    putI64(times, 8, atimeNanoseconds);
    putI64(times, 16, mtimeSeconds);
    putI64(times, 24, mtimeNanoseconds);
    const bytes = new Uint8Array(times.buffer);
    const failed =
      at.fd >= 0 || !at.name
        ? this.#c.futimens(at.fd >= 0 ? at.fd : this.#fd(at.directory), bytes) !== 0
        : this.#c.utimensat(this.#fd(at.directory), this.#terminated(at.name), bytes, AT_SYMLINK_NOFOLLOW) !== 0;
    return failed ? this.#errno() : undefined;
  }
}

const EMPTY_NAME = new Uint8Array(1);

const getU64 = (view: DataView, at: number): number =>
  view.getUint32(at + (LITTLE ? 4 : 0), LITTLE) * 2 ** 32 + view.getUint32(at + (LITTLE ? 0 : 4), LITTLE);
const getI64 = (view: DataView, at: number): number =>
  view.getInt32(at + (LITTLE ? 4 : 0), LITTLE) * 2 ** 32 + view.getUint32(at + (LITTLE ? 0 : 4), LITTLE);

function putI64(view: DataView, at: number, value: number): void {
  view.setInt32(at + (LITTLE ? 4 : 0), Math.floor(value / 2 ** 32), LITTLE);
  view.setUint32(at + (LITTLE ? 0 : 4), value >>> 0, LITTLE);
}

/** Linux `makedev`: 12 + 20 bits in the low 32, the rest of both above. */
function deviceNumber(major: number, minor: number): number {
  const low = (((major & 0xfff) << 8) | (minor & 0xff)) >>> 0;
  return low + (minor >>> 8) * 2 ** 20 + Math.floor(major / 2 ** 12) * 2 ** 44;
}

/** All of `bytes` at `offset`; Node's own call serves both doers. */
export function writeFully(fd: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
}
