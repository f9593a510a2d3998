/**
 * Directory blocks larger than an fs block may lie in pieces, and the log names the pieces, not the whole. After replay the
 * one CRC of the whole is stale; here it is made right.
 */

import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { BASIC_BLOCK } from '../../formats/geometry.ts';
import { BufferCache } from '../buffer/cache.ts';
import type { Device } from '../device/device.ts';
import { corrupt } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import { Inode } from '../file/inode.ts';
import { kindOf } from '../journal/recovery/block-kinds.ts';
import type { ReplayResult } from '../journal/recovery/replay.ts';

/** Seal every directory block of which a piece was replayed. Throws `corrupt` REPLAY_BLOCK when one is not valid. */
export function sealDirectoryPieces(device: Device, result: ReplayResult): void {
  const { geometry, pieces, directories } = result;
  if (pieces.length === 0 || geometry.dirBlockBlocks === 1) return;
  const replayed = new Set<number>();
  for (const { daddr, length } of pieces) {
    for (let at = 0; at < length; at += geometry.blockSize) replayed.add(daddr + at / BASIC_BLOCK);
  }
  const cache = new BufferCache(device, geometry);
  for (const number of directories) {
    const inode = loadDirectory(cache, number);
    if (!inode) continue;
    forEachDirectoryBlock(inode, (daddrs) => {
      if (daddrs.some((daddr) => replayed.has(daddr))) sealBlock(device, geometry, daddrs);
    });
  }
  device.flush();
}

/** A directory that was freed later in the log is none any more. */
function loadDirectory(cache: BufferCache, number: number): Inode | undefined {
  try {
    const inode = Inode.load(cache, number);
    return inode.isDirectory ? inode : undefined;
  } catch {
    return undefined;
  }
}

/** Call back the addresses of the fs blocks of every whole directory block. */
function forEachDirectoryBlock(inode: Inode, visit: (daddrs: number[]) => void): void {
  const { geometry } = inode;
  const step = geometry.dirBlockBlocks;
  let daddrs: number[] = [];
  let next = -1;
  new Fork(inode, 'data').forEachExtent((fileBlock, startBlock, blockCount) => {
    for (let i = 0; i < blockCount; i++) {
      const at = fileBlock + i;
      if (at % step === 0) daddrs = [];
      else if (at !== next) continue;
      daddrs.push(geometry.fsBlockToDaddr(startBlock + i));
      next = at + 1;
      if (daddrs.length === step) visit(daddrs);
    }
  });
}

function sealBlock(device: Device, geometry: Geometry, daddrs: number[]): void {
  const { blockSize } = geometry;
  const whole = new Uint8Array(daddrs.length * blockSize);
  const part = (i: number): Uint8Array => whole.subarray(i * blockSize, (i + 1) * blockSize);
  for (const [i, daddr] of daddrs.entries()) device.read(daddr * BASIC_BLOCK, part(i));
  const view = new DataView(whole.buffer);
  const kind = kindOf(view, geometry);
  if (kind) sealCrc(whole, kind.type.crcOffset);
  const fault = kind?.type.verify(view, geometry, daddrs[0]!);
  if (!kind || fault) {
    throw corrupt('REPLAY_BLOCK', 'log replay makes a directory block that is not valid', {
      where: { daddr: daddrs[0]!, field: fault?.field ?? 'magic' },
      expected: fault?.expected,
      found: fault?.found,
    });
  }
  for (const [i, daddr] of daddrs.entries()) device.write(daddr * BASIC_BLOCK, part(i));
}
