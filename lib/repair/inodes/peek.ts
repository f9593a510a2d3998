/**
 * What a block says it is, when it says so for this inode at this place: the type of a file whose core cannot tell. Of magic,
 * owner and own address one may be wrong, but a block that names another inode is `foreign`.
 */
import { ATTR_LEAF_MAGIC, ATTR_REMOTE_MAGIC, AttrRemoteHeader } from '../../../formats/attribute.ts';
import { BTREES, LongHeader } from '../../../formats/btree-blocks.ts';
import { DA_NODE_MAGIC, DaHeader } from '../../../formats/da.ts';
import {
  DIR_BLOCK_MAGIC,
  DIR_DATA_MAGIC,
  DIR_FREE_MAGIC,
  DIR_LEAF1_MAGIC,
  DIR_LEAFN_MAGIC,
  DirDataHeader,
} from '../../../formats/directory.ts';
import { getU64 } from '../../../formats/struct.ts';
import { SYMLINK_MAGIC, SymlinkHeader } from '../../../formats/symlink.ts';
import type { PlanReader } from '../forks/plan-reader.ts';

export type BlockKind = 'directory' | 'attributes' | 'symlink' | 'tree' | 'hash-node' | 'foreign' | 'other';

/** A family of blocks: magics, and where they say whose they are. */
interface Family {
  readonly magic: (view: DataView) => number;
  readonly kinds: { readonly [magic: number]: BlockKind };
  /** What a block is that has everything but the magic. */
  readonly nameless: BlockKind;
  readonly owner: number;
  readonly blkno: number;
}

const FAMILIES: readonly Family[] = [
  {
    magic: (view) => view.getUint32(0),
    kinds: { [DIR_BLOCK_MAGIC]: 'directory', [DIR_DATA_MAGIC]: 'directory', [DIR_FREE_MAGIC]: 'directory' },
    nameless: 'directory',
    owner: DirDataHeader.offsets.owner,
    blkno: DirDataHeader.offsets.blkno,
  },
  {
    magic: (view) => view.getUint16(DaHeader.offsets.magic),
    kinds: {
      [DIR_LEAF1_MAGIC]: 'directory',
      [DIR_LEAFN_MAGIC]: 'directory',
      [ATTR_LEAF_MAGIC]: 'attributes',
      [DA_NODE_MAGIC]: 'hash-node',
    },
    nameless: 'hash-node',
    owner: DaHeader.offsets.owner,
    blkno: DaHeader.offsets.blkno,
  },
  {
    magic: (view) => view.getUint32(0),
    kinds: { [SYMLINK_MAGIC]: 'symlink' },
    nameless: 'symlink',
    owner: SymlinkHeader.offsets.owner,
    blkno: SymlinkHeader.offsets.blkno,
  },
  {
    magic: (view) => view.getUint32(0),
    kinds: { [ATTR_REMOTE_MAGIC]: 'attributes' },
    nameless: 'other',
    owner: AttrRemoteHeader.offsets.owner,
    blkno: AttrRemoteHeader.offsets.blkno,
  },
  {
    magic: (view) => view.getUint32(0),
    kinds: { [BTREES.bmbt.magic]: 'tree' },
    nameless: 'tree',
    owner: LongHeader.offsets.owner,
    blkno: LongHeader.offsets.blkno,
  },
];

/** `other`: data, or nothing that can be told. */
export function peek(reader: PlanReader, fsBlock: number, inode: number): BlockKind {
  const { geometry } = reader;
  const view = geometry.isFsBlock(fsBlock) ? reader.raw(fsBlock) : undefined;
  if (!view) return 'other';
  const daddr = geometry.fsBlockToDaddr(fsBlock);
  let found: BlockKind = 'other';
  for (const family of FAMILIES) {
    const kind = family.kinds[family.magic(view)];
    const isOwner = getU64(view, family.owner) === inode;
    const isHere = getU64(view, family.blkno) === daddr;
    if (isOwner && (kind ? true : isHere)) {
      if (kind) return kind;
      if (family.nameless !== 'other') found = family.nameless;
    } else if (kind && isHere && found === 'other') found = 'foreign';
  }
  return found;
}
