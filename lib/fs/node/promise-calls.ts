/**
 * The promise forms, and FileHandle. The image works synchronously, so a call is done when it returns; the promise gives the
 * result, now and then only after the event loop had its turn, so that a long chain of awaits starves nobody.
 */
import { EventEmitter } from 'node:events';
import type { Readable } from 'node:stream';
import { dataArgument, optionsOf, pathArgument } from './arguments.ts';
import { awaitFilters, copyTree } from './copy-tree.ts';
import type { Streams } from './streams.ts';
import type { SyncCalls } from './sync-calls.ts';

/** Milliseconds that calls may hold the event loop. */
const LONGEST_HOLD = 10;
let heldSince = 0;

/** Do the work now; the result comes as a promise. */
export async function promised<T>(work: () => T): Promise<T> {
  const now = performance.now();
  if (heldSince === 0) {
    heldSince = now;
    setImmediate(() => (heldSince = 0));
  }
  const result = work();
  if (now - heldSince > LONGEST_HOLD) await new Promise((resolve) => setImmediate(resolve));
  return result;
}

/** An open file of the promises API. */
export class FileHandle extends EventEmitter {
  readonly #sync: SyncCalls;
  readonly #streams: Streams;
  #fd: number;

  constructor(sync: SyncCalls, streams: Streams, fd: number) {
    super();
    this.#sync = sync;
    this.#streams = streams;
    this.#fd = fd;
  }

  /** -1 once it is closed. */
  get fd(): number {
    return this.#fd;
  }

