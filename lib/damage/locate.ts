/**
 * From a place to bytes: where the structure lies, what its fields are, how its CRC is made right. Reads raw bytes only and
 * believes none of them, so that an image can be damaged again and again.
 */
import { AGF_MAGIC, AGFL_MAGIC, AGI_MAGIC, Agf, Agfl, Agi } from '../../formats/ag-headers.ts';
import { ATTR_LEAF_MAGIC, ATTR_REMOTE_MAGIC, AttrRemoteHeader } from '../../formats/attribute.ts';
import { BTREES, type BtreeLayout, LongHeader, maxNodeRecords, ShortHeader } from '../../formats/btree-blocks.ts';
import { sealCrc } from '../../formats/checksum.ts';
import { DA_NODE_MAGIC, DaHeader } from '../../formats/da.ts';
import {
  DIR_BLOCK_MAGIC,
  DIR_DATA_MAGIC,
  DIR_FREE_MAGIC,
  DIR_LEAF1_MAGIC,
  DIR_LEAFN_MAGIC,
  DIR_SPACE_BYTES,
  DirDataHeader,
} from '../../formats/directory.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { INODE_MAGIC, InodeCore } from '../../formats/inode.ts';
import {
  headerBlocks,
  LOG_BB,
  LOG_RECORD_MAGIC,
  LogRecordHeader,
  logRecordShape,
  sealLogRecord,
} from '../../formats/log.ts';
import { findStructure } from '../../formats/registry.ts';
import { CADASTRE_MAGIC, Superblock, XFS_MAGIC } from '../../formats/superblock.ts';
import { SYMLINK_MAGIC, SymlinkHeader } from '../../formats/symlink.ts';
import type { Device } from '../device/device.ts';
import { CadastreError, usage } from '../errors.ts';
import { readBytes } from '../inspect/dump.ts';
import { readLogState } from '../journal/log-reader.ts';
import type { BitField } from './bits.ts';
import {
  agfFields,
  agflFields,
  agiFields,
  attrLeafFields,
  attrValueFields,
  daNodeFields,
  dirDataFields,
  dirFreeFields,
  dirLeafFields,
  FieldList,
  logRecordFields,
  superblockFields,
  symlinkFields,
  treeFields,
} from './fields.ts';
import { inodeByte, mapFork } from './fork-map.ts';
import { inodeFields } from './inode-fields.ts';
import { HEADERS, type Place, placeWords } from './place.ts';

export interface ByteRange {
  readonly byte: number;
  readonly length: number;
}

/** A structure found. */
export interface Target {
  readonly place: Place;
  /** What it is: `agf`, `rmapbt`, `dir-leafn`, `inode` ...; `raw` for bytes that nobody knows. */
  readonly structure: string;
  /** Where its bytes are: one range, but for scattered directory blocks and log records that go round the end. */
  readonly ranges: readonly ByteRange[];
  fields(bytes: Uint8Array): BitField[];
  /** Make the CRC right; undefined where there is none. */
  readonly seal: ((bytes: Uint8Array) => void) | undefined;
}

interface Kind {
  readonly fields: (list: FieldList) => void;
  readonly crc: number;
}

const kind = (crc: number, fields: Kind['fields']): Kind => ({ crc, fields });
const KINDS: Record<string, Kind> = {
  superblock: kind(Superblock.offsets.crc, superblockFields),
  agf: kind(Agf.offsets.crc, agfFields),
  agi: kind(Agi.offsets.crc, agiFields),
  agfl: kind(Agfl.offsets.crc, agflFields),
  inode: kind(InodeCore.offsets.crc, inodeFields),
  'dir-block': kind(DirDataHeader.offsets.crc, (list) => dirDataFields(list, true)),
  'dir-data': kind(DirDataHeader.offsets.crc, (list) => dirDataFields(list, false)),
  'dir-leaf1': kind(DaHeader.offsets.crc, (list) => dirLeafFields(list, true)),
  'dir-leafn': kind(DaHeader.offsets.crc, (list) => dirLeafFields(list, false)),
  'dir-free': kind(DirDataHeader.offsets.crc, dirFreeFields),
  'da-node': kind(DaHeader.offsets.crc, daNodeFields),
  'attr-leaf': kind(DaHeader.offsets.crc, attrLeafFields),
  'attr-value': kind(AttrRemoteHeader.offsets.crc, attrValueFields),
  symlink: kind(SymlinkHeader.offsets.crc, symlinkFields),
};
for (const layout of Object.values(BTREES) as BtreeLayout[]) {
  const { crc } = layout.long ? LongHeader.offsets : ShortHeader.offsets;
  KINDS[layout.name] = kind(crc, (list) => treeFields(list, layout));
}

