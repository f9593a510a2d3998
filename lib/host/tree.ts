/**
 * A directory tree of the host, read only: entries in byte order, attributes, holes, file bytes. What populate reads.
 * Invariants: the same tree gives the same order on any machine; no symlink is followed but the root; a file yields exactly
 * the size its entry states or an error that names it; whatever is not carried over is in `leftOut`.
 */
import { MODE, S_IFMT } from '../../formats/inode.ts';
import type { Time } from '../../formats/time.ts';
import { fileError } from '../errors.ts';
import { type HostCalls, HostDirectory, HostStat, hostError, relativePath, type Xattr } from './calls.ts';
import { type HostOptions, hostCalls } from './host.ts';
import { LeftOut } from './left-out.ts';
import { compareBytes, hostPath, showBytes } from './names.ts';

export type HostType = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character' | 'block' | 'unknown';

/** A range of a file that holds data, in bytes. */
export interface DataSegment {
  offset: number;
  length: number;
}

/** Up to here a file is read whole: looking for a hole costs more than one block of zeroes. */
const ALWAYS_WHOLE = 4096;
const EMPTY = new Uint8Array(0);

/** One object of the tree as it was when its directory was read. */
export class HostEntry {
  /** The directory it is in; the root's own entry has none. */
  readonly parent: HostDirectory | undefined;
  /** Name bytes; empty for the root. */
  readonly name: Uint8Array;
  /** st_mode: type and permission bits, as an inode holds them. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** 512-byte units really allocated. */
  readonly blocks: number;
  readonly inoHigh: number;
  readonly inoLow: number;
  readonly devMajor: number;
  readonly devMinor: number;
  /** Of the device a device node stands for. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  /** Of a symlink. */
  target: Uint8Array | undefined = undefined;
  /** Sorted by name. */
  xattrs: readonly Xattr[] = [];
  /** Set for a directory: the handle its own entries hang on. */
  readonly directory: HostDirectory | undefined;

  constructor(parent: HostDirectory | undefined, name: Uint8Array, stat: HostStat, directory?: HostDirectory) {
    this.parent = parent;
    this.name = name;
    this.mode = stat.mode;
    this.nlink = stat.nlink;
    this.uid = stat.uid;
    this.gid = stat.gid;
    this.size = stat.size;
    this.blocks = stat.blocks;
    this.inoHigh = stat.inoHigh;
    this.inoLow = stat.inoLow;
    this.devMajor = stat.devMajor;
    this.devMinor = stat.devMinor;
    this.rdevMajor = stat.rdevMajor;
    this.rdevMinor = stat.rdevMinor;
    this.atime = { seconds: stat.atimeSeconds, nanoseconds: stat.atimeNanoseconds };
    this.mtime = { seconds: stat.mtimeSeconds, nanoseconds: stat.mtimeNanoseconds };
    this.ctime = { seconds: stat.ctimeSeconds, nanoseconds: stat.ctimeNanoseconds };
    this.directory = directory;
  }

  /** Path relative to the root, without a leading slash; empty for the root. Built anew at each call. */
  get path(): Buffer {
    return this.parent ? relativePath(this.parent, this.name) : Buffer.alloc(0);
  }

  get type(): HostType {
    switch (this.mode & S_IFMT) {
      case MODE.FILE:
        return 'file';
      case MODE.DIR:
        return 'directory';
      case MODE.SYMLINK:
        return 'symlink';
      case MODE.FIFO:
        return 'fifo';
      case MODE.SOCKET:
        return 'socket';
      case MODE.CHAR:
        return 'character';
      case MODE.BLOCK:
        return 'block';
      default:
        return 'unknown';
    }
  }

  /** Inode number; rounded above 2^53, so tell hard links apart by `linkKey`. */
  get ino(): number {
    return this.inoHigh * 2 ** 32 + this.inoLow;
  }

  /** Equal for two entries exactly when they are hard links of one inode. Worth asking only when `nlink` > 1. */
  get linkKey(): string {
    return `${this.devMajor}:${this.devMinor}:${this.inoHigh}:${this.inoLow}`;
  }
}

