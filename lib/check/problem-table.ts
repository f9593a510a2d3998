/**
 * The one table of everything the checker can find: stable code, severity, text, and what repair does about it.
 * docs/CHECKS.md is generated from it.
 *
 * 1. Codes never change their meaning. An error loses data, confuses a reader or can make the kernel refuse; a warning
 *    is wrong but harmless, and other tools may leave it alone.
 * 2. Texts name the thing; `{name}` is filled with `expected`, `found`, `field`, `structure` or `rule` of the problem.
 * 3. `rule` of a problem is the finer code of the block verifier or structural check that was broken (BAD_CRC ...).
 */

export type Severity = 'error' | 'warning';

export interface ProblemKind {
  readonly severity: Severity;
  /** One sentence; see invariant 2. */
  readonly text: string;
  /** What repair does. */
  readonly fix: string;
}

const error = (text: string, fix: string): ProblemKind => ({ severity: 'error', text, fix });
const warning = (text: string, fix: string): ProblemKind => ({ severity: 'warning', text, fix });

const REBUILD_FREE = 'rebuild the free-space trees from what is claimed';
const REBUILD_RMAP = 'rebuild the reverse map from what is claimed';
const REBUILD_REFCOUNTS = 'rebuild the refcount tree from what is claimed';
const REBUILD_INODES = 'rebuild the inode trees from the inodes on disk';
const RECOUNT = 'store the counted value';

