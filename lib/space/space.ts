/**
 * The space of an image: who may have which blocks and inodes. The door of this folder; the pieces work on one AG each.
 *
 * 1. After every call the trees, lists and counters of the AGs agree with each other. (Superblock counters are derived
 *    when an image is closed: `countFree`, `countInodes`.)
 * 2. An ordinary allocation leaves what the AG's trees may still need (reservations.ts); `reserved` ones may use it.
 * 3. Calls that find no room say so before they change anything but the free list, which is then longer but right.
 * 4. One Space belongs to one buffer cache.
 */
import { RMAP_OWNER } from '../../formats/btree-blocks.ts';
import { BASIC_BLOCK, type Geometry } from '../../formats/geometry.ts';
import { NULL32 } from '../../formats/struct.ts';
import { forEachRecord } from '../btree/btree.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { corrupt, noSpace } from '../errors.ts';
import { AllocationGroup } from './allocation-group.ts';
import * as csum from './checksums.ts';
import { ensureFreeList, listShortfall } from './free-list.ts';
import {
  findExact,
  findLongest,
  findWhole,
  place as foundPlace,
  giveFree,
  giveFreeChain,
  takeFree,
} from './free-space.ts';
import { InodeChunks } from './inode-chunks.ts';
import { type ForkPlace, isSpecialOwner, type Owner, placeHi, placeLo } from './owner.ts';
import { addStaging, adjustRefcount, forEachShared, removeStaging, setRefcount, takeRefcounts } from './refcounts.ts';
import { mapRmap, unmapRmap } from './reverse-map.ts';
import { TREE_BLOCKS } from './tree-blocks.ts';
import * as unlinked from './unlinked.ts';

export interface AllocationRequest {
  /** Blocks: at least `min`, `max` if they exist in one piece. */
  min: number;
  max: number;
  /** fs block to be close to: its AG first. 0 or missing = no wish. */
  near?: number | undefined;
  /** fs block to start at, or fail. */
  exact?: number | undefined;
  /** The start is a multiple of this AG block count. */
  alignment?: number | undefined;
  /** Whose reverse-map record to write. Without an owner none is: the caller records it (a reserved run). */
  owner?: Owner | undefined;
  place?: ForkPlace | undefined;
  /** May use what is held back for the AG's trees. */
  reserved?: boolean | undefined;
}

export interface Allocation {
  readonly fsBlock: number;
  readonly blockCount: number;
}

export interface InodeRequest {
  parentInode: number;
  isDirectory: boolean;
  /** Generation number of the slots, should a new chunk be made. */
  generation: number;
}

export interface SharedRun {
  readonly fsBlock: number;
  readonly blockCount: number;
  readonly refcount: number;
}

/** Extents passed over before an allocation gives up: the caller makes their freeing durable and tries again. */
const MOST_HELD = 64;

const presence = { bytes: new Uint8Array(64) };

export class Space {
  readonly geometry: Geometry;
  readonly #groups: AllocationGroup[] = [];
  readonly #inodes: InodeChunks;
  /** AG of the next directory below the root directory: they are spread, so that their files do not crowd one AG. */
  #nextDirectoryAg = 0;
  /** Inodes that exist, for the imaxPct limit; counted when first needed and again when the limit seems reached. */
  #inodeCount = -1;

  constructor(geometry: Geometry) {
    this.geometry = geometry;
    this.#inodes = new InodeChunks(geometry);
  }

