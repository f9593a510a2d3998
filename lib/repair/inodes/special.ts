/** Inodes that must exist whatever directories say: the root, and those the superblock names. */
import { MODE } from '../../../formats/inode.ts';
import { NULL64 } from '../../../formats/struct.ts';
import { Superblock } from '../../../formats/superblock.ts';
import type { RepairState } from '../state.ts';

/** The type that a special inode must have; undefined when the inode is not special. */
export function specialOf(state: RepairState, inode: number): number | undefined {
  if (inode === state.geometry.rootInode) return MODE.DIR;
  const sector = state.first.observed?.primary.sector;
  if (!sector || inode === 0 || inode === NULL64) return undefined;
  const { rbmino, rsumino, uquotino, gquotino, pquotino } = Superblock.at(sector);
  return [rbmino, rsumino, uquotino, gquotino, pquotino].includes(inode) ? MODE.FILE : undefined;
}
