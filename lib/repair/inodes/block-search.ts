/**
 * Blocks that say whose they are and that nobody points at any more: of extent trees and of directories. The register names
 * them; where there is none, all blocks that are not free are looked through once, and those that say they belong to one of
 * the damaged inodes are remembered.
 */
import { checkBlock } from '../../../formats/block-type.ts';
import { BTREES, LongHeader, maxNodeRecords } from '../../../formats/btree-blocks.ts';
import {
  DIR_BLOCK,
  DIR_BLOCK_MAGIC,
  DIR_DATA,
  DIR_DATA_MAGIC,
  DIR_DOT_OFFSET,
  DirDataHeader,
} from '../../../formats/directory.ts';
import { getU64 } from '../../../formats/struct.ts';
import { CadastreError } from '../../errors.ts';
import type { PlanReader } from '../forks/plan-reader.ts';
import type { TreeEvidence } from '../forks/read-fork.ts';
import { Records } from '../forks/records.ts';
import { coveredBy, touches } from '../groups/runs.ts';
import { ForkExtents } from '../pending.ts';
import type { RepairState } from '../state.ts';
import { peek } from './peek.ts';
import type { Witness } from './witness.ts';

const PIECE = 1 << 20;
/** Levels that a tree has at most, and extents of a leaf that are looked at. */
const MOST_LEVELS = 10;
const MOST_LOOKED_AT = 8;
const { offsets } = DirDataHeader;

/** A sound block of a directory. */
interface DirectoryBlock {
  readonly fsBlock: number;
  /** The directory's only block, with its index in it. */
  readonly isWhole: boolean;
  /** It starts with ".". */
  readonly isFirst: boolean;
  readonly lsnHi: number;
  readonly lsnLo: number;
}

export class BlockSearch {
  readonly #state: RepairState;
  readonly #reader: PlanReader;
  readonly #witness: Witness;
  readonly #inodes: ReadonlySet<number>;
  /** By owner. */
  readonly #trees = new Map<number, number[]>();
  readonly #directories = new Map<number, DirectoryBlock[]>();
  #isDone = false;

  constructor(state: RepairState, reader: PlanReader, witness: Witness, inodes: ReadonlySet<number>) {
    this.#state = state;
    this.#reader = reader;
    this.#witness = witness;
    this.#inodes = inodes;
  }

