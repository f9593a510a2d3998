/**
 * Geometry: everything that follows from a superblock and never changes while an image is open (but for grow and
 * shrink, which make a new one): sizes, shifts, feature flags, tree capacities, address conversions.
 *
 * Addresses (see docs/FORMAT.md): an fs block is `agno << agBlockLog | agBlock` and so has gaps when agBlocks is not a
 * power of two; a byte address is `(agno * agBlocks + agBlock) * blockSize`; a daddr counts 512-byte units.
 */

import { agflSlots } from './ag-headers.ts';
import { BTREES, type BtreeLayout, maxLeafRecords, maxNodeRecords } from './btree-blocks.ts';
import type { Dialect } from './dialect.ts';
import { INCOMPAT, RO_COMPAT, Superblock, VERSION } from './superblock.ts';
import { type MaxLevels, maxTreeLevels } from './tree-levels.ts';

/** Feature bits of a superblock, by name. */
export interface Features {
  finobt: boolean;
  rmapbt: boolean;
  reflink: boolean;
  inobtcount: boolean;
  sparse: boolean;
  metaUuid: boolean;
  bigtime: boolean;
  nrext64: boolean;
  exchangeRange: boolean;
  parent: boolean;
  dataChecksums: boolean;
  quota: boolean;
  asciiCi: boolean;
}

/** Capacity of one tree's blocks; minimum is half, rounded down (non-root blocks). */
export interface BtreeCapacity {
  readonly maxLeaf: number;
  readonly maxNode: number;
}

/** Daddr units: 512 bytes. */
export const BASIC_BLOCK = 512;

/**
 * Bytes of one inode cluster buffer before it is rounded to whole blocks: 8 KiB, and as many times more as inodes are
 * larger than 256 bytes, provided that chunks are aligned well enough for that.
 */
export function rawClusterBytes(blockSize: number, inodeSize: number, inodeAlignment: number): number {
  const scaled = 8192 * (inodeSize / 256);
  return inodeAlignment >= Math.floor(scaled / blockSize) ? scaled : 8192;
}

export class Geometry {
  readonly dialect: Dialect;
  readonly features: Readonly<Features>;
  readonly blockSize: number;
  readonly blockLog: number;
  /** File blocks of a regular file end here: bytes are counted in 63 bits. Those of every other fork end at 2^32. */
  readonly fileBlockEnd: number;
  readonly sectorSize: number;
  readonly inodeSize: number;
  readonly inodesPerBlock: number;
  readonly inodesPerBlockLog: number;
  /** Blocks in the image, AGs, blocks per AG (all but the last), log2 of it rounded up. */
  readonly blocks: number;
  readonly agCount: number;
  readonly agBlocks: number;
  readonly agBlockLog: number;
  readonly agInodeLog: number;
  /** fs blocks and inode numbers from one AG to the next: powers of two, kept because computing them is slow. */
  readonly agBlockSpan: number;
  readonly agInodeSpan: number;
  readonly dirBlockSize: number;
  /** fs blocks per directory block. */
  readonly dirBlockBlocks: number;
  readonly inodeAlignment: number;
  readonly sparseAlignment: number;
  /** Inodes allocated at once: max(64, inodesPerBlock); blocks of that. */
  readonly chunkInodes: number;
  readonly chunkBlocks: number;
  /** Blocks of one inode cluster buffer (the unit in which inodes are read, written and logged). */
  readonly clusterBlocks: number;
  readonly imaxPct: number;
  readonly rootInode: number;
  readonly logStart: number;
  readonly logBlocks: number;
  readonly logSunit: number;
  readonly stripeUnit: number;
  readonly stripeWidth: number;
  /** uuid found inside metadata; `uuid` is the one a user sees (and the log carries). */
  readonly uuid: Uint8Array;
  readonly metaUuid: Uint8Array;
  readonly agflSlots: number;
  /** Blocks 0..headerBlocks-1 of every AG hold superblock, AGF, AGI and AGFL. */
  readonly headerBlocks: number;
  readonly btree: { readonly [N in BtreeLayout['name']]: BtreeCapacity };
  /** Greatest height of each tree. */
  readonly maxLevels: MaxLevels;
  /** metaUuid as four big-endian words, for comparing without a loop over bytes. */
  private readonly uuidWords: readonly [number, number, number, number];

