/**
 * Blocks for all new trees of an AG and its free list. What the trees take changes what two of them say: free space gets
 * smaller, and the reverse map records the trees' own blocks. So: take, count, take the difference, until it suffices; a
 * block too many goes on the free list.
 */
import { RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { bulkShape, TREE_TYPES } from '../../btree/btree.ts';
import { ExtentTable, SPECIAL } from '../../check/claims.ts';
import { RunList } from '../../check/rows.ts';
import type { TreeName } from '../../space/allocation-group.ts';
import { keptListLength } from '../../space/free-list.ts';
import type { FreeMap } from './free-map.ts';
import { asSet, subtract } from './runs.ts';

/** Records of each tree, as far as they do not depend on where the trees are; undefined: the image has no such tree. */
export interface TreeCounts {
  readonly inobt: number;
  readonly finobt: number | undefined;
  readonly refcountbt: number | undefined;
  readonly csumbt: number | undefined;
  /** Reverse-map records of everything but the trees and the free list. */
  readonly rmapbt: number | undefined;
}

export interface Placement {
  /** Blocks of each tree, leaves first; undefined: no such tree. */
  readonly pointers: { readonly [N in TreeName]?: readonly number[] };
  readonly freeList: readonly number[];
  /** Free runs that are left. */
  readonly free: RunList;
  /** Rows of the reverse map for trees and free list, sorted. */
  readonly own: ExtentTable;
  readonly leafSlack: { readonly [N in TreeName]?: number };
  /** A new tree stands where the old checksum tree stands. */
  readonly overChecksums: boolean;
}

/** Trees whose owner in the reverse map is their own; the others and the free list belong to the AG. */
const OWNED = [
  ['inobt', RMAP_OWNER.INOBT],
  ['finobt', RMAP_OWNER.INOBT],
  ['refcountbt', RMAP_OWNER.REFC],
  ['csumbt', RMAP_OWNER.CSUM],
] as const;

/** Leaves have one place in so many free, where there is room, so that the first insertions split nothing. */
const SLACK = 16;
/** There is room when free space holds this many times what the trees need. */
const ROOMY = 4;
/**
 * @param unclaimed all blocks that nobody claims, free list and old trees included. Throws `noSpace`.
 */
export function placeTrees(
  geometry: Geometry,
  ag: number,
  counts: TreeCounts,
  unclaimed: RunList,
  map: FreeMap,
): Placement {
  return new TreePlacement(geometry, ag, counts, unclaimed, map).run();
}

class TreePlacement {
  readonly #geometry: Geometry;
  readonly #ag: number;
  readonly #counts: TreeCounts;
  readonly #unclaimed: RunList;
  readonly #map: FreeMap;
  /** What was taken, in order of address. */
  #taken = new RunList();
  #slack: boolean;
  #overChecksums = false;

  constructor(geometry: Geometry, ag: number, counts: TreeCounts, unclaimed: RunList, map: FreeMap) {
    this.#geometry = geometry;
    this.#ag = ag;
    this.#counts = counts;
    this.#unclaimed = unclaimed;
    this.#map = map;
    this.#slack = true;
    const least = this.#sizes(unclaimed.length, counts.rmapbt).total;
    this.#slack = map.freeIn(ag) >= ROOMY * least;
  }

  run(): Placement {
    const { rmapbt } = this.#counts;
    const slots = this.#geometry.agflSlots;
    let free = this.#unclaimed;
    let own = new ExtentTable();
    let full = false;
    for (;;) {
      const sizes = this.#sizes(free.length, rmapbt === undefined ? undefined : rmapbt + own.length);
      const have = this.#taken.blocks;
      const spare = have - sizes.total;
      if (spare > slots) this.#giveBack(spare - sizes.freeList);
      else if (spare >= 0 && (spare >= sizes.freeList || full)) return this.#share(sizes, free, own);
      else {
        const missing = sizes.freeList - spare;
        // The free list may stay shorter than it should be: it is filled when there is room again.
        const got = this.#take(missing);
        full = got < missing;
        if (have + got < sizes.total) throw this.#map.shortage(sizes.total - have - got, this.#ag);
      }
      this.#taken = asSet(this.#taken);
      free = subtract(this.#unclaimed, this.#taken);
      own = this.#rows(sizes);
    }
  }

  #giveBack(count: number): void {
    const taken = this.#taken;
    for (let left = count; left > 0; ) {
      const last = taken.length - 1;
      const blocks = Math.min(left, taken.count[last]!);
      taken.count[last]! -= blocks;
      const block = taken.start[last]! + taken.count[last]!;
      this.#map.giveBack(this.#geometry.fsBlock(this.#ag, block), blocks);
      if (taken.count[last] === 0) taken.length--;
      left -= blocks;
    }
  }

  /** Take up to `count` blocks; returns how many there were. */
  #take(count: number): number {
    let got = 0;
    while (got < count) {
      const near = this.#taken.length > 0 ? this.#taken.start[this.#taken.length - 1]! : this.#geometry.headerBlocks;
      const run = this.#map.takeIn(this.#ag, 1, count - got, near, { desperate: true, overChecksums: true });
      if (!run) break;
      this.#overChecksums ||= run.over === 'checksums';
      this.#taken.push(this.#geometry.agBlockOfFsBlock(run.fsBlock), run.blockCount);
      got += run.blockCount;
    }
    return got;
  }

  #leafSlack(name: TreeName): number {
    return this.#slack ? Math.floor(this.#geometry.btree[name].maxLeaf / SLACK) : 0;
  }

  /** Blocks of every tree when there are so many free runs and reverse-map records. */
  #sizes(freeRuns: number, rmaps: number | undefined): Sizes {
    const { inobt, finobt, refcountbt, csumbt } = this.#counts;
    const shape = (name: TreeName, records: number | undefined): { blocks: number; height: number } =>
      records === undefined
        ? { blocks: 0, height: 0 }
        : bulkShape(TREE_TYPES[name], this.#geometry, records, { leafSlack: this.#leafSlack(name) });
    const shapes = {
      bnobt: shape('bnobt', freeRuns),
      cntbt: shape('cntbt', freeRuns),
      rmapbt: shape('rmapbt', rmaps),
      inobt: shape('inobt', inobt),
      finobt: shape('finobt', finobt),
      refcountbt: shape('refcountbt', refcountbt),
      csumbt: shape('csumbt', csumbt),
    };
    let total = 0;
    const blocks: { [N in TreeName]: number } = {
      bnobt: 0,
      cntbt: 0,
      rmapbt: 0,
      inobt: 0,
      finobt: 0,
      refcountbt: 0,
      csumbt: 0,
    };
    for (const name of Object.keys(shapes) as TreeName[]) {
      blocks[name] = shapes[name].blocks;
      total += shapes[name].blocks;
    }
    const levels = {
      bnoLevel: shapes.bnobt.height,
      cntLevel: shapes.cntbt.height,
      rmapLevel: shapes.rmapbt.height,
    };
    return { blocks, total, freeList: keptListLength({ geometry: this.#geometry, agf: levels }) };
  }

  /** Reverse-map rows of what was taken. The sizes of trees that are not the AG's own never change. */
  #rows(sizes: Sizes): ExtentTable {
    const own = new ExtentTable();
    const blocks = new BlockWalk(this.#taken);
    for (const [name, owner] of OWNED) {
      for (let i = 0; i < sizes.blocks[name]; i++) own.add(blocks.next(), 1, SPECIAL, owner, 0, 0);
    }
    while (blocks.more) own.add(blocks.next(), 1, SPECIAL, RMAP_OWNER.AG, 0, 0);
    own.sort();
    return own;
  }

  #share(sizes: Sizes, free: RunList, own: ExtentTable): Placement {
    const blocks = new BlockWalk(this.#taken);
    const pointers: { [N in TreeName]?: number[] } = {};
    const leafSlack: { [N in TreeName]?: number } = {};
    for (const name of [...OWNED.map(([each]) => each), 'bnobt', 'cntbt', 'rmapbt'] as const) {
      if (sizes.blocks[name] === 0) continue;
      pointers[name] = blocks.take(sizes.blocks[name]);
      leafSlack[name] = this.#leafSlack(name);
    }
    const freeList: number[] = [];
    while (blocks.more) freeList.push(blocks.next());
    return { pointers, freeList, free, own, leafSlack, overChecksums: this.#overChecksums };
  }
}

interface Sizes {
  readonly blocks: { readonly [N in TreeName]: number };
  /** Blocks of all trees. */
  readonly total: number;
  /** Blocks the free list should have. */
  readonly freeList: number;
}

/** The blocks of ascending runs, one by one. */
class BlockWalk {
  readonly #runs: RunList;
  #run = 0;
  #in = 0;

  constructor(runs: RunList) {
    this.#runs = runs;
  }

  get more(): boolean {
    return this.#run < this.#runs.length;
  }

  next(): number {
    const block = this.#runs.start[this.#run]! + this.#in;
    if (++this.#in === this.#runs.count[this.#run]) {
      this.#run++;
      this.#in = 0;
    }
    return block;
  }

  take(count: number): number[] {
    return Array.from({ length: count }, () => this.next());
  }
}
