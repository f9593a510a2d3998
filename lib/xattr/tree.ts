/**
 * Edits of an attribute fork that has blocks: insert and remove at a place a Path names, with every split, join, growth
 * and collapse that follows.
 *
 * 1. Node keys are the greatest hash of the child; siblings of every level are linked both ways.
 * 2. The root stays at block 0: it grows by moving its content away, and takes the last child's content in again.
 * 3. No leaf or node is left empty. Nodes are split on the way down, before a leaf is, so that a parent always has
 *    room for the (at most two) blocks a leaf split adds.
 * 4. Blocks are fetched again after anything that allocates; a failed allocation leaves the edit half done, and the
 *    transaction around it must be cancelled.
 *
 * A record can take 3/4 of a block, so a leaf may have to split in three:   [a a a | b b b]  +  X  ->  [a a a] [X] [b b b]
 */
import { ATTR_LEAF } from '../../formats/attribute.ts';
import { DA_MAX_DEPTH, DA_NODE, DA_NODE_MAGIC, DaHeader, DaNode, maxDaNodeEntries } from '../../formats/da.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkBlocks } from '../buffer/fork-blocks.ts';
import { corrupt, noSpace } from '../errors.ts';
import {
  clearLeaf,
  copyLeaf,
  initDaBlock,
  initLeaf,
  leafAppend,
  leafCapacity,
  leafCompact,
  leafCount,
  leafInsert,
  leafLastHash,
  leafRecordBytes,
  leafUsed,
  type NewAttribute,
  newRecordBytes,
  overlap,
} from './leaf.ts';
import { backOf, forwOf, isNode, nodeChild, nodeCount, nodeHash, nodeLevel, type Path } from './path.ts';
import { lowestUnmapped } from './remote.ts';

const da = DaHeader.offsets;
const ENTRY = 8;
const LEAF_ENTRY = 8;
/** What a leaf split can add to a node. */
const SPLIT_ENTRIES = 2;

type EditPath = Path<ForkBlocks>;

/** Start a node of this level without entries. */
export function initNode(buffer: Buffer, fork: ForkBlocks, level: number): void {
  initDaBlock(buffer, fork, DA_NODE_MAGIC);
  buffer.view.setUint16(DaNode.offsets.level, level);
  buffer.type = DA_NODE;
}
export function setSiblings(view: DataView, back: number, forw: number): void {
  view.setUint32(da.back, back);
  view.setUint32(da.forw, forw);
}
/** Put a child in front of entry i. */
export function nodeInsert(buffer: Buffer, i: number, hash: number, child: number): void {
  const { view, data } = buffer;
  const at = DaNode.size + i * ENTRY;
  const count = nodeCount(view);
  data.copyWithin(at + ENTRY, at, DaNode.size + count * ENTRY);
  view.setUint32(at, hash);
  view.setUint32(at + 4, child);
  view.setUint16(DaNode.offsets.count, count + 1);
}
function nodeRemove(buffer: Buffer, i: number): void {
  const { view, data } = buffer;
  const at = DaNode.size + i * ENTRY;
  const end = DaNode.size + nodeCount(view) * ENTRY;
  data.copyWithin(at, at + ENTRY, end);
  data.fill(0, end - ENTRY, end);
  view.setUint16(DaNode.offsets.count, nodeCount(view) - 1);
}
const setNodeHash = (view: DataView, i: number, hash: number): void => view.setUint32(DaNode.size + i * ENTRY, hash);

/** Greatest hash of a leaf or node. */
export function lastHash(view: DataView): number {
  return isNode(view) ? nodeHash(view, nodeCount(view) - 1) : leafLastHash(view);
}

/** Store an attribute in front of entry `position` of the path's leaf. */
export function insertAt(path: EditPath, position: number, item: NewAttribute): void {
  const { fork } = path;
  const leaf = path.leaf();
  if (leafUsed(leaf.view) + LEAF_ENTRY + newRecordBytes(item, leaf.length) <= leaf.length) {
    const last = position === leafCount(leaf.view);
    fork.change(leaf);
    leafInsert(leaf, position, item);
    if (last) fixKeys(path, path.depth);
    return;
  }
  if (path.depth === 0) growRoot(path);
  makeRoom(path);
  splitLeaf(path, position, item);
}

