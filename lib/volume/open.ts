/**
 * The gate of an image: find the superblock, refuse by name what cannot be handled, make the geometry. Nothing else of
 * the image is believed before this has passed.
 */
import type { Dialect } from '../../formats/dialect.ts';
import { FOREIGN_PROBE_BYTES } from '../../formats/foreign.ts';
import { Geometry } from '../../formats/geometry.ts';
import { Superblock } from '../../formats/superblock.ts';
import { MIN_SECTOR, verifySuperblock } from '../../formats/superblock-verify.ts';
import type { Device } from '../device/device.ts';
import { CadastreError, corrupt, unsupported } from '../errors.ts';

/** A superblock that was believed. */
export interface OpenedSuperblock {
  readonly geometry: Geometry;
  readonly dialect: Dialect;
  /** The sector's bytes as they were read. */
  readonly sector: Uint8Array;
  /** True when a feature allows reading only; the reason. */
  readonly readOnlyReason: string | undefined;
  /** Wrong but harmless fields: for the checker. */
  readonly minorFaults: readonly { code: string; field: string; expected: string | number; found: string | number }[];
  /** mkfs or populate did not finish this image. */
  readonly unfinished: boolean;
}

/**
 * Read and verify the primary superblock. Throws `unsupported` (code names the feature), or `corrupt` with the first
 * broken rule.
 * @param allowUnfinished accept an image whose construction was cut off (its superblock says so).
 */
export function openSuperblock(device: Device, allowUnfinished = false): OpenedSuperblock {
  const head = readHead(device, FOREIGN_PROBE_BYTES);
  const { dialect, refusal, fatal, minor } = verifySuperblock(head, device.size);
  if (refusal && !refusal.readOnly) throw unsupported(refusal.code, refusal.message);
  const unfinished = head.length > 126 && head[Superblock.offsets.inprogress] === 1;
  if (unfinished && !allowUnfinished && dialect) {
    throw corrupt('UNFINISHED', 'this image was never finished: mkfs was interrupted; make it again', {
      where: { structure: 'Superblock', field: 'inprogress' },
      expected: 0,
      found: 1,
    });
  }
  const first = fatal.find((each) => !(unfinished && each.field === 'inprogress'));
  if (first || !dialect) {
    const field = first?.field ?? 'magicnum';
    throw corrupt(first?.code ?? 'BAD_MAGIC', `superblock: ${field} is ${first?.found}, expected ${first?.expected}`, {
      where: { ag: 0, structure: 'Superblock', field },
      expected: first?.expected,
      found: first?.found,
    });
  }
  const sectorSize = Superblock.at(viewOf(head)).sectsize;
  const sector = head.slice(0, sectorSize);
  return {
    geometry: new Geometry(viewOf(sector), dialect),
    dialect,
    sector,
    readOnlyReason: refusal?.message,
    minorFaults: minor,
    unfinished,
  };
}

/**
 * The first bytes of an image: `most` of them, or as many as there are. Where a part of them cannot be read, fewer: the
 * superblock needs only its own sector. Throws `device` errors.
 */
export function readHead(device: Device, most: number): Uint8Array {
  for (let length = Math.min(most, device.size); ; length = Math.max(MIN_SECTOR, length >> 1)) {
    const head = new Uint8Array(length);
    try {
      device.read(0, head);
      return head;
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'device' || length <= MIN_SECTOR) throw error;
    }
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
