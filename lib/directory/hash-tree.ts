/**
 * The hash index of node form: leafN blocks under up to five levels of da nodes, or a single leafN.
 *
 * 1. The root is always at the first dablk of the index space. It is a leafN when that is the only index block, else a
 *    da node; below, a node's level says what its children are.
 * 2. A node's key is the greatest hash of that child, stale entries included; the blocks of a level are chained.
 * 3. Equal hashes may go on in the next leaf: a search walks on in tree order.
 * 4. Growing is done in steps that each allocate first and leave a valid tree: a new root over the old, then splits from
 *    the top down. Leaves and nodes may be underfull but never stay empty; neighbours under one parent are merged when
 *    together they fill at most three quarters of a block.
 *
 *        root (leafStart)            key = greatest hash of the child
 *        [ 2f -> A ][ 9c -> B ]
 *           |           |
 *        [..2f] <--> [30..9c]        forw / back
 */
import type { BlockType } from '../../formats/block-type.ts';
import { DA_MAX_DEPTH, DA_NODE, DaHeader, DaNode, hashLowerBound, maxDaNodeEntries } from '../../formats/da.ts';
import { DIR_DATA, DIR_LEAFN, maxLeafNEntries } from '../../formats/directory.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt, noSpace } from '../errors.ts';
import {
  compactLeaf,
  hit,
  insertIntoLeaf,
  LEAF_BASE,
  lastHash,
  leafCount,
  leafStale,
  makeStale,
  searchEntries,
  setLeafCounts,
} from './hash-leaf.ts';
import { at, block, create, edit, freeStart, leafStart, retype } from './layout.ts';

const { count: COUNT, level: LEVEL } = DaNode.offsets;
const { forw: FORW, back: BACK } = DaHeader.offsets;
const NODE_BASE = DaNode.size;

/** The way from the root to a leaf: `nodes[d]` and the child taken there, `slots[d]`, for d < depth. */
export class TreePath {
  depth = 0;
  readonly nodes = [0, 0, 0, 0, 0];
  readonly slots = [0, 0, 0, 0, 0];
  leaf = 0;
  /** Leaves a walk may still visit before it must be going in circles. */
  hops = 0;
}

/** True while the index is one leafN. */
export function rootIsLeaf(fork: ForkReader): boolean {
  return fork.lastMapped(freeStart(fork)) === leafStart(fork);
}

/** The child dablk in a node's slot; throws `corrupt` when it lies outside the index space. */
function child(fork: ForkReader, node: DataView, slot: number): number {
  const dablk = node.getUint32(NODE_BASE + 8 * slot + 4);
  const start = leafStart(fork);
  if (dablk <= start || dablk >= 2 * start || (dablk - start) % fork.blockBlocks !== 0) {
    throw corrupt('DIR_BAD_CHILD', `hash tree points at block ${dablk}`, { ...at(fork), found: dablk });
  }
  return dablk;
}

/** Go down from `dablk`, where depth `depth` of the path stands, to the first leaf that can hold `hash`. */
function descend(fork: ForkReader, path: TreePath, depth: number, dablk: number, level: number, hash: number): void {
  while (level !== 0) {
    const { view } = block(fork, dablk, DA_NODE);
    const found = view.getUint16(LEVEL);
    if (level > 0 && found !== level) {
      throw corrupt('BAD_LEVEL', `hash tree node at level ${found}, expected ${level}`, at(fork, dablk));
    }
    const count = view.getUint16(COUNT);
    const slot = Math.min(hashLowerBound(view, NODE_BASE, count, hash), count - 1);
    path.nodes[depth] = dablk;
    path.slots[depth] = slot;
    depth++;
    dablk = child(fork, view, slot);
    level = found - 1;
  }
  path.depth = depth;
  path.leaf = dablk;
}

/** Path to the first leaf whose greatest hash is at least `hash`, or the last leaf. */
function findLeaf(fork: ForkReader, path: TreePath, hash: number): void {
  path.hops = -1;
  // Level -1 accepts whatever level the root has.
  descend(fork, path, 0, leafStart(fork), rootIsLeaf(fork) ? 0 : -1, hash);
}

