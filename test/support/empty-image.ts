/** Empty images in memory, made once for each size and dialect: every caller gets its own overlay. */
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import type { Device } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { type MakeOptions, planMake, writeImage } from '../../lib/mkfs/make.ts';
import { FIXED_TIME } from './make-image.ts';

type Wanted = Partial<Omit<MakeOptions, 'from' | 'dialect'>> & { dialect: 'xfs' | 'cadastre' };

const made = new Map<string, Device>();

/** A fresh empty image. Options are mkfs's; the size defaults to 32 MiB. */
export function emptyImage(wanted: Wanted): OverlayDevice {
  const key = JSON.stringify(wanted);
  let device = made.get(key);
  if (!device) {
    const { dialect, ...rest } = wanted;
    const uuid = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i);
    const options = { size: 32 << 20, uuid, time: FIXED_TIME, ...rest };
    const plan = planMake({ ...options, dialect: dialect === 'xfs' ? XFS : CADASTRE });
    device = new MemoryDevice(plan.image.size);
    writeImage(device, plan, true, { time: FIXED_TIME, reproducible: true, generation: 1 });
    made.set(key, device);
  }
  return new OverlayDevice(device);
}

/** All bytes of a device. */
export function bytesOf(device: Device): Uint8Array {
  const bytes = new Uint8Array(device.size);
  device.read(0, bytes);
  return bytes;
}
