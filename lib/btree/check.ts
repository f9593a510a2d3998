/**
 * The structural check of a tree, for images that may be damaged in any way: what is wrong comes out as data.
 *
 * 1. Never throws for what the image holds, visits no block twice, goes no deeper than the height the root claims.
 * 2. A subtree that cannot be read is one fault; what it would have said about links and high keys is then unknown, and
 *    nothing is reported from guessing.
 * 3. Blocks, records and faults are reported in tree order; records of a leaf that has faults too.
 */
import { LongHeader } from '../../formats/btree-blocks.ts';
import { getU64 } from '../../formats/struct.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { BlockReader } from '../buffer/transaction.ts';
import { CadastreError } from '../errors.ts';
import { copyBytes, ROOT_KEYS_AT, rootRoom, type Tree } from './tree.ts';
import { compareKeyBytes, type SearchKey } from './tree-types.ts';

/**
 * One thing wrong: BTREE_HEIGHT, BTREE_ROOT, BTREE_POINTER, BTREE_LOOP, BTREE_LEVEL, BTREE_OWNER, BTREE_SIBLING,
 * BTREE_COUNT, BTREE_ORDER, BTREE_KEY, BTREE_HIGH_KEY, or the code with which the block could not be read (BAD_CRC ...).
 */
export interface TreeFault {
  readonly code: string;
  /** The block that holds the wrong bytes, as the tree's pointers count; -1 for the root holder. */
  readonly block: number;
  readonly level: number;
  /** Record or child, -1 when it is not about one. */
  readonly slot: number;
  readonly expected: string | number;
  readonly found: string | number;
}

/** What else to be told of on the way. */
export interface TreeVisitor {
  /** A block that belongs to the tree (readable, right level and owner), parents before children. */
  block?(pointer: number, level: number): void;
  record?(view: DataView, offset: number): void;
}

export interface TreeCounts {
  /** As the root says; 0 when that cannot be. */
  height: number;
  /** Blocks that could be read. */
  blocks: number;
  records: number;
}

/** Check a whole tree. */
export function checkTree(
  reader: BlockReader,
  tree: Tree,
  onFault: (fault: TreeFault) => void,
  visitor: TreeVisitor = {},
): TreeCounts {
  return new TreeCheck(reader, tree, onFault, visitor).run();
}

class TreeCheck {
  readonly #reader: BlockReader;
  readonly #tree: Tree;
  readonly #onFault: (fault: TreeFault) => void;
  readonly #visitor: TreeVisitor;
  readonly #seen = new Set<number>();
  readonly #counts: TreeCounts = { height: 0, blocks: 0, records: 0 };
  /** Per level: the block last visited (null pointer: none yet) and its right sibling; undefined when not known. */
  readonly #lastBlock: (number | undefined)[] = [];
  readonly #lastRight: (number | undefined)[] = [];
  /** Per level: the true greatest high key of the subtree last visited there. */
  readonly #high: DataView[] = [];
  /** Per level: the first key of the block last visited there, if it has one. */
  readonly #low: DataView[] = [];
  readonly #hasLow: boolean[] = [];
  readonly #key: SearchKey = [0, 0, 0, 0, 0];
  #hasKey = false;

  constructor(reader: BlockReader, tree: Tree, onFault: (fault: TreeFault) => void, visitor: TreeVisitor) {
    this.#reader = reader;
    this.#tree = tree;
    this.#onFault = onFault;
    this.#visitor = visitor;
  }

  run(): TreeCounts {
    const tree = this.#tree;
    let top: number;
    try {
      top = tree.topLevel();
    } catch (error) {
      this.#caught(error, -1, -1);
      return this.#counts;
    }
    this.#counts.height = top + 1;
    for (let level = 0; level <= top; level++) {
      this.#lastBlock.push(tree.nullPointer);
      this.#lastRight.push(undefined);
      this.#high.push(new DataView(new ArrayBuffer(32)));
      this.#low.push(new DataView(new ArrayBuffer(32)));
      this.#hasLow.push(false);
    }
    if (tree.blockRoot) {
      this.#visit(tree.blockRoot.pointer(), top, -1, -1, 0);
    } else {
      const root = tree.inodeRoot!.view();
      const count = root.getUint16(2);
      const pointersAt = ROOT_KEYS_AT + tree.entrySize * rootRoom(root);
      // Blocks right under an inode root have no minimum; but when it has several children none is empty.
      const min = count > 1 ? 1 : 0;
      this.#children(root, -1, top, count, ROOT_KEYS_AT, pointersAt, min);
    }
    for (let level = 0; level <= top; level++) {
      const right = this.#lastRight[level];
      if (right !== undefined && right !== tree.nullPointer) {
        this.#fault('BTREE_SIBLING', this.#lastBlock[level]!, level, -1, 'no right sibling', right);
      }
    }
    return this.#counts;
  }

  /** One block and all below it. Returns false when it could not be read. */
  #visit(pointer: number, level: number, parent: number, slot: number, min: number): boolean {
    const buffer = this.#read(pointer, level, parent, slot);
    if (!buffer) {
      for (let below = 0; below <= level; below++) this.#lastBlock[below] = this.#lastRight[below] = undefined;
      return false;
    }
    this.#counts.blocks++;
    this.#visitor.block?.(pointer, level);
    const tree = this.#tree;
    const { view } = buffer;
    this.#links(view, pointer, level);
    const count = view.getUint16(6);
    if (count < min) this.#fault('BTREE_COUNT', pointer, level, -1, `at least ${min}`, count);
    this.#hasLow[level] = count > 0;
    if (count > 0) tree.writeLowKey(view, level, this.#low[level]!, 0);
    if (level === 0) this.#records(view, pointer, count);
    else this.#children(view, pointer, level, count, tree.headerSize, tree.pointersAt, tree.min(level - 1));
    return true;
  }

