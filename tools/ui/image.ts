/** Opening images for a command: what is not an image is refused by name, and a dirty log is said before anything is shown. */
import { statSync } from 'node:fs';
import { FileDevice } from '../../lib/device/file.ts';
import { CadastreError, deviceError } from '../../lib/errors.ts';
import { Volume } from '../../lib/volume/volume.ts';
import type { LogState } from './log-state.ts';
import { note, paint } from './output.ts';

/** The image file as a device, read only. Refuses what could block or is no image: directories, fifos, terminals. */
export function openDevice(path: string): FileDevice {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat && !stat.isFile() && !stat.isBlockDevice()) {
    throw deviceError('NOT_AN_IMAGE', `${path} is neither a file nor a block device`, { where: { path } });
  }
  return new FileDevice(path, 'r');
}

/**
 * Open the image for as long as `work` takes. A dirty log is replayed over the image, not into it, and that is said on
 * standard error; a log that cannot be replayed too.
 * @param work gets the volume, and the state of the log as it is in the file.
 */
export async function withVolume<T>(path: string, work: (volume: Volume, log: LogState) => T | Promise<T>): Promise<T> {
  const device = openDevice(path);
  try {
    const volume = Volume.open(device);
    const { logState } = await import('./log-state.ts');
    const state = logState(volume.device, volume.geometry);
    return await work(state === 'clean' ? volume : await withReplay(volume, path, state), state);
  } finally {
    device.close();
  }
}

async function withReplay(volume: Volume, path: string, state: LogState): Promise<Volume> {
  let why = 'its log cannot be read';
  if (state === 'dirty') {
    const [{ OverlayDevice }, { recover }] = await Promise.all([
      import('../../lib/device/overlay.ts'),
      import('../../lib/recovery/recover.ts'),
    ]);
    try {
      const overlay = new OverlayDevice(volume.device);
      recover(overlay, volume.geometry);
      const replayed = Volume.open(overlay);
      note(`${path}: its log is dirty: shown is the image as it will be when the log is replayed`);
      return replayed;
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
      why = `its log cannot be replayed (${error.message})`;
    }
  }
  note(`${paint.yellow('warning', process.stderr)}: ${path}: ${why}: what is shown may be stale or damaged`);
  return volume;
}
