/**
 * The geometry of a new image: pure calculation from options to a superblock, no I/O. For the xfs dialect every number
 * equals that of mkfs.xfs 6.1 for the same size and options (docs/FORMAT.md has the rules).
 *
 *   image -> AGs (count, size, aligned to the stripe) -> log (size, AG, place) -> inode alignment -> root inode
 *
 * 1. Nothing is half believed: a combination that cannot be made is a `usage` error here, before anything is written.
 * 2. The superblock in the plan is the primary one as it stands while the image is being made: inprogress is 1.
 */
import { sealCrc } from '../../formats/checksum.ts';
import { Geometry } from '../../formats/geometry.ts';
import { NULL64 } from '../../formats/struct.ts';
import {
  FEATURES2_REQUIRED,
  INCOMPAT,
  RO_COMPAT,
  Superblock,
  VERSION,
  VERSION_REQUIRED,
} from '../../formats/superblock.ts';
import {
  expectedRootInode,
  MAX_AG_BYTES,
  MAX_LOG_BLOCKS,
  MAX_LOG_BYTES,
  MIN_AG_BLOCKS,
} from '../../formats/superblock-verify.ts';
import type { Time } from '../../formats/time.ts';
import { internal, usage } from '../errors.ts';
import { type InitialLayout, initialLayout } from './initial-layout.ts';
import { type MkfsOptions, type NormalOptions, normalize } from './options.ts';
import { mkfsPolicy } from './policy.ts';

/** All numbers of an image that is about to be made. */
export interface ImagePlan {
  readonly geometry: Geometry;
  /** Bytes of the image; `geometry.blocks` may cover a little less. */
  readonly size: number;
  /** The primary superblock sector, sealed, with inprogress = 1. */
  readonly superblock: Uint8Array;
  readonly layout: InitialLayout;
  /** Where the log lies. */
  readonly logAg: number;
  readonly logAgBlock: number;
  /** AG block of the first inode chunk (in AG 0) and its blocks. */
  readonly chunkAgBlock: number;
  readonly chunkBlocks: number;
  readonly freeBlocks: number;
  readonly time: Time;
}

const MAX_AGS = 2 ** 32 - 2;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
const roundDown = (value: number, unit: number): number => Math.floor(value / unit) * unit;
const log2 = (value: number): number => 31 - Math.clz32(value);

interface AgShape {
  blocks: number;
  agBlocks: number;
  agCount: number;
}

/** How many AGs, before any alignment. With a stripe there are more of them, for parallel work on many disks. */
function defaultAgBlocks(options: NormalOptions, blocks: number): number {
  const bytes = blocks * options.blockSize;
  const largest = Math.floor(MAX_AG_BYTES / options.blockSize);
  const striped = options.stripeUnit > 0;
  if (bytes >= (striped ? 32 : 4) * TIB) return largest;
  let countLog = mkfsPolicy(options.dialect).agCountLog.find((row) => bytes >= row.from)?.log ?? 0;
  if (striped && bytes >= 128 * MIB) countLog = bytes > 512 * GIB ? 5 : bytes > 8 * GIB ? 4 : 3;
  return Math.min(largest, Math.ceil(blocks / 2 ** countLog));
}

function shapeAgs(options: NormalOptions): AgShape {
  const { blockSize, stripeUnit: unit, stripeWidth: width, dialect } = options;
  let blocks = Math.floor(options.size / blockSize);
  const least = Math.max(MIN_AG_BLOCKS, dialect.minAgBytes / blockSize);
  const most = Math.floor(MAX_AG_BYTES / blockSize);
  const chosen = options.agCount !== undefined || options.agSize !== undefined;
  let agBlocks: number;
  let agCount: number;
  if (options.agCount !== undefined) {
    agCount = options.agCount;
    if (!Number.isInteger(agCount) || agCount < 1 || agCount > MAX_AGS)
      throw usage('BAD_AG_COUNT', `number of allocation groups: a whole number from 1 on, not ${agCount}`);
    agBlocks = Math.ceil(blocks / agCount);
  } else {
    if (options.agSize !== undefined) {
      if (!Number.isInteger(options.agSize) || options.agSize <= 0 || options.agSize % blockSize !== 0)
        throw usage('BAD_AG_SIZE', `AG size: a multiple of the block size (${blockSize}), not ${options.agSize}`);
      agBlocks = options.agSize / blockSize;
    } else {
      agBlocks = defaultAgBlocks(options, blocks);
    }
    agCount = Math.ceil(blocks / agBlocks);
  }
  if (unit > 0) {
    if (agBlocks % unit !== 0) {
      agBlocks = roundUp(agBlocks, unit) <= most ? roundUp(agBlocks, unit) : roundDown(agBlocks, unit);
      agCount = Math.ceil(blocks / agBlocks);
    }
    // AGs that are a multiple of the width would all start on the same disk.
    if (width > unit && agBlocks % width === 0 && agCount > 1 && !chosen) {
      const shorter = agBlocks - unit;
      agBlocks = shorter >= least ? shorter : agBlocks + unit <= blocks ? agBlocks + unit : agBlocks;
      agCount = Math.ceil(blocks / agBlocks);
    }
  }
  const rest = blocks % agBlocks;
  if (rest !== 0 && rest < least && agCount > 1) {
    agCount--;
    blocks = agCount * agBlocks;
  }
  checkAgs(blocks, agBlocks, agCount, least, most, blockSize);
  return { blocks, agBlocks, agCount };
}

