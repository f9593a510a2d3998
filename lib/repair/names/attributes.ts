/** Attribute forks that are damaged are written anew from the attributes that can be read whole. */
import { FORMAT } from '../../../formats/inode.ts';
import { dropAttrFork } from '../../file/attr-fork.ts';
import { Fork } from '../../file/fork.ts';
import type { Inode } from '../../file/inode.ts';
import { editFork, readFork } from '../../file/inode-fork-blocks.ts';
import { buildAttributes } from '../../xattr/build.ts';
import { checkAttributes } from '../../xattr/check.ts';
import { salvageAttributes } from './salvage-attributes.ts';
import { attempt, type Workshop } from './workshop.ts';

const FILE_BLOCKS = 2 ** 32;

/** Look at the attributes of an inode, and mend them. */
export function mendAttributes(shop: Workshop, number: number): void {
  const inode = shop.tryInode(number);
  if (!inode || inode.core.forkoff === 0) return;
  const fault = attributeFault(inode);
  if (fault === undefined) return;
  const { entries, lost } = salvageAttributes(shop, inode, (owner) => isMissingBlocks(shop, owner));
  const fork = editFork(shop.tx, shop.space, inode, 'attr');
  if (!fork.local()) for (const block of [...fork.mapped(0, FILE_BLOCKS)]) fork.free(block);
  // An empty list is what building starts from, whatever stood here.
  fork.clearLocal();
  if (entries.length > 0) buildAttributes(fork, entries);
  else if (new Fork(inode, 'data').format !== FORMAT.BTREE) dropAttrFork(shop.tx, inode);
  shop.settle();
  shop.report.did('attributes', `attributes written anew, ${entries.length} of them: ${fault}`, { inode: number });
  for (const what of lost) shop.report.lose('attribute', what, { inode: number });
}

/** The first thing that is wrong, in words. */
function attributeFault(inode: Inode): string | undefined {
  const { aformat } = inode.core;
  const fork = new Fork(inode, 'attr');
  if (aformat === FORMAT.EXTENTS && fork.extentCount === 0) return undefined;
  let first: string | undefined;
  const done = attempt(() => {
    checkAttributes(readFork(inode, 'attr'), (fault) => {
      first ??= `${fault.field} was ${fault.found}`;
    });
    return true;
  });
  return first ?? (done ? undefined : 'a block cannot be read');
}

/** Is this another inode in use whose own attributes are not whole? Then a block that names it may well be its. */
function isMissingBlocks(shop: Workshop, owner: number): boolean {
  const inode = shop.geometry.isInode(owner) ? shop.tryInode(owner) : undefined;
  return inode !== undefined && inode.core.forkoff !== 0 && attributeFault(inode) !== undefined;
}
