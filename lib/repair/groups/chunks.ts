/**
 * Which inode chunks there are. The inode tree says so first; where it is damaged, or somebody misses an inode, the
 * register, the free-inode tree and the inodes themselves say the rest.
 *
 * 1. A record whose blocks hold no inodes is dropped: nobody may write inodes over what stands there instead.
 * 2. A chunk that only the search found counts when something names its inodes, or when it stands in nobody's way
 *    (chunk-judge.ts). Inodes inside a file's data name other places and are never found.
 * 3. The chunk of the root inode exists whatever its blocks hold.
 * 4. Only AGs with a reason are looked at; the others keep the list of the first check, the very same object.
 */
import { BTREES, InobtRecord, RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { CheckResult } from '../../check/check.ts';
import { freeExtents } from '../../check/compare/counters.ts';
import { AG_DAMAGE, INODE_DAMAGE } from '../../check/damaged.ts';
import { CHUNK, ChunkList, NONE, wholeBlockHoles } from '../../check/inode-table.ts';
import type { AgTrees } from '../../check/observe/ag-trees.ts';
import type { ProblemCode } from '../../check/problem-table.ts';
import { RunList } from '../../check/rows.ts';
import type { RepairState } from '../state.ts';
import { scanBlocks, withoutHoles } from './block-scan.ts';
import { type FoundChunk, judgeChunks } from './chunk-judge.ts';
import { ChunkMap } from './chunk-map.ts';
import { probeChunks } from './chunk-probe.ts';
import { BlockLook, ChunkLook } from './inode-look.ts';
import { asSet, complement, coveredBy, subtract, touches, unite } from './runs.ts';
import { soundTreeBlock } from './tree-search.ts';

/** By AG. The same lists as those of the first check where nothing has to be decided. */
export function decideChunks(state: RepairState): readonly ChunkList[] {
  const { geometry, first } = state;
  const { observed } = first;
  if (!observed) return Array.from({ length: geometry.agCount }, () => new ChunkList());
  const wanted = wantedBlocks(first, geometry);
  const lists: ChunkList[] = [];
  const found: FoundChunk[] = [];
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const list = new AgChunks(state, ag, observed.trees[ag]!, wanted[ag]!).run();
    lists.push(list.chunks);
    for (const start of list.unconfirmed) found.push({ ag, start });
  }
  return found.length === 0 ? lists : judgeChunks(state, lists, found);
}

/** By AG, blocks in which an inode should be that nobody knows: named by entries, or by the superblock. */
function wantedBlocks({ problems }: CheckResult, geometry: Geometry): RunList[] {
  const lists = Array.from({ length: geometry.agCount }, () => new RunList());
  for (const { code, found, where } of problems) {
    const inode = code === 'ENTRY_DANGLING' ? Number(found) : code === 'SPECIAL_INODE' ? where.inode : undefined;
    if (inode === undefined || !geometry.isInode(inode)) continue;
    const block = geometry.agBlockOfAgInode(geometry.agInodeOfInode(inode));
    lists[geometry.agOfInode(inode)]!.push(block, 1);
  }
  return lists.map(asSet);
}

/** Problems of inode trees that may hide or move a chunk. */
const RECORD_CODES: readonly ProblemCode[] = [
  'INODE_RECORD',
  'FREE_INODE_TREE',
  'TREE_BLOCK',
  'TREE_ORDER',
  'TREE_KEY',
  'TREE_SIBLING',
  'TREE_UNDERFULL',
];

/** The chunks of one AG. */
class AgChunks {
  readonly #state: RepairState;
  readonly #geometry: Geometry;
  readonly #ag: number;
  readonly #trees: AgTrees;
  readonly #wanted: RunList;
  readonly #look: ChunkLook;
  readonly #map: ChunkMap;

  constructor(state: RepairState, ag: number, trees: AgTrees, wanted: RunList) {
    this.#state = state;
    this.#geometry = state.geometry;
    this.#ag = ag;
    this.#trees = trees;
    this.#wanted = wanted;
    this.#look = new ChunkLook(state.plan, state.geometry);
    this.#map = new ChunkMap(state.geometry, ag);
  }

  run(): { chunks: ChunkList; unconfirmed: readonly number[] } {
    const { chunks } = this.#trees;
    const same = { chunks, unconfirmed: [] };
    const isDamaged = this.#isTreeDamaged();
    const suspects = this.#suspects();
    const missed = this.#missedByRegister();
    const places = this.#places(isDamaged, missed);
    if (!isDamaged && suspects.size === 0 && places.length === 0) return same;
    for (let chunk = 0; chunk < chunks.length; chunk++) this.#keep(chunk, suspects.has(chunk));
    if (places.length > 0) this.#search(places, missed);
    this.#makeFirst();
    return this.#map.isSameAs(chunks) ? same : this.#listed();
  }

