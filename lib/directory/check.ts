/**
 * The structural check of one directory, any form, on hostile input: it never throws for what is on disk, visits every
 * block once and stops when a directory is beyond counting.
 *
 * 1. Data blocks are read in order; each entry gives a pair {hash, dataptr}.
 * 2. The hash index gives pairs too. Both lists are sorted the same way and merged: what is in one only is a fault.
 * 3. bests (leaf form) and free index (node form) are compared with what the data blocks say.
 * Nothing here judges what inode numbers stand for; the visitor gets every entry for that.
 */
import type { BlockType, Fault } from '../../formats/block-type.ts';
import { DaHeader } from '../../formats/da.ts';
import {
  DIR_BLOCK,
  DIR_DATA,
  DIR_DOT_OFFSET,
  DIR_DOTDOT_OFFSET,
  DIR_FREE,
  DIR_FREE_TAG,
  DIR_LEAF1,
  DIR_NULL_BEST,
  dirBlockDataEnd,
  dirEntrySize,
  dirFreeSlots,
  shortDirSize,
} from '../../formats/directory.ts';
import { FTYPE } from '../../formats/inode.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { ForkReader } from '../buffer/fork-blocks.ts';
import { CadastreError } from '../errors.ts';
import { longestFree } from './data-block.ts';
import { freeBest, freeValid } from './free-index.ts';
import { LEAF_BASE, leafCount } from './hash-leaf.ts';
import { orderByHash } from './hash-sort.ts';
import { IndexWalk, PairList, type WalkHost } from './index-walk.ts';
import { block, DABLK_END, type DirectoryForm, directoryForm, directoryHash, freeStart, leafStart } from './layout.ts';
import { hasBadByte, nameKey } from './names.ts';
import { shortCount, shortForm, shortParent } from './short-form.ts';
import { type EntryVisitor, visitShort } from './visit.ts';

/** Something wrong, and in which file block; -1 for the short form and the directory as a whole. */
export interface DirectoryFault extends Fault {
  readonly fileBlock: number;
}

export interface DirectorySummary {
  form: DirectoryForm | undefined;
  /** Entries besides "." and "..". */
  entries: number;
  /** What di_size must be. */
  size: number;
  /** Inode of "..", undefined when it could not be read. */
  parent: number | undefined;
}

/** After so many faults the directory is given up: more would say nothing new. */
const MOST_FAULTS = 200;
/** Names with one hash that are compared with each other; more have to be crafted, and cost memory. */
const MOST_EQUAL_HASHES = 65536;

class GiveUp extends Error {}

/**
 * Check a directory. `report` gets every fault; `visit` every readable entry besides "." and ".." (its return value is
 * not used). Throws only what the device throws.
 */
export function checkDirectory(
  fork: ForkReader,
  report: (fault: DirectoryFault) => void,
  visit?: EntryVisitor,
): DirectorySummary {
  const checker = new DirectoryChecker(fork, report, visit);
  checker.run();
  return checker.summary;
}

class DirectoryChecker implements WalkHost {
  readonly fork: ForkReader;
  readonly summary: DirectorySummary = { form: undefined, entries: 0, size: 0, parent: undefined };
  readonly #report: (fault: DirectoryFault) => void;
  readonly #visit: EntryVisitor | undefined;
  #faults = 0;
  /** Pairs from data blocks, in the order of their dataptr. */
  readonly #data = new PairList();
  /** Data blocks in order, and the longest unused length of each; -1 = unreadable. */
  readonly #dataBlocks: number[] = [];
  readonly #bests: number[] = [];
  #unreadable = false;
  #dot = false;

  constructor(fork: ForkReader, report: (fault: DirectoryFault) => void, visit: EntryVisitor | undefined) {
    this.fork = fork;
    this.#report = report;
    this.#visit = visit;
  }

