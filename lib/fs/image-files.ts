/**
 * The calls of a POSIX file system on an open image: descriptors, paths of bytes, numbers. Pure: what makes Node's `fs` out
 * of it (strings, buffers, callbacks, streams) is in node/.
 *
 * 1. A call happens whole or throws; errors are CadastreErrors whose code is the POSIX name.
 * 2. A file that is open outlives its last name until the last `close`; `unmount` closes what is open.
 * 3. The caller has root's rights: nothing is refused for permission, but execution without any x bit (`access`).
 * 4. Reading does not change access times.
 */
import { MODE } from '../../formats/inode.ts';
import type { Time } from '../../formats/time.ts';
import { cloneRange } from '../clone/clone-range.ts';
import type { Device } from '../device/device.ts';
import { OverlayDevice } from '../device/overlay.ts';
import { CadastreError, fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { readSymlink } from '../file/symlink.ts';
import { readLogState } from '../journal/log-reader.ts';
import { recover } from '../recovery/recover.ts';
import { truncate, writeAt } from '../volume/content.ts';
import { copyContent, ImageReader } from '../volume/copy-content.ts';
import { Editor, type EditorOptions } from '../volume/editor.ts';
import { chmod, chown, setTimes } from '../volume/metadata.ts';
import { create, letGo, link, rename, unlink } from '../volume/names.ts';
import { openSuperblock } from '../volume/open.ts';
import { assertMayChange, assertMayWrite, isImmutable } from '../volume/protection.ts';
import { TreeRemover } from '../volume/tree-remove.ts';
import { compareNames, type DirectoryEntry, Volume } from '../volume/volume.ts';
import { ACCESS, OPEN } from './flags.ts';
import { type Follow, lookupPath, type Place, resolvePath, tooLong } from './lookup.ts';
import { Names } from './name-rules.ts';
import { type FileStat, statInode } from './stat.ts';

export interface ImageFilesOptions extends EditorOptions {
  /** Every change is refused (EROFS), and the device is not written. */
  readOnly?: boolean;
  /** Bits taken away from the mode of what is created; default 022. */
  umask?: number;
  /** Owner of what is created; default 0. */
  uid?: number;
  gid?: number;
}

/** Descriptors are numbered from here: never a number that the host has open, should one go to the wrong fs. */
const FIRST_DESCRIPTOR = 0x100000;
/** Descriptors open at once. */
const MAX_OPEN = 65536;

interface OpenFile {
  readonly inode: number;
  readonly flags: number;
  position: number;
}

/** How a file is copied. */
export interface CopyHow {
  exclusive?: boolean;
  clone?: 'try' | 'only' | undefined;
}

export class ImageFiles {
  readonly volume: Volume;
  readonly options: Required<Pick<ImageFilesOptions, 'umask' | 'uid' | 'gid'>>;
  /** Why what is read may be stale or damaged: open for reading over a log that cannot be replayed. */
  readonly warning: string | undefined;
  readonly #editor: Editor | undefined;
  readonly #open = new Map<number, OpenFile>();
  #next = FIRST_DESCRIPTOR;
  #mounted = true;

  /**
   * Open the image; a log that holds changes is replayed first (read-only: in memory). The device is closed by `unmount` only.
   * Throws what `openSuperblock` and recovery throw (read-only: a log that cannot be replayed is a `warning`), `unsupported`
   * READ_ONLY when a feature forbids changes.
   */
  constructor(device: Device, options: ImageFilesOptions = {}) {
    const { umask = 0o022, uid = 0, gid = 0 } = options;
    this.options = { umask, uid, gid };
    const readOnly = options.readOnly || device.readOnly;
    if (readOnly) {
      const { volume, warning } = openForReading(device, options);
      this.volume = volume;
      this.warning = warning;
    } else {
      const whole = recovered(device, device);
      this.warning = undefined;
      this.#editor = Editor.open(whole, options);
      this.volume = this.#editor.volume;
    }
  }

  get readOnly(): boolean {
    return this.#editor === undefined;
  }
  get mounted(): boolean {
    return this.#mounted;
  }
  /** For work that is not one call (lib/jobs). Throws EROFS, EBADF. */
  get editor(): Editor {
    return this.#writable();
  }

  /** Make everything done so far durable. */
  sync(): void {
    this.#assertMounted();
    this.#editor?.sync();
  }

  /** Close every descriptor, write everything in place, close the device. A second call does nothing. */
  unmount(): void {
    if (!this.#mounted) return;
    try {
      for (const fd of [...this.#open.keys()]) this.close(fd);
    } finally {
      this.#mounted = false;
      if (this.#editor) this.#editor.close();
      else this.volume.close();
    }
  }

  // ---- descriptors

  /**
   * @param flags OPEN bits. @param mode permissions of a file that is created. @returns a descriptor.
   * Throws ENOENT, EEXIST, EISDIR, ENOTDIR, ELOOP, EROFS, EPERM, ENXIO (devices, fifos and sockets have nothing to read here).
   */
  open(path: Uint8Array, flags: number, mode = 0o666): number {
    this.#assertMounted();
    if (this.#open.size >= MAX_OPEN) throw fileError('EMFILE', 'too many open files');
    const creates = (flags & OPEN.CREAT) !== 0;
    const exclusive = creates && (flags & OPEN.EXCL) !== 0;
    const follow: Follow = exclusive ? 'never' : (flags & OPEN.NOFOLLOW) !== 0 ? 'slash' : 'always';
    // A name with a slash is refused before a symlink there is looked at.
    if (creates && path[path.length - 1] === 0x2f && this.#lookup(path, 'never').last === 'name') {
      throw fileError('EISDIR', 'a file cannot be made with a slash');
    }
    const place = lookupPath(this.volume, path, follow);
    if (creates && place.slash && place.last === 'name')
      throw fileError('EISDIR', 'a file cannot be made with a slash');
    if (exclusive && place.inode) throw fileError('EEXIST', 'it exists');
    const { inode } = place;
    if (!inode) {
      if (!creates) throw fileError('ENOENT', 'no such file');
      if ((flags & OPEN.DIRECTORY) !== 0) throw fileError('EINVAL', 'open makes no directories');
      const number = create(this.#writable(), place.directory, place.name, {
        ...this.#owner(),
        mode: MODE.FILE | (mode & 0o7777),
        umask: this.options.umask,
      });
      return this.#describe(number, flags);
    }
    this.#assertOpenable(inode, place, flags);
    const { number } = inode;
    if ((flags & OPEN.TRUNC) !== 0 && inode.isFile) truncate(this.#writable(), number, 0);
    return this.#describe(number, flags);
  }

  #assertOpenable(inode: Inode, place: Place, flags: number): void {
    if (inode.isSymlink)
      throw fileError((flags & OPEN.DIRECTORY) !== 0 ? 'ENOTDIR' : 'ELOOP', 'a symlink is not opened');
    if (inode.isDirectory) {
      if (writes(flags) || (flags & (OPEN.CREAT | OPEN.TRUNC)) !== 0) throw fileError('EISDIR', 'it is a directory');
    } else if (place.slash || (flags & OPEN.DIRECTORY) !== 0) throw fileError('ENOTDIR', 'it is not a directory');
    else if (!inode.isFile) throw fileError('ENXIO', 'devices, fifos and sockets cannot be opened inside an image');
    const cuts = (flags & OPEN.TRUNC) !== 0;
    if (writes(flags) || cuts) this.#writable();
    // Of what only grows, nothing but the end may be written.
    if (cuts || (writes(flags) && (flags & OPEN.APPEND) === 0)) assertMayChange(inode);
    else if (writes(flags)) assertMayWrite(inode, inode.size);
  }

  #describe(inode: number, flags: number): number {
    const fd = this.#next++;
    this.#editor?.hold(inode);
    this.#open.set(fd, { inode, flags, position: 0 });
    return fd;
  }

  /** Throws EBADF. */
  close(fd: number): void {
    const file = this.#file(fd);
    this.#open.delete(fd);
    if (this.#editor) letGo(this.#editor, file.inode);
  }

  /** @param position undefined: from where the last read ended. @returns bytes read, 0 at the end. */
  read(fd: number, into: Uint8Array, position?: number): number {
    const file = this.#file(fd);
    if ((file.flags & OPEN.ACCESS) === OPEN.WRONLY) throw fileError('EBADF', 'not open for reading');
    const inode = this.volume.inode(file.inode);
    if (inode.isDirectory) throw fileError('EISDIR', 'a directory is not read as a file');
    const at = position ?? file.position;
    const got = this.volume.fileReader(inode).read(at, into);
    if (position === undefined) file.position += got;
    return got;
  }

  /** @param position undefined: where the last write ended; at the end in append mode whatever it says. @returns bytes written. */
  write(fd: number, bytes: Uint8Array, position?: number): number {
    const file = this.#file(fd);
    if (!writes(file.flags)) throw fileError('EBADF', 'not open for writing');
    // As on Linux: nothing written moves nothing, not even in append mode.
    if (bytes.length === 0) return 0;
    const appends = (file.flags & OPEN.APPEND) !== 0;
    const at = appends ? this.volume.inode(file.inode).size : (position ?? file.position);
    writeAt(this.#writable(), file.inode, at, bytes);
    if (position === undefined) file.position = at + bytes.length;
    return bytes.length;
  }

  /** Throws EINVAL when the file is not open for writing. */
  ftruncate(fd: number, size: number): void {
    const file = this.#file(fd);
    if (!writes(file.flags)) throw fileError('EINVAL', 'not open for writing');
    truncate(this.#writable(), file.inode, size);
  }

  /** Make everything done so far durable, this file among it. */
  fsync(fd: number): void {
    this.#file(fd);
    this.#editor?.sync();
  }

  fstat(fd: number): FileStat {
    return statInode(this.volume.inode(this.#file(fd).inode));
  }
  fchmod(fd: number, mode: number): void {
    const { inode } = this.#file(fd);
    chmod(this.#writable(), inode, mode);
  }
  /** @param uid undefined: as it is. */
  fchown(fd: number, uid: number | undefined, gid: number | undefined): void {
    const { inode } = this.#file(fd);
    chown(this.#writable(), inode, uid, gid);
  }
  futimes(fd: number, atime: Time, mtime: Time): void {
    const { inode } = this.#file(fd);
    setTimes(this.#writable(), inode, atime, mtime);
  }

  // ---- what a path names

  stat(path: Uint8Array, follow = true): FileStat {
    return statInode(this.#resolve(path, follow));
  }

  /** @param mode ACCESS bits. Throws EROFS, EACCES. */
  access(path: Uint8Array, mode: number): void {
    const inode = this.#resolve(path, true);
    if ((mode & ACCESS.WRITE) !== 0) {
      if (inode.isFile || inode.isDirectory || inode.isSymlink) this.#writable();
      if (isImmutable(inode)) assertMayChange(inode);
    }
    if ((mode & ACCESS.EXECUTE) !== 0 && !inode.isDirectory && (inode.mode & 0o111) === 0) {
      throw fileError('EACCES', 'no one may execute it');
    }
  }

  /** Entries but `.` and `..`, sorted by name bytes. */
  readdir(path: Uint8Array): DirectoryEntry[] {
    const directory = this.#resolve(path, true);
    directory.assertDirectory();
    return this.volume.entries(directory).sort((a, b) => compareNames(a.name, b.name));
  }

  /** Type bits of an entry's mode: from the entry, or from the inode where entries carry no type. */
  entryType(entry: DirectoryEntry): number {
    return FTYPE_MODE[entry.ftype] || this.volume.inode(entry.inode).type;
  }

  readlink(path: Uint8Array): Uint8Array {
    const inode = this.#resolve(path, false);
    if (!inode.isSymlink) throw fileError('EINVAL', 'it is not a symlink');
    return readSymlink(inode);
  }

  /** The path without symlinks, `.`, `..` and doubled slashes. */
  realpath(path: Uint8Array): Uint8Array {
    this.#assertMounted();
    return new Names(this.volume).pathOf(path);
  }

  chmod(path: Uint8Array, mode: number): void {
    chmod(this.#writable(), this.#resolve(path, true).number, mode);
  }
  chown(path: Uint8Array, uid: number | undefined, gid: number | undefined, follow = true): void {
    chown(this.#writable(), this.#resolve(path, follow).number, uid, gid);
  }
  utimes(path: Uint8Array, atime: Time, mtime: Time, follow = true): void {
    setTimes(this.#writable(), this.#resolve(path, follow).number, atime, mtime);
  }
  truncate(path: Uint8Array, size: number): void {
    truncate(this.#writable(), this.#resolve(path, true).number, size);
  }

  /** Blocks and inodes, as `statfs` tells them. */
  statfs(): { blockSize: number; blocks: number; freeBlocks: number; inodes: number; freeInodes: number } {
    this.#assertMounted();
    const { space, cache, geometry } = this.volume;
    const freeBlocks = space.countFree(cache);
    const { inodes, free } = space.countInodes(cache);
    // Inodes are made from free blocks as they are needed.
    const possible = Math.floor((freeBlocks * geometry.blockSize) / geometry.inodeSize);
    const { blockSize, blocks, logBlocks } = geometry;
    return {
      blockSize,
      blocks: blocks - logBlocks,
      freeBlocks,
      inodes: inodes + possible,
      freeInodes: free + possible,
    };
  }

  // ---- names

  mkdir(path: Uint8Array, mode = 0o777): void {
    const editor = this.#writable();
    const place = this.#newPlace(path, true);
    const { umask } = this.options;
    create(editor, place.directory, place.name, { ...this.#owner(), mode: MODE.DIR | (mode & 0o1777), umask });
  }

  symlink(target: Uint8Array, path: Uint8Array): void {
    const editor = this.#writable();
    if (target.length === 0) throw fileError('ENOENT', 'a symlink needs a target');
    const place = this.#newPlace(path, false);
    create(editor, place.directory, place.name, { ...this.#owner(), mode: MODE.SYMLINK | 0o777, target });
  }

  link(from: Uint8Array, path: Uint8Array): void {
    const editor = this.#writable();
    const inode = this.#resolve(from, false);
    const place = this.#newPlace(path, false);
    link(editor, inode.number, place.directory, place.name);
  }

  unlink(path: Uint8Array): void {
    const editor = this.#writable();
    const place = this.#lookup(path, 'never');
    if (place.last !== 'name') throw fileError('EISDIR', 'it is a directory');
    if (place.slash && place.inode && !place.inode.isDirectory) throw fileError('ENOTDIR', 'it is not a directory');
    unlink(editor, place.directory, place.name);
  }

  rmdir(path: Uint8Array): void {
    const editor = this.#writable();
    const place = this.#lookup(path, 'never');
    if (place.last === 'root') throw fileError('EBUSY', 'the root directory stays');
    if (place.last === 'dot') throw fileError('EINVAL', 'a directory is not removed as .');
    if (place.last === 'dotdot') throw fileError('ENOTEMPTY', 'a directory is not removed as ..');
    unlink(editor, place.directory, place.name, true);
  }

  /** Remove what a path names; a directory with everything below it. */
  removeTree(path: Uint8Array): void {
    const editor = this.#writable();
    const place = this.#lookup(path, 'never');
    if (place.last === 'root') throw fileError('EBUSY', 'the root directory stays');
    if (place.last !== 'name') throw fileError('EINVAL', 'a tree is not removed as . or ..');
    if (place.slash && place.inode && !place.inode.isDirectory) throw fileError('ENOTDIR', 'it is not a directory');
    const failed = (error: CadastreError): never => {
      throw error;
    };
    new TreeRemover(editor, failed).remove(place.directory, place.name, path);
  }

  rename(from: Uint8Array, to: Uint8Array): void {
    const editor = this.#writable();
    const source = lookupPath(this.volume, from, 'never', true);
    const target = lookupPath(this.volume, to, 'never', true);
    if (source.last !== 'name' || target.last !== 'name') throw fileError('EBUSY', '/, . and .. cannot be renamed');
    if (source.tooLong) throw tooLong(source.name);
    if (!source.inode) throw fileError('ENOENT', 'no such file or directory');
    if (target.tooLong) throw tooLong(target.name);
    if (!source.inode.isDirectory && (source.slash || target.slash))
      throw fileError('ENOTDIR', 'it is not a directory');
    new Names(this.volume).refuseRename(source, target);
    rename(editor, source.directory, source.name, target.directory, target.name);
  }

  /**
   * Copy a file's content and permissions into a new file or over an existing one; holes stay holes.
   * @param how exclusive: refuse (EEXIST) when the target exists; clone: share blocks where the image can, or
   * (`only`) refuse with ENOTSUP.
   * Throws EISDIR for directories; a copy that fails leaves no target.
   */
  copyFile(from: Uint8Array, to: Uint8Array, how: CopyHow = {}): void {
    const canClone = this.volume.geometry.features.reflink;
    if (how.clone === 'only' && !canClone) throw fileError('ENOTSUP', 'this image was made without reflink');
    const input = this.open(from, OPEN.RDONLY);
    let output: number | undefined;
    let existed = true;
    try {
      const source = this.#file(input).inode;
      const { mode, isDirectory } = this.volume.inode(source);
      existed = !how.exclusive && this.#isThere(to);
      output = this.open(to, OPEN.WRONLY | OPEN.CREAT | (how.exclusive ? OPEN.EXCL : 0), mode & 0o7777);
      if (isDirectory) throw fileError('EISDIR', 'it is a directory');
      const target = this.#file(output).inode;
      if (target === source) return;
      existed = false; // from here on it is no longer what it was
      const editor = this.#writable();
      truncate(editor, target, 0);
      chmod(editor, target, mode & 0o7777);
      if (how.clone && canClone) cloneRange(editor, source, target, { sourceOffset: 0, targetOffset: 0, length: 0 });
      else this.#copyData(editor, source, target);
    } catch (error) {
      if (output !== undefined && !existed) this.unlink(to);
      throw error;
    } finally {
      if (output !== undefined) this.close(output);
      this.close(input);
    }
  }

  /** A path that cannot be followed has nothing at its end; what is wrong with it, whoever opens it says. */
  #isThere(path: Uint8Array): boolean {
    try {
      return this.#lookup(path, 'always').inode !== undefined;
    } catch (error) {
      if (error instanceof CadastreError && error.family === 'file') return false;
      throw error;
    }
  }

  /** The target has no content yet. */
  #copyData(editor: Editor, source: number, target: number): void {
    const steps = copyContent(() => ({
      reader: new ImageReader(this.volume, this.volume.inode(source), editor),
      writer: () => ({
        write: (offset, bytes) => writeAt(editor, target, offset, bytes),
        finish: (size) => {
          if (this.volume.inode(target).size < size) truncate(editor, target, size);
        },
        abandon: () => {},
      }),
    }));
    while (!steps.next().done) {
      // piece by piece to its end
    }
  }

  // ---- common

  #assertMounted(): void {
    if (!this.#mounted) throw fileError('EBADF', 'the image is closed');
  }

  #writable(): Editor {
    this.#assertMounted();
    if (!this.#editor) throw fileError('EROFS', 'the image is open for reading only');
    return this.#editor;
  }

  #file(fd: number): OpenFile {
    const file = this.#open.get(fd);
    if (!file) throw fileError('EBADF', `no open file ${fd}`);
    return file;
  }

  #lookup(path: Uint8Array, follow: Follow): Place {
    this.#assertMounted();
    return lookupPath(this.volume, path, follow);
  }

  #resolve(path: Uint8Array, follow: boolean): Inode {
    this.#assertMounted();
    return resolvePath(this.volume, path, follow);
  }

  /** Where something new is to be: nothing is there yet. A slash behind the name is for directories. */
  #newPlace(path: Uint8Array, isDirectory: boolean): Place {
    const place = this.#lookup(path, 'never');
    if (place.last !== 'name' || place.inode) throw fileError('EEXIST', 'it exists');
    if (place.slash && !isDirectory) throw fileError('ENOENT', 'a slash is for directories');
    return place;
  }

  #owner(): { uid: number; gid: number } {
    return { uid: this.options.uid, gid: this.options.gid };
  }
}

/** The device with its log replayed, into `target`. A feature that forbids changes is for the editor to refuse. */
function recovered(device: Device, target: Device): Device {
  const { geometry, readOnlyReason } = openSuperblock(device);
  if (readLogState(device, geometry).clean || (target === device && readOnlyReason)) return device;
  recover(target, geometry);
  return target;
}

/** The image as replaying its log would make it; as it is where that cannot be done. */
function openForReading(device: Device, options: ImageFilesOptions): { volume: Volume; warning: string | undefined } {
  try {
    return { volume: Volume.open(recovered(device, new OverlayDevice(device)), options), warning: undefined };
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    // What is wrong with more than the log throws again here.
    const volume = Volume.open(device, options);
    return { volume, warning: `the log cannot be replayed (${error.message}): what is read may be stale or damaged` };
  }
}

const writes = (flags: number): boolean => (flags & OPEN.ACCESS) !== OPEN.RDONLY;

/** Type byte of an entry -> type bits of a mode; 0 = not told. */
const FTYPE_MODE = [0, MODE.FILE, MODE.DIR, MODE.CHAR, MODE.BLOCK, MODE.FIFO, MODE.SOCKET, MODE.SYMLINK];
