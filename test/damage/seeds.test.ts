/** What random damage found (`npm run test:damage -- random`), as small as it could be made, each with how repair ends there. */
import { expect, it } from 'vitest';
import { damage } from '../../lib/damage/damage.ts';
import type { Device } from '../../lib/device/device.ts';
import { type DamageImage, damageImage } from './image.ts';
import { tryRepair, type Verdict } from './survive.ts';

/** Every superblock but the first is gone. */
function loseCopies(device: Device, { geometry }: DamageImage): void {
  const nothing = new Uint8Array(geometry.sectorSize);
  for (let ag = 1; ag < geometry.agCount; ag++) device.write(geometry.agBlockToByte(ag, 0), nothing);
}

const CASES: readonly (readonly [
  what: string,
  image: string,
  damage: (device: Device, image: DamageImage) => void,
  verdict: Verdict,
])[] = [
  [
    'a root inode beyond what can be counted (without end, all memory)',
    'cadastre',
    (device, image) => {
      damage(device, image.geometry, {
        place: { kind: 'superblock', ag: 0 },
        field: 'rootino',
        verb: 'value',
        value: 1n << 57n,
        crc: 'keep',
      });
      loseCopies(device, image);
    },
    'clean',
  ],
];

it.each(CASES)('%s', (_what, name, broken, verdict) => {
  const end = tryRepair(damageImage(name), broken);
  expect(end, end.why).toMatchObject({ verdict });
});