/** An open regular file of the tree. */
export class HostFile {
  readonly entry: HostEntry;
  /** Bytes, as the entry states: exactly so many can be read. */
  readonly size: number;
  readonly #calls: HostCalls;
  readonly #leftOut: LeftOut;
  #fd: number;

  constructor(calls: HostCalls, leftOut: LeftOut, entry: HostEntry) {
    this.entry = entry;
    this.size = entry.size;
    this.#calls = calls;
    this.#leftOut = leftOut;
    this.#fd = calls.openFile(entry.parent!, entry.name);
  }

  /** True when the host has allocated less than the size: there may be holes. */
  get maybeSparse(): boolean {
    return this.size > ALWAYS_WHOLE && this.entry.blocks * 512 < this.size;
  }

  /**
   * The first range of data at or after byte `from`, cut at the size; undefined when only holes follow. Asking range by range
   * keeps memory flat for a file in a million pieces.
   */
  nextSegment(from: number): DataSegment | undefined {
    if (from >= this.size) return undefined;
    if (!this.maybeSparse) return { offset: from, length: this.size - from };
    const offset = this.#calls.seekData(this.#fd, from);
    if (offset < 0 || offset >= this.size) return undefined;
    // A hole that is not beyond its data means the file changed; then take what is left as data.
    const hole = this.#calls.seekHole(this.#fd, offset, this.size);
    const end = hole > offset ? Math.min(hole, this.size) : this.size;
    return { offset, length: end - offset };
  }

  /** All ranges of data in ascending order; the gaps are holes. Empty for an empty file. */
  segments(): DataSegment[] {
    const all: DataSegment[] = [];
    for (let at = this.nextSegment(0); at; at = this.nextSegment(at.offset + at.length)) all.push(at);
    return all;
  }

  /**
   * Fill `into` with the bytes from `offset` on. Throws EINVAL beyond `size`, HOST_FILE_CHANGED when the file has become
   * shorter, or the host's own error; each names the file.
   */
  readInto(into: Uint8Array, offset: number): void {
    if (offset + into.length > this.size) throw this.#error('EINVAL', 'read beyond the size of');
    for (let done = 0; done < into.length; ) {
      let length: number;
      try {
        length = this.#calls.read(this.#fd, done === 0 ? into : into.subarray(done), offset + done);
      } catch (error) {
        throw this.#error(String((error as { code?: unknown }).code ?? 'EIO'), 'read');
      }
      if (length === 0) {
        const path = showBytes(this.entry.path);
        throw fileError('HOST_FILE_CHANGED', `${path} became shorter while it was read`, {
          where: { path },
          expected: `${this.size} bytes`,
          found: `${offset + done} bytes`,
        });
      }
      done += length;
    }
  }

  #error(errno: string, operation: string): Error {
    return hostError(errno, operation, this.entry.parent!, this.entry.name);
  }

  /**
   * Close, and compare with the entry: a file that was replaced is an error (HOST_FILE_CHANGED: bytes and metadata are of
   * two files), one that was only written to is reported in `leftOut`.
   */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    const { entry } = this;
    let now: HostStat;
    try {
      now = this.#check(fd);
    } finally {
      this.#calls.closeFile(fd);
    }
    if (now.inoLow !== entry.inoLow || now.inoHigh !== entry.inoHigh || now.devMinor !== entry.devMinor) {
      const path = showBytes(entry.path);
      throw fileError('HOST_FILE_CHANGED', `${path} was replaced while it was read`, { where: { path } });
    }
    if (
      now.size !== entry.size ||
      now.mtimeSeconds !== entry.mtime.seconds ||
      now.mtimeNanoseconds !== entry.mtime.nanoseconds
    )
      this.#leftOut.add(entry.path, 'file changed while it was read', `${now.size} bytes now, ${entry.size} taken`);
  }

  #check(fd: number): HostStat {
    this.#calls.statFile(fd, CHECKED);
    return CHECKED;
  }
}

/** For the comparison at close: used and read within one call. */
const CHECKED = new HostStat();

export class HostTree {
  readonly leftOut = new LeftOut();
  /** The root directory's own entry. */
  readonly root: HostEntry;
  readonly #calls: HostCalls;
  readonly #stat = new HostStat();

