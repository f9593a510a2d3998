/**
 * Which inodes stage 1 looks at: those the check found fault with, those whose forks and the register disagree, those
 * that claim blocks which are free, and whatever is wrong in chunks that the check did not know. Sound inodes cost nothing.
 */

import { type ExtentTable, MARK } from '../../check/claims.ts';
import { freeExtents } from '../../check/compare/counters.ts';
import { CheckContext } from '../../check/context.ts';
import { Counts } from '../../check/counts.ts';
import { AG_DAMAGE } from '../../check/damaged.ts';
import { ChunkList, InodeTable, NONE } from '../../check/inode-table.ts';
import { InodeObserver } from '../../check/observe/inodes.ts';
import { ProblemLog } from '../../check/problems.ts';
import { picked } from '../../check/tables.ts';
import type { RepairState } from '../state.ts';
import { EntryEvidence } from './entries.ts';

export interface Suspects {
  readonly inodes: Set<number>;
  readonly entries: EntryEvidence;
}

export function findSuspects(state: RepairState): Suspects {
  const { first, geometry } = state;
  const inodes = new Set<number>();
  for (const inode of first.damaged.inodes.keys()) if (geometry.isInode(inode)) inodes.add(inode);
  const { observed } = first;
  if (observed) {
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const claims = observed.context.claims[ag]!;
      const trees = observed.trees[ag]!;
      if (first.damaged.inAg(ag, AG_DAMAGE.rmap) && trees.seen.rmapbt?.complete) {
        differing(claims, observed.context.recorded[ag]!, inodes);
      }
      const free = first.damaged.codes.has('BLOCK_CLAIMED_FREE') ? freeExtents(trees) : undefined;
      if (free) claimsOnFree(claims, free, inodes);
    }
  }
  const unknown = state.chunks ? unknownChunks(state, state.chunks, inodes) : 0;
  const entries = new EntryEvidence(state, inodes, unknown > 0 ? 'all' : 'likely');
  for (const inode of entries.mistyped) inodes.add(inode);
  for (const inode of entries.dangling) if (geometry.isInode(inode)) inodes.add(inode);
  return { inodes, entries };
}

/** Owners of claims that the register does not have, and of what only the register has. */
function differing(claims: ExtentTable, recorded: ExtentTable, into: Set<number>): void {
  let i = 0;
  let k = 0;
  while (i < claims.length || k < recorded.length) {
    const order = i >= claims.length ? 1 : k >= recorded.length ? -1 : claims.compare(i, recorded, k);
    if (order === 0) {
      const same = claims.count[i] === recorded.count[k] && claims.offsetHi[i] === recorded.offsetHi[k];
      if (!same && !claims.isSpecial(i)) into.add(claims.owner(i));
      i++;
      k++;
    } else if (order < 0) {
      if ((claims.marks[i]! & MARK.registered) === 0 && !claims.isSpecial(i)) into.add(claims.owner(i));
      i++;
    } else {
      if (!recorded.isSpecial(k)) into.add(recorded.owner(k));
      k++;
    }
  }
}

function claimsOnFree(
  claims: ExtentTable,
  free: { length: number; start: Uint32Array; count: Uint32Array },
  into: Set<number>,
): void {
  let k = 0;
  for (let i = 0; i < claims.length; i++) {
    if (claims.isSpecial(i)) continue;
    while (k < free.length && free.start[k]! + free.count[k]! <= claims.start[i]!) k++;
    if (k < free.length && free.start[k]! < claims.start[i]! + claims.count[i]!) into.add(claims.owner(i));
  }
}

/** What is wrong in chunks that the check's inode table does not have; returns how many chunks those are. */
function unknownChunks(state: RepairState, chunks: readonly ChunkList[], into: Set<number>): number {
  const { geometry, first, plan } = state;
  let found = 0;
  const unknown = chunks.map((list, ag) => {
    const some = new ChunkList();
    const before = first.observed?.trees[ag]?.chunks;
    if (list === before) return some;
    const known = new Map<number, number>();
    if (before) for (let i = 0; i < before.length; i++) known.set(before.start[i]!, before.holemask[i]!);
    for (let chunk = 0; chunk < list.length; chunk++) {
      if (known.get(list.start[chunk]!) === list.holemask[chunk]) continue;
      some.push(list.start[chunk]!, list.holemask[chunk]!, list.freeHi[chunk]!, list.freeLo[chunk]!);
      found++;
    }
    return some;
  });
  if (found === 0) return 0;
  // Looked at as the check would have done: thousands of sound inodes need no mending because nobody listed them.
  const context = new CheckContext(plan, geometry, new ProblemLog(0, Number.POSITIVE_INFINITY), {});
  const table = new InodeTable(geometry, unknown, true);
  const observer = new InodeObserver(context, table, new Counts());
  for (let ag = 0; ag < geometry.agCount; ag++) observer.run(ag);
  for (const inode of context.problems.damaged.inodes.keys()) into.add(inode);
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const recorded = first.observed?.context.recorded[ag];
    if (!recorded || recorded.length === 0) continue;
    const theirs = picked(recorded, (row) => !recorded.isSpecial(row) && table.indexOf(recorded.owner(row)) !== NONE);
    context.claims[ag]!.sort();
    differing(context.claims[ag]!, theirs, into);
  }
  return found;
}
