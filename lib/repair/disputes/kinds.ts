/** What a claim is, as far as disputes care: who can share, who describes himself, who cannot move. */
import { RMAP_ATTR_FORK, RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import { MODE, S_IFMT } from '../../../formats/inode.ts';
import type { ExtentTable } from '../../check/claims.ts';
import { type InodeTable, NONE } from '../../check/inode-table.ts';
import { isTreeBlock } from './register.ts';

/**
 * - `data`: of a regular file. Can be shared, moved and copied; says nothing of itself.
 * - `directory`, `symlink`, `attributes`, `extent-tree`: every block says whose it is.
 * - `inodes`: a block of an inode chunk.
 * - `ag-tree`: a block of a tree of the AG, or of its free list, as the image had them: rebuilt elsewhere in any case.
 * - `ag-headers`, `log`: cannot move.
 */
export type ClaimKind =
  | 'data'
  | 'directory'
  | 'symlink'
  | 'attributes'
  | 'extent-tree'
  | 'inodes'
  | 'ag-tree'
  | 'ag-headers'
  | 'log';

const SPECIAL_KINDS = new Map<number, ClaimKind>([
  [RMAP_OWNER.FS, 'ag-headers'],
  [RMAP_OWNER.LOG, 'log'],
  [RMAP_OWNER.INODES, 'inodes'],
]);

/** Kind of a row of the claims. */
export function kindOfRow(table: ExtentTable, row: number, inodes: InodeTable): ClaimKind {
  if (table.isSpecial(row)) return SPECIAL_KINDS.get(table.ownerLo[row]!) ?? 'ag-tree';
  if (isTreeBlock(table, row)) return 'extent-tree';
  if ((table.offsetHi[row]! & RMAP_ATTR_FORK) !== 0) return 'attributes';
  const index = inodes.indexOf(table.owner(row));
  const type = index === NONE ? MODE.FILE : inodes.mode[index]! & S_IFMT;
  return type === MODE.DIR ? 'directory' : type === MODE.SYMLINK ? 'symlink' : 'data';
}

/** Owners (low words) of blocks that are rebuilt in any case. */
const REBUILT = new Set<number>([RMAP_OWNER.AG, RMAP_OWNER.INOBT, RMAP_OWNER.REFC, RMAP_OWNER.CSUM]);

/** True for a row of the first check's claims that stands for a tree of the AG or its free list. */
export function isAgTree(table: ExtentTable, row: number): boolean {
  return table.isSpecial(row) && REBUILT.has(table.ownerLo[row]!);
}

/** Kinds of which no two claimants, and no other kind, can use the same block. */
export const cannotMove = (kind: ClaimKind): boolean => kind === 'ag-headers' || kind === 'log';
