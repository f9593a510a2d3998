/** Stats, Dirent and Dir: objects with the fields and methods of Node's own. */
import { MODE, S_IFMT } from '../../../formats/inode.ts';
import type { Time } from '../../../formats/time.ts';
import type { FileStat } from '../stat.ts';

/** What kind of object a mode says it is: the questions Stats and Dirent answer. */
abstract class Kind {
  protected abstract kind(): number;
  isFile(): boolean {
    return this.kind() === MODE.FILE;
  }
  isDirectory(): boolean {
    return this.kind() === MODE.DIR;
  }
  isSymbolicLink(): boolean {
    return this.kind() === MODE.SYMLINK;
  }
  isBlockDevice(): boolean {
    return this.kind() === MODE.BLOCK;
  }
  isCharacterDevice(): boolean {
    return this.kind() === MODE.CHAR;
  }
  isFIFO(): boolean {
    return this.kind() === MODE.FIFO;
  }
  isSocket(): boolean {
    return this.kind() === MODE.SOCKET;
  }
}

const milliseconds = (time: Time): number => time.seconds * 1000 + time.nanoseconds / 1e6;
const bigNanoseconds = (time: Time): bigint => BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds);
const dateOf = (time: Time): Date => new Date(Math.round(milliseconds(time)));

/** Linux's 64-bit device number. */
function deviceNumber({ major, minor }: FileStat['device']): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffn) << 8n) | ((high >> 12n) << 44n) | (low & 0xffn) | ((low >> 8n) << 20n);
}

export class Stats extends Kind {
  readonly dev: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly ino: number;
  readonly size: number;
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;

  constructor(stat: FileStat, dev: number) {
    super();
    this.dev = dev;
    this.mode = stat.mode;
    this.nlink = stat.nlink;
    this.uid = stat.uid;
    this.gid = stat.gid;
    this.rdev = Number(deviceNumber(stat.device));
    this.blksize = stat.blockSize;
    this.ino = stat.inode;
    this.size = stat.size;
    this.blocks = stat.blocks;
    this.atimeMs = milliseconds(stat.atime);
    this.mtimeMs = milliseconds(stat.mtime);
    this.ctimeMs = milliseconds(stat.ctime);
    this.birthtimeMs = milliseconds(stat.crtime);
    this.atime = dateOf(stat.atime);
    this.mtime = dateOf(stat.mtime);
    this.ctime = dateOf(stat.ctime);
    this.birthtime = dateOf(stat.crtime);
  }

  protected kind(): number {
    return this.mode & S_IFMT;
  }
}

/** The same in BigInts, with nanoseconds. */
export class BigIntStats extends Kind {
  readonly dev: bigint;
  readonly mode: bigint;
  readonly nlink: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly rdev: bigint;
  readonly blksize: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly atimeMs: bigint;
  readonly mtimeMs: bigint;
  readonly ctimeMs: bigint;
  readonly birthtimeMs: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly birthtimeNs: bigint;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;

  constructor(stat: FileStat, dev: number) {
    super();
    this.dev = BigInt(dev);
    this.mode = BigInt(stat.mode);
    this.nlink = BigInt(stat.nlink);
    this.uid = BigInt(stat.uid);
    this.gid = BigInt(stat.gid);
    this.rdev = deviceNumber(stat.device);
    this.blksize = BigInt(stat.blockSize);
    this.ino = BigInt(stat.inode);
    this.size = BigInt(stat.size);
    this.blocks = BigInt(stat.blocks);
    this.atimeNs = bigNanoseconds(stat.atime);
    this.mtimeNs = bigNanoseconds(stat.mtime);
    this.ctimeNs = bigNanoseconds(stat.ctime);
    this.birthtimeNs = bigNanoseconds(stat.crtime);
    this.atimeMs = this.atimeNs / 1_000_000n;
    this.mtimeMs = this.mtimeNs / 1_000_000n;
    this.ctimeMs = this.ctimeNs / 1_000_000n;
    this.birthtimeMs = this.birthtimeNs / 1_000_000n;
    this.atime = dateOf(stat.atime);
    this.mtime = dateOf(stat.mtime);
    this.ctime = dateOf(stat.ctime);
    this.birthtime = dateOf(stat.crtime);
  }

  protected kind(): number {
    return Number(this.mode) & S_IFMT;
  }
}

export class Dirent extends Kind {
  readonly name: string | Buffer;
  /** The directory it was found in, as it was asked for. */
  readonly parentPath: string;
  /** The same under its older name. */
  readonly path: string;
  readonly #type: number;

  constructor(name: string | Buffer, directory: string, type: number) {
    super();
    this.name = name;
    this.parentPath = directory;
    this.path = directory;
    this.#type = type;
  }

  protected kind(): number {
    return this.#type;
  }
}

/** An open directory: entries as they were when it was opened. */
export class Dir {
  readonly path: string;
  readonly #entries: readonly Dirent[];
  #next = 0;
  #closed = false;

  constructor(path: string, entries: readonly Dirent[]) {
    this.path = path;
    this.#entries = entries;
  }

  readSync(): Dirent | null {
    this.#assertOpen();
    return this.#entries[this.#next++] ?? null;
  }

  closeSync(): void {
    this.#assertOpen();
    this.#closed = true;
  }

  /** With a callback, or a promise without. */
  read(callback?: (error: Error | null, entry?: Dirent | null) => void): Promise<Dirent | null> | undefined {
    return settle(() => this.readSync(), callback);
  }

  close(callback?: (error: Error | null) => void): Promise<void> | undefined {
    return settle(() => this.closeSync(), callback);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Dirent, void> {
    try {
      for (let entry = this.readSync(); entry; entry = this.readSync()) yield entry;
    } finally {
      this.closeSync();
    }
  }

  #assertOpen(): void {
    if (!this.#closed) return;
    throw Object.assign(new Error('Directory handle was closed'), { code: 'ERR_DIR_CLOSED' });
  }
}

function settle<T>(work: () => T, callback?: (error: Error | null, result?: T) => void): Promise<T> | undefined {
  const promise = new Promise<T>((resolve) => resolve(work()));
  if (!callback) return promise;
  promise.then(
    (result) => setImmediate(callback, null, result),
    (error: Error) => setImmediate(callback, error),
  );
  return undefined;
}

/** What `statfs` gives; the type number is that of XFS. */
export class StatFs<N extends number | bigint> {
  readonly type: N;
  readonly bsize: N;
  readonly blocks: N;
  readonly bfree: N;
  readonly bavail: N;
  readonly files: N;
  readonly ffree: N;

  constructor(
    convert: (value: number) => N,
    bsize: number,
    blocks: number,
    free: number,
    files: number,
    ffree: number,
  ) {
    this.type = convert(0x58465342);
    this.bsize = convert(bsize);
    this.blocks = convert(blocks);
    this.bfree = convert(free);
    this.bavail = convert(free);
    this.files = convert(files);
    this.ffree = convert(ffree);
  }
}
