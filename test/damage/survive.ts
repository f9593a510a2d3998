/** Does repair come to an end on whatever this is, and what does it say? */
import { check } from '../../lib/check/check.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { CadastreError } from '../../lib/errors.ts';
import { repair } from '../../lib/repair/repair.ts';
import type { DamageImage } from './image.ts';

/**
 * - `clean`: repaired, and a second check agrees.
 * - `refused`: an error with a code: it says precisely why not.
 * - `hopeless`: refused because no superblock is left.
 * - `left over`: not clean, and the result says what remains.
 * - `disagrees`, `unsaid`, `crash`: bugs.
 */
export type Verdict = 'clean' | 'refused' | 'hopeless' | 'left over' | 'disagrees' | 'unsaid' | 'crash';

export interface Survival {
  readonly verdict: Verdict;
  readonly why: string;
  readonly milliseconds: number;
}

export function tryRepair(image: DamageImage, damage: (device: Device, image: DamageImage) => void): Survival {
  const device = new OverlayDevice(image.device);
  damage(device, image);
  const start = performance.now();
  const over = (verdict: Verdict, why = ''): Survival => ({ verdict, why, milliseconds: performance.now() - start });
  try {
    const { clean, remaining } = repair(device, {});
    const again = check(device, { maxProblems: 3 });
    if (clean) return again.clean ? over('clean') : over('disagrees', again.problems[0]?.message);
    return remaining.length > 0 ? over('left over', remaining[0]!.message) : over('unsaid', 'no reason was given');
  } catch (error) {
    if (error instanceof CadastreError && error.code === 'NO_SUPERBLOCK' && !hasSuperblock(device, image)) {
      return over('hopeless');
    }
    if (error instanceof CadastreError && error.family !== 'internal')
      return over('refused', `${error.code} ${error.message}`);
    return over(
      'crash',
      error instanceof Error ? (error.stack ?? '').split('\n').slice(0, 8).join(' ') : String(error),
    );
  }
}

/** Does any AG begin with the right magic number? */
function hasSuperblock(device: Device, { geometry }: DamageImage): boolean {
  const magic = new Uint8Array(4);
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const byte = geometry.agBlockToByte(ag, 0);
    if (byte + magic.length > device.size) continue;
    device.read(byte, magic);
    if (new DataView(magic.buffer).getUint32(0) === geometry.dialect.magic) return true;
  }
  return false;
}