  /** `root`: a directory (or a symlink to one). Throws ENOENT, ENOTDIR, EACCES... */
  constructor(root: string | Uint8Array, options: HostOptions = {}) {
    const calls = hostCalls(options);
    this.#calls = calls;
    const directory = new HostDirectory(undefined, hostPath(root));
    calls.statDirectory(directory, this.#stat);
    if ((this.#stat.mode & S_IFMT) !== MODE.DIR) throw hostError('ENOTDIR', 'open directory', directory);
    this.root = new HostEntry(undefined, EMPTY, this.#stat, directory);
    if (calls.missing !== undefined) {
      this.leftOut.add(EMPTY, 'extended attributes and ACLs', calls.missing);
      this.leftOut.add(EMPTY, 'holes (read as zeroes)', calls.missing);
    }
    this.root.xattrs = this.#xattrs(directory, undefined);
  }

  /**
   * The entries of a directory, sorted by name bytes. `at`: an entry of this tree, or a path relative to the root.
   * An object that vanishes meanwhile is reported in `leftOut`. Throws ENOTDIR, ENOENT, EACCES...
   */
  readDirectory(at: HostEntry | Uint8Array): HostEntry[] {
    const entry = at instanceof HostEntry ? at : this.entryAt(at);
    const directory = entry.directory;
    if (!directory) throw hostError('ENOTDIR', 'list', entry.parent!, entry.name);
    const names = this.#calls.list(directory).sort(compareBytes);
    const entries: HostEntry[] = [];
    for (const name of names) {
      const found = this.#entry(directory, name);
      if (found) entries.push(found);
      else this.leftOut.add(relativePath(directory, name), 'object vanished', 'after its directory was listed');
    }
    return entries;
  }

  /** The object at a path relative to the root (`a/b`); the root for an empty path. Throws ENOENT, ENOTDIR. */
  entryAt(path: Uint8Array): HostEntry {
    let entry = this.root;
    for (let start = 0; start < path.length; ) {
      const slash = path.indexOf(0x2f, start);
      const end = slash < 0 ? path.length : slash;
      if (end > start) {
        const name = path.slice(start, end);
        if (!entry.directory) throw hostError('ENOTDIR', 'look up', entry.parent!, entry.name);
        const next = this.#entry(entry.directory, name);
        if (!next) throw hostError('ENOENT', 'look up', entry.directory, name);
        entry = next;
      }
      start = end + 1;
    }
    return entry;
  }

  #entry(directory: HostDirectory, name: Uint8Array): HostEntry | undefined {
    const stat = this.#stat;
    if (!this.#calls.stat(directory, name, stat)) return undefined;
    const type = stat.mode & S_IFMT;
    const own = type === MODE.DIR ? new HostDirectory(directory, name) : undefined;
    const entry = new HostEntry(directory, name, stat, own);
    if (type === MODE.SYMLINK) entry.target = this.#calls.readLink(directory, name);
    entry.xattrs = this.#xattrs(directory, name);
    return entry;
  }

  #xattrs(directory: HostDirectory, name: Uint8Array | undefined): readonly Xattr[] {
    return this.#calls.xattrs(directory, name, (attribute, errno) => {
      const path = name ? relativePath(directory, name) : directory.relativePath;
      this.leftOut.add(path, 'extended attribute', `${attribute.length > 0 ? showBytes(attribute) : 'list'} ${errno}`);
    });
  }

  /** Open a regular file. `at`: an entry of this tree, or a path. Throws EISDIR or EINVAL for another type. */
  openFile(at: HostEntry | Uint8Array): HostFile {
    const entry = at instanceof HostEntry ? at : this.entryAt(at);
    if (entry.directory) throw hostError('EISDIR', 'open', entry.directory);
    if ((entry.mode & S_IFMT) !== MODE.FILE) throw hostError('EINVAL', 'open', entry.parent!, entry.name);
    return new HostFile(this.#calls, this.leftOut, entry);
  }

  /** Let the directories go. The tree may be used again afterwards. */
  close(): void {
    this.#calls.close();
  }
}
