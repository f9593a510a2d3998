/**
 * The host's file system calls as one door with two doers: native.ts (the C library, everything works) and plain.ts (Node
 * alone, says what it lacks). tree.ts and writer.ts are written once over this door.
 * Invariants: every object is named by (directory handle, one name), so no call follows a symlink inside the tree;
 * what cannot be read or created is thrown, what cannot be *set* comes back as an errno name for the report.
 */
import { getSystemErrorName } from 'node:util';
import { type CadastreError, fileError } from '../errors.ts';
import { joinPath, showBytes } from './names.ts';

const EMPTY = new Uint8Array(0);

/** Extended attribute under its full Linux name (`user.x`, `system.posix_acl_access`, ...), value raw as the host gives it. */
export interface Xattr {
  name: Uint8Array;
  value: Uint8Array;
}

/** What stat says, in plain numbers; one record is used again and again. Times are whole seconds and nanoseconds. */
export class HostStat {
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  inoHigh = 0;
  inoLow = 0;
  devMajor = 0;
  devMinor = 0;
  rdevMajor = 0;
  rdevMinor = 0;
  size = 0;
  /** 512-byte units really allocated. */
  blocks = 0;
  atimeSeconds = 0;
  atimeNanoseconds = 0;
  mtimeSeconds = 0;
  mtimeNanoseconds = 0;
  ctimeSeconds = 0;
  ctimeNanoseconds = 0;
}

/**
 * A directory of the tree: its parent and its name, not a path, so a chain may be longer than any path the host takes. The
 * doer keeps an open descriptor in it for as long as it likes; `identity` (device and inode) proves that a directory opened
 * again is the same one.
 */
export class HostDirectory {
  readonly parent: HostDirectory | undefined;
  /** One name; the host path for the root. */
  readonly name: Uint8Array;
  /** Bytes of the host path. */
  readonly pathLength: number;
  readonly depth: number;
  fd = -1;
  lastUse = 0;
  identity: string | undefined;
  #hostPath: Buffer | undefined;

  constructor(parent: HostDirectory | undefined, name: Uint8Array) {
    this.parent = parent;
    this.name = name;
    this.depth = parent ? parent.depth + 1 : 0;
    this.pathLength = parent ? parent.pathLength + 1 + name.length : name.length;
  }

  /** Path for the host's path-based calls. */
  get hostPath(): Buffer {
    return (this.#hostPath ??= this.parent
      ? joinPath(this.parent.#hostPath ?? this.parent.#buildPath(true), this.name)
      : Buffer.from(this.name));
  }

  /** Path relative to the root, for messages; the root itself is empty. */
  get relativePath(): Buffer {
    return this.#buildPath(false);
  }

  #buildPath(fromHostRoot: boolean): Buffer {
    const names: Uint8Array[] = [];
    let at: HostDirectory = this;
    for (; at.parent; at = at.parent) names.push(at.name);
    names.reverse();
    const path = Buffer.concat(names.flatMap((name, i) => (i === 0 ? [name] : [Buffer.from('/'), name])));
    return fromHostRoot && path.length > 0 ? joinPath(at.name, path) : fromHostRoot ? Buffer.from(at.name) : path;
  }
}

/** Path of an object relative to the root. */
export const relativePath = (directory: HostDirectory, name: Uint8Array): Buffer =>
  joinPath(directory.relativePath, name);

export interface HostCalls {
  /** Why the C library cannot be called; undefined = everything works. */
  readonly missing: string | undefined;

  /** Names in a directory, in no order, without `.` and `..`. */
  list(directory: HostDirectory): Uint8Array[];
  /** False when there is no such name. Never follows a symlink. */
  stat(directory: HostDirectory, name: Uint8Array, into: HostStat): boolean;
  /** Of the directory itself. */
  statDirectory(directory: HostDirectory, into: HostStat): void;
  statFile(fd: number, into: HostStat): void;
  readLink(directory: HostDirectory, name: Uint8Array): Uint8Array;
  /**
   * All attributes, sorted by name; of the directory itself when `name` is undefined. `failed(attribute, errno)` hears of
   * each one that cannot be read (attribute empty: the list itself).
   */
  xattrs(
    directory: HostDirectory,
    name: Uint8Array | undefined,
    failed: (attribute: Uint8Array, errno: string) => void,
  ): readonly Xattr[];
  /** Never blocks on a fifo, never follows a symlink, leaves the access time alone where the host allows. */
  openFile(directory: HostDirectory, name: Uint8Array): number;
  /** Bytes read, 0 at the end. */
  read(fd: number, into: Uint8Array, offset: number): number;
  /** First byte of data at or after `from`, or -1 when only a hole is left. */
  seekData(fd: number, from: number): number;
  /** First byte of a hole at or after `from`; the end of the file counts as one. */
  seekHole(fd: number, from: number, size: number): number;
  closeFile(fd: number): void;

  /** Made with mode 0700 until its metadata are set. False when the name exists. */
  makeDirectory(directory: HostDirectory, name: Uint8Array): boolean;
  /** A new regular file, mode 0600, open for writing; EEXIST is thrown. */
  createFile(directory: HostDirectory, name: Uint8Array): number;
  makeSymlink(directory: HostDirectory, name: Uint8Array, target: Uint8Array): void;
  makeLink(directory: HostDirectory, name: Uint8Array, toDirectory: HostDirectory, toName: Uint8Array): void;
  /** Fifo, socket or device with exactly this mode. An errno name when the host refuses. */
  makeNode(
    directory: HostDirectory,
    name: Uint8Array,
    mode: number,
    rdevMajor: number,
    rdevMinor: number,
  ): string | undefined;
  /** Remove a name that is not a directory; fine when there is none. */
  remove(directory: HostDirectory, name: Uint8Array): void;

  /**
   * Set on an open file (`fd`), or on (directory, name) without following symlinks, or on the directory itself (no name).
   * All return an errno name when refused.
   */
  setOwner(at: HostObject, uid: number, gid: number): string | undefined;
  /** Not for symlinks: they have no mode of their own. */
  setMode(at: HostObject, mode: number): string | undefined;
  setXattr(at: HostObject, name: Uint8Array, value: Uint8Array): string | undefined;
  setTimes(
    at: HostObject,
    atimeSeconds: number,
    atimeNanoseconds: number,
    mtimeSeconds: number,
    mtimeNanoseconds: number,
  ): string | undefined;

  /** Let every kept descriptor go. */
  close(): void;
}

/** The object a setter works on. */
export interface HostObject {
  directory: HostDirectory;
  /** Undefined: the directory itself. */
  name: Uint8Array | undefined;
  /** An open descriptor of the object, or -1. */
  fd: number;
}

/** `ENOENT` from 2. */
export const errnoName = (errno: number): string => {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
};

/** Thrown when the host refuses: the code is the errno name, the message names operation and file. */
export function hostError(
  errno: string,
  operation: string,
  directory: HostDirectory,
  name: Uint8Array = EMPTY,
): CadastreError {
  const relative = name.length > 0 ? relativePath(directory, name) : directory.relativePath;
  let root = directory;
  while (root.parent) root = root.parent;
  const path = showBytes(relative.length > 0 ? joinPath(root.name, relative) : root.name);
  return fileError(errno, `cannot ${operation} ${path}: ${errno}`, { where: { path } });
}
