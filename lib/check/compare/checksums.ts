/**
 * The checksum tree: every written block of a regular file has a checksum, no other block has one. Both sides are joined
 * runs in ascending order, so the symmetric difference is one merge.
 */
import { RMAP_ATTR_FORK, RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import { MODE, S_IFMT } from '../../../formats/inode.ts';
import type { ExtentTable } from '../claims.ts';
import type { CheckContext } from '../context.ts';
import { type InodeTable, NONE } from '../inode-table.ts';
import { RunList } from '../rows.ts';

/** Rows that may share a block with the one that is looked for. */
const LOOK_BACK = 64;

/** Claims must be sorted. @param complete every fork was read: a checksum of a block that no file has is one too many. */
export function compareChecksums(
  context: CheckContext,
  table: InodeTable,
  ag: number,
  found: RunList,
  complete: boolean,
): void {
  const expected = writtenRuns(context.claims[ag]!, table);
  const report = (code: 'CHECKSUM_MISSING' | 'CHECKSUM_EXTRA', block: number, end: number, inode?: number): void => {
    const where = {
      ag,
      block,
      blockCount: end - block,
      structure: 'csumbt',
      ...(inode === undefined ? {} : { inode }),
    };
    const missing = code === 'CHECKSUM_MISSING';
    context.problems.add(code, where, missing ? 'a checksum' : 'none', missing ? 'none' : 'a checksum');
  };
  let i = 0;
  let k = 0;
  let at = 0;
  for (;;) {
    while (i < expected.length && expected.start[i]! + expected.count[i]! <= at) i++;
    while (k < found.length && found.start[k]! + found.count[k]! <= at) k++;
    const a = i < expected.length ? Math.max(at, expected.start[i]!) : Number.POSITIVE_INFINITY;
    const b = k < found.length ? Math.max(at, found.start[k]!) : Number.POSITIVE_INFINITY;
    if (a === Number.POSITIVE_INFINITY && b === Number.POSITIVE_INFINITY) return;
    const aEnd = i < expected.length ? expected.start[i]! + expected.count[i]! : 0;
    const bEnd = k < found.length ? found.start[k]! + found.count[k]! : 0;
    if (a < b) {
      at = Math.min(aEnd, b);
      report('CHECKSUM_MISSING', a, at, ownerOf(context, ag, a));
    } else if (b < a) {
      at = Math.min(bEnd, a);
      if (complete) report('CHECKSUM_EXTRA', b, at);
    } else at = Math.min(aEnd, bEnd);
  }
}

/** Written data of regular files by the sorted claims of an AG, joined. */
export function writtenRuns(claims: ExtentTable, table: InodeTable): RunList {
  const runs = new RunList();
  for (let row = 0; row < claims.length; row++) {
    if (!claims.isForkData(row) || (claims.offsetHi[row]! & (RMAP_ATTR_FORK | RMAP_UNWRITTEN)) !== 0) continue;
    const index = table.indexOf(claims.owner(row));
    if (index === NONE || (table.mode[index]! & S_IFMT) !== MODE.FILE) continue;
    const start = claims.start[row]!;
    const end = start + claims.count[row]!;
    const last = runs.length - 1;
    const lastEnd = last < 0 ? 0 : runs.start[last]! + runs.count[last]!;
    if (last >= 0 && start <= lastEnd) runs.count[last] = Math.max(lastEnd, end) - runs.start[last]!;
    else runs.push(start, end - start);
  }
  return runs;
}

/** Inode of a claim that holds this block. */
export function ownerOf(context: CheckContext, ag: number, block: number): number | undefined {
  const row = rowOf(context.claims[ag]!, block);
  return row < 0 ? undefined : context.claims[ag]!.owner(row);
}

/** A row of an inode that holds this block, or -1. Rows may overlap, so this looks back a little from the last start. */
export function rowOf(claims: ExtentTable, block: number): number {
  let low = 0;
  let high = claims.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (claims.start[middle]! <= block) low = middle + 1;
    else high = middle;
  }
  for (let row = low - 1; row >= 0 && row >= low - LOOK_BACK; row--) {
    if (claims.start[row]! + claims.count[row]! > block && !claims.isSpecial(row)) return row;
  }
  return -1;
}
