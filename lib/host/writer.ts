/**
 * Makes objects in a directory of the host: what `get -r` writes. Owner, mode, nanosecond times, attributes, holes, links.
 * Invariants: 1. nothing is made outside the target, whatever the image says: every name is checked, every directory is
 * entered without following a symlink. 2. An object is private (0700/0600) until its metadata are set. 3. Order: owner,
 * attributes, mode, times; each earlier step would undo a later one. 4. What is refused goes to `leftOut`.
 */
import { ftruncateSync, mkdirSync } from 'node:fs';
import { MODE, S_IFMT } from '../../formats/inode.ts';
import type { Time } from '../../formats/time.ts';
import {
  type HostCalls,
  HostDirectory,
  type HostObject,
  HostStat,
  hostError,
  relativePath,
  type Xattr,
} from './calls.ts';
import { type HostOptions, hostCalls } from './host.ts';
import { LeftOut } from './left-out.ts';
import { checkName, hostPath, showBytes } from './names.ts';
import { writeFully } from './native.ts';

/** Metadata of an object; a HostEntry fits. */
export interface HostMetadata {
  /** st_mode; the type bits count only for device nodes, fifos and sockets. */
  mode: number;
  uid: number;
  gid: number;
  atime: Time;
  mtime: Time;
  /** Full Linux names, raw values; ACLs as `system.posix_acl_access` / `_default`. */
  xattrs: readonly Xattr[];
}

export interface WriterOptions extends HostOptions {
  /** Set owner and group (default true). Where the host refuses, set-user-id bits are dropped and both are reported. */
  owner?: boolean;
  /** Replace objects that exist, and go on in directories that exist (default false: EEXIST). */
  replace?: boolean;
}

const SET_ID_BITS = 0o6000;
/** chown takes this for "leave it alone". */
const NO_ID = 0xffffffff;

/** A regular file being written; ends with `finish` or `abandon`. */
export class HostOutput {
  readonly #calls: HostCalls;
  readonly #at: HostObject;
  readonly #setMetadata: (at: HostObject, metadata: HostMetadata) => void;
  #end = 0;

  constructor(calls: HostCalls, at: HostObject, setMetadata: (at: HostObject, metadata: HostMetadata) => void) {
    this.#calls = calls;
    this.#at = at;
    this.#setMetadata = setMetadata;
  }

  /** All of `bytes` at byte `offset`; what is never written stays a hole. Throws the host's error, naming the file. */
  write(bytes: Uint8Array, offset: number): void {
    this.#try('write', () => writeFully(this.#at.fd, bytes, offset));
    this.#end = Math.max(this.#end, offset + bytes.length);
  }

  /** Set the size (a hole at the end stays one) and the metadata, and close. On an error the file is removed. */
  finish(size: number, metadata: HostMetadata): void {
    try {
      if (size !== this.#end) this.#try('set the size of', () => ftruncateSync(this.#at.fd, size));
      this.#setMetadata(this.#at, metadata);
    } catch (error) {
      this.abandon();
      throw error;
    }
    this.#close();
  }

  /** Close and remove: the file could not be written whole. */
  abandon(): void {
    if (this.#at.fd < 0) return;
    this.#close();
    this.#calls.remove(this.#at.directory, this.#at.name!);
  }

  #close(): void {
    this.#calls.closeFile(this.#at.fd);
    this.#at.fd = -1;
  }

  #try(operation: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      const errno = String((error as { code?: unknown }).code ?? 'EIO');
      throw hostError(errno, operation, this.#at.directory, this.#at.name);
    }
  }
}

export class HostWriter {
  readonly leftOut = new LeftOut();
  /** The target directory. */
  readonly root: HostDirectory;
  readonly #calls: HostCalls;
  readonly #owner: boolean;
  readonly #replace: boolean;
  readonly #stat = new HostStat();
  readonly #setMetadata = (at: HostObject, metadata: HostMetadata): void => this.#apply(at, metadata);

