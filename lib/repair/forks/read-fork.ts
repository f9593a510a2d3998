/**
 * One fork of an inode on the plan, read as far as it can be. A sound extent tree is walked once; a damaged one is taken
 * apart: every block that can be reached by a pointer, by a sibling link or through blocks named from outside (register,
 * search) is judged by what it says of itself, and the leaves are put in the order of their first records.
 *
 * 1. Nothing throws for what the image holds, no block is read twice, and what is found is bounded by the blocks there are.
 * 2. A block in which one header field is wrong is believed. If that field is the owner, it may as well be another inode's:
 *    then only if this tree has no block of its own in that place, and the one that is named does not have this one.
 */

import { BTREES, LongHeader, maxLeafRecords, maxNodeRecords } from '../../../formats/btree-blocks.ts';
import { BTREE_BLOCK_TYPES } from '../../../formats/btree-verify.ts';
import { crcWithHole, storedCrc } from '../../../formats/checksum.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { FORMAT, maxRootRecords } from '../../../formats/inode.ts';
import { getU64, NULL64 } from '../../../formats/struct.ts';
import { checkTree, TREE_TYPES, Tree } from '../../btree/btree.ts';
import { internal } from '../../errors.ts';
import { turnBack } from '../bit-rot.ts';
import type { PlanReader } from './plan-reader.ts';
import { forkEnd, isPossible, Records } from './records.ts';
import { solveRecord } from './solve-record.ts';

const RECORD = 16;
const ROOT_HEAD = 4;
/** Records of a leaf that one wrong field can make unfit. */
const MOST_UNFIT = 3;
const { offsets } = LongHeader;

/** Which fork, and where its bytes are. */
export interface ForkBytes {
  readonly inode: number;
  readonly attr: boolean;
  /** Data of a regular file. */
  readonly regular: boolean;
  /** FORMAT.EXTENTS or BTREE. */
  readonly format: number;
  /** Where the file's blocks end by its size; later ones exist only where space was asked for. */
  readonly sizeBlocks: number;
  /** Records an inline list claims to have. */
  readonly count: number;
  /** The fork's bytes alone. */
  readonly view: DataView;
}

/** What was found. */
export interface ForkReading {
  /** Records in the order of the list, or of the leaves. */
  readonly records: Records;
  /** Records that stand behind the last one counted: of use only where something else speaks for them. */
  readonly spare: Records;
  /** Blocks of the extent tree (fs blocks). */
  readonly treeBlocks: number[];
  /** Everything was as it must be. */
  sound: boolean;
  /** A CRC was wrong: what the fork says weighs less. */
  doubted: boolean;
  /** A part of the tree could not be reached. */
  incomplete: boolean;
  /** Blocks that the tree leads to and that are another inode's. */
  readonly foreign: ForeignBlock[];
}

export interface ForeignBlock {
  readonly fsBlock: number;
  /** The inode that the block names. */
  readonly owner: number;
}

/** What the rest of the image says of a damaged tree: asked for only when the tree has gaps. */
export interface TreeEvidence {
  /** fs blocks that may belong to it. */
  readonly blocks: () => Iterable<number>;
  /** Is a block that names another inode surely not of this tree? */
  readonly isElsewhere: (block: ForeignBlock) => boolean;
}

export function readFork(reader: PlanReader, fork: ForkBytes, evidence?: TreeEvidence): ForkReading {
  const reading: ForkReading = {
    records: new Records(),
    spare: new Records(),
    treeBlocks: [],
    foreign: [],
    sound: true,
    doubted: false,
    incomplete: false,
  };
  if (fork.format === FORMAT.EXTENTS) readInline(fork, reading);
  else if (!walkSound(reader, fork, reading)) new TreeSalvage(reader, fork, reading, evidence).run();
  else if (reading.records.length !== fork.count) findSpare(reader, fork, reading);
  const { records } = reading;
  const end = forkEnd(reader.geometry, fork.attr, fork.regular);
  let last = 0;
  for (let i = 0; i < records.length; i++) {
    const first = records.fileBlock[i]!;
    if (!isPossible(reader.geometry, first, records.startBlock[i]!, records.blockCount[i]!, end) || first < last) {
      reading.sound = false;
    }
    if (records.unwritten[i] && (fork.attr || !fork.regular)) reading.sound = false;
    last = first + records.blockCount[i]!;
  }
  return reading;
}

