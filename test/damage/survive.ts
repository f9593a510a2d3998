/** Does repair come to an end on whatever this is, and what does it say? */
import { check } from '../../lib/check/check.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { CadastreError } from '../../lib/errors.ts';
import { repair } from '../../lib/repair/repair.ts';
import type { RepairOptions } from '../../lib/repair/state.ts';
import type { DamageImage } from './image.ts';

/**
 * - `clean`: repaired, a check agrees, and a second repair has nothing to do.
 * - `clean without log`: the same, when the log was thrown away as the refusal before told.
 * - `hopeless`: refused because no superblock is left.
 * - `full`: refused for want of space; nothing has changed.
 * - `unsupported`: refused because the only superblock left has a right checksum and says what is not handled; nothing has changed.
 * - `refused`: another error with a code; nothing has changed.
 * - `left over`: not clean, and the result says what remains.
 * - `disagrees`, `unsaid`, `crash`: bugs.
 */
export type Verdict =
  | 'clean'
  | 'clean without log'
  | 'hopeless'
  | 'full'
  | 'unsupported'
  | 'refused'
  | 'left over'
  | 'disagrees'
  | 'unsaid'
  | 'crash';

export interface Survival {
  readonly verdict: Verdict;
  readonly why: string;
  readonly milliseconds: number;
}

export function tryRepair(image: DamageImage, damage: (device: Device, image: DamageImage) => void): Survival {
  const damaged = new OverlayDevice(image.device);
  damage(damaged, image);
  const device = new OverlayDevice(damaged);
  const start = performance.now();
  const over = (verdict: Verdict, why = ''): Survival => ({ verdict, why, milliseconds: performance.now() - start });
  const attempt = (options: RepairOptions): Survival => {
    const { clean, remaining } = repair(device, options);
    if (!clean) {
      return remaining.length > 0 ? over('left over', remaining[0]!.message) : over('unsaid', 'no reason was given');
    }
    const again = check(device, { maxProblems: 3 });
    if (!again.clean) return over('disagrees', again.problems[0]?.message);
    const second = repair(new OverlayDevice(device), {});
    if (second.changed) return over('disagrees', `the second repair writes: ${second.actions[0]?.text}`);
    return over(options.discardLog ? 'clean without log' : 'clean');
  };
  try {
    try {
      return attempt({});
    } catch (error) {
      if (!(error instanceof CadastreError && error.code === 'LOG_REPLAY')) throw error;
      return attempt({ discardLog: true });
    }
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family === 'internal') {
      const stack = error instanceof Error ? (error.stack ?? '') : String(error);
      return over('crash', stack.split('\n').slice(0, 8).join(' '));
    }
    const why = `${error.code} ${error.message}`;
    if (device.changedBytes > 0 || device.size !== damaged.size) return over('crash', `has changed something: ${why}`);
    if (error.code === 'NO_SUPERBLOCK' && !hasSuperblock(device, image)) return over('hopeless', why);
    if (error.family === 'unsupported') return over('unsupported', why);
    return over(error.code === 'ENOSPC' ? 'full' : 'refused', why);
  }
}

/** Does any AG begin with the right magic number? */
export function hasSuperblock(device: Device, { geometry }: DamageImage): boolean {
  const magic = new Uint8Array(4);
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const byte = geometry.agBlockToByte(ag, 0);
    if (byte + magic.length > device.size) continue;
    device.read(byte, magic);
    if (new DataView(magic.buffer).getUint32(0) === geometry.dialect.magic) return true;
  }
  return false;
}