  run(): void {
    try {
      this.#guard(-1, () => {
        this.summary.form = directoryForm(this.fork);
      });
      const { form } = this.summary;
      if (form === 'local') this.#guard(-1, () => this.#short());
      else if (form !== undefined) this.#blocks(form);
    } catch (error) {
      if (!(error instanceof GiveUp)) throw error;
    }
  }

  report(fileBlock: number, code: string, field: string, expected: string | number, found: string | number): void {
    if (++this.#faults > MOST_FAULTS) {
      this.#report({
        code: 'DIR_TOO_DAMAGED',
        field: 'faults',
        expected: `at most ${MOST_FAULTS}`,
        found: 'more',
        fileBlock: -1,
      });
      throw new GiveUp();
    }
    this.#report({ code, field, expected, found, fileBlock });
  }

  read(fileBlock: number, type: BlockType): Buffer | undefined {
    return this.#guard(fileBlock, () => block(this.fork, fileBlock, type));
  }

  /** Run something that may throw `corrupt`, and report that instead. */
  #guard<T>(fileBlock: number, action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
      const { code, where, expected, found, message } = error;
      this.report(fileBlock, code, where.field ?? where.structure ?? 'block', expected ?? 'valid', found ?? message);
      return undefined;
    }
  }

  #short(): void {
    const view = shortForm(this.fork);
    this.summary.parent = shortParent(view);
    this.summary.entries = shortCount(view);
    this.summary.size = shortDirSize(view);
    const names = new Set<string>();
    visitShort(view, (inode, ftype, bytes, start, end, cookie) => {
      this.#name(-1, bytes, start, end);
      const key = this.#key(bytes, start, end);
      if (names.has(key))
        this.report(-1, 'DIR_DUPLICATE_NAME', `entry[${cookie * 8}].name`, 'a new name', 'one that exists');
      names.add(key);
      this.#visit?.(inode, ftype, bytes, start, end, cookie);
    });
  }

  #key(bytes: Uint8Array, start: number, end: number): string {
    return nameKey(bytes.subarray(start, end), this.fork.geometry.features.asciiCi);
  }

  /** What no entry may be called; dots are entries of their own place. */
  #name(fileBlock: number, bytes: Uint8Array, start: number, end: number): void {
    const dots = bytes[start] === 0x2e && (end - start === 1 || (end - start === 2 && bytes[start + 1] === 0x2e));
    if (dots || hasBadByte(bytes, start, end)) {
      this.report(
        fileBlock,
        'DIR_BAD_NAME',
        `name at ${start}`,
        'no "/", no NUL, not "." or ".."',
        this.#key(bytes, start, end),
      );
    }
  }

  #blocks(form: 'block' | 'leaf' | 'node'): void {
    const { fork } = this;
    const step = fork.blockBlocks;
    const most = Math.ceil(fork.geometry.blocks / step);
    const type = form === 'block' ? DIR_BLOCK : DIR_DATA;
    for (const fileBlock of fork.mapped(0, leafStart(fork))) {
      if (this.#dataBlocks.length === most) {
        this.report(fileBlock, 'DIR_TOO_MANY_BLOCKS', 'data blocks', `at most ${most}`, 'more');
        throw new GiveUp();
      }
      const buffer = this.read(fileBlock, type);
      this.#dataBlocks.push(fileBlock / step);
      this.#bests.push(buffer ? longestFree(buffer.view) : -1);
      if (!buffer) this.#unreadable = true;
      else this.#entries(buffer, fileBlock, form === 'block' ? dirBlockDataEnd(buffer.view) : fork.blockBytes);
    }
    const last = this.#dataBlocks.at(-1) ?? 0;
    this.summary.size = (last + 1) * fork.blockBytes;
    if (this.#dataBlocks[0] !== 0) this.report(0, 'DIR_MISSING_BLOCK', 'block', 'data block 0', 'a hole');
    if (this.#bests[0] !== -1) {
      if (!this.#dot) this.report(0, 'DIR_NO_DOT', `entry[${DIR_DOT_OFFSET}]`, '"."', 'something else');
      if (this.summary.parent === undefined) {
        this.report(0, 'DIR_NO_DOTDOT', `entry[${DIR_DOTDOT_OFFSET}]`, '".."', 'something else');
      }
    }
    this.#index(form);
  }

  #entries({ view, data }: Buffer, fileBlock: number, end: number): void {
    const { fork } = this;
    const cookie = (fileBlock / fork.blockBlocks) * (fork.blockBytes / 8);
    const fold = fork.geometry.features.asciiCi;
    for (let place = 64; place < end; ) {
      if (view.getUint16(place) === DIR_FREE_TAG) {
        place += view.getUint16(place + 2);
        continue;
      }
      const length = data[place + 8]!;
      const start = place + 9;
      const stop = start + length;
      // Hash and forbidden bytes in one pass; folding is rare and done by the shared function.
      let hash = 0;
      let bad = false;
      for (let i = start; i < stop; i++) {
        const byte = data[i]!;
        hash = byte ^ ((hash << 7) | (hash >>> 25));
        bad ||= byte === 0x2f || byte === 0;
      }
      this.#data.add(fold ? directoryHash(fork, data, start, stop) : hash >>> 0, cookie + place / 8);
      const inode = view.getUint32(place) * 2 ** 32 + view.getUint32(place + 4);
      const dots = data[start] === 0x2e && (length === 1 || (length === 2 && data[start + 1] === 0x2e));
      if (dots && fileBlock === 0 && place === (length === 1 ? DIR_DOT_OFFSET : DIR_DOTDOT_OFFSET)) {
        this.#dots(length, inode, data[stop]!);
      } else {
        if (bad || dots) this.#name(fileBlock, data, start, stop);
        this.summary.entries++;
        this.#visit?.(inode, data[stop]!, data, start, stop, cookie + place / 8);
      }
      place += dirEntrySize(length);
    }
  }

  #dots(length: number, inode: number, ftype: number): void {
    if (length === 1) {
      this.#dot = true;
      if (inode !== this.fork.inode) this.report(0, 'DIR_BAD_DOT', '"."', this.fork.inode, inode);
    } else this.summary.parent = inode;
    if (ftype !== FTYPE.DIR) this.report(0, 'BAD_FTYPE', length === 1 ? '"."' : '".."', FTYPE.DIR, ftype);
  }

  #index(form: 'block' | 'leaf' | 'node'): void {
    const { fork } = this;
    const walk = new IndexWalk(this, new PairList());
    if (form === 'block') {
      const buffer = this.#bests[0] === -1 ? undefined : this.read(0, DIR_BLOCK);
      if (!buffer) return;
      const start = dirBlockDataEnd(buffer.view);
      walk.pairs.addEntries(buffer.view, start, (fork.blockBytes - 8 - start) / 8);
    } else if (form === 'leaf') {
      const buffer = this.read(leafStart(fork), DIR_LEAF1);
      for (const stray of fork.mapped(leafStart(fork) + fork.blockBlocks, DABLK_END)) {
        this.report(stray, 'DIR_STRAY_BLOCK', 'block', 'no more than one index block', 'another');
      }
      if (!buffer) return;
      walk.pairs.addEntries(buffer.view, LEAF_BASE, leafCount(buffer.view));
      this.#leafBests(buffer.view);
    } else {
      walk.run();
      this.#freeIndex();
    }
    this.#compare(walk);
  }

  #leafBests(view: DataView): void {
    const start = leafStart(this.fork);
    for (const field of ['forw', 'back'] as const) {
      const found = view.getUint32(DaHeader.offsets[field]);
      if (found !== 0) this.report(start, 'BAD_SIBLING', field, 0, found);
    }
    const count = view.getUint32(view.byteLength - 4);
    const expected = (this.#dataBlocks.at(-1) ?? -1) + 1;
    if (count !== expected) this.report(start, 'DIR_BAD_BEST', 'bestcount', expected, count);
    const base = view.byteLength - 4 - 2 * count;
    for (let i = 0, next = 0; i < count; i++) {
      next = this.#compareBest(start, i, view.getUint16(base + 2 * i), next);
    }
  }

  /** Compare the best of a data block with the one at `next` in the list; returns the place for the block after. */
  #compareBest(fileBlock: number, dataBlock: number, found: number, next: number): number {
    const exists = this.#dataBlocks[next] === dataBlock;
    const expected = exists ? this.#bests[next]! : DIR_NULL_BEST;
    if (expected !== found && expected !== -1) {
      this.report(fileBlock, 'DIR_BAD_BEST', `bests[${dataBlock}]`, expected, found);
    }
    return exists ? next + 1 : next;
  }

  #freeIndex(): void {
    const { fork } = this;
    const slots = dirFreeSlots(fork.blockBytes);
    const start = freeStart(fork);
    let next = 0;
    for (const fileBlock of fork.mapped(start, DABLK_END)) {
      const first = ((fileBlock - start) / fork.blockBlocks) * slots;
      next = this.#uncovered(next, first);
      const buffer = this.read(fileBlock, DIR_FREE);
      if (!buffer) {
        while (next < this.#dataBlocks.length && this.#dataBlocks[next]! < first + slots) next++;
        continue;
      }
      const found = buffer.view.getUint32(48);
      if (found !== first) this.report(fileBlock, 'BAD_FIRSTDB', 'firstdb', first, found);
      const valid = freeValid(buffer.view);
      for (let slot = 0; slot < valid; slot++) {
        next = this.#compareBest(fileBlock, first + slot, freeBest(buffer.view, slot), next);
      }
      next = this.#uncovered(next, first + slots);
    }
    this.#uncovered(next, Number.POSITIVE_INFINITY);
  }

  /** Data blocks from place `next` in the list that lie below `limit` have no slot in the free index. */
  #uncovered(next: number, limit: number): number {
    while (next < this.#dataBlocks.length && this.#dataBlocks[next]! < limit) {
      this.report(-1, 'DIR_BAD_BEST', `free index slot of data block ${this.#dataBlocks[next]}`, 'there', 'missing');
      next++;
    }
    return next;
  }

  /** Entries and index entries must be the same set. */
  #compare(walk: IndexWalk): void {
    const a = this.#data;
    const b = walk.pairs;
    const order = orderByHash(a.hashes, a.length);
    this.#duplicates(order);
    const other = orderByPair(b);
    let i = 0;
    let k = 0;
    while (i < a.length || k < b.length) {
      const x = i < a.length ? order[i]! : -1;
      const y = k < b.length ? other[k]! : -1;
      let difference = x < 0 ? 1 : y < 0 ? -1 : a.hashes[x]! - b.hashes[y]!;
      if (difference === 0) difference = a.pointers[x]! - b.pointers[y]!;
      if (difference === 0) {
        i++;
        k++;
      } else if (difference < 0) {
        if (walk.complete) this.#pairFault('DIR_NOT_INDEXED', a.hashes[x]!, a.pointers[x]!, 'an index entry', 'none');
        i++;
      } else {
        if (!this.#isUnreadable(b.pointers[y]!)) {
          this.#pairFault('DIR_BAD_POINTER', b.hashes[y]!, b.pointers[y]!, 'an entry of this hash', 'none');
        }
        k++;
      }
    }
  }

  #pairFault(code: string, hash: number, pointer: number, expected: string, found: string): void {
    const dataBlock = Math.floor((pointer * 8) / this.fork.blockBytes);
    const field = `hash 0x${hash.toString(16).padStart(8, '0')}, offset ${(pointer * 8) % this.fork.blockBytes}`;
    this.report(dataBlock * this.fork.blockBlocks, code, field, expected, found);
  }

  #isUnreadable(pointer: number): boolean {
    if (!this.#unreadable) return false;
    const place = this.#dataBlocks.indexOf(Math.floor((pointer * 8) / this.fork.blockBytes));
    return place >= 0 && this.#bests[place] === -1;
  }

  /** Two entries of one name have one hash: look at runs of equal hashes only. */
  #duplicates(order: Uint32Array): void {
    const { hashes } = this.#data;
    for (let start = 0, i = 1; i <= order.length; i++) {
      if (i < order.length && hashes[order[i]!] === hashes[order[start]!]) continue;
      if (i - start > 1) this.#duplicatesIn(order.subarray(start, Math.min(i, start + MOST_EQUAL_HASHES)));
      start = i;
    }
  }

  #duplicatesIn(run: Uint32Array): void {
    const names = new Set<string>();
    for (const index of run) {
      const position = this.#data.pointers[index]! * 8;
      const fileBlock = Math.floor(position / this.fork.blockBytes) * this.fork.blockBlocks;
      const buffer = this.read(fileBlock, this.summary.form === 'block' ? DIR_BLOCK : DIR_DATA);
      if (!buffer) return;
      const offset = position % this.fork.blockBytes;
      const start = offset + 9;
      const key = this.#key(buffer.data, start, start + buffer.data[offset + 8]!);
      if (names.has(key)) {
        this.report(fileBlock, 'DIR_DUPLICATE_NAME', `entry[${offset}].name`, 'a new name', 'one that exists');
      }
      names.add(key);
    }
  }
}

/** The order by hash, then pointer. */
function orderByPair(pairs: PairList): Uint32Array {
  const order = orderByHash(pairs.hashes, pairs.length);
  const { hashes, pointers } = pairs;
  for (let start = 0, i = 1; i <= order.length; i++) {
    if (i < order.length && hashes[order[i]!] === hashes[order[start]!]) continue;
    if (i - start > 1) order.subarray(start, i).sort((one, two) => pointers[one]! - pointers[two]!);
    start = i;
  }
  return order;
}
