/**
 * What blocks say of themselves. Magic, uuid, own address and owner together are proof that a block was last written as
 * that owner's metadata: four fields do not agree by chance, and no data block has them by itself. A wrong CRC or bad content
 * behind a right header is damage to the metadata, not somebody else's bytes.
 *
 * Only directory blocks of several fs blocks and symlinks of several blocks have blocks without a header; for those the CRC
 * over the whole decides.
 */
import { ATTR_LEAF_MAGIC, ATTR_REMOTE_MAGIC } from '../../../formats/attribute.ts';
import { BTREES, LongHeader } from '../../../formats/btree-blocks.ts';
import { BTREE_BLOCK_TYPES } from '../../../formats/btree-verify.ts';
import { crcWithHole, storedCrc } from '../../../formats/checksum.ts';
import { DA_NODE_MAGIC, DaHeader, verifySelf } from '../../../formats/da.ts';
import {
  DIR_BLOCK_MAGIC,
  DIR_DATA_MAGIC,
  DIR_FREE_MAGIC,
  DIR_LEAF1_MAGIC,
  DIR_LEAFN_MAGIC,
  DIR_SPACE_BYTES,
  DirDataHeader,
} from '../../../formats/directory.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { inodeCoreFault, inodeCrcFault } from '../../../formats/inode-verify.ts';
import { getU64 } from '../../../formats/struct.ts';
import { SYMLINK_MAGIC, SymlinkHeader } from '../../../formats/symlink.ts';
import type { Device } from '../../device/device.ts';
import { CadastreError } from '../../errors.ts';
import type { ForkExtents } from '../pending.ts';
import type { ClaimKind } from './kinds.ts';

/** A block that carries a header of the format. */
export interface SelfDescribed {
  readonly kind: ClaimKind;
  /** In words: "directory data block", "bnobt block". */
  readonly what: string;
  /** Inode, or AG for an AG's tree. */
  readonly owner: number;
  readonly crcOffset: number;
  /** Directories: which part of the fork such a block belongs to. */
  readonly space?: DirectorySpace;
}

export type DirectorySpace = 'data' | 'leaf' | 'free';

interface Header {
  readonly kinds: readonly ClaimKind[];
  readonly space?: DirectorySpace;
  readonly what: string;
  /** Offsets of blkno, uuid, owner, crc. */
  readonly at: readonly [number, number, number, number];
}

const dataAt = DirDataHeader.offsets;
const daAt = DaHeader.offsets;
const linkAt = SymlinkHeader.offsets;
const DIR_AT = [dataAt.blkno, dataAt.uuid, dataAt.owner, dataAt.crc] as const;
const DA_AT = [daAt.blkno, daAt.uuid, daAt.owner, daAt.crc] as const;
const REMOTE_AT = [linkAt.blkno, linkAt.uuid, linkAt.owner, linkAt.crc] as const;

/** By the u32 at byte 0. */
const BY_WORD = new Map<number, Header>([
  [DIR_BLOCK_MAGIC, { kinds: ['directory'], what: 'directory block', space: 'data', at: DIR_AT }],
  [DIR_DATA_MAGIC, { kinds: ['directory'], what: 'directory data block', space: 'data', at: DIR_AT }],
  [DIR_FREE_MAGIC, { kinds: ['directory'], what: 'directory free index', space: 'free', at: DIR_AT }],
  // Remote values have the same header as symlinks, but for the name.
  [ATTR_REMOTE_MAGIC, { kinds: ['attributes'], what: 'attribute value', at: REMOTE_AT }],
  [SYMLINK_MAGIC, { kinds: ['symlink'], what: 'symlink target', at: REMOTE_AT }],
]);
/** By the u16 at byte 8. */
const BY_HALF = new Map<number, Header>([
  [DIR_LEAF1_MAGIC, { kinds: ['directory'], what: 'directory leaf', space: 'leaf', at: DA_AT }],
  [DIR_LEAFN_MAGIC, { kinds: ['directory'], what: 'directory leaf', space: 'leaf', at: DA_AT }],
  [DA_NODE_MAGIC, { kinds: ['directory', 'attributes'], what: 'hash node', space: 'leaf', at: DA_AT }],
  [ATTR_LEAF_MAGIC, { kinds: ['attributes'], what: 'attribute leaf', at: DA_AT }],
]);

