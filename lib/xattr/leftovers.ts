/**
 * What a crash leaves in the middle of replacing an attribute: entries marked incomplete, which nobody sees, and blocks of
 * values that no entry points at any more. The kernel leaves both for later; here they go with the next change.
 */
import { ATTR, ATTR_LEAF, ATTR_REMOTE, AttrRemote, AttrRemoteHeader, remoteBlocks } from '../../formats/attribute.ts';
import { DA_NODE } from '../../formats/da.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { CadastreError } from '../errors.ts';
import { leafCount, leafFlags, leafRecord, leafRemove } from './leaf.ts';
import { isNode, nodeChild, nodeCount, nodeLevel, Path } from './path.ts';
import { FILE_BLOCKS } from './remote.ts';
import { shrinkAfterRemove } from './tree.ts';

/** True when a leaf has such an entry. */
function hasIncomplete(view: DataView): boolean {
  for (let i = leafCount(view) - 1; i >= 0; i--) if (leafFlags(view, i) & ATTR.INCOMPLETE) return true;
  return false;
}

/**
 * Before an attribute of this hash is changed: when its leaf has incomplete entries, all of the fork go. (Small forks are one
 * leaf. Looking through a large one each time would cost more than what is left in it.)
 */
export function clearLeftovers(fork: ForkBlocks, hash: number): void {
  const path = new Path(fork);
  if (!path.descend(hash) || !hasIncomplete(path.leaf().view)) return;
  while (removeFromFirstLeaf(fork)) {
    // leaf after leaf: the tree may have changed its shape
  }
  freeOrphans(fork);
}

/** @returns false when no leaf has an incomplete entry. */
function removeFromFirstLeaf(fork: ForkBlocks): boolean {
  const path = new Path(fork);
  if (!path.descend(0)) return false;
  const start = path.leafBlock;
  while (!hasIncomplete(path.leaf().view)) if (!path.nextLeaf(start)) return false;
  const leaf = path.leaf();
  fork.change(leaf);
  for (let i = leafCount(leaf.view) - 1; i >= 0; i--) {
    if (leafFlags(leaf.view, i) & ATTR.INCOMPLETE) leafRemove(leaf, i);
  }
  shrinkAfterRemove(path);
  return true;
}

/** Free blocks of values that no entry points at. A block that is no value of this inode is damage: it stays as it is. */
function freeOrphans(fork: ForkBlocks): void {
  const used = new Set<number>();
  collect(fork, 0, -1, used);
  for (const block of [...fork.mapped(0, FILE_BLOCKS)]) {
    if (!used.has(block) && isOwnValue(fork, block)) fork.free(block);
  }
}

/** Blocks of the tree and of the values it points at. @param level of a block below a node; -1 for the root. */
function collect(fork: ForkReader, block: number, level: number, used: Set<number>): void {
  // A block met twice is damage, and not entered again.
  if (used.has(block)) return;
  used.add(block);
  const path = new Path(fork);
  const { view } = level < 0 ? path.root() : path.block(block, level === 0 ? ATTR_LEAF : DA_NODE);
  if (isNode(view)) {
    const children = Array.from({ length: nodeCount(view) }, (_, i) => nodeChild(view, i));
    const below = nodeLevel(view) - 1;
    for (const child of children) collect(fork, child, below, used);
    return;
  }
  for (let i = leafCount(view) - 1; i >= 0; i--) {
    if (leafFlags(view, i) & ATTR.LOCAL) continue;
    const { valueblk, valuelen } = AttrRemote.at(view, leafRecord(view, i));
    const count = remoteBlocks(valuelen, fork.blockBytes);
    for (let k = 0; k < count; k++) used.add(valueblk + k);
  }
}

function isOwnValue(fork: ForkReader, block: number): boolean {
  try {
    const buffer = fork.find(block, ATTR_REMOTE);
    return buffer !== undefined && AttrRemoteHeader.at(buffer.view).owner === fork.inode;
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
    return false;
  }
}
