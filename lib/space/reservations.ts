/**
 * How many blocks of an AG are held back so that trees can still grow after data was accepted. Kept in memory only,
 * never on disk; the sizes are those of the kernel, so that an image we fill is one the kernel can go on writing to.
 *
 * 1. The reverse map, the refcount tree, the free inode tree and the checksum tree may grow into what is held back.
 * 2. What a tree already holds counts against its reservation: `remaining` shrinks as the trees grow.
 */
import { BTREES, type BtreeLayout, maxLeafRecords, maxNodeRecords } from '../../formats/btree-blocks.ts';
import type { Geometry } from '../../formats/geometry.ts';

/** Blocks of a tree of `records` records whose blocks are all half full; 0 for no records. */
export function halfFullTreeBlocks(layout: BtreeLayout, blockSize: number, records: number): number {
  if (records <= 0) return 0;
  const leaf = Math.floor(maxLeafRecords(layout, blockSize) / 2);
  const node = Math.floor(maxNodeRecords(layout, blockSize) / 2);
  let level = Math.ceil(records / leaf);
  let total = level;
  while (level > 1) {
    level = Math.ceil(level / node);
    total += level;
  }
  return total;
}

/** Greatest sizes the trees of one AG are prepared to reach, in blocks; 0 for trees the file system does not have. */
export interface TreeReservation {
  readonly rmap: number;
  readonly refcount: number;
  readonly finobt: number;
  readonly csum: number;
}

/** What AG `ag` holds back for each of its trees, as if all of them were still empty. */
export function treeReservation(geometry: Geometry, ag: number): TreeReservation {
  const { features, blockSize } = geometry;
  const logHere = geometry.logStart > 0 && geometry.agOfFsBlock(geometry.logStart) === ag;
  const length = Math.max(0, geometry.agLength(ag) - (logHere ? geometry.logBlocks : 0));
  const tree = (layout: BtreeLayout, records: number): number => halfFullTreeBlocks(layout, blockSize, records);
  return {
    rmap: features.rmapbt ? Math.max(Math.floor(length / 100), tree(BTREES.rmapbt, length)) : 0,
    refcount: features.reflink ? tree(BTREES.refcountbt, length) : 0,
    finobt: features.finobt ? tree(BTREES.finobt, Math.floor((length * geometry.inodesPerBlock) / 64)) : 0,
    // A record covers up to 14 blocks; one in four allows for files of very few blocks scattered among metadata.
    csum: features.dataChecksums ? tree(BTREES.csumbt, Math.ceil(length / 4)) : 0,
  };
}

/**
 * Blocks still to be held back, given what each tree uses now. The free-list blocks of the reverse map left free space
 * long ago, so only its tree blocks count here.
 */
export function remainingReservation(
  reservation: TreeReservation,
  rmapBlocks: number,
  refcountBlocks: number,
  finobtBlocks: number,
  csumBlocks: number,
): number {
  return (
    Math.max(0, reservation.rmap - rmapBlocks) +
    Math.max(0, reservation.refcount - refcountBlocks) +
    Math.max(0, reservation.finobt - finobtBlocks) +
    Math.max(0, reservation.csum - csumBlocks)
  );
}