/** Move on to the next leaf in tree order; false at the end. */
export function nextLeaf(fork: ForkReader, path: TreePath): boolean {
  if (path.depth === 0) return false;
  if (path.hops < 0) path.hops = (fork.lastMapped(freeStart(fork))! - leafStart(fork)) / fork.blockBlocks;
  if (path.hops-- === 0) throw corrupt('DIR_TREE_LOOP', 'hash tree visits more leaves than there are blocks', at(fork));
  for (let depth = path.depth - 1; depth >= 0; depth--) {
    const { view } = block(fork, path.nodes[depth]!, DA_NODE);
    const slot = path.slots[depth]! + 1;
    if (slot >= view.getUint16(COUNT)) continue;
    path.slots[depth] = slot;
    descend(fork, path, depth + 1, child(fork, view, slot), view.getUint16(LEVEL) - 1, 0);
    return true;
  }
  return false;
}

/** Find a name; true: `path` leads to its leaf and `hit` says the rest. */
export function searchTree(fork: ForkReader, path: TreePath, hash: number, name: Uint8Array): boolean {
  findLeaf(fork, path, hash);
  while (true) {
    const { view } = block(fork, path.leaf, DIR_LEAFN);
    const count = leafCount(view);
    if (searchEntries(fork, view, LEAF_BASE, count, hash, name, DIR_DATA)) return true;
    if (hit.slot < count || !nextLeaf(fork, path)) return false;
  }
}

/** Index entries that are not stale. */
export function countTree(fork: ForkReader): number {
  const path = new TreePath();
  findLeaf(fork, path, 0);
  let live = 0;
  do {
    const { view } = block(fork, path.leaf, DIR_LEAFN);
    live += leafCount(view) - leafStale(view);
  } while (nextLeaf(fork, path));
  return live;
}

// ---- growing ----------------------------------------------------------------------------------------------------

/** First unmapped dablk of the index space. */
function freeIndexBlock(fork: ForkReader): number {
  const start = leafStart(fork);
  let dablk = start;
  for (const mapped of fork.mapped(start, 2 * start)) {
    if (mapped !== dablk) break;
    dablk += fork.blockBlocks;
  }
  if (dablk >= 2 * start) throw noSpace('directory hash index is full', at(fork));
  return dablk;
}

/**
 * Lead `path` to a leaf where `hash` belongs and that can take one more entry. May split blocks; allocation errors come
 * before the step they belong to changes anything, and every step leaves a valid tree.
 */
export function makeRoom(fork: ForkBlocks, path: TreePath, hash: number): void {
  findLeaf(fork, path, hash);
  const leaf = block(fork, path.leaf, DIR_LEAFN).view;
  if (leafStale(leaf) > 0 || leafCount(leaf) < maxLeafNEntries(fork.blockBytes)) return;
  const full = maxDaNodeEntries(fork.blockBytes);
  let depth = path.depth;
  while (depth > 0 && block(fork, path.nodes[depth - 1]!, DA_NODE).view.getUint16(COUNT) === full) depth--;
  if (depth === 0) {
    growRoot(fork, path);
    depth = 1;
  }
  for (; depth < path.depth; depth++) splitNode(fork, path, depth);
  splitLeaf(fork, path, hash);
}

/** Put a new root over the old one, whose content moves to a new block. */
function growRoot(fork: ForkBlocks, path: TreePath): void {
  if (path.depth === DA_MAX_DEPTH) throw noSpace('directory hash tree is as deep as it can be', at(fork));
  const root = leafStart(fork);
  const type = path.depth === 0 ? DIR_LEAFN : DA_NODE;
  const old = block(fork, root, type);
  const level = path.depth === 0 ? 0 : old.view.getUint16(LEVEL);
  const moved = freeIndexBlock(fork);
  const copy = create(fork, moved, type);
  copy.data.set(old.data.subarray(COUNT), COUNT);
  const key = greatest(copy.view, level);
  const top = edit(fork, root, type);
  retype(top, DA_NODE);
  top.data.fill(0, COUNT);
  top.view.setUint16(COUNT, 1);
  top.view.setUint16(LEVEL, level + 1);
  top.view.setUint32(NODE_BASE, key);
  top.view.setUint32(NODE_BASE + 4, moved);
  for (let depth = path.depth; depth > 0; depth--) {
    path.nodes[depth] = path.nodes[depth - 1]!;
    path.slots[depth] = path.slots[depth - 1]!;
  }
  path.nodes[0] = root;
  path.slots[0] = 0;
  path.depth++;
  if (path.depth === 1) path.leaf = moved;
  else path.nodes[1] = moved;
}

