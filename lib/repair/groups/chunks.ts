/** Which inode chunks there are. */
import { ChunkList } from '../../check/inode-table.ts';
import type { RepairState } from '../state.ts';

/** By AG. The same lists as those of the first check where nothing has to be decided. */
export function decideChunks(state: RepairState): readonly ChunkList[] {
  const { observed } = state.first;
  return Array.from({ length: state.geometry.agCount }, (_, ag) => observed?.trees[ag]?.chunks ?? new ChunkList());
}