/** Move block 0's content to a block of its own and make block 0 the node above it. */
function growRoot(path: EditPath): void {
  const { fork } = path;
  const old = path.root();
  const type = old.type;
  const level = isNode(old.view) ? nodeLevel(old.view) + 1 : 1;
  if (level > DA_MAX_DEPTH) throw noSpace('attribute fork: too many levels', { where: { inode: fork.inode } });
  const block = lowestUnmapped(fork, 1);
  const child = fork.create(block, type);
  const root = path.root();
  fork.change(root);
  moveContent(root, child);
  const hash = lastHash(child.view);
  initNode(root, fork, level);
  nodeInsert(root, 0, hash, block);
  path.blocks.splice(1, 0, block);
  path.slots.splice(0, 0, 0);
  path.depth++;
}

/** Copy a block's content to another place: everything but the address. */
function moveContent(from: Buffer, to: Buffer): void {
  to.data.set(from.data);
  DaHeader.at(to.view).blkno = to.daddr;
}

/** Split every node on the path that could not take a leaf split's new entries (invariant 3). */
function makeRoom(path: EditPath): void {
  const max = maxDaNodeEntries(path.fork.blockBytes);
  for (let d = 0; d < path.depth; d++) {
    if (nodeCount(path.node(d).view) + SPLIT_ENTRIES <= max) continue;
    // The grown root has one entry; the full node is now the next one down.
    if (d === 0) growRoot(path);
    else splitNode(path, d);
  }
}

/** Move the upper half of the node at depth d to a new block; the path follows its entry. */
function splitNode(path: EditPath, d: number): void {
  const { fork } = path;
  const block = path.blocks[d]!;
  const newBlock = lowestUnmapped(fork, 1);
  const right = fork.create(newBlock, DA_NODE);
  const left = path.node(d);
  const count = nodeCount(left.view);
  const half = count >> 1;
  initNode(right, fork, nodeLevel(left.view));
  right.data.set(left.data.subarray(DaNode.size + half * ENTRY, DaNode.size + count * ENTRY), DaNode.size);
  right.view.setUint16(DaNode.offsets.count, count - half);
  fork.change(left);
  left.data.fill(0, DaNode.size + half * ENTRY, DaNode.size + count * ENTRY);
  left.view.setUint16(DaNode.offsets.count, half);
  const leftHash = lastHash(left.view);
  const rightHash = lastHash(right.view);
  linkAfter(path, left, block, right, newBlock, d);
  const parent = path.node(d - 1);
  const slot = path.slots[d - 1]!;
  fork.change(parent);
  setNodeHash(parent.view, slot, leftHash);
  nodeInsert(parent, slot + 1, rightHash, newBlock);
  if (path.slots[d]! >= half) {
    path.blocks[d] = newBlock;
    path.slots[d]! -= half;
    path.slots[d - 1]!++;
  }
}

/** Link a new block behind `left`; both buffers are already being changed. */
function linkAfter(
  path: EditPath,
  left: Buffer,
  leftBlock: number,
  right: Buffer,
  rightBlock: number,
  d: number,
): void {
  const next = forwOf(left.view);
  setSiblings(right.view, leftBlock, next);
  left.view.setUint32(da.forw, rightBlock);
  if (next !== 0) setBack(path, next, rightBlock, d);
}
function setBack(path: EditPath, block: number, back: number, d: number): void {
  const buffer = path.block(block, d === path.depth ? ATTR_LEAF : DA_NODE);
  path.fork.change(buffer);
  buffer.view.setUint32(da.back, back);
}

/**
 * Where to cut a leaf with one more entry: entries [0, cut) stay, [cut, n) go. Balanced by bytes; -1 when no cut in
 * two makes both halves fit.
 */
function chooseCut(view: DataView, position: number, newBytes: number): number {
  const count = leafCount(view) + 1;
  const capacity = leafCapacity(view.byteLength);
  const bytesOf = (i: number) =>
    LEAF_ENTRY + (i === position ? newBytes : leafRecordBytes(view, i < position ? i : i - 1));
  let total = 0;
  for (let i = 0; i < count; i++) total += bytesOf(i);
  let cut = -1;
  let best = Number.POSITIVE_INFINITY;
  for (let i = 1, left = bytesOf(0); i < count; left += bytesOf(i), i++) {
    if (left > capacity || total - left > capacity) continue;
    const difference = Math.abs(total - 2 * left);
    if (difference < best) {
      best = difference;
      cut = i;
    }
  }
  return cut;
}

