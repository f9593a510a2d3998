/**
 * The free list of an AG: blocks set aside for the trees that describe free space (bnobt, cntbt, rmapbt), which cannot
 * take from free space while they are changing it.
 *
 * 1. Before any operation that may split one of those trees twice the list holds enough for it, plus enough for the
 *    refill that follows: `ensureFreeList`. A refill takes from free space and so changes the same trees.
 * 2. The list is circular; slots outside the active range are never read.
 * 3. Listed blocks belong to the AG in the reverse map, as those of the trees do: moving a block between list and tree
 *    changes no record.
 * A list longer or shorter than other tools keep it is legal on disk.
 */
import { Agfl } from '../../formats/ag-headers.ts';
import { AllocRecord, RMAP_OWNER } from '../../formats/btree-blocks.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt, noSpace } from '../errors.ts';
import type { AllocationGroup } from './allocation-group.ts';
import { giveFree, takeFree } from './free-space.ts';
import { mapRmap, unmapRmap } from './reverse-map.ts';

/** Refills take this many more than needed, and trimming leaves as many, so that neither happens at every operation. */
const SLACK = 4;
const rec = AllocRecord.view();

/** Heights of the trees that live on the list, as an AGF has them. */
interface ListedTrees {
  readonly bnoLevel: number;
  readonly cntLevel: number;
  readonly rmapLevel: number;
}

/** Blocks one operation may need: two splits in a row of each tree, up to a new root. */
export function freeListNeed({ geometry, agf }: { geometry: Geometry; agf: ListedTrees }): number {
  const { maxLevels, features } = geometry;
  const twice = (level: number, max: number): number => 2 * Math.min(level + 1, max) - 2;
  return (
    twice(agf.bnoLevel, Math.max(2, maxLevels.bnobt)) +
    twice(agf.cntLevel, Math.max(2, maxLevels.cntbt)) +
    (features.rmapbt ? twice(agf.rmapLevel, Math.max(2, maxLevels.rmapbt)) : 0)
  );
}

/** The length the list is kept at: what an operation needs, and one split of two trees for the refill after it. */
export function keptListLength(ag: { geometry: Geometry; agf: ListedTrees }): number {
  const { agf, geometry } = ag;
  const refill = agf.cntLevel + 1 + (geometry.features.rmapbt ? agf.rmapLevel + 1 : 0);
  return Math.min(freeListNeed(ag) + refill, geometry.agflSlots - 2 * SLACK);
}

/** Blocks of free space the next refill is going to take. */
export function listShortfall(ag: AllocationGroup): number {
  return Math.max(0, keptListLength(ag) + SLACK - ag.agf.flcount);
}

/** Fill or trim the list. Every elementary change of free space or of the reverse map comes after a call of this. */
export function ensureFreeList(tx: Transaction, ag: AllocationGroup): void {
  const kept = keptListLength(ag);
  const { flcount } = ag.agf;
  if (flcount < kept) refill(tx, ag);
  else if (flcount > kept + 3 * SLACK) trim(tx, ag);
}

function refill(tx: Transaction, ag: AllocationGroup): void {
  for (;;) {
    const kept = keptListLength(ag);
    const missing = kept + SLACK - ag.agf.flcount;
    if (ag.agf.flcount >= kept || missing <= 0) return;
    const cursor = ag.cursor('cntbt');
    // The shortest extent that is long enough, else the longest. A full AG keeps what it has: frees must go on.
    if (!cursor.seekGE(missing, 0) && !cursor.seekLast()) return;
    rec.at(cursor.view, cursor.offset);
    const { startBlock, blockCount } = rec;
    const count = Math.min(missing, blockCount);
    // From the end of the extent: its start is where files go on growing.
    const start = startBlock + blockCount - count;
    if (blockCount === 0 || startBlock < ag.geometry.headerBlocks || startBlock + blockCount > ag.length) {
      throw corrupt('FREE_EXTENT_RANGE', `free extent ${startBlock}+${blockCount} leaves AG ${ag.number}`, {
        where: { ag: ag.number, block: startBlock, structure: 'cntbt' },
      });
    }
    takeFree(tx, ag, startBlock, blockCount, start, count);
    mapRmap(tx, ag, start, count, NULL32, RMAP_OWNER.AG, 0, 0);
    for (let i = 0; i < count; i++) putOnList(tx, ag, start + i);
  }
}

function trim(tx: Transaction, ag: AllocationGroup): void {
  // Giving back may shrink a tree and so lengthen the list again; the slots bound that.
  for (let i = 0; i < ag.geometry.agflSlots && ag.agf.flcount > keptListLength(ag) + SLACK; i++) {
    const block = takeFromList(tx, ag);
    unmapRmap(tx, ag, block, 1, NULL32, RMAP_OWNER.AG, 0, 0);
    giveFree(tx, ag, block, 1);
  }
}

/** Take the first block off the list. Throws `noSpace` when it is empty, `corrupt` when the slot is nonsense. */
export function takeFromList(tx: Transaction, ag: AllocationGroup): number {
  const { flcount, flfirst } = ag.agf;
  if (flcount === 0)
    throw noSpace(`AG ${ag.number} has no block left for its free-space trees`, { where: { ag: ag.number } });
  const block = ag.agfl.getUint32(Agfl.size + 4 * flfirst);
  if (!ag.geometry.isAgBlock(ag.number, block)) {
    throw corrupt('AGFL_BAD_BLOCK', `free list of AG ${ag.number}, slot ${flfirst}, names block ${block}`, {
      where: { ag: ag.number, block, structure: 'AGFL' },
    });
  }
  const agf = ag.changeAgf(tx);
  agf.flfirst = (flfirst + 1) % ag.geometry.agflSlots;
  agf.flcount = flcount - 1;
  return block;
}

/** Put a block at the end of the list. */
export function putOnList(tx: Transaction, ag: AllocationGroup, block: number): void {
  const slots = ag.geometry.agflSlots;
  const { flcount, fllast } = ag.agf;
  if (flcount >= slots)
    throw corrupt('AGFL_FULL', `free list of AG ${ag.number} is full`, { where: { ag: ag.number } });
  const slot = (fllast + 1) % slots;
  ag.changeAgfl(tx).setUint32(Agfl.size + 4 * slot, block);
  const agf = ag.changeAgf(tx);
  agf.fllast = slot;
  agf.flcount = flcount + 1;
  // An empty list may have had its indexes anywhere.
  if (flcount === 0) agf.flfirst = slot;
}
