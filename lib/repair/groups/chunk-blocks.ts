/** The blocks of inode chunks. */
import { RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { type ExtentTable, SPECIAL } from '../../check/claims.ts';
import { CHUNK, type ChunkList } from '../../check/inode-table.ts';

/** Claim the existing blocks of all chunks of an AG. With several chunks in a block only the first of them claims it. */
export function claimChunks(table: ExtentTable, geometry: Geometry, ag: number, list: ChunkList): void {
  forEachChunkBlock(geometry, ag, list, (block) => table.add(block, 1, SPECIAL, RMAP_OWNER.INODES, 0, 0));
}

/** Every block that holds existing slots of these chunks, once. */
export function forEachChunkBlock(
  geometry: Geometry,
  ag: number,
  list: ChunkList,
  visit: (block: number) => void,
): void {
  const per = geometry.inodesPerBlock;
  const length = geometry.agLength(ag);
  const blocks = Math.max(1, CHUNK / per);
  let last = -1;
  for (let i = 0; i < list.length; i++) {
    const first = Math.floor(list.start[i]! / per);
    for (let k = 0; k < blocks; k++) {
      const isHole = per < CHUNK && ((list.holemask[i]! >>> ((k * per) >> 2)) & 1) !== 0;
      if (isHole || first + k >= length || first + k === last) continue;
      last = first + k;
      visit(last);
    }
  }
}
