/**
 * Inodes of one AG: chunks of 64, their records in the inode tree and the free-inode tree, and the slots on the disk.
 *
 * 1. The free-inode tree holds exactly the records of the inode tree that have free slots, byte for byte.
 * 2. agi.count and agi.freecount are the sums over the records.
 * 3. Every slot of a chunk is a valid inode on the disk from the moment the chunk exists, in use or not.
 * 4. A chunk whose slots are all free goes back to free space (unless blocks hold more than one chunk).
 */
import { RMAP_OWNER } from '../../formats/btree-blocks.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { FORMAT, INODE_FLAG2, INODE_MAGIC, InodeCore } from '../../formats/inode.ts';
import { INODE_CLUSTER } from '../../formats/inode-verify.ts';
import { NULL32, setU64 } from '../../formats/struct.ts';
import type { Cursor } from '../btree/btree.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { corrupt, internal } from '../errors.ts';
import type { AllocationGroup } from './allocation-group.ts';
import { ensureFreeList } from './free-list.ts';
import { findFrom, findWhole } from './free-space.ts';
import { ChunkRecord, SLOTS, SLOTS_PER_HOLE } from './inode-records.ts';
import { giveBack, takePlace } from './tree-blocks.ts';

const core = InodeCore.view();

/** The cluster buffer that holds an inode. The caller knows that the number lies inside the image. */
export function inodeCluster(reader: BlockReader, ag: number, agInode: number): Buffer {
  const { geometry } = reader;
  const block = geometry.agBlockOfAgInode(agInode);
  const first = block - (block % geometry.clusterBlocks);
  return reader.get(geometry.agBlockToDaddr(ag, first), geometry.clusterBlocks * geometry.blockSize, INODE_CLUSTER);
}
/** Byte offset of an inode's slot inside its cluster buffer. */
export function inodeSlotOffset(geometry: Geometry, agInode: number): number {
  return (agInode % (geometry.clusterBlocks * geometry.inodesPerBlock)) * geometry.inodeSize;
}

const damaged = (ag: AllocationGroup, code: string, message: string, agInode: number) =>
  corrupt(code, message, {
    where: { ag: ag.number, inode: ag.geometry.inodeNumber(ag.number, agInode), structure: 'inobt' },
  });

/** Load the cursor's record; refuse one that contradicts itself or leaves the AG. */
export function loadChunk(ag: AllocationGroup, record: ChunkRecord, cursor: Cursor): ChunkRecord {
  record.load(cursor.view, cursor.offset);
  const { startInode, count, freeCount } = record;
  const first = ag.geometry.agBlockOfAgInode(startInode);
  const last = ag.geometry.agBlockOfAgInode(startInode + SLOTS - 1);
  if (first < ag.geometry.headerBlocks || last >= ag.length || count > SLOTS || count === 0 || freeCount > count) {
    throw damaged(ag, 'INODE_RECORD', `inode record at ${startInode} of AG ${ag.number} is impossible`, startInode);
  }
  return record;
}