/** Spread the path's leaf and one more attribute over two or three leaves. */
function splitLeaf(path: EditPath, position: number, item: NewAttribute): void {
  const { fork } = path;
  const { view } = path.leaf();
  const count = leafCount(view);
  const cut = chooseCut(view, position, newRecordBytes(item, view.byteLength));
  // Either side of the new entry fits a leaf, so only a damaged sum can ask for a third with one side empty.
  if (cut < 0 && (position === 0 || position === count)) throw overlap();
  // Pieces as ranges of the entries with the new one among them (0 .. count).
  const bounds = cut > 0 ? [0, cut, count + 1] : [0, position, position + 1, count + 1];
  const created: number[] = [];
  for (let i = 2; i < bounds.length; i++) {
    const block = lowestUnmapped(fork, 1);
    initLeaf(fork.create(block, ATTR_LEAF), fork);
    created.push(block);
  }
  const first = path.leaf();
  fork.change(first);
  const copy = copyLeaf(first);
  clearLeaf(first);
  const fill = (buffer: Buffer, from: number, to: number) => {
    if (to <= position) leafAppend(buffer, copy, from, to);
    else if (from > position) leafAppend(buffer, copy, from - 1, to - 1);
    else {
      leafAppend(buffer, copy, from, position);
      leafInsert(buffer, position - from, item);
      leafAppend(buffer, copy, position, to - 1);
    }
  };
  fill(first, bounds[0]!, bounds[1]!);
  let left = first;
  let leftBlock = path.leafBlock;
  const d = path.depth - 1;
  let slot = path.slots[d]!;
  setKey(path, d, slot, leafLastHash(first.view));
  for (let i = 0; i < created.length; i++) {
    const block = created[i]!;
    const right = path.block(block, ATTR_LEAF);
    fork.change(right);
    fill(right, bounds[i + 1]!, bounds[i + 2]!);
    linkAfter(path, left, leftBlock, right, block, path.depth);
    const parent = path.node(d);
    fork.change(parent);
    nodeInsert(parent, ++slot, leafLastHash(right.view), block);
    left = right;
    leftBlock = block;
  }
  fixKeys(path, d);
}

function setKey(path: EditPath, d: number, slot: number, hash: number): void {
  const node = path.node(d);
  if (nodeHash(node.view, slot) === hash) return;
  path.fork.change(node);
  setNodeHash(node.view, slot, hash);
}

/** Carry the greatest hash of the block at depth d up into its ancestors' keys. */
function fixKeys(path: EditPath, d: number): void {
  for (; d > 0; d--) {
    const child = d === path.depth ? path.leaf() : path.node(d);
    setKey(path, d - 1, path.slots[d - 1]!, lastHash(child.view));
  }
}

/**
 * After an entry left the path's leaf: drop an empty leaf, join a sparse one with a neighbour, repair the keys, and
 * shrink the tree. A leaf at block 0 is left as it is, even empty: the caller decides about its form.
 */
export function shrinkAfterRemove(path: EditPath): void {
  if (path.depth === 0) return;
  if (leafCount(path.leaf().view) === 0) dropBlock(path, path.depth);
  else {
    fixKeys(path, path.depth);
    join(path, path.depth);
  }
  collapse(path);
}

/** Free the empty block at depth d > 0 and take it out of its parent, and so on up. */
function dropBlock(path: EditPath, d: number): void {
  const { fork } = path;
  const block = path.blocks[d]!;
  const { view } = d === path.depth ? path.leaf() : path.node(d);
  const back = backOf(view);
  const forw = forwOf(view);
  if (back !== 0) setForw(path, back, forw, d);
  if (forw !== 0) setBack(path, forw, back, d);
  fork.free(block);
  const parent = path.node(d - 1);
  fork.change(parent);
  if (nodeCount(parent.view) > 1) {
    nodeRemove(parent, path.slots[d - 1]!);
    // The path's own slot may be gone: its keys above depend on the node as a whole only.
    fixKeys(path, d - 1);
    join(path, d - 1);
  } else if (d > 1) dropBlock(path, d - 1);
  else initLeafAtRoot(path, parent);
}
function setForw(path: EditPath, block: number, forw: number, d: number): void {
  const buffer = path.block(block, d === path.depth ? ATTR_LEAF : DA_NODE);
  path.fork.change(buffer);
  buffer.view.setUint32(da.forw, forw);
}
/** A root node lost its only child. */
function initLeafAtRoot(path: EditPath, root: Buffer): void {
  initLeaf(root, path.fork);
  root.type = ATTR_LEAF;
  path.depth = 0;
}