/** Kinds of blocks with a header of their own. */
const DESCRIBED: readonly ClaimKind[] = ['directory', 'attributes', 'symlink', 'extent-tree', 'ag-tree'];

/** A claim on one block, as far as its self-description matters. */
export interface SelfClaim {
  readonly kind: ClaimKind;
  readonly inode: number;
  /** Place in the fork of the block asked about. */
  readonly fileBlock: number;
  /** The block itself. */
  readonly ag: number;
  readonly agBlock: number;
}

/** A range of a fork, and where it is to be taken to stand. */
export interface PlacedRange {
  readonly fileBlock: number;
  readonly count: number;
  readonly fsBlock: number;
}

export class SelfDescriptions {
  readonly #plan: Device;
  readonly #geometry: Geometry;
  /** Extents of a fork of the plan, to put blocks of several fs blocks together. */
  readonly #extentsOf: (inode: number, attr: boolean) => ForkExtents;
  readonly #block: Uint8Array;
  readonly #view: DataView;
  #at = -1;

  constructor(plan: Device, geometry: Geometry, extentsOf: (inode: number, attr: boolean) => ForkExtents) {
    this.#plan = plan;
    this.#geometry = geometry;
    this.#extentsOf = extentsOf;
    this.#block = new Uint8Array(geometry.blockSize);
    this.#view = new DataView(this.#block.buffer);
  }

  /**
   * In words what proves that a block is the claimant's at this place; undefined when nothing does.
   * @param range what else of the fork is taken to stand elsewhere than it does.
   */
  proves(claim: SelfClaim, range?: PlacedRange): string | undefined {
    const { ag, agBlock, kind, inode, fileBlock } = claim;
    if (kind === 'data' || kind === 'ag-headers' || kind === 'log') return undefined;
    if (kind === 'inodes') return this.#inodes(ag, agBlock);
    const found = this.describe(ag, agBlock, kind);
    if (kind === 'ag-tree') return found && `a ${found.what}`;
    const { dirBlockBlocks, blockSize } = this.#geometry;
    if (found) {
      // A header in the middle of a block, or in another part of the fork, belongs to another place.
      const isHere = kind !== 'directory' || fileBlock % dirBlockBlocks === 0;
      const isSpace = found.space === undefined || found.space === spaceOf(fileBlock, blockSize);
      return found.owner === inode && isHere && isSpace ? `a ${found.what} of inode ${inode}` : undefined;
    }
    return dirBlockBlocks > 1 || kind === 'symlink' ? this.#joined(claim, range) : undefined;
  }

  /** Does a block say that it is anybody's metadata? */
  isMetadata(ag: number, agBlock: number): boolean {
    return this.#inodes(ag, agBlock) !== undefined || DESCRIBED.some((kind) => this.describe(ag, agBlock, kind));
  }

  /** The header of a block of this kind, or undefined. */
  describe(ag: number, agBlock: number, kind: ClaimKind): SelfDescribed | undefined {
    if (!this.#read(ag, agBlock)) return undefined;
    return this.#header(this.#view, this.#geometry.agBlockToDaddr(ag, agBlock), kind);
  }

  #header(view: DataView, daddr: number, kind: ClaimKind): SelfDescribed | undefined {
    const geometry = this.#geometry;
    if (kind === 'ag-tree') return agTreeHeader(view, geometry, daddr);
    if (kind === 'extent-tree') {
      if (BTREE_BLOCK_TYPES.bmbt.verify(view, geometry, daddr)) return undefined;
      const { owner, crc } = LongHeader.offsets;
      return { kind, what: 'block of an extent tree', owner: getU64(view, owner), crcOffset: crc };
    }
    const header = BY_WORD.get(view.getUint32(0)) ?? BY_HALF.get(view.getUint16(daAt.magic));
    if (!header?.kinds.includes(kind)) return undefined;
    const [blkno, uuid, owner, crcOffset] = header.at;
    if (verifySelf(view, geometry, daddr, blkno, uuid, owner)) return undefined;
    const space = header.space === undefined || kind !== 'directory' ? {} : { space: header.space };
    return { kind, what: header.what, owner: getU64(view, owner), crcOffset, ...space };
  }