  /** @param sector the bytes of a superblock sector that `verifySuperblock` has accepted. */
  constructor(sector: DataView, dialect: Dialect) {
    const sb = Superblock.at(sector);
    this.dialect = dialect;
    const ro = sb.featuresRoCompat;
    const inc = sb.featuresIncompat;
    this.features = {
      finobt: (ro & RO_COMPAT.FINOBT) !== 0,
      rmapbt: (ro & RO_COMPAT.RMAPBT) !== 0,
      reflink: (ro & RO_COMPAT.REFLINK) !== 0,
      inobtcount: (ro & RO_COMPAT.INOBTCNT) !== 0,
      sparse: (inc & INCOMPAT.SPINODES) !== 0,
      metaUuid: (inc & INCOMPAT.META_UUID) !== 0,
      bigtime: (inc & INCOMPAT.BIGTIME) !== 0,
      nrext64: (inc & INCOMPAT.NREXT64) !== 0,
      exchangeRange: (inc & INCOMPAT.EXCHRANGE) !== 0,
      parent: (inc & INCOMPAT.PARENT) !== 0,
      dataChecksums: (inc & INCOMPAT.DATA_CHECKSUMS) !== 0,
      quota: (sb.versionnum & VERSION.QUOTA) !== 0,
      asciiCi: (sb.versionnum & VERSION.ASCII_CI) !== 0,
    };
    this.blockSize = sb.blocksize;
    this.blockLog = sb.blocklog;
    this.fileBlockEnd = 2 ** (63 - sb.blocklog);
    this.sectorSize = sb.sectsize;
    this.inodeSize = sb.inodesize;
    this.inodesPerBlock = sb.inopblock;
    this.inodesPerBlockLog = sb.inopblog;
    this.blocks = sb.dblocks;
    this.agCount = sb.agcount;
    this.agBlocks = sb.agblocks;
    this.agBlockLog = sb.agblklog;
    this.agInodeLog = sb.agblklog + sb.inopblog;
    this.agBlockSpan = 2 ** this.agBlockLog;
    this.agInodeSpan = 2 ** this.agInodeLog;
    this.dirBlockSize = sb.blocksize << sb.dirblklog;
    this.dirBlockBlocks = 1 << sb.dirblklog;
    this.inodeAlignment = sb.inoalignmt;
    this.sparseAlignment = sb.spinoAlign;
    this.chunkInodes = Math.max(64, sb.inopblock);
    this.chunkBlocks = this.chunkInodes >> sb.inopblog;
    const rawCluster = rawClusterBytes(sb.blocksize, sb.inodesize, sb.inoalignmt);
    this.clusterBlocks = Math.max(1, Math.floor(rawCluster / sb.blocksize));
    this.imaxPct = sb.imaxPct;
    this.rootInode = sb.rootino;
    this.logStart = sb.logstart;
    this.logBlocks = sb.logblocks;
    this.logSunit = sb.logsunit;
    this.stripeUnit = sb.unit;
    this.stripeWidth = sb.width;
    this.uuid = sb.uuid.slice();
    this.metaUuid = this.features.metaUuid ? sb.metaUuid.slice() : this.uuid;
    const words = new DataView(this.metaUuid.buffer, this.metaUuid.byteOffset, 16);
    this.uuidWords = [words.getUint32(0), words.getUint32(4), words.getUint32(8), words.getUint32(12)];
    this.agflSlots = agflSlots(sb.sectsize);
    this.headerBlocks = Math.ceil((4 * sb.sectsize) / sb.blocksize);
    const capacity = (layout: BtreeLayout): BtreeCapacity => ({
      maxLeaf: maxLeafRecords(layout, sb.blocksize),
      maxNode: maxNodeRecords(layout, sb.blocksize),
    });
    this.btree = {
      bnobt: capacity(BTREES.bnobt),
      cntbt: capacity(BTREES.cntbt),
      inobt: capacity(BTREES.inobt),
      finobt: capacity(BTREES.finobt),
      rmapbt: capacity(BTREES.rmapbt),
      refcountbt: capacity(BTREES.refcountbt),
      csumbt: capacity(BTREES.csumbt),
      bmbt: capacity(BTREES.bmbt),
    };
    this.maxLevels = maxTreeLevels(sb.blocksize, sb.agblocks, this.agInodeSpan, this.features.reflink);
  }

