/**
 * Which bytes of an image show that somebody has changed it since: the headers of every AG, and the log right ahead of its
 * head, where the next change would be written first, whoever makes it.
 */
import { LOG_BB } from '../../formats/log.ts';
import type { Device } from '../device/device.ts';
import type { WatchedRange } from '../device/undo-file.ts';
import { CadastreError } from '../errors.ts';
import { readLogState } from '../journal/log-reader.ts';
import { LogShape } from '../journal/position.ts';
import { openSuperblock } from './open.ts';

/** Basic blocks of the log that are watched: any record touches the first of them. */
const LOG_WINDOW = 64;
/** Headers of an AG, each in a sector of its own. */
const HEADERS = 4;

/** The ranges to watch; of something that is no image (any more) none. */
export function watchedRanges(image: Device): WatchedRange[] {
  try {
    const { geometry } = openSuperblock(image, true);
    const ranges: WatchedRange[] = [];
    for (let ag = 0; ag < geometry.agCount; ag++) {
      ranges.push({ offset: geometry.agBlockToByte(ag, 0), length: HEADERS * geometry.sectorSize });
    }
    const { head } = readLogState(image, geometry);
    const { start, blocks } = new LogShape(geometry);
    const ahead = Math.min(LOG_WINDOW, blocks - head.block);
    ranges.push({ offset: start + head.block * LOG_BB, length: ahead * LOG_BB });
    if (ahead < LOG_WINDOW) ranges.push({ offset: start, length: Math.min(LOG_WINDOW, blocks) * LOG_BB });
    return ranges;
  } catch (error) {
    if (error instanceof CadastreError) return [];
    throw error;
  }
}
