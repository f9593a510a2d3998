/** A device as a sparse file, for programs of the host. */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Device } from '../../lib/device/device.ts';

export function copyToFile(device: Device, path: string): void {
  const fd = openSync(path, 'w');
  const piece = new Uint8Array(1 << 16);
  for (let at = 0; at < device.size; at += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, device.size - at));
    device.read(at, part);
    if (part.some((byte) => byte !== 0) || at + part.length === device.size) writeSync(fd, part, 0, part.length, at);
  }
  closeSync(fd);
}
