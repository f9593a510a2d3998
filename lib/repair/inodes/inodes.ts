/**
 * Stage 1: chunks decided, cores mended, forks read as far as they can be. Only inodes that something speaks against are
 * looked at; whatever is believed of their forks stands in the inode on the plan, or is pending.
 */
import { InodeCore } from '../../../formats/inode.ts';
import { NULL32 } from '../../../formats/struct.ts';
import { CHUNK, type ChunkList } from '../../check/inode-table.ts';
import { PlanReader } from '../forks/plan-reader.ts';
import { decideChunks } from '../groups/chunks.ts';
import { readSlot, writeSlot } from '../slot.ts';
import type { RepairState } from '../state.ts';
import { BlockSearch } from './block-search.ts';
import { InodeDecisions } from './decisions.ts';
import { InodeMender } from './mend-inode.ts';
import { sendHome } from './misplaced.ts';
import { findSuspects } from './suspects.ts';
import { LostRuns } from './without-register.ts';
import { Witness } from './witness.ts';

const at = InodeCore.offsets;

export function mendInodes(state: RepairState): void {
  const { geometry, options } = state;
  state.chunks = decideChunks(state);
  unchain(state);
  const { inodes, entries } = findSuspects(state);
  if (inodes.size === 0) return;
  const witness = new Witness(geometry, state.first, inodes);
  const reader = new PlanReader(state.plan, geometry);
  const decisions = new InodeDecisions(state, witness);
  sendHome(state, inodes, (inode) => findSlot(state, inode) !== undefined, decisions);
  const mender = new InodeMender(state, {
    reader,
    witness,
    entries,
    search: new BlockSearch(state, reader, witness, inodes),
    lost: new LostRuns(witness),
    decisions,
  });
  let done = 0;
  // Directories before what they name, as far as numbers go: in disk order.
  for (const inode of [...inodes].sort((a, b) => a - b)) {
    if (done++ % 64 === 0) options.progress?.('inodes', done, inodes.size);
    const place = findSlot(state, inode);
    if (place) mender.mend(inode, place.free);
  }
  mender.finish();
}

/** Is there a slot for this inode, and is it free by its chunk? */
function findSlot(state: RepairState, inode: number): { free: boolean } | undefined {
  const { geometry } = state;
  const ag = geometry.agOfInode(inode);
  const list: ChunkList | undefined = state.chunks?.[ag];
  if (!list) return undefined;
  const agInode = geometry.agInodeOfInode(inode);
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list.start[middle]! <= agInode) low = middle + 1;
    else high = middle;
  }
  const chunk = low - 1;
  if (chunk < 0 || agInode >= list.start[chunk]! + CHUNK) return undefined;
  const slot = agInode - list.start[chunk]!;
  return list.exists(chunk, slot) ? { free: list.isFree(chunk, slot) } : undefined;
}

/** The lists of unlinked inodes are emptied, so no inode may point at a next one. */
function unchain(state: RepairState): void {
  const { observed, damaged } = state.first;
  if (!observed || !(damaged.codes.has('UNLINKED_LIST') || damaged.codes.has('UNLINKED_LEFTOVER'))) return;
  const { inodes } = observed;
  for (let i = 0; i < inodes.chained.length; i += 2) {
    const inode = inodes.numberOf(inodes.chained[i]!);
    const slot = readSlot(state.plan, state.geometry, inode);
    slot.setUint32(at.nextUnlinked, NULL32);
    writeSlot(state.plan, state.geometry, inode, slot);
    state.planChanged(inode);
    state.dirtyAgs.add(state.geometry.agOfInode(inode));
  }
}
