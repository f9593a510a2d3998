/**
 * Blocks that repair may take. Two classes, because what nobody claims may still be evidence:
 *
 * 1. *First class*: nobody claims it now or claimed it when the pass began, the register does not record it, and the
 *    free-space trees (where one can be read) call it free. New content there destroys nothing.
 * 2. *Second class*: nobody claims it now, but an old tree stands there, the register or the lack of a free record says that
 *    somebody had it. Given out only to a caller who says that he is desperate.
 * 3. The old checksum tree is what data is proven by: its blocks are given only to new trees, which take its content first.
 * 4. Kept ranges are never given out. What was taken stays taken, also when claims are observed anew.
 */
import { BTREES, RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { CheckResult } from '../../check/check.ts';
import { freeExtents } from '../../check/compare/counters.ts';
import { RunList } from '../../check/rows.ts';
import { type CadastreError, noSpace } from '../../errors.ts';
import type { KeptRange } from '../pending.ts';
import { FreeRuns } from './free-runs.ts';
import type { Claims } from './observe.ts';
import { asSet, complement, coveredBy, intersect, subtract } from './runs.ts';
import { treeBlocks } from './tree-search.ts';

type Over = 'nothing' | 'evidence' | 'checksums';

/** A run that was taken. */
export interface TakenRun {
  readonly fsBlock: number;
  readonly blockCount: number;
  /** What was there: nothing, evidence (second class), or the old checksum tree. */
  readonly over: Over;
}

export interface TakeOptions {
  /** Also from the second class, when the first has nothing. */
  desperate?: boolean;
  /** At last also where the old checksum tree stands (for `takeIn`). */
  overChecksums?: boolean;
}

export class FreeMap {
  readonly #geometry: Geometry;
  /** By AG. */
  readonly #runs: { readonly [O in Over]: FreeRuns[] } = { nothing: [], evidence: [], checksums: [] };

  private constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** Free blocks as the claims leave them, without kept ranges. `taken` by an earlier map stay taken. */
  static of(
    geometry: Geometry,
    claims: Claims,
    first: CheckResult,
    kept: readonly KeptRange[],
    taken: readonly TakenRun[] = [],
  ): FreeMap {
    const map = new FreeMap(geometry);
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const unclaimed = complement(coveredBy(claims.tables[ag]!), geometry.headerBlocks, geometry.agLength(ag));
      const clean = withoutEvidence(unclaimed, first, ag);
      const checksums = intersect(unclaimed, checksumTree(geometry, first, ag, unclaimed));
      map.#runs.nothing.push(new FreeRuns(subtract(clean, checksums)));
      map.#runs.evidence.push(new FreeRuns(subtract(subtract(unclaimed, clean), checksums)));
      map.#runs.checksums.push(new FreeRuns(checksums));
    }
    for (const range of kept) map.exclude(range.ag, range.agBlock, range.blockCount);
    for (const run of taken) {
      map.exclude(geometry.agOfFsBlock(run.fsBlock), geometry.agBlockOfFsBlock(run.fsBlock), run.blockCount);
      map.#taken.push(run);
    }
    return map;
  }

  readonly #taken: TakenRun[] = [];

  /** Everything taken so far and not given back. */
  get taken(): readonly TakenRun[] {
    return this.#taken;
  }

  /** Blocks of the first class that are left. */
  get freeBlocks(): number {
    return this.#runs.nothing.reduce((sum, runs) => sum + runs.blocks, 0);
  }

  /** The same in one AG. */
  freeIn(ag: number): number {
    return this.#runs.nothing[ag]!.blocks;
  }

  /** Blocks of both classes that are left. */
  get available(): number {
    return this.freeBlocks + this.#runs.evidence.reduce((sum, runs) => sum + runs.blocks, 0);
  }

  /**
   * Take a run of `min`..`max` blocks: whole if there is such a run anywhere, else the longest one, in the AG of `near`
   * (fs block) before others.
   * @returns undefined when there is none of `min` blocks.
   */
  take(min: number, max: number, near?: number, options: TakeOptions = {}): TakenRun | undefined {
    const { agCount } = this.#geometry;
    const start = near === undefined ? this.#roomiest() : this.#geometry.agOfFsBlock(near);
    for (const least of max > min ? [max, min] : [min]) {
      for (let i = 0; i < agCount; i++) {
        const ag = (start + i) % agCount;
        const place = i === 0 && near !== undefined ? this.#geometry.agBlockOfFsBlock(near) : 0;
        const run = this.takeIn(ag, least, max, place);
        if (run) return run;
      }
    }
    if (!options.desperate) return undefined;
    for (let i = 0; i < agCount; i++) {
      const ag = (start + i) % agCount;
      const run = this.#takeFrom('evidence', ag, min, max, 0);
      if (run) return run;
    }
    return undefined;
  }

  /** As `take`, in one AG. @param near AG block. */
  takeIn(ag: number, min: number, max: number, near = 0, options: TakeOptions = {}): TakenRun | undefined {
    let run = this.#takeFrom('nothing', ag, min, max, near);
    if (options.desperate) run ??= this.#takeFrom('evidence', ag, min, max, near);
    if (options.overChecksums) run ??= this.#takeFrom('checksums', ag, min, max, near);
    return run;
  }

  #takeFrom(over: Over, ag: number, min: number, max: number, near: number): TakenRun | undefined {
    const runs = this.#runs[over][ag]!;
    const count = runs.take(min, max, near);
    if (count === 0) return undefined;
    const run = { fsBlock: this.#geometry.fsBlock(ag, runs.takenStart), blockCount: count, over };
    this.#taken.push(run);
    return run;
  }

  /**
   * `count` blocks in as few runs as possible, the second class last. Throws `noSpace`, which says how many are missing;
   * then nothing was taken.
   */
  takeAll(count: number, near?: number): TakenRun[] {
    const runs: TakenRun[] = [];
    let missing = count;
    while (missing > 0) {
      const run = this.take(1, missing, near, { desperate: true });
      if (!run) {
        for (const each of runs) this.giveBack(each.fsBlock, each.blockCount);
        throw this.shortage(missing);
      }
      runs.push(run);
      missing -= run.blockCount;
    }
    return runs;
  }

  /** The error for a repair that needs so many blocks more, in this AG or anywhere. */
  shortage(missing: number, ag?: number): CadastreError {
    const kib = Math.ceil((missing * this.#geometry.blockSize) / 1024);
    const place = ag === undefined ? '' : ` in AG ${ag}`;
    return noSpace(`the repair needs ${missing} blocks (${kib} KiB)${place} more than are free`, {
      where: ag === undefined ? {} : { ag },
      expected: `${missing} more free blocks`,
      found: 0,
    });
  }

  /** A run that was taken, or a part of it, is not needed after all; nothing was written there. */
  giveBack(fsBlock: number, blockCount: number): void {
    const ag = this.#geometry.agOfFsBlock(fsBlock);
    for (let i = this.#taken.length - 1; i >= 0; i--) {
      const run = this.#taken[i]!;
      if (fsBlock < run.fsBlock || fsBlock >= run.fsBlock + run.blockCount) continue;
      this.#runs[run.over][ag]!.put(this.#geometry.agBlockOfFsBlock(fsBlock), blockCount);
      const rest = [
        { ...run, blockCount: fsBlock - run.fsBlock },
        {
          ...run,
          fsBlock: fsBlock + blockCount,
          blockCount: run.fsBlock + run.blockCount - fsBlock - blockCount,
        },
      ];
      this.#taken.splice(i, 1, ...rest.filter((each) => each.blockCount > 0));
      return;
    }
  }

  /** Blocks that somebody has from now on. */
  exclude(ag: number, agBlock: number, blockCount: number): void {
    for (const runs of Object.values(this.#runs)) runs[ag]!.remove(agBlock, blockCount);
  }

  #roomiest(): number {
    const { nothing } = this.#runs;
    let best = 0;
    for (let ag = 1; ag < nothing.length; ag++) if (nothing[ag]!.blocks > nothing[best]!.blocks) best = ag;
    return best;
  }
}

/** The part of unclaimed space in which nothing can be that anybody may still want to look at. */
function withoutEvidence(unclaimed: RunList, first: CheckResult, ag: number): RunList {
  const { observed } = first;
  if (!observed) return unclaimed;
  const { context, trees } = observed;
  const free = trees[ag] && freeExtents(trees[ag]);
  const copy = new RunList();
  if (free) for (let i = 0; i < free.length; i++) copy.push(free.start[i]!, free.count[i]!);
  const clean = free ? intersect(unclaimed, asSet(copy)) : unclaimed;
  return subtract(subtract(clean, coveredBy(context.claims[ag]!)), coveredBy(context.recorded[ag]!));
}

/** Blocks of the old checksum tree; of one that cannot be read whole, all blocks that look like its. */
function checksumTree(geometry: Geometry, first: CheckResult, ag: number, unclaimed: RunList): RunList {
  const list = new RunList();
  const { observed } = first;
  if (!geometry.features.dataChecksums || !observed) return list;
  const claims = observed.context.claims[ag]!;
  for (let row = 0; row < claims.length; row++) {
    const isTree = claims.isSpecial(row) && claims.ownerLo[row] === RMAP_OWNER.CSUM;
    if (isTree) list.push(claims.start[row]!, claims.count[row]!);
  }
  if (!observed.trees[ag]?.seen.csumbt?.complete) {
    const { magic } = BTREES.csumbt;
    treeBlocks(observed.context.device, geometry, ag, unclaimed, magic, (_view, block) => list.push(block, 1));
  }
  return asSet(list);
}
