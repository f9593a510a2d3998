/**
 * What the rest of the image says of blocks and forks, as the first check saw it: the register, the free-space trees where
 * both say the same, and who else claims a range. Only AGs whose trees were read whole are asked; where nothing is known, that
 * is the answer.
 */
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_OFFSET_HI_MASK, RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { CheckResult } from '../../check/check.ts';
import { type ExtentTable, MARK } from '../../check/claims.ts';
import { RunList } from '../../check/rows.ts';
import { blocksIn } from '../disputes/evidence.ts';
import { kindOfRow } from '../disputes/kinds.ts';
import { isTreeBlock } from '../disputes/register.ts';
import { Records } from '../forks/records.ts';
import { complement, coveredBy, subtract } from '../groups/runs.ts';
import { Overlaps } from '../overlaps.ts';
import type { DisputeClaimant } from '../report.ts';

const TWO32 = 2 ** 32;
/** Claimants of one range that are named. */
const MOST_NAMED = 16;

/** What the register has under the name of one fork. */
export interface RegisteredFork {
  /** Sorted by file block. */
  readonly rows: Records;
  /** fs blocks of the extent tree. */
  readonly treeBlocks: number[];
}

export class Witness {
  readonly #geometry: Geometry;
  readonly #first: CheckResult;
  readonly #claims: (Overlaps | undefined)[] = [];
  readonly #recorded: (Overlaps | undefined)[] = [];
  readonly #free: (RunList | undefined)[] = [];
  readonly #forks = new Map<string, RegisteredFork>();
  /** The register of every AG could be read: what it does not name, it does not have. */
  readonly registerWhole: boolean;