function greatest(view: DataView, level: number): number {
  return level === 0 ? lastHash(view) : view.getUint32(NODE_BASE + 8 * (view.getUint16(COUNT) - 1));
}

/** Split the full node at `depth`; its parent has room. The path follows the half it was in. */
function splitNode(fork: ForkBlocks, path: TreePath, depth: number): void {
  const left = path.nodes[depth]!;
  const right = freeIndexBlock(fork);
  const from = block(fork, left, DA_NODE);
  const count = from.view.getUint16(COUNT);
  const keep = count >>> 1;
  const made = create(fork, right, DA_NODE);
  made.data.set(from.data.subarray(NODE_BASE + 8 * keep, NODE_BASE + 8 * count), NODE_BASE);
  made.view.setUint16(COUNT, count - keep);
  made.view.setUint16(LEVEL, from.view.getUint16(LEVEL));
  const rightKey = greatest(made.view, 1);
  link(fork, left, right, DA_NODE);
  const { view, data } = edit(fork, left, DA_NODE);
  view.setUint16(COUNT, keep);
  data.fill(0, NODE_BASE + 8 * keep);
  addChild(fork, path, depth, greatest(view, 1), rightKey, right);
  if (path.slots[depth]! >= keep) {
    path.nodes[depth] = right;
    path.slots[depth]! -= keep;
    path.slots[depth - 1]!++;
  }
}

/** Split the full leaf of a path; its parent has room. The path leads to the half where `hash` belongs. */
function splitLeaf(fork: ForkBlocks, path: TreePath, hash: number): void {
  const left = path.leaf;
  const right = freeIndexBlock(fork);
  const from = block(fork, left, DIR_LEAFN);
  const count = leafCount(from.view);
  const keep = count >>> 1;
  const made = create(fork, right, DIR_LEAFN);
  made.data.set(from.data.subarray(LEAF_BASE + 8 * keep, LEAF_BASE + 8 * count), LEAF_BASE);
  setLeafCounts(made.view, count - keep, 0);
  const rightKey = lastHash(made.view);
  link(fork, left, right, DIR_LEAFN);
  const { view, data } = edit(fork, left, DIR_LEAFN);
  setLeafCounts(view, keep, 0);
  data.fill(0, LEAF_BASE + 8 * keep);
  const leftKey = lastHash(view);
  addChild(fork, path, path.depth, leftKey, rightKey, right);
  if (hash > leftKey) {
    path.leaf = right;
    path.slots[path.depth - 1]!++;
  }
}

/** Enter `right` into the sibling chain behind `left`. */
function link(fork: ForkBlocks, left: number, right: number, type: BlockType): void {
  const one = edit(fork, left, type).view;
  const next = one.getUint32(FORW);
  one.setUint32(FORW, right);
  const two = edit(fork, right, type).view;
  two.setUint32(BACK, left);
  two.setUint32(FORW, next);
  if (next !== 0) edit(fork, next, type).view.setUint32(BACK, right);
}

/** Take `dablk` out of the sibling chain. */
function unlink(fork: ForkBlocks, dablk: number, type: BlockType): void {
  const { view } = block(fork, dablk, type);
  const next = view.getUint32(FORW);
  const previous = view.getUint32(BACK);
  if (previous !== 0) edit(fork, previous, type).view.setUint32(FORW, next);
  if (next !== 0) edit(fork, next, type).view.setUint32(BACK, previous);
}

