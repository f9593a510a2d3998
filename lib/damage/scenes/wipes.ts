/** Whole ranges gone: zeroes, garbage, the end of the image cut off. */
import type { Stage } from './stage.ts';

const SECTOR = 512;
const MIB = 2 ** 20;
/** Written at once: a wiped log may be two gigabytes. */
const PIECE = MIB;

function zero(stage: Stage, what: string, byte: number, length: number): void {
  const end = Math.min(byte + length, stage.device.size);
  if (end <= byte) throw stage.impossible(`the image ends before byte ${byte}`);
  const zeroes = new Uint8Array(Math.min(PIECE, end - byte));
  for (let at = byte; at < end; at += PIECE) stage.device.write(at, zeroes.subarray(0, Math.min(PIECE, end - at)));
  stage.changes.push({ what, byte, length: end - byte });
}

export function wipeSuperblock(stage: Stage): string {
  zero(stage, 'primary superblock', 0, stage.geometry.sectorSize);
  return 'the primary superblock is zero';
}

export function wipe64k(stage: Stage): string {
  zero(stage, 'first 64 KiB', 0, 65536);
  return 'the first 64 KiB are zero';
}

export function wipe1m(stage: Stage): string {
  zero(stage, 'first MiB', 0, MIB);
  return 'the first MiB is zero';
}

export function wipeAg1(stage: Stage): string {
  if (stage.geometry.agCount < 2) throw stage.impossible('the image has one AG');
  zero(stage, 'first MiB of AG 1', stage.geometry.agBlockToByte(1, 0), MIB);
  return 'the first MiB of AG 1 is zero';
}

/** The chunk of a named object, else the one behind the root's. */
export function wipeInodes(stage: Stage): string {
  const { geometry } = stage;
  const path = stage.paths[0];
  const inode = path === undefined ? geometry.rootInode : stage.inode(path).number;
  const agInode = geometry.agInodeOfInode(inode);
  const first = Math.floor(agInode / geometry.chunkInodes) * geometry.chunkInodes;
  const byte = geometry.agBlockToByte(geometry.agOfInode(inode), geometry.agBlockOfAgInode(first));
  zero(stage, 'inode chunk', byte, geometry.chunkBlocks * geometry.blockSize);
  if (path !== undefined) stage.involved.add(path);
  return `the chunk of inode ${inode} is zero`;
}

export function wipeLog(stage: Stage): string {
  const { geometry } = stage;
  zero(stage, 'log', geometry.fsBlockToByte(geometry.logStart), geometry.logBlocks * geometry.blockSize);
  return 'the log is zero';
}

export function wipeSectors(stage: Stage): string {
  const count = stage.count ?? 16;
  const sectors = Math.floor(stage.device.size / SECTOR);
  for (let i = 0; i < count; i++) {
    const sector = stage.pick(sectors);
    stage.overwrite(`sector ${sector}`, sector * SECTOR, stage.garbage(SECTOR));
  }
  return `${count} sectors are garbage`;
}

export function cut(stage: Stage): string {
  const { device, geometry } = stage;
  const size = Math.floor((device.size * 0.75) / geometry.blockSize) * geometry.blockSize;
  stage.changes.push({ what: 'the end of the image', byte: size, length: device.size - size });
  device.resize(size);
  return `the image ends at three quarters, byte ${size}`;
}
