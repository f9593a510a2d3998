/**
 * The extents of one fork, wherever they stand, judged one by one; and a fork as directories and attributes want to see
 * it, made of the extents that were found. Nothing here throws for what the image holds.
 *
 * 1. An extent is believed when it lies in one AG behind its headers and does not go back in the file; others are
 *    reported and left out, and the fork counts as partial.
 * 2. One `ForkScan` is used for all inodes: nothing is allocated per inode or extent but by lists that are asked for.
 */
import type { BlockType } from '../../../formats/block-type.ts';
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import { extentBlockCount, extentFileBlock, extentStartBlock, extentUnwritten } from '../../../formats/extent.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import { FORMAT } from '../../../formats/inode.ts';
import type { Buffer, Segment } from '../../buffer/buffer.ts';
import type { ForkReader } from '../../buffer/fork-blocks.ts';
import { type CadastreError, corrupt } from '../../errors.ts';
import type { ExtentTable } from '../claims.ts';
import type { CheckContext } from '../context.ts';
import { forkTree, runTree } from './tree-run.ts';

const TWO32 = 2 ** 32;
const EXTENT_BYTES = 16;

/** Extents of one fork, ascending. */
export class ExtentList {
  length = 0;
  fileBlock: number[] = [];
  startBlock: number[] = [];
  blockCount: number[] = [];

  clear(): void {
    this.length = 0;
  }
  push(fileBlock: number, startBlock: number, blockCount: number): void {
    const i = this.length++;
    this.fileBlock[i] = fileBlock;
    this.startBlock[i] = startBlock;
    this.blockCount[i] = blockCount;
  }
  /** Index of the last extent that starts at or before a file block, or -1. */
  find(fileBlock: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.fileBlock[middle]! <= fileBlock) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Which fork of which inode. */
export interface ForkOf {
  inode: number;
  attr: boolean;
  /** Regular files may have unwritten extents and 54 bits of file blocks. */
  regular: boolean;
}

export class ForkScan {
  readonly #context: CheckContext;
  readonly #geometry: Geometry;
  /** Results: records seen, blocks they map, blocks of the extent tree, and whether something was unreadable or wrong. */
  extents = 0;
  blocks = 0;
  treeBlocks = 0;
  partial = false;
  #list: ExtentList | undefined;
  #claim = true;
  #inode = 0;
  #ownerHi = 0;
  #ownerLo = 0;
  #attr = false;
  #regular = false;
  #end = 0;

  constructor(context: CheckContext) {
    this.#context = context;
    this.#geometry = context.geometry;
  }

