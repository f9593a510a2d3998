/** `openImage`: an image as an object with the calls of Node's fs. */
import nodeFs from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Device } from '../../device/device.ts';
import { FileDevice } from '../../device/file.ts';
import { deviceError } from '../../errors.ts';
import { assertNotInUse, lockImage } from '../../host/lock.ts';
import { ImageFiles, type ImageFilesOptions } from '../image-files.ts';
import { callbackCalls } from './callback-calls.ts';
import { CopyJobs } from './jobs.ts';
import { FileHandle, promiseCalls } from './promise-calls.ts';
import { Dir, Dirent, Stats } from './stats.ts';
import { type StreamCalls, Streams } from './streams.ts';
import { SyncCalls } from './sync-calls.ts';

type NodeFs = typeof nodeFs;
type NodePromises = typeof nodeFs.promises;

/** Calls that exist with a callback and with `Sync`. */
type Both =
  | 'access'
  | 'appendFile'
  | 'chmod'
  | 'chown'
  | 'close'
  | 'copyFile'
  | 'cp'
  | 'exists'
  | 'fchmod'
  | 'fchown'
  | 'fdatasync'
  | 'fstat'
  | 'fsync'
  | 'ftruncate'
  | 'futimes'
  | 'lchown'
  | 'link'
  | 'lstat'
  | 'lutimes'
  | 'mkdir'
  | 'mkdtemp'
  | 'open'
  | 'opendir'
  | 'read'
  | 'readdir'
  | 'readFile'
  | 'readlink'
  | 'readv'
  | 'realpath'
  | 'rename'
  | 'rm'
  | 'rmdir'
  | 'stat'
  | 'statfs'
  | 'symlink'
  | 'truncate'
  | 'unlink'
  | 'utimes'
  | 'write'
  | 'writeFile'
  | 'writev';
type Others = 'constants' | 'createReadStream' | 'createWriteStream' | 'unwatchFile' | 'watch' | 'watchFile';
type WithPromise =
  | Exclude<
      Both,
      | 'close'
      | 'exists'
      | 'fchmod'
      | 'fchown'
      | 'fdatasync'
      | 'fstat'
      | 'fsync'
      | 'ftruncate'
      | 'futimes'
      | 'read'
      | 'readv'
      | 'write'
      | 'writev'
    >
  | 'constants'
  | 'watch';

/** The calls of Node's fs with Node's types, and what an image needs besides. */
export type ImageFs = Pick<NodeFs, Both | `${Both}Sync` | Others> & {
  readonly promises: Pick<NodePromises, WithPromise>;
  /** False: changes are refused with EROFS. */
  readonly writable: boolean;
  /** Set where what is read may be stale or damaged: opened with `readOnly` over a log that cannot be replayed; says why. */
  readonly warning: string | undefined;
  /** Copies that can be watched, waited for and cancelled, many at once. */
  readonly jobs: CopyJobs;
  /** Make everything done so far durable, as `fsync` does. */
  flush(): void;
  /** End jobs that are not over, close all descriptors, write everything in place, close the image. A second call does nothing. */
  unmount(): void;
};

export interface OpenImageOptions extends ImageFilesOptions {
  /** Open although a mount, a loop device or another process uses the image, and without a lock. */
  force?: boolean;
}

/** Device numbers that stat tells start here. */
let nextDev = 0xcada01;

/**
 * Open an image and use it as a file system.
 *
 * Changes are transactions: each call happens whole. They are durable after `flush`, an `fsync` of any file, or `unmount`; an
 * image left without `unmount` has its last changes in its log. The image must not change in other ways while it is open.
 *
 * A log that holds changes is replayed first: in the image, or, opened read-only, in memory. One that cannot be replayed is an
 * error, or, opened read-only, a `warning`.
 *
 * @param image path or file URL of an image file or block device, or a Device.
 * @throws CadastreError: `device` (not there, IN_USE), `unsupported` (not an image, or a feature that forbids it), `corrupt`.
 */
export function openImage(image: string | URL | Device, options: OpenImageOptions = {}): ImageFs {
  if (typeof image !== 'string' && !(image instanceof URL)) return imageFs(new ImageFiles(image, options), () => {});
  const path = typeof image === 'string' ? image : fileURLToPath(image);
  const unlock = options.readOnly ? () => {} : lock(path, options.force === true);
  let device: FileDevice | undefined;
  try {
    device = new FileDevice(path, options.readOnly ? 'r' : 'rw');
    return imageFs(new ImageFiles(device, options), unlock);
  } catch (error) {
    device?.close();
    unlock();
    throw error;
  }
}

/** Refuse an image that somebody uses, and keep other runs of these tools away. @returns what ends that. */
function lock(path: string, force: boolean): () => void {
  if (force) return () => {};
  assertNotInUse(path);
  let holder: number;
  try {
    holder = nodeFs.openSync(path, 'r+');
  } catch (cause) {
    const { code = 'EIO' } = cause as { code?: string };
    throw deviceError(code, `cannot open ${path} for writing: ${code}`, { where: { path }, cause });
  }
  const unlock = () => nodeFs.closeSync(holder);
  try {
    lockImage(holder, path);
    return unlock;
  } catch (error) {
    unlock();
    throw error;
  }
}

/** All forms of the calls over an open image, as one plain object. */
function imageFs(files: ImageFiles, unlock: () => void): ImageFs {
  const sync = new SyncCalls(files, nextDev++);
  const callbacks = callbackCalls(sync);
  const jobs = new CopyJobs(files);
  const streams = new Streams(callbacks as unknown as StreamCalls);
  const fs: Record<string, unknown> = {};
  for (const name of Object.getOwnPropertyNames(SyncCalls.prototype)) {
    const call: unknown = sync[name as keyof SyncCalls];
    if (name !== 'constructor' && typeof call === 'function') fs[name] = call.bind(sync);
  }
  Object.assign(fs, callbacks, {
    createReadStream: (path: unknown, options?: unknown) => streams.createReadStream(path, options),
    createWriteStream: (path: unknown, options?: unknown) => streams.createWriteStream(path, options),
    promises: { ...promiseCalls(sync, streams), constants: nodeFs.constants },
    constants: nodeFs.constants,
    F_OK: nodeFs.constants.F_OK,
    R_OK: nodeFs.constants.R_OK,
    W_OK: nodeFs.constants.W_OK,
    X_OK: nodeFs.constants.X_OK,
    Stats,
    Dirent,
    Dir,
    FileHandle,
    ReadStream: nodeFs.ReadStream,
    WriteStream: nodeFs.WriteStream,
    writable: !files.readOnly,
    warning: files.warning,
    jobs,
    flush: () => files.sync(),
    unmount: () => {
      if (!files.mounted) return;
      try {
        jobs.cancel();
        files.unmount();
      } finally {
        unlock();
      }
    },
  });
  for (const name of ['realpath', 'realpathSync']) Object.assign(fs[name] as object, { native: fs[name] });
  return fs as unknown as ImageFs;
}
