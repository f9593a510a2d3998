/** Recovery as the tools do it: what a crash left becomes a whole image with a clean log. */
import { appendFileSync } from 'node:fs';
import type { Device } from '../../lib/device/device.ts';
import { type RecoveryReport, recover } from '../../lib/recovery/recover.ts';
import { openSuperblock } from '../../lib/volume/open.ts';

/** Where scripts/test-crash.mjs wants to find a byte for each recovery. */
const tally = process.env.CADASTRE_CRASH_TALLY;

export function recoverImage(device: Device): RecoveryReport {
  if (tally) appendFileSync(tally, '.');
  return recover(device, openSuperblock(device).geometry);
}
