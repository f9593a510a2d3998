/**
 * Every structure of the format by name: what `db` prints, `damage` breaks and docs/FORMAT.md lists. The table is the only
 * place that enumerates them, and a test holds it against the modules, so that none can be forgotten.
 *
 * 1. Names are lower case with hyphens and never change: they are typed on command lines.
 * 2. `part` says how the structure is reached; a `record` or `part` of a block is found through the block that holds it.
 */

import { Agf, Agfl, Agi } from './ag-headers.ts';
import { AGF_TYPE, AGFL_TYPE, AGI_TYPE } from './ag-verify.ts';
import {
  AclEntry,
  ATTR_LEAF,
  ATTR_REMOTE,
  AttrLeafEntry,
  AttrLeafHeader,
  AttrLocal,
  AttrRemote,
  AttrRemoteHeader,
  AttrShortEntry,
  AttrShortHeader,
  ParentValue,
} from './attribute.ts';
import type { BlockType } from './block-type.ts';
import {
  AllocRecord,
  BmbtRecord,
  BmdrHeader,
  CsumRecord,
  InobtRecord,
  LongHeader,
  RefcountRecord,
  RmapRecord,
  ShortHeader,
} from './btree-blocks.ts';
import { DA_NODE, DaHeader, DaNode, DaNodeEntry } from './da.ts';
import {
  DIR_BLOCK,
  DIR_DATA,
  DIR_FREE,
  DIR_LEAF1,
  DIR_LEAFN,
  DirBlockTail,
  DirDataEntry,
  DirDataHeader,
  DirDataUnused,
  DirFree,
  DirLeaf,
  DirLeafEntry,
  DirLeafTail,
  ShortDirEntry,
  ShortDirHeader4,
  ShortDirHeader8,
} from './directory.ts';
import { InodeCore } from './inode.ts';
import { INODE_CLUSTER } from './inode-verify.ts';
import { LogExtendedHeader, LogOpHeader, LogRecordHeader, TransactionHeader } from './log.ts';
import {
  AttriItem,
  BufferItem,
  CuiExtent,
  DoneItem,
  DquotItem,
  EfiExtent,
  IcreateItem,
  InodeItem,
  IntentHeader,
  LoggedInodeCore,
  MapExtent,
  XmiItem,
} from './log-items.ts';
import type { Field, Struct } from './struct.ts';
import { Superblock } from './superblock.ts';
import { SUPERBLOCK_TYPE } from './superblock-verify.ts';
import { SYMLINK, SymlinkHeader } from './symlink.ts';

/** A structure, without the types of its fields. */
export type AnyStruct = Pick<Struct, 'name' | 'size' | 'fields' | 'toObject'>;

/**
 * - `sector`: one per AG, at a fixed sector.
 * - `block`: starts a block of its own.
 * - `inode`: in an inode slot.
 * - `record`: repeats inside a block or fork.
 * - `part`: elsewhere inside a block or fork.
 * - `log`: only in the log.
 */
export type Placement = 'sector' | 'block' | 'inode' | 'record' | 'part' | 'log';

export interface Structure {
  readonly name: string;
  readonly struct: AnyStruct;
  readonly placement: Placement;
  /** Where it lives, in words. */
  readonly where: string;
  /** Block types that start with this structure: there may be several with the same header. */
  readonly types: readonly BlockType[];
}

const entry = (
  name: string,
  struct: AnyStruct,
  placement: Placement,
  where: string,
  ...types: BlockType[]
): Structure => ({ name, struct, placement, where, types });

