/**
 * Blocks that say whose they are and that nobody points at any more: of extent trees, directories, symlinks and attributes. The
 * register names them; where there is none, all blocks that are not free are looked through once, and those that say they
 * belong to one of the damaged inodes are remembered. An inode that is gone gets its forks from them.
 */
import {
  ATTR_LEAF,
  ATTR_LEAF_MAGIC,
  ATTR_REMOTE,
  ATTR_REMOTE_MAGIC,
  AttrRemoteHeader,
} from '../../../formats/attribute.ts';
import { type BlockType, checkBlock } from '../../../formats/block-type.ts';
import { BTREES, LongHeader, maxNodeRecords } from '../../../formats/btree-blocks.ts';
import { DaHeader } from '../../../formats/da.ts';
import {
  DIR_BLOCK,
  DIR_BLOCK_MAGIC,
  DIR_DATA,
  DIR_DATA_MAGIC,
  DIR_DOT_OFFSET,
  DirDataHeader,
} from '../../../formats/directory.ts';
import { getU64 } from '../../../formats/struct.ts';
import {
  MAX_SYMLINK,
  SYMLINK,
  SYMLINK_MAGIC,
  SymlinkHeader,
  symlinkBlocks,
  symlinkPayload,
} from '../../../formats/symlink.ts';
import { CadastreError } from '../../errors.ts';
import type { PlanReader } from '../forks/plan-reader.ts';
import type { TreeEvidence } from '../forks/read-fork.ts';
import { Records } from '../forks/records.ts';
import { coveredBy, touches } from '../groups/runs.ts';
import { ForkExtents } from '../pending.ts';
import type { RepairState } from '../state.ts';
import { type AttributeBlock, goneAttributes } from './gone-attributes.ts';
import { peek } from './peek.ts';
import type { Witness } from './witness.ts';

const PIECE = 1 << 20;
/** Levels that a tree has at most, and extents of a leaf that are looked at. */
const MOST_LEVELS = 10;
const MOST_LOOKED_AT = 8;
const { offsets } = DirDataHeader;

/** A header that says whose a block is: where it has the owner and the own address. */
interface Header {
  readonly kind: 'tree' | 'directory' | 'symlink' | 'attributes';
  readonly owner: number;
  readonly blkno: number;
}

const TREE: Header = { kind: 'tree', owner: LongHeader.offsets.owner, blkno: LongHeader.offsets.blkno };
const DIRECTORY: Header = { kind: 'directory', owner: offsets.owner, blkno: offsets.blkno };
const LINK: Header = { kind: 'symlink', owner: SymlinkHeader.offsets.owner, blkno: SymlinkHeader.offsets.blkno };
const VALUE: Header = {
  kind: 'attributes',
  owner: AttrRemoteHeader.offsets.owner,
  blkno: AttrRemoteHeader.offsets.blkno,
};
const LEAF: Header = { kind: 'attributes', owner: DaHeader.offsets.owner, blkno: DaHeader.offsets.blkno };
const BY_MAGIC = new Map<number, Header>([
  [BTREES.bmbt.magic, TREE],
  [DIR_BLOCK_MAGIC, DIRECTORY],
  [DIR_DATA_MAGIC, DIRECTORY],
  [SYMLINK_MAGIC, LINK],
  [ATTR_REMOTE_MAGIC, VALUE],
]);