function checkAgs(blocks: number, agBlocks: number, agCount: number, least: number, most: number, blockSize: number) {
  const details = { expected: `${least} to ${most} blocks`, found: agBlocks };
  if (agBlocks < least)
    throw usage(
      'BAD_AG_SIZE',
      `allocation groups of ${agBlocks} blocks are too small: at least ${least} (${(least * blockSize) / MIB} MiB)`,
      details,
    );
  if (agBlocks > most)
    throw usage('BAD_AG_SIZE', `allocation groups of ${agBlocks} blocks are too big: at most ${most}`, details);
  if (agBlocks > blocks)
    throw usage('BAD_AG_SIZE', `allocation groups of ${agBlocks} blocks are too big: the image has ${blocks}`, details);
  const needed = Math.ceil(blocks / agBlocks);
  if (agCount !== needed)
    throw usage(
      'BAD_AG_COUNT',
      `${agCount} allocation groups are too many: ${needed} of ${agBlocks} blocks cover the image`,
    );
  if (agCount > MAX_AGS) throw usage('BAD_AG_COUNT', `${agCount} allocation groups are too many: at most ${MAX_AGS}`);
}

/** Log stripe unit in bytes; 0 = none. From the stripe unit unless that is over 256 KiB; 4k sectors ask for whole blocks. */
function logStripe(options: NormalOptions): number {
  const { blockSize } = options;
  if (options.sectorSize > 512) return blockSize;
  const bytes = options.stripeUnit * blockSize;
  return bytes > 262144 ? roundDown(32768, blockSize) : bytes;
}

interface LogShape {
  ag: number;
  agBlock: number;
  blocks: number;
}

/** What a log in AG 0 leaves free, so that the first inode chunk and its alignment find room (mkfs.xfs's numbers). */
function roomForFirstInodes(options: NormalOptions): number {
  return Math.max(4 * Math.floor((64 * options.inodeSize) / options.blockSize), 2 * options.stripeUnit);
}