  /** An AG seen through a reader (or changed through a transaction). */
  ag(reader: BlockReader, agno: number): AllocationGroup {
    const group = (this.#groups[agno] ??= new AllocationGroup(this.geometry, agno, TREE_BLOCKS));
    return group.use(reader);
  }

  // ---- blocks

  /**
   * Allocate one extent and record its owner. In the AG of `near` at it or close by, else the shortest extent that is
   * long enough, else in another AG; only when no AG has `max` blocks in one piece is it the longest that exists.
   * @returns undefined when no extent of `min` blocks may be had; nothing was allocated then.
   */
  allocate(tx: Transaction, request: AllocationRequest): Allocation | undefined {
    const { owner, place } = request;
    const isData = tx.freedIn && owner && !isSpecialOwner(owner) && !place?.attr && !place?.bmbt;
    if (!isData) return this.#allocate(tx, request);
    return this.#allocateQuiet(tx, request, owner);
  }

  /**
   * For file data, which goes to its place before the transaction is durable: blocks that were freed a moment ago are
   * passed over, because a crash could give them back to who had them. They are held while others are looked for.
   */
  #allocateQuiet(tx: Transaction, request: AllocationRequest, owner: Owner): Allocation | undefined {
    const { geometry } = this;
    const held: Allocation[] = [];
    let found: Allocation | undefined;
    while (!found && held.length < MOST_HELD) {
      const got = this.#allocate(tx, { ...request, owner: undefined });
      if (!got) break;
      const { fsBlock, blockCount } = got;
      const daddr = geometry.fsBlockToDaddr(fsBlock);
      const perBlock = geometry.blockSize / BASIC_BLOCK;
      const busy = tx.freedIn?.(daddr, blockCount * geometry.blockSize);
      const quiet = busy ? Math.floor((busy.start - daddr) / perBlock) : blockCount;
      const kept = busy && quiet < request.min ? Math.ceil((busy.end - daddr) / perBlock) : quiet;
      if (kept < blockCount) this.#putBack(tx, fsBlock + kept, blockCount - kept);
      if (quiet >= request.min) found = { fsBlock, blockCount: quiet };
      else held.push({ fsBlock, blockCount: kept });
    }
    for (const { fsBlock, blockCount } of held) this.#putBack(tx, fsBlock, blockCount);
    if (found) this.mapRmap(tx, found.fsBlock, found.blockCount, owner, request.place);
    return found;
  }

