/**
 * The bytes of a fresh AG: superblock copy, AGF, AGI, AGFL and one root block per tree, in one run from block 0 of the AG,
 * so that making an AG is one write. Used by mkfs (AG 0 with the first inode chunk) and by grow (without).
 *
 * 1. Every LSN is 0 and every CRC is right: the run can be written as it is.
 * 2. Trees are single leaves; what fits into a fresh AG always fits into one (at most 3 free runs, 9 rmap records).
 */
import {
  AG_HEADER_VERSION,
  AGF_MAGIC,
  AGFL_MAGIC,
  AGI_BUCKETS,
  AGI_MAGIC,
  Agf,
  Agfl,
  Agi,
} from '../../formats/ag-headers.ts';
import {
  AllocRecord,
  BTREES,
  type BtreeLayout,
  InobtRecord,
  RMAP_OWNER,
  RmapRecord,
  ShortHeader,
} from '../../formats/btree-blocks.ts';
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { AgSpace, InitialLayout, Run } from './initial-layout.ts';

/** Inodes of the first chunk that are in use: root, realtime bitmap, realtime summary. */
export const FIRST_INODES = 3;
const INODES_PER_RECORD = 64;

/** Bytes of the run that `buildEmptyAg` fills. */
export function emptyAgBytes(geometry: Geometry, layout: InitialLayout): number {
  return layout.prealloc * geometry.blockSize;
}

/**
 * Fill `into` (`emptyAgBytes` long; old content does not matter) with the first blocks of AG `ag`.
 * @param superblock the sealed sector for sector 0 of this AG.
 */