const LONG_MAGICS = new Map<number, string>([
  [XFS_MAGIC, 'superblock'],
  [CADASTRE_MAGIC, 'superblock'],
  [AGF_MAGIC, 'agf'],
  [AGI_MAGIC, 'agi'],
  [AGFL_MAGIC, 'agfl'],
  [DIR_BLOCK_MAGIC, 'dir-block'],
  [DIR_DATA_MAGIC, 'dir-data'],
  [DIR_FREE_MAGIC, 'dir-free'],
  [ATTR_REMOTE_MAGIC, 'attr-value'],
  [SYMLINK_MAGIC, 'symlink'],
  ...(Object.values(BTREES) as BtreeLayout[]).map(({ magic, name }) => [magic, name] as const),
]);
const SHORT_MAGICS = new Map<number, string>([
  [DIR_LEAF1_MAGIC, 'dir-leaf1'],
  [DIR_LEAFN_MAGIC, 'dir-leafn'],
  [DA_NODE_MAGIC, 'da-node'],
  [ATTR_LEAF_MAGIC, 'attr-leaf'],
]);

/** What a block says it is. */
function kindOf(view: DataView): string | undefined {
  if (view.byteLength < 16) return undefined;
  return (
    LONG_MAGICS.get(view.getUint32(0)) ??
    SHORT_MAGICS.get(view.getUint16(8)) ??
    (view.getUint16(0) === INODE_MAGIC ? 'inode' : undefined)
  );
}

function target(place: Place, structure: string, ranges: readonly ByteRange[]): Target {
  const { crc, fields } = KINDS[structure]!;
  return {
    place,
    structure,
    ranges,
    fields: (bytes) => collect(bytes, fields),
    seal: (bytes) => sealCrc(bytes, crc),
  };
}

