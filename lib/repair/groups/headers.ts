/** The header sectors of an AG, whole, from what was decided. LSN 0: a block that no log ever wrote. */
import {
  AG_HEADER_VERSION,
  AGF_MAGIC,
  AGFL_MAGIC,
  AGI_BUCKETS,
  AGI_MAGIC,
  Agf,
  Agfl,
  Agi,
} from '../../../formats/ag-headers.ts';
import { sealCrc } from '../../../formats/checksum.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import { NULL32 } from '../../../formats/struct.ts';
import type { RunList } from '../../check/rows.ts';
import type { Device } from '../../device/device.ts';
import type { TreeName } from '../../space/allocation-group.ts';
import type { ChunkRecords } from './ag-records.ts';
import { readInto } from './block-scan.ts';

/** A tree of the AG as the headers describe it. */
export interface TreeRoot {
  readonly root: number;
  readonly height: number;
  readonly blocks: number;
}
export type TreeRoots = { readonly [N in TreeName]?: TreeRoot };

const NO_TREE: TreeRoot = { root: 0, height: 0, blocks: 0 };

function writeSector(device: Device, geometry: Geometry, ag: number, sector: 1 | 2 | 3, view: DataView): void {
  const bytes = new Uint8Array(view.buffer);
  sealCrc(bytes, sector === 1 ? Agf.offsets.crc : sector === 2 ? Agi.offsets.crc : Agfl.offsets.crc);
  device.write(geometry.agHeaderDaddr(ag, sector) * BASIC_BLOCK, bytes);
}

const emptySector = (geometry: Geometry): DataView => new DataView(new ArrayBuffer(geometry.sectorSize));

/** AGF and AGFL. */
export function writeFreeHeaders(
  device: Device,
  geometry: Geometry,
  ag: number,
  trees: TreeRoots,
  free: RunList,
  freeList: readonly number[],
): void {
  const agf = Agf.at(emptySector(geometry));
  const { bnobt = NO_TREE, cntbt = NO_TREE, rmapbt = NO_TREE, refcountbt = NO_TREE, csumbt = NO_TREE } = trees;
  agf.magicnum = AGF_MAGIC;
  agf.versionnum = AG_HEADER_VERSION;
  agf.seqno = ag;
  agf.length = geometry.agLength(ag);
  agf.bnoRoot = bnobt.root;
  agf.bnoLevel = bnobt.height;
  agf.cntRoot = cntbt.root;
  agf.cntLevel = cntbt.height;
  agf.rmapRoot = rmapbt.root;
  agf.rmapLevel = rmapbt.height;
  agf.rmapBlocks = rmapbt.blocks;
  agf.refcountRoot = refcountbt.root;
  agf.refcountLevel = refcountbt.height;
  agf.refcountBlocks = refcountbt.blocks;
  agf.csumRoot = csumbt.root;
  agf.csumLevel = csumbt.height;
  agf.csumBlocks = csumbt.blocks;
  agf.btreeblks = Math.max(0, bnobt.blocks - 1) + Math.max(0, cntbt.blocks - 1) + Math.max(0, rmapbt.blocks - 1);
  // An empty list starts behind its end.
  agf.flfirst = freeList.length === 0 ? 1 : 0;
  agf.fllast = Math.max(0, freeList.length - 1);
  agf.flcount = freeList.length;
  agf.uuid = geometry.metaUuid;
  agf.freeblks = free.blocks;
  agf.longest = longest(free);
  writeSector(device, geometry, ag, 1, agf.view);

  const view = emptySector(geometry);
  const agfl = Agfl.at(view);
  agfl.magicnum = AGFL_MAGIC;
  agfl.seqno = ag;
  agfl.uuid = geometry.metaUuid;
  for (let slot = 0; slot < geometry.agflSlots; slot++) view.setUint32(Agfl.size + 4 * slot, freeList[slot] ?? NULL32);
  writeSector(device, geometry, ag, 3, view);
}

/** AGI; all unlinked lists are empty. @param newino a chunk that exists, or null. */
export function writeInodeHeader(
  device: Device,
  geometry: Geometry,
  ag: number,
  trees: TreeRoots,
  inodes: number,
  freeInodes: number,
  newino: number,
): void {
  const view = emptySector(geometry);
  const agi = Agi.at(view);
  const { inobt = NO_TREE, finobt = NO_TREE } = trees;
  agi.magicnum = AGI_MAGIC;
  agi.versionnum = AG_HEADER_VERSION;
  agi.seqno = ag;
  agi.length = geometry.agLength(ag);
  agi.count = inodes;
  agi.freecount = freeInodes;
  agi.root = inobt.root;
  agi.level = inobt.height;
  agi.newino = newino;
  agi.dirino = NULL32;
  for (let bucket = 0; bucket < AGI_BUCKETS; bucket++) view.setUint32(Agi.offsets.unlinked + 4 * bucket, NULL32);
  agi.uuid = geometry.metaUuid;
  agi.freeRoot = finobt.root;
  agi.freeLevel = finobt.height;
  if (geometry.features.inobtcount) {
    agi.iblocks = inobt.blocks;
    agi.fblocks = finobt.blocks;
  }
  writeSector(device, geometry, ag, 2, view);
}

function longest(free: RunList): number {
  let most = 0;
  for (let i = 0; i < free.length; i++) most = Math.max(most, free.count[i]!);
  return most;
}

/** The AGF or the AGI of an AG as bytes, whatever they hold; zeroes when the device cannot read them. */
export function readHeader(device: Device, geometry: Geometry, ag: number, sector: 1 | 2): DataView {
  const bytes = new Uint8Array(geometry.sectorSize);
  if (!readInto(device, geometry.agHeaderDaddr(ag, sector) * BASIC_BLOCK, bytes)) bytes.fill(0);
  return new DataView(bytes.buffer);
}

/** The chunk allocated last, as the AGI has it, if there is such a chunk; else null. */
export function newestChunk(device: Device, geometry: Geometry, ag: number, chunks: ChunkRecords): number {
  const { newino } = Agi.at(readHeader(device, geometry, ag, 2));
  return chunks.startsAt(newino) ? newino : NULL32;
}
