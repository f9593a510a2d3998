/**
 * Who maps a data block: all files and places, so that a block can move for all of them. Read off the reverse map where the
 * image has one; else off a table of all shared blocks, made once from the forks and kept true while blocks move.
 */
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_OFFSET_HI_MASK, RMAP_UNWRITTEN } from '../../formats/btree-blocks.ts';
import { NULL32 } from '../../formats/struct.ts';
import { forEachOverlap, forEachRecord } from '../btree/btree.ts';
import type { BlockReader } from '../buffer/transaction.ts';
import { ExtentTable } from '../check/claims.ts';
import { corrupt } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import { forEachInode } from '../volume/inodes.ts';
import type { Volume } from '../volume/volume.ts';
import type { Moves } from './moves.ts';
import { Groups } from './order.ts';

const TWO32 = 2 ** 32;

/** One mapping of a file, clipped to what was asked for. Blocks are fs blocks. */
export type OwnerVisitor = (inode: number, fileBlock: number, start: number, count: number, unwritten: boolean) => void;

export interface Owners {
  /** Every mapping of blocks in a range of data. Throws `corrupt` when something else than file data owns one. */
  forEach(reader: BlockReader, start: number, count: number, visit: OwnerVisitor): void;
  /** The moves have been made, for all owners. */
  moved(moves: Moves): void;
  /** Files that share blocks, when nothing has moved yet; sharing stays the same while blocks move. */
  groups(): Groups;
}

/** Joins the files of rows that come in the order of their blocks, where those have blocks in common. */
class Sweep {
  readonly groups = new Groups();
  #end = 0;
  #inode = 0;

  /** Another AG. */
  restart(): void {
    this.#end = 0;
  }

  add(start: number, count: number, inode: number): void {
    if (start < this.#end) this.groups.join(this.#inode, inode);
    if (start + count <= this.#end) return;
    this.#end = start + count;
    this.#inode = inode;
  }
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

  groups(): Groups {
    const { geometry, space, cache } = this.#volume;
    const sweep = new Sweep();
    for (let ag = 0; ag < geometry.agCount; ag++) {
      sweep.restart();
      forEachRecord(cache, space.ag(cache, ag).tree('rmapbt'), (view, at) => {
        if (view.getUint32(at + 8) === NULL32) return;
        sweep.add(view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8) * TWO32 + view.getUint32(at + 12));
      });
    }
    return sweep.groups;
  }
}

/** Rows in order, with the greatest end of the rows up to each; a row that is not true any more has a mark. */
interface Layer {
  readonly table: ExtentTable;
  readonly ends: Uint32Array;
  gone: number;
}

/**
 * Mappings of blocks that the refcount tree says are shared: per AG some sorted layers, each at least twice as long as the
 * next, so that rows that come later cost no sorting of all others. Thirty bytes a row.
 */
class TableOwners implements Owners {
  readonly #volume: Volume;
  readonly #layers: Layer[][] = [];

