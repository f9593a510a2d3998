/**
 * How much room a host tree needs: counted before anything is written, so that a source that does not fit is refused at
 * once and `--size auto` can choose.
 *
 * 1. The count is never below what populate takes: where the layout follows from the input (data, directories, values of
 *    attributes) it is computed, where it depends on hashes or on the order of inserts (attribute leaves, trees) bounded.
 * 2. The walk's listings are kept for populate up to a bound, so that a tree of usual size is read from the host once.
 */

import {
  AttrLeafEntry,
  AttrLeafHeader,
  isLocalSized,
  localRecordBytes,
  remoteBlocks,
} from '../../formats/attribute.ts';
import { CSUM_PER_RECORD } from '../../formats/btree-blocks.ts';
import { maxDaNodeEntries } from '../../formats/da.ts';
import {
  blockIndexBytes,
  DIR_DOT_OFFSET,
  DIR_FIRST_OFFSET,
  dirEntrySize,
  dirFreeSlots,
  maxLeaf1Entries,
  maxLeafNEntries,
} from '../../formats/directory.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { InodeCore } from '../../formats/inode.ts';
import { symlinkBlocks } from '../../formats/symlink.ts';
import type { HostEntry, HostTree } from '../host/tree.ts';

/** What a tree holds, in units that do not depend on the image. */
export interface TreeTotals {
  inodes: number;
  directories: number;
  /** Bytes of data in regular files, holes left out. */
  dataBytes: number;
  files: number;
  /** Whole seconds of the latest modification time. */
  newestSeconds: number;
}

/** What the image needs for it, in blocks, by kind; each is an upper estimate. */
export interface Need {
  data: number;
  directories: number;
  attributes: number;
  inodes: number;
  /** Trees that grow with the content: reverse map, checksums, inode trees, extent trees of files in many pieces. */
  trees: number;
  total: number;
}

/** Entries whose listings are kept: some 400 bytes each. */
const KEPT_ENTRIES = 150_000;
/** A data fork beside attributes keeps at least this much; room for a short-form directory is not expected in it. */
const SMALL_FORK = 56;
/** Bytes of the data fork before the attributes, as a rule. */
const USUAL_FORK = 192;