  /** `(buffer, offset, length, position)`, `(buffer, options)` or `(options)`. */
  read(
    buffer?: unknown,
    offset?: unknown,
    length?: unknown,
    position?: unknown,
  ): Promise<{ bytesRead: number; buffer: unknown }> {
    return promised(() => {
      const isOptions = buffer === undefined || (typeof buffer === 'object' && !ArrayBuffer.isView(buffer));
      const options = isOptions ? (buffer as Record<string, unknown> | null | undefined) : undefined;
      const into = isOptions ? (options?.buffer ?? Buffer.alloc(16384)) : buffer;
      const at = isOptions ? (options ?? undefined) : offset;
      return { bytesRead: this.#sync.readSync(this.#fd, into, at, length, position), buffer: into };
    });
  }

  write(
    data: unknown,
    offset?: unknown,
    length?: unknown,
    position?: unknown,
  ): Promise<{ bytesWritten: number; buffer: unknown }> {
    return promised(() => ({
      bytesWritten: this.#sync.writeSync(this.#fd, data, offset, length, position),
      buffer: data,
    }));
  }

  readv(buffers: unknown, position?: unknown): Promise<{ bytesRead: number; buffers: unknown }> {
    return promised(() => ({ bytesRead: this.#sync.readvSync(this.#fd, buffers, position), buffers }));
  }
  writev(buffers: unknown, position?: unknown): Promise<{ bytesWritten: number; buffers: unknown }> {
    return promised(() => ({ bytesWritten: this.#sync.writevSync(this.#fd, buffers, position), buffers }));
  }
  readFile(options?: unknown): Promise<Buffer | string> {
    return promised(() => this.#sync.readFileSync(this.#fd, options));
  }
  writeFile(data: unknown, options?: unknown): Promise<void> {
    return storePieces(this.#sync, this.#fd, data, options);
  }
  appendFile(data: unknown, options?: unknown): Promise<void> {
    return storePieces(this.#sync, this.#fd, data, options);
  }
  stat(options?: unknown): Promise<unknown> {
    return promised(() => this.#sync.fstatSync(this.#fd, options));
  }
  truncate(length?: unknown): Promise<void> {
    return promised(() => this.#sync.ftruncateSync(this.#fd, length));
  }
  chmod(mode: unknown): Promise<void> {
    return promised(() => this.#sync.fchmodSync(this.#fd, mode));
  }
  chown(uid: unknown, gid: unknown): Promise<void> {
    return promised(() => this.#sync.fchownSync(this.#fd, uid, gid));
  }
  utimes(atime: unknown, mtime: unknown): Promise<void> {
    return promised(() => this.#sync.futimesSync(this.#fd, atime, mtime));
  }
  sync(): Promise<void> {
    return promised(() => this.#sync.fsyncSync(this.#fd));
  }
  datasync(): Promise<void> {
    return promised(() => this.#sync.fdatasyncSync(this.#fd));
  }

  /** A second call does nothing. */
  close(): Promise<void> {
    return promised(() => {
      if (this.#fd < 0) return;
      const fd = this.#fd;
      this.#fd = -1;
      this.#sync.closeSync(fd);
      this.emit('close');
    });
  }

  /** Lines of the file as text. */
  async *readLines(options?: unknown): AsyncGenerator<string, void> {
    const { createInterface } = await import('node:readline');
    yield* createInterface({ input: this.createReadStream(options) as Readable, crlfDelay: Number.POSITIVE_INFINITY });
  }

  /** A stream over this handle, which it closes at its end unless `autoClose` is false. */
  createReadStream(options?: unknown): unknown {
    return this.#streams.createReadStream('', { ...optionsOf(options), fd: this });
  }
  createWriteStream(options?: unknown): unknown {
    return this.#streams.createWriteStream('', { ...optionsOf(options), fd: this });
  }
}

/** Write all of the data, which may also be an iterable or a stream of pieces. */
async function storePieces(sync: SyncCalls, fd: number, data: unknown, options: unknown): Promise<void> {
  const { encoding, signal, flush } = optionsOf(options);
  if (isPlain(data)) await promised(() => sync.writeFileSync(fd, data, options));
  else {
    for await (const piece of data as AsyncIterable<unknown>) {
      throwIfAborted(signal);
      const bytes = dataArgument(piece, encoding);
      await promised(() => sync.writeSync(fd, bytes, 0, bytes.length, null));
    }
    if (flush) await promised(() => sync.fsyncSync(fd));
  }
}

function isPlain(data: unknown): boolean {
  const isIterable =
    typeof data === 'object' && data !== null && (Symbol.asyncIterator in data || Symbol.iterator in data);
  return !isIterable || ArrayBuffer.isView(data);
}

export function throwIfAborted(signal: unknown): void {
  if (!(signal instanceof AbortSignal) || !signal.aborted) return;
  const error = new Error('The operation was aborted', { cause: signal.reason });
  throw Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' });
}

/** Calls that are the same in all three forms. */
export const COMMON_CALLS = [
  'access',
  'appendFile',
  'chmod',
  'chown',
  'copyFile',
  'cp',
  'lchown',
  'link',
  'lstat',
  'lutimes',
  'mkdir',
  'mkdtemp',
  'opendir',
  'readdir',
  'readFile',
  'readlink',
  'realpath',
  'rename',
  'rm',
  'rmdir',
  'stat',
  'statfs',
  'symlink',
  'truncate',
  'unlink',
  'utimes',
  'writeFile',
] as const;

type Call = (...args: unknown[]) => unknown;

/** The `promises` object: plain functions, so that a caller may take them out of it. */
export function promiseCalls(sync: SyncCalls, streams: Streams): Record<string, unknown> {
  const calls: Record<string, Call> = {};
  for (const name of COMMON_CALLS) {
    const call = sync[`${name}Sync`] as Call;
    calls[name] = (...args) => promised(() => call.apply(sync, args));
  }
  const opened = (path: unknown): unknown => (path instanceof FileHandle ? path.fd : path);
  calls.open = (path, flags, mode) => promised(() => new FileHandle(sync, streams, sync.openSync(path, flags, mode)));
  calls.readFile = (path, options) =>
    promised(() => {
      throwIfAborted(optionsOf(options).signal);
      return sync.readFileSync(opened(path), options);
    });
  const store = (flag: string): Call => {
    return async (path, data, options) => {
      const given = optionsOf(options);
      throwIfAborted(given.signal);
      if (path instanceof FileHandle) return await storePieces(sync, path.fd, data, given);
      const fd = sync.openSync(path, given.flag ?? flag, given.mode);
      try {
        await storePieces(sync, fd, data, given);
      } finally {
        sync.closeSync(fd);
      }
    };
  };
  calls.writeFile = store('w');
  calls.appendFile = store('a');
  calls.cp = async (from, to, options) => {
    const given = optionsOf(options);
    await awaitFilters(copyTree(sync, pathArgument(from, 'src'), pathArgument(to, 'dest'), given));
  };
  calls.truncate = (path, length) => promised(() => sync.truncateSync(opened(path), length));
  calls.watch = (path) => sync.watch(path);
  return calls;
}
