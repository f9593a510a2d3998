/**
 * Which inodes stage 1 looks at: those the check found fault with, those whose forks and the register disagree, those
 * that claim blocks which are free, and whatever is wrong in chunks that the check did not know. Sound inodes cost nothing.
 */

import { type ExtentTable, MARK } from '../../check/claims.ts';
import { freeExtents } from '../../check/compare/counters.ts';
import { AG_DAMAGE } from '../../check/damaged.ts';
import { ChunkList, InodeTable, NONE } from '../../check/inode-table.ts';
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
  const { geometry, first } = state;
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
  // As a check would find: thousands of sound inodes need no mending because nobody listed them.
  const { tables, faulty } = state.claims;
  for (const inode of faulty) into.add(inode);
  const table = new InodeTable(geometry, unknown, true);
  const isTheirs = (rows: ExtentTable, row: number): boolean => {
    if (rows.isSpecial(row)) return false;
    const owner = rows.owner(row);
    return (unknown[geometry.agOfInode(owner)]?.length ?? 0) > 0 && table.indexOf(owner) !== NONE;
  };
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const recorded = first.observed?.context.recorded[ag];
    if (!recorded || recorded.length === 0) continue;
    const claims = tables[ag]!;
    differing(
      picked(claims, (row) => isTheirs(claims, row)),
      picked(recorded, (row) => isTheirs(recorded, row)),
      into,
    );
  }
  return found;
}