/** A tree that is sound but has another number of records than the inode says: what stands behind those of its leaves. */
function findSpare(reader: PlanReader, fork: ForkBytes, reading: ForkReading): void {
  const again: ForkReading = { ...reading, records: new Records(), spare: reading.spare, treeBlocks: [] };
  new TreeSalvage(reader, fork, again, undefined).run();
}

function readInline({ view, count }: ForkBytes, reading: ForkReading): void {
  const room = Math.floor(view.byteLength / RECORD);
  if (count > room) reading.sound = false;
  for (let i = 0; i < room; i++) (i < count ? reading.records : reading.spare).take(view, i * RECORD);
}

/** Walk a tree that has no fault; false, and nothing kept, when it has one. */
function walkSound(reader: PlanReader, fork: ForkBytes, reading: ForkReading): boolean {
  const { geometry } = reader;
  const readOnly = (): never => {
    throw internal('a fork is only read here');
  };
  const tree = new Tree(
    TREE_TYPES.bmbt,
    geometry,
    { view: () => fork.view, change: readOnly },
    { owner: fork.inode, daddr: (pointer) => geometry.fsBlockToDaddr(pointer), allocate: readOnly, free: readOnly },
  );
  const { wrongCrcs, healed } = reader;
  let sound = true;
  checkTree(
    reader,
    tree,
    () => {
      sound = false;
    },
    {
      block: (pointer) => reading.treeBlocks.push(pointer),
      record: (view, offset) => {
        if (sound) reading.records.take(view, offset);
      },
    },
  );
  const wrong = reader.wrongCrcs - wrongCrcs;
  // Blocks that were put right say what they said, but stand on disk as they are.
  if (sound && wrong === reader.healed - healed) {
    if (wrong > 0) reading.sound = false;
    return true;
  }
  return false;
}

interface Leaf {
  readonly records: Records;
  readonly spare: Records;
}

/** A block that is right for its place in everything but the owner. */
interface Aside extends ForeignBlock {
  readonly level: number;
  /** File block that it starts with. */
  readonly key: number;
}

class TreeSalvage {
  readonly #reader: PlanReader;
  readonly #geometry: Geometry;
  readonly #fork: ForkBytes;
  readonly #reading: ForkReading;
  readonly #evidence: TreeEvidence | undefined;
  readonly #seen = new Set<number>();
  readonly #leaves: Leaf[] = [];
  /** Links met on the way: tried when the pointers are done. */
  readonly #siblings: [fsBlock: number, level: number][] = [];
  readonly #aside: Aside[] = [];

  constructor(reader: PlanReader, fork: ForkBytes, reading: ForkReading, evidence: TreeEvidence | undefined) {
    this.#reader = reader;
    this.#geometry = reader.geometry;
    this.#fork = fork;
    this.#reading = reading;
    this.#evidence = evidence;
  }

