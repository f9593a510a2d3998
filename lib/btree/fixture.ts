/**
 * For tests and the benchmark of this folder: a geometry with any capacities, a block source over an image in memory,
 * and for every tree an order-preserving way to make a record out of a small number.
 */
import { BTREES, type BtreeLayout } from '../../formats/btree-blocks.ts';
import { CADASTRE } from '../../formats/dialect.ts';
import { writeExtent } from '../../formats/extent.ts';
import { BASIC_BLOCK, Geometry } from '../../formats/geometry.ts';
import { INCOMPAT, RO_COMPAT, Superblock } from '../../formats/superblock.ts';
import { BufferCache } from '../buffer/cache.ts';
import { DirectTransaction } from '../buffer/direct.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { MemoryDevice } from '../device/memory.ts';
import { noSpace } from '../errors.ts';
import { Btree, type BtreeRoot, bulkLoad, type InodeRoot, TREE_TYPES, type TreeBlocks } from './btree.ts';

export type TreeName = BtreeLayout['name'];
export const TREE_NAMES = Object.keys(BTREES) as TreeName[];

/** AG in which short-form test trees live. */
export const AG = 1;
/** Owner of bmbt test trees: an inode number above 2^32. */
export const INODE = 2 ** 33 + 77;

/** Two AGs of `agBlocks` blocks; capacities of all trees can be overridden to get high trees from few records. */
export function testGeometry(blockSize: number, agBlocks: number, maxLeaf?: number, maxNode?: number): Geometry {
  const sector = new DataView(new ArrayBuffer(512));
  const sb = Superblock.at(sector);
  sb.blocksize = blockSize;
  sb.blocklog = Math.log2(blockSize);
  sb.dblocks = 2 * agBlocks;
  sb.agblocks = agBlocks;
  sb.agblklog = Math.ceil(Math.log2(agBlocks));
  sb.agcount = 2;
  sb.sectsize = 512;
  sb.inodesize = 512;
  sb.inopblock = blockSize / 512;
  sb.inopblog = Math.log2(blockSize / 512);
  sb.inoalignmt = 4;
  sb.uuid = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  sb.featuresRoCompat = RO_COMPAT.FINOBT | RO_COMPAT.RMAPBT | RO_COMPAT.REFLINK | RO_COMPAT.INOBTCNT;
  sb.featuresIncompat = INCOMPAT.FTYPE | INCOMPAT.SPINODES | INCOMPAT.NREXT64;
  const geometry = new Geometry(sector, CADASTRE);
  if (maxLeaf === undefined && maxNode === undefined) return geometry;
  const btree = Object.fromEntries(
    TREE_NAMES.map((name) => {
      const own = geometry.btree[name];
      return [name, { maxLeaf: maxLeaf ?? own.maxLeaf, maxNode: maxNode ?? own.maxNode }];
    }),
  );
  return Object.create(geometry, { btree: { value: btree } }) as Geometry;
}

/** Bumps a pointer, reuses what was freed, and knows what is in use. */
export class TestBlocks implements TreeBlocks {
  readonly owner: number;
  readonly inUse = new Set<number>();
  /** Blocks that may still be handed out. */
  left = Number.POSITIVE_INFINITY;
  readonly #geometry: Geometry;
  readonly #long: boolean;
  readonly #freed: number[] = [];
  #next: number;

  constructor(geometry: Geometry, long: boolean) {
    this.owner = long ? INODE : AG;
    this.#geometry = geometry;
    this.#long = long;
    this.#next = geometry.headerBlocks + 2;
  }

  daddr(pointer: number): number {
    return this.#long ? this.#geometry.fsBlockToDaddr(pointer) : this.#geometry.agBlockToDaddr(AG, pointer);
  }
  allocate(_tx: Transaction, _near: number): number {
    if (this.left <= 0) throw noSpace('the test says so');
    this.left--;
    const agBlock = this.#freed.pop() ?? this.#next++;
    const pointer = this.#long ? this.#geometry.fsBlock(AG, agBlock) : agBlock;
    this.inUse.add(pointer);
    return pointer;
  }
  free(_tx: Transaction, pointer: number): void {
    if (!this.inUse.delete(pointer)) throw new Error(`block ${pointer} freed, but not in use`);
    this.left++;
    this.#freed.push(this.#long ? this.#geometry.agBlockOfFsBlock(pointer) : pointer);
  }
}

/** A root whose two fields are plain numbers. */
export class TestRoot implements BtreeRoot {
  block = 0;
  levels = 0;
  pointer(): number {
    return this.block;
  }
  height(): number {
    return this.levels;
  }
  set(_tx: Transaction, pointer: number, height: number): void {
    this.block = pointer;
    this.levels = height;
  }
}

