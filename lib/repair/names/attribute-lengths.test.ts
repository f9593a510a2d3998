/** A value inside a leaf whose length cannot be: its bytes are between its name and the next record. */
import { expect, it } from 'vitest';
import { compareContent } from '../../../test/damage/content.ts';
import { contentBefore, repairAndCompare } from '../../../test/damage/harness.ts';
import { damageImage } from '../../../test/damage/image.ts';
import { damage } from '../../damage/damage.ts';
import { OverlayDevice } from '../../device/overlay.ts';
import { repair } from '../repair.ts';

const image = damageImage('xfs');
const place = { kind: 'attr', inode: image.inodes.get('/node-attributes')!, fileBlock: 3 } as const;

it.each(['first', 'middle', 'ones'] as const)('%s bits of a length', (verb) => {
  const device = new OverlayDevice(image.device);
  damage(device, image.geometry, { place, field: 'records[11].valuelen', verb, crc: 'fix' });
  const { losses } = repair(new OverlayDevice(device), {});
  // That zeroes at its end may be missing nobody can rule out.
  expect(losses.map(({ what, text }) => `${what}: ${text}`).join()).toMatch(/^attribute: .*60 bytes are kept/);
  const failures: string[] = [];
  const kept = repairAndCompare(image, device, failures, undefined);
  expect(failures).toEqual([]);
  const before = contentBefore(image);
  expect(kept).toEqual(compareContent(before, before));
});
