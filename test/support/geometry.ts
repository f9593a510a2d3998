/**
 * A Geometry out of a synthetic superblock: no image needed. The fields are those of an image of 16 AGs; nothing that
 * only needs sizes, uuids and address conversions can tell the difference.
 */
import { XFS } from '../../formats/dialect.ts';
import { Geometry } from '../../formats/geometry.ts';
import {
  FEATURES2_REQUIRED,
  INCOMPAT,
  RO_COMPAT,
  Superblock,
  VERSION,
  VERSION_REQUIRED,
  XFS_MAGIC,
} from '../../formats/superblock.ts';

/** @param options.blockSize bytes; `dirBlockSize` bytes, default max(4096, block size). */
export function testGeometry(
  options: {
    blockSize?: number;
    dirBlockSize?: number;
    inodeSize?: number;
    parent?: boolean;
    agBlocks?: number;
    asciiCi?: boolean;
  } = {},
): Geometry {
  const { blockSize = 4096, inodeSize = 512, agBlocks = 2 ** 20 } = options;
  const dirBlockSize = options.dirBlockSize ?? Math.max(4096, blockSize);
  const sector = new DataView(new ArrayBuffer(512));
  const sb = Superblock.at(sector);
  sb.magicnum = XFS_MAGIC;
  sb.blocksize = blockSize;
  sb.blocklog = Math.log2(blockSize);
  sb.sectsize = 512;
  sb.sectlog = 9;
  sb.inodesize = inodeSize;
  sb.inodelog = Math.log2(inodeSize);
  sb.inopblock = blockSize / inodeSize;
  sb.inopblog = Math.log2(blockSize / inodeSize);
  sb.agblocks = agBlocks;
  sb.agblklog = Math.ceil(Math.log2(agBlocks));
  sb.agcount = 16;
  sb.dblocks = 16 * agBlocks;
  sb.dirblklog = Math.log2(dirBlockSize / blockSize);
  sb.versionnum = VERSION_REQUIRED | 5 | (options.asciiCi ? VERSION.ASCII_CI : 0);
  sb.features2 = FEATURES2_REQUIRED;
  sb.featuresIncompat =
    INCOMPAT.FTYPE | INCOMPAT.SPINODES | INCOMPAT.BIGTIME | INCOMPAT.NREXT64 | (options.parent ? INCOMPAT.PARENT : 0);
  sb.featuresRoCompat = RO_COMPAT.FINOBT | RO_COMPAT.RMAPBT | RO_COMPAT.REFLINK | RO_COMPAT.INOBTCNT;
  sb.uuid = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i);
  sb.inoalignmt = Math.max(1, 16384 / blockSize);
  sb.rootino = 128;
  return new Geometry(sector, XFS);
}
