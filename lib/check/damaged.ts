/**
 * Which inodes and AGs have problems, and of what kind: all of them, however few problems a run keeps. Repair looks only
 * at what is named here. A few bytes for each damaged inode, nothing for sound ones.
 */
import type { ProblemCode } from './problem-table.ts';

/** Kinds of damage of an inode. */
export const INODE_DAMAGE = {
  /** Core, state in the inode tree, or a place among the special inodes. */
  core: 1,
  /** An extent, an extent tree, or the counts of its forks. */
  fork: 2,
  attributes: 4,
  symlink: 8,
  /** Blocks, index, size, ".." or entries of a directory. */
  directory: 16,
  /** Link count, reachability, parent pointers, unlinked lists. */
  links: 32,
  /** Blocks it claims are claimed by others too, or its reflink flag is wrong. */
  sharing: 64,
} as const;

/** Kinds of damage of an AG. */
export const AG_DAMAGE = {
  /** The copy of the superblock in this AG (AG 0: the primary). */
  superblock: 1,
  /** AGF, AGI, AGFL: their own rules. */
  headers: 2,
  /** A counter in a header or in the superblock. */
  counters: 4,
  /** Free-space trees. */
  free: 8,
  /** Inode trees, or the lists of unlinked inodes. */
  inodes: 16,
  rmap: 32,
  refcounts: 64,
  checksums: 128,
  /** Blocks claimed more than once, or owned by nobody. */
  blocks: 256,
  /** The device could not read something. */
  unreadable: 512,
} as const;

type Damage = { readonly inode?: number; readonly ag?: number };

/** Problems of trees: by the tree's name. */
const TREES: { readonly [structure: string]: number } = {
  bnobt: AG_DAMAGE.free,
  cntbt: AG_DAMAGE.free,
  inobt: AG_DAMAGE.inodes,
  finobt: AG_DAMAGE.inodes,
  rmapbt: AG_DAMAGE.rmap,
  refcountbt: AG_DAMAGE.refcounts,
  csumbt: AG_DAMAGE.checksums,
};
const TREE_CODES = new Set<ProblemCode>([
  'TREE_BLOCK',
  'TREE_ORDER',
  'TREE_KEY',
  'TREE_SIBLING',
  'TREE_UNDERFULL',
  'TREE_RECORD',
]);

const KINDS: { readonly [C in ProblemCode]?: Damage } = {
  SUPERBLOCK_FIELD: { ag: AG_DAMAGE.superblock },
  SUPERBLOCK_BAD: { ag: AG_DAMAGE.superblock },
  SECONDARY_BAD: { ag: AG_DAMAGE.superblock },
  READ_ERROR: { ag: AG_DAMAGE.unreadable },
  AGF_BAD: { ag: AG_DAMAGE.headers },
  AGI_BAD: { ag: AG_DAMAGE.headers },
  AGFL_BAD: { ag: AG_DAMAGE.headers },
  AG_COUNTER: { ag: AG_DAMAGE.counters },
  SUPERBLOCK_COUNTER: { ag: AG_DAMAGE.counters },
  FREE_TREES_DIFFER: { ag: AG_DAMAGE.free },
  FREE_NOT_MERGED: { ag: AG_DAMAGE.free },
  INODE_RECORD: { ag: AG_DAMAGE.inodes },
  FREE_INODE_TREE: { ag: AG_DAMAGE.inodes },
  INODE_STATE: { ag: AG_DAMAGE.inodes, inode: INODE_DAMAGE.core },
  INODE_BAD: { inode: INODE_DAMAGE.core },
  SPECIAL_INODE: { inode: INODE_DAMAGE.core },
  INODE_BLOCKS: { inode: INODE_DAMAGE.fork },
  INODE_EXTENTS: { inode: INODE_DAMAGE.fork },
  EXTENT_BAD: { inode: INODE_DAMAGE.fork },
  INODE_SHARED_FLAG: { inode: INODE_DAMAGE.sharing },
  SYMLINK_BAD: { inode: INODE_DAMAGE.symlink },
  ATTRIBUTES_BAD: { inode: INODE_DAMAGE.attributes },
  DIRECTORY_BLOCK: { inode: INODE_DAMAGE.directory },
  DIRECTORY_INDEX: { inode: INODE_DAMAGE.directory },
  DIRECTORY_SIZE: { inode: INODE_DAMAGE.directory },
  DIRECTORY_PARENT: { inode: INODE_DAMAGE.directory },
  DIRECTORY_LINKED_TWICE: { inode: INODE_DAMAGE.links },
  ENTRY_DANGLING: { inode: INODE_DAMAGE.directory },
  ENTRY_TYPE: { inode: INODE_DAMAGE.directory },
  INODE_UNREACHABLE: { inode: INODE_DAMAGE.links },
  LINK_COUNT: { inode: INODE_DAMAGE.links },
  PARENT_POINTERS: { inode: INODE_DAMAGE.links },
  UNLINKED_LIST: { ag: AG_DAMAGE.inodes, inode: INODE_DAMAGE.links },
  UNLINKED_LEFTOVER: { ag: AG_DAMAGE.inodes, inode: INODE_DAMAGE.links },
  BLOCK_MULTIPLY_CLAIMED: { ag: AG_DAMAGE.blocks, inode: INODE_DAMAGE.sharing },
  BLOCK_CLAIMED_FREE: { ag: AG_DAMAGE.free },
  BLOCK_LOST: { ag: AG_DAMAGE.blocks },
  RMAP_MISSING: { ag: AG_DAMAGE.rmap },
  RMAP_EXTRA: { ag: AG_DAMAGE.rmap },
  RMAP_MISMATCH: { ag: AG_DAMAGE.rmap },
  RMAP_NOT_MERGED: { ag: AG_DAMAGE.rmap },
  REFCOUNT_WRONG: { ag: AG_DAMAGE.refcounts },
  REFCOUNT_NOT_MERGED: { ag: AG_DAMAGE.refcounts },
  COW_LEFTOVER: { ag: AG_DAMAGE.refcounts },
  CHECKSUM_MISSING: { ag: AG_DAMAGE.checksums },
  CHECKSUM_EXTRA: { ag: AG_DAMAGE.checksums },
};

export class Damaged {
  /** Bits of INODE_DAMAGE by inode number. */
  readonly inodes = new Map<number, number>();
  /** Bits of AG_DAMAGE by AG number. */
  readonly ags = new Map<number, number>();
  /** How often each code was found. */
  readonly codes = new Map<ProblemCode, number>();

  /** Note a problem by its code and place. */
  note(code: ProblemCode, where: { ag?: number; inode?: number; structure?: string }): void {
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
    if (TREE_CODES.has(code)) {
      if (where.inode !== undefined) this.inode(where.inode, INODE_DAMAGE.fork);
      else if (where.ag !== undefined) this.ag(where.ag, TREES[where.structure ?? ''] ?? AG_DAMAGE.headers);
      return;
    }
    const kind = KINDS[code];
    if (kind?.inode !== undefined && where.inode !== undefined) this.inode(where.inode, kind.inode);
    if (kind?.ag !== undefined && where.ag !== undefined) this.ag(where.ag, kind.ag);
  }

  inode(inode: number, bits: number): void {
    this.inodes.set(inode, (this.inodes.get(inode) ?? 0) | bits);
  }

  ag(ag: number, bits: number): void {
    this.ags.set(ag, (this.ags.get(ag) ?? 0) | bits);
  }

  /** Does an AG have damage of any of these kinds? */
  inAg(ag: number, bits: number): boolean {
    return ((this.ags.get(ag) ?? 0) & bits) !== 0;
  }
}
