/**
 * Structural check of one attribute fork, whatever its bytes: everything the block verifiers cannot see alone.
 *
 * 1. Never throws for bad content: a block that does not verify is a fault, and the rest is still looked at.
 * 2. Ends: node levels fall by one, and no block is entered twice.
 */
import {
  ATTR,
  ATTR_LEAF,
  ATTR_REMOTE,
  ATTR_ROOT,
  AttrLeafEntry,
  AttrLeafHeader,
  AttrShortHeader,
  attrHash,
  decodeParent,
  leafFirstUsed,
  MAX_ATTR_VALUE,
  remoteBlocks,
  shortformFault,
} from '../../formats/attribute.ts';
import { type BlockType, type Fault, fault } from '../../formats/block-type.ts';
import { DA_NODE } from '../../formats/da.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { CadastreError } from '../errors.ts';
import { leafCount, leafFlags, leafHash, leafLastHash, leafRecord, leafRecordBytes } from './leaf.ts';
import { backOf, forwOf, isNode, nodeChild, nodeCount, nodeHash, nodeLevel, ownerOf } from './path.ts';
import { AttributeCursor } from './read.ts';
import { FILE_BLOCKS, remoteFault } from './remote.ts';
import { shortEntryBytes } from './shortform.ts';

/** Called for each thing wrong; `fileBlock` is the block it was seen in, undefined for the shortform. */
export type AttributeReport = (fault: Fault, fileBlock: number | undefined) => void;

/** Blocks nothing points at are named up to this many; one more report than that says nothing new. */
const MAX_ORPHANS = 8;

/**
 * Check the fork; codes are those of the verifiers and ATTR_*.
 * @param onEntry every attribute whose record is readable (half-replaced ones left out); its value may still be damaged.
 */
export function checkAttributes(
  fork: ForkReader,
  report: AttributeReport,
  onEntry?: (attribute: AttributeCursor) => void,
): void {
  new Checker(fork, report, onEntry).run();
}

/** What the level of a tree has seen so far, left to right. */
interface Level {
  block: number;
  forw: number;
}

/** One cell per 4 heap bytes of the largest block: 1 = a record lies there. */
const cells = new Uint8Array(65536 / 4);

class Checker {
  readonly #fork: ForkReader;
  readonly #report: AttributeReport;
  readonly #onEntry: ((attribute: AttributeCursor) => void) | undefined;
  readonly #cursor: AttributeCursor;
  /** File blocks something points at. */
  readonly #claimed = new Set<number>();
  readonly #levels: (Level | undefined)[] = [];
  /** Some index block could not be read: blocks may seem unclaimed because of that. */
  #blind = false;
  #lastHash = 0;
  /** Identities of the entries with the hash `#lastHash`. */
  #twins = new Set<string>();
  /** The first entry of that run: its key is made only when a second one comes. */
  readonly #first: AttributeCursor;
  #started = false;

  constructor(fork: ForkReader, report: AttributeReport, onEntry: ((attribute: AttributeCursor) => void) | undefined) {
    this.#fork = fork;
    this.#report = report;
    this.#onEntry = onEntry;
    this.#cursor = new AttributeCursor(fork);
    this.#first = new AttributeCursor(fork);
  }

  run(): void {
    const local = this.#fork.local();
    if (local) {
      this.#shortform(local);
      return;
    }
    const root = this.#read(0, ATTR_ROOT);
    if (root === undefined) {
      const last = this.#fork.lastMapped(FILE_BLOCKS);
      if (last !== undefined && !this.#blind)
        this.#report(fault('ATTR_HOLE', 'root', 'a block at file block 0', 'none'), 0);
      return;
    }
    this.#claimed.add(0);
    if (isNode(root.view)) {
      this.#node(root, 0);
      this.#levels.forEach((level) => {
        if (level && level.forw !== 0) this.#report(fault('ATTR_SIBLINGS', 'forw', 0, level.forw), level.block);
      });
    } else {
      this.#siblings(root.view, 0, 0);
      this.#leaf(root, 0);
    }
    if (!this.#blind) this.#orphans();
  }