  /** A block without a header of its own: the directory block or symlink extent that it is a part of. */
  #joined({ kind, inode, fileBlock, ag, agBlock }: SelfClaim, range: PlacedRange | undefined): string | undefined {
    const geometry = this.#geometry;
    const extents = this.#extentsOf(inode, false);
    const at = extents.fileBlock.findIndex(
      (first, i) => first <= fileBlock && fileBlock < first + extents.blockCount[i]!,
    );
    if (at < 0) return undefined;
    const size = kind === 'symlink' ? extents.blockCount[at]! : geometry.dirBlockBlocks;
    const first = kind === 'symlink' ? extents.fileBlock[at]! : fileBlock - (fileBlock % size);
    if (size > MOST_JOINED || first === fileBlock) return undefined;
    const bytes = new Uint8Array(size * geometry.blockSize);
    let daddr = -1;
    for (let i = 0; i < size; i++) {
      const block = first + i;
      const into = range ? block - range.fileBlock : -1;
      const elsewhere = range && into >= 0 && into < range.count ? range.fsBlock + into : blockOf(extents, block);
      const from = block === fileBlock ? geometry.fsBlock(ag, agBlock) : elsewhere;
      if (from < 0) return undefined;
      if (i === 0) daddr = geometry.fsBlockToDaddr(from);
      if (!this.#read(geometry.agOfFsBlock(from), geometry.agBlockOfFsBlock(from))) return undefined;
      bytes.set(this.#block, i * geometry.blockSize);
    }
    const found = this.#header(new DataView(bytes.buffer), daddr, kind);
    if (found?.owner !== inode || crcWithHole(bytes, found.crcOffset) !== storedCrc(bytes, found.crcOffset)) {
      return undefined;
    }
    return `a part of a ${found.what} of inode ${inode}`;
  }

  /** Inodes that are what they should be, in one block of a chunk. */
  #inodes(ag: number, agBlock: number): string | undefined {
    if (!this.#read(ag, agBlock)) return undefined;
    const geometry = this.#geometry;
    let sound = 0;
    for (let slot = 0; slot < geometry.inodesPerBlock; slot++) {
      const offset = slot * geometry.inodeSize;
      const inode = geometry.inodeNumber(ag, agBlock * geometry.inodesPerBlock + slot);
      if (inodeCoreFault(this.#view, offset, geometry, inode)) continue;
      if (!inodeCrcFault(this.#view, offset, geometry)) sound++;
    }
    return sound === 0 ? undefined : `a block of ${sound === 1 ? 'an inode' : `${sound} inodes`}`;
  }

  #read(ag: number, agBlock: number): boolean {
    const byte = this.#geometry.agBlockToByte(ag, agBlock);
    if (byte === this.#at) return true;
    this.#at = -1;
    try {
      this.#plan.read(byte, this.#block);
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'device') throw error;
      return false;
    }
    this.#at = byte;
    return true;
  }
}

/** fs blocks that are put together at most: 64 KiB of 1 KiB blocks. */
const MOST_JOINED = 64;

function agTreeHeader(view: DataView, geometry: Geometry, daddr: number): SelfDescribed | undefined {
  const magic = view.getUint32(0);
  for (const layout of Object.values(BTREES)) {
    if (layout.long || layout.magic !== magic) continue;
    const type = BTREE_BLOCK_TYPES[layout.name];
    if (type.verify(view, geometry, daddr)) return undefined;
    return {
      kind: 'ag-tree',
      what: `${layout.name} block`,
      owner: geometry.agOfDaddr(daddr),
      crcOffset: type.crcOffset,
    };
  }
  return undefined;
}

/** The part of a directory's fork that a block stands in. */
export function spaceOf(fileBlock: number, blockSize: number): DirectorySpace {
  const space = Math.floor((fileBlock * blockSize) / DIR_SPACE_BYTES);
  return space === 0 ? 'data' : space === 1 ? 'leaf' : 'free';
}

/** fs block of a place of a fork, or -1. */
function blockOf(extents: ForkExtents, fileBlock: number): number {
  const at = extents.fileBlock.findIndex(
    (first, i) => first <= fileBlock && fileBlock < first + extents.blockCount[i]!,
  );
  return at < 0 ? -1 : extents.startBlock[at]! + (fileBlock - extents.fileBlock[at]!);
}
