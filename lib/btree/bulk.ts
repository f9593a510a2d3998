/**
 * Bulk load: a whole tree from a sorted source, for mkfs, repair and resize.
 *
 * 1. The shape follows from the number of records alone: how many blocks each level has, so that all are equally full
 *    (within one entry), and every block but the root has between half and all of its places filled.
 * 2. compute shape -> take all blocks -> write leaves, then nodes -> publish the root. Until the last step nothing
 *    points at the new blocks; running out of space gives back what was taken.
 * 3. Each leaf is gathered aside and put into the cache whole: the source may read what it likes.
 */
import { BTREE_MAX_LEVELS } from '../../formats/btree-verify.ts';
import type { Geometry } from '../../formats/geometry.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { internal } from '../errors.ts';
import { copyRun } from './entries.ts';
import { ROOT_KEYS_AT, rootRoom, type Tree } from './tree.ts';
import type { SearchKey, TreeType } from './tree-types.ts';

export interface BulkOptions {
  /** Places to leave free in each leaf and node, as far as blocks stay half full. Default 0. */
  leafSlack?: number;
  nodeSlack?: number;
  /** Blocks to use instead of allocating: exactly as many as the shape says, leaves from left to right first. */
  pointers?: readonly number[];
}

export interface BulkShape {
  /** Number of levels, an inode root included. */
  readonly height: number;
  /** Blocks in all; an inode root is none. */
  readonly blocks: number;
  /** Blocks of each level, leaves first. */
  readonly levels: readonly number[];
}

/** Blocks for `count` entries: as full as `slack` allows, never less than half. */
function blocksFor(count: number, max: number, slack: number): number {
  if (count <= max) return 1;
  const min = Math.floor(max / 2);
  const wanted = Math.min(max, Math.max(1, min, max - slack));
  const blocks = Math.ceil(count / wanted);
  return Math.floor(count / blocks) >= min ? blocks : Math.floor(count / min);
}

/**
 * The shape of a tree of `count` records.
 * @param rootEntries children that a root inside an inode can hold; leave out for a root block.
 */
export function bulkShape(
  type: TreeType,
  geometry: Geometry,
  count: number,
  options: BulkOptions = {},
  rootEntries?: number,
): BulkShape {
  const { maxLeaf, maxNode } = geometry.btree[type.layout.name];
  const levels: number[] = [];
  const most = Math.max(1, Math.min(rootEntries ?? 1, maxNode - 1));
  let blocks = 0;
  let here = blocksFor(count, maxLeaf, options.leafSlack ?? 0);
  for (;;) {
    levels.push(here);
    blocks += here;
    if (here <= most) break;
    here = blocksFor(here, maxNode, options.nodeSlack ?? 0);
  }
  const height = levels.length + (rootEntries === undefined ? 0 : 1);
  if (levels.length > BTREE_MAX_LEVELS) throw internal(`${type.layout.name}: ${count} records make ${height} levels`);
  return { height, blocks, levels };
}

/**
 * Fill a tree that has nothing yet (what its root says is overwritten at the end, not freed).
 * @param write writes record `index` of the sorted source at this place; all of its bytes. A key that is not greater than
 * the one before throws `corrupt` BTREE_ORDER.
 */
export function bulkLoad(
  tx: Transaction,
  tree: Tree,
  count: number,
  write: (view: DataView, offset: number, index: number) => void,
  options: BulkOptions = {},
): BulkShape {
  const rootView = tree.inodeRoot?.view();
  const shape = bulkShape(tree.type, tree.geometry, count, options, rootView ? rootRoom(rootView) : undefined);
  const pointers = options.pointers ?? takeAll(tx, tree, shape.blocks);
  if (pointers.length !== shape.blocks)
    throw internal(`bulk load got ${pointers.length} blocks, needs ${shape.blocks}`);

  let entries = writeLeaves(tx, tree, count, shape.levels[0]!, pointers, write);
  let from = 0;
  for (let level = 1; level < shape.levels.length; level++) {
    const children = shape.levels[level - 1]!;
    entries = writeNodes(tx, tree, level, children, shape.levels[level]!, entries, pointers, from);
    from += children;
  }
  if (tree.blockRoot) tree.blockRoot.set(tx, pointers[pointers.length - 1]!, shape.height);
  else writeInodeRoot(tx, tree, shape, entries, pointers, from);
  return shape;
}