/** Behind the child the path takes at `depth - 1`, enter a new one; both keys are given. */
function addChild(
  fork: ForkBlocks,
  path: TreePath,
  depth: number,
  leftKey: number,
  rightKey: number,
  right: number,
): void {
  const { view, data } = edit(fork, path.nodes[depth - 1]!, DA_NODE);
  const count = view.getUint16(COUNT);
  const slot = path.slots[depth - 1]!;
  const place = NODE_BASE + 8 * (slot + 1);
  view.setUint32(place - 8, leftKey);
  data.copyWithin(place + 8, place, NODE_BASE + 8 * count);
  view.setUint32(place, rightKey);
  view.setUint32(place + 4, right);
  view.setUint16(COUNT, count + 1);
}

/** Insert into the leaf of a path that `makeRoom` has made. */
export function insertAtPath(fork: ForkBlocks, path: TreePath, hash: number, pointer: number): void {
  const leaf = edit(fork, path.leaf, DIR_LEAFN);
  const before = lastHash(leaf.view);
  insertIntoLeaf(leaf, hash, pointer);
  const key = lastHash(leaf.view);
  if (key !== before) raiseKey(fork, path, path.depth, key);
}

/** The greatest hash below depth `depth` of the path is now `key`: correct the keys above as far as they depend on it. */
function raiseKey(fork: ForkBlocks, path: TreePath, depth: number, key: number): void {
  while (depth-- > 0) {
    const { view } = edit(fork, path.nodes[depth]!, DA_NODE);
    const slot = path.slots[depth]!;
    view.setUint32(NODE_BASE + 8 * slot, key);
    if (slot !== view.getUint16(COUNT) - 1) return;
  }
}

// ---- shrinking --------------------------------------------------------------------------------------------------

/** Make the entry `hit.slot` of the path's leaf stale; drop or merge blocks that have become small. */
export function removeAtPath(fork: ForkBlocks, path: TreePath, slot: number): void {
  const { view } = edit(fork, path.leaf, DIR_LEAFN);
  makeStale(view, slot);
  if (path.depth === 0) return;
  const live = leafCount(view) - leafStale(view);
  if (live === 0) dropBlock(fork, path, path.depth, path.leaf);
  else if (live > maxLeafNEntries(fork.blockBytes) / 2 || !mergeLeaf(fork, path, live)) return;
  for (let depth = path.depth - 1; depth > 0; depth--) {
    const count = block(fork, path.nodes[depth]!, DA_NODE).view.getUint16(COUNT);
    if (count === 0) dropBlock(fork, path, depth, path.nodes[depth]!);
    else if (count > maxDaNodeEntries(fork.blockBytes) / 2 || !mergeNode(fork, path, depth, count)) break;
  }
  lowerRoot(fork);
}

/** Free the block the path reaches at `depth` (depth = path.depth: its leaf) and take it out of its parent. */
function dropBlock(fork: ForkBlocks, path: TreePath, depth: number, dablk: number): void {
  unlink(fork, dablk, depth === path.depth ? DIR_LEAFN : DA_NODE);
  fork.free(dablk);
  removeChild(fork, path, depth - 1, path.slots[depth - 1]!);
}

/** Remove a child from the node at `depth`. The keys above follow; a node left without children is for the caller. */
function removeChild(fork: ForkBlocks, path: TreePath, depth: number, slot: number): void {
  const { view, data } = edit(fork, path.nodes[depth]!, DA_NODE);
  const count = view.getUint16(COUNT) - 1;
  const place = NODE_BASE + 8 * slot;
  data.copyWithin(place, place + 8, NODE_BASE + 8 * (count + 1));
  data.fill(0, NODE_BASE + 8 * count, NODE_BASE + 8 * (count + 1));
  view.setUint16(COUNT, count);
  if (count === 0) {
    if (depth === 0) throw corrupt('DIR_NO_INDEX', 'the last index entry of a directory was removed', at(fork));
  } else if (slot === count) raiseKey(fork, path, depth, view.getUint32(NODE_BASE + 8 * (count - 1)));
}

/**
 * Merge the block at `depth` with a neighbour under the same parent when both together hold at most `limit` entries.
 * `used` counts the live entries of a block. Returns whether it was done.
 */
