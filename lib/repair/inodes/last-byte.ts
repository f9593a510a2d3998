/** The size of a file that nobody knows any more, from its blocks. */
import type { PlanReader } from '../forks/plan-reader.ts';
import type { ForkExtents } from '../pending.ts';

/** Where a file's content ends: behind the last byte of its last block that is not zero, for behind the end all are. */
export function lastByte(reader: PlanReader, extents: ForkExtents | undefined): number {
  const last = (extents?.length ?? 0) - 1;
  if (last < 0) return 0;
  const { blockSize } = reader.geometry;
  const end = (extents!.fileBlock[last]! + extents!.blockCount[last]!) * blockSize;
  const block = reader.raw(extents!.startBlock[last]! + extents!.blockCount[last]! - 1);
  if (!block || extents!.unwritten[last]) return end;
  for (let i = blockSize - 1; i >= 0; i--) if (block.getUint8(i) !== 0) return end - blockSize + i + 1;
  return end;
}
