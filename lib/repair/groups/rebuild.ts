/**
 * Stage 4: AG headers and trees from the claims. Free space is what nobody claims; the reverse map, refcounts and checksums
 * follow from the claims, the inode trees from the inodes. Nothing of an old tree is kept but data checksums.
 *
 * 1. An AG is rebuilt whole or only its headers are written again: a wrong counter costs no tree.
 * 2. New trees go where nobody's bytes are as long as there is room; old trees are overwritten last.
 * 3. All lists of unlinked inodes are emptied: stage 5 frees or links what was on them.
 */
import { Agf, Agi } from '../../../formats/ag-headers.ts';
import { forEachActiveSlot } from '../../../formats/ag-verify.ts';
import { InodeCore } from '../../../formats/inode.ts';
import { NULL32 } from '../../../formats/struct.ts';
import { freeExtents } from '../../check/compare/counters.ts';
import { Cancelled } from '../../check/context.ts';
import { AG_DAMAGE } from '../../check/damaged.ts';
import type { ProblemCode } from '../../check/problem-table.ts';
import type { TreeName } from '../../space/allocation-group.ts';
import { readSlot, writeSlot } from '../slot.ts';
import type { RepairState } from '../state.ts';
import { ChunkRecords } from './ag-records.ts';
import { newestChunk, type TreeRoot, writeFreeHeaders, writeInodeHeader } from './headers.ts';
import { rebuildGroup } from './rebuild-group.ts';
import { mendCopies, mendCounters } from './superblocks.ts';

/** Throws `noSpace`: then the image cannot be repaired in its size. */
export function rebuildGroups(state: RepairState): void {
  const { geometry, options } = state;
  emptyChains(state);
  for (let ag = 0; ag < geometry.agCount; ag++) {
    if (options.signal?.aborted) throw new Cancelled();
    options.progress?.('groups', ag, geometry.agCount);
    const chunks = new ChunkRecords(geometry, state.claims.inodes, ag);
    const need = needOf(state, ag, chunks);
    if (need === 'trees') rebuildGroup(state, ag, chunks);
    else if (need === 'headers') rewriteHeaders(state, ag, chunks);
  }
  mendCounters(state);
  mendCopies(state);
}

type Need = 'nothing' | 'headers' | 'trees';

/** Damage that always takes new trees. */
const TREE_DAMAGE =
  AG_DAMAGE.free | AG_DAMAGE.rmap | AG_DAMAGE.refcounts | AG_DAMAGE.checksums | AG_DAMAGE.blocks | AG_DAMAGE.unreadable;
/** Codes of AG_DAMAGE.inodes and .headers that new trees mend and headers alone do not. */
const BEYOND_HEADERS: readonly ProblemCode[] = [
  'INODE_RECORD',
  'FREE_INODE_TREE',
  'TREE_BLOCK',
  'TREE_ORDER',
  'TREE_KEY',
  'TREE_SIBLING',
  'TREE_UNDERFULL',
  'TREE_RECORD',
  'AGFL_BAD',
];

function needOf(state: RepairState, ag: number, chunks: ChunkRecords): Need {
  const { damaged, observed } = state.first;
  if (!observed || state.dirtyAgs.has(ag) || state.claims.changedAgs.has(ag)) return 'trees';
  if (damaged.inAg(ag, TREE_DAMAGE) || !chunks.sameAs(observed.trees[ag]!.chunks)) return 'trees';
  if (!damaged.inAg(ag, AG_DAMAGE.headers | AG_DAMAGE.counters | AG_DAMAGE.inodes)) return 'nothing';
  const { agf, agi, freeListKnown } = observed.headers[ag]!;
  const isWhole = Object.values(observed.trees[ag]!.seen).every((seen) => seen.complete);
  const isBeyond =
    damaged.inAg(ag, AG_DAMAGE.headers | AG_DAMAGE.inodes) && BEYOND_HEADERS.some((code) => damaged.codes.has(code));
  return agf && agi && freeListKnown && isWhole && !isBeyond ? 'headers' : 'trees';
}

/** The trees are right: store what they hold. */
function rewriteHeaders(state: RepairState, ag: number, chunks: ChunkRecords): void {
  const { plan, geometry, report } = state;
  const { headers, trees } = state.first.observed!;
  const { seen } = trees[ag]!;
  const agf = Agf.at(headers[ag]!.agf!);
  const agi = Agi.at(headers[ag]!.agi!);
  const root = (name: TreeName, pointer: number, height: number): { [name: string]: TreeRoot } =>
    seen[name] ? { [name]: { root: pointer, height, blocks: seen[name].blocks } } : {};
  const agfl = new Uint8Array(geometry.sectorSize);
  plan.read(geometry.agHeaderDaddr(ag, 3) * 512, agfl);
  const freeList: number[] = [];
  forEachActiveSlot(agf.view, new DataView(agfl.buffer), geometry, (_slot, block) => freeList.push(block));
  const roots = {
    ...root('bnobt', agf.bnoRoot, agf.bnoLevel),
    ...root('cntbt', agf.cntRoot, agf.cntLevel),
    ...root('rmapbt', agf.rmapRoot, agf.rmapLevel),
    ...root('refcountbt', agf.refcountRoot, agf.refcountLevel),
    ...root('csumbt', agf.csumRoot, agf.csumLevel),
    ...root('inobt', agi.root, agi.level),
    ...root('finobt', agi.freeRoot, agi.freeLevel),
  };
  writeFreeHeaders(plan, geometry, ag, roots, freeExtents(trees[ag]!)!, freeList);
  writeInodeHeader(
    plan,
    geometry,
    ag,
    roots,
    chunks.inodes,
    chunks.freeInodes,
    newestChunk(plan, geometry, ag, chunks),
  );
  report.did('ag', 'headers written again: counters as counted in the trees, which are right', { ag });
}

/** No inode points at another one as the next unlinked one. */
function emptyChains(state: RepairState): void {
  const { plan, geometry, report } = state;
  const { inodes } = state.claims;
  const { chained } = inodes;
  let mended = 0;
  for (let i = 0; i < chained.length; i += 2) {
    const number = inodes.numberOf(chained[i]!);
    const slot = readSlot(plan, geometry, number);
    if (slot.getUint32(InodeCore.offsets.nextUnlinked) === NULL32) continue;
    slot.setUint32(InodeCore.offsets.nextUnlinked, NULL32);
    writeSlot(plan, geometry, number, slot);
    mended++;
  }
  if (mended > 0) report.did('ag', `${mended} inodes taken out of lists of unlinked inodes`);
}
