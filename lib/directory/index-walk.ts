/**
 * Reading a whole hash index for the checker, in any block form, trusting nothing: every block is visited once, levels
 * go down by one, keys are the greatest hashes below them, siblings are chained, hashes never go down.
 */
import type { BlockType } from '../../formats/block-type.ts';
import { DA_NODE, DaHeader, DaNode } from '../../formats/da.ts';
import { DIR_LEAFN } from '../../formats/directory.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { LEAF_BASE, lastHash, leafCount } from './hash-leaf.ts';
import { rootIsLeaf } from './hash-tree.ts';
import { freeStart, leafStart } from './layout.ts';

/** {hash, dataptr} pairs in typed arrays that grow. */
export class PairList {
  hashes = new Uint32Array(256);
  pointers = new Uint32Array(256);
  length = 0;

  add(hash: number, pointer: number): void {
    if (this.length === this.hashes.length) this.#grow();
    this.hashes[this.length] = hash;
    this.pointers[this.length++] = pointer;
  }

  /** Add the entries of an index array that are not stale. */
  addEntries(view: DataView, base: number, count: number): void {
    for (let i = 0, place = base; i < count; i++, place += 8) {
      const pointer = view.getUint32(place + 4);
      if (pointer !== 0) this.add(view.getUint32(place), pointer);
    }
  }

  #grow(): void {
    const { hashes, pointers } = this;
    this.hashes = new Uint32Array(2 * hashes.length);
    this.hashes.set(hashes);
    this.pointers = new Uint32Array(2 * pointers.length);
    this.pointers.set(pointers);
  }
}

/** What the walk needs from the checker. */
export interface WalkHost {
  readonly fork: ForkReader;
  /** The block, or undefined when it is bad (and was reported). */
  read(fileBlock: number, type: BlockType): Buffer | undefined;
  report(fileBlock: number, code: string, field: string, expected: string | number, found: string | number): void;
}

export class IndexWalk {
  readonly #host: WalkHost;
  readonly pairs: PairList;
  /** False when a part of the index could not be read. */
  complete = true;
  readonly #seen = new Set<number>();
  /** By level: the block before, and what it calls the next one. */
  readonly #previous = [0, 0, 0, 0, 0, 0];
  readonly #next = [0, 0, 0, 0, 0, 0];
  #greatest = 0;

  constructor(host: WalkHost, pairs: PairList) {
    this.#host = host;
    this.pairs = pairs;
  }

  /** Walk the tree of node form; then look for index blocks outside it. */
  run(): void {
    const { fork } = this.#host;
    const start = leafStart(fork);
    this.#seen.add(start);
    if (rootIsLeaf(fork)) this.#leaf(start);
    else this.#node(start, 0);
    for (let level = 0; level < this.#next.length; level++) {
      if (this.#previous[level] !== 0 && this.#next[level] !== 0 && this.complete) {
        this.#host.report(this.#previous[level]!, 'BAD_SIBLING', 'forw', 0, this.#next[level]!);
      }
    }
    // What hangs below an unreadable node is not stray.
    if (!this.complete) return;
    for (const dablk of fork.mapped(start, freeStart(fork))) {
      if (!this.#seen.has(dablk)) this.#host.report(dablk, 'DIR_STRAY_BLOCK', 'block', 'part of the hash index', 'not');
    }
  }

  #siblings(view: DataView, dablk: number, level: number): void {
    const previous = this.#previous[level]!;
    const back = view.getUint32(DaHeader.offsets.back);
    if (this.complete) {
      if (back !== previous) this.#host.report(dablk, 'BAD_SIBLING', 'back', previous, back);
      const next = this.#next[level]!;
      if (previous !== 0 && next !== dablk) this.#host.report(previous, 'BAD_SIBLING', 'forw', dablk, next);
    }
    this.#previous[level] = dablk;
    this.#next[level] = view.getUint32(DaHeader.offsets.forw);
  }

  /** Greatest hash of the leaf, or -1. */
  #leaf(dablk: number): number {
    const buffer = this.#host.read(dablk, DIR_LEAFN);
    if (!buffer) return this.#lost();
    const { view } = buffer;
    this.#siblings(view, dablk, 0);
    const count = leafCount(view);
    if (count === 0) return 0;
    const first = view.getUint32(LEAF_BASE);
    if (first < this.#greatest) {
      this.#host.report(dablk, 'BAD_HASH_ORDER', 'entries[0].hash', `at least ${this.#greatest}`, first);
    }
    this.#greatest = lastHash(view);
    this.pairs.addEntries(view, LEAF_BASE, count);
    return this.#greatest;
  }

  #lost(): number {
    this.complete = false;
    return -1;
  }

  /** @param expected the level, 0 for any (the root). Greatest key of the node, or -1. */
  #node(dablk: number, expected: number): number {
    const { fork } = this.#host;
    const buffer = this.#host.read(dablk, DA_NODE);
    if (!buffer) return this.#lost();
    const { view } = buffer;
    const level = view.getUint16(DaNode.offsets.level);
    if (expected !== 0 && level !== expected) {
      this.#host.report(dablk, 'BAD_LEVEL', 'level', expected, level);
      return this.#lost();
    }
    this.#siblings(view, dablk, level);
    const count = view.getUint16(DaNode.offsets.count);
    let key = 0;
    for (let i = 0; i < count; i++) {
      key = view.getUint32(DaNode.size + 8 * i);
      const child = view.getUint32(DaNode.size + 8 * i + 4);
      const outside = child <= leafStart(fork) || child >= freeStart(fork) || child % fork.blockBlocks !== 0;
      if (outside || this.#seen.has(child)) {
        const wanted = outside ? 'a block of the index' : 'a block not yet in the tree';
        this.#host.report(dablk, 'DIR_BAD_CHILD', `entries[${i}].before`, wanted, child);
        this.#lost();
        continue;
      }
      this.#seen.add(child);
      const greatest = level === 1 ? this.#leaf(child) : this.#node(child, level - 1);
      if (greatest >= 0 && greatest !== key) {
        this.#host.report(dablk, 'DIR_BAD_KEY', `entries[${i}].hash`, greatest, key);
      }
    }
    return key;
  }
}
