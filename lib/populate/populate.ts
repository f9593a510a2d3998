/**
 * Fill an image under construction from a host tree.
 *
 * 1. Order is fixed: directories depth first, entries by name bytes. With the times of the source, or one fixed time,
 *    the same input gives the same bytes on any machine.
 * 2. Inodes of a directory's entries are made in order, each with its attributes, then its data; the directory's own
 *    blocks are built when all its entries have numbers.
 * 3. The transaction is direct: what a failure leaves behind says "in progress" and nobody opens it.
 */
import { ftypeOfMode, MODE, S_IFMT } from '../../formats/inode.ts';
import { BIGTIME_MAX_SECONDS, type Time } from '../../formats/time.ts';
import type { DirectTransaction } from '../buffer/direct.ts';
import type { Device } from '../device/device.ts';
import { buildDirectory, initialise } from '../directory/directory.ts';
import { CadastreError, noSpace } from '../errors.ts';
import { initialiseInode } from '../file/create.ts';
import { homeBlock } from '../file/fork.ts';
import { chooseForkOffset } from '../file/fork-offset.ts';
import type { Inode } from '../file/inode.ts';
import { Inode as InodeHandle } from '../file/inode.ts';
import { editFork } from '../file/inode-fork-blocks.ts';
import { writeSymlink } from '../file/symlink.ts';
import { FileWriter } from '../file/write.ts';
import type { HostEntry, HostTree } from '../host/tree.ts';
import type { Space } from '../space/space.ts';
import { type AttributeEntry, buildAttributes, shortformBytesOf } from '../xattr/build.ts';
import { fromLinux } from '../xattr/linux-names.ts';
import { DataRuns } from './data-runs.ts';
import type { TreePlan } from './plan.ts';

export interface PopulateOptions {
  /** Everything is owned by these instead of what the host says. */
  owner?: { uid: number; gid: number };
  /** Creation and change times, and the latest access and modification time that is kept (reproducible images). */
  time: Time;
  /** Clamp the times of the source to `time`, and forget access times: same bytes whenever it is run. */
  reproducible: boolean;
  /** Generation number of the inodes made: 0 where the same input must give the same bytes. */
  generation: number;
  /** Called after every file with what was done so far. */
  progress?: (done: { readonly files: number; readonly bytes: number }) => void;
}

export interface PopulateResult {
  files: number;
  directories: number;
  symlinks: number;
  others: number;
  hardLinks: number;
  bytes: number;
  /** Any extended attribute was stored: the superblock must say so. */
  attributes: boolean;
}

/** Data is moved in pieces of this many bytes. */
const PIECE = 4 << 20;

/** A directory with more entries needs many blocks at once: none may be held back for data then. */
const MANY_ENTRIES = 1000;

/** A directory whose inode exists and whose entries wait. */
interface PendingDirectory {
  entry: HostEntry;
  inode: number;
  parent: number;
}

export class Populate {
  readonly result: PopulateResult = {
    files: 0,
    directories: 0,
    symlinks: 0,
    others: 0,
    hardLinks: 0,
    bytes: 0,
    attributes: false,
  };
  readonly #tx: DirectTransaction;
  readonly #space: Space;
  readonly #device: Device;
  readonly #tree: HostTree;
  readonly #options: PopulateOptions;
  readonly #plan: TreePlan | undefined;
  readonly #links = new Map<string, number>();
  readonly #piece: Uint8Array;
  /** The piece again, by words. */
  readonly #words: Uint32Array;
  /** Where the last data of each AG ended: the next file goes right behind it. */
  readonly #dataEnd: Float64Array;
  readonly #runs: DataRuns;

  /** @param plan the count of the same tree: what it kept of the walk is not read again. */
  constructor(
    tx: DirectTransaction,
    space: Space,
    device: Device,
    tree: HostTree,
    options: PopulateOptions,
    plan?: TreePlan,
  ) {
    this.#plan = plan;
    this.#tx = tx;
    this.#space = space;
    this.#device = device;
    this.#tree = tree;
    this.#options = options;
    this.#piece = new Uint8Array(PIECE + tx.geometry.blockSize);
    this.#words = new Uint32Array(this.#piece.buffer);
    this.#dataEnd = new Float64Array(tx.geometry.agCount);
    this.#runs = new DataRuns(tx, space);
  }