function collect(bytes: Uint8Array, fill: (list: FieldList) => void): BitField[] {
  const list = new FieldList(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  fill(list);
  return list.fields;
}

/**
 * Find a structure. Throws usage errors: NOT_THERE where the image has none, BAD_AG, BAD_INODE, NEEDS_SUPERBLOCK.
 * @param geometry may be missing for the primary superblock, `as` and `raw` at a byte.
 */
export function locate(device: Device, geometry: Geometry | undefined, place: Place): Target {
  switch (place.kind) {
    case 'raw':
      return rawTarget(device, place);
    case 'as':
      return structureTarget(device, place);
    case 'superblock':
      if (place.ag === 0) return target(place, 'superblock', [{ byte: 0, length: primarySector(device) }]);
  }
  if (!geometry) {
    throw usage(
      'NEEDS_SUPERBLOCK',
      'without a superblock only `sb 0`, `raw byte:N` and `as STRUCTURE byte:N` are known',
    );
  }
  const { blockSize, sectorSize } = geometry;
  switch (place.kind) {
    case 'superblock':
    case 'agf':
    case 'agi':
    case 'agfl': {
      assertAg(geometry, place.ag);
      const byte = geometry.agBlockToByte(place.ag, 0) + HEADERS.indexOf(place.kind) * sectorSize;
      return target(place, place.kind, [{ byte, length: sectorSize }]);
    }
    case 'inode':
      assertInode(geometry, place.inode);
      return target(place, 'inode', [{ byte: inodeByte(geometry, place.inode), length: geometry.inodeSize }]);
    case 'btree': {
      const block = treeBlock(device, geometry, place);
      return target(place, place.tree, [{ byte: geometry.agBlockToByte(place.ag, block), length: blockSize }]);
    }
    case 'bmbt': {
      assertInode(geometry, place.inode);
      const { treeBlocks } = mapFork(device, geometry, place.inode, place.fork);
      const wanted = place.children.join(' ');
      const found = treeBlocks.find(({ children }) => children.join(' ') === wanted);
      if (!found) throw notThere(place, 'the extent tree has no such block');
      return target(place, 'bmbt', [{ byte: geometry.fsBlockToByte(found.fsBlock), length: blockSize }]);
    }
    case 'dir':
    case 'attr':
    case 'symlink':
      return forkTarget(device, geometry, place);
    case 'log':
      return logTarget(device, geometry, place);
    case 'block': {
      const found = kindOf(readBytes(device, place.byte, blockSize));
      // An inode among others of its block, and a log record, have places of their own.
      if (found === undefined || found === 'inode') {
        return rawTarget(device, { kind: 'raw', byte: place.byte, length: blockSize });
      }
      const isSector = (HEADERS as readonly string[]).includes(found);
      const isDirectory = found.startsWith('dir-');
      const length = isSector ? sectorSize : isDirectory ? geometry.dirBlockSize : blockSize;
      return target(place, found, [{ byte: place.byte, length }]);
    }
  }
}

function primarySector(device: Device): number {
  const view = readBytes(device, 0, 512);
  if (view.byteLength < 512) throw usage('NOT_THERE', 'the image is too short to hold a superblock');
  const size = view.getUint16(Superblock.offsets.sectsize);
  const isSane = size >= 512 && size <= 32768 && (size & (size - 1)) === 0 && size <= device.size;
  return isSane ? size : 512;
}

function rawTarget(device: Device, place: Extract<Place, { kind: 'raw' }>): Target {
  if (place.byte + place.length > device.size) throw notThere(place, 'the image ends before');
  return {
    place,
    structure: 'raw',
    ranges: [{ byte: place.byte, length: place.length }],
    fields: (bytes) =>
      collect(bytes, (list) => {
        list.bytes('all', 0, list.length);
        for (let i = 0; i < list.length; i++) list.bytes(`bytes[${i}]`, i, 1);
      }),
    seal: undefined,
  };
}

function structureTarget(device: Device, place: Extract<Place, { kind: 'as' }>): Target {
  const found = findStructure(place.structure);
  if (!found) {
    throw usage('BAD_WHAT', `no structure is called ${place.structure}`, {
      found: place.structure,
      expected: '`cadastre db IMAGE structures` lists them',
    });
  }
  const { struct } = found;
  if (place.byte + struct.size > device.size) throw notThere(place, 'the image ends before');
  return {
    place,
    structure: place.structure,
    ranges: [{ byte: place.byte, length: struct.size }],
    fields: (bytes) => collect(bytes, (list) => list.struct(struct)),
    seal: undefined,
  };
}

/** The fields that hold a tree's root. */
export const ROOTS = {
  bnobt: { header: 'agf', at: Agf.offsets.bnoRoot },
  cntbt: { header: 'agf', at: Agf.offsets.cntRoot },
  rmapbt: { header: 'agf', at: Agf.offsets.rmapRoot },
  refcountbt: { header: 'agf', at: Agf.offsets.refcountRoot },
  csumbt: { header: 'agf', at: Agf.offsets.csumRoot },
  inobt: { header: 'agi', at: Agi.offsets.root },
  finobt: { header: 'agi', at: Agi.offsets.freeRoot },
} as const;

/** AG block of a tree block: from the root down by child indexes. */
function treeBlock(device: Device, geometry: Geometry, place: Extract<Place, { kind: 'btree' }>): number {
  const { tree, ag, children } = place;
  assertAg(geometry, ag);
  const { header, at } = ROOTS[tree];
  const sector = HEADERS.indexOf(header);
  const head = readBytes(device, geometry.agBlockToByte(ag, 0) + sector * geometry.sectorSize, geometry.sectorSize);
  let block = head.byteLength >= at + 4 ? head.getUint32(at) : 0;
  for (const child of children) {
    assertBlock(geometry, place, block);
    const pointer = childPointer(readBytes(device, geometry.agBlockToByte(ag, block), geometry.blockSize), tree, child);
    if (pointer === undefined) throw notThere(place, `block ${block} has no child ${child}`);
    block = pointer;
  }
  assertBlock(geometry, place, block);
  return block;
}

/** Pointer `child` of a node of an AG's tree; undefined in leaves and beyond the last. */
export function childPointer(view: DataView, tree: keyof typeof ROOTS, child: number): number | undefined {
  const layout = BTREES[tree];
  if (view.getUint32(0) !== layout.magic || view.getUint16(4) === 0) return undefined;
  const room = maxNodeRecords(layout, view.byteLength);
  if (child >= Math.min(room, view.getUint16(6))) return undefined;
  const keys = layout.hasHighKeys ? 2 * layout.keySize : layout.keySize;
  return view.getUint32(layout.headerSize + room * keys + child * layout.pointerSize);
}

function assertBlock(geometry: Geometry, place: Extract<Place, { kind: 'btree' }>, block: number): void {
  if (!geometry.isAgBlock(place.ag, block)) throw notThere(place, `it would be block ${block}`);
}

type ForkPlace = Extract<Place, { kind: 'dir' | 'attr' | 'symlink' }>;

function forkTarget(device: Device, geometry: Geometry, place: ForkPlace): Target {
  assertInode(geometry, place.inode);
  const { blockSize } = geometry;
  const { extents } = mapFork(device, geometry, place.inode, place.kind === 'attr' ? 'attr' : 'data');
  if (place.kind === 'symlink') {
    const extent = extents.find((each) => each.fileBlock === place.fileBlock);
    if (!extent || !geometry.isFsRange(extent.startBlock, extent.blockCount)) {
      throw notThere(place, 'the target is in the inode, or no extent starts there');
    }
    const length = extent.blockCount * blockSize;
    return target(place, 'symlink', [{ byte: geometry.fsBlockToByte(extent.startBlock), length }]);
  }
  const ranges: ByteRange[] = [];
  const count = place.kind === 'dir' ? geometry.dirBlockBlocks : 1;
  for (let block = place.fileBlock; block < place.fileBlock + count; block++) {
    const extent = extents.find((each) => block >= each.fileBlock && block < each.fileBlock + each.blockCount);
    const fsBlock = extent ? extent.startBlock + (block - extent.fileBlock) : -1;
    if (!geometry.isFsBlock(fsBlock)) throw notThere(place, `file block ${block} is not mapped`);
    const byte = geometry.fsBlockToByte(fsBlock);
    const last = ranges.at(-1);
    if (last && last.byte + last.length === byte)
      ranges[ranges.length - 1] = { ...last, length: last.length + blockSize };
    else ranges.push({ byte, length: blockSize });
  }
  const found = kindOf(readBytes(device, ranges[0]!.byte, blockSize));
  return target(place, forkKind(geometry, place, found), ranges);
}

/** What stands in a block of a fork; where the magic is gone, what ought to. */
function forkKind(geometry: Geometry, place: ForkPlace, found: string | undefined): string {
  if (place.kind === 'attr') return found && /^(attr-|da-)/.test(found) ? found : 'attr-leaf';
  if (found && /^(dir-|da-)/.test(found)) return found;
  const index = DIR_SPACE_BYTES / geometry.blockSize;
  return place.fileBlock < index ? 'dir-data' : place.fileBlock < 2 * index ? 'dir-leafn' : 'dir-free';
}

function logTarget(device: Device, geometry: Geometry, place: Extract<Place, { kind: 'log' }>): Target {
  const start = geometry.fsBlockToByte(geometry.logStart);
  const blocks = (geometry.logBlocks * geometry.blockSize) / LOG_BB;
  const block = place.block ?? lastRecord(device, geometry);
  if (block >= blocks) throw notThere(place, `the log has ${blocks} basic blocks`);
  const view = readBytes(device, start + block * LOG_BB, LOG_BB);
  const shape = view.byteLength === LOG_BB ? logRecordShape(view, blocks) : undefined;
  if (!shape && (view.byteLength < LOG_BB || view.getUint32(0) !== LOG_RECORD_MAGIC)) {
    throw notThere(place, `no log record starts at basic block ${block}`);
  }
  const total = shape?.total ?? 1;
  const fits = Math.min(total, blocks - block);
  const ranges = [{ byte: start + block * LOG_BB, length: fits * LOG_BB }];
  if (fits < total) ranges.push({ byte: start, length: (total - fits) * LOG_BB });
  const headers = shape?.headers ?? 1;
  return {
    place: { kind: 'log', block },
    structure: 'log-record',
    ranges,
    fields: (bytes) => collect(bytes, (list) => logRecordFields(list, headers)),
    // A size that was damaged would send the CRC over more headers than there are.
    seal: (bytes) => {
      const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(LogRecordHeader.offsets.size);
      if (headerBlocks(size) * LOG_BB <= bytes.length) sealLogRecord(bytes);
    },
  };
}

function lastRecord(device: Device, geometry: Geometry): number {
  try {
    const { previousBlock } = readLogState(device, geometry);
    return previousBlock === 0xffffffff ? 0 : previousBlock;
  } catch (error) {
    if (error instanceof CadastreError) return 0;
    throw error;
  }
}

function assertAg(geometry: Geometry, ag: number): void {
  if (ag >= 0 && ag < geometry.agCount) return;
  throw usage('BAD_AG', `there is no AG ${ag}`, { expected: `0..${geometry.agCount - 1}`, found: ag });
}

function assertInode(geometry: Geometry, inode: number): void {
  if (geometry.isInode(inode)) return;
  throw usage('BAD_INODE', `${inode} is no inode number of this image`, { found: inode });
}

function notThere(place: Place, why: string): CadastreError {
  return usage('NOT_THERE', `the image has no ${placeWords(place).join(' ')}: ${why}`);
}
