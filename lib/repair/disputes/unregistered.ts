/**
 * Homes for which no register speaks: a claim stands where it cannot be right, and somewhere else blocks miss an owner.
 *
 *   refcounts    record one owner more than there are claims          clone  2 ──> B's blocks      S's blocks: 2 owners, 1 claim
 *   lost blocks  in use by the free-space trees, claimed by nobody    file   0 ──> free blocks     4 blocks of nobody
 *
 * 1. One wrong pointer explains both sides; that they fit by chance takes two errors of the same length. So one range and one claim
 *    of a length are enough, and when there are several of either nothing is moved.
 * 2. The refcount records an owner, so it also moves a claim that merely collides with another file's. That blocks are lost says
 *    nothing of whose they were: that moves only claims on what is free, the AG's own or metadata that describes itself, and
 *    the file is called suspect.
 * 3. When a whole inode is gone anything may have been its own, and nothing is told by its length.
 */
import { RMAP_ATTR_FORK, RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import type { ExtentTable } from '../../check/claims.ts';
import { RunList } from '../../check/rows.ts';
import { blocksIn, type Evidence } from './evidence.ts';
import { lostRuns } from './lost.ts';
import type { HomeProof, Move } from './moves.ts';

/** A claim that may be in the wrong place. */
interface Astray {
  readonly ag: number;
  readonly row: number;
  /** It cannot be right where it is; otherwise it collides with another file. */
  readonly isForeign: boolean;
  readonly shares: boolean;
}

interface Vacancy {
  readonly fsBlock: number;
  /** Owners that are missing. */
  readonly owners: number;
}

/** Claims looked at closely: an image made of them says nothing by a length. */
const MOST_ASTRAY = 4096;

/** @param anyoneGone a whole inode is lost. @returns homes of rows that no register names one for. */
export function unregisteredMoves(evidence: Evidence, anyoneGone: boolean): Move[] {
  const ags = evidence.claims.tables.flatMap((_, ag) => (evidence.register.isComplete(ag) ? [] : [ag]));
  const astray = ags.flatMap((ag) => findAstray(evidence, ag));
  if (astray.length === 0 || astray.length > MOST_ASTRAY) return [];
  const moves: Move[] = [];
  const moved = new Set<Astray>();
  const settle = (proof: HomeProof, byLength: ReadonlyMap<number, readonly Vacancy[]>, fits: Fits): void => {
    for (const [length, claims] of grouped(evidence, astray, (each) => fits(each) && !moved.has(each))) {
      const [only, ...more] = byLength.get(length) ?? [];
      if (!only || more.length > 0 || claims.length !== only.owners) continue;
      for (const each of claims) {
        moved.add(each);
        const agBlock = evidence.table(each.ag).start[each.row]!;
        moves.push({
          ag: each.ag,
          row: each.row,
          agBlock,
          blockCount: length,
          home: only.fsBlock,
          proof,
          unwritten: false,
        });
      }
    }
  };
  settle(
    'refcount',
    vacancies(ags, (ag) => undercounted(evidence, ag), evidence),
    ({ shares }) => shares,
  );
  if (!anyoneGone && evidence.observed.context.claimsComplete) {
    const lost = vacancies(ags, (ag) => lostData(evidence, ag), evidence);
    settle('length', lost, ({ isForeign }) => isForeign);
  }
  return moves;
}

type Fits = (each: Astray) => boolean;

/** Claims by their number of blocks. */
function grouped(evidence: Evidence, astray: readonly Astray[], fits: Fits): Map<number, Astray[]> {
  const groups = new Map<number, Astray[]>();
  for (const each of astray) {
    if (!fits(each)) continue;
    const length = evidence.table(each.ag).count[each.row]!;
    const group = groups.get(length);
    if (group) group.push(each);
    else groups.set(length, [each]);
  }
  return groups;
}

function vacancies(
  ags: readonly number[],
  runsOf: (ag: number) => RunList,
  { geometry }: Evidence,
): Map<number, Vacancy[]> {
  const byLength = new Map<number, Vacancy[]>();
  for (const ag of ags) {
    const runs = runsOf(ag);
    for (let i = 0; i < runs.length; i++) {
      const vacancy = { fsBlock: geometry.fsBlock(ag, runs.start[i]!), owners: runs.value[i]! };
      const same = byLength.get(runs.count[i]!);
      if (same) same.push(vacancy);
      else byLength.set(runs.count[i]!, [vacancy]);
    }
  }
  return byLength;
}

/** Data of regular files that stands where it may not belong. */
function findAstray(evidence: Evidence, ag: number): Astray[] {
  const table = evidence.table(ag);
  const free = evidence.observed.trees[ag]!.seen.bnobt?.complete ? evidence.freeRuns(ag) : undefined;
  const found: Astray[] = [];
  let end = 0;
  for (let row = 0; row < table.length && found.length <= MOST_ASTRAY; row++) {
    const start = table.start[row]!;
    const count = table.count[row]!;
    const overlaps = start < end || (row + 1 < table.length && table.start[row + 1]! < start + count);
    end = Math.max(end, start + count);
    if (!isWrittenData(evidence, ag, row)) continue;
    const isFree = free !== undefined && blocksIn(free, start, start + count) === count;
    const isForeign = isFree || evidence.isAgTree(ag, start, count) || (overlaps && isAmongMetadata(evidence, ag, row));
    if (!isForeign && !overlaps) continue;
    found.push({ ag, row, isForeign, shares: evidence.facts(table.owner(row)).reflink });
  }
  return found;
}

function isWrittenData(evidence: Evidence, ag: number, row: number): boolean {
  const table: ExtentTable = evidence.table(ag);
  if (!table.isForkData(row) || (table.offsetHi[row]! & (RMAP_ATTR_FORK | RMAP_UNWRITTEN)) !== 0) return false;
  return evidence.kind(ag, row) === 'data';
}

/** Does somebody claim these blocks who can be nowhere else, or whose metadata they say they are? */
function isAmongMetadata(evidence: Evidence, ag: number, row: number): boolean {
  const table = evidence.table(ag);
  const start = table.start[row]!;
  let found = false;
  evidence.overlapping(ag, start, start + table.count[row]!, (other) => {
    if (other === row || found || evidence.kind(ag, other) === 'data') return;
    const agBlock = Math.max(start, table.start[other]!);
    const inode = table.isSpecial(other) ? -1 : table.owner(other);
    const fileBlock = table.isForkData(other) ? table.fileBlock(other) + (agBlock - table.start[other]!) : 0;
    const kind = evidence.kind(ag, other);
    found =
      kind === 'ag-headers' ||
      kind === 'log' ||
      evidence.self.proves({ kind, inode, fileBlock, ag, agBlock }) !== undefined;
  });
  return found;
}

/** Blocks that somebody claims and whose refcount is higher than their claims; the value of a run is by how many. */
function undercounted(evidence: Evidence, ag: number): RunList {
  const runs = new RunList();
  const trees = evidence.observed.trees[ag]!;
  if (!evidence.geometry.features.reflink || !trees.seen.refcountbt?.complete) return runs;
  const { shared } = trees;
  const { start, count, length } = evidence.table(ag);
  const ends = Uint32Array.from({ length }, (_, row) => start[row]! + count[row]!).sort();
  let begun = 0;
  let ended = 0;
  for (let i = 0; i < shared.length; i++) {
    const end = shared.start[i]! + shared.count[i]!;
    for (let at = shared.start[i]!; at < end; ) {
      while (begun < length && start[begun]! <= at) begun++;
      while (ended < length && ends[ended]! <= at) ended++;
      const next = Math.min(end, begun < length ? start[begun]! : end, ended < length ? ends[ended]! : end);
      const claims = begun - ended;
      if (claims > 0 && shared.value[i]! > claims) runs.join(at, next - at, shared.value[i]! - claims);
      at = next;
    }
  }
  return runs;
}

/** Lost runs that do not begin with metadata, each for one owner. */
function lostData(evidence: Evidence, ag: number): RunList {
  const runs = new RunList();
  const lost = lostRuns(evidence, ag);
  for (let i = 0; i < lost.length; i++) {
    if (!evidence.self.isMetadata(ag, lost.start[i]!)) runs.push(lost.start[i]!, lost.count[i]!, 1);
  }
  return runs;
}
