/** Claims in words, for messages. */
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_OWNER, RMAP_UNWRITTEN } from '../../formats/btree-blocks.ts';
import type { ExtentTable } from './claims.ts';

const NAMES = new Map<number, string>([
  [RMAP_OWNER.FS, 'AG headers'],
  [RMAP_OWNER.LOG, 'the log'],
  [RMAP_OWNER.AG, 'free-space tree or free list'],
  [RMAP_OWNER.INOBT, 'inode tree'],
  [RMAP_OWNER.INODES, 'inodes'],
  [RMAP_OWNER.REFC, 'refcount tree'],
  [RMAP_OWNER.COW, 'copy-on-write staging'],
  [RMAP_OWNER.CSUM, 'checksum tree'],
]);

/** What kind of owner a row has: one of the names above, or data, attributes, extent tree. */
export function kindOf(table: ExtentTable, i: number): string {
  if (table.isSpecial(i)) return NAMES.get(table.ownerLo[i]!) ?? 'unknown owner';
  const hi = table.offsetHi[i]!;
  const fork = (hi & RMAP_ATTR_FORK) !== 0 ? 'attributes' : 'data';
  return (hi & RMAP_BMBT_BLOCK) !== 0 ? `extent tree (${fork})` : fork;
}

/** A row as text: "12+4 data of inode 133 at file block 7, unwritten". */
export function describeRow(table: ExtentTable, i: number): string {
  const range = `${table.start[i]}+${table.count[i]}`;
  if (table.isSpecial(i)) return `${range} ${kindOf(table, i)}`;
  const place = table.isForkData(i) ? ` at file block ${table.fileBlock(i)}` : '';
  const unwritten = (table.offsetHi[i]! & RMAP_UNWRITTEN) !== 0 ? ', unwritten' : '';
  return `${range} ${kindOf(table, i)} of inode ${table.owner(i)}${place}${unwritten}`;
}
