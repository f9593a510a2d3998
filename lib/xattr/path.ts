/**
 * The way from block 0 of an attribute fork to one of its leaves, and steps from leaf to leaf.
 *
 * 1. Addresses are kept, never buffers; every access fetches the block again and checks its owner.
 * 2. It ends on hostile input: going down, levels fall by exactly one; going right, each leaf must be the one the
 *    sibling pointers name on both sides, so no leaf can come twice (a second visit would need two `back` values).
 */
import { ATTR_LEAF, ATTR_ROOT } from '../../formats/attribute.ts';
import { DA_NODE, DA_NODE_MAGIC, DaHeader, DaNode, hashLowerBound } from '../../formats/da.ts';
import { getU64 } from '../../formats/struct.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { corrupt } from '../errors.ts';
import { leafCount, leafHash, leafLowerBound, leafMatches } from './leaf.ts';

const da = DaHeader.offsets;
const NODE_COUNT = DaNode.offsets.count;
const NODE_LEVEL = DaNode.offsets.level;
const ENTRY = 8;

export const isNode = (view: DataView): boolean => view.getUint16(da.magic) === DA_NODE_MAGIC;
export const nodeCount = (view: DataView): number => view.getUint16(NODE_COUNT);
export const nodeLevel = (view: DataView): number => view.getUint16(NODE_LEVEL);
export const nodeHash = (view: DataView, i: number): number => view.getUint32(DaNode.size + i * ENTRY);
export const nodeChild = (view: DataView, i: number): number => view.getUint32(DaNode.size + i * ENTRY + 4);
export const forwOf = (view: DataView): number => view.getUint32(da.forw);
export const backOf = (view: DataView): number => view.getUint32(da.back);
/** Owner of a verified da block. */
export const ownerOf = (view: DataView): number => getU64(view, da.owner);

export class Path<F extends ForkReader = ForkReader> {
  readonly fork: F;
  /** Levels of nodes above the leaf; 0 when block 0 is the leaf. */
  depth = 0;
  /** File blocks: nodes at 0 .. depth-1, the leaf at `depth`. */
  readonly blocks: number[] = [0];
  /** Entry taken in each node. */
  readonly slots: number[] = [];
  /** Entry in the leaf: where `find` found it. */
  entry = 0;

  constructor(fork: F) {
    this.fork = fork;
  }

  get leafBlock(): number {
    return this.blocks[this.depth]!;
  }
  leaf(): Buffer {
    return this.depth === 0 ? this.root() : this.block(this.leafBlock, ATTR_LEAF);
  }
  node(d: number): Buffer {
    return d === 0 ? this.root() : this.block(this.blocks[d]!, DA_NODE);
  }

  /** Block 0, its type settled as leaf or node. */
  root(): Buffer {
    const buffer = this.block(0, ATTR_ROOT);
    buffer.type = isNode(buffer.view) ? DA_NODE : ATTR_LEAF;
    return buffer;
  }

  /** A leaf or node of this fork; throws `corrupt` when there is none or it is another inode's. */
  block(fileBlock: number, type: typeof ATTR_LEAF): Buffer {
    const buffer = this.fork.find(fileBlock, type);
    if (!buffer) throw this.#corrupt('ATTR_HOLE', 'no block is mapped', fileBlock);
    const owner = ownerOf(buffer.view);
    if (owner !== this.fork.inode)
      throw this.#corrupt('BAD_OWNER', `owner is ${owner}, expected ${this.fork.inode}`, fileBlock);
    return buffer;
  }

  /**
   * Go to the first leaf that can hold `hash`: the leftmost whose greatest hash is not below it, or the last leaf.
   * @returns false when the fork has no block 0.
   */
  descend(hash: number): boolean {
    if (this.fork.find(0, ATTR_ROOT) === undefined) return false;
    this.depth = 0;
    this.#down(0, hash);
    return true;
  }

  /** From `blocks[d]` down to a leaf, taking in each node the first entry whose hash is at least `hash`. */
  #down(d: number, hash: number): void {
    let level = d === 0 ? -1 : nodeLevel(this.node(d - 1).view);
    for (; ; d++) {
      const block = d === 0 ? 0 : this.blocks[d]!;
      if (d > 0 && block === 0) throw this.#corrupt('ATTR_NODE', 'a node points at block 0', this.blocks[d - 1]!);
      if (level === 1) break;
      const { view } = d === 0 ? this.root() : this.block(block, DA_NODE);
      if (d === 0 && !isNode(view)) break;
      const own = nodeLevel(view);
      if (level >= 0 && own !== level - 1)
        throw this.#corrupt('ATTR_NODE', `level is ${own}, expected ${level - 1}`, block);
      level = own;
      const count = nodeCount(view);
      const slot = Math.min(hashLowerBound(view, DaNode.size, count, hash), count - 1);
      this.blocks[d] = block;
      this.slots[d] = slot;
      this.blocks[d + 1] = nodeChild(view, slot);
    }
    if (d === 0) this.blocks[0] = 0;
    this.depth = d;
  }

  /** Step to the next leaf; false at the end. Start of the walk must be given to catch a ring. */
  nextLeaf(start: number): boolean {
    const from = this.leafBlock;
    const forw = forwOf(this.leaf().view);
    let d = this.depth - 1;
    while (d >= 0 && this.slots[d]! + 1 >= nodeCount(this.node(d).view)) d--;
    if (d < 0) {
      if (forw !== 0) throw this.#corrupt('ATTR_SIBLINGS', `forw is ${forw} in the last leaf`, from);
      return false;
    }
    this.slots[d]!++;
    this.blocks[d + 1] = nodeChild(this.node(d).view, this.slots[d]!);
    this.#down(d + 1, 0);
    const next = this.leafBlock;
    const back = backOf(this.leaf().view);
    if (next !== forw || back !== from || next === start) {
      throw this.#corrupt(
        'ATTR_SIBLINGS',
        `leaf ${from} names ${forw} as next, the nodes ${next}, which names ${back}`,
        next,
      );
    }
    return true;
  }

  /** Go to an attribute: path and `entry` name it. False when it does not exist; the path is then anywhere. */
  find(hash: number, flags: number, name: Uint8Array, value: Uint8Array | undefined): boolean {
    if (!this.descend(hash)) return false;
    const start = this.leafBlock;
    do {
      const { view } = this.leaf();
      const count = leafCount(view);
      let i = leafLowerBound(view, hash);
      for (; i < count && leafHash(view, i) === hash; i++) {
        if (leafMatches(view, i, flags, name, value)) {
          this.entry = i;
          return true;
        }
      }
      if (i < count) return false;
    } while (this.nextLeaf(start));
    return false;
  }

  #corrupt(code: string, message: string, fileBlock: number) {
    return corrupt(code, `attribute fork: ${message}`, { where: { inode: this.fork.inode, fileBlock } });
  }
}