export class InodeChunks {
  readonly #geometry: Geometry;
  readonly #record: ChunkRecord;
  readonly #slot: Uint8Array;
  readonly #slotView: DataView;

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
    this.#record = new ChunkRecord(geometry);
    this.#slot = new Uint8Array(geometry.inodeSize);
    this.#slotView = new DataView(this.#slot.buffer);
  }

  /**
   * Take up to `most` free inodes of one existing chunk, close to `near` (an AG inode). @param into gets their AG inodes.
   * @returns false when none is free.
   */
  takeFree(tx: Transaction, ag: AllocationGroup, near: number, most: number, into: number[]): boolean {
    if (ag.agi.freecount === 0) return false;
    const record = this.#record;
    if (!this.#findFree(ag, near)) return false;
    let slot = record.firstFree();
    if (slot < 0)
      throw damaged(ag, 'INODE_RECORD', 'inode record counts free inodes it does not have', record.startInode);
    const inobt = ag.cursor('inobt');
    if (this.#geometry.features.finobt) {
      // The free-inode tree's record was found: the inode tree must say the same.
      if (!inobt.seekEQ(record.startInode) || !record.sameAs(inobt.view, inobt.offset)) {
        throw damaged(ag, 'FINOBT_DIFFERS', 'free-inode tree and inode tree differ', record.startInode);
      }
    }
    let count = 0;
    for (; slot >= 0 && count < most; slot = record.firstFree(), count++) {
      record.setFree(slot, false);
      into.push(record.startInode + slot);
    }
    inobt.update(tx, record.bytes);
    if (this.#geometry.features.finobt) {
      const finobt = ag.cursor('finobt');
      if (record.freeCount === 0) finobt.remove(tx);
      else finobt.update(tx, record.bytes);
    }
    ag.changeAgi(tx).freecount -= count;
    return true;
  }

  /** Take this very inode. @returns false when it is not a free slot of an existing chunk. */
  takeThis(tx: Transaction, ag: AllocationGroup, agInode: number): boolean {
    if (this.state(ag, agInode) !== 'free') return false;
    const record = this.#record;
    const { startInode } = record;
    const inobt = ag.cursor('inobt');
    inobt.seekEQ(startInode);
    record.setFree(agInode - startInode, false);
    inobt.update(tx, record.bytes);
    if (this.#geometry.features.finobt) {
      const finobt = ag.cursor('finobt');
      if (!finobt.seekEQ(startInode)) {
        throw damaged(ag, 'FINOBT_DIFFERS', 'inode record is missing from the free-inode tree', startInode);
      }
      if (record.freeCount === 0) finobt.remove(tx);
      else finobt.update(tx, record.bytes);
    }
    ag.changeAgi(tx).freecount -= 1;
    return true;
  }

  /** Find a record with free slots; the tree's cursor stands on it and `#record` holds it. */
  #findFree(ag: AllocationGroup, near: number): boolean {
    const record = this.#record;
    if (this.#geometry.features.finobt) {
      const cursor = ag.cursor('finobt');
      if (!cursor.seekLE(near) && !cursor.seekFirst()) return false;
      loadChunk(ag, record, cursor);
      return true;
    }
    const cursor = ag.cursor('inobt');
    const hit = (): boolean => loadChunk(ag, record, cursor).freeCount > 0;
    if (cursor.seekLE(near) && hit()) return true;
    const { newino } = ag.agi;
    if (newino !== NULL32 && cursor.seekLE(newino) && hit()) return true;
    for (let ok = cursor.seekLast(); ok; ok = cursor.previous()) if (hit()) return true;
    return false;
  }

  /**
   * Make a chunk of free inodes. @param sparse take a piece of a chunk, where a whole one does not fit.
   * @param near AG block. @param generation of the new slots. @returns false when there is no room in this AG.
   */
  addChunk(tx: Transaction, ag: AllocationGroup, near: number, sparse: boolean, generation: number): boolean {
    const geometry = this.#geometry;
    ensureFreeList(tx, ag);
    const { newino } = ag.agi;
    const hint = newino === NULL32 ? near : geometry.agBlockOfAgInode(newino) + geometry.chunkBlocks;
    let blocks = geometry.chunkBlocks;
    if (!sparse) {
      if (!findWhole(ag, hint < ag.length ? hint : near, blocks, Math.max(1, geometry.inodeAlignment))) return false;
    } else {
      blocks = geometry.sparseAlignment;
      const align = geometry.inodeAlignment;
      // The record starts at a chunk boundary, not the first one, and all its 64 numbers lie inside the AG.
      const last = Math.floor(ag.length / align) * align - blocks;
      if (!findFrom(ag, align, last, blocks, blocks)) return false;
    }
    const block = takePlace(tx, ag, RMAP_OWNER.INODES);
    this.#initialise(tx, ag.number, block, blocks, generation);
    const first = block * geometry.inodesPerBlock;
    const inodes = blocks * geometry.inodesPerBlock;
    const agi = ag.changeAgi(tx);
    agi.count += inodes;
    agi.freecount += inodes;
    if (sparse) agi.newino = this.#addPiece(tx, ag, first, inodes);
    else {
      agi.newino = first;
      for (let at = first; at < first + inodes; at += SLOTS) this.#insert(tx, ag, this.#record.start(at, 0));
    }
    return true;
  }

  #insert(tx: Transaction, ag: AllocationGroup, record: ChunkRecord): void {
    ag.cursor('inobt').insert(tx, record.bytes);
    if (this.#geometry.features.finobt) ag.cursor('finobt').insert(tx, record.bytes);
  }

  /** Record a piece of a chunk: in the record of its chunk, or in a new one. @returns the record's first inode. */
  #addPiece(tx: Transaction, ag: AllocationGroup, first: number, inodes: number): number {
    const geometry = this.#geometry;
    const record = this.#record;
    const start = first - (first % (geometry.inodeAlignment * geometry.inodesPerBlock));
    const bits = inodes / SLOTS_PER_HOLE;
    const pieceMask = ((2 ** bits - 1) << ((first - start) / SLOTS_PER_HOLE)) & 0xffff;
    const inobt = ag.cursor('inobt');
    if (!inobt.seekEQ(start)) {
      this.#insert(tx, ag, record.start(start, 0xffff & ~pieceMask));
      return start;
    }
    loadChunk(ag, record, inobt);
    if ((record.holemask & pieceMask) !== pieceMask) {
      throw damaged(ag, 'INODE_RECORD', 'inode record claims free space', start);
    }
    const hadFree = record.freeCount > 0;
    record.fill(pieceMask);
    inobt.update(tx, record.bytes);
    if (geometry.features.finobt) {
      const finobt = ag.cursor('finobt');
      if (!hadFree) finobt.insert(tx, record.bytes);
      else if (finobt.seekEQ(start)) finobt.update(tx, record.bytes);
      else throw damaged(ag, 'FINOBT_DIFFERS', 'inode record is missing from the free-inode tree', start);
    }
    return start;
  }

  /** Write never-used inodes into all slots of these blocks. */
  #initialise(tx: Transaction, ag: number, block: number, blocks: number, generation: number): void {
    const geometry = this.#geometry;
    const { inodeSize, inodesPerBlock } = geometry;
    core.at(this.#slotView);
    core.magic = INODE_MAGIC;
    core.version = 3;
    core.gen = generation >>> 0;
    core.nextUnlinked = NULL32;
    core.uuid = geometry.metaUuid;
    const step = Math.min(geometry.clusterBlocks, blocks);
    const bytes = step * geometry.blockSize;
    for (let at = block; at < block + blocks; at += step) {
      const { data, view } = tx.create(geometry.agBlockToDaddr(ag, at), bytes, INODE_CLUSTER);
      let inode = geometry.inodeNumber(ag, at * inodesPerBlock);
      for (let offset = 0; offset < bytes; offset += inodeSize, inode++) {
        data.set(this.#slot, offset);
        setU64(view, offset + InodeCore.offsets.ino, inode);
      }
    }
  }

  /**
   * Free an inode: its slot becomes that of a freed inode (whatever it held), its record counts it free, and a chunk
   * that has nothing else goes back to free space. Throws `corrupt` INODE_NOT_ALLOCATED.
   * @returns inodes that ceased to exist: 0, or those of the chunk.
   */
  free(tx: Transaction, ag: AllocationGroup, agInode: number): number {
    const geometry = this.#geometry;
    const record = this.#record;
    const inobt = ag.cursor('inobt');
    const slot = inobt.seekLE(agInode) ? agInode - loadChunk(ag, record, inobt).startInode : SLOTS;
    if (slot >= SLOTS || !record.exists(slot) || record.isFree(slot)) {
      throw damaged(
        ag,
        'INODE_NOT_ALLOCATED',
        `inode ${geometry.inodeNumber(ag.number, agInode)} is not in use`,
        agInode,
      );
    }
    const hadFree = record.freeCount > 0;
    const { startInode } = record;
    record.setFree(slot, true);
    const { finobt } = geometry.features;
    const free = finobt ? ag.cursor('finobt') : undefined;
    if (free && hadFree && !free.seekEQ(startInode)) {
      throw damaged(ag, 'FINOBT_DIFFERS', 'inode record is missing from the free-inode tree', startInode);
    }
    const agi = ag.changeAgi(tx);
    if (record.freeCount === record.count && geometry.inodesPerBlock <= SLOTS && !this.#isRootChunk(ag, startInode)) {
      const { count } = record;
      agi.count -= count;
      agi.freecount -= count - 1;
      if (agi.newino === startInode) agi.newino = NULL32;
      inobt.remove(tx);
      if (hadFree) free?.remove(tx);
      this.#release(tx, ag, startInode, record.holemask);
      return count;
    }
    agi.freecount += 1;
    inobt.update(tx, record.bytes);
    if (free && hadFree) free.update(tx, record.bytes);
    else if (free) free.insert(tx, record.bytes);
    this.#writeFreed(tx, ag.number, agInode);
    return 0;
  }

  #isRootChunk(ag: AllocationGroup, startInode: number): boolean {
    const { rootInode } = this.#geometry;
    const root = this.#geometry.agInodeOfInode(rootInode);
    return this.#geometry.agOfInode(rootInode) === ag.number && root >= startInode && root < startInode + SLOTS;
  }

  /** Give the blocks of a chunk back: every run between its holes. */
  #release(tx: Transaction, ag: AllocationGroup, startInode: number, holemask: number): void {
    const geometry = this.#geometry;
    const bits = SLOTS / SLOTS_PER_HOLE;
    const isHole = (bit: number): boolean => ((holemask >>> bit) & 1) === 1;
    for (let bit = 0; bit < bits; ) {
      if (isHole(bit)) {
        bit++;
        continue;
      }
      let end = bit;
      while (end < bits && !isHole(end)) end++;
      const block = geometry.agBlockOfAgInode(startInode + bit * SLOTS_PER_HOLE);
      const blocks = ((end - bit) * SLOTS_PER_HOLE) / geometry.inodesPerBlock;
      if (!Number.isInteger(blocks))
        throw internal(`inode chunk with part of a block: AG ${ag.number}, block ${block}`);
      tx.forget(geometry.agBlockToDaddr(ag.number, block), blocks * geometry.blockSize);
      giveBack(tx, ag, block, blocks, RMAP_OWNER.INODES);
      bit = end;
    }
  }

  #writeFreed(tx: Transaction, ag: number, agInode: number): void {
    const { features } = this.#geometry;
    const buffer = inodeCluster(tx, ag, agInode);
    const offset = inodeSlotOffset(this.#geometry, agInode);
    tx.change(buffer, offset, this.#geometry.inodeSize);
    core.at(buffer.view, offset);
    core.mode = 0;
    core.nlink = 0;
    core.size = 0;
    core.nblocks = 0;
    core.bigNextents = 0;
    core.nextents = 0;
    core.anextents = 0;
    core.format = FORMAT.EXTENTS;
    core.aformat = FORMAT.EXTENTS;
    core.forkoff = 0;
    core.extsize = 0;
    core.cowextsize = 0;
    core.flags = 0;
    core.flags2Hi = 0;
    core.flags2Lo = (features.bigtime ? INODE_FLAG2.BIGTIME : 0) | (features.nrext64 ? INODE_FLAG2.NREXT64 : 0);
    core.gen = (core.gen + 1) >>> 0;
  }

  /** What the inode tree says of an inode. */
  state(ag: AllocationGroup, agInode: number): 'allocated' | 'free' | 'none' {
    const cursor = ag.cursor('inobt');
    if (!cursor.seekLE(agInode)) return 'none';
    const record = loadChunk(ag, this.#record, cursor);
    const slot = agInode - record.startInode;
    if (slot >= SLOTS || !record.exists(slot)) return 'none';
    return record.isFree(slot) ? 'free' : 'allocated';
  }
}