function merge(
  fork: ForkBlocks,
  path: TreePath,
  depth: number,
  type: BlockType,
  own: number,
  limit: number,
  used: (view: DataView) => number,
  join: (left: DataView, leftData: Uint8Array, right: Uint8Array, added: number) => number,
): boolean {
  const parent = block(fork, path.nodes[depth - 1]!, DA_NODE).view;
  const slot = path.slots[depth - 1]!;
  const count = parent.getUint16(COUNT);
  const here = child(fork, parent, slot);
  const after = slot + 1 < count ? child(fork, parent, slot + 1) : 0;
  const before = slot > 0 ? child(fork, parent, slot - 1) : 0;
  let leftSlot = -1;
  if (after !== 0 && used(block(fork, after, type).view) + own <= limit) leftSlot = slot;
  else if (before !== 0 && used(block(fork, before, type).view) + own <= limit) leftSlot = slot - 1;
  if (leftSlot < 0) return false;
  const left = leftSlot === slot ? here : before;
  const right = leftSlot === slot ? after : here;
  const from = block(fork, right, type);
  const to = edit(fork, left, type);
  if (left === right || to.view.getUint32(FORW) !== right) {
    throw corrupt('BAD_SIBLING', `index block ${left} is not followed by ${right}`, at(fork, left));
  }
  const key = join(to.view, to.data, from.data, used(from.view));
  unlink(fork, right, type);
  fork.free(right);
  // The key of the merged block first: removing the right one may pass it on upwards.
  edit(fork, path.nodes[depth - 1]!, DA_NODE).view.setUint32(NODE_BASE + 8 * leftSlot, key);
  removeChild(fork, path, depth - 1, leftSlot + 1);
  return true;
}

function mergeLeaf(fork: ForkBlocks, path: TreePath, live: number): boolean {
  const limit = Math.floor((maxLeafNEntries(fork.blockBytes) * 3) / 4);
  const used = (view: DataView): number => leafCount(view) - leafStale(view);
  return merge(fork, path, path.depth, DIR_LEAFN, live, limit, used, (left, data, right, added) => {
    compactLeaf(left);
    const count = leafCount(left);
    copyLive(right, data, LEAF_BASE + 8 * count);
    setLeafCounts(left, count + added, 0);
    data.fill(0, LEAF_BASE + 8 * (count + added));
    return lastHash(left);
  });
}

/** Copy the entries of a leaf that are not stale to `to` in another. */
function copyLive(from: Uint8Array, into: Uint8Array, to: number): void {
  const view = new DataView(from.buffer, from.byteOffset, from.length);
  const count = leafCount(view);
  for (let i = 0, place = LEAF_BASE; i < count; i++, place += 8) {
    if (view.getUint32(place + 4) === 0) continue;
    into.set(from.subarray(place, place + 8), to);
    to += 8;
  }
}

function mergeNode(fork: ForkBlocks, path: TreePath, depth: number, own: number): boolean {
  const limit = Math.floor((maxDaNodeEntries(fork.blockBytes) * 3) / 4);
  const used = (view: DataView): number => view.getUint16(COUNT);
  return merge(fork, path, depth, DA_NODE, own, limit, used, (left, data, right, added) => {
    const count = left.getUint16(COUNT);
    data.set(right.subarray(NODE_BASE, NODE_BASE + 8 * added), NODE_BASE + 8 * count);
    left.setUint16(COUNT, count + added);
    return greatest(left, 1);
  });
}

/** While the root has a single child, the child's content becomes the root. */
function lowerRoot(fork: ForkBlocks): void {
  const root = leafStart(fork);
  while (!rootIsLeaf(fork)) {
    const { view } = block(fork, root, DA_NODE);
    if (view.getUint16(COUNT) !== 1) return;
    const level = view.getUint16(LEVEL) - 1;
    const only = child(fork, view, 0);
    const type = level === 0 ? DIR_LEAFN : DA_NODE;
    const from = block(fork, only, type);
    const top = edit(fork, root, DA_NODE);
    retype(top, type);
    top.data.set(from.data.subarray(COUNT), COUNT);
    fork.free(only);
  }
}
