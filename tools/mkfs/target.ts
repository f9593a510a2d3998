/**
 * The file or device that mkfs is going to write. First `inspectTarget`: everything that can be refused, nothing touched.
 * Then `openTarget`, when the plan stands: from here on the old content is lost.
 */
import { closeSync, openSync, readSync, realpathSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import type { Device } from '../../lib/device/device.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { deviceError, usage } from '../../lib/errors.ts';

export interface Target {
  readonly path: string;
  readonly exists: boolean;
  readonly isBlockDevice: boolean;
  /** Bytes now: the size of a device, or of the file that is there. */
  readonly bytes: number;
}

export interface OpenTarget {
  readonly device: Device;
  /** It reads as zeroes everywhere. */
  readonly blank: boolean;
  /** Close; a file that was made here and did not become an image is removed. */
  close(finished: boolean): void;
}

/** How much of a file must be zero before it counts as empty. */
const PROBE_BYTES = 1 << 16;

/**
 * Throws HOLDS_DATA when something is there already and IN_USE when somebody uses it, both unless `force`; IS_SOURCE when
 * it lies inside the directory the content comes from.
 */
export async function inspectTarget(path: string, force: boolean, from: string | undefined): Promise<Target> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (from !== undefined) refuseInsideSource(path, from);
  if (!stat) return { path, exists: false, isBlockDevice: false, bytes: 0 };
  if (!stat.isFile() && !stat.isBlockDevice()) {
    throw deviceError('NOT_AN_IMAGE', `${path} is neither a file nor a block device`, { where: { path } });
  }
  if (!force) {
    const [{ holdsFileSystem }, { assertNotInUse }] = await Promise.all([
      import('../../lib/host/signatures.ts'),
      import('../../lib/host/lock.ts'),
    ]);
    assertNotInUse(path);
    const holds = holdsFileSystem(path) ?? (stat.isFile() && !isEmpty(path) ? 'of an unknown kind' : undefined);
    if (holds)
      throw deviceError('HOLDS_DATA', `${path} already holds data: ${holds}`, { where: { path }, found: holds });
  }
  return {
    path,
    exists: true,
    isBlockDevice: stat.isBlockDevice(),
    bytes: stat.isFile() ? stat.size : deviceBytes(path),
  };
}

function refuseInsideSource(path: string, from: string): void {
  try {
    const source = realpathSync(from);
    const target = join(realpathSync(dirname(path)), basename(path));
    if (!target.startsWith(source.endsWith(sep) ? source : source + sep)) return;
  } catch {
    return; // What does not exist is told of when it is opened.
  }
  throw usage('IS_SOURCE', `${path} lies inside ${from}: the image would have to hold itself`, { where: { path } });
}

function isEmpty(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    const bytes = new Uint8Array(PROBE_BYTES);
    const length = readSync(fd, bytes, 0, bytes.length, 0);
    return bytes.subarray(0, length).every((byte) => byte === 0);
  } finally {
    closeSync(fd);
  }
}

function deviceBytes(path: string): number {
  const device = new FileDevice(path, 'r');
  device.close();
  return device.size;
}

/** How it is to be written. */
export interface TargetOptions {
  /** Keep the old bytes in this new file. */
  undo?: string;
  /** Nothing is written: the image is made in memory. */
  dryRun?: boolean;
}

/** Open for writing with `size` bytes, locked against other runs of this tool. */
export async function openTarget(target: Target, size: number, options: TargetOptions = {}): Promise<OpenTarget> {
  const { path } = target;
  if (target.isBlockDevice && size > target.bytes) {
    throw deviceError('SHORT_DEVICE', `${path} has ${target.bytes} bytes, the image needs ${size}`, {
      where: { path },
    });
  }
  if (options.dryRun) {
    const { MemoryDevice } = await import('../../lib/device/memory.ts');
    return { device: new MemoryDevice(size), blank: true, close: () => {} };
  }
  // A new file is made exclusively: nobody else can have it, so there is nothing to lock.
  const holder = openHost(path, target.exists ? 'r+' : 'wx+');
  try {
    if (target.exists) {
      const { lockImage } = await import('../../lib/host/lock.ts');
      lockImage(holder, path);
    }
    const file = new FileDevice(path, 'rw');
    const device = options.undo === undefined ? file : await undoOver(file, options.undo, !target.exists);
    // A file is emptied, but for undo: then only what is written over has to be kept.
    const blank = !target.isBlockDevice && (options.undo === undefined || !target.exists);
    if (!target.isBlockDevice) {
      if (blank) device.resize(0);
      device.resize(size);
    }
    return {
      device,
      blank,
      close(finished) {
        device.close();
        closeSync(holder);
        if (!finished && !target.exists) rmSync(path, { force: true });
      },
    };
  } catch (error) {
    closeSync(holder);
    if (!target.exists) rmSync(path, { force: true });
    throw error;
  }
}

async function undoOver(file: FileDevice, path: string, isNew: boolean): Promise<Device> {
  const { startUndo } = await import('../edit/open.ts');
  try {
    return startUndo(file, path, isNew);
  } catch (error) {
    file.close();
    throw error;
  }
}

function openHost(path: string, flags: string): number {
  try {
    return openSync(path, flags, 0o644);
  } catch (cause) {
    const { code } = cause as { code?: string };
    throw deviceError(code ?? 'EIO', `cannot write ${path}: ${code}`, { where: { path }, cause });
  }
}
