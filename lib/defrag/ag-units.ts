/**
 * What an AG holds, as units that move or stay as a whole: ranges of blocks that no mapping crosses the border of, so that
 * moving one changes no file's number of extents.
 *
 *     file A   [=========]          [====]
 *     file B        [==========]
 *     units    [---------------]    [----]
 */
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_OWNER } from '../../formats/btree-blocks.ts';
import type { ExtentTable } from '../check/claims.ts';

export type UnitKind = 'data' | 'fork' | 'extent-tree' | 'ag-tree' | 'fixed';

/** What the owner of fork blocks is. */
export type InodeKind = 'file' | 'blocks' | 'fixed';

export interface Unit {
  /** AG block. */
  readonly start: number;
  readonly count: number;
  readonly kind: UnitKind;
  /** Rows of the claims. */
  readonly firstRow: number;
  readonly rows: number;
}

/** Owners of blocks that a tree of the AG, or its free list, can have elsewhere as well. */
const TREES = new Set<number>([RMAP_OWNER.AG, RMAP_OWNER.INOBT, RMAP_OWNER.REFC, RMAP_OWNER.CSUM]);

/** The units of an AG in order. @param kindOf asked once for each row of file data or directory blocks. */
export function unitsOf(claims: ExtentTable, kindOf: (inode: number) => InodeKind): Unit[] {
  const units: Unit[] = [];
  for (let row = 0; row < claims.length; ) {
    const firstRow = row;
    const start = claims.start[row]!;
    let end = start;
    while (row < claims.length && (row === firstRow || claims.start[row]! < end)) {
      end = Math.max(end, claims.start[row]! + claims.count[row]!);
      row++;
    }
    const rows = row - firstRow;
    const kind = kindOfRows(claims, firstRow, rows, kindOf);
    if (kind !== 'extent-tree' && kind !== 'ag-tree') units.push({ start, count: end - start, kind, firstRow, rows });
    // Tree blocks have nothing to do with their neighbours.
    else for (let block = start; block < end; block++) units.push({ start: block, count: 1, kind, firstRow, rows: 1 });
  }
  return units;
}

function kindOfRows(claims: ExtentTable, first: number, rows: number, kindOf: (inode: number) => InodeKind): UnitKind {
  if (rows === 1) {
    if (claims.isSpecial(first)) return TREES.has(claims.ownerLo[first]!) ? 'ag-tree' : 'fixed';
    if ((claims.offsetHi[first]! & RMAP_BMBT_BLOCK) !== 0) return 'extent-tree';
  }
  let kind: UnitKind | undefined;
  for (let row = first; row < first + rows; row++) {
    if (!claims.isForkData(row)) return 'fixed';
    const isAttr = (claims.offsetHi[row]! & RMAP_ATTR_FORK) !== 0;
    const owner = kindOf(claims.owner(row));
    if (owner === 'fixed' && !isAttr) return 'fixed';
    const here = isAttr || owner !== 'file' ? 'fork' : 'data';
    if (here === 'fork' && rows > 1) return 'fixed';
    kind = here;
  }
  return kind ?? 'fixed';
}
