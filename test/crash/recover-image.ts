/** Recovery as the tools do it: what a crash left becomes a whole image with a clean log. */
import type { Device } from '../../lib/device/device.ts';
import { type RecoveryReport, recover } from '../../lib/recovery/recover.ts';
import { openSuperblock } from '../../lib/volume/open.ts';

export function recoverImage(device: Device): RecoveryReport {
  return recover(device, openSuperblock(device).geometry);
}
