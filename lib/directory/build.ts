/**
 * A whole directory at once, in the smallest form that holds it: used to populate, to repair and to compact.
 *
 * Data blocks are filled in the order of the entries; the hash index is sorted once; index leaves are filled evenly and
 * the node levels are laid over them bottom up:
 *
 *     index space:  root | leaf 0 .. leaf n-1 | nodes of level 1 .. | nodes of level 2 .. |
 */
import { DA_MAX_DEPTH, DA_NODE, DaHeader, DaNode, maxDaNodeEntries } from '../../formats/da.ts';
import {
  blockIndexBytes,
  DIR_BLOCK,
  DIR_DATA,
  DIR_DOT_OFFSET,
  DIR_DOTDOT_OFFSET,
  DIR_FIRST_OFFSET,
  DIR_FREE,
  DIR_LEAF1,
  DIR_LEAFN,
  dirEntrySize,
  dirFreeSlots,
  MAX_FTYPE,
  maxLeaf1Entries,
  maxLeafNEntries,
  shortDirSize,
  verifyShortDir,
} from '../../formats/directory.ts';
import { FTYPE } from '../../formats/inode.ts';
import type { ForkBlocks, ForkReader } from '../buffer/fork-blocks.ts';
import { fileError, internal, noSpace } from '../errors.ts';
import { clearData, longestFree, writeEntry } from './data-block.ts';
import { fillFreeBlock } from './free-index.ts';
import { LEAF_BASE, setLeafCounts } from './hash-leaf.ts';
import { orderByHash } from './hash-sort.ts';
import { at, create, dataPointer, directoryHash, freeAllBlocks, freeStart, leafStart, updateSize } from './layout.ts';
import { checkName, nameKey } from './names.ts';
import { buildShort, type DirectoryEntry, type PlacedEntry, shortBytes } from './short-form.ts';

const DOT = Uint8Array.of(0x2e);
const DOTDOT = Uint8Array.of(0x2e, 0x2e);

/** Where every entry goes: data block and offset, and the sorted hash index ("." and ".." included). */
interface Plan {
  dataBlocks: number;
  /** Entries before each data block, and all of them at the end. */
  firsts: number[];
  /** By hash. */
  hashes: Uint32Array;
  pointers: Uint32Array;
}

/**
 * Write a directory: whatever the fork held is freed (without being read) and replaced.
 * @param self inode number for ".". @param parent for "..". @param entries all others, in the order to store them;
 * names must be valid and all different (EEXIST), inode numbers exist.
 * When blocks run out, ENOSPC: what was made is freed again and a fork that was local gets its old bytes back.
 */
export function buildDirectory(
  fork: ForkBlocks,
  self: number,
  parent: number,
  entries: readonly DirectoryEntry[],
): void {
  for (const { name, ftype } of entries) {
    checkName(name);
    if (!(ftype >= 0 && ftype <= MAX_FTYPE)) throw internal(`directory entry type ${ftype}`);
  }
  const plan = makePlan(fork, entries);
  const local = fork.local();
  const old = local && copyShort(fork, local);
  const short = buildShort(parent, unplaced(fork, entries), fork.localCapacity, fork.blockBytes);
  if (!local) freeAllBlocks(fork);
  if (short) {
    fork.setLocal(short);
    fork.setSize(short.length);
    return;
  }
  if (local) fork.clearLocal();
  try {
    writeBlocks(fork, plan, self, parent, entries);
    updateSize(fork);
  } catch (error) {
    freeAllBlocks(fork);
    if (old) {
      fork.setLocal(old);
      fork.setSize(old.length);
    }
    throw error;
  }
}

/** How many directory blocks `buildDirectory` would take for these entries; 0 when they fit into the inode. */
export function builtBlocks(fork: ForkReader, entries: readonly DirectoryEntry[]): number {
  const size = fork.blockBytes;
  if (buildShort(0, unplaced(fork, entries), fork.localCapacity, size)) return 0;
  const count = entries.length + 2;
  let dataBlocks = 1;
  let offset: number = DIR_FIRST_OFFSET;
  for (const { name } of entries) {
    const bytes = dirEntrySize(name.length);
    if (offset + bytes > size) {
      dataBlocks++;
      offset = DIR_DOT_OFFSET;
    }
    offset += bytes;
  }
  if (dataBlocks === 1 && offset <= size - blockIndexBytes(entries.length)) return 1;
  if (count <= maxLeaf1Entries(size, dataBlocks)) return dataBlocks + 1;
  let level = Math.ceil(count / maxLeafNEntries(size));
  let index = level;
  while (level > 1) {
    level = Math.ceil(level / maxDaNodeEntries(size));
    index += level;
  }
  return dataBlocks + index + Math.ceil(dataBlocks / dirFreeSlots(size));
}

