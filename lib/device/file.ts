/** An image in a host file (or block device). The only device that touches Node's own modules. */
import {
  close,
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { deviceError } from '../errors.ts';
import type { FileHoles } from '../host/native.ts';
import type { Device } from './device.ts';
import { checkRange } from './range.ts';

const ZERO_CHUNK = 1 << 20;
/** Bytes written before the host is told to begin with putting them on the disk. */
const WRITE_BEHIND = 16 << 20;
/** Requests to do so under way: they end when the event loop turns, which in one long piece of work is never. */
const MOST_BEHIND = 64;

export class FileDevice implements Device {
  readonly path: string;
  readonly readOnly: boolean;
  size: number;
  readonly #holes: FileHoles | undefined;
  #fd: number;
  #behind: WriteBehind | undefined;
  #unsent = 0;

  /**
   * @param mode `r` read only, `rw` read and write an existing file, `create` make it or empty it first.
   * @param holes finds holes in files, which Node itself cannot.
   * Throws a `device` error (code of the host: ENOENT, EACCES ...) when it cannot be opened.
   */
  constructor(path: string, mode: 'r' | 'rw' | 'create', holes?: FileHoles) {
    this.path = path;
    this.readOnly = mode === 'r';
    this.#holes = holes;
    try {
      this.#fd = openSync(path, mode === 'r' ? 'r' : mode === 'rw' ? 'r+' : 'w+', 0o644);
      this.size = sizeOf(this.#fd);
    } catch (cause) {
      throw hostError(`open ${path}`, cause);
    }
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this.size, offset, into.length, 'read');
    this.#whole(into, (at, length) => readSync(this.#fd, into, at, length, offset + at), 'read');
  }

  write(offset: number, from: Uint8Array): void {
    checkRange(this.size, offset, from.length, 'write');
    this.#whole(from, (at, length) => writeSync(this.#fd, from, at, length, offset + at), 'write');
    this.#unsent += from.length;
    if (this.#unsent < WRITE_BEHIND) return;
    this.#unsent = 0;
    this.#behind ??= new WriteBehind(this.path);
    this.#behind.start();
  }

  flush(): void {
    if (this.readOnly) return;
    try {
      fsyncSync(this.#fd);
    } catch (cause) {
      throw hostError(`flush ${this.path}`, cause);
    }
  }

  /** Writes zeroes only where something else stands, so a sparse file stays sparse. */
  zero(offset: number, length: number): void {
    checkRange(this.size, offset, length, 'write');
    const chunk = new Uint8Array(Math.min(length, ZERO_CHUNK));
    const zeroes = new Uint8Array(chunk.length);
    for (let done = 0; done < length; done += chunk.length) {
      const part = Math.min(chunk.length, length - done);
      const piece = chunk.subarray(0, part);
      this.read(offset + done, piece);
      if (piece.some((byte) => byte !== 0)) this.write(offset + done, zeroes.subarray(0, part));
    }
  }

  resize(size: number): void {
    try {
      ftruncateSync(this.#fd, size);
    } catch (cause) {
      throw hostError(`resize ${this.path}`, cause);
    }
    this.size = size;
  }

  dataIn(from: number, to: number): readonly [number, number] {
    return this.#holes ? this.#holes(this.#fd, from, to) : [from, to];
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.#behind?.end();
    try {
      closeSync(fd);
    } catch (cause) {
      throw hostError(`close ${this.path}`, cause);
    }
  }

  #whole(bytes: Uint8Array, step: (at: number, length: number) => number, what: string): void {
    let at = 0;
    while (at < bytes.length) {
      let moved: number;
      try {
        moved = step(at, bytes.length - at);
      } catch (cause) {
        throw hostError(`${what} ${this.path}`, cause);
      }
      if (moved === 0) throw deviceError('SHORT_DEVICE', `${what} ${this.path}: the file ends early`);
      at += moved;
    }
  }
}

/**
 * Much that was written goes to the disk while more is computed, so that `flush` has little left to wait for. On a descriptor
 * of its own: an error that the host reports here is reported to `flush` as well. Whether it works is nobody's concern.
 */
class WriteBehind {
  readonly #fd: number;
  #running = 0;
  #ended = false;

  constructor(path: string) {
    let fd = -1;
    try {
      fd = openSync(path, 'r');
    } catch {
      // The file has another name by now, or none: then everything waits for `flush`.
    }
    this.#fd = fd;
  }

  start(): void {
    if (this.#fd < 0 || this.#running >= MOST_BEHIND) return;
    this.#running++;
    fdatasync(this.#fd, () => {
      this.#running--;
      if (this.#ended) this.end();
    });
  }

  end(): void {
    this.#ended = true;
    if (this.#running === 0 && this.#fd >= 0) close(this.#fd, () => undefined);
  }
}

/** Bytes of a file or block device (whose stat size is 0: found by trying to read). */
function sizeOf(fd: number): number {
  const stat = fstatSync(fd);
  if (!stat.isBlockDevice()) return stat.size;
  const probe = new Uint8Array(512);
  const readable = (sector: number) => {
    try {
      return readSync(fd, probe, 0, 512, sector * 512) > 0;
    } catch {
      return false;
    }
  };
  let low = 0;
  let high = 1;
  while (readable(high - 1) && high < 2 ** 43) [low, high] = [high, high * 2];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (readable(middle)) low = middle + 1;
    else high = middle;
  }
  return low * 512;
}

function hostError(what: string, cause: unknown): Error {
  const code = (cause as { code?: string }).code ?? 'EIO';
  return deviceError(code, `${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}