/** How full a leaf or node is: bytes beyond its header. */
function fill(view: DataView): number {
  return isNode(view) ? nodeCount(view) * ENTRY : leafUsed(view) - (view.byteLength - leafCapacity(view.byteLength));
}

/**
 * Join the block at depth d with a neighbour under the same parent when it is less than a third full and both leave
 * a quarter free; otherwise leave it: half-empty blocks are legal.
 */
function join(path: EditPath, d: number): void {
  if (d === 0) return;
  const type = d === path.depth ? ATTR_LEAF : DA_NODE;
  const { view } = path.block(path.blocks[d]!, type);
  const capacity = view.byteLength - DaNode.size;
  const own = fill(view);
  if (own * 3 >= capacity) return;
  const parent = path.node(d - 1).view;
  const slot = path.slots[d - 1]!;
  const fits = (other: number) => (own + fill(path.block(nodeChild(parent, other), type).view)) * 4 <= capacity * 3;
  if (slot + 1 < nodeCount(parent) && fits(slot + 1)) absorb(path, d, slot);
  else if (slot > 0 && fits(slot - 1)) absorb(path, d, slot - 1);
}

/** Move everything from the child right of `slot` into the child at `slot`, then drop the right one. */
function absorb(path: EditPath, d: number, slot: number): void {
  const { fork } = path;
  const type = d === path.depth ? ATTR_LEAF : DA_NODE;
  const parentView = path.node(d - 1).view;
  const leftBlock = nodeChild(parentView, slot);
  const rightBlock = nodeChild(parentView, slot + 1);
  const left = path.block(leftBlock, type);
  const right = path.block(rightBlock, type);
  if (leftBlock === rightBlock || forwOf(left.view) !== rightBlock || backOf(right.view) !== leftBlock) {
    throw corrupt('ATTR_SIBLINGS', `attribute fork: blocks ${leftBlock} and ${rightBlock} do not name each other`, {
      where: { inode: fork.inode, fileBlock: leftBlock },
    });
  }
  fork.change(left);
  if (type === ATTR_LEAF) {
    leafCompact(left);
    leafAppend(left, right.view, 0, leafCount(right.view));
  } else {
    const count = nodeCount(left.view);
    const added = nodeCount(right.view);
    left.data.set(right.data.subarray(DaNode.size, DaNode.size + added * ENTRY), DaNode.size + count * ENTRY);
    left.view.setUint16(DaNode.offsets.count, count + added);
  }
  const forw = forwOf(right.view);
  left.view.setUint32(da.forw, forw);
  const hash = lastHash(left.view);
  if (forw !== 0) setBack(path, forw, leftBlock, d);
  fork.free(rightBlock);
  const parent = path.node(d - 1);
  fork.change(parent);
  nodeRemove(parent, slot + 1);
  setNodeHash(parent.view, slot, hash);
  path.blocks[d] = leftBlock;
  path.slots[d - 1] = slot;
  fixKeys(path, d - 1);
  join(path, d - 1);
}

/** While the root is a node with one child, take that child's content into block 0. */
function collapse(path: EditPath): void {
  const { fork } = path;
  for (;;) {
    const root = path.root();
    if (!isNode(root.view) || nodeCount(root.view) > 1) return;
    const block = nodeChild(root.view, 0);
    const child = path.block(block, nodeLevel(root.view) === 1 ? ATTR_LEAF : DA_NODE);
    if (isNode(child.view) && nodeLevel(child.view) !== nodeLevel(root.view) - 1) {
      throw corrupt('ATTR_NODE', `attribute fork: level of block ${block} does not follow`, {
        where: { inode: fork.inode },
      });
    }
    fork.change(root);
    moveContent(child, root);
    setSiblings(root.view, 0, 0);
    root.type = child.type;
    fork.free(block);
    path.depth = 0;
  }
}