function shapeLog(options: NormalOptions, ags: AgShape, layout: InitialLayout, logSunit: number): LogShape {
  const { blockSize, features } = options;
  const { agBlocks, agCount, blocks } = ags;
  const policy = mkfsPolicy(options.dialect);
  const least = policy.minLogBlocks({
    blockSize,
    sectorSize: options.sectorSize,
    inodeSize: options.inodeSize,
    dirBlockSize: options.dirBlockSize,
    agBlocks,
    logSunit,
    finobt: features.finobt,
    rmapbt: features.rmapbt,
    reflink: features.reflink,
    nrext64: features.nrext64,
    parent: features.parent,
  });
  const most = Math.min(MAX_LOG_BLOCKS, Math.floor(MAX_LOG_BYTES / blockSize));
  const ag = Math.floor(agCount / 2);
  // What mkfs.xfs leaves in the AG of the log: four blocks of free list and one that is free.
  const agLength = Math.min(agBlocks, blocks - ag * agBlocks);
  const room = agLength - layout.prealloc - 5 - (ag === 0 ? roomForFirstInodes(options) : 0);
  if (room < least)
    throw usage(
      'IMAGE_TOO_SMALL',
      `the log needs ${least} blocks of ${blockSize} bytes, but only ${room} fit into an allocation group of ${agBlocks}`,
      { expected: `at least ${least} blocks for the log`, found: room },
    );
  let count: number;
  if (options.logSize !== undefined) {
    if (!Number.isInteger(options.logSize) || options.logSize <= 0 || options.logSize % blockSize !== 0)
      throw usage('BAD_LOG_SIZE', `log size: a multiple of the block size (${blockSize}), not ${options.logSize}`);
    count = options.logSize / blockSize;
    if (count < least)
      throw usage(
        'BAD_LOG_SIZE',
        `a log of ${count} blocks is too small: at least ${least} (${least * blockSize} bytes)`,
        {
          expected: `at least ${least} blocks`,
          found: count,
        },
      );
    const limit = Math.min(room, most);
    if (count > limit)
      throw usage(
        'BAD_LOG_SIZE',
        `a log of ${count} blocks is too big: at most ${limit} (${limit * blockSize} bytes)`,
        {
          expected: `at most ${limit} blocks`,
          found: count,
        },
      );
  } else {
    const wanted = Math.floor(policy.defaultLogBytes(blocks * blockSize) / blockSize);
    count = Math.min(Math.max(least, wanted), room, most);
  }
  const unit = logSunit > 0 ? logSunit / blockSize : options.stripeUnit;
  let agBlock = layout.prealloc;
  if (unit > 0) {
    // Aligned in fs-block numbers, which for a unit that is not a power of two differs from aligned in the AG.
    const base = ag * 2 ** Math.ceil(Math.log2(agBlocks));
    agBlock = roundUp(base + agBlock, unit) - base;
    const fits = Math.min(room, agLength - agBlock);
    if (options.logSize !== undefined) {
      if (count % unit !== 0)
        throw usage('BAD_LOG_SIZE', `log size: a multiple of the log stripe unit (${unit * blockSize} bytes)`);
      if (count > agLength - agBlock)
        throw usage('BAD_LOG_SIZE', `an aligned log of ${count} blocks does not fit into its allocation group`);
    } else {
      count = Math.min(count, fits);
      const up = roundUp(count, unit);
      count = up <= Math.min(most, fits) ? up : roundDown(count, unit);
      if (count < least)
        throw usage(
          'IMAGE_TOO_SMALL',
          `an aligned log of at least ${least} blocks does not fit into an allocation group`,
        );
    }
  }
  return { ag, agBlock, blocks: count };
}

/** Inode alignment and sparse alignment in blocks. */
function inodeAlignments(options: NormalOptions): { inode: number; sparse: number } {
  const { blockSize, inodeSize } = options;
  const cluster = Math.floor((8192 * (inodeSize / 256)) / blockSize);
  if (!options.features.sparse) return { inode: cluster, sparse: 0 };
  return { inode: Math.floor((64 * inodeSize) / blockSize), sparse: cluster };
}

function defaultImaxPct(bytes: number): number {
  return bytes < TIB ? 25 : bytes < 50 * TIB ? 5 : 1;
}

/** Everything about the image that does not depend on where the log and the root inode are. */
function fillSuperblock(sector: Uint8Array, options: NormalOptions, ags: AgShape, logSunit: number): void {
  const { blockSize, sectorSize, inodeSize, features, dialect } = options;
  const sb = Superblock.at(new DataView(sector.buffer));
  const align = inodeAlignments(options);
  sb.magicnum = dialect.magic;
  sb.blocksize = blockSize;
  sb.dblocks = ags.blocks;
  sb.uuid = options.uuid;
  sb.rextsize = Math.max(1, 4096 / blockSize);
  sb.agblocks = ags.agBlocks;
  sb.agcount = ags.agCount;
  sb.versionnum =
    VERSION.NUMBER |
    VERSION_REQUIRED |
    (options.stripeUnit > 0 ? VERSION.DALIGN : 0) |
    (sectorSize > 512 ? VERSION.SECTOR : 0);
  sb.sectsize = sectorSize;
  sb.inodesize = inodeSize;
  sb.inopblock = blockSize / inodeSize;
  sb.fname.set(options.label);
  sb.blocklog = log2(blockSize);
  sb.sectlog = log2(sectorSize);
  sb.inodelog = log2(inodeSize);
  sb.inopblog = log2(blockSize) - log2(inodeSize);
  sb.agblklog = Math.ceil(Math.log2(ags.agBlocks));
  sb.inprogress = 1;
  sb.imaxPct = options.imaxPct ?? defaultImaxPct(ags.blocks * blockSize);
  sb.inoalignmt = align.inode;
  sb.unit = options.stripeUnit;
  sb.width = options.stripeWidth;
  sb.dirblklog = log2(options.dirBlockSize) - log2(blockSize);
  if (sectorSize > 512) {
    sb.logsectlog = log2(sectorSize);
    sb.logsectsize = sectorSize;
  }
  sb.logsunit = logSunit > 0 ? logSunit : 1;
  sb.features2 = FEATURES2_REQUIRED;
  sb.badFeatures2 = FEATURES2_REQUIRED;
  sb.featuresRoCompat =
    (features.finobt ? RO_COMPAT.FINOBT : 0) |
    (features.rmapbt ? RO_COMPAT.RMAPBT : 0) |
    (features.reflink ? RO_COMPAT.REFLINK : 0) |
    (features.inobtcount ? RO_COMPAT.INOBTCNT : 0);
  sb.featuresIncompat =
    (INCOMPAT.FTYPE |
      (features.sparse ? INCOMPAT.SPINODES : 0) |
      (features.bigtime ? INCOMPAT.BIGTIME : 0) |
      (features.nrext64 ? INCOMPAT.NREXT64 : 0) |
      (features.exchangeRange ? INCOMPAT.EXCHRANGE : 0) |
      (features.parent ? INCOMPAT.PARENT : 0) |
      (dialect.requiredIncompat & INCOMPAT.DATA_CHECKSUMS)) >>>
    0;
  sb.spinoAlign = align.sparse;
}