  /** @param inodes whose forks are going to be asked for. */
  constructor(geometry: Geometry, first: CheckResult, inodes: ReadonlySet<number>) {
    this.#geometry = geometry;
    this.#first = first;
    let whole = geometry.features.rmapbt;
    for (let ag = 0; ag < geometry.agCount; ag++) {
      if (this.hasRegister(ag)) this.#collect(ag, inodes);
      else whole = false;
    }
    this.registerWhole = whole;
    for (const fork of this.#forks.values()) sortRows(fork.rows);
  }

  /** Everything that makes claims could be read: what nobody claims, nobody has. */
  get isComplete(): boolean {
    return this.#first.observed?.context.claimsComplete === true;
  }

  hasRegister(ag: number): boolean {
    return this.#first.observed?.trees[ag]?.seen.rmapbt?.complete === true;
  }

  /** The register's version of a fork; undefined when it names nothing. */
  registered(inode: number, attr: boolean): RegisteredFork | undefined {
    return this.#forks.get(forkKey(inode, attr));
  }

  /** Are these blocks free, by the free-space trees? Undefined: nobody knows. */
  freeBlocks(fsBlock: number, count: number): number | undefined {
    const ag = this.#geometry.agOfFsBlock(fsBlock);
    const runs = this.#freeRuns(ag);
    if (!runs) return undefined;
    const from = this.#geometry.agBlockOfFsBlock(fsBlock);
    return blocksIn(runs, from, from + count);
  }

  /** Does anybody but this fork claim a block of the range? */
  isClaimedByOthers(fsBlock: number, count: number, inode: number, attr: boolean): boolean {
    const ag = this.#geometry.agOfFsBlock(fsBlock);
    return this.#overlaps(this.#claimsOf(ag), fsBlock, count, (table, row) => !isFork(table, row, inode, attr));
  }

  /**
   * As `isClaimedByOthers`, but those who may share the blocks do not count: the register gives them to them, too, and the
   * refcounts do not say that there is one owner only.
   */
  isClaimedByStrangers(fsBlock: number, count: number, inode: number, attr: boolean): boolean {
    const ag = this.#geometry.agOfFsBlock(fsBlock);
    const from = this.#geometry.agBlockOfFsBlock(fsBlock);
    return this.#overlaps(this.#claimsOf(ag), fsBlock, count, (table, row) => {
      if (isFork(table, row, inode, attr)) return false;
      if (attr || !table.isForkData(row) || (table.marks[row]! & MARK.registered) === 0) return true;
      const start = Math.max(from, table.start[row]!);
      const end = Math.min(from + count, table.start[row]! + table.count[row]!);
      return !this.#mayBeShared(ag, start, end);
    });
  }

  /** Undamaged refcounts know every shared block. */
  #mayBeShared(ag: number, from: number, to: number): boolean {
    if (!this.#geometry.features.reflink) return false;
    const trees = this.#first.observed?.trees[ag];
    return !trees?.seen.refcountbt?.complete || blocksIn(trees.shared, from, to) === to - from;
  }

  /** Does anybody else claim a block of the range, with a claim that is just as long as the range? */
  isClaimedInLength(fsBlock: number, count: number, inode: number, attr: boolean): boolean {
    const index = this.#claimsOf(this.#geometry.agOfFsBlock(fsBlock));
    return this.#overlaps(index, fsBlock, count, (table, row) => {
      return table.count[row] === count && !isFork(table, row, inode, attr);
    });
  }

  /** Is every block of the range claimed by somebody else? */
  isWhollyOthers(fsBlock: number, count: number, { inode, attr }: { inode: number; attr: boolean }): boolean {
    const from = this.#geometry.agBlockOfFsBlock(fsBlock);
    const claimed = new RunList();
    this.#overlaps(this.#claimsOf(this.#geometry.agOfFsBlock(fsBlock)), fsBlock, count, (table, row) => {
      if (!isFork(table, row, inode, attr)) claimed.push(table.start[row]!, table.count[row]!);
      return false;
    });
    claimed.sort();
    let at = from;
    for (let i = 0; i < claimed.length && claimed.start[i]! <= at; i++) {
      at = Math.max(at, claimed.start[i]! + claimed.count[i]!);
    }
    return at >= from + count;
  }

  /** Is a block of the range the AG's own: headers, log, trees, free list, inodes? */
  isClaimedByAg(fsBlock: number, count: number): boolean {
    const index = this.#claimsOf(this.#geometry.agOfFsBlock(fsBlock));
    return this.#overlaps(index, fsBlock, count, (table, row) => table.isSpecial(row));
  }

  /** Who claims these blocks, in order of blocks: the first few, as a decision names them. */
  claimants(fsBlock: number, count: number): DisputeClaimant[] {
    const { observed } = this.#first;
    const agBlock = this.#geometry.agBlockOfFsBlock(fsBlock);
    const found: DisputeClaimant[] = [];
    this.#overlaps(this.#claimsOf(this.#geometry.agOfFsBlock(fsBlock)), fsBlock, count, (table, row) => {
      const kind = kindOfRow(table, row, observed!.inodes);
      const fork = table.isSpecial(row) ? {} : { inode: table.owner(row) };
      const skip = Math.max(0, agBlock - table.start[row]!);
      const place = table.isForkData(row) ? { fileBlock: table.fileBlock(row) + skip } : {};
      found.push({ kind, ...fork, ...place, outcome: kind === 'ag-tree' ? 'rebuilt' : 'keeps' });
      return found.length === MOST_NAMED;
    });
    return found.reverse();
  }

  /** Does this inode claim the block for an extent tree? */
  isTreeBlockOf(fsBlock: number, inode: number): boolean {
    const index = this.#claimsOf(this.#geometry.agOfFsBlock(fsBlock));
    return this.#overlaps(index, fsBlock, 1, (table, row) => isTreeBlock(table, row) && table.owner(row) === inode);
  }

  /** Does anybody claim a block of the range? */
  isClaimed(fsBlock: number, count: number): boolean {
    return this.#overlaps(this.#claimsOf(this.#geometry.agOfFsBlock(fsBlock)), fsBlock, count, () => true);
  }

  /** Does the register give a block of the range to anybody but this fork? */
  isRegisteredToOthers(fsBlock: number, count: number, inode: number, attr: boolean): boolean {
    const ag = this.#geometry.agOfFsBlock(fsBlock);
    return this.#overlaps(this.#registerOf(ag), fsBlock, count, (table, row) => !isFork(table, row, inode, attr));
  }

  /** Does the register give a block of the range to this fork, wherever in the file? */
  isRegisteredTo(fsBlock: number, count: number, inode: number, attr: boolean): boolean {
    const ag = this.#geometry.agOfFsBlock(fsBlock);
    return this.#overlaps(this.#registerOf(ag), fsBlock, count, (table, row) => isFork(table, row, inode, attr));
  }

  /** Are all blocks of the range written data with a checksum (true), or none (false)? Undefined: mixed, or unknown. */
  isChecksummed(fsBlock: number, count: number): boolean | undefined {
    const trees = this.#first.observed?.trees[this.#geometry.agOfFsBlock(fsBlock)];
    if (!this.#geometry.features.dataChecksums || !trees?.seen.csumbt?.complete) return undefined;
    const from = this.#geometry.agBlockOfFsBlock(fsBlock);
    const has = blocksIn(trees.checksummed, from, from + count);
    return has === count ? true : has === 0 ? false : undefined;
  }

  /** Blocks in use by the free-space trees that nobody claims, [fs block, count]. */
  lostRuns(): [fsBlock: number, count: number][] {
    const out: [number, number][] = [];
    const geometry = this.#geometry;
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const free = this.#freeRuns(ag);
      const claims = this.#claimsOf(ag)?.table;
      if (!free || !claims) continue;
      const unclaimed = complement(coveredBy(claims), geometry.headerBlocks, geometry.agLength(ag));
      const lost = subtract(unclaimed, free);
      for (let i = 0; i < lost.length; i++) out.push([geometry.fsBlock(ag, lost.start[i]!), lost.count[i]!]);
    }
    return out;
  }

  #collect(ag: number, inodes: ReadonlySet<number>): void {
    const recorded = this.#first.observed!.context.recorded[ag]!;
    for (let row = 0; row < recorded.length; row++) {
      if (recorded.isSpecial(row)) continue;
      const inode = recorded.owner(row);
      if (!inodes.has(inode)) continue;
      const word = recorded.offsetHi[row]!;
      const key = forkKey(inode, (word & RMAP_ATTR_FORK) !== 0);
      let fork = this.#forks.get(key);
      if (!fork) this.#forks.set(key, (fork = { rows: new Records(), treeBlocks: [] }));
      const start = this.#geometry.fsBlock(ag, recorded.start[row]!);
      const count = recorded.count[row]!;
      if ((word & RMAP_BMBT_BLOCK) !== 0) for (let i = 0; i < count; i++) fork.treeBlocks.push(start + i);
      else {
        const fileBlock = (word & RMAP_OFFSET_HI_MASK) * TWO32 + recorded.offsetLo[row]!;
        fork.rows.push(fileBlock, start, count, (word & RMAP_UNWRITTEN) !== 0);
      }
    }
  }

  #freeRuns(ag: number): RunList | undefined {
    if (ag in this.#free) return this.#free[ag];
    const trees = this.#first.observed?.trees[ag];
    const isKnown = trees?.seen.bnobt?.complete && trees.seen.cntbt?.complete;
    const runs = isKnown ? agreed(trees.byStart, trees.byLength) : undefined;
    this.#free[ag] = runs;
    return runs;
  }

  #claimsOf(ag: number): Overlaps | undefined {
    const table = this.#first.observed?.context.claims[ag];
    return (this.#claims[ag] ??= table && new Overlaps(table));
  }

  #registerOf(ag: number): Overlaps | undefined {
    if (!this.hasRegister(ag)) return undefined;
    return (this.#recorded[ag] ??= new Overlaps(this.#first.observed!.context.recorded[ag]!));
  }

  #overlaps(
    rows: Overlaps | undefined,
    fsBlock: number,
    count: number,
    wanted: (table: ExtentTable, row: number) => boolean,
  ): boolean {
    const from = this.#geometry.agBlockOfFsBlock(fsBlock);
    return rows?.some(from, from + count, (row) => wanted(rows.table, row)) === true;
  }
}

