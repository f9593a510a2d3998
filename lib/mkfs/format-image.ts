/**
 * Writes an empty image. The order makes an unfinished image recognisable at every moment:
 *
 * 1. The primary superblock with inprogress = 1 goes first, and is flushed where there was old content: from here on nobody
 *    takes the old, or the new, for a file system.
 * 2. Then the log, the AGs and the first inodes, one write for each AG. Whoever fills the image does so now.
 * 3. `finishImage` flushes everything and clears inprogress last.
 *
 * Only what is read later is written: the file stays sparse.
 */
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { cleanLogRecord } from '../../formats/log.ts';
import { Superblock } from '../../formats/superblock.ts';
import type { Device } from '../device/device.ts';
import { deviceError } from '../errors.ts';

import { buildEmptyAg, emptyAgBytes } from './empty-ag.ts';
import { buildFirstInodes } from './first-inodes.ts';
import { type ImagePlan, secondarySuperblock } from './geometry.ts';
import { initialLayout, shareAgSpace } from './initial-layout.ts';

/** Ends of the device where other file systems, volume managers and partition tables leave their marks. */
const MARK_BYTES = 131072;

/**
 * Write an empty image whose primary superblock says "in progress".
 * @param device at least `plan.size` bytes.
 * @param blank the device is known to read as zeroes everywhere (a file just created): nothing has to be cleared.
 */
export function formatImage(device: Device, plan: ImagePlan, blank = false): void {
  const { geometry, layout, size } = plan;
  if (device.size < size)
    throw deviceError('SHORT_DEVICE', `the device has ${device.size} bytes, the image ${size}`, {
      expected: `at least ${size}`,
      found: device.size,
    });
  device.write(0, plan.superblock);
  // On a blank device there is no old content that anybody could take for a file system beside the new superblock.
  if (!blank) device.flush();
  const logByte = geometry.fsBlockToByte(geometry.logStart);
  if (!blank) {
    const head = plan.superblock.length;
    device.zero(head, Math.min(MARK_BYTES, size) - head);
    device.zero(Math.max(head, size - MARK_BYTES), Math.min(MARK_BYTES, size - head));
    device.zero(logByte, geometry.logBlocks * geometry.blockSize);
  }
  device.write(logByte, cleanLogRecord(geometry.uuid, geometry.logSunit));

  const bytes = new Uint8Array(emptyAgBytes(geometry, layout));
  const inodes = { start: plan.chunkAgBlock, count: plan.chunkBlocks };
  const plain = secondarySuperblock(plan, -1);
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const special = ag === 0 || ag === geometry.agCount - 1 || ag === Math.floor((geometry.agCount - 1) / 2);
    const superblock = ag === 0 ? plan.superblock : special ? secondarySuperblock(plan, ag) : plain;
    const space = shareAgSpace(geometry, layout, ag, ag === 0 ? inodes : undefined);
    buildEmptyAg(geometry, layout, ag, space, superblock, bytes);
    device.write(geometry.agBlockToByte(ag, 0), bytes);
  }
  device.write(geometry.agBlockToByte(0, plan.chunkAgBlock), buildFirstInodes(geometry, plan.time));
}

/**
 * The image is complete: make it durable, then clear inprogress. Keeps whatever else the primary superblock says by now
 * (its counters change while the image is filled).
 */
export function finishImage(device: Device, plan: ImagePlan): void {
  device.flush();
  const sector = new Uint8Array(plan.superblock.length);
  device.read(0, sector);
  Superblock.at(new DataView(sector.buffer)).inprogress = 0;
  sealCrc(sector, Superblock.offsets.crc);
  device.write(0, sector);
  device.flush();
}

/**
 * Write one empty AG of a growing image: headers, empty trees, free list.
 * @param geometry of the image as it will be, so that the AG exists in it.
 * @param superblock the sealed sector for the AG's copy.
 */
export function formatEmptyAg(device: Device, geometry: Geometry, ag: number, superblock: Uint8Array): void {
  const layout = initialLayout(geometry);
  const bytes = new Uint8Array(emptyAgBytes(geometry, layout));
  buildEmptyAg(geometry, layout, ag, shareAgSpace(geometry, layout, ag), superblock, bytes);
  device.write(geometry.agBlockToByte(ag, 0), bytes);
}
