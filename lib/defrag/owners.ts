/**
 * Who maps a data block: all files and places, so that a block can move for all of them. Read off the reverse map where the
 * image has one; else off a table of all shared blocks, made once from the forks and kept true while blocks move.
 */
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_OFFSET_HI_MASK, RMAP_UNWRITTEN } from '../../formats/btree-blocks.ts';
import { NULL32 } from '../../formats/struct.ts';
import { forEachOverlap } from '../btree/btree.ts';
import type { BlockReader } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import { forEachInode } from '../volume/inodes.ts';
import type { Volume } from '../volume/volume.ts';
import type { Moves } from './moves.ts';

const TWO32 = 2 ** 32;

/** One mapping of a file, clipped to what was asked for. Blocks are fs blocks. */
export type OwnerVisitor = (inode: number, fileBlock: number, start: number, count: number, unwritten: boolean) => void;

export interface Owners {
  /** Every mapping of blocks in a range of data. Throws `corrupt` when something else than file data owns one. */
  forEach(reader: BlockReader, start: number, count: number, visit: OwnerVisitor): void;
  /** The moves have been made, for all owners. */
  moved(moves: Moves): void;
}

/** The owners of an image's shared blocks. Reads all inodes when there is no reverse map. */
export function openOwners(volume: Volume): Owners {
  return volume.geometry.features.rmapbt ? new RegisterOwners(volume) : new TableOwners(volume);
}

class RegisterOwners implements Owners {
  readonly #volume: Volume;

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  forEach(reader: BlockReader, start: number, count: number, visit: OwnerVisitor): void {
    const { geometry, space } = this.#volume;
    const ag = geometry.agOfFsBlock(start);
    const first = geometry.agBlockOfFsBlock(start);
    const base = start - first;
    const tree = space.ag(reader, ag).tree('rmapbt');
    forEachOverlap(reader, tree, first, first + count, (view, at) => {
      const from = Math.max(first, view.getUint32(at));
      const end = Math.min(first + count, view.getUint32(at) + view.getUint32(at + 4));
      const ownerHi = view.getUint32(at + 8);
      const offsetHi = view.getUint32(at + 16);
      if (ownerHi === NULL32 || (offsetHi & (RMAP_ATTR_FORK | RMAP_BMBT_BLOCK)) !== 0) {
        throw corrupt('DATA_CLAIMED', `block ${from} of AG ${ag} is file data, but the reverse map says otherwise`, {
          where: { ag, block: from, structure: 'rmapbt' },
        });
      }
      const fileBlock = (offsetHi & RMAP_OFFSET_HI_MASK) * TWO32 + view.getUint32(at + 20);
      const inode = ownerHi * TWO32 + view.getUint32(at + 12);
      const unwritten = (offsetHi & RMAP_UNWRITTEN) !== 0;
      visit(inode, fileBlock + (from - view.getUint32(at)), base + from, end - from, unwritten);
    });
  }

  moved(): void {
    // The reverse map itself has changed.
  }
}

/** Rows that came after the table was sorted: looked at one by one, so they are sorted in when there are many. */
const MOST_LATE = 256;

/** Mappings of blocks that the refcount tree says are shared. Sorted by start; some hundred bytes a row. */
class TableOwners implements Owners {
  #rows: Row[] = [];
  /** Greatest end of the rows up to each. */
  #ends = new Float64Array(0);
  #late: Row[] = [];

  constructor(volume: Volume) {
    const { space, cache } = volume;
    let failure: unknown;
    forEachInode(volume, {
      visit: (inode) => {
        if (!inode.isFile || !inode.isReflink) return;
        new Fork(inode, 'data').forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
          space.sharedRuns(cache, startBlock, blockCount, (start, count) => {
            const at = fileBlock + (start - startBlock);
            this.#rows.push({ inode: inode.number, fileBlock: at, start, count, unwritten, gone: false });
            return undefined;
          });
        });
      },
      failed: (error) => {
        failure ??= error;
      },
    });
    // A file that cannot be read may own anything.
    if (failure) throw failure;
    this.#sort();
  }

  #sort(): void {
    if (this.#late.length > 0) this.#rows = [...this.#rows, ...this.#late].filter(({ gone }) => !gone);
    this.#late = [];
    this.#rows.sort((a, b) => a.start - b.start || a.inode - b.inode || a.fileBlock - b.fileBlock);
    this.#ends = new Float64Array(this.#rows.length);
    let end = 0;
    for (const [i, row] of this.#rows.entries()) this.#ends[i] = end = Math.max(end, row.start + row.count);
  }

  forEach(_reader: BlockReader, start: number, count: number, visit: OwnerVisitor): void {
    this.#overlapping(start, start + count, (row) => {
      const from = Math.max(start, row.start);
      const end = Math.min(start + count, row.start + row.count);
      visit(row.inode, row.fileBlock + (from - row.start), from, end - from, row.unwritten);
    });
  }

  #overlapping(start: number, end: number, visit: (row: Row) => void): void {
    const rows = this.#rows;
    let low = 0;
    let high = rows.length;
    // The first row that any row up to it reaches behind `start`.
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ends[middle]! <= start) low = middle + 1;
      else high = middle;
    }
    for (let i = low; i < rows.length && rows[i]!.start < end; i++) {
      const row = rows[i]!;
      if (!row.gone && row.start + row.count > start) visit(row);
    }
    for (const row of this.#late) if (!row.gone && row.start < end && row.start + row.count > start) visit(row);
  }

  moved(moves: Moves): void {
    const touched: Row[] = [];
    for (let i = 0; i < moves.length; i++) {
      this.#overlapping(moves.from[i]!, moves.from[i]! + moves.count[i]!, (row) => {
        row.gone = true;
        touched.push(row);
      });
    }
    touched.sort((a, b) => a.inode - b.inode || a.fileBlock - b.fileBlock);
    const added: Row[] = [];
    for (const { inode, fileBlock, start, count, unwritten } of touched) {
      let at = fileBlock;
      moves.forEachPart(start, count, (to, length) => {
        const last = added.at(-1);
        if (
          last?.inode === inode &&
          last.unwritten === unwritten &&
          last.fileBlock + last.count === at &&
          last.start + last.count === to
        ) {
          last.count += length;
        } else added.push({ inode, fileBlock: at, start: to, count: length, unwritten, gone: false });
        at += length;
      });
    }
    for (const row of added) this.#late.push(row);
    if (this.#late.length > MOST_LATE) this.#sort();
  }
}

interface Row {
  readonly inode: number;
  readonly fileBlock: number;
  readonly start: number;
  count: number;
  readonly unwritten: boolean;
  gone: boolean;
}