export function buildEmptyAg(
  geometry: Geometry,
  layout: InitialLayout,
  ag: number,
  space: AgSpace,
  superblock: Uint8Array,
  into: Uint8Array,
): void {
  into.fill(0);
  const { sectorSize } = geometry;
  into.set(superblock);
  fillAgf(geometry, layout, ag, space, into.subarray(sectorSize, 2 * sectorSize));
  fillAgi(geometry, layout, ag, space, into.subarray(2 * sectorSize, 3 * sectorSize));
  fillAgfl(geometry, ag, space, into.subarray(3 * sectorSize, 4 * sectorSize));

  const root = (tree: BtreeLayout, agBlock: number, fill: (records: DataView) => number): void => {
    if (agBlock !== 0) fillLeaf(geometry, tree, ag, agBlock, into, fill);
  };
  root(BTREES.bnobt, layout.bnobt, (view) => fillFree(view, space.free));
  root(BTREES.cntbt, layout.cntbt, (view) =>
    fillFree(
      view,
      [...space.free].sort((a, b) => a.count - b.count || a.start - b.start),
    ),
  );
  root(BTREES.inobt, layout.inobt, (view) => fillInodeRecords(geometry, view, space.inodes));
  root(BTREES.finobt, layout.finobt, (view) => fillInodeRecords(geometry, view, space.inodes));
  root(BTREES.rmapbt, layout.rmapbt, (view) => fillRmap(view, owners(geometry, layout, space)));
  root(BTREES.refcountbt, layout.refcountbt, () => 0);
  root(BTREES.csumbt, layout.csumbt, () => 0);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function fillAgf(geometry: Geometry, layout: InitialLayout, ag: number, space: AgSpace, sector: Uint8Array): void {
  const agf = Agf.at(viewOf(sector));
  agf.magicnum = AGF_MAGIC;
  agf.versionnum = AG_HEADER_VERSION;
  agf.seqno = ag;
  agf.length = space.length;
  agf.bnoRoot = layout.bnobt;
  agf.cntRoot = layout.cntbt;
  agf.bnoLevel = 1;
  agf.cntLevel = 1;
  // mkfs.xfs starts its lists at slot 1; an empty list is first 1, last 0.
  agf.flfirst = 1;
  agf.fllast = space.freeList?.count ?? 0;
  agf.flcount = space.freeList?.count ?? 0;
  agf.uuid = geometry.metaUuid;
  for (const run of space.free) {
    agf.freeblks += run.count;
    agf.longest = Math.max(agf.longest, run.count);
  }
  if (layout.rmapbt !== 0) {
    agf.rmapRoot = layout.rmapbt;
    agf.rmapLevel = 1;
    agf.rmapBlocks = 1;
  }
  if (layout.refcountbt !== 0) {
    agf.refcountRoot = layout.refcountbt;
    agf.refcountLevel = 1;
    agf.refcountBlocks = 1;
  }
  if (layout.csumbt !== 0) {
    agf.csumRoot = layout.csumbt;
    agf.csumLevel = 1;
    agf.csumBlocks = 1;
  }
  sealCrc(sector, Agf.offsets.crc);
}

function fillAgi(geometry: Geometry, layout: InitialLayout, ag: number, space: AgSpace, sector: Uint8Array): void {
  const view = viewOf(sector);
  const agi = Agi.at(view);
  const { finobt, inobtcount } = geometry.features;
  agi.magicnum = AGI_MAGIC;
  agi.versionnum = AG_HEADER_VERSION;
  agi.seqno = ag;
  agi.length = space.length;
  agi.root = layout.inobt;
  agi.level = 1;
  agi.newino = NULL32;
  agi.dirino = NULL32;
  if (space.inodes) {
    agi.count = geometry.chunkInodes;
    agi.freecount = geometry.chunkInodes - FIRST_INODES;
    agi.newino = space.inodes.start * geometry.inodesPerBlock;
  }
  for (let bucket = 0; bucket < AGI_BUCKETS; bucket++) view.setUint32(Agi.offsets.unlinked + 4 * bucket, NULL32);
  agi.uuid = geometry.metaUuid;
  if (finobt) {
    agi.freeRoot = layout.finobt;
    agi.freeLevel = 1;
  }
  if (inobtcount) {
    agi.iblocks = 1;
    agi.fblocks = 1;
  }
  sealCrc(sector, Agi.offsets.crc);
}

function fillAgfl(geometry: Geometry, ag: number, space: AgSpace, sector: Uint8Array): void {
  const view = viewOf(sector);
  const agfl = Agfl.at(view);
  agfl.magicnum = AGFL_MAGIC;
  agfl.seqno = ag;
  agfl.uuid = geometry.metaUuid;
  for (let slot = 0; slot < geometry.agflSlots; slot++) view.setUint32(Agfl.size + 4 * slot, NULL32);
  const { freeList } = space;
  if (freeList) for (let i = 0; i < freeList.count; i++) view.setUint32(Agfl.size + 4 * (1 + i), freeList.start + i);
  sealCrc(sector, Agfl.offsets.crc);
}

function fillLeaf(
  geometry: Geometry,
  tree: BtreeLayout,
  ag: number,
  agBlock: number,
  into: Uint8Array,
  fill: (records: DataView) => number,
): void {
  const block = into.subarray(agBlock * geometry.blockSize, (agBlock + 1) * geometry.blockSize);
  const header = ShortHeader.at(viewOf(block));
  header.magic = tree.magic;
  header.leftSibling = NULL32;
  header.rightSibling = NULL32;
  header.blkno = geometry.agBlockToDaddr(ag, agBlock);
  header.uuid = geometry.metaUuid;
  header.owner = ag;
  header.numrecs = fill(viewOf(block.subarray(ShortHeader.size)));
  sealCrc(block, ShortHeader.offsets.crc);
}

function fillFree(view: DataView, free: readonly Run[]): number {
  const record = AllocRecord.view();
  free.forEach((run, i) => {
    record.at(view, i * AllocRecord.size);
    record.startBlock = run.start;
    record.blockCount = run.count;
  });
  return free.length;
}

/** Records of the first chunk: the same in both inode trees, since every one has free inodes. */
function fillInodeRecords(geometry: Geometry, view: DataView, inodes: Run | undefined): number {
  if (!inodes) return 0;
  const count = geometry.chunkInodes / INODES_PER_RECORD;
  const record = InobtRecord.view();
  for (let i = 0; i < count; i++) {
    const used = i === 0 ? FIRST_INODES : 0;
    const free = INODES_PER_RECORD - used;
    record.at(view, i * InobtRecord.size);
    record.startInode = inodes.start * geometry.inodesPerBlock + i * INODES_PER_RECORD;
    // Without sparse inodes the four bytes are one u32 free count.
    if (geometry.features.sparse) record.count = INODES_PER_RECORD;
    record.freeCount = free;
    record.freeHi = NULL32;
    record.freeLo = (NULL32 << used) >>> 0;
  }
  return count;
}

interface Owned extends Run {
  /** Low word of a special owner. */
  readonly owner: number;
}

/** Every used run of a fresh AG with its owner, sorted, neighbours of one owner merged. */
function owners(geometry: Geometry, layout: InitialLayout, space: AgSpace): Owned[] {
  const runs: Owned[] = [{ start: 0, count: geometry.headerBlocks, owner: RMAP_OWNER.FS }];
  const block = (start: number, owner: number): void => {
    if (start !== 0) runs.push({ start, count: 1, owner });
  };
  block(layout.bnobt, RMAP_OWNER.AG);
  block(layout.cntbt, RMAP_OWNER.AG);
  block(layout.inobt, RMAP_OWNER.INOBT);
  block(layout.finobt, RMAP_OWNER.INOBT);
  block(layout.rmapbt, RMAP_OWNER.AG);
  block(layout.refcountbt, RMAP_OWNER.REFC);
  block(layout.csumbt, RMAP_OWNER.CSUM);
  if (space.log) runs.push({ ...space.log, owner: RMAP_OWNER.LOG });
  if (space.freeList) runs.push({ ...space.freeList, owner: RMAP_OWNER.AG });
  if (space.inodes) runs.push({ ...space.inodes, owner: RMAP_OWNER.INODES });
  runs.sort((a, b) => a.start - b.start);
  const merged: Owned[] = [];
  for (const run of runs) {
    const last = merged.at(-1);
    if (last && last.owner === run.owner && last.start + last.count === run.start)
      merged[merged.length - 1] = { ...last, count: last.count + run.count };
    else merged.push(run);
  }
  return merged;
}

function fillRmap(view: DataView, runs: readonly Owned[]): number {
  const record = RmapRecord.view();
  runs.forEach((run, i) => {
    record.at(view, i * RmapRecord.size);
    record.startBlock = run.start;
    record.blockCount = run.count;
    record.ownerHi = NULL32;
    record.ownerLo = run.owner;
  });
  return runs.length;
}
