/**
 * Inodes that an image has to have: the root directory, and the two realtime inodes behind it. The root is made again in
 * its place when it is gone; what hung below it finds its way to lost+found.
 */
import { FORMAT, INODE_FLAG, INODE_FLAG2, INODE_MAGIC, MODE } from '../../../formats/inode.ts';
import { NULL64 } from '../../../formats/struct.ts';
import { Superblock } from '../../../formats/superblock.ts';
import { SUPERBLOCK_TYPE } from '../../../formats/superblock-verify.ts';
import { initialise } from '../../directory/directory.ts';
import { Inode } from '../../file/inode.ts';
import { editFork } from '../../file/inode-fork-blocks.ts';
import { attempt, type Workshop } from './workshop.ts';

/** @returns false when there can be no root: its chunk does not exist. */
export function mendSpecialInodes(shop: Workshop): boolean {
  if (!mendRoot(shop)) return false;
  const { rootInode } = shop.geometry;
  const buffer = shop.tx.get(0, shop.geometry.sectorSize, SUPERBLOCK_TYPE);
  const { rbmino, rsumino } = Superblock.at(buffer.view);
  if (rbmino === rootInode + 1) mendRealtime(shop, rbmino, 'realtime bitmap', INODE_FLAG.NEWRTBM);
  if (rsumino === rootInode + 2) mendRealtime(shop, rsumino, 'realtime summary', 0);
  mendQuota(shop);
  shop.settle();
  return true;
}

/** Have this very inode allocated, with a slot that `newInode` may start from. */
function claimSlot(shop: Workshop, number: number): boolean {
  const { tx, space, geometry } = shop;
  const state = attempt(() => space.inodeState(tx, number)) ?? 'none';
  if (state === 'none' || (state === 'free' && !space.allocateThisInode(tx, number))) return false;
  const slot = Inode.placeFresh(tx, number);
  slot.change(tx);
  slot.core.magic = INODE_MAGIC;
  slot.core.uuid = geometry.metaUuid;
  return true;
}

function mendRoot(shop: Workshop): boolean {
  const { tx, space } = shop;
  const number = shop.geometry.rootInode;
  const inode = shop.tryInode(number);
  if (inode?.isDirectory) return true;
  if (inode) {
    // It cannot be anything else: what its fork holds is looked at as a directory's content.
    inode.change(tx);
    const { core } = inode;
    core.mode = MODE.DIR | 0o755;
    core.flags &= ~INODE_FLAG.EXTSIZE;
    core.flags2Lo &= ~(INODE_FLAG2.REFLINK | INODE_FLAG2.COWEXTSIZE);
    core.extsize = 0;
    core.cowextsize = 0;
    if (core.format === FORMAT.DEV) core.format = FORMAT.EXTENTS;
    if (core.size >= 2 ** 35) core.size = 0;
    shop.report.did('directories', 'the root was no directory', { inode: number });
    shop.settle();
    return true;
  }
  if (!claimSlot(shop, number)) {
    shop.report.lose('inode', 'the root directory cannot be made again: there are no inodes in its place', {
      inode: number,
    });
    return false;
  }
  initialise(editFork(tx, space, shop.newInode(number, MODE.DIR | 0o755, 2), 'data'), number, number);
  shop.report.did('directories', 'the root directory was gone: a new one made', { inode: number });
  shop.settle();
  return true;
}

function mendRealtime(shop: Workshop, number: number, what: string, flags: number): void {
  const inode = shop.tryInode(number);
  if (inode?.isFile) {
    // Without a realtime section both are empty.
    if (inode.size === 0 || inode.core.nblocks !== 0) return;
    inode.change(shop.tx);
    inode.core.size = 0;
  } else if (inode || !claimSlot(shop, number)) return;
  else shop.newInode(number, MODE.FILE, 1).core.flags = flags;
  shop.report.did('inodes', `${what} made again`, { inode: number });
}

/** Quota inodes that are gone: the kernel makes new ones and counts again. */
function mendQuota(shop: Workshop): void {
  const buffer = shop.tx.get(0, shop.geometry.sectorSize, SUPERBLOCK_TYPE);
  for (const field of ['uquotino', 'gquotino', 'pquotino'] as const) {
    const number = Superblock.at(buffer.view)[field];
    if (number === 0 || number === NULL64) continue;
    if (shop.geometry.isInode(number) && shop.tryInode(number)?.isFile) continue;
    shop.tx.change(buffer);
    const sb = Superblock.at(buffer.view);
    sb[field] = NULL64;
    sb.qflags = 0;
    shop.report.did('inodes', `${field}: the quota inode is gone; quota is counted anew when it is switched on`);
  }
}