  #isTreeDamaged(): boolean {
    return (
      this.#trees.seen.inobt?.complete !== true ||
      (this.#state.first.damaged.inAg(this.#ag, AG_DAMAGE.inodes) && this.#hasRecordProblems())
    );
  }
  /** Of all that damages inode trees, what may hide or move a chunk. */
  #hasRecordProblems(): boolean {
    const { codes } = this.#state.first.damaged;
    return RECORD_CODES.some((code) => codes.has(code));
  }

  /** Chunks of the inode tree whose blocks have to be looked at: numbers in the list. */
  #suspects(): Set<number> {
    const { first } = this.#state;
    const { damaged, observed } = first;
    const { inodes } = observed!;
    const { chunks } = this.#trees;
    const suspects = new Set<number>();
    for (const [inode, bits] of damaged.inodes) {
      if ((bits & INODE_DAMAGE.core) === 0) continue;
      const index = inodes.indexOf(inode);
      if (index === NONE || inodes.agOf(index) !== this.#ag) continue;
      suspects.add(Math.floor(index / CHUNK) - inodes.firstChunk[this.#ag]!);
    }
    if (damaged.codes.has('INODE_RECORD') && damaged.inAg(this.#ag, AG_DAMAGE.inodes)) {
      for (let chunk = 0; chunk < chunks.length; chunk++) suspects.add(chunk);
    }
    return suspects;
  }

  /** Blocks of inodes, by the register, that no chunk has. */
  #missedByRegister(): RunList {
    const { recorded } = this.#state.first.observed!.context;
    const table = recorded[this.#ag]!;
    const list = new RunList();
    for (let row = 0; row < table.length; row++) {
      const isInodes = table.isSpecial(row) && table.ownerLo[row] === RMAP_OWNER.INODES;
      if (isInodes) list.push(table.start[row]!, table.count[row]!);
    }
    return subtract(asSet(list), this.#chunkBlocks());
  }

  /** Blocks of the chunks that the inode tree has. */
  #chunkBlocks(): RunList {
    const map = new ChunkMap(this.#geometry, this.#ag);
    const { chunks } = this.#trees;
    for (let i = 0; i < chunks.length; i++) map.add(chunks.start[i]!, chunks.holemask[i]!);
    return map.blocks();
  }

  /** Where inodes may be that the inode tree does not have. */
  #places(isDamaged: boolean, missed: RunList): RunList {
    const { first } = this.#state;
    const { context } = first.observed!;
    const named = unite(missed, subtract(this.#wanted, this.#chunkBlocks()));
    // A register that is whole says where inodes are.
    const hasRegister = this.#trees.seen.rmapbt?.complete === true && !first.damaged.inAg(this.#ag, AG_DAMAGE.rmap);
    if (hasRegister || (!isDamaged && !context.claimsComplete)) return named;
    const length = this.#geometry.agLength(this.#ag);
    const unclaimed = complement(coveredBy(context.claims[this.#ag]!), this.#geometry.headerBlocks, length);
    const free = freeExtents(this.#trees);
    const isFreeKnown = free !== undefined && !first.damaged.inAg(this.#ag, AG_DAMAGE.free);
    const lost = isFreeKnown ? subtract(unclaimed, asSet(copyOf(free))) : isDamaged ? unclaimed : new RunList();
    return unite(named, lost);
  }

  /** Take over a record of the inode tree, if inodes live in its blocks. */
  #keep(chunk: number, isSuspect: boolean): void {
    const { chunks } = this.#trees;
    const start = chunks.start[chunk]!;
    let holemask = chunks.holemask[chunk]!;
    if (isSuspect) {
      holemask = wholeBlockHoles(this.#geometry, holemask);
      const { report } = this.#state;
      if (this.#look.look(this.#ag, start, holemask) === 0 && !this.#isFirst(start)) {
        const text = `inode chunk at inode ${this.#geometry.inodeNumber(this.#ag, start)} dropped: no inode is there`;
        report.lose('inode', text);
        return;
      }
      holemask = this.#withoutStrangers(start, holemask);
    }
    this.#map.add(start, holemask);
  }

  /** The chunk of the root inode is kept whatever is there: it has to be made again in its place. */
  #isFirst(start: number): boolean {
    const { rootInode } = this.#geometry;
    const root = this.#geometry.agInodeOfInode(rootInode);
    return this.#geometry.agOfInode(rootInode) === this.#ag && root >= start && root < start + CHUNK;
  }

  /** Where the root inode belongs there is a chunk, whatever is left of it: mkfs put it there, and it never moves. */
  #makeFirst(): void {
    const { rootInode } = this.#geometry;
    if (this.#geometry.agOfInode(rootInode) !== this.#ag) return;
    this.#map.addFirst(this.#geometry.agInodeOfInode(rootInode));
  }

  /** Pieces of a sparse chunk that hold no inodes and belong to somebody else are holes. */
  #withoutStrangers(start: number, holemask: number): number {
    const { features, inodesPerBlock, sparseAlignment } = this.#geometry;
    if (!features.sparse || sparseAlignment === 0) return holemask;
    const step = Math.min(CHUNK, Math.max(4, sparseAlignment * inodesPerBlock));
    let mask = holemask;
    for (let slot = 0; slot < CHUNK; slot += step) {
      if (this.#look.isInode.subarray(slot, slot + step).some((is) => is === 1)) continue;
      const block = this.#geometry.agBlockOfAgInode(start + slot);
      if (!this.#belongsToOthers(block, step / inodesPerBlock)) continue;
      for (let bit = slot >> 2; bit < (slot + step) >> 2; bit++) mask |= 1 << bit;
    }
    return mask === 0xffff ? holemask : mask;
  }

  #belongsToOthers(block: number, count: number): boolean {
    if (!this.#others) {
      const claims = this.#state.first.observed!.context.claims[this.#ag]!;
      const list = new RunList();
      for (let row = 0; row < claims.length; row++) {
        if (claims.ownerLo[row] !== RMAP_OWNER.INODES) list.push(claims.start[row]!, claims.count[row]!);
      }
      const free = freeExtents(this.#trees);
      this.#others = free ? unite(asSet(list), asSet(copyOf(free))) : asSet(list);
    }
    return touches(this.#others, block, count);
  }
  /** Blocks that are free or belong to anything but inodes. */
  #others: RunList | undefined;

  /** Look for inodes, and for what is left of the inode trees. */
  #search(places: RunList, register: RunList): void {
    const { plan } = this.#state;
    const { freeChunks } = this.#trees;
    const map = this.#map;
    map.confirmBlocks(register);
    for (let i = 0; i < freeChunks.length; i++) map.confirm(freeChunks.start[i]!);
    const { magic, headerSize, recordSize } = BTREES.inobt;
    const look = new BlockLook(this.#geometry);
    const found = new RunList();
    const all = withoutHoles(plan, this.#geometry, this.#ag, this.#withChunks(places));
    const known = probeChunks(plan, this.#geometry, this.#ag, all, (view, offset, block) => {
      if (look.look(view, offset, this.#ag, block)) found.push(block, 1, look.used);
    });
    scanBlocks(plan, this.#geometry, this.#ag, subtract(all, known), (view, offset, block) => {
      if (look.look(view, offset, this.#ag, block)) found.push(block, 1, look.used);
      const tree = soundTreeBlock(view, offset, this.#geometry, this.#ag, block, [magic, BTREES.finobt.magic]);
      if (tree?.getUint16(4) !== 0) return;
      const count = tree.getUint16(6);
      for (let i = 0; i < count; i++) {
        map.confirm(tree.getUint32(headerSize + i * recordSize + InobtRecord.offsets.startInode));
      }
    });
    found.sort();
    for (let i = 0; i < found.length; i++) map.addBlock(found.start[i]!, found.value[i]!);
  }

  /** Whole chunks of blocks that are named one by one. */
  #withChunks(places: RunList): RunList {
    const length = this.#geometry.agLength(this.#ag);
    const blocks = Math.max(1, CHUNK / this.#geometry.inodesPerBlock);
    const wider = new RunList();
    for (let i = 0; i < this.#wanted.length; i++) {
      const from = Math.max(this.#geometry.headerBlocks, this.#wanted.start[i]! - blocks + 1);
      const to = Math.min(length, this.#wanted.start[i]! + this.#wanted.count[i]! + blocks - 1);
      wider.push(from, to - from);
    }
    return unite(places, subtract(asSet(wider), this.#chunkBlocks()));
  }

  #listed(): { chunks: ChunkList; unconfirmed: readonly number[] } {
    const { report } = this.#state;
    const chunks = new ChunkList();
    const unconfirmed: number[] = [];
    let added = 0;
    this.#map.forEach((start, holemask, isOld, isConfirmed) => {
      this.#look.look(this.#ag, start, holemask);
      const { isUsed } = this.#look;
      let lo = 0;
      let hi = 0;
      for (let slot = 0; slot < CHUNK; slot++) {
        if (isUsed[slot] === 1) continue;
        if (slot < 32) lo |= 1 << slot;
        else hi |= 1 << (slot - 32);
      }
      chunks.push(start, holemask, hi >>> 0, lo >>> 0);
      if (isOld) return;
      added++;
      if (!isConfirmed) unconfirmed.push(start);
    });
    if (added > 0) {
      report.did('inodes', `${added} inode chunks that the inode tree does not have were found`, { ag: this.#ag });
    }
    return { chunks, unconfirmed };
  }
}

function copyOf(list: RunList): RunList {
  const copy = new RunList();
  for (let i = 0; i < list.length; i++) copy.push(list.start[i]!, list.count[i]!);
  return copy;
}