/** Counts a tree for images with this geometry. */
export class TreePlan {
  readonly totals: TreeTotals = {
    inodes: 0,
    directories: 0,
    dataBytes: 0,
    files: 0,
    newestSeconds: Number.NEGATIVE_INFINITY,
  };
  readonly need: Need = { data: 0, directories: 0, attributes: 0, inodes: 0, trees: 0, total: 0 };
  readonly #geometry: Geometry;
  readonly #literal: number;
  readonly #linked = new Set<string>();
  readonly #listings = new Map<HostEntry, HostEntry[]>();
  #kept = 0;
  #extents = 0;
  /** Leaf blocks of extent trees. */
  #bmbtBlocks = 0;

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
    this.#literal = geometry.inodeSize - InodeCore.size;
  }

  /** Walk the tree from its root. */
  static measure(tree: HostTree, geometry: Geometry): TreePlan {
    const plan = new TreePlan(geometry);
    const pending: HostEntry[] = [tree.root];
    for (let directory = pending.pop(); directory; directory = pending.pop()) {
      const entries = tree.readDirectory(directory);
      plan.#keep(directory, entries);
      plan.#directory(directory, entries);
      for (const entry of entries) {
        if (entry.directory) pending.push(entry);
        else plan.#leaf(tree, entry);
      }
    }
    plan.#finish();
    return plan;
  }

  /** The entries of a directory as the count saw them, once; undefined when they were not kept. */
  takeListing(directory: HostEntry): HostEntry[] | undefined {
    const entries = this.#listings.get(directory);
    this.#listings.delete(directory);
    return entries;
  }

  /** Inodes that have to exist for it. */
  get inodes(): number {
    const { chunkInodes, chunkBlocks } = this.#geometry;
    return (this.need.inodes / chunkBlocks) * chunkInodes;
  }

  #keep(directory: HostEntry, entries: HostEntry[]): void {
    this.#kept += entries.length;
    if (this.#kept <= KEPT_ENTRIES) this.#listings.set(directory, entries);
  }

  #directory(directory: HostEntry, entries: readonly HostEntry[]): void {
    this.totals.directories++;
    this.#inode(directory);
    const { dirBlockSize, dirBlockBlocks } = this.#geometry;
    const fork = directory.xattrs.length > 0 ? SMALL_FORK : this.#literal;
    let local = 10;
    let dataBlocks = 1;
    let at: number = DIR_FIRST_OFFSET;
    for (const { name } of entries) {
      local += name.length + 12;
      const size = dirEntrySize(name.length);
      if (at + size > dirBlockSize) {
        dataBlocks++;
        at = DIR_DOT_OFFSET;
      }
      at += size;
    }
    if (local <= fork) return;
    const blocks =
      dataBlocks === 1 && at + blockIndexBytes(entries.length) <= dirBlockSize
        ? 1
        : dataBlocks + this.#indexBlocks(entries.length + 2, dataBlocks);
    this.need.directories += blocks * dirBlockBlocks;
    this.#extents += Math.min(blocks * dirBlockBlocks, 3 + Math.floor(blocks / 16));
  }

  /** Blocks of a directory's hash index and free index. */
  #indexBlocks(count: number, dataBlocks: number): number {
    const { dirBlockSize } = this.#geometry;
    if (count <= maxLeaf1Entries(dirBlockSize, dataBlocks)) return 1;
    let level = Math.ceil(count / maxLeafNEntries(dirBlockSize));
    let blocks = level + Math.ceil(dataBlocks / dirFreeSlots(dirBlockSize));
    do {
      level = Math.ceil(level / maxDaNodeEntries(dirBlockSize));
      blocks += level;
    } while (level > 1);
    return blocks;
  }

  #leaf(tree: HostTree, entry: HostEntry): void {
    if (entry.nlink > 1) {
      const key = entry.linkKey;
      if (this.#linked.has(key)) return;
      this.#linked.add(key);
    }
    this.#inode(entry);
    const { blockSize } = this.#geometry;
    if (entry.type === 'file') this.#file(tree, entry);
    else if (entry.target) {
      const room = entry.xattrs.length > 0 ? Math.min(USUAL_FORK, this.#literal) : this.#literal;
      if (entry.target.length <= room) return;
      const blocks = symlinkBlocks(entry.target.length, blockSize);
      this.need.data += blocks;
      this.#extents += blocks;
    }
  }

  #file(tree: HostTree, entry: HostEntry): void {
    this.totals.files++;
    const { blockSize } = this.#geometry;
    let blocks = Math.ceil(entry.size / blockSize);
    if (blocks === 0) return;
    let pieces = 1;
    if (entry.blocks * 512 >= entry.size || blocks === 1) this.totals.dataBytes += entry.size;
    else [blocks, pieces] = this.#sparse(tree, entry);
    this.need.data += blocks;
    // Long files may have to be laid in several pieces.
    pieces += Math.floor(blocks / 4096);
    this.#extents += pieces;
    if (pieces > 2) this.#bmbtBlocks += Math.ceil(pieces / (this.#geometry.btree.bmbt.maxLeaf / 2)) + 1;
  }

  /** Blocks and pieces of a file with holes: populate fills whole blocks around the data. */
  #sparse(tree: HostTree, entry: HostEntry): [number, number] {
    const { blockSize } = this.#geometry;
    const file = tree.openFile(entry);
    let blocks = 0;
    let pieces = 0;
    try {
      let end = 0;
      for (let data = file.nextSegment(0); data; data = file.nextSegment(end * blockSize)) {
        this.totals.dataBytes += data.length;
        const first = Math.max(end, Math.floor(data.offset / blockSize));
        end = Math.ceil((data.offset + data.length) / blockSize);
        blocks += end - first;
        pieces++;
      }
    } finally {
      file.close();
    }
    return [blocks, pieces];
  }

  #inode(entry: HostEntry): void {
    this.totals.inodes++;
    this.totals.newestSeconds = Math.max(this.totals.newestSeconds, entry.mtime.seconds);
    if (entry.xattrs.length > 0) this.#attributes(entry);
  }

  #attributes(entry: HostEntry): void {
    const { blockSize } = this.#geometry;
    let short = 4;
    let leaf = 0;
    let longest = 0;
    for (const { name, value } of entry.xattrs) {
      // ACLs are longer on disk than Linux shows them, by half at most.
      const length = name[1] === 0x79 ? Math.ceil(value.length * 1.5) : value.length;
      short += length > 254 ? this.#literal : 3 + name.length + length;
      const isLocal = isLocalSized(name.length, length, blockSize);
      const bytes = AttrLeafEntry.size + localRecordBytes(name.length, isLocal ? length : 8);
      if (!isLocal || length >= blockSize / 2) this.need.attributes += remoteBlocks(length, blockSize);
      leaf += bytes;
      longest = Math.max(longest, bytes);
    }
    if (short <= this.#literal - USUAL_FORK) return;
    // In hash order every leaf may stay as empty as the next attribute is long.
    const room = blockSize - AttrLeafHeader.size;
    const leaves = leaf <= room ? 1 : Math.ceil(Math.min((2 * leaf) / room, leaf / (room - longest))) + 1;
    this.need.attributes += leaves === 1 ? 1 : leaves + 1 + Math.ceil(leaves / (maxDaNodeEntries(blockSize) / 2));
    this.#extents += 2;
  }

  #finish(): void {
    const { need, totals } = this;
    const { blockSize, features, chunkBlocks, chunkInodes, agCount } = this.#geometry;
    const chunks = Math.ceil((totals.inodes + 3) / chunkInodes) + agCount;
    need.inodes = chunks * chunkBlocks;
    const perBlock = (bytes: number) => Math.floor((blockSize - 56) / bytes / 2); // blocks at least half full
    let trees = 2 * Math.ceil((chunks * (chunkInodes / 64)) / perBlock(16)) + this.#bmbtBlocks;
    if (features.rmapbt) trees += Math.ceil((this.#extents + chunks) / perBlock(24)) * 1.05;
    if (features.dataChecksums) trees += Math.ceil((need.data / CSUM_PER_RECORD + this.#extents) / perBlock(64)) * 1.05;
    need.trees = Math.ceil(trees) + 8 * agCount;
    need.total = need.data + need.directories + need.attributes + need.inodes + need.trees;
  }
}