  /** Blocks that were only held go back: nobody ever had them. */
  #putBack(tx: Transaction, fsBlock: number, blockCount: number): void {
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    ensureFreeList(tx, ag);
    giveFree(tx, ag, this.geometry.agBlockOfFsBlock(fsBlock), blockCount);
  }

  #allocate(tx: Transaction, request: AllocationRequest): Allocation | undefined {
    const { geometry } = this;
    const { min, max } = request;
    if (request.exact !== undefined) return this.#allocateExact(tx, request, request.exact);
    const alignment = Math.max(1, request.alignment ?? 1);
    const near = request.near !== undefined && request.near > 0 && geometry.isFsBlock(request.near) ? request.near : 0;
    const first = geometry.agOfFsBlock(near);
    for (let i = 0; i < geometry.agCount; i++) {
      const ag = this.ag(tx, (first + i) % geometry.agCount);
      if (ag.agf.longest < max || this.#budget(ag, request) < max) continue;
      ensureFreeList(tx, ag);
      if (findWhole(ag, i === 0 && near > 0 ? geometry.agBlockOfFsBlock(near) : -1, max, alignment)) {
        return this.#finish(tx, ag, request);
      }
    }
    if (min === max && alignment === 1) return undefined;
    return this.#allocateLongest(tx, request, first, alignment);
  }

  #allocateExact(tx: Transaction, request: AllocationRequest, exact: number): Allocation | undefined {
    const { geometry } = this;
    if (!geometry.isFsBlock(exact)) return undefined;
    const ag = this.ag(tx, geometry.agOfFsBlock(exact));
    const budget = Math.min(request.max, this.#budget(ag, request));
    if (budget < request.min) return undefined;
    const block = geometry.agBlockOfFsBlock(exact);
    if (!findExact(ag, block, request.min, budget)) return undefined;
    ensureFreeList(tx, ag);
    // The refill may have taken the very blocks.
    return findExact(ag, block, request.min, budget) ? this.#finish(tx, ag, request) : undefined;
  }

  /** No AG has it whole: the AG that offers most first, then the others in order. */
  #allocateLongest(
    tx: Transaction,
    request: AllocationRequest,
    first: number,
    alignment: number,
  ): Allocation | undefined {
    const { agCount } = this.geometry;
    let best = -1;
    let most = request.min - 1;
    const offered = (ag: AllocationGroup): number => Math.min(ag.agf.longest, this.#budget(ag, request));
    for (let i = 0; i < agCount; i++) {
      const ag = this.ag(tx, (first + i) % agCount);
      const blocks = offered(ag);
      if (blocks > most) {
        most = blocks;
        best = ag.number;
      }
    }
    if (best < 0) return undefined;
    for (let i = -1; i < agCount; i++) {
      const number = i < 0 ? best : (first + i) % agCount;
      if (i >= 0 && number === best) continue;
      const ag = this.ag(tx, number);
      if (offered(ag) < request.min) continue;
      ensureFreeList(tx, ag);
      const most = Math.min(request.max, this.#budget(ag, request));
      if (most >= request.min && findLongest(ag, request.min, most, alignment)) return this.#finish(tx, ag, request);
    }
    return undefined;
  }

  /** Blocks of this AG that a request may take. */
  #budget(ag: AllocationGroup, request: AllocationRequest): number {
    return request.reserved ? ag.agf.freeblks : this.#availableIn(ag);
  }

  #availableIn(ag: AllocationGroup): number {
    return ag.agf.freeblks - listShortfall(ag) - ag.heldBack;
  }

  #finish(tx: Transaction, ag: AllocationGroup, request: AllocationRequest): Allocation {
    const { start, length } = foundPlace;
    takeFree(tx, ag, foundPlace.recordStart, foundPlace.recordLength, start, length);
    if (request.owner) this.#map(tx, ag, start, length, request.owner, request.place);
    return { fsBlock: this.geometry.fsBlock(ag.number, start), blockCount: length };
  }

  /**
   * An owner gives up its mapping of these blocks: its reverse-map record goes; what nobody else maps goes back to free
   * space, and its checksums and cached buffers with it. Throws `corrupt` when the register says otherwise (RMAP_MISSING,
   * FREE_TWICE, BLOCK_RANGE).
   */
  free(tx: Transaction, fsBlock: number, blockCount: number, owner: Owner, place?: ForkPlace): void {
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    const start = this.geometry.agBlockOfFsBlock(fsBlock);
    this.#unmap(tx, ag, start, blockCount, owner, place);
    if (!this.geometry.features.reflink || !canBeShared(owner, place)) this.#release(tx, ag, start, blockCount);
    else adjustRefcount(tx, ag, start, blockCount, -1, (from, count) => this.#release(tx, ag, from, count));
  }

  #release(tx: Transaction, ag: AllocationGroup, start: number, count: number): void {
    const { geometry } = this;
    if (geometry.features.dataChecksums) csum.removeChecksums(tx, ag, start, count);
    ensureFreeList(tx, ag);
    giveFree(tx, ag, start, count);
    tx.forget(geometry.agBlockToDaddr(ag.number, start), count * geometry.blockSize);
  }

  /** Give back blocks that have no owner in the register, nor a count: they never had one, or their data has moved. */
  giveBackUnowned(tx: Transaction, fsBlock: number, blockCount: number): void {
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    this.#release(tx, ag, this.geometry.agBlockOfFsBlock(fsBlock), blockCount);
  }

  /** `giveBackUnowned` for runs in the order of the disk: those that free extents lie between cost a fraction together. */
  giveBackRuns(tx: Transaction, fsBlocks: readonly number[], blockCounts: readonly number[]): void {
    const { geometry } = this;
    for (let i = 0; i < fsBlocks.length; ) {
      const ag = this.#rangeAg(tx, fsBlocks[i]!, blockCounts[i]!);
      const starts: number[] = [];
      const counts: number[] = [];
      for (; i < fsBlocks.length && geometry.agOfFsBlock(fsBlocks[i]!) === ag.number; i++) {
        this.#rangeAg(tx, fsBlocks[i]!, blockCounts[i]!);
        const start = geometry.agBlockOfFsBlock(fsBlocks[i]!);
        starts.push(start);
        counts.push(blockCounts[i]!);
        if (geometry.features.dataChecksums) csum.removeChecksums(tx, ag, start, blockCounts[i]!);
      }
      for (let next = 0; next < starts.length; ) {
        ensureFreeList(tx, ag);
        next = giveFreeChain(tx, ag, starts, counts, next);
      }
      for (let k = 0; k < starts.length; k++) {
        tx.forget(geometry.agBlockToDaddr(ag.number, starts[k]!), counts[k]! * geometry.blockSize);
      }
    }
  }

  #rangeAg(tx: BlockReader, fsBlock: number, blockCount: number): AllocationGroup {
    if (!this.geometry.isFsRange(fsBlock, blockCount)) {
      throw corrupt('BLOCK_RANGE', `blocks ${fsBlock}+${blockCount} do not lie inside one AG`, {
        where: { block: fsBlock },
      });
    }
    return this.ag(tx, this.geometry.agOfFsBlock(fsBlock));
  }

  // ---- the register

  #map(
    tx: Transaction,
    ag: AllocationGroup,
    start: number,
    count: number,
    owner: Owner,
    place: ForkPlace | undefined,
  ): void {
    if (!this.geometry.features.rmapbt) return;
    ensureFreeList(tx, ag);
    mapRmap(tx, ag, start, count, owner.hi, owner.lo, placeHi(place), placeLo(place));
  }

  #unmap(
    tx: Transaction,
    ag: AllocationGroup,
    start: number,
    count: number,
    owner: Owner,
    place: ForkPlace | undefined,
  ): void {
    if (!this.geometry.features.rmapbt) return;
    ensureFreeList(tx, ag);
    unmapRmap(tx, ag, start, count, owner.hi, owner.lo, placeHi(place), placeLo(place));
  }

  /** Record a mapping in the reverse map (merged with its neighbours). Nothing without the feature. */
  mapRmap(tx: Transaction, fsBlock: number, blockCount: number, owner: Owner, place?: ForkPlace): void {
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    this.#map(tx, ag, this.geometry.agBlockOfFsBlock(fsBlock), blockCount, owner, place);
  }

  /** Remove a mapping, or a part of one, from the reverse map. Throws `corrupt` RMAP_MISSING. */
  unmapRmap(tx: Transaction, fsBlock: number, blockCount: number, owner: Owner, place?: ForkPlace): void {
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    this.#unmap(tx, ag, this.geometry.agBlockOfFsBlock(fsBlock), blockCount, owner, place);
  }

  /** Turn a mapping, or a part of one, into written or unwritten. `place` says what it is now. */
  convertRmap(
    tx: Transaction,
    fsBlock: number,
    blockCount: number,
    owner: Owner,
    place: ForkPlace,
    unwritten: boolean,
  ): void {
    this.unmapRmap(tx, fsBlock, blockCount, owner, place);
    this.mapRmap(tx, fsBlock, blockCount, owner, { ...place, unwritten });
  }

  // ---- sharing

  /** One more owner of data blocks in use: counts only, the mapping is recorded by `mapRmap`. */
  increaseRefcount(tx: Transaction, fsBlock: number, blockCount: number): void {
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    adjustRefcount(tx, ag, this.geometry.agBlockOfFsBlock(fsBlock), blockCount, 1, nothing);
  }

  /** One owner less: counts only. Runs that nobody holds any more are called back and are the caller's to free. */
  decreaseRefcount(
    tx: Transaction,
    fsBlock: number,
    blockCount: number,
    unheld: (fsBlock: number, blockCount: number) => void,
  ): void {
    const { geometry } = this;
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    adjustRefcount(tx, ag, geometry.agBlockOfFsBlock(fsBlock), blockCount, -1, (start, count) =>
      unheld(geometry.fsBlock(ag.number, start), count),
    );
  }

  /** An owner maps data blocks that another one has: refcount and reverse map in one. */
  share(tx: Transaction, fsBlock: number, blockCount: number, owner: Owner, place: ForkPlace): void {
    this.increaseRefcount(tx, fsBlock, blockCount);
    this.mapRmap(tx, fsBlock, blockCount, owner, place);
  }

  /** Data blocks move: the counts of `from` become those of `to`, which has no record. The register is the caller's. */
  moveRefcounts(tx: Transaction, from: number, to: number, blockCount: number): void {
    if (!this.geometry.features.reflink) return;
    const source = this.#rangeAg(tx, from, blockCount);
    const target = this.#rangeAg(tx, to, blockCount);
    const shift = this.geometry.agBlockOfFsBlock(to) - this.geometry.agBlockOfFsBlock(from);
    takeRefcounts(tx, source, this.geometry.agBlockOfFsBlock(from), blockCount, (start, count, refcount) =>
      setRefcount(tx, target, start + shift, count, refcount),
    );
  }

  /** The shared runs in a range, clipped to it, in order; a callback that returns true ends the walk. */
  sharedRuns(
    reader: BlockReader,
    fsBlock: number,
    blockCount: number,
    visit: (fsBlock: number, blockCount: number, refcount: number) => boolean | undefined,
  ): void {
    if (!this.geometry.features.reflink) return;
    const ag = this.#rangeAg(reader, fsBlock, blockCount);
    const base = fsBlock - this.geometry.agBlockOfFsBlock(fsBlock);
    forEachShared(ag, fsBlock - base, blockCount, (start, count, refcount) => visit(base + start, count, refcount));
  }

  /** The first shared run of a range, clipped to it. */
  firstShared(reader: BlockReader, fsBlock: number, blockCount: number): SharedRun | undefined {
    let first: SharedRun | undefined;
    this.sharedRuns(reader, fsBlock, blockCount, (start, count, refcount) => {
      first = { fsBlock: start, blockCount: count, refcount };
      return true;
    });
    return first;
  }

  /** Blocks allocated without an owner become a copy-on-write staging extent. */
  addStaging(tx: Transaction, fsBlock: number, blockCount: number): void {
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    const start = this.geometry.agBlockOfFsBlock(fsBlock);
    addStaging(tx, ag, start, blockCount);
    this.#map(tx, ag, start, blockCount, { hi: NULL32, lo: RMAP_OWNER.COW }, undefined);
  }

  /** A staging extent, or a part of one, is staging no more: its blocks then have no owner. */
  removeStaging(tx: Transaction, fsBlock: number, blockCount: number): void {
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    const start = this.geometry.agBlockOfFsBlock(fsBlock);
    removeStaging(tx, ag, start, blockCount);
    this.#unmap(tx, ag, start, blockCount, { hi: NULL32, lo: RMAP_OWNER.COW }, undefined);
  }

  // ---- checksums (no-ops where the dialect has none)

  /** Store the checksums of consecutive blocks. @param crcs the first `count` are used. */
  setChecksums(tx: Transaction, fsBlock: number, crcs: Uint32Array, count = crcs.length): void {
    if (!this.geometry.features.dataChecksums || count === 0) return;
    const ag = this.#rangeAg(tx, fsBlock, count);
    csum.setChecksums(tx, ag, this.geometry.agBlockOfFsBlock(fsBlock), crcs, count);
  }

  /**
   * Read the checksums of consecutive blocks into `crcs`. @returns for each block 1 where it has one, else 0: a buffer
   * that the next call overwrites.
   */
  readChecksums(reader: BlockReader, fsBlock: number, count: number, crcs: Uint32Array): Uint8Array {
    if (presence.bytes.length < count) presence.bytes = new Uint8Array(Math.max(count, 2 * presence.bytes.length));
    const present = presence.bytes;
    if (!this.geometry.features.dataChecksums) return present.fill(0, 0, count);
    const ag = this.#rangeAg(reader, fsBlock, count);
    csum.readChecksums(ag, this.geometry.agBlockOfFsBlock(fsBlock), count, crcs, present);
    return present;
  }

  /** The checksum of one block, if it has one. */
  checksum(reader: BlockReader, fsBlock: number): number | undefined {
    const one = new Uint32Array(1);
    return this.readChecksums(reader, fsBlock, 1, one)[0] === 1 ? one[0] : undefined;
  }

  /** Forget the checksums of a range. Freeing blocks does it by itself. */
  removeChecksums(tx: Transaction, fsBlock: number, blockCount: number): void {
    if (!this.geometry.features.dataChecksums) return;
    const ag = this.#rangeAg(tx, fsBlock, blockCount);
    csum.removeChecksums(tx, ag, this.geometry.agBlockOfFsBlock(fsBlock), blockCount);
  }

  // ---- inodes

  /**
   * Take a free inode, making a new chunk where needed: files in their directory's AG; directories too, but those
   * directly below the root directory are spread over the AGs. The slot on the disk is a valid free inode.
   * Throws `noSpace`.
   */
  allocateInode(tx: Transaction, request: InodeRequest): number {
    return this.allocateInodes(tx, request, 1)[0]!;
  }

  /** So many at once: the same numbers that one after the other would give. */
  allocateInodes(tx: Transaction, request: InodeRequest, count: number): number[] {
    const taken: number[] = [];
    while (taken.length < count) this.#takeInodes(tx, request, count - taken.length, taken);
    return taken;
  }

  /** Up to `most` inodes of one chunk. Throws when there is not even one. */
  #takeInodes(tx: Transaction, request: InodeRequest, most: number, into: number[]): void {
    const { geometry } = this;
    const { parentInode } = request;
    const parentAg = geometry.isInode(parentInode) ? geometry.agOfInode(parentInode) : 0;
    let first = parentAg;
    if (request.isDirectory && parentInode === geometry.rootInode) {
      first = this.#nextDirectoryAg;
      this.#nextDirectoryAg = (first + 1) % geometry.agCount;
    }
    const { features, sparseAlignment, chunkBlocks } = geometry;
    const canBeSparse = features.sparse && sparseAlignment > 0 && sparseAlignment < chunkBlocks;
    const before = into.length;
    for (let sparse = 0; sparse <= (canBeSparse ? 1 : 0); sparse++) {
      for (let i = 0; i < geometry.agCount; i++) {
        const ag = this.ag(tx, (first + i) % geometry.agCount);
        const near = ag.number === parentAg ? geometry.agInodeOfInode(parentInode) : 0;
        if (
          this.#inodes.takeFree(tx, ag, near, most, into) ||
          (this.#addChunk(tx, ag, near, sparse === 1, request.generation) &&
            this.#inodes.takeFree(tx, ag, near, most, into))
        ) {
          for (let k = before; k < into.length; k++) into[k] = geometry.inodeNumber(ag.number, into[k]!);
          return;
        }
      }
    }
    throw noSpace('no free inode and no room for new ones');
  }

  #addChunk(tx: Transaction, ag: AllocationGroup, near: number, sparse: boolean, generation: number): boolean {
    const { geometry } = this;
    const blocks = sparse ? geometry.sparseAlignment : geometry.chunkBlocks;
    // The chunk, and a split of the inode tree up to a new root; the free-inode tree grows into what is held back.
    const need = blocks + ag.agi.level + 1;
    if (this.#availableIn(ag) < need || ag.agf.longest < blocks) return false;
    const inodes = blocks * geometry.inodesPerBlock;
    if (!this.#inodesAllowed(tx, inodes)) return false;
    // #inodesAllowed may have looked at other AGs, never through another reader: `ag` is still in place.
    if (!this.#inodes.addChunk(tx, ag, geometry.agBlockOfAgInode(near), sparse, generation)) return false;
    this.#inodeCount += inodes;
    return true;
  }

  /** May this many inodes more exist, by the superblock's imaxPct? */
  #inodesAllowed(reader: BlockReader, more: number): boolean {
    const { blocks, imaxPct, chunkBlocks, inodesPerBlock } = this.geometry;
    if (imaxPct === 0) return true;
    const limit = Math.floor(Math.floor((blocks * imaxPct) / 100) / chunkBlocks) * chunkBlocks * inodesPerBlock;
    if (this.#inodeCount < 0 || this.#inodeCount + more > limit) this.#inodeCount = this.countInodes(reader).inodes;
    return this.#inodeCount + more <= limit;
  }

  /**
   * Give an inode back. Its forks must be empty and it must be in no unlinked chain. The slot becomes that of a freed
   * inode; a chunk without any inode in use goes back to free space. Throws `corrupt` INODE_NOT_ALLOCATED.
   */
  freeInode(tx: Transaction, inode: number): void {
    const gone = this.#inodes.free(tx, this.#inodeAg(tx, inode), this.geometry.agInodeOfInode(inode));
    if (this.#inodeCount >= 0) this.#inodeCount -= gone;
  }

  /** Take this very inode: for repair. @returns false when it is not a free slot of an existing chunk. */
  allocateThisInode(tx: Transaction, inode: number): boolean {
    return this.#inodes.takeThis(tx, this.#inodeAg(tx, inode), this.geometry.agInodeOfInode(inode));
  }

  /** What the inode trees say of an inode number: any number may be asked. */
  inodeState(reader: BlockReader, inode: number): 'allocated' | 'free' | 'none' {
    const { geometry } = this;
    if (!geometry.isInode(inode)) return 'none';
    return this.#inodes.state(this.ag(reader, geometry.agOfInode(inode)), geometry.agInodeOfInode(inode));
  }

  /** Call back every inode-tree record of an AG, in order: the bytes of an InobtRecord in place. */
  forEachInodeChunk(reader: BlockReader, agno: number, visit: (view: DataView, offset: number) => void): void {
    forEachRecord(reader, this.ag(reader, agno).tree('inobt'), visit);
  }

  /** An inode lost its last name but is still in use. */
  addUnlinked(tx: Transaction, inode: number): void {
    unlinked.addUnlinked(tx, this.#inodeAg(tx, inode), this.geometry.agInodeOfInode(inode));
  }

  /** The inode is about to be freed, or has a name again. Throws `corrupt` UNLINKED_CHAIN. */
  removeUnlinked(tx: Transaction, inode: number): void {
    unlinked.removeUnlinked(tx, this.#inodeAg(tx, inode), this.geometry.agInodeOfInode(inode));
  }

  /** Call back every unlinked inode of an AG. Collect before freeing. Throws `corrupt` UNLINKED_CHAIN. */
  forEachUnlinked(reader: BlockReader, agno: number, visit: (inode: number) => void): void {
    unlinked.forEachUnlinked(this.ag(reader, agno), (agInode) => visit(this.geometry.inodeNumber(agno, agInode)));
  }

  #inodeAg(reader: BlockReader, inode: number): AllocationGroup {
    const { geometry } = this;
    if (!geometry.isInode(inode))
      throw corrupt('INODE_OUT_OF_RANGE', `inode number ${inode} lies outside the image`, { where: { inode } });
    return this.ag(reader, geometry.agOfInode(inode));
  }

  // ---- counters

  /** A transaction was taken back: what was counted along the way may not be so. */
  forgetCounts(): void {
    this.#inodeCount = -1;
  }

  /** Free blocks as the superblock counts them (fdblocks): free space, free lists, and non-root blocks of their trees. */
  countFree(reader: BlockReader): number {
    let sum = 0;
    for (let i = 0; i < this.geometry.agCount; i++) {
      const { agf } = this.ag(reader, i);
      sum += agf.freeblks + agf.flcount + agf.btreeblks;
    }
    return sum;
  }

  /** Inodes that exist and those of them that are free (icount, ifree). */
  countInodes(reader: BlockReader): { inodes: number; free: number } {
    let inodes = 0;
    let free = 0;
    for (let i = 0; i < this.geometry.agCount; i++) {
      const { agi } = this.ag(reader, i);
      inodes += agi.count;
      free += agi.freecount;
    }
    return { inodes, free };
  }

  /** Blocks that ordinary allocations may still get, over all AGs. */
  available(reader: BlockReader): number {
    let sum = 0;
    for (let i = 0; i < this.geometry.agCount; i++) sum += Math.max(0, this.#availableIn(this.ag(reader, i)));
    return sum;
  }
}

/** Only data of regular files is shared. Of a directory's data fork nobody says so, but it never has a refcount record. */
function canBeShared(owner: Owner, place: ForkPlace | undefined): boolean {
  return !isSpecialOwner(owner) && !place?.attr && !place?.bmbt;
}

const nothing = (): void => {};
