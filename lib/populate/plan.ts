/**
 * How much room a host tree needs: counted before anything is written, so that a source that does not fit is refused at
 * once and `--size auto` can choose. The count walks the tree once and keeps nothing of it.
 */

import { remoteBlocks } from '../../formats/attribute.ts';
import { dirEntrySize } from '../../formats/directory.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { InodeCore } from '../../formats/inode.ts';
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
  /** Trees that grow with the content: reverse map, checksums, inode trees. */
  trees: number;
  total: number;
}

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
  readonly #linked = new Set<string>();
  #extents = 0;

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** Walk the tree from its root. */
  static measure(tree: HostTree, geometry: Geometry): TreePlan {
    const plan = new TreePlan(geometry);
    const pending: HostEntry[] = [tree.root];
    for (let directory = pending.pop(); directory; directory = pending.pop()) {
      const entries = tree.readDirectory(directory);
      plan.#directory(directory, entries);
      for (const entry of entries) {
        if (entry.directory) pending.push(entry);
        else plan.#leaf(entry);
      }
    }
    plan.#finish();
    return plan;
  }

  #directory(directory: HostEntry, entries: readonly HostEntry[]): void {
    const { dirBlockSize, dirBlockBlocks } = this.#geometry;
    this.totals.directories++;
    this.#inode(directory);
    let bytes = 32;
    let local = 10;
    for (const { name } of entries) {
      bytes += dirEntrySize(name.length) + 8;
      local += name.length + 8;
    }
    if (local <= 150) return;
    // Data and hash index together, a little slack for what does not tile, one block each for the index roots.
    const blocks = bytes + 72 <= dirBlockSize ? 1 : Math.ceil((bytes * 1.06) / (dirBlockSize - 64)) + 3;
    this.need.directories += blocks * dirBlockBlocks;
    this.#extents += blocks;
  }

  #leaf(entry: HostEntry): void {
    if (entry.nlink > 1) {
      const key = entry.linkKey;
      if (this.#linked.has(key)) return;
      this.#linked.add(key);
    }
    this.#inode(entry);
    const { blockSize } = this.#geometry;
    if (entry.type === 'file') {
      this.totals.files++;
      const whole = Math.ceil(entry.size / blockSize);
      const allocated = Math.ceil((entry.blocks * 512) / blockSize);
      // A sparse file needs what the host has allocated for it, and a block of slack for every piece of it.
      const blocks = entry.blocks * 512 < entry.size ? Math.min(whole, Math.ceil(allocated * 1.02) + 2) : whole;
      this.totals.dataBytes += Math.min(entry.size, Math.max(entry.blocks * 512, 0) || entry.size);
      this.need.data += blocks;
      if (blocks > 0) this.#extents += 1 + Math.floor(blocks / 256);
    } else if (
      entry.type === 'symlink' &&
      entry.target &&
      entry.target.length > this.#geometry.inodeSize - InodeCore.size
    ) {
      this.need.data += 1 + Math.floor(entry.target.length / blockSize);
      this.#extents++;
    }
  }

  #inode(entry: HostEntry): void {
    this.totals.inodes++;
    this.totals.newestSeconds = Math.max(this.totals.newestSeconds, entry.mtime.seconds);
    const { blockSize } = this.#geometry;
    let bytes = 0;
    for (const { name, value } of entry.xattrs) {
      if (value.length >= blockSize / 2) this.need.attributes += remoteBlocks(value.length, blockSize);
      else bytes += name.length + value.length;
      bytes += 24;
    }
    if (bytes > 140) this.need.attributes += 1 + Math.ceil((bytes * 1.5) / blockSize);
  }

  #finish(): void {
    const { need, totals } = this;
    const { blockSize, features, chunkBlocks, chunkInodes, agCount } = this.#geometry;
    const chunks = Math.ceil((totals.inodes + 3) / chunkInodes) + agCount;
    need.inodes = chunks * chunkBlocks;
    const perBlock = (bytes: number) => Math.floor((blockSize - 56) / bytes / 2); // blocks at least half full
    let trees = 2 * Math.ceil((chunks * (chunkInodes / 64)) / perBlock(16));
    if (features.rmapbt) trees += Math.ceil((this.#extents + chunks) / perBlock(24)) * 1.05;
    if (features.dataChecksums) trees += Math.ceil((need.data / 14 + this.#extents) / perBlock(64)) * 1.05;
    need.trees = Math.ceil(trees) + 8 * agCount;
    need.total = need.data + need.directories + need.attributes + need.inodes + need.trees;
  }
}
