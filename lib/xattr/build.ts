/**
 * All attributes of a file at once, in the smallest right form. File blocks of the node form:
 *
 *   0 root | leaves, in hash order | nodes, level by level | values
 */
import {
  ATTR,
  ATTR_LEAF,
  ATTR_ROOT,
  AttrLeafEntry,
  AttrShortHeader,
  attrHash,
  isLocalSized,
  MAX_SHORTFORM_FIELD,
  remoteBlocks,
} from '../../formats/attribute.ts';
import { DA_NODE, maxDaNodeEntries } from '../../formats/da.ts';
import type { ForkBlocks } from '../buffer/fork-blocks.ts';
import { fileError, internal } from '../errors.ts';
import { initLeaf, leafCapacity, leafInsert, type NewAttribute, newRecordBytes } from './leaf.ts';
import { writeRemote } from './remote.ts';
import { ShortformWriter, shortform } from './shortform.ts';
import { initNode, nodeInsert, setSiblings } from './tree.ts';
import { assertStorable } from './write.ts';

/** An attribute to store: namespace bit, name without prefix, value. */
export interface AttributeEntry {
  flags: number;
  name: Uint8Array;
  value: Uint8Array;
}

/**
 * Bytes of the shortform of these attributes, or undefined when they cannot be one whatever the room: lets the file
 * layer choose the fork offset before it calls `buildAttributes`.
 */
export function shortformBytesOf(entries: readonly AttributeEntry[]): number | undefined {
  if (entries.length > 255) return undefined;
  let size: number = AttrShortHeader.size;
  for (const { name, value } of entries) {
    if (name.length > MAX_SHORTFORM_FIELD || value.length > MAX_SHORTFORM_FIELD) return undefined;
    size += 3 + name.length + value.length;
  }
  return size;
}

/**
 * Store all attributes of a fork that has none. The same entries in the same order give the same bytes.
 * Throws the errors of `setAttribute`, and EEXIST when two entries are the same attribute.
 */
export function buildAttributes(fork: ForkBlocks, entries: readonly AttributeEntry[]): void {
  const local = shortform(fork);
  if (local ? local.getUint8(2) !== 0 : fork.find(0, ATTR_ROOT) !== undefined) {
    throw internal('buildAttributes: the fork has attributes');
  }
  const items = entries.map(({ flags, name, value }): NewAttribute => {
    assertStorable(flags, name, value.length);
    return { hash: attrHash(flags, name, 0, name.length, value), flags, name, value, valueBlock: 0 };
  });
  // Array.sort is stable: equal hashes stay in the caller's order.
  const sorted = items.slice().sort((a, b) => a.hash - b.hash);
  refuseTwins(sorted);
  const size = shortformBytesOf(entries);
  if (size !== undefined && size <= fork.localCapacity) {
    const writer = new ShortformWriter(size);
    for (const { flags, name, value } of items) writer.add(flags, name, value);
    fork.setLocal(writer.finish());
    return;
  }
  if (local) fork.clearLocal();
  buildBlocks(fork, sorted);
}

function refuseTwins(sorted: readonly NewAttribute[]): void {
  for (let i = 1; i < sorted.length; i++) {
    const item = sorted[i]!;
    for (let k = i - 1; k >= 0 && sorted[k]!.hash === item.hash; k--) {
      const other = sorted[k]!;
      if (other.flags !== item.flags || !equal(other.name, item.name)) continue;
      if ((item.flags & ATTR.PARENT) === 0 || equal(other.value, item.value))
        throw fileError('EEXIST', 'attribute given twice');
    }
  }
}
const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

function buildBlocks(fork: ForkBlocks, sorted: readonly NewAttribute[]): void {
  const starts = cutIntoLeaves(sorted, fork.blockBytes);
  const leaves = starts.length;
  // Blocks per node level above the leaves; the last level is the root, at block 0.
  const max = maxDaNodeEntries(fork.blockBytes);
  const levels: number[] = [];
  for (let below = leaves; below > 1; below = levels.at(-1)!) levels.push(Math.ceil(below / max));
  const firstLeaf = leaves === 1 ? 0 : 1;
  const nodes = levels.slice(0, -1).reduce((sum, count) => sum + count, 0);
  let valueBlock = firstLeaf + leaves + nodes;
  for (const item of sorted) {
    if (isLocalSized(item.name.length, item.value.length, fork.blockBytes)) continue;
    item.valueBlock = valueBlock;
    valueBlock += remoteBlocks(item.value.length, fork.blockBytes);
  }
  const keys = buildLeaves(fork, sorted, starts, firstLeaf);
  buildNodes(fork, keys, levels, firstLeaf);
  for (const item of sorted) if (item.valueBlock !== 0) writeRemote(fork, item.valueBlock, item.value);
}

/** First item of each leaf, every leaf filled as far as it goes. */
function cutIntoLeaves(sorted: readonly NewAttribute[], blockSize: number): number[] {
  const starts: number[] = [0];
  let room = leafCapacity(blockSize);
  for (let i = 0; i < sorted.length; i++) {
    const bytes = AttrLeafEntry.size + newRecordBytes(sorted[i]!, blockSize);
    if (bytes > room) {
      starts.push(i);
      room = leafCapacity(blockSize);
    }
    room -= bytes;
  }
  return starts;
}

/** @returns the greatest hash of each leaf. */
function buildLeaves(
  fork: ForkBlocks,
  sorted: readonly NewAttribute[],
  starts: readonly number[],
  first: number,
): number[] {
  const keys: number[] = [];
  for (let k = 0; k < starts.length; k++) {
    const start = starts[k]!;
    const end = starts[k + 1] ?? sorted.length;
    const leaf = fork.create(first + k, ATTR_LEAF);
    initLeaf(leaf, fork);
    setSiblings(leaf.view, k === 0 ? 0 : first + k - 1, k === starts.length - 1 ? 0 : first + k + 1);
    for (let i = start; i < end; i++) leafInsert(leaf, i - start, sorted[i]!);
    keys.push(sorted[end - 1]!.hash);
  }
  return keys;
}

function buildNodes(fork: ForkBlocks, leafKeys: number[], levels: readonly number[], firstLeaf: number): void {
  let keys = leafKeys;
  let child = firstLeaf;
  let next = firstLeaf + leafKeys.length;
  levels.forEach((count, i) => {
    const root = i === levels.length - 1;
    const first = root ? 0 : next;
    // Spread evenly: no node of the level ends up nearly empty.
    const above: number[] = [];
    for (let k = 0; k < count; k++) {
      const start = Math.floor((k * keys.length) / count);
      const end = Math.floor(((k + 1) * keys.length) / count);
      const node = fork.create(first + k, DA_NODE);
      initNode(node, fork, i + 1);
      setSiblings(node.view, k === 0 ? 0 : first + k - 1, k === count - 1 ? 0 : first + k + 1);
      for (let c = start; c < end; c++) nodeInsert(node, c - start, keys[c]!, child + c);
      above.push(keys[end - 1]!);
    }
    child = first;
    next += root ? 0 : count;
    keys = above;
  });
}