  /**
   * Go through the extents.
   * @param view holds the fork's bytes from `start` on, `bytes` of them; the inode core has verified.
   * @param format FORMAT.EXTENTS or BTREE. @param count records of an inline list.
   * @param list receives the extents. @param claim false: only fill the list, report nothing.
   */
  run(
    view: DataView,
    start: number,
    bytes: number,
    format: number,
    count: number,
    of: ForkOf,
    list: ExtentList | undefined,
    claim: boolean,
  ): void {
    this.extents = this.blocks = this.treeBlocks = this.#end = 0;
    this.partial = false;
    this.#list = list;
    this.#claim = claim;
    this.#inode = of.inode;
    this.#ownerHi = Math.floor(of.inode / TWO32);
    this.#ownerLo = of.inode % TWO32;
    this.#attr = of.attr;
    this.#regular = of.regular;
    list?.clear();
    if (format === FORMAT.EXTENTS) {
      for (let i = 0; i < count; i++) this.#record(view, start + i * EXTENT_BYTES);
      return;
    }
    // The tree keeps the view while it runs, so it gets the fork's bytes alone.
    const root = new DataView(view.buffer, view.byteOffset + start, bytes);
    const tree = forkTree(this.#context, of.inode, root);
    const place = { inode: of.inode, structure: 'bmbt' };
    const run = () =>
      runTree(
        this.#context,
        tree,
        place,
        (pointer) => this.#treeBlock(pointer),
        (leaf, offset) => this.#record(leaf, offset),
      );
    const seen = claim ? run() : this.#context.problems.mute(run);
    if (!seen.complete) this.partial = true;
  }

  #treeBlock(pointer: number): void {
    this.treeBlocks++;
    if (!this.#claim) return;
    const flags = (RMAP_BMBT_BLOCK | (this.#attr ? RMAP_ATTR_FORK : 0)) >>> 0;
    this.#table(pointer).add(this.#geometry.agBlockOfFsBlock(pointer), 1, this.#ownerHi, this.#ownerLo, flags, 0);
  }

  #table(fsBlock: number): ExtentTable {
    return this.#context.claims[this.#geometry.agOfFsBlock(fsBlock)]!;
  }

  #record(view: DataView, offset: number): void {
    const fileBlock = extentFileBlock(view, offset);
    const startBlock = extentStartBlock(view, offset);
    const count = extentBlockCount(view, offset);
    const unwritten = extentUnwritten(view, offset);
    this.extents++;
    this.blocks += count;
    const end = fileBlock + count;
    const limit = this.#regular && !this.#attr ? this.#geometry.fileBlockEnd : TWO32;
    if (count === 0 || !this.#geometry.isFsRange(startBlock, count)) {
      this.#bad('EXTENT_RANGE', 'blocks', fileBlock, 'a range inside one AG', `${startBlock}+${count}`);
    } else if (fileBlock < this.#end) {
      this.#bad('EXTENT_ORDER', 'file block', fileBlock, `${this.#end} or more`, fileBlock);
    } else if (end > limit) {
      this.#bad('EXTENT_END', 'file block', fileBlock, `an end at ${limit} or before`, end);
    } else {
      this.#end = end;
      if (unwritten && (this.#attr || !this.#regular)) {
        this.#bad('EXTENT_UNWRITTEN', 'state', fileBlock, 'written', 'unwritten');
      }
      this.#list?.push(fileBlock, startBlock, count);
      if (!this.#claim) return;
      const hi = Math.floor(fileBlock / TWO32);
      const flags = ((this.#attr ? RMAP_ATTR_FORK : 0) | (unwritten ? RMAP_UNWRITTEN : 0) | hi) >>> 0;
      const agBlock = this.#geometry.agBlockOfFsBlock(startBlock);
      this.#table(startBlock).add(agBlock, count, this.#ownerHi, this.#ownerLo, flags, fileBlock % TWO32);
    }
  }

  #bad(rule: string, field: string, fileBlock: number, expected: string | number, found: string | number): void {
    this.partial = true;
    if (!this.#claim) return;
    const where = { inode: this.#inode, structure: this.#attr ? 'attr' : 'data', field, fileBlock };
    this.#context.problems.add('EXTENT_BAD', where, expected, found, { rule });
  }
}

/** A fork for directory and attribute code. */
export class CheckFork implements ForkReader {
  readonly geometry: Geometry;
  readonly inode: number;
  readonly blockBytes: number;
  readonly blockBlocks: number;
  readonly localCapacity: number;
  readonly #context: CheckContext;
  readonly #local: DataView | undefined;
  readonly #extents: ExtentList;

  /** @param local the local form's bytes, or undefined when the fork has `extents`. */
  constructor(context: CheckContext, inode: number, attr: boolean, local: DataView | undefined, extents: ExtentList) {
    this.#context = context;
    this.geometry = context.geometry;
    this.inode = inode;
    this.blockBlocks = attr ? 1 : this.geometry.dirBlockBlocks;
    this.blockBytes = this.blockBlocks * this.geometry.blockSize;
    this.localCapacity = local?.byteLength ?? 0;
    this.#local = local;
    this.#extents = extents;
  }

  local(): DataView | undefined {
    return this.#local;
  }

  find(fileBlock: number, type: BlockType): Buffer | undefined {
    const { reader } = this.#context;
    const list = this.#extents;
    let i = list.find(fileBlock);
    const end = fileBlock + this.blockBlocks;
    if (i < 0 || fileBlock >= list.fileBlock[i]! + list.blockCount[i]!) {
      if (++i < list.length && list.fileBlock[i]! < end) throw this.#half(fileBlock, 0);
      return undefined;
    }
    const into = fileBlock - list.fileBlock[i]!;
    const daddr = this.geometry.fsBlockToDaddr(list.startBlock[i]! + into);
    if (into + this.blockBlocks <= list.blockCount[i]!) return reader.get(daddr, this.blockBytes, type);
    const segments: Segment[] = [];
    let at = fileBlock;
    for (; i < list.length && at < end && list.fileBlock[i]! <= at; i++) {
      const skip = at - list.fileBlock[i]!;
      const count = Math.min(end - at, list.blockCount[i]! - skip);
      const start = this.geometry.fsBlockToDaddr(list.startBlock[i]! + skip);
      const last = segments.at(-1);
      const length = count * this.geometry.blockSize;
      if (last && last.daddr + last.length / BASIC_BLOCK === start) {
        segments[segments.length - 1] = { daddr: last.daddr, length: last.length + length };
      } else segments.push({ daddr: start, length });
      at += count;
    }
    if (at < end) throw this.#half(fileBlock, at - fileBlock);
    return reader.getSegments(segments, type);
  }

  /** @param found blocks from its first on that are mapped. */
  #half(fileBlock: number, found: number): CadastreError {
    return corrupt('HALF_MAPPED', `inode ${this.inode}: block at ${fileBlock} is not wholly mapped`, {
      where: { inode: this.inode, fileBlock: fileBlock + found, field: 'block' },
      expected: `${this.blockBlocks} blocks`,
      found,
    });
  }

  *mapped(from: number, to: number): Iterable<number> {
    const list = this.#extents;
    const step = this.blockBlocks;
    let next = from;
    for (let i = Math.max(0, list.find(from)); i < list.length && list.fileBlock[i]! < to; i++) {
      const end = Math.min(to, list.fileBlock[i]! + list.blockCount[i]!);
      const first = Math.max(next, list.fileBlock[i]! - (list.fileBlock[i]! % step));
      for (let block = first; block < end; block += step) {
        yield block;
        next = block + step;
      }
    }
  }

  lastMapped(before: number): number | undefined {
    if (before <= 0) return undefined;
    const list = this.#extents;
    const i = list.find(before - 1);
    if (i < 0) return undefined;
    const last = Math.min(before, list.fileBlock[i]! + list.blockCount[i]!) - 1;
    return last - (last % this.blockBlocks);
  }
}