function takeAll(tx: Transaction, tree: Tree, count: number): number[] {
  const taken: number[] = [];
  try {
    while (taken.length < count) taken.push(tree.blocks.allocate(tx, taken[taken.length - 1] ?? 0));
  } catch (error) {
    for (const pointer of taken) tree.blocks.free(tx, pointer);
    throw error;
  }
  return taken;
}

/** A block of the new tree with its links set: block `index` of `blocks` whose pointers start at `from`. */
function makeBlock(
  tx: Transaction,
  tree: Tree,
  level: number,
  pointers: readonly number[],
  from: number,
  index: number,
  blocks: number,
) {
  const buffer = tree.createBlock(tx, pointers[from + index]!, level);
  if (index > 0) tree.setLeft(buffer.view, pointers[from + index - 1]!);
  if (index + 1 < blocks) tree.setRight(buffer.view, pointers[from + index + 1]!);
  return buffer;
}

/** Write all leaves; returns their key entries, one behind the other. */
function writeLeaves(
  tx: Transaction,
  tree: Tree,
  count: number,
  blocks: number,
  pointers: readonly number[],
  write: (view: DataView, offset: number, index: number) => void,
): Uint8Array {
  const { type, headerSize, recordSize, entrySize } = tree;
  const entries = new Uint8Array(blocks * entrySize);
  const entriesView = new DataView(entries.buffer);
  const leaf = new Uint8Array(tree.geometry.blockSize);
  const leafView = new DataView(leaf.buffer);
  const key: SearchKey = [0, 0, 0, 0, 0];
  let index = 0;
  for (let i = 0; i < blocks; i++) {
    const size = share(count, blocks, i);
    leaf.fill(0);
    for (let slot = 0, at = headerSize; slot < size; slot++, at += recordSize, index++) {
      write(leafView, at, index);
      const [a, b, c, d, e] = key as [number, number, number, number, number];
      if (index > 0 && type.compareRecord(leafView, at, a, b, c, d, e) <= 0) {
        throw tree.corrupt('BTREE_ORDER', `key of record ${index} to load`, -1, `behind ${key.join('/')}`, 'not');
      }
      type.readKey(leafView, at, key);
    }
    const buffer = makeBlock(tx, tree, 0, pointers, 0, i, blocks);
    copyRun(leaf, headerSize, 0, buffer.data, headerSize, 0, size, recordSize);
    buffer.view.setUint16(6, size);
    if (size > 0) tree.writeEntry(buffer.view, 0, entriesView, i * entrySize);
  }
  return entries;
}

/** Write the nodes of one level over `children` blocks, whose pointers start at `from`; returns the nodes' entries. */
function writeNodes(
  tx: Transaction,
  tree: Tree,
  level: number,
  children: number,
  blocks: number,
  childEntries: Uint8Array,
  pointers: readonly number[],
  from: number,
): Uint8Array {
  const { headerSize, entrySize, pointersAt, pointerSize } = tree;
  const entries = new Uint8Array(blocks * entrySize);
  const entriesView = new DataView(entries.buffer);
  let child = 0;
  for (let i = 0; i < blocks; i++) {
    const size = share(children, blocks, i);
    const buffer = makeBlock(tx, tree, level, pointers, from + children, i, blocks);
    copyRun(childEntries, 0, child, buffer.data, headerSize, 0, size, entrySize);
    for (let slot = 0; slot < size; slot++) {
      tree.writePointer(buffer.view, pointersAt + slot * pointerSize, pointers[from + child + slot]!);
    }
    buffer.view.setUint16(6, size);
    child += size;
    tree.writeEntry(buffer.view, level, entriesView, i * entrySize);
  }
  return entries;
}

/** Entries of block `index` when `count` are spread over `blocks`. */
function share(count: number, blocks: number, index: number): number {
  return Math.floor(count / blocks) + (index < count % blocks ? 1 : 0);
}

function writeInodeRoot(
  tx: Transaction,
  tree: Tree,
  shape: BulkShape,
  entries: Uint8Array,
  pointers: readonly number[],
  from: number,
): void {
  tree.inodeRoot!.change(tx);
  const view = tree.inodeRoot!.view();
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const count = shape.levels[shape.levels.length - 1]!;
  const pointersAt = ROOT_KEYS_AT + tree.entrySize * rootRoom(view);
  bytes.fill(0);
  view.setUint16(0, shape.height - 1);
  view.setUint16(2, count);
  copyRun(entries, 0, 0, bytes, ROOT_KEYS_AT, 0, count, tree.entrySize);
  for (let i = 0; i < count; i++) tree.writePointer(view, pointersAt + i * tree.pointerSize, pointers[from + i]!);
}
