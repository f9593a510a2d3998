/**
 * Moving blocks that belong to an AG itself: tree blocks and blocks of the free list. The place they go to is chosen by the
 * caller; what was there before is free afterwards.
 *
 * Taking the new block and giving the old one back change the very trees that are being moved, so a block named by the caller
 * may turn out to be no tree block any more: then nothing happens.
 */
import { Agfl } from '../../formats/ag-headers.ts';
import { RMAP_OWNER } from '../../formats/btree-blocks.ts';
import { relocateBlock } from '../btree/btree.ts';
import type { Transaction } from '../buffer/transaction.ts';
import type { AllocationGroup, TreeName } from './allocation-group.ts';
import { ensureFreeList } from './free-list.ts';
import { findExact } from './free-space.ts';
import { giveBack, TREE_OWNER, takePlace } from './tree-blocks.ts';

/** @returns false when the place is not free, or the tree has no such block: nothing of it moved then. */
export function relocateTreeBlock(
  tx: Transaction,
  ag: AllocationGroup,
  tree: TreeName,
  block: number,
  level: number,
  target: number,
): boolean {
  const owner = TREE_OWNER[tree];
  if (!take(tx, ag, target, owner)) return false;
  const done = relocateBlock(tx, ag.tree(tree), block, level, target);
  give(tx, ag, done ? block : target, owner);
  return done;
}

/** Put another block into the slot of the free list that holds `block`. @returns as `relocateTreeBlock`. */
export function relocateListed(tx: Transaction, ag: AllocationGroup, block: number, target: number): boolean {
  if (!take(tx, ag, target, RMAP_OWNER.AG)) return false;
  const { flcount, flfirst } = ag.agf;
  for (let i = 0; i < flcount; i++) {
    const at = Agfl.size + 4 * ((flfirst + i) % ag.geometry.agflSlots);
    if (ag.agfl.getUint32(at) !== block) continue;
    ag.changeAgfl(tx).setUint32(at, target);
    give(tx, ag, block, RMAP_OWNER.AG);
    return true;
  }
  give(tx, ag, target, RMAP_OWNER.AG);
  return false;
}

function take(tx: Transaction, ag: AllocationGroup, target: number, owner: number): boolean {
  ensureFreeList(tx, ag);
  if (!findExact(ag, target, 1, 1)) return false;
  takePlace(tx, ag, owner);
  return true;
}

function give(tx: Transaction, ag: AllocationGroup, block: number, owner: number): void {
  giveBack(tx, ag, block, 1, owner);
  const { geometry } = ag;
  tx.forget(geometry.agBlockToDaddr(ag.number, block), geometry.blockSize);
}
