/**
 * A structure of the image as data for a person: its fields by the field table, what its verifier says, and the records in
 * it. Reads raw bytes past every check, so that damage can be looked at; nothing here throws for what the bytes hold.
 */
import { AGF_MAGIC, AGFL_MAGIC, AGI_MAGIC } from '../../formats/ag-headers.ts';
import { AGF_TYPE, AGFL_TYPE, AGI_TYPE } from '../../formats/ag-verify.ts';
import { ATTR_LEAF, ATTR_LEAF_MAGIC, ATTR_REMOTE, ATTR_REMOTE_MAGIC } from '../../formats/attribute.ts';
import { type BlockType, checkBlock, type Fault } from '../../formats/block-type.ts';
import { BTREES, type BtreeLayout } from '../../formats/btree-blocks.ts';
import { BTREE_BLOCK_TYPES } from '../../formats/btree-verify.ts';
import { DA_NODE, DA_NODE_MAGIC } from '../../formats/da.ts';
import {
  DIR_BLOCK,
  DIR_BLOCK_MAGIC,
  DIR_DATA,
  DIR_DATA_MAGIC,
  DIR_FREE,
  DIR_FREE_MAGIC,
  DIR_LEAF1,
  DIR_LEAF1_MAGIC,
  DIR_LEAFN,
  DIR_LEAFN_MAGIC,
} from '../../formats/directory.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { INODE_MAGIC } from '../../formats/inode.ts';
import { INODE_CLUSTER } from '../../formats/inode-verify.ts';
import { type AnyStruct, findStructure } from '../../formats/registry.ts';
import { CADASTRE_MAGIC, XFS_MAGIC } from '../../formats/superblock.ts';
import { SUPERBLOCK_TYPE } from '../../formats/superblock-verify.ts';
import { SYMLINK, SYMLINK_MAGIC } from '../../formats/symlink.ts';
import type { Device } from '../device/device.ts';
import { type List, listsOf } from './lists.ts';

export interface Dump {
  /** Name in the registry; `unknown` for bytes without a known magic. */
  readonly structure: string;
  /** Where it is on the device, and how long it is. */
  readonly byte: number;
  readonly length: number;
  /** What the verifier found wrong; undefined when all is well or nobody knows what it is. */
  readonly fault: Fault | undefined;
  readonly struct: AnyStruct | undefined;
  readonly view: DataView;
  readonly lists: readonly List[];
}

interface Known {
  readonly magic: number;
  /** Byte of the magic, and its size. */
  readonly at: number;
  readonly size: 2 | 4;
  readonly structure: string;
  readonly type: BlockType;
  readonly bytes: 'sector' | 'block' | 'directory' | 'symlink';
}

const known = (
  magic: number,
  structure: string,
  type: BlockType,
  bytes: Known['bytes'] = 'block',
  at = 0,
  size: 2 | 4 = 4,
): Known => ({ magic, at, size, structure, type, bytes });

const KNOWN: readonly Known[] = [
  known(XFS_MAGIC, 'superblock', SUPERBLOCK_TYPE, 'sector'),
  known(CADASTRE_MAGIC, 'superblock', SUPERBLOCK_TYPE, 'sector'),
  known(AGF_MAGIC, 'agf', AGF_TYPE, 'sector'),
  known(AGI_MAGIC, 'agi', AGI_TYPE, 'sector'),
  known(AGFL_MAGIC, 'agfl', AGFL_TYPE, 'sector'),
  ...Object.values(BTREES).map((layout: BtreeLayout) =>
    known(layout.magic, layout.long ? 'long-btree' : 'short-btree', BTREE_BLOCK_TYPES[layout.name]),
  ),
  known(DIR_BLOCK_MAGIC, 'dir-data', DIR_BLOCK, 'directory'),
  known(DIR_DATA_MAGIC, 'dir-data', DIR_DATA, 'directory'),
  known(DIR_FREE_MAGIC, 'dir-free', DIR_FREE, 'directory'),
  known(ATTR_REMOTE_MAGIC, 'attr-value', ATTR_REMOTE),
  known(SYMLINK_MAGIC, 'symlink', SYMLINK, 'symlink'),
  known(INODE_MAGIC, 'inode', INODE_CLUSTER, 'block', 0, 2),
  known(DIR_LEAF1_MAGIC, 'dir-leaf', DIR_LEAF1, 'directory', 8, 2),
  known(DIR_LEAFN_MAGIC, 'dir-leaf', DIR_LEAFN, 'directory', 8, 2),
  // Of a directory or of attributes: the size that verifies is the right one.
  known(DA_NODE_MAGIC, 'da-node', DA_NODE, 'directory', 8, 2),
  known(ATTR_LEAF_MAGIC, 'attr-leaf', ATTR_LEAF, 'block', 8, 2),
];

/** Bytes of the device, short when it ends there. */
export function readBytes(device: Device, byte: number, length: number): DataView {
  const bytes = new Uint8Array(Math.max(0, Math.min(length, device.size - byte)));
  if (bytes.length > 0) device.read(byte, bytes);
  return new DataView(bytes.buffer);
}

/** The block or header at this byte, recognised by its magic. */
export function dumpAt(device: Device, geometry: Geometry, byte: number): Dump {
  const { blockSize, sectorSize } = geometry;
  const first = readBytes(device, byte, blockSize);
  const found = KNOWN.find(({ magic, at, size }) => {
    if (first.byteLength < at + size) return false;
    return (size === 4 ? first.getUint32(at) : first.getUint16(at)) === magic;
  });
  if (!found) {
    const { byteLength: length } = first;
    return { structure: 'unknown', byte, length, fault: undefined, struct: undefined, view: first, lists: [] };
  }
  const sizes = {
    sector: [sectorSize],
    block: [blockSize],
    directory: [geometry.dirBlockSize, blockSize],
    symlink: [blockSize, 2 * blockSize],
  }[found.bytes];
  let best: Dump | undefined;
  for (const size of sizes) {
    const dump = verified(device, geometry, byte, size, found);
    if (!dump.fault) return dump;
    best ??= dump;
  }
  return best!;
}

function verified(device: Device, geometry: Geometry, byte: number, size: number, found: Known): Dump {
  const view = readBytes(device, byte, size);
  const whole = view.byteLength === size;
  const fault = whole
    ? checkBlock(found.type, new Uint8Array(view.buffer), view, geometry, byte / 512)
    : { code: 'SHORT_IMAGE', field: 'length', expected: size, found: view.byteLength };
  const struct = findStructure(found.structure)?.struct;
  const lists = listsOf(found.type, view, geometry, byte);
  return { structure: found.structure, byte, length: view.byteLength, fault, struct, view, lists };
}

/** Any structure of the registry read at a byte, whatever is there. Undefined when there is none of that name. */
export function dumpAs(device: Device, name: string, byte: number): Dump | undefined {
  const struct = findStructure(name)?.struct;
  if (!struct) return undefined;
  const view = new DataView(new ArrayBuffer(struct.size));
  const bytes = readBytes(device, byte, struct.size);
  new Uint8Array(view.buffer).set(new Uint8Array(bytes.buffer));
  const fault =
    bytes.byteLength === struct.size
      ? undefined
      : { code: 'SHORT_IMAGE', field: 'length', expected: struct.size, found: bytes.byteLength };
  return { structure: name, byte, length: bytes.byteLength, fault, struct, view, lists: [] };
}
