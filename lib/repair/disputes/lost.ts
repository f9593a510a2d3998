/**
 * Blocks that nobody claims and free space does not have either: where a claimant's own bytes may still be, when no
 * register can say so. Those that fit what claimants of disputes are missing are kept.
 */
import { RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import { RunList } from '../../check/rows.ts';
import { asSet, complement, coveredBy, subtract, unite } from '../groups/runs.ts';
import type { KeptRange } from '../pending.ts';
import { blocksIn, type Evidence } from './evidence.ts';
import type { ClaimKind } from './kinds.ts';
import type { Move } from './moves.ts';
import { spaceOf } from './self.ts';

/** Claims that lost their dispute, as far as it matters what they may be missing. */
export class Losses {
  /** Shortest stretch that was disputed, and the blocks of all claims that were. */
  #least = Number.POSITIVE_INFINITY;
  #all = 0;
  #inodes = new Set<number>();
  /** Whole inodes are gone: whatever nobody claims may have been theirs. */
  #anything = false;

  /** An inode of which nothing is known any more. */
  addInode(inode: number): void {
    this.#anything = true;
    this.#inodes.add(inode);
  }

  /** @param disputed blocks in dispute. @param claimed of the whole claim they are a part of. */
  add(inode: number, disputed: number, claimed: number): void {
    this.#least = Math.min(this.#least, disputed);
    this.#all += claimed;
    this.#inodes.add(inode);
  }

  /**
   * Claims on recorded free space of an AG without a register: they may be meant for other blocks. Those that go home are not.
   * @param tell gets the inodes.
   */
  addAstray(
    evidence: Evidence,
    ag: number,
    moves: ReadonlyMap<number, readonly Move[]>,
    tell: (inode: number) => void,
  ): void {
    const free = evidence.freeRuns(ag);
    if (!free || evidence.register.isComplete(ag)) return;
    const table = evidence.table(ag);
    for (let row = 0; row < table.length; row++) {
      if (!table.isForkData(row) || moves.has(row)) continue;
      const count = table.count[row]!;
      const astray = blocksIn(free, table.start[row]!, table.start[row]! + count);
      if (astray === 0) continue;
      this.add(table.owner(row), astray, count);
      tell(table.owner(row));
    }
  }

  /** Lost ranges that are as long as something that is missing could be. */
  fitting(evidence: Evidence): KeptRange[] {
    if (this.#inodes.size === 0) return [];
    const kept: KeptRange[] = [];
    const [only] = this.#inodes;
    const whose = this.#inodes.size === 1 ? { inode: only! } : {};
    for (let ag = 0; ag < evidence.geometry.agCount; ag++) {
      if (evidence.register.isComplete(ag)) continue;
      const all = lostRuns(evidence, ag);
      const lost = this.#anything ? withoutMetadata(evidence, ag, all) : all;
      for (let i = 0; i < lost.length; i++) {
        const blockCount = lost.count[i]!;
        if (!this.#anything && (blockCount < this.#least || blockCount > this.#all)) continue;
        if (kept.length === MOST_KEPT) return kept;
        kept.push({ ag, agBlock: lost.start[i]!, blockCount, ...whose });
      }
    }
    return kept;
  }
}

/** Files made of lost ranges. */
const MOST_KEPT = 10_000;
/** Without blocks that say they are metadata: what could be had from them was taken before. */
function withoutMetadata({ self }: Evidence, ag: number, runs: RunList): RunList {
  const data = new RunList();
  let left = MOST_SEARCHED;
  for (let i = 0; i < runs.length; i++) {
    const end = runs.start[i]! + runs.count[i]!;
    for (let block = runs.start[i]!; block < end; block++) {
      if (left-- <= 0) {
        data.push(block, end - block);
        break;
      }
      if (!self.isMetadata(ag, block)) data.push(block, 1);
    }
  }
  return asSet(data);
}

/** Lost blocks that are looked at for metadata: an image whose free space is nonsense has more. */
const MOST_SEARCHED = 1 << 16;

/** Lost blocks that describe themselves as metadata of somebody who has to give up what he claims. */
export class LostMetadata {
  readonly #evidence: Evidence;
  /** Lost ranges, [fs block, count]. */
  #runs: [from: number, count: number][] | undefined;
  readonly #given = new Set<number>();

  constructor(evidence: Evidence) {
    this.#evidence = evidence;
  }

  /** The only place where `count` blocks can be that belong at this place of the fork: fs block, or -1. */
  find(kind: ClaimKind, inode: number, fileBlock: number, count: number): number {
    const { dirBlockBlocks } = this.#evidence.geometry;
    const step = kind === 'directory' ? dirBlockBlocks : kind === 'symlink' ? count : 1;
    if (count % step !== 0) return -1;
    let found = -1;
    for (const [from, length] of this.#lost()) {
      for (let at = from; at + count <= from + length; at++) {
        if (!this.#fits(kind, inode, fileBlock, at, count, step)) continue;
        if (found >= 0) return -1;
        found = at;
      }
    }
    if (found >= 0) for (let i = 0; i < count; i++) this.#given.add(found + i);
    return found;
  }

  #fits(kind: ClaimKind, inode: number, fileBlock: number, fsBlock: number, count: number, step: number): boolean {
    const { self, geometry } = this.#evidence;
    for (let i = 0; i < count; i++) if (this.#given.has(fsBlock + i)) return false;
    const ag = geometry.agOfFsBlock(fsBlock);
    for (let i = 0; i < count; i += step) {
      const block = self.describe(ag, geometry.agBlockOfFsBlock(fsBlock + i), kind);
      if (block?.owner !== inode) return false;
      if (block.space !== undefined && block.space !== spaceOf(fileBlock + i, geometry.blockSize)) return false;
    }
    return true;
  }

  #lost(): readonly [number, number][] {
    if (this.#runs) return this.#runs;
    const runs: [number, number][] = [];
    const { geometry } = this.#evidence;
    let left = MOST_SEARCHED;
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const lost = lostRuns(this.#evidence, ag);
      for (let i = 0; i < lost.length && left > 0; i++) {
        runs.push([geometry.fsBlock(ag, lost.start[i]!), Math.min(left, lost.count[i]!)]);
        left -= lost.count[i]!;
      }
    }
    this.#runs = runs;
    return runs;
  }
}

/** Neither claimed nor free nor a tree's; nothing where free space is not known. */
export function lostRuns(evidence: Evidence, ag: number): RunList {
  const free = evidence.perhapsFree(ag);
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