  /** Blocks of AG `ag`: the last one may be short. */
  agLength(ag: number): number {
    return ag === this.agCount - 1 ? this.blocks - (this.agCount - 1) * this.agBlocks : this.agBlocks;
  }
  /** True when the 16 bytes at `offset` are the uuid that metadata must carry. */
  isMetaUuid(view: DataView, offset: number): boolean {
    const words = this.uuidWords;
    return (
      view.getUint32(offset) === words[0] &&
      view.getUint32(offset + 4) === words[1] &&
      view.getUint32(offset + 8) === words[2] &&
      view.getUint32(offset + 12) === words[3]
    );
  }
  /** True when the AG block exists and lies behind the AG headers. */
  isAgBlock(ag: number, agBlock: number): boolean {
    return agBlock >= this.headerBlocks && agBlock < this.agLength(ag);
  }
  /** True when an inode of this AG could have this AG inode number. */
  isAgInode(ag: number, agInode: number): boolean {
    return this.isAgBlock(ag, Math.floor(agInode / this.inodesPerBlock));
  }
  /** True when an inode could have this number (whether one does is for the inode tree to say). */
  isInode(inode: number): boolean {
    const ag = this.agOfInode(inode);
    return ag < this.agCount && this.isAgInode(ag, this.agInodeOfInode(inode));
  }
  /** fs block of an AG block. */
  fsBlock(ag: number, agBlock: number): number {
    return ag * this.agBlockSpan + agBlock;
  }
  agOfFsBlock(fsBlock: number): number {
    return Math.floor(fsBlock / this.agBlockSpan);
  }
  agBlockOfFsBlock(fsBlock: number): number {
    return fsBlock % this.agBlockSpan;
  }
  /** True when the fs block names an existing block behind the AG headers. */
  isFsBlock(fsBlock: number): boolean {
    const ag = this.agOfFsBlock(fsBlock);
    const agBlock = this.agBlockOfFsBlock(fsBlock);
    return ag < this.agCount && agBlock >= this.headerBlocks && agBlock < this.agLength(ag);
  }
  /** True when fs blocks start .. start + count - 1 all exist, in one AG. */
  isFsRange(start: number, count: number): boolean {
    const ag = this.agOfFsBlock(start);
    const agBlock = this.agBlockOfFsBlock(start);
    return count > 0 && ag < this.agCount && agBlock >= this.headerBlocks && agBlock + count <= this.agLength(ag);
  }
  /** Byte address of an AG block. */
  agBlockToByte(ag: number, agBlock: number): number {
    return (ag * this.agBlocks + agBlock) * this.blockSize;
  }
  fsBlockToByte(fsBlock: number): number {
    return this.agBlockToByte(this.agOfFsBlock(fsBlock), this.agBlockOfFsBlock(fsBlock));
  }
  agBlockToDaddr(ag: number, agBlock: number): number {
    return (ag * this.agBlocks + agBlock) * (this.blockSize / BASIC_BLOCK);
  }
  fsBlockToDaddr(fsBlock: number): number {
    return this.agBlockToDaddr(this.agOfFsBlock(fsBlock), this.agBlockOfFsBlock(fsBlock));
  }
  /** AG and AG block of a daddr (the block it lies in). */
  agOfDaddr(daddr: number): number {
    return Math.floor(daddr / (this.agBlocks * (this.blockSize / BASIC_BLOCK)));
  }
  agBlockOfDaddr(daddr: number): number {
    const perBlock = this.blockSize / BASIC_BLOCK;
    return Math.floor((daddr % (this.agBlocks * perBlock)) / perBlock);
  }
  /** Daddr of an AG header sector: 0 superblock, 1 AGF, 2 AGI, 3 AGFL. */
  agHeaderDaddr(ag: number, sector: 0 | 1 | 2 | 3): number {
    return this.agBlockToDaddr(ag, 0) + sector * (this.sectorSize / BASIC_BLOCK);
  }
  /** Inode number of an AG inode. */
  inodeNumber(ag: number, agInode: number): number {
    return ag * this.agInodeSpan + agInode;
  }
  agOfInode(inode: number): number {
    return Math.floor(inode / this.agInodeSpan);
  }
  agInodeOfInode(inode: number): number {
    return inode % this.agInodeSpan;
  }
  agBlockOfAgInode(agInode: number): number {
    return Math.floor(agInode / this.inodesPerBlock);
  }
  /** Smallest number of records a non-root block of a tree may hold. */
  minRecords(tree: BtreeLayout['name'], level: number): number {
    return Math.floor((level === 0 ? this.btree[tree].maxLeaf : this.btree[tree].maxNode) / 2);
  }
}
