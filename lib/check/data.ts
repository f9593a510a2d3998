/** `--data`: every data block against its checksum, in disk order and long reads. */
import { Agf } from '../../formats/ag-headers.ts';
import { CSUM_PER_RECORD, CsumRecord } from '../../formats/btree-blocks.ts';
import { crc32c } from '../../formats/checksum.ts';
import { rowOf } from './compare/checksums.ts';
import type { CheckContext } from './context.ts';
import type { Counts } from './counts.ts';
import { agTree, runTree } from './observe/tree-run.ts';
import type { ProblemPlace } from './problems.ts';
import type { RunList } from './rows.ts';

const WINDOW_BYTES = 1 << 20;
const CRCS = CsumRecord.offsets.crcs;

/** @param runs the checksummed runs of the AG: what is worth reading. Structure was judged before and is not again. */
export function verifyData(context: CheckContext, ag: number, agf: DataView, runs: RunList, counts: Counts): void {
  const { geometry, problems } = context;
  const { blockSize } = geometry;
  const { csumRoot, csumLevel } = Agf.at(agf);
  const length = geometry.agLength(ag);
  const window = new Uint8Array(WINDOW_BYTES);
  let from = 0;
  let to = 0;
  let run = 0;
  /** Have blocks start .. start + count - 1 in the window. */
  const fill = (start: number, count: number): boolean => {
    if (start >= from && start + count <= to) return true;
    while (run < runs.length && runs.start[run]! + runs.count[run]! <= start) run++;
    const end = run < runs.length ? runs.start[run]! + runs.count[run]! : start + count;
    from = start;
    to = Math.max(start + count, Math.min(end, start + Math.floor(WINDOW_BYTES / blockSize)));
    if (context.read(geometry.agBlockToByte(ag, start), window.subarray(0, (to - from) * blockSize))) return true;
    to = from;
    return false;
  };
  const record = (view: DataView, offset: number): void => {
    const start = view.getUint32(offset);
    const count = view.getUint32(offset + 4);
    if (count > CSUM_PER_RECORD || start + count > length) return;
    context.step('data', ag * geometry.agBlocks + start, geometry.blocks);
    for (let i = 0; i < count; i++) {
      if (!fill(start + i, 1)) continue;
      const at = (start + i - from) * blockSize;
      const found = crc32c(window.subarray(at, at + blockSize));
      const expected = view.getUint32(offset + CRCS + 4 * i);
      counts.verifiedBlocks++;
      if (found === expected) continue;
      problems.add('DATA_CHECKSUM', whereOf(context, ag, start + i), hex(expected), hex(found));
    }
  };
  const tree = agTree(context, ag, 'csumbt', csumRoot, csumLevel);
  problems.mute(() =>
    runTree(
      context,
      tree,
      { ag },
      () => {},
      (view, offset) => problems.unmute(() => record(view, offset)),
    ),
  );
}

function whereOf(context: CheckContext, ag: number, block: number): ProblemPlace {
  const claims = context.claims[ag]!;
  const row = rowOf(claims, block);
  const where: ProblemPlace = { ag, block, structure: 'data' };
  if (row < 0) return where;
  where.inode = claims.owner(row);
  if (claims.isForkData(row)) where.fileBlock = claims.fileBlock(row) + (block - claims.start[row]!);
  return where;
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
