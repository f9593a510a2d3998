/**
 * Where the blocks of an AG's trees come from.
 *
 * | tree | from, to | counter | owner in the reverse map |
 * |---|---|---|---|
 * | bnobt, cntbt | free list | btreeblks | AG |
 * | rmapbt | free list | btreeblks, rmapBlocks | AG |
 * | inobt, finobt | free space | iblocks, fblocks (INOBTCNT) | INOBT |
 * | refcountbt | free space | refcountBlocks | REFC |
 * | csumbt | free space | csumBlocks | CSUM |
 */
import { RMAP_OWNER } from '../../formats/btree-blocks.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { noSpace } from '../errors.ts';
import type { AllocationGroup, TreeBlockSource, TreeName } from './allocation-group.ts';
import { ensureFreeList, putOnList, takeFromList } from './free-list.ts';
import { findWhole, giveFree, place, takeFree } from './free-space.ts';
import { mapRmap, unmapRmap } from './reverse-map.ts';

/** Low word of the owner of each tree's blocks. */
export const TREE_OWNER: { readonly [N in TreeName]: number } = {
  bnobt: RMAP_OWNER.AG,
  cntbt: RMAP_OWNER.AG,
  rmapbt: RMAP_OWNER.AG,
  inobt: RMAP_OWNER.INOBT,
  finobt: RMAP_OWNER.INOBT,
  refcountbt: RMAP_OWNER.REFC,
  csumbt: RMAP_OWNER.CSUM,
};

function count(tx: Transaction, ag: AllocationGroup, tree: TreeName, by: number): void {
  switch (tree) {
    case 'bnobt':
    case 'cntbt':
      ag.changeAgf(tx).btreeblks += by;
      break;
    case 'rmapbt': {
      const agf = ag.changeAgf(tx);
      agf.btreeblks += by;
      agf.rmapBlocks += by;
      break;
    }
    case 'refcountbt':
      ag.changeAgf(tx).refcountBlocks += by;
      break;
    case 'csumbt':
      ag.changeAgf(tx).csumBlocks += by;
      break;
    case 'inobt':
      if (ag.geometry.features.inobtcount) ag.changeAgi(tx).iblocks += by;
      break;
    case 'finobt':
      if (ag.geometry.features.inobtcount) ag.changeAgi(tx).fblocks += by;
      break;
  }
}

const fromList = (tree: TreeName): boolean => tree === 'bnobt' || tree === 'cntbt' || tree === 'rmapbt';

/** Take `length` blocks for a special owner, record them; the place found must be in `place` and the list filled. */
export function takePlace(tx: Transaction, ag: AllocationGroup, ownerLo: number): number {
  const { start, length } = place;
  takeFree(tx, ag, place.recordStart, place.recordLength, start, length);
  ensureFreeList(tx, ag);
  mapRmap(tx, ag, start, length, NULL32, ownerLo, 0, 0);
  return start;
}

/** Give blocks of a special owner back to free space. */
export function giveBack(tx: Transaction, ag: AllocationGroup, start: number, length: number, ownerLo: number): void {
  ensureFreeList(tx, ag);
  unmapRmap(tx, ag, start, length, NULL32, ownerLo, 0, 0);
  ensureFreeList(tx, ag);
  giveFree(tx, ag, start, length);
}

export const TREE_BLOCKS: TreeBlockSource = {
  take(tx, ag, tree, near) {
    let block: number;
    if (fromList(tree)) block = takeFromList(tx, ag);
    else {
      ensureFreeList(tx, ag);
      if (!findWhole(ag, near > 0 && near < ag.length ? near : -1, 1, 1)) {
        throw noSpace(`AG ${ag.number} has no block left for its ${tree}`, { where: { ag: ag.number } });
      }
      block = takePlace(tx, ag, TREE_OWNER[tree]);
    }
    count(tx, ag, tree, 1);
    return block;
  },
  give(tx, ag, tree, agBlock) {
    count(tx, ag, tree, -1);
    if (fromList(tree)) putOnList(tx, ag, agBlock);
    else giveBack(tx, ag, agBlock, 1, TREE_OWNER[tree]);
  },
};