  constructor(volume: Volume) {
    this.#volume = volume;
    const { space, cache } = volume;
    const rows = new Rows(volume);
    let failure: unknown;
    forEachInode(volume, {
      visit: (inode) => {
        if (!inode.isFile || !inode.isReflink) return;
        new Fork(inode, 'data').forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
          space.sharedRuns(cache, startBlock, blockCount, (start, count) => {
            rows.add(inode.number, fileBlock + (start - startBlock), start, count, unwritten);
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
    this.#take(rows);
  }

  forEach(_reader: BlockReader, start: number, count: number, visit: OwnerVisitor): void {
    const { geometry } = this.#volume;
    const first = geometry.agBlockOfFsBlock(start);
    const base = start - first;
    this.#overlapping(start, count, ({ table }, row) => {
      const from = Math.max(first, table.start[row]!);
      const end = Math.min(first + count, table.start[row]! + table.count[row]!);
      const fileBlock = table.fileBlock(row) + (from - table.start[row]!);
      visit(table.owner(row), fileBlock, base + from, end - from, isUnwritten(table, row));
    });
  }

  #overlapping(fsBlock: number, count: number, visit: (layer: Layer, row: number) => void): void {
    const { geometry } = this.#volume;
    const start = geometry.agBlockOfFsBlock(fsBlock);
    const end = start + count;
    for (const layer of this.#layers[geometry.agOfFsBlock(fsBlock)] ?? []) {
      const { table, ends } = layer;
      let low = 0;
      let high = table.length;
      // The first row that any row up to it reaches behind `start`.
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (ends[middle]! <= start) low = middle + 1;
        else high = middle;
      }
      for (let row = low; row < table.length && table.start[row]! < end; row++) {
        if (table.marks[row] === 0 && table.start[row]! + table.count[row]! > start) visit(layer, row);
      }
    }
  }

  groups(): Groups {
    const sweep = new Sweep();
    for (const layers of this.#layers) {
      for (const { table } of layers ?? []) {
        sweep.restart();
        for (let row = 0; row < table.length; row++) sweep.add(table.start[row]!, table.count[row]!, table.owner(row));
      }
    }
    return sweep.groups;
  }

  moved(moves: Moves): void {
    const { geometry } = this.#volume;
    const rows = new Rows(this.#volume);
    for (let i = 0; i < moves.length; i++) {
      const ag = geometry.agOfFsBlock(moves.from[i]!);
      this.#overlapping(moves.from[i]!, moves.count[i]!, (layer, row) => {
        const { table } = layer;
        table.marks[row] = 1;
        layer.gone++;
        const inode = table.owner(row);
        const unwritten = isUnwritten(table, row);
        let at = table.fileBlock(row);
        moves.forEachPart(geometry.fsBlock(ag, table.start[row]!), table.count[row]!, (to, count) => {
          rows.add(inode, at, to, count, unwritten);
          at += count;
        });
      });
    }
    this.#take(rows);
  }

  /** Rows that are true now become layers, joined with those that are not much longer. */
  #take(rows: Rows): void {
    for (const [ag, added] of rows.tables.entries()) {
      if (!added) continue;
      const layers = (this.#layers[ag] ??= []);
      let table = added;
      const live = ({ table: { length }, gone }: Layer): number => length - gone;
      for (let last = layers.at(-1); last && live(last) < 2 * table.length; last = layers.at(-1)) {
        layers.pop();
        table = joined(last, table);
      }
      table.sort();
      const ends = new Uint32Array(table.length);
      let end = 0;
      for (let i = 0; i < ends.length; i++) ends[i] = end = Math.max(end, table.start[i]! + table.count[i]!);
      layers.push({ table, ends, gone: 0 });
    }
  }
}

/** The rows of a layer that are true, and others. */
function joined({ table: old, gone }: Layer, added: ExtentTable): ExtentTable {
  if (gone === old.length) return added;
  for (let i = 0; i < old.length; i++) {
    if (old.marks[i] !== 0) continue;
    const { start, count, ownerHi, ownerLo, offsetHi, offsetLo } = old;
    added.push(start[i]!, count[i]!, ownerHi[i]!, ownerLo[i]!, offsetHi[i]!, offsetLo[i]!);
  }
  return added;
}

const isUnwritten = (table: ExtentTable, row: number): boolean => (table.offsetHi[row]! & RMAP_UNWRITTEN) !== 0;

/** Rows to be sorted, by AG. A row that goes on where the last one of the same file ends makes that longer. */
class Rows {
  readonly tables: (ExtentTable | undefined)[] = [];
  readonly #volume: Volume;
  /** The last row of each file, in the AG it is in. */
  readonly #last = new Map<number, { ag: number; row: number }>();

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  add(inode: number, fileBlock: number, fsBlock: number, count: number, unwritten: boolean): void {
    const { geometry } = this.#volume;
    const ag = geometry.agOfFsBlock(fsBlock);
    const start = geometry.agBlockOfFsBlock(fsBlock);
    const table = (this.tables[ag] ??= new ExtentTable());
    const last = this.#last.get(inode);
    if (last?.ag === ag) {
      const { row } = last;
      const length = table.count[row]!;
      const goesOn = table.start[row]! + length === start && table.fileBlock(row) + length === fileBlock;
      if (goesOn && isUnwritten(table, row) === unwritten) {
        table.count[row]! += count;
        return;
      }
      last.row = table.length;
    } else this.#last.set(inode, { ag, row: table.length });
    const offsetHi = Math.floor(fileBlock / TWO32) + (unwritten ? RMAP_UNWRITTEN : 0);
    table.push(start, count, Math.floor(inode / TWO32), inode % TWO32, offsetHi, fileBlock % TWO32);
  }
}