  /** What is known of the blocks of a fork's tree besides what they say of each other. */
  ofTree(inode: number, attr: boolean): TreeEvidence {
    return {
      blocks: () => this.#blocksOf(inode, attr),
      isElsewhere: ({ fsBlock, owner }) =>
        (this.#witness.freeBlocks(fsBlock, 1) ?? 0) > 0 || this.#witness.isTreeBlockOf(fsBlock, owner),
    };
  }

  /** fs blocks that may belong to the tree of a fork. */
  *#blocksOf(inode: number, attr: boolean): Iterable<number> {
    const registered = this.#witness.registered(inode, attr)?.treeBlocks ?? [];
    yield* registered;
    if (this.#witness.registerWhole) return;
    this.#search();
    for (const fsBlock of this.#trees.get(inode) ?? [])
      if (this.#isOfAttributes(fsBlock, inode) === attr) yield fsBlock;
  }

  /** Which fork a block of a tree belongs to it does not say; the first blocks that it leads to do, if they are attributes. */
  #isOfAttributes(fsBlock: number, inode: number): boolean {
    const { blockSize } = this.#reader.geometry;
    for (let block = fsBlock, steps = 0; steps < MOST_LEVELS; steps++) {
      const view = this.#reader.geometry.isFsBlock(block) ? this.#reader.raw(block) : undefined;
      if (view?.getUint32(0) !== BTREES.bmbt.magic) return false;
      if (view.getUint16(LongHeader.offsets.level) === 0) {
        const records = new Records();
        const count = Math.min(MOST_LOOKED_AT, view.getUint16(LongHeader.offsets.numrecs));
        for (let i = 0; i < count; i++) records.take(view, LongHeader.size + 16 * i);
        return records.startBlock.some((start) => peek(this.#reader, start, inode) === 'attributes');
      }
      block = getU64(view, LongHeader.size + 8 * maxNodeRecords(BTREES.bmbt, blockSize));
    }
    return false;
  }

  /**
   * The blocks with entries of a directory whose inode is gone, nobody else's, as its data fork: the one with "." first. Where
   * the others stood in the directory they do not say; it does not matter to their entries. Empty when the register is whole.
   */
  directory(inode: number): ForkExtents {
    const extents = new ForkExtents();
    if (this.#witness.registerWhole) return extents;
    this.#search();
    const { dirBlockBlocks } = this.#state.geometry;
    let next = 1;
    for (const { fsBlock, isFirst } of ofOneTime(this.#directories.get(inode) ?? [])) {
      const place = isFirst ? 0 : next++;
      extents.push(place * dirBlockBlocks, fsBlock, dirBlockBlocks, false);
    }
    return extents;
  }

  #search(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    const { geometry, options } = this.#state;
    const { blockSize } = geometry;
    const bytes = new Uint8Array(Math.max(PIECE, blockSize));
    const view = new DataView(bytes.buffer);
    const per = Math.floor(bytes.length / blockSize);
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const length = geometry.agLength(ag);
      for (let block = 0; block < length; block += per) {
        const count = Math.min(per, length - block);
        if (block % (per * 64) === 0) options.progress?.('search', ag * geometry.agBlocks + block, geometry.blocks);
        if (this.#witness.freeBlocks(geometry.fsBlock(ag, block), count) === count) continue;
        if (!this.#read(geometry.agBlockToByte(ag, block), bytes.subarray(0, count * blockSize))) continue;
        for (let i = 0; i < count; i++) this.#look(view, i * blockSize, ag, block + i);
      }
    }
    this.#dropClaimed();
  }

  #look(view: DataView, offset: number, ag: number, agBlock: number): void {
    const magic = view.getUint32(offset);
    const isTree = magic === BTREES.bmbt.magic;
    if (!isTree && magic !== DIR_BLOCK_MAGIC && magic !== DIR_DATA_MAGIC) return;
    const { geometry } = this.#state;
    const owner = getU64(view, offset + (isTree ? LongHeader.offsets.owner : offsets.owner));
    if (!this.#inodes.has(owner)) return;
    const own = getU64(view, offset + (isTree ? LongHeader.offsets.blkno : offsets.blkno));
    if (own !== geometry.agBlockToDaddr(ag, agBlock)) return;
    const fsBlock = geometry.fsBlock(ag, agBlock);
    if ((this.#witness.freeBlocks(fsBlock, 1) ?? 0) > 0) return;
    if (isTree) add(this.#trees, owner, fsBlock);
    else if (!this.#witness.hasRegister(ag)) this.#directoryBlock(owner, fsBlock, magic === DIR_BLOCK_MAGIC);
  }

  /** Remember a block if it is sound as a whole. */
  #directoryBlock(owner: number, fsBlock: number, isWhole: boolean): void {
    const { geometry } = this.#state;
    const { dirBlockBlocks, dirBlockSize } = geometry;
    const last = fsBlock + dirBlockBlocks - 1;
    if (!geometry.isFsBlock(last) || geometry.agOfFsBlock(last) !== geometry.agOfFsBlock(fsBlock)) return;
    const data = new Uint8Array(dirBlockSize);
    if (!this.#read(geometry.fsBlockToByte(fsBlock), data)) return;
    const view = new DataView(data.buffer);
    if (checkBlock(isWhole ? DIR_BLOCK : DIR_DATA, data, view, geometry, geometry.fsBlockToDaddr(fsBlock))) return;
    const isFirst = isWhole || (view.getUint8(DIR_DOT_OFFSET + 8) === 1 && view.getUint8(DIR_DOT_OFFSET + 9) === 0x2e);
    const lsnHi = view.getUint32(offsets.lsn);
    const lsnLo = view.getUint32(offsets.lsn + 4);
    add(this.#directories, owner, { fsBlock, isWhole, isFirst, lsnHi, lsnLo });
  }

  /** Blocks that somebody claims are not lost, whatever is left in them. */
  #dropClaimed(): void {
    if (this.#directories.size === 0) return;
    const { geometry, claims } = this.#state;
    const covered = claims.tables.map(coveredBy);
    for (const [owner, blocks] of this.#directories) {
      const lost = blocks.filter(({ fsBlock }) => {
        const ag = geometry.agOfFsBlock(fsBlock);
        return !touches(covered[ag]!, geometry.agBlockOfFsBlock(fsBlock), geometry.dirBlockBlocks);
      });
      this.#directories.set(owner, lost);
    }
  }

  #read(byte: number, into: Uint8Array): boolean {
    try {
      this.#state.plan.read(byte, into);
      return true;
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'device') throw error;
      return false;
    }
  }
}

function add<T>(map: Map<number, T[]>, owner: number, item: T): void {
  const list = map.get(owner);
  if (list) list.push(item);
  else map.set(owner, [item]);
}

/**
 * Of what may be the leavings of several times the blocks of the last one: a directory has one first block, the newest. If that is
 * its only block, there are no others.
 */
function ofOneTime(blocks: readonly DirectoryBlock[]): DirectoryBlock[] {
  let newest: DirectoryBlock | undefined;
  for (const each of blocks) {
    if (!each.isFirst) continue;
    const isNewer = !newest || each.lsnHi > newest.lsnHi || (each.lsnHi === newest.lsnHi && each.lsnLo > newest.lsnLo);
    if (isNewer) newest = each;
  }
  const others = newest?.isWhole ? [] : blocks.filter(({ isFirst }) => !isFirst);
  return newest ? [newest, ...others] : others;
}