export const STRUCTURES: readonly Structure[] = [
  entry('superblock', Superblock, 'sector', 'sector 0 of every AG', SUPERBLOCK_TYPE),
  entry('agf', Agf, 'sector', 'sector 1 of every AG', AGF_TYPE),
  entry('agi', Agi, 'sector', 'sector 2 of every AG', AGI_TYPE),
  entry('agfl', Agfl, 'sector', 'sector 3 of every AG; u32 slots follow', AGFL_TYPE),

  entry('short-btree', ShortHeader, 'block', 'start of every block of a per-AG tree'),
  entry('long-btree', LongHeader, 'block', 'start of every bmbt block'),
  entry('alloc-record', AllocRecord, 'record', 'bnobt and cntbt: leaf record, and key in nodes'),
  entry('inobt-record', InobtRecord, 'record', 'inobt and finobt leaves'),
  entry('rmap-record', RmapRecord, 'record', 'rmapbt leaves'),
  entry('refcount-record', RefcountRecord, 'record', 'refcountbt leaves'),
  entry('csum-record', CsumRecord, 'record', 'checksum tree leaves (cadastre dialect)'),
  entry('bmbt-record', BmbtRecord, 'record', 'bmbt leaves, and inline extent lists in inodes'),
  entry('bmbt-root', BmdrHeader, 'part', 'start of a fork in btree form'),

  entry('inode', InodeCore, 'inode', 'every inode slot; the data fork starts at byte 176', INODE_CLUSTER),

  entry('dir-short-4', ShortDirHeader4, 'part', 'data fork of a directory in local form, 4-byte inode numbers'),
  entry('dir-short-8', ShortDirHeader8, 'part', 'data fork of a directory in local form, 8-byte inode numbers'),
  entry('dir-short-entry', ShortDirEntry, 'record', 'local directory: name, type and inode number follow'),
  entry('dir-data', DirDataHeader, 'block', 'directory block form and data blocks', DIR_BLOCK, DIR_DATA),
  entry('dir-entry', DirDataEntry, 'record', 'directory data; name, type and tag follow'),
  entry('dir-unused', DirDataUnused, 'record', 'directory data: a free region'),
  entry('dir-block-tail', DirBlockTail, 'part', 'end of a directory in block form'),
  entry('dir-leaf', DirLeaf, 'block', 'directory leaf blocks', DIR_LEAF1, DIR_LEAFN),
  entry('dir-leaf-entry', DirLeafEntry, 'record', 'directory leaves and block form: hash and place of a name'),
  entry('dir-leaf-tail', DirLeafTail, 'part', 'end of the only leaf of a directory'),
  entry('dir-free', DirFree, 'block', 'directory free index blocks; u16 bests follow', DIR_FREE),
  entry('da-header', DaHeader, 'part', 'start of every directory leaf, attribute leaf and hash node'),
  entry('da-node', DaNode, 'block', 'hash tree nodes of directories and attributes', DA_NODE),
  entry('da-node-entry', DaNodeEntry, 'record', 'hash tree nodes'),

  entry('attr-short', AttrShortHeader, 'part', 'attr fork in local form'),
  entry('attr-short-entry', AttrShortEntry, 'record', 'local attributes; name and value follow'),
  entry('attr-leaf', AttrLeafHeader, 'block', 'attribute leaf blocks', ATTR_LEAF),
  entry('attr-leaf-entry', AttrLeafEntry, 'record', 'attribute leaves'),
  entry('attr-local', AttrLocal, 'record', 'attribute leaves: name and value follow'),
  entry('attr-remote', AttrRemote, 'record', 'attribute leaves: name follows, the value has blocks of its own'),
  entry('attr-value', AttrRemoteHeader, 'block', 'every block of a remote attribute value', ATTR_REMOTE),
  entry('parent-pointer', ParentValue, 'part', 'value of a parent-pointer attribute'),
  entry('acl-entry', AclEntry, 'record', 'value of an ACL attribute'),

  entry('symlink', SymlinkHeader, 'block', 'every extent of a remote symlink', SYMLINK),

  entry('log-record', LogRecordHeader, 'log', 'first BB of every log record'),
  entry('log-extended', LogExtendedHeader, 'log', 'following BBs of log records with large buffers'),
  entry('log-op', LogOpHeader, 'log', 'before every region of a log record'),
  entry('log-transaction', TransactionHeader, 'log', 'first region of a checkpoint'),
  entry('log-buffer', BufferItem, 'log', 'buffer item'),
  entry('log-inode', InodeItem, 'log', 'inode item'),
  entry('log-inode-core', LoggedInodeCore, 'log', 'second region of an inode item'),
  entry('log-icreate', IcreateItem, 'log', 'inode chunk create item'),
  entry('log-intent', IntentHeader, 'log', 'EFI, EFD, RUI, CUI and BUI items; extents follow'),
  entry('log-efi-extent', EfiExtent, 'log', 'extents of EFI and EFD items'),
  entry('log-map-extent', MapExtent, 'log', 'extents of RUI and BUI items'),
  entry('log-cui-extent', CuiExtent, 'log', 'extents of CUI items'),
  entry('log-done', DoneItem, 'log', 'RUD, CUD, BUD, ATTRD and XMD items'),
  entry('log-attri', AttriItem, 'log', 'attribute intent'),
  entry('log-xmi', XmiItem, 'log', 'mapping exchange intent'),
  entry('log-dquot', DquotItem, 'log', 'dquot item'),
];

const byName = new Map(STRUCTURES.map((structure) => [structure.name, structure]));

/** The structure of this name, or undefined. */
export function findStructure(name: string): Structure | undefined {
  return byName.get(name);
}

/** A field of a structure by name, or undefined. */
export function findField(structure: Structure, name: string): Field | undefined {
  return structure.struct.fields.find((field) => field.name === name);
}
