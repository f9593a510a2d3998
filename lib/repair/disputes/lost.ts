/**
 * Blocks that nobody claims and free space does not have either: where a claimant's own bytes may still be, when no
 * register can say so. Those that fit what claimants of disputes are missing are kept.
 */
import { RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import { RunList } from '../../check/rows.ts';
import { asSet, complement, coveredBy, subtract, unite } from '../groups/runs.ts';
import type { KeptRange } from '../pending.ts';
import type { Evidence } from './evidence.ts';

/** Claims that lost their dispute, as far as it matters what they may be missing. */
export class Losses {
  /** Shortest stretch that was disputed, and the blocks of all claims that were. */
  #least = Number.POSITIVE_INFINITY;
  #all = 0;
  #inodes = new Set<number>();

  /** @param disputed blocks in dispute. @param claimed of the whole claim they are a part of. */
  add(inode: number, disputed: number, claimed: number): void {
    this.#least = Math.min(this.#least, disputed);
    this.#all += claimed;
    this.#inodes.add(inode);
  }

  /** Lost ranges that are as long as something that is missing could be. */
  fitting(evidence: Evidence): KeptRange[] {
    if (this.#inodes.size === 0) return [];
    const kept: KeptRange[] = [];
    const [only] = this.#inodes;
    const whose = this.#inodes.size === 1 ? { inode: only! } : {};
    for (let ag = 0; ag < evidence.geometry.agCount; ag++) {
      if (evidence.register.isComplete(ag)) continue;
      const lost = lostRuns(evidence, ag);
      for (let i = 0; i < lost.length; i++) {
        const blockCount = lost.count[i]!;
        if (blockCount < this.#least || blockCount > this.#all) continue;
        kept.push({ ag, agBlock: lost.start[i]!, blockCount, ...whose });
      }
    }
    return kept;
  }
}

/** Neither claimed nor free nor a tree's; nothing where free space is not known. */
function lostRuns(evidence: Evidence, ag: number): RunList {
  const free = evidence.freeRuns(ag);
  if (!free) return new RunList();
  const { geometry } = evidence;
  const used = unite(unite(coveredBy(evidence.table(ag)), evidence.treeRuns(ag)), staging(evidence, ag));
  return subtract(complement(used, geometry.headerBlocks, geometry.agLength(ag)), free);
}

/** Copy-on-write staging: left over, but nobody's loss. */
function staging(evidence: Evidence, ag: number): RunList {
  const table = evidence.observed.context.claims[ag]!;
  const runs = new RunList();
  for (let row = 0; row < table.length; row++) {
    if (table.isSpecial(row) && table.ownerLo[row] === RMAP_OWNER.COW) runs.push(table.start[row]!, table.count[row]!);
  }
  return asSet(runs);
}