/**
 * Plan an image.
 * @throws `usage` errors: BAD_SIZE, IMAGE_TOO_SMALL, BAD_BLOCK_SIZE, BAD_SECTOR_SIZE, BAD_INODE_SIZE, BAD_DIR_BLOCK_SIZE,
 *   BAD_LABEL, BAD_UUID, BAD_TIME, BAD_FEATURES, BAD_AG_COUNT, BAD_AG_SIZE, BAD_LOG_SIZE, BAD_STRIPE, BAD_IMAX_PCT.
 */
export function planImage(options: MkfsOptions): ImagePlan {
  const normal = normalize(options);
  const ags = shapeAgs(normal);
  const logSunit = logStripe(normal);
  const sector = new Uint8Array(normal.sectorSize);
  const view = new DataView(sector.buffer);
  const sb = Superblock.at(view);
  fillSuperblock(sector, normal, ags, logSunit);
  const layout = initialLayout(new Geometry(view, normal.dialect));
  const log = shapeLog(normal, ags, layout, logSunit);
  sb.logstart = log.ag * 2 ** sb.agblklog + log.agBlock;
  sb.logblocks = log.blocks;

  const { chunkBlocks, chunkInodes, inodesPerBlock } = new Geometry(view, normal.dialect);
  sb.rootino = expectedRootInode(sb);
  const chunkAgBlock = sb.rootino / inodesPerBlock;
  const logEnd = log.ag === 0 ? log.agBlock + log.blocks : layout.prealloc;
  if (chunkAgBlock < logEnd) throw internal(`the first inode chunk, at AG block ${chunkAgBlock}, lies in the log`);
  if (chunkAgBlock + chunkBlocks > Math.min(ags.agBlocks, ags.blocks))
    throw usage('IMAGE_TOO_SMALL', `no room for the first inodes behind a log of ${log.blocks} blocks`);
  sb.rbmino = sb.rootino + 1;
  sb.rsumino = sb.rootino + 2;
  sb.icount = chunkInodes;
  sb.ifree = chunkInodes - 3;
  const freeBlocks = ags.blocks - log.blocks - ags.agCount * layout.prealloc - chunkBlocks;
  sb.fdblocks = freeBlocks;
  sealCrc(sector, Superblock.offsets.crc);
  return {
    geometry: new Geometry(view, normal.dialect),
    size: normal.size,
    superblock: sector,
    layout,
    logAg: log.ag,
    logAgBlock: log.agBlock,
    chunkAgBlock,
    chunkBlocks,
    freeBlocks,
    time: normal.time,
  };
}

/**
 * The secondary superblock of an AG of a fresh image. mkfs.xfs leaves the counters at zero, inprogress at 1, and the
 * inode numbers null but for the root's in the last and the middle AG, where xfs_repair looks for it.
 */
export function secondarySuperblock(plan: ImagePlan, ag: number): Uint8Array {
  const sector = plan.superblock.slice();
  const sb = Superblock.at(new DataView(sector.buffer));
  const { agCount } = plan.geometry;
  if (ag !== agCount - 1 && ag !== Math.floor((agCount - 1) / 2)) sb.rootino = NULL64;
  sb.rbmino = NULL64;
  sb.rsumino = NULL64;
  sb.icount = 0;
  sb.ifree = 0;
  sb.fdblocks = plan.freeBlocks + plan.chunkBlocks;
  sealCrc(sector, Superblock.offsets.crc);
  return sector;
}
