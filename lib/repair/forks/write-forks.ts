/**
 * Stage 3: forks that have to be written anew get their form: a list inside the inode where it fits, an extent tree in
 * free blocks near the data where it does not. Counts, formats, `nblocks` and the CRC follow; the size stays.
 */
import { MAX_EXTENT_BLOCKS } from '../../../formats/btree-blocks.ts';
import { writeExtent } from '../../../formats/extent.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import {
  attrForkBytes,
  attrForkOffset,
  DATA_FORK_OFFSET,
  dataForkBytes,
  FORMAT,
  InodeCore,
  maxInlineExtents,
  maxRootRecords,
  setAttrExtentCount,
  setDataExtentCount,
} from '../../../formats/inode.ts';
import { setU64 } from '../../../formats/struct.ts';
import { bulkLoad, bulkShape, TREE_TYPES, Tree } from '../../btree/btree.ts';
import { BufferCache } from '../../buffer/cache.ts';
import { DirectTransaction } from '../../buffer/direct.ts';
import { internal } from '../../errors.ts';
import type { ForkExtents, PendingFork } from '../pending.ts';
import { readSlot, writeSlot } from '../slot.ts';
import type { RepairState } from '../state.ts';
import { blankForkBytes } from './blank.ts';
import { forkOfSlot } from './extents.ts';
import { makeDataRoom } from './fork-room.ts';
import { PlanReader } from './plan-reader.ts';
import { readFork } from './read-fork.ts';
import { Records } from './records.ts';

const at = InodeCore.offsets;

/** Write every pending fork onto the plan. Throws `noSpace`, which says how many blocks are missing. */
export function writeForks(state: RepairState): void {
  const forks = [...state.pending];
  if (forks.length === 0) return;
  const writer = new ForkWriter(state);
  forks.forEach((fork, i) => {
    if (i % 256 === 0) state.options.progress?.('forks', i, forks.length);
    writer.write(fork);
  });
  writer.finish(new Set(forks.map((fork) => fork.inode)));
  state.forksWritten();
}

class ForkWriter {
  readonly #state: RepairState;
  readonly #geometry: Geometry;
  readonly #tx: DirectTransaction;

  constructor(state: RepairState) {
    this.#state = state;
    this.#geometry = state.geometry;
    this.#tx = new DirectTransaction(new BufferCache(state.plan, state.geometry));
  }

  write({ inode, attr, extents }: PendingFork): void {
    const { plan } = this.#state;
    const geometry = this.#geometry;
    const slot = readSlot(plan, geometry, inode);
    const records = cut(extents);
    if (attr && slot.getUint8(at.forkoff) === 0) {
      if (records.length === 0) return;
      throw internal(`inode ${inode}: an attribute fork is to be written where there is none`);
    }
    blankForkBytes(slot, geometry, attr);
    if (records.length > maxInlineExtents(forkBytes(slot, geometry, attr).byteLength)) {
      if (!attr && maxRootRecords(dataForkBytes(slot, 0, geometry.inodeSize)) < 1) {
        makeDataRoom(this.#state, slot, inode);
      }
      this.#tree(slot, inode, attr, records);
    } else {
      const fork = forkBytes(slot, geometry, attr);
      for (let i = 0; i < records.length; i++) put(records, fork, i * 16, i);
    }
    if (attr) setAttrExtentCount(slot, 0, records.length);
    else setDataExtentCount(slot, 0, records.length);
    writeSlot(plan, geometry, inode, slot);
  }

  #tree(slot: DataView, inode: number, attr: boolean, records: Records): void {
    const geometry = this.#geometry;
    const { free } = this.#state;
    const root = forkBytes(slot, geometry, attr);
    const shape = bulkShape(TREE_TYPES.bmbt, geometry, records.length, {}, maxRootRecords(root.byteLength));
    const pointers: number[] = [];
    for (const run of free.takeAll(shape.blocks, records.startBlock[0])) {
      for (let i = 0; i < run.blockCount; i++) pointers.push(run.fsBlock + i);
    }
    const never = (): never => {
      throw internal('the blocks of this tree were chosen before');
    };
    const blocks = {
      owner: inode,
      daddr: (pointer: number) => geometry.fsBlockToDaddr(pointer),
      allocate: never,
      free: never,
    };
    const tree = new Tree(TREE_TYPES.bmbt, geometry, { view: () => root, change: () => {} }, blocks);
    bulkLoad(this.#tx, tree, records.length, (view, offset, i) => put(records, view, offset, i), { pointers });
    slot.setUint8(attr ? at.aformat : at.format, FORMAT.BTREE);
    this.#tx.commit();
  }

  /** Everything is on the plan; then the inodes' block counts are what their forks hold. */
  finish(inodes: ReadonlySet<number>): void {
    this.#tx.close();
    const { plan } = this.#state;
    for (const inode of inodes) {
      const slot = readSlot(plan, this.#geometry, inode);
      setU64(slot, at.nblocks, countBlocks(new PlanReader(plan, this.#geometry), slot, inode));
      writeSlot(plan, this.#geometry, inode, slot);
    }
  }
}

/** Blocks that both forks of an inode hold, those of their trees included. */
export function countBlocks(reader: PlanReader, slot: DataView, inode: number): number {
  let blocks = 0;
  for (const attr of [false, true]) {
    const fork = forkOfSlot(reader.geometry, slot, inode, attr);
    if (!fork) continue;
    const { records, treeBlocks } = readFork(reader, fork);
    blocks += treeBlocks.length;
    for (let i = 0; i < records.length; i++) blocks += records.blockCount[i]!;
  }
  return blocks;
}

function forkBytes(slot: DataView, geometry: Geometry, attr: boolean): DataView {
  const start = attr ? attrForkOffset(slot, 0) : DATA_FORK_OFFSET;
  const bytes = attr ? attrForkBytes(slot, 0, geometry.inodeSize) : dataForkBytes(slot, 0, geometry.inodeSize);
  return new DataView(slot.buffer, slot.byteOffset + start, bytes);
}

function put(records: Records, view: DataView, offset: number, i: number): void {
  const { fileBlock, startBlock, blockCount, unwritten } = records;
  writeExtent(view, offset, fileBlock[i]!, startBlock[i]!, blockCount[i]!, unwritten[i]!);
}

/** Extents as records: none longer than a record can say. */
function cut(extents: ForkExtents): Records {
  const records = new Records();
  for (let i = 0; i < extents.length; i++) {
    const count = extents.blockCount[i]!;
    for (let done = 0; done < count; done += MAX_EXTENT_BLOCKS) {
      const piece = Math.min(MAX_EXTENT_BLOCKS, count - done);
      records.push(extents.fileBlock[i]! + done, extents.startBlock[i]! + done, piece, extents.unwritten[i]!);
    }
  }
  return records;
}