/** The old local bytes, or undefined when they are not a short form: then there is nothing to go back to. */
function copyShort(fork: ForkBlocks, view: DataView): Uint8Array | undefined {
  return verifyShortDir(view, fork.geometry) ? undefined : shortBytes(view).slice(0, shortDirSize(view));
}

/** Entries for the short form; none when there are obviously too many, so that big directories are not copied. */
function unplaced(fork: ForkReader, entries: readonly DirectoryEntry[]): PlacedEntry[] {
  const few = entries.length * 9 <= fork.localCapacity;
  const list = few ? entries : entries.slice(0, Math.floor(fork.localCapacity / 9) + 1);
  return list.map(({ name, inode, ftype }) => ({ name, inode, ftype, offset: 0 }));
}

function makePlan(fork: ForkBlocks, entries: readonly DirectoryEntry[]): Plan {
  const count = entries.length + 2;
  const hashes = new Uint32Array(count);
  const pointers = new Uint32Array(count);
  hashes[0] = directoryHash(fork, DOT);
  hashes[1] = directoryHash(fork, DOTDOT);
  pointers[0] = dataPointer(fork, 0, DIR_DOT_OFFSET);
  pointers[1] = dataPointer(fork, 0, DIR_DOTDOT_OFFSET);
  const firsts = [0];
  let dataBlock = 0;
  let offset: number = DIR_FIRST_OFFSET;
  for (let i = 0; i < entries.length; i++) {
    const { name } = entries[i]!;
    const size = dirEntrySize(name.length);
    if (offset + size > fork.blockBytes) {
      dataBlock++;
      firsts.push(i);
      offset = DIR_DOT_OFFSET;
    }
    hashes[i + 2] = directoryHash(fork, name);
    pointers[i + 2] = dataPointer(fork, dataBlock, offset);
    offset += size;
  }
  const dataBlocks = dataBlock + 1;
  if (dataBlocks * fork.blockBlocks > leafStart(fork)) throw noSpace('directory is larger than 32 GiB', at(fork));
  firsts.push(entries.length);
  const order = orderByHash(hashes);
  refuseDuplicates(fork, entries, hashes, order);
  return {
    dataBlocks,
    firsts,
    hashes: hashes.map((_, i) => hashes[order[i]!]!),
    pointers: pointers.map((_, i) => pointers[order[i]!]!),
  };
}

/** Equal names have equal hashes: only runs of those are looked at. */
function refuseDuplicates(
  fork: ForkBlocks,
  entries: readonly DirectoryEntry[],
  hashes: Uint32Array,
  order: Uint32Array,
): void {
  const fold = fork.geometry.features.asciiCi;
  for (let i = 1, start = 0; i <= order.length; i++) {
    if (i < order.length && hashes[order[i]!] === hashes[order[start]!]) continue;
    if (i - start > 1) {
      const seen = new Set<string>();
      let names = 0;
      for (let k = start; k < i; k++) {
        const index = order[k]! - 2;
        if (index < 0) continue;
        seen.add(nameKey(entries[index]!.name, fold));
        if (seen.size < ++names) throw fileError('EEXIST', 'two directory entries have the same name', at(fork));
      }
    }
    start = i;
  }
}

function writeBlocks(
  fork: ForkBlocks,
  plan: Plan,
  self: number,
  parent: number,
  entries: readonly DirectoryEntry[],
): void {
  const count = plan.hashes.length;
  const size = fork.blockBytes;
  if (plan.dataBlocks === 1) {
    const end = size - blockIndexBytes(entries.length);
    const used = entries.reduce((sum, { name }) => sum + dirEntrySize(name.length), DIR_FIRST_OFFSET);
    if (used <= end) {
      const { view } = writeData(fork, plan, 0, end, self, parent, entries);
      writeIndex(view, end, plan, 0, count);
      view.setUint32(size - 8, count);
      return;
    }
  }
  const bests = new Uint16Array(plan.dataBlocks);
  for (let i = 0; i < plan.dataBlocks; i++) {
    bests[i] = longestFree(writeData(fork, plan, i, size, self, parent, entries).view);
  }
  if (count <= maxLeaf1Entries(size, plan.dataBlocks)) {
    const { view } = create(fork, leafStart(fork), DIR_LEAF1);
    writeIndex(view, LEAF_BASE, plan, 0, count);
    setLeafCounts(view, count, 0);
    for (let i = 0; i < bests.length; i++) view.setUint16(size - 4 - 2 * (bests.length - i), bests[i]!);
    view.setUint32(size - 4, bests.length);
    return;
  }
  writeTree(fork, plan);
  const slots = dirFreeSlots(size);
  for (let first = 0, block = freeStart(fork); first < bests.length; first += slots, block += fork.blockBlocks) {
    const { view } = create(fork, block, DIR_FREE);
    fillFreeBlock(view, first, bests, first, Math.min(slots, bests.length - first));
  }
}