  run(): void {
    const reading = this.#reading;
    const { view } = this.#fork;
    reading.sound = false;
    reading.treeBlocks.length = 0;
    reading.records.cut(0);
    const room = maxRootRecords(view.byteLength);
    const level = view.getUint16(0);
    const count = view.getUint16(2);
    const rootOk = level >= 1 && level < this.#geometry.maxLevels.bmbt && count >= 1 && count <= room;
    if (!rootOk) reading.incomplete = true;
    for (let i = 0; i < (rootOk ? count : room); i++) {
      const pointer = getU64(view, ROOT_HEAD + 8 * (room + i));
      const key = getU64(view, ROOT_HEAD + 8 * i);
      if (!this.#block(pointer, rootOk ? level - 1 : -1, key) && rootOk) reading.incomplete = true;
    }
    this.#followSiblings();
    if (reading.incomplete && this.#evidence) {
      for (const fsBlock of this.#evidence.blocks()) this.#block(fsBlock, -1, -1);
      this.#followSiblings();
    }
    for (const each of this.#aside) this.#adopt(each);
    this.#followSiblings();
    this.#leaves.sort((a, b) => (a.records.fileBlock[0] ?? 0) - (b.records.fileBlock[0] ?? 0));
    for (const leaf of this.#leaves) {
      append(reading.records, leaf.records);
      append(reading.spare, leaf.spare);
    }
  }

  #followSiblings(): void {
    for (let next = this.#siblings.pop(); next; next = this.#siblings.pop()) this.#block(next[0], next[1], -1);
  }

  /**
   * Take what a block and those below it hold. @param level the one it must have, or -1. @param key the file block it must
   * start with, or -1. @returns false when it is not a block of this tree.
   */
  #block(fsBlock: number, level: number, key: number): boolean {
    const geometry = this.#geometry;
    if (!geometry.isFsBlock(fsBlock)) return false;
    if (this.#seen.has(fsBlock)) return true;
    const view = this.#reader.raw(fsBlock);
    if (!view) return false;
    const isDoubted = !this.#heal(view, fsBlock);
    const found = this.#levelOf(view, fsBlock, level, key);
    if (found < 0) return false;
    if (isDoubted) this.#reading.doubted = true;
    this.#take(view, fsBlock, found);
    return true;
  }

  /** Invariant 2, when all else is known. */
  #adopt(block: Aside): void {
    const { fsBlock, level, key } = block;
    if (this.#seen.has(fsBlock)) return;
    const view = this.#reader.raw(fsBlock);
    const hasOwn = this.#leaves.some(({ records }) => records.fileBlock[0] === key);
    if (!view || hasOwn || this.#evidence?.isElsewhere(block)) this.#reading.foreign.push(block);
    else this.#take(view, fsBlock, level);
  }

  /** A block of this tree, and what is below it. */
  #take(view: DataView, fsBlock: number, level: number): void {
    this.#seen.add(fsBlock);
    this.#reading.treeBlocks.push(fsBlock);
    for (const at of [offsets.leftSibling, offsets.rightSibling]) {
      const sibling = getU64(view, at);
      if (sibling !== NULL64 && this.#geometry.isFsBlock(sibling)) this.#siblings.push([sibling, level]);
    }
    if (level === 0) this.#leaf(view);
    else this.#node(view, level);
  }

  /** Make the CRC right where it tells what is wrong. False: it does not. */
  #heal(view: DataView, fsBlock: number): boolean {
    const geometry = this.#geometry;
    const bytes = new Uint8Array(view.buffer);
    if (storedCrc(bytes, offsets.crc) === crcWithHole(bytes, offsets.crc)) return true;
    const { verify } = BTREE_BLOCK_TYPES.bmbt;
    const daddr = geometry.fsBlockToDaddr(fsBlock);
    if (turnBack(bytes, offsets.crc, () => !verify(view, geometry, daddr)) !== undefined) return true;
    if (verify(view, geometry, daddr) || view.getUint16(offsets.level) > 0) return false;
    const answers: Uint8Array[] = [];
    const count = view.getUint16(offsets.numrecs);
    let unfit = 0;
    for (let i = 0; i < count; i++) {
      const fits = (): boolean => this.#fits(view, i, count);
      if (fits()) continue;
      // One wrong record makes its neighbours look wrong, too; more than that no single field explains.
      if (++unfit > MOST_UNFIT) return false;
      const base = LongHeader.size + i * RECORD;
      for (const answer of solveRecord(bytes, offsets.crc, base, fits)) answers.push(answer.bytes);
    }
    if (answers.length !== 1) return false;
    bytes.set(answers[0]!);
    return true;
  }

  /** Can a record of a leaf be, and does it stand between its neighbours? */
  #fits(view: DataView, i: number, count: number): boolean {
    const around = new Records();
    const first = Math.max(0, i - 1);
    for (let k = first; k <= Math.min(count - 1, i + 1); k++) around.take(view, LongHeader.size + k * RECORD);
    const own = i - first;
    const { fileBlock, startBlock, blockCount } = around;
    const { attr, regular, sizeBlocks } = this.#fork;
    const end = Math.min(sizeBlocks, forkEnd(this.#geometry, attr, regular));
    if (!isPossible(this.#geometry, fileBlock[own]!, startBlock[own]!, blockCount[own]!, end)) return false;
    if (own > 0 && fileBlock[0]! + blockCount[0]! > fileBlock[own]!) return false;
    return own + 1 >= around.length || fileBlock[own]! + blockCount[own]! <= fileBlock[own + 1]!;
  }

  /** The level of a block of this tree, or -1. One header field may be wrong when everything else is right: invariant 2. */
  #levelOf(view: DataView, fsBlock: number, level: number, key: number): number {
    const geometry = this.#geometry;
    const fault = BTREE_BLOCK_TYPES.bmbt.verify(view, geometry, geometry.fsBlockToDaddr(fsBlock));
    const owner = getU64(view, offsets.owner);
    const own = view.getUint16(offsets.level);
    if (!fault && owner === this.#fork.inode) {
      if (level < 0 || own === level) return own;
      // Parent and block disagree: what stands in it says whether it is a leaf.
      const isLeaf = this.#looksLikeLeaf(view);
      return isLeaf ? 0 : Math.max(1, own === 0 ? level : own);
    }
    // Pointers from outside name only blocks that are right: a guess on top of a guess is none.
    if (level < 0) return -1;
    let wrong = 0;
    if (view.getUint32(offsets.magic) !== BTREES.bmbt.magic) wrong++;
    if (own !== level) wrong++;
    if (getU64(view, offsets.blkno) !== geometry.fsBlockToDaddr(fsBlock)) wrong++;
    if (!geometry.isMetaUuid(view, offsets.uuid)) wrong++;
    if (owner === this.#fork.inode) return wrong <= 1 ? level : -1;
    // The owner alone: then it must at least start where the parent says.
    if (wrong === 0 && key >= 0 && firstKey(view, level) === key) this.#aside.push({ fsBlock, owner, level, key });
    return -1;
  }

  /** Are the entries of a block extent records, rather than keys? */
  #looksLikeLeaf(view: DataView): boolean {
    const count = Math.min(view.getUint16(offsets.numrecs), maxLeafRecords(BTREES.bmbt, this.#geometry.blockSize));
    let good = 0;
    for (let i = 0; i < count; i++) if (this.#fits(view, i, count)) good++;
    return good * 2 > count;
  }

  #node(view: DataView, level: number): void {
    const { blockSize } = this.#geometry;
    const room = maxNodeRecords(BTREES.bmbt, blockSize);
    const said = view.getUint16(offsets.numrecs);
    const count = said >= 1 && said <= room ? said : room;
    if (count !== said) this.#reading.incomplete = true;
    for (let i = 0; i < count; i++) {
      const key = getU64(view, LongHeader.size + 8 * i);
      const pointer = getU64(view, LongHeader.size + 8 * (room + i));
      if (!this.#block(pointer, level - 1, key)) this.#reading.incomplete = true;
    }
  }

  /** Records up to the count; behind it those that go on ascending are kept aside. */
  #leaf(view: DataView): void {
    const { blockSize } = this.#geometry;
    const room = maxLeafRecords(BTREES.bmbt, blockSize);
    const said = view.getUint16(offsets.numrecs);
    const count = said <= room ? said : 0;
    const records = new Records();
    const spare = new Records();
    const { attr, regular } = this.#fork;
    const end = forkEnd(this.#geometry, attr, regular);
    for (let i = 0; i < count; i++) records.take(view, LongHeader.size + i * RECORD);
    let last = 0;
    for (let i = 0; i < records.length; i++) last = Math.max(last, records.fileBlock[i]! + records.blockCount[i]!);
    for (let i = count; i < room; i++) {
      spare.take(view, LongHeader.size + i * RECORD);
      const at = spare.length - 1;
      const first = spare.fileBlock[at]!;
      const possible = isPossible(this.#geometry, first, spare.startBlock[at]!, spare.blockCount[at]!, end);
      if (!possible || (said <= room && first < last)) {
        spare.cut(at);
        break;
      }
      last = first + spare.blockCount[at]!;
    }
    // The count itself cannot be: what ascends from the start on is all there is to go by.
    if (said > room) this.#leaves.push({ records: spare, spare: new Records() });
    else this.#leaves.push({ records, spare });
  }
}

/** The key a block starts with. */
function firstKey(view: DataView, level: number): number {
  if (level > 0) return getU64(view, LongHeader.size);
  const one = new Records();
  one.take(view, LongHeader.size);
  return one.fileBlock[0]!;
}

function append(to: Records, from: Records): void {
  for (let i = 0; i < from.length; i++) {
    to.push(from.fileBlock[i]!, from.startBlock[i]!, from.blockCount[i]!, from.unwritten[i]!);
  }
}
