/** Reading long stretches of an AG block by block; what the device cannot read is passed over. */
import type { Geometry } from '../../../formats/geometry.ts';
import { RunList } from '../../check/rows.ts';
import type { Device } from '../../device/device.ts';
import { CadastreError } from '../../errors.ts';

const READ_BYTES = 256 << 10;

/** Blocks of a set that may hold anything but zeroes, as far as the device can tell without reading. */
export function withoutHoles(device: Device, geometry: Geometry, ag: number, runs: RunList): RunList {
  if (!device.dataIn) return runs;
  const { blockSize } = geometry;
  const base = geometry.agBlockToByte(ag, 0);
  const out = new RunList();
  for (let i = 0; i < runs.length; i++) {
    const end = runs.start[i]! + runs.count[i]!;
    for (let at = runs.start[i]!; at < end; ) {
      const [from, to] = device.dataIn(base + at * blockSize, base + end * blockSize);
      const start = Math.floor((from - base) / blockSize);
      const stop = Math.ceil((to - base) / blockSize);
      if (stop > start) out.join(start, stop - start);
      at = Math.max(at + 1, stop);
    }
  }
  return out;
}

/**
 * Every readable block of these runs, in ascending order. The bytes belong to the caller only during the call.
 * @param visit view of a buffer, offset of the block in it, its AG block.
 */
export function scanBlocks(
  device: Device,
  geometry: Geometry,
  ag: number,
  runs: RunList,
  visit: (view: DataView, offset: number, agBlock: number) => void,
): void {
  const { blockSize } = geometry;
  const most = Math.max(1, Math.floor(READ_BYTES / blockSize));
  const bytes = new Uint8Array(most * blockSize);
  const view = new DataView(bytes.buffer);
  for (let run = 0; run < runs.length; run++) {
    const end = runs.start[run]! + runs.count[run]!;
    for (let at = runs.start[run]!; at < end; ) {
      let blocks = Math.min(most, end - at);
      if (!readInto(device, geometry.agBlockToByte(ag, at), bytes.subarray(0, blocks * blockSize))) {
        blocks = 1;
        if (!readInto(device, geometry.agBlockToByte(ag, at), bytes.subarray(0, blockSize))) {
          at++;
          continue;
        }
      }
      for (let i = 0; i < blocks; i++) visit(view, i * blockSize, at + i);
      at += blocks;
    }
  }
}

/** Read; false: the device cannot. */
export function readInto(device: Device, byte: number, into: Uint8Array): boolean {
  try {
    device.read(byte, into);
    return true;
  } catch (error) {
    if (error instanceof CadastreError && error.family === 'device') return false;
    throw error;
  }
}