  #read(pointer: number, level: number, parent: number, slot: number): Buffer | undefined {
    const tree = this.#tree;
    if (!tree.isPointer(pointer)) {
      this.#fault('BTREE_POINTER', parent, level + 1, slot, 'a block behind the headers', pointer);
      return undefined;
    }
    if (this.#seen.has(pointer)) {
      this.#fault('BTREE_LOOP', parent, level + 1, slot, 'a block not seen before', pointer);
      return undefined;
    }
    this.#seen.add(pointer);
    let buffer: Buffer;
    try {
      buffer = this.#reader.get(tree.blocks.daddr(pointer), tree.geometry.blockSize, tree.type.blockType);
    } catch (error) {
      this.#caught(error, pointer, level);
      return undefined;
    }
    const found = buffer.view.getUint16(4);
    if (found !== level) {
      this.#fault('BTREE_LEVEL', pointer, level, -1, level, found);
      return undefined;
    }
    if (tree.long) {
      const owner = getU64(buffer.view, LongHeader.offsets.owner);
      if (owner !== tree.blocks.owner) {
        this.#fault('BTREE_OWNER', pointer, level, -1, tree.blocks.owner, owner);
        return undefined;
      }
    }
    return buffer;
  }

  #links(view: DataView, pointer: number, level: number): void {
    const tree = this.#tree;
    const before = this.#lastBlock[level];
    const left = tree.left(view);
    if (before !== undefined && left !== before) {
      this.#fault('BTREE_SIBLING', pointer, level, -1, `left sibling ${this.#name(before)}`, this.#name(left));
    }
    const right = this.#lastRight[level];
    if (before !== undefined && right !== undefined && right !== pointer) {
      this.#fault('BTREE_SIBLING', before, level, -1, `right sibling ${pointer}`, this.#name(right));
    }
    this.#lastBlock[level] = pointer;
    this.#lastRight[level] = tree.right(view);
  }

  #records(view: DataView, pointer: number, count: number): void {
    const { type, headerSize, recordSize, hasHighKeys } = this.#tree;
    const key = this.#key;
    for (let slot = 0, at = headerSize; slot < count; slot++, at += recordSize) {
      if (this.#hasKey && type.compareRecord(view, at, key[0]!, key[1]!, key[2]!, key[3]!, key[4]!) <= 0) {
        const before = key.join('/');
        type.readKey(view, at, key);
        this.#fault('BTREE_ORDER', pointer, 0, slot, `a key behind ${before}`, key.join('/'));
      } else type.readKey(view, at, key);
      this.#hasKey = true;
      this.#visitor.record?.(view, at);
    }
    this.#counts.records += count;
    if (hasHighKeys && count > 0) this.#tree.writeHighKey(view, 0, this.#high[0]!, 0);
  }

  /** The children of a node or inode root, and what its entries say of them. */
  #children(
    view: DataView,
    pointer: number,
    level: number,
    count: number,
    keysAt: number,
    pointersAt: number,
    min: number,
  ): void {
    const tree = this.#tree;
    const { keySize, entrySize, hasHighKeys } = tree;
    const high = this.#high[level]!;
    for (let slot = 0; slot < count; slot++) {
      const child = tree.readPointer(view, pointersAt + slot * tree.pointerSize);
      const at = keysAt + slot * entrySize;
      const childHigh = this.#high[level - 1]!;
      if (hasHighKeys) copyBytes(view, at + keySize, childHigh, 0, keySize);
      if (this.#visit(child, level - 1, pointer, slot, min)) {
        const low = this.#low[level - 1]!;
        if (this.#hasLow[level - 1] && compareKeyBytes(low, 0, view, at, keySize) !== 0) {
          this.#fault('BTREE_KEY', pointer, level, slot, hexBytes(low, 0, keySize), hexBytes(view, at, keySize));
        }
        if (hasHighKeys && compareKeyBytes(childHigh, 0, view, at + keySize, keySize) !== 0) {
          const found = hexBytes(view, at + keySize, keySize);
          this.#fault('BTREE_HIGH_KEY', pointer, level, slot, hexBytes(childHigh, 0, keySize), found);
        }
      }
      if (hasHighKeys && (slot === 0 || compareKeyBytes(childHigh, 0, high, 0, keySize) > 0)) {
        copyBytes(childHigh, 0, high, 0, keySize);
      }
    }
  }

  /** An error of a read becomes a fault; bugs pass through. */
  #caught(error: unknown, block: number, level: number): void {
    if (!(error instanceof CadastreError) || (error.family !== 'corrupt' && error.family !== 'device')) throw error;
    this.#fault(error.code, block, level, -1, error.expected ?? 'a readable block', error.found ?? error.message);
  }

  #name(pointer: number): string | number {
    return pointer === this.#tree.nullPointer ? 'null' : pointer;
  }

  #fault(
    code: string,
    block: number,
    level: number,
    slot: number,
    expected: string | number,
    found: string | number,
  ): void {
    this.#onFault({ code, block, level, slot, expected, found });
  }
}

function hexBytes(view: DataView, offset: number, length: number): string {
  let text = '0x';
  for (let i = 0; i < length; i++)
    text += view
      .getUint8(offset + i)
      .toString(16)
      .padStart(2, '0');
  return text;
}