/** An extent of a symlink. */
interface TargetPiece {
  readonly fsBlock: number;
  readonly blockCount: number;
  /** Bytes of the target before it. */
  readonly offset: number;
}

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
  readonly #symlinks = new Map<number, TargetPiece[]>();
  readonly #attributes = new Map<number, AttributeBlock[]>();
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

  /** The blocks of the target of a symlink whose inode is gone, as its data fork; empty when they are not just one target. */
  symlink(inode: number): ForkExtents {
    const extents = new ForkExtents();
    if (this.#witness.registerWhole) return extents;
    this.#search();
    const pieces = [...(this.#symlinks.get(inode) ?? [])].sort((a, b) => a.offset - b.offset);
    let fileBlock = 0;
    let length = 0;
    for (const { fsBlock, blockCount, offset } of pieces) {
      if (offset !== length) return new ForkExtents();
      extents.push(fileBlock, fsBlock, blockCount, false);
      fileBlock += blockCount;
      length += symlinkPayload(blockCount * this.#state.geometry.blockSize);
    }
    return extents;
  }

  /** The blocks with attributes of an inode that is gone, as its attr fork. */
  attributes(inode: number): ForkExtents {
    if (this.#witness.registerWhole) return new ForkExtents();
    this.#search();
    return goneAttributes(this.#reader, this.#attributes.get(inode) ?? []);
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
    const header =
      BY_MAGIC.get(magic) ?? (view.getUint16(offset + DaHeader.offsets.magic) === ATTR_LEAF_MAGIC ? LEAF : undefined);
    if (!header) return;
    const { geometry } = this.#state;
    const owner = getU64(view, offset + header.owner);
    if (!this.#inodes.has(owner)) return;
    if (getU64(view, offset + header.blkno) !== geometry.agBlockToDaddr(ag, agBlock)) return;
    const fsBlock = geometry.fsBlock(ag, agBlock);
    if ((this.#witness.freeBlocks(fsBlock, 1) ?? 0) > 0) return;
    if (header === TREE) add(this.#trees, owner, fsBlock);
    else if (this.#witness.hasRegister(ag)) return;
    else if (header === DIRECTORY) this.#directoryBlock(owner, fsBlock, magic === DIR_BLOCK_MAGIC);
    else if (header === LINK)
      this.#symlinkBlocks(owner, fsBlock, view.getUint32(offset + SymlinkHeader.offsets.targetBytes));
    else if (this.#soundBytes(header === LEAF ? ATTR_LEAF : ATTR_REMOTE, fsBlock, 1)) {
      const at = header === LEAF ? -1 : view.getUint32(offset + AttrRemoteHeader.offsets.valueOffset);
      add(this.#attributes, owner, { fsBlock, offset: at });
    }
  }

  #symlinkBlocks(owner: number, fsBlock: number, targetBytes: number): void {
    if (targetBytes > MAX_SYMLINK) return;
    // An extent may be longer than what it holds needs: as each block was counted with a header of its own.
    const { blockSize } = this.#state.geometry;
    const least = Math.ceil((targetBytes + SymlinkHeader.size) / blockSize);
    for (let blockCount = least; blockCount <= symlinkBlocks(targetBytes, blockSize); blockCount++) {
      const view = this.#soundBytes(SYMLINK, fsBlock, blockCount);
      if (!view) continue;
      add(this.#symlinks, owner, { fsBlock, blockCount, offset: view.getUint32(SymlinkHeader.offsets.targetOffset) });
      return;
    }
  }

  /** Blocks that verify as a whole. */
  #soundBytes(type: BlockType, fsBlock: number, blockCount: number): DataView | undefined {
    const { geometry } = this.#state;
    if (!geometry.isFsRange(fsBlock, blockCount)) return undefined;
    const data = new Uint8Array(blockCount * geometry.blockSize);
    if (!this.#read(geometry.fsBlockToByte(fsBlock), data)) return undefined;
    const view = new DataView(data.buffer);
    return checkBlock(type, data, view, geometry, geometry.fsBlockToDaddr(fsBlock)) ? undefined : view;
  }

  /** Remember a block if it is sound as a whole. */
  #directoryBlock(owner: number, fsBlock: number, isWhole: boolean): void {
    const { geometry } = this.#state;
    const view = this.#soundBytes(isWhole ? DIR_BLOCK : DIR_DATA, fsBlock, geometry.dirBlockBlocks);
    if (!view) return;
    const isFirst = isWhole || (view.getUint8(DIR_DOT_OFFSET + 8) === 1 && view.getUint8(DIR_DOT_OFFSET + 9) === 0x2e);
    const lsnHi = view.getUint32(offsets.lsn);
    const lsnLo = view.getUint32(offsets.lsn + 4);
    add(this.#directories, owner, { fsBlock, isWhole, isFirst, lsnHi, lsnLo });
  }

  /** Blocks that somebody claims are not lost, whatever is left in them. */
  #dropClaimed(): void {
    if (this.#directories.size + this.#symlinks.size + this.#attributes.size === 0) return;
    const { geometry, claims } = this.#state;
    const covered = claims.tables.map(coveredBy);
    const drop = <T extends { readonly fsBlock: number }>(
      found: Map<number, T[]>,
      sizeOf: (item: T) => number,
    ): void => {
      for (const [owner, items] of found) {
        const isLost = (item: T): boolean => {
          const ag = geometry.agOfFsBlock(item.fsBlock);
          return !touches(covered[ag]!, geometry.agBlockOfFsBlock(item.fsBlock), sizeOf(item));
        };
        found.set(owner, items.filter(isLost));
      }
    };
    drop(this.#directories, () => geometry.dirBlockBlocks);
    drop(this.#symlinks, ({ blockCount }) => blockCount);
    drop(this.#attributes, () => 1);
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