  /** `root` is made when it is missing (its parent must exist). Throws ENOTDIR, EACCES... */
  constructor(root: string | Uint8Array, options: WriterOptions = {}) {
    const calls = hostCalls(options);
    this.#calls = calls;
    this.#owner = options.owner ?? true;
    this.#replace = options.replace ?? false;
    this.root = new HostDirectory(undefined, hostPath(root));
    try {
      mkdirSync(this.root.hostPath);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== 'EEXIST') throw hostError(code ?? 'EIO', 'make directory', this.root);
    }
    calls.statDirectory(this.root, this.#stat);
    if ((this.#stat.mode & S_IFMT) !== MODE.DIR) throw hostError('ENOTDIR', 'write into', this.root);
    if (calls.missing !== undefined) this.leftOut.add(new Uint8Array(0), 'nanoseconds of times', calls.missing);
  }

  /**
   * Make a directory and return its handle; call `finishDirectory` after everything in it is made (making entries changes
   * its times, and a default ACL set earlier would be inherited). Throws EEXIST.
   */
  createDirectory(parent: HostDirectory, name: Uint8Array): HostDirectory {
    checkName(name);
    const kept = name.slice();
    if (!this.#calls.makeDirectory(parent, kept)) {
      if (!this.#replace) throw hostError('EEXIST', 'make directory', parent, kept);
      const isDirectory = this.#calls.stat(parent, kept, this.#stat) && (this.#stat.mode & S_IFMT) === MODE.DIR;
      if (!isDirectory) {
        this.#calls.remove(parent, kept);
        if (!this.#calls.makeDirectory(parent, kept)) throw hostError('EEXIST', 'make directory', parent, kept);
      }
    }
    return new HostDirectory(parent, kept);
  }

  finishDirectory(directory: HostDirectory, metadata: HostMetadata): void {
    this.#apply({ directory, name: undefined, fd: -1 }, metadata);
  }

  /** A new, empty regular file. Throws EEXIST. */
  createFile(parent: HostDirectory, name: Uint8Array): HostOutput {
    this.#makeRoom(parent, name);
    const kept = name.slice();
    const fd = this.#calls.createFile(parent, kept);
    return new HostOutput(this.#calls, { directory: parent, name: kept, fd }, this.#setMetadata);
  }

  /** Throws EEXIST, and EINVAL for a target no host can hold (empty, or with a NUL byte). */
  createSymlink(parent: HostDirectory, name: Uint8Array, target: Uint8Array, metadata: HostMetadata): void {
    this.#makeRoom(parent, name);
    if (target.length === 0 || target.includes(0)) throw hostError('EINVAL', 'make symlink', parent, name);
    this.#calls.makeSymlink(parent, name, target);
    this.#apply({ directory: parent, name, fd: -1 }, metadata, false);
  }

  /** A further name for an object this writer made. Throws EEXIST, EMLINK, ... */
  createLink(parent: HostDirectory, name: Uint8Array, toParent: HostDirectory, toName: Uint8Array): void {
    checkName(toName);
    this.#makeRoom(parent, name);
    this.#calls.makeLink(parent, name, toParent, toName);
  }

  /**
   * Fifo, socket, character or block device, by the type bits of the mode. False, and reported, when the host refuses
   * (devices need root).
   */
  createNode(
    parent: HostDirectory,
    name: Uint8Array,
    rdevMajor: number,
    rdevMinor: number,
    metadata: HostMetadata,
  ): boolean {
    const type = metadata.mode & S_IFMT;
    if (type !== MODE.FIFO && type !== MODE.SOCKET && type !== MODE.CHAR && type !== MODE.BLOCK)
      throw hostError('EINVAL', 'make node', parent, name);
    this.#makeRoom(parent, name);
    const mode = type | (metadata.mode & 0o7777);
    const refused = this.#calls.makeNode(parent, name, mode, rdevMajor, rdevMinor);
    if (refused !== undefined) {
      const kind = type === MODE.FIFO ? 'fifo' : type === MODE.SOCKET ? 'socket' : 'device node';
      this.leftOut.add(relativePath(parent, name), kind, refused);
      return false;
    }
    this.#apply({ directory: parent, name, fd: -1 }, metadata, false);
    return true;
  }

  /** Let the directories go. */
  close(): void {
    this.#calls.close();
  }

  #makeRoom(parent: HostDirectory, name: Uint8Array): void {
    checkName(name);
    if (this.#replace) this.#calls.remove(parent, name);
  }

  #apply(at: HostObject, metadata: HostMetadata, hasMode = true): void {
    const calls = this.#calls;
    let mode = metadata.mode & 0o7777;
    if (this.#owner) {
      const { uid, gid } = metadata;
      const refused = uid === NO_ID || gid === NO_ID ? 'EINVAL' : calls.setOwner(at, uid, gid);
      if (refused !== undefined) {
        this.#report(at, 'owner', `${uid}:${gid} ${refused}`);
        // The bits would now lend the wrong user's rights.
        if (hasMode && (mode & SET_ID_BITS) !== 0 && (metadata.mode & S_IFMT) !== MODE.DIR) {
          mode &= ~SET_ID_BITS;
          this.#report(at, 'set-id bits', 'dropped with the owner');
        }
      }
    }
    for (const { name, value } of metadata.xattrs) {
      const refused = calls.setXattr(at, name, value);
      if (refused !== undefined) this.#report(at, 'extended attribute', `${showBytes(name)} ${refused}`);
    }
    if (hasMode) {
      const refused = calls.setMode(at, mode);
      if (refused !== undefined) this.#report(at, 'mode', `${mode.toString(8)} ${refused}`);
    }
    const { atime, mtime } = metadata;
    const refused = calls.setTimes(at, atime.seconds, atime.nanoseconds, mtime.seconds, mtime.nanoseconds);
    if (refused !== undefined) this.#report(at, 'times', refused);
  }

  #report(at: HostObject, kind: string, detail: string): void {
    this.leftOut.add(at.name ? relativePath(at.directory, at.name) : at.directory.relativePath, kind, detail);
  }
}