  #shortform(view: DataView): void {
    const bad = shortformFault(view);
    if (bad) {
      this.#report(bad, undefined);
      return;
    }
    const cursor = this.#cursor;
    cursor.bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const count = view.getUint8(2);
    const seen = count > 1 ? new Set<string>() : undefined;
    for (let i = 0, at: number = AttrShortHeader.size; i < count; i++, at += shortEntryBytes(view, at)) {
      cursor.atShort(view, at);
      this.#entry(i, undefined);
      if (seen) {
        const key = identity(cursor);
        if (seen.has(key)) this.#report(fault('ATTR_DUPLICATE', `entry ${i}`, 'a name once', 'twice'), undefined);
        seen.add(key);
      }
      this.#onEntry?.(cursor);
    }
  }

  /** A verified block of this inode, or undefined with the reason reported (but for a plain hole at the root). */
  #read(block: number, type: BlockType): Buffer | undefined {
    try {
      const buffer = this.#fork.find(block, type);
      if (buffer === undefined) {
        if (block !== 0) this.#unreadable(fault('ATTR_HOLE', 'block', 'mapped', 'a hole'), block);
        return undefined;
      }
      if (type !== ATTR_REMOTE) {
        const owner = ownerOf(buffer.view);
        if (owner !== this.#fork.inode) {
          this.#unreadable(fault('BAD_OWNER', 'owner', this.#fork.inode, owner), block);
          return undefined;
        }
      }
      return buffer;
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
      this.#unreadable(
        fault(error.code, error.where.field ?? 'block', error.expected ?? '', error.found ?? error.message),
        block,
      );
      return undefined;
    }
  }
  #unreadable(bad: Fault, block: number): void {
    this.#blind = true;
    this.#report(bad, block);
  }

  /** False when something pointed at this block before. */
  #claim(block: number, from: number): boolean {
    if (this.#claimed.has(block)) {
      this.#report(fault('ATTR_BLOCK_SHARED', 'pointer', 'a block of its own', block), from);
      return false;
    }
    this.#claimed.add(block);
    return true;
  }

  #siblings(view: DataView, block: number, level: number): void {
    const before = this.#levels[level];
    if (before && before.forw !== block) this.#report(fault('ATTR_SIBLINGS', 'forw', block, before.forw), before.block);
    const back = before?.block ?? 0;
    if (backOf(view) !== back) this.#report(fault('ATTR_SIBLINGS', 'back', back, backOf(view)), block);
    const forw = forwOf(view);
    if (before) {
      before.block = block;
      before.forw = forw;
    } else this.#levels[level] = { block, forw };
    if (block === 0 && forw !== 0) this.#report(fault('ATTR_SIBLINGS', 'forw', 0, forw), 0);
  }

  #node(node: Buffer, block: number): void {
    const { view } = node;
    const level = nodeLevel(view);
    if (block !== 0) this.#siblings(view, block, level);
    else if (backOf(view) !== 0 || forwOf(view) !== 0) {
      this.#report(fault('ATTR_SIBLINGS', 'root', '0 and 0', `${backOf(view)} and ${forwOf(view)}`), 0);
    }
    const count = nodeCount(view);
    for (let i = 0; i < count; i++) {
      const child = nodeChild(view, i);
      if (!this.#claim(child, block)) {
        this.#blind = true;
        continue;
      }
      const last = level === 1 ? this.#readLeaf(child) : this.#readNode(child, level - 1);
      if (last !== undefined && last !== nodeHash(view, i))
        this.#report(fault('ATTR_KEY', `entry ${i} hash`, last, nodeHash(view, i)), block);
    }
  }
  /** Check a child; its greatest hash, or undefined when it has none to compare. */
  #readNode(block: number, level: number): number | undefined {
    const buffer = this.#read(block, DA_NODE);
    if (!buffer) return undefined;
    const { view } = buffer;
    if (nodeLevel(view) !== level) {
      this.#unreadable(fault('ATTR_LEVEL', 'level', level, nodeLevel(view)), block);
      return undefined;
    }
    this.#node(buffer, block);
    return nodeHash(view, nodeCount(view) - 1);
  }
  #readLeaf(block: number): number | undefined {
    const buffer = this.#read(block, ATTR_LEAF);
    if (!buffer) return undefined;
    this.#siblings(buffer.view, block, 0);
    this.#leaf(buffer, block);
    if (leafCount(buffer.view) > 0) return leafLastHash(buffer.view);
    this.#report(fault('ATTR_EMPTY_LEAF', 'count', 'at least 1', 0), block);
    return undefined;
  }

  #leaf(leaf: Buffer, block: number): void {
    const { view, data } = leaf;
    this.#heap(view, block);
    const cursor = this.#cursor;
    const count = leafCount(view);
    for (let i = 0; i < count; i++) {
      cursor.bytes = data;
      cursor.atLeaf(view, i);
      const hash = leafHash(view, i);
      if (hash < this.#lastHash)
        this.#report(fault('ATTR_ORDER', `entry ${i} hash`, `at least ${this.#lastHash}`, hash), block);
      if (leafFlags(view, i) & ATTR.INCOMPLETE) {
        this.#report(fault('ATTR_INCOMPLETE', `entry ${i} flags`, 'complete', 'being replaced'), block);
        this.#claimIncomplete();
        continue;
      }
      this.#twin(hash, view, data, i, block);
      this.#entry(i, block, hash);
      if (cursor.valueBlock !== 0) this.#value(block);
      this.#onEntry?.(cursor);
    }
  }

  /** The same attribute twice: only entries with equal hashes need comparing. */
  #twin(hash: number, view: DataView, data: Uint8Array, i: number, block: number): void {
    if (hash !== this.#lastHash || !this.#started) {
      this.#started = true;
      this.#lastHash = hash;
      if (this.#twins.size > 0) this.#twins = new Set();
      this.#first.bytes = data;
      this.#first.atLeaf(view, i);
      return;
    }
    if (this.#twins.size === 0) this.#twins.add(identity(this.#first));
    const key = identity(this.#cursor);
    if (this.#twins.has(key)) this.#report(fault('ATTR_DUPLICATE', `entry ${i}`, 'a name once', 'twice'), block);
    this.#twins.add(key);
  }

  /** Rules of one attribute: name, hash, what a parent pointer must be. */
  #entry(i: number, block: number | undefined, hash?: number): void {
    const { flags, bytes, nameStart, nameEnd, valueLength, valueBlock } = this.#cursor;
    const parent = (flags & ATTR.PARENT) !== 0;
    for (let at = nameStart; at < nameEnd; at++) {
      if (bytes[at] === 0 || (parent && bytes[at] === 0x2f)) {
        this.#report(fault('ATTR_NAME', `entry ${i} name`, parent ? 'no NUL, no slash' : 'no NUL', bytes[at]!), block);
        break;
      }
    }
    let value: Uint8Array | undefined;
    if (parent) {
      if (!this.#fork.geometry.features.parent)
        this.#report(fault('BAD_FLAGS', `entry ${i} flags`, 'no parent pointers', flags), block);
      if (valueBlock === 0) value = bytes.subarray(nameEnd, nameEnd + valueLength);
      if (value === undefined || decodeParent(value) === undefined) {
        this.#report(fault('ATTR_PARENT', `entry ${i} value`, 'inode and generation', `${valueLength} bytes`), block);
      }
    }
    if (hash === undefined) return;
    const computed = attrHash(flags, bytes, nameStart, nameEnd, value);
    if (computed !== hash) this.#report(fault('ATTR_HASH', `entry ${i} hash`, computed, hash), block);
  }

  /** Records must not overlap; usedbytes, firstused and freemap must describe them. */
  #heap(view: DataView, block: number): void {
    const size = view.byteLength;
    const count = leafCount(view);
    const at = AttrLeafHeader.offsets;
    cells.fill(0, 0, size >> 2);
    let used = 0;
    let lowest = size;
    for (let i = 0; i < count; i++) {
      const record = leafRecord(view, i);
      const length = leafRecordBytes(view, i);
      used += length;
      lowest = Math.min(lowest, record);
      if (occupied(record, length))
        this.#report(fault('ATTR_HEAP', `entry ${i} nameidx`, 'a record of its own', record), block);
      cells.fill(1, record >> 2, (record + length) >> 2);
    }
    const stored = view.getUint16(at.usedbytes);
    if (stored !== used) this.#report(fault('ATTR_USEDBYTES', 'usedbytes', used, stored), block);
    const firstUsed = leafFirstUsed(view);
    if (count > 0 && view.getUint8(at.holes) === 0 && firstUsed !== lowest) {
      this.#report(fault('ATTR_FIRSTUSED', 'firstused', lowest, firstUsed), block);
    }
    cells.fill(1, 0, (AttrLeafHeader.size + count * AttrLeafEntry.size) >> 2);
    for (let i = 0; i < 3; i++) {
      const base = view.getUint16(at.freemap0Base + 4 * i);
      const length = view.getUint16(at.freemap0Size + 4 * i);
      if (occupied(base, length)) {
        this.#report(fault('ATTR_FREEMAP', `freemap${i}`, 'a free region', `${base}+${length}`), block);
      }
    }
  }

  /** Blocks of the cursor's value: mapped, of this value, nobody else's. */
  #value(from: number): void {
    const { valueBlock, valueLength } = this.#cursor;
    const { inode, blockBytes } = this.#fork;
    const count = remoteBlocks(valueLength, blockBytes);
    for (let i = 0; i < count; i++) {
      const block = valueBlock + i;
      if (!this.#claim(block, from)) continue;
      const buffer = this.#read(block, ATTR_REMOTE);
      const bad = buffer && remoteFault(buffer.view, inode, valueLength, i);
      if (bad) this.#report(fault('ATTR_VALUE_BLOCK', bad.field, bad.expected, bad.found), block);
    }
  }
  #claimIncomplete(): void {
    const { valueBlock, valueLength } = this.#cursor;
    if (valueBlock === 0 || valueLength > MAX_ATTR_VALUE) return;
    const count = remoteBlocks(valueLength, this.#fork.blockBytes);
    for (let i = 0; i < count; i++) this.#claimed.add(valueBlock + i);
  }

  /** Mapped blocks that nothing points at. */
  #orphans(): void {
    let seen = 0;
    for (const block of this.#fork.mapped(0, FILE_BLOCKS)) {
      if (this.#claimed.has(block)) continue;
      this.#report(fault('ATTR_ORPHAN_BLOCK', 'block', 'something that points at it', block), block);
      if (++seen === MAX_ORPHANS) return;
    }
  }
}

/** True when a record lies somewhere in these bytes (both multiples of 4). */
function occupied(start: number, length: number): boolean {
  for (let cell = start >> 2; cell < (start + length) >> 2; cell++) if (cells[cell] !== 0) return true;
  return false;
}

/** What makes two attributes the same one, as a key. */
function identity(cursor: AttributeCursor): string {
  const end =
    cursor.flags & ATTR.PARENT && cursor.valueBlock === 0 ? cursor.nameEnd + cursor.valueLength : cursor.nameEnd;
  let key = `${cursor.flags}:${cursor.nameEnd - cursor.nameStart}:`;
  for (let i = cursor.nameStart; i < end; i++) key += String.fromCharCode(cursor.bytes[i]!);
  return key;
}
