/**
 * What a block on the disk says it is, by its magic: replay needs that to know where CRC and LSN stand, to compare LSNs
 * before it overwrites, and to verify what it made.
 */
import { AGF_MAGIC, AGFL_MAGIC, AGI_MAGIC } from '../../../formats/ag-headers.ts';
import { AGF_TYPE, AGFL_TYPE, AGI_TYPE } from '../../../formats/ag-verify.ts';
import { ATTR_LEAF, ATTR_LEAF_MAGIC, ATTR_REMOTE, ATTR_REMOTE_MAGIC } from '../../../formats/attribute.ts';
import type { BlockType } from '../../../formats/block-type.ts';
import { BTREES } from '../../../formats/btree-blocks.ts';
import { BTREE_BLOCK_TYPES } from '../../../formats/btree-verify.ts';
import { DA_NODE, DA_NODE_MAGIC } from '../../../formats/da.ts';
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
} from '../../../formats/directory.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { BUFFER_TYPE } from '../../../formats/log-items.ts';
import { SUPERBLOCK_TYPE } from '../../../formats/superblock-verify.ts';
import { SYMLINK, SYMLINK_MAGIC } from '../../../formats/symlink.ts';

interface Kind {
  readonly type: BlockType;
  /** Log buffer type that such a block is logged with. */
  readonly logType: number;
  /** Where the block's uuid is. */
  readonly uuidOffset: number;
}

const kind = (type: BlockType, logType: number, uuidOffset: number): Kind => ({ type, logType, uuidOffset });

/** By the u32 at 0. The superblock's magic is the dialect's. */
const BY_FIRST_WORD = new Map<number, Kind>([
  [AGF_MAGIC, kind(AGF_TYPE, BUFFER_TYPE.AGF, 64)],
  [AGI_MAGIC, kind(AGI_TYPE, BUFFER_TYPE.AGI, 296)],
  [AGFL_MAGIC, kind(AGFL_TYPE, BUFFER_TYPE.AGFL, 8)],
  [ATTR_REMOTE_MAGIC, kind(ATTR_REMOTE, BUFFER_TYPE.ATTR_REMOTE, 16)],
  [SYMLINK_MAGIC, kind(SYMLINK, BUFFER_TYPE.SYMLINK, 16)],
  [DIR_BLOCK_MAGIC, kind(DIR_BLOCK, BUFFER_TYPE.DIR_BLOCK, 24)],
  [DIR_DATA_MAGIC, kind(DIR_DATA, BUFFER_TYPE.DIR_DATA, 24)],
  [DIR_FREE_MAGIC, kind(DIR_FREE, BUFFER_TYPE.DIR_FREE, 24)],
  ...Object.values(BTREES).map((tree): [number, Kind] => [
    tree.magic,
    kind(BTREE_BLOCK_TYPES[tree.name], BUFFER_TYPE.BTREE, tree.long ? 40 : 32),
  ]),
]);
/** By the u16 at 8. */
const BY_DA_MAGIC = new Map<number, Kind>([
  [DIR_LEAF1_MAGIC, kind(DIR_LEAF1, BUFFER_TYPE.DIR_LEAF1, 32)],
  [DIR_LEAFN_MAGIC, kind(DIR_LEAFN, BUFFER_TYPE.DIR_LEAFN, 32)],
  [DA_NODE_MAGIC, kind(DA_NODE, BUFFER_TYPE.DA_NODE, 32)],
  [ATTR_LEAF_MAGIC, kind(ATTR_LEAF, BUFFER_TYPE.ATTR_LEAF, 32)],
]);

/** What the bytes claim to be; undefined for file data, inode clusters and anything else without one header. */
export function kindOf(view: DataView, geometry: Geometry): Kind | undefined {
  const first = view.getUint32(0);
  if (first === geometry.dialect.magic)
    return kind(SUPERBLOCK_TYPE, BUFFER_TYPE.SUPERBLOCK, geometry.features.metaUuid ? 248 : 32);
  return BY_FIRST_WORD.get(first) ?? BY_DA_MAGIC.get(view.getUint16(8));
}

/** Log types of blocks that belong to a directory and may lie in pieces. A hash node may also be an attribute's. */
export function isDirectoryType(logType: number): boolean {
  return logType >= BUFFER_TYPE.DIR_BLOCK && logType <= BUFFER_TYPE.DA_NODE;
}

/** Log types whose blocks keep one magic for life or change it within the family (a hash leaf becomes a node's). */
export function isFamily(logged: number, found: number): boolean {
  return logged === found || (isDirectoryType(logged) && isDirectoryType(found)) || isHash(logged, found);
}
/** Block 0 of an attribute fork turns from leaf to node and back. */
const isHash = (a: number, b: number): boolean =>
  (a === BUFFER_TYPE.ATTR_LEAF && b === BUFFER_TYPE.DA_NODE) ||
  (a === BUFFER_TYPE.DA_NODE && b === BUFFER_TYPE.ATTR_LEAF);