export const PROBLEMS = {
  // The image as a whole
  UNSUPPORTED: error('the image cannot be checked: {found}', 'none: use a tool that knows this format'),
  SUPERBLOCK_BAD: error(
    'the superblock is broken: {field} is {found}, expected {expected}',
    'restore the superblock from a secondary copy',
  ),
  SUPERBLOCK_FIELD: warning('superblock: {field} is {found}, expected {expected}', 'correct the field'),
  SECONDARY_BAD: warning(
    'the copy of the superblock in this AG is wrong: {field} is {found}, expected {expected}',
    'write the copy again from the primary superblock',
  ),
  LOG_DIRTY: error(
    'the log holds changes that are not yet in place ({found}), so what is in place may be stale',
    'replay the log first',
  ),
  LOG_BAD: error('the log cannot be read: {field} is {found}, expected {expected}', 'write an empty log'),
  LOG_ZEROED: warning('the log is all zeroes: whatever it held is gone', 'write an empty log'),
  LSN_AHEAD: error(
    '{structure} was last written at log position {found}, which the log (at {expected}) has not reached',
    'write an empty log of a later cycle',
  ),
  READ_ERROR: error('the device cannot be read here: {found}', 'none: copy the device to a sound one first'),
  TOO_MANY_PROBLEMS: error('the check was given up after {found} problems', 'repair, then check again'),

  // AG headers
  AGF_BAD: error('AGF: {field} is {found}, expected {expected}', `rewrite the header, and ${REBUILD_FREE}`),
  AGI_BAD: error('AGI: {field} is {found}, expected {expected}', `rewrite the header, and ${REBUILD_INODES}`),
  AGFL_BAD: error('AGFL: {field} is {found}, expected {expected}', 'make a new free list'),
  AG_COUNTER: error('{structure}: {field} is {found}, counted {expected}', RECOUNT),
  SUPERBLOCK_COUNTER: error('superblock: {field} is {found}, counted {expected}', RECOUNT),

  // Trees of an AG, and extent trees of inodes
  TREE_BLOCK: error(
    '{structure}: a block of the tree cannot be used: {field} is {found}, expected {expected}',
    'rebuild the tree from what is claimed',
  ),
  TREE_ORDER: error('{structure}: records out of order: {found} after {expected}', 'rebuild the tree'),
  TREE_KEY: error('{structure}: {field} of a node is {found}, its child says {expected}', 'rebuild the tree'),
  TREE_SIBLING: error('{structure}: {field} is {found}, expected {expected}', 'rebuild the tree'),
  TREE_UNDERFULL: warning('{structure}: a block holds {found} records, expected {expected}', 'rebuild the tree'),
  TREE_RECORD: error('{structure}: record with {field} {found}, expected {expected}', 'rebuild the tree'),
  FREE_TREES_DIFFER: error('the free-space trees disagree: by start {expected}, by length {found}', REBUILD_FREE),
  FREE_NOT_MERGED: error('free extents touch: {found} should be part of {expected}', REBUILD_FREE),

  // Inode trees and inodes
  INODE_RECORD: error('inode chunk {field}: {found}, expected {expected}', REBUILD_INODES),
  FREE_INODE_TREE: error('the free-inode tree has {found}, the inode tree {expected}', REBUILD_INODES),
  INODE_STATE: error('the inode is {found}, but the inode tree calls it {expected}', REBUILD_INODES),
  INODE_BAD: error(
    'inode: {field} is {found}, expected {expected}',
    'correct the field; an inode that is beyond use is cleared and named',
  ),
  INODE_BLOCKS: error('inode: nblocks is {found}, its forks hold {expected}', RECOUNT),
  INODE_EXTENTS: error('inode: the {structure} fork has {expected} extents, {field} is {found}', RECOUNT),
  INODE_SHARED_FLAG: error('the file shares blocks, but its reflink flag is not set', 'set the flag'),
  EXTENT_BAD: error(
    '{structure} fork: extent with {field} {found}, expected {expected}',
    'remove the extent from the fork and name the range that is lost',
  ),
  SYMLINK_BAD: error('symlink: {field} is {found}, expected {expected}', 'remove the symlink and name it'),
  ATTRIBUTES_BAD: error(
    'attributes: {field} is {found}, expected {expected} ({rule})',
    'rebuild the attribute fork from the attributes that can be read',
  ),
  SPECIAL_INODE: error('{structure}: {field} is {found}, expected {expected}', 'make the inode again'),

  // Directories and links
  DIRECTORY_BLOCK: error(
    'directory: {field} is {found}, expected {expected} ({rule})',
    'rebuild the directory from the entries that can be read',
  ),
  DIRECTORY_INDEX: error(
    'directory: hash or free index: {field} is {found}, expected {expected} ({rule})',
    'rebuild the directory: no entry is lost',
  ),
  DIRECTORY_SIZE: error('directory: size is {found}, expected {expected}', 'store the right size'),
  DIRECTORY_PARENT: error('directory: ".." is {found}, the directory stands in {expected}', 'correct ".."'),
  DIRECTORY_LINKED_TWICE: error(
    'directory: has an entry in {expected} and another in {found}',
    'keep the entry that ".." agrees with',
  ),
  ENTRY_DANGLING: error('entry {field} names inode {found}, which is {expected}', 'remove the entry'),
  ENTRY_TYPE: error('entry {field} says type {found}, the inode is of type {expected}', 'correct the entry'),
  INODE_UNREACHABLE: error('the inode is in use but no directory leads to it', 'link it into lost+found'),
  LINK_COUNT: error('link count is {found}, counted {expected}', RECOUNT),
  PARENT_POINTERS: error(
    'the parent pointers of the inode do not agree with the entries that name it',
    'write the parent pointers again',
  ),
  UNLINKED_LIST: error('unlinked list: {field} is {found}, expected {expected}', 'rebuild the unlinked lists'),
  UNLINKED_LEFTOVER: warning(
    'an unlinked inode was left over: nobody frees it while the log is clean',
    'free the inode and its blocks',
  ),

  // Blocks: claims against each other and against the register
  BLOCK_MULTIPLY_CLAIMED: error(
    'blocks are claimed more than once: {found}',
    'judge the claims on evidence, keep every byte that can be kept, say what was decided',
  ),
  BLOCK_CLAIMED_FREE: error('blocks that are in use ({found}) are recorded as free', REBUILD_FREE),
  BLOCK_LOST: error(
    'blocks are neither free nor used by anything',
    'keep what fits a file that misses it, free the rest',
  ),
  RMAP_MISSING: error('the reverse map does not record {expected}', REBUILD_RMAP),
  RMAP_EXTRA: error('the reverse map records {found}, which nobody claims', REBUILD_RMAP),
  RMAP_MISMATCH: error('the reverse map records {found}, expected {expected}', REBUILD_RMAP),
  RMAP_NOT_MERGED: warning('the reverse map records {expected} in several pieces', REBUILD_RMAP),
  REFCOUNT_WRONG: error('{found} owners are recorded, counted {expected}', REBUILD_REFCOUNTS),
  REFCOUNT_NOT_MERGED: warning('neighbouring refcount records of {found} owners are not one', REBUILD_REFCOUNTS),
  COW_LEFTOVER: warning('copy-on-write staging blocks were left over', 'free the blocks'),
  CHECKSUM_MISSING: error(
    'written data blocks have no checksum',
    'compute the checksum, and say that the data was never proven',
  ),
  CHECKSUM_EXTRA: error('blocks that hold no file data have a checksum', 'remove the checksum'),
  DATA_CHECKSUM: error(
    'the data is not what was written: checksum {found}, expected {expected}',
    'none: the file is named, its bytes stay as they are',
  ),
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof PROBLEMS;