/** A root in a fork of `bytes` bytes, with other bytes around it that nobody may touch. */
export class TestFork implements InodeRoot {
  static readonly GUARD = 0x5a;
  readonly #bytes: Uint8Array;
  readonly #length: number;
  constructor(length: number) {
    this.#length = length;
    this.#bytes = new Uint8Array(length + 32).fill(TestFork.GUARD);
  }
  view(): DataView {
    return new DataView(this.#bytes.buffer, 16, this.#length);
  }
  change(_tx: Transaction): void {}
  get intact(): boolean {
    return [...this.#bytes.subarray(0, 16), ...this.#bytes.subarray(16 + this.#length)].every(
      (b) => b === TestFork.GUARD,
    );
  }
}

export interface World {
  readonly name: TreeName;
  readonly geometry: Geometry;
  readonly device: MemoryDevice;
  readonly cache: BufferCache;
  readonly tx: DirectTransaction;
  readonly blocks: TestBlocks;
  readonly root: TestRoot | TestFork;
  readonly tree: Btree;
}

/** An empty tree of a kind. @param forkBytes size of the fork for a bmbt; otherwise it gets a root block. */
export function makeWorld(
  name: TreeName,
  geometry: Geometry,
  options: { forkBytes?: number; cacheBytes?: number } = {},
): World {
  const device = new MemoryDevice(geometry.blocks * geometry.blockSize);
  const cache = new BufferCache(device, geometry, options.cacheBytes);
  const tx = new DirectTransaction(cache);
  const blocks = new TestBlocks(geometry, BTREES[name].long);
  const root = options.forkBytes === undefined ? new TestRoot() : new TestFork(options.forkBytes);
  const tree = new Btree(TREE_TYPES[name], geometry, root, blocks);
  bulkLoad(tx, tree, 0, () => {});
  return { name, geometry, device, cache, tx, blocks, root, tree };
}

const OWNERS = [
  [0, 130],
  [2, 5],
  [0xffffffff, 0xfffffffb],
] as const;
const RMAP_FLAGS = [0, 0x80000000, 0xc0000000] as const;

/** The search key of record number `n`: grows with n. */
export function keyOf(name: TreeName, n: number): [number, number, number, number, number] {
  switch (name) {
    case 'cntbt':
      return [1 + Math.floor(n / 5), 100 + n, 0, 0, 0];
    case 'rmapbt': {
      // Three owners share each start; flags grow with the owner where an owner can have them.
      const owner = OWNERS[n % 3]!;
      const flags = n % 3 === 2 ? 0 : RMAP_FLAGS[Math.floor(n / 3) % 3]!;
      const placed = n % 3 !== 2 && (flags & 0x40000000) === 0;
      return [10 + Math.floor(n / 3), owner[0], owner[1], placed ? flags + 7 : flags, placed ? 0xfffffff0 : 0];
    }
    case 'bmbt':
      return [n * 0x40000 + 3, 0, 0, 0, 0];
    case 'refcountbt':
      return [n * 3 + 0x7ffffff0, 0, 0, 0, 0];
    default:
      return [n * 3 + 1, 0, 0, 0, 0];
  }
}

/** Record number `n` with a payload: whatever in the record is not key, derived from `value` (0..200). */
export function recordOf(name: TreeName, n: number, value: number): DataView {
  const view = new DataView(new ArrayBuffer(BTREES[name].recordSize));
  const key = keyOf(name, n);
  switch (name) {
    case 'cntbt':
      view.setUint32(0, key[1]);
      view.setUint32(4, key[0]);
      break;
    case 'rmapbt':
      view.setUint32(0, key[0]);
      view.setUint32(4, 1 + value * (value % 7));
      view.setUint32(8, key[1]);
      view.setUint32(12, key[2]);
      view.setUint32(16, key[3] | (value % 2 === 1 && key[1] < 0x80000000 ? 0x20000000 : 0));
      view.setUint32(20, key[4]);
      break;
    case 'bmbt':
      writeExtent(view, 0, key[0], 2 ** 45 + value, 1 + value, value % 2 === 1);
      break;
    default:
      view.setUint32(0, key[0]);
      for (let i = 4; i < view.byteLength; i += 4) view.setUint32(i, value + i);
  }
  return view;
}

/** The bytes of a record at a place, as text to compare. */
export function recordText(view: DataView, offset: number, size: number): string {
  return Buffer.from(view.buffer, view.byteOffset + offset, size).toString('hex');
}

/** Byte address of a tree block in the test image. */
export function byteAddress(world: World, pointer: number): number {
  return world.blocks.daddr(pointer) * BASIC_BLOCK;
}