/** One data block (with `end` before its end: the block of block form). */
function writeData(
  fork: ForkBlocks,
  plan: Plan,
  dataBlock: number,
  end: number,
  self: number,
  parent: number,
  entries: readonly DirectoryEntry[],
): { view: DataView } {
  const type = end === fork.blockBytes ? DIR_DATA : DIR_BLOCK;
  const { view, data } = create(fork, dataBlock * fork.blockBlocks, type);
  let offset: number = DIR_DOT_OFFSET;
  if (dataBlock === 0) {
    writeEntry(view, data, DIR_DOT_OFFSET, DOT, self, FTYPE.DIR);
    writeEntry(view, data, DIR_DOTDOT_OFFSET, DOTDOT, parent, FTYPE.DIR);
    offset = DIR_FIRST_OFFSET;
  }
  for (let i = plan.firsts[dataBlock]!; i < plan.firsts[dataBlock + 1]!; i++) {
    const { name, inode, ftype } = entries[i]!;
    writeEntry(view, data, offset, name, inode, ftype);
    offset += dirEntrySize(name.length);
  }
  if (offset < end) clearData(view, end, offset);
  return { view };
}

function writeIndex(view: DataView, base: number, plan: Plan, from: number, count: number): void {
  for (let i = 0, place = base; i < count; i++, place += 8) {
    view.setUint32(place, plan.hashes[from + i]!);
    view.setUint32(place + 4, plan.pointers[from + i]!);
  }
}

/** Leaves, evenly filled, and the node levels over them. */
function writeTree(fork: ForkBlocks, plan: Plan): void {
  const count = plan.hashes.length;
  const root = leafStart(fork);
  const leaves = Math.ceil(count / maxLeafNEntries(fork.blockBytes));
  let next = leaves === 1 ? root : root + fork.blockBlocks;
  let keys: number[] = [];
  let blocks: number[] = [];
  for (let i = 0, from = 0; i < leaves; i++) {
    const share = Math.ceil((count - from) / (leaves - i));
    const { view } = create(fork, next, DIR_LEAFN);
    writeIndex(view, LEAF_BASE, plan, from, share);
    setLeafCounts(view, share, 0);
    chain(fork, view, next, i, leaves);
    from += share;
    keys.push(plan.hashes[from - 1]!);
    blocks.push(next);
    next += fork.blockBlocks;
  }
  for (let level = 1; blocks.length > 1; level++) {
    if (level > DA_MAX_DEPTH) throw noSpace('directory hash tree would be too deep', at(fork));
    const nodes = Math.ceil(blocks.length / maxDaNodeEntries(fork.blockBytes));
    if (nodes === 1) next = root;
    const upKeys: number[] = [];
    const upBlocks: number[] = [];
    for (let i = 0, from = 0; i < nodes; i++) {
      const share = Math.ceil((blocks.length - from) / (nodes - i));
      const { view } = create(fork, next, DA_NODE);
      view.setUint16(DaNode.offsets.count, share);
      view.setUint16(DaNode.offsets.level, level);
      for (let k = 0; k < share; k++) {
        view.setUint32(DaNode.size + 8 * k, keys[from + k]!);
        view.setUint32(DaNode.size + 8 * k + 4, blocks[from + k]!);
      }
      chain(fork, view, next, i, nodes);
      from += share;
      upKeys.push(keys[from - 1]!);
      upBlocks.push(next);
      next += fork.blockBlocks;
    }
    keys = upKeys;
    blocks = upBlocks;
  }
}

/** Sibling links of block `i` of `count` blocks that lie one behind the other. */
function chain(fork: ForkBlocks, view: DataView, dablk: number, i: number, count: number): void {
  if (i > 0) view.setUint32(DaHeader.offsets.back, dablk - fork.blockBlocks);
  if (i < count - 1) view.setUint32(DaHeader.offsets.forw, dablk + fork.blockBlocks);
}