/** The free extents sorted by start, when both trees have the same: one of them alone may be the damaged one. */
function agreed(byStart: RunList, byLength: RunList): RunList | undefined {
  const [a, b] = [byStart, byLength].map((list) => {
    const copy = new RunList();
    for (let i = 0; i < list.length; i++) copy.push(list.start[i]!, list.count[i]!);
    copy.sort();
    return copy;
  }) as [RunList, RunList];
  if (a.length !== b.length) return undefined;
  for (let i = 0; i < a.length; i++) if (a.start[i] !== b.start[i] || a.count[i] !== b.count[i]) return undefined;
  return a;
}

function isFork(table: ExtentTable, row: number, inode: number, attr: boolean): boolean {
  return (
    !table.isSpecial(row) &&
    table.owner(row) === inode &&
    (table.offsetHi[row]! & RMAP_BMBT_BLOCK) === 0 &&
    ((table.offsetHi[row]! & RMAP_ATTR_FORK) !== 0) === attr
  );
}

function sortRows(rows: Records): void {
  const sorted = rows.sorted();
  for (const name of ['fileBlock', 'startBlock', 'blockCount', 'unwritten'] as const) {
    for (let i = 0; i < rows.length; i++) (rows[name] as (number | boolean)[])[i] = sorted[name][i]!;
  }
}

const forkKey = (inode: number, attr: boolean): string => `${inode}/${attr ? 'attr' : 'data'}`;