  /** Fill the empty root directory. Throws ENOSPC, and whatever reading the host throws, with the path in `where`. */
  run(): PopulateResult {
    const { rootInode } = this.#tx.geometry;
    const root = InodeHandle.load(this.#tx, rootInode);
    this.#dress(root, this.#tree.root, rootInode);
    const pending: PendingDirectory[] = [{ entry: this.#tree.root, inode: rootInode, parent: rootInode }];
    for (let next = pending.pop(); next; next = pending.pop()) this.#directory(next, pending);
    this.#runs.close();
    return this.result;
  }

  #directory(at: PendingDirectory, pending: PendingDirectory[]): void {
    this.result.directories++;
    const entries: { name: Uint8Array; inode: number; ftype: number }[] = [];
    const below: PendingDirectory[] = [];
    for (const entry of this.#plan?.takeListing(at.entry) ?? this.#tree.readDirectory(at.entry)) {
      const inode = this.#atPath(entry, () => this.#entry(entry, at.inode));
      entries.push({ name: entry.name, inode, ftype: ftypeOfMode(entry.mode) });
      if (entry.directory) below.push({ entry, inode, parent: at.inode });
      this.#tx.commit();
    }
    if (entries.length > MANY_ENTRIES) this.#runs.close();
    this.#atPath(at.entry, () => {
      const directory = InodeHandle.load(this.#tx, at.inode);
      buildDirectory(editFork(this.#tx, this.#space, directory, 'data'), at.inode, at.parent, entries);
      directory.change(this.#tx);
      directory.core.nlink = 2 + below.length;
    });
    this.#tx.commit();
    for (let i = below.length - 1; i >= 0; i--) pending.push(below[i]!);
  }

  /** Make one entry's inode with all it holds; a further name of a known inode only counts. */
  #entry(entry: HostEntry, parent: number): number {
    const linked = entry.nlink > 1 && !entry.directory ? entry.linkKey : undefined;
    if (linked !== undefined) {
      const known = this.#links.get(linked);
      if (known !== undefined) {
        const inode = InodeHandle.load(this.#tx, known);
        inode.change(this.#tx);
        inode.core.nlink += 1;
        this.result.hardLinks++;
        return known;
      }
    }
    const number = this.#space.allocateInode(this.#tx, {
      parentInode: parent,
      isDirectory: entry.directory !== undefined,
      generation: this.#options.generation,
    });
    const inode = this.#create(number, entry);
    this.#dress(inode, entry, number);
    switch (entry.mode & S_IFMT) {
      case MODE.FILE:
        this.#data(inode, entry);
        this.result.files++;
        break;
      case MODE.SYMLINK:
        writeSymlink(this.#tx, this.#space, inode, entry.target!);
        this.result.symlinks++;
        break;
      case MODE.DIR:
        initialise(editFork(this.#tx, this.#space, inode, 'data'), number, parent);
        break;
      default:
        this.result.others++;
    }
    if (linked !== undefined) this.#links.set(linked, number);
    this.#options.progress?.(this.result);
    return number;
  }

  #create(number: number, entry: HostEntry): Inode {
    const { owner, time } = this.#options;
    this.#noteTime(entry);
    return initialiseInode(this.#tx, number, {
      mode: entry.mode,
      uid: owner?.uid ?? entry.uid,
      gid: owner?.gid ?? entry.gid,
      nlink: 1,
      atime: this.#time(entry.atime, true),
      mtime: this.#time(entry.mtime, false),
      ctime: time,
      crtime: time,
      device: { major: entry.rdevMajor, minor: entry.rdevMinor },
      forkoff: 0,
    });
  }

  /** A time that the image cannot hold becomes the nearest one that it can: say so. */
  #noteTime(entry: HostEntry): void {
    const { seconds } = entry.mtime;
    const last = this.#tx.geometry.features.bigtime ? BIGTIME_MAX_SECONDS : 2 ** 31 - 1;
    if (seconds < -(2 ** 31) || seconds > last) this.#tree.leftOut.add(entry.path, 'time', `${seconds} s since 1970`);
  }

  /** Access times are not content: a reproducible image takes the modification time's clamp for them. */
  #time(time: Time, isAccess: boolean): Time {
    const { reproducible, time: latest } = this.#options;
    if (!reproducible) return time;
    return isAccess || time.seconds > latest.seconds ? latest : time;
  }

  /** Attributes, and for the root (which exists already) owner, mode and times too. */
  #dress(inode: Inode, entry: HostEntry, number: number): void {
    if (number === this.#tx.geometry.rootInode) {
      const { owner, time } = this.#options;
      inode.change(this.#tx);
      inode.core.mode = entry.mode;
      inode.core.uid = owner?.uid ?? entry.uid;
      inode.core.gid = owner?.gid ?? entry.gid;
      inode.setTime('atime', this.#time(entry.atime, true));
      inode.setTime('mtime', this.#time(entry.mtime, false));
      inode.setTime('ctime', time);
      inode.setTime('crtime', time);
    }
    if (entry.xattrs.length === 0) return;
    const attributes: AttributeEntry[] = [];
    for (const { name, value } of entry.xattrs) {
      const stored = fromLinux(name, value);
      if (!stored) this.#tree.leftOut.add(entry.path, 'extended attribute', new TextDecoder().decode(name));
      else if (!attributes.some((each) => each.flags === stored.flags && sameBytes(each.name, stored.name))) {
        attributes.push(stored);
      }
    }
    if (attributes.length === 0) return;
    inode.change(this.#tx);
    inode.core.forkoff = chooseForkOffset(inode, shortformBytesOf(attributes), entry.target?.length ?? 0);
    buildAttributes(editFork(this.#tx, this.#space, inode, 'attr'), attributes);
    this.result.attributes = true;
  }

  #data(inode: Inode, entry: HostEntry): void {
    if (entry.size === 0) return;
    const { blockSize } = this.#tx.geometry;
    const file = this.#tree.openFile(entry);
    const ag = this.#tx.geometry.agOfInode(inode.number);
    let near = this.#dataEnd[ag]! || homeBlock(inode);
    try {
      const writer = new FileWriter(this.#tx, inode, this.#device, this.#space, (fileBlock, max, hint) =>
        this.#runs.take(ag, inode.number, fileBlock, max, hint),
      );
      for (let segment = file.nextSegment(0); segment; segment = file.nextSegment(segment.offset + segment.length)) {
        // A hole counts only in whole blocks: start and end of the data widen to block boundaries.
        const start = segment.offset - (segment.offset % blockSize);
        const end = Math.min(file.size, Math.ceil((segment.offset + segment.length) / blockSize) * blockSize);
        for (let at = start; at < end; at += PIECE) {
          const length = Math.min(PIECE, end - at);
          const padded = Math.ceil(length / blockSize) * blockSize;
          file.readInto(this.#piece.subarray(0, length), at);
          this.#piece.fill(0, length, padded);
          near = this.#append(writer, at / blockSize, padded, near);
          this.result.bytes += length;
        }
        segment.length = end - segment.offset;
      }
    } finally {
      file.close();
    }
    inode.change(this.#tx);
    inode.core.size = file.size;
    this.#dataEnd[ag] = this.#tx.geometry.agOfFsBlock(near) === ag ? near : 0;
  }

  /**
   * Store the first `bytes` of the piece. In a reproducible image blocks of zeroes become holes: which of them are holes on
   * the host is a matter of its file system, not of the content.
   * @returns the fs block behind the last one written.
   */
  #append(writer: FileWriter, fileBlock: number, bytes: number, near: number): number {
    const piece = this.#piece;
    if (!this.#options.reproducible) return writer.append(fileBlock, piece.subarray(0, bytes), near);
    const { blockSize } = this.#tx.geometry;
    const count = bytes / blockSize;
    let next = near;
    for (let at = 0; at < count; ) {
      if (this.#isZero(at)) {
        at++;
        continue;
      }
      let end = at + 1;
      while (end < count && !this.#isZero(end)) end++;
      next = writer.append(fileBlock + at, piece.subarray(at * blockSize, end * blockSize), next);
      at = end;
    }
    return next;
  }

  /** True when block `index` of the piece is all zeroes. */
  #isZero(index: number): boolean {
    const words = this.#words;
    const count = this.#tx.geometry.blockSize / 4;
    for (let i = index * count, end = i + count; i < end; i++) if (words[i] !== 0) return false;
    return true;
  }

  /** Errors on the way say which file it was. */
  #atPath<T>(entry: HostEntry, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof CadastreError && error.code === 'ENOSPC') {
        throw noSpace(`${error.message}: the source does not fit`, {
          where: { ...error.where, path: new TextDecoder().decode(entry.path) },
          cause: error,
        });
      }
      throw error;
    }
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
