/** Opening images for a command: what is not an image is refused by name, and a dirty log is said before anything is shown. */
import { statSync } from 'node:fs';
import { FileDevice } from '../../lib/device/file.ts';
import { deviceError } from '../../lib/errors.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { note, paint } from './output.ts';

/** The image file as a device, read only. Refuses what could block or is no image: directories, fifos, terminals. */
export function openDevice(path: string): FileDevice {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat && !stat.isFile() && !stat.isBlockDevice()) {
    throw deviceError('NOT_AN_IMAGE', `${path} is neither a file nor a block device`, { where: { path } });
  }
  return new FileDevice(path, 'r');
}

/** Open the image for as long as `work` takes. Warns on standard error when its log is not clean. */
export async function withVolume<T>(path: string, work: (volume: Volume) => T | Promise<T>): Promise<T> {
  const device = openDevice(path);
  try {
    const volume = Volume.open(device);
    await warnOfLog(volume, path);
    return await work(volume);
  } finally {
    device.close();
  }
}

async function warnOfLog(volume: Volume, path: string): Promise<void> {
  const { logState } = await import('./log-state.ts');
  const state = logState(volume.device, volume.geometry);
  if (state === 'clean') return;
  const what =
    state === 'dirty'
      ? 'its log holds changes that are not in place yet: what is shown may be stale or damaged'
      : 'its log cannot be read: what is shown may be stale';
  note(`${paint.yellow('warning', process.stderr)}: ${path}: ${what}`);
}
