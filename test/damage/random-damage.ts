/** Damage by lot: bytes, fields, blocks and ranges, aimed at metadata more often than not; everything follows from a seed. */
import type { Geometry } from '../../formats/geometry.ts';
import { seeded, VERBS } from '../../lib/damage/bits.ts';
import { damageTarget, readTarget, writeTarget } from '../../lib/damage/damage.ts';
import { forEachPlace } from '../../lib/damage/enumerate.ts';
import { locate, type Target } from '../../lib/damage/locate.ts';
import type { Place } from '../../lib/damage/place.ts';
import type { Device } from '../../lib/device/device.ts';

const MOST_HITS = 8;
const SECTOR = 512;

export function randomDamage(device: Device, geometry: Geometry, seed: number): void {
  const random = seeded(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const places: Place[] = [];
  forEachPlace(device, geometry, (place) => void places.push(place));
  const target = (): Target => locate(device, geometry, places[below(places.length)]!);
  const hits = 1 + below(MOST_HITS);
  for (let i = 0; i < hits; i++) {
    try {
      hit(device, geometry, below, target);
    } catch (error) {
      // What an earlier hit has made unreachable cannot be hit again.
      if (!(error instanceof Error && error.name === 'CadastreError')) throw error;
    }
  }
}

function hit(device: Device, geometry: Geometry, below: (limit: number) => number, target: () => Target): void {
  const garbage = (length: number): Uint8Array => Uint8Array.from({ length }, () => below(256));
  switch (below(12)) {
    case 0:
    case 1:
    case 2: {
      // One field, by name.
      const found = target();
      const fields = found.fields(readTarget(device, found));
      const field = fields[below(fields.length)];
      const verb = VERBS[below(VERBS.length - 1)]!;
      const crc = below(2) === 0 ? 'fix' : 'keep';
      if (field) damageTarget(device, found, { field: field.name, verb, crc, seed: below(2 ** 32) });
      return;
    }
    case 3:
    case 4:
    case 5: {
      // A few bytes, CRC right or not.
      const found = target();
      const bytes = readTarget(device, found);
      const at = below(bytes.length);
      bytes.set(garbage(Math.min(1 + below(64), bytes.length - at)), at);
      if (below(2) === 0) found.seal?.(bytes);
      writeTarget(device, found, bytes);
      return;
    }
    case 6: {
      const found = target();
      writeTarget(device, found, garbage(readTarget(device, found).length));
      return;
    }
    case 7: {
      const found = target();
      writeTarget(device, found, new Uint8Array(readTarget(device, found).length));
      return;
    }
    case 8: {
      // One structure written over another.
      const [from, to] = [readTarget(device, target()), target()];
      const bytes = readTarget(device, to);
      bytes.set(from.subarray(0, bytes.length));
      writeTarget(device, to, bytes);
      return;
    }
    case 9: {
      const sectors = 1 + below(64);
      const at = below(Math.floor(device.size / SECTOR) - sectors) * SECTOR;
      device.write(at, below(2) === 0 ? garbage(sectors * SECTOR) : new Uint8Array(sectors * SECTOR));
      return;
    }
    case 10: {
      // The head of an AG, where everything stands that matters.
      const at = geometry.agBlockToByte(below(geometry.agCount), 0) + below(32) * geometry.blockSize;
      device.write(at, garbage(geometry.blockSize));
      return;
    }
    default:
      if (below(10) === 0)
        device.resize(Math.floor((device.size * (0.3 + 0.7 * (below(1000) / 1000))) / SECTOR) * SECTOR);
  }
}
