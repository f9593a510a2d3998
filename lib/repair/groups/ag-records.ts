/**
 * The records that the trees of one AG must hold, from its claims: counts that are known before anything is written, and
 * writers that give record after record. No object per record; the claims themselves are the biggest source.
 */
import { REFCOUNT_COW, RMAP_ATTR_FORK } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { MODE, S_IFMT } from '../../../formats/inode.ts';
import type { ExtentTable } from '../../check/claims.ts';
import { radixOrder } from '../../check/claims.ts';
import { CHUNK, type ChunkList, type InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { RunList } from '../../check/rows.ts';

/** Records of a tree in key order. */
export interface RecordSource {
  readonly length: number;
  /** Record `index`; called in ascending order, once each. */
  write(view: DataView, offset: number, index: number): void;
}

/** bnobt records of free runs. */
export function freeByStart(free: RunList): RecordSource {
  return {
    length: free.length,
    write(view, offset, index) {
      view.setUint32(offset, free.start[index]!);
      view.setUint32(offset + 4, free.count[index]!);
    },
  };
}

/** cntbt records: by length, then start. */
export function freeByLength(free: RunList): RecordSource {
  const order = radixOrder(free.count, free.length);
  return {
    length: free.length,
    write(view, offset, index) {
      const row = order[index]!;
      view.setUint32(offset, free.start[row]!);
      view.setUint32(offset + 4, free.count[row]!);
    },
  };
}

/** Reverse-map records: the claims and the new trees' own blocks, merged. Both are sorted; owners never are the same. */
export class RmapRecords implements RecordSource {
  readonly length: number;
  readonly #claims: ExtentTable;
  readonly #own: ExtentTable;
  #row = 0;
  #ownRow = 0;

  /** @param claimRows distinct rows of the claims: `distinctRows`. */
  constructor(claims: ExtentTable, claimRows: number, own: ExtentTable) {
    this.#claims = claims;
    this.#own = own;
    this.length = claimRows + own.length;
  }

  write(view: DataView, offset: number): void {
    const claims = this.#claims;
    const own = this.#own;
    const fromClaims =
      this.#ownRow >= own.length || (this.#row < claims.length && claims.compare(this.#row, own, this.#ownRow) < 0);
    if (!fromClaims) {
      const row = this.#ownRow++;
      writeRow(view, offset, own, row, own.count[row]!);
      return;
    }
    const row = this.#row++;
    let count = claims.count[row]!;
    // The same claim twice is one record: the longer of them.
    while (this.#row < claims.length && claims.compare(row, claims, this.#row) === 0) {
      count = Math.max(count, claims.count[this.#row++]!);
    }
    writeRow(view, offset, claims, row, count);
  }
}

/** Rows of a sorted table with a key of their own. */
export function distinctRows(table: ExtentTable): number {
  let rows = table.length;
  for (let row = 1; row < table.length; row++) {
    if (table.start[row] === table.start[row - 1] && table.compare(row - 1, table, row) === 0) rows--;
  }
  return rows;
}

function writeRow(view: DataView, offset: number, table: ExtentTable, row: number, count: number): void {
  view.setUint32(offset, table.start[row]!);
  view.setUint32(offset + 4, count);
  view.setUint32(offset + 8, table.ownerHi[row]!);
  view.setUint32(offset + 12, table.ownerLo[row]!);
  view.setUint32(offset + 16, table.offsetHi[row]!);
  view.setUint32(offset + 20, table.offsetLo[row]!);
}

/** Blocks that several files share, with the number of owners. */
export function sharedRuns(claims: ExtentTable, inodes: InodeTable): RunList {
  const { start, count, length } = claims;
  const shared = new RunList();
  const isShareable = (row: number): boolean => {
    if (!claims.isForkData(row) || (claims.offsetHi[row]! & RMAP_ATTR_FORK) !== 0) return false;
    const index = inodes.indexOf(claims.owner(row));
    return index !== NONE && (inodes.mode[index]! & S_IFMT) === MODE.FILE;
  };
  for (let i = 0; i < length; ) {
    let end = start[i]! + count[i]!;
    let next = i + 1;
    while (next < length && start[next]! < end) end = Math.max(end, start[next]! + count[next++]!);
    if (next - i > 1) {
      const rows: number[] = [];
      for (let row = i; row < next; row++) if (isShareable(row)) rows.push(row);
      if (rows.length > 1) sweep(claims, rows, shared);
    }
    i = next;
  }
  return shared;
}

/** Between two events (a claim starts, a claim ends) the number of owners does not change. */
function sweep(claims: ExtentTable, rows: readonly number[], shared: RunList): void {
  const ends = Uint32Array.from(rows, (row) => claims.start[row]! + claims.count[row]!).sort();
  let starts = 0;
  let stops = 0;
  let depth = 0;
  let at = 0;
  while (stops < ends.length) {
    const start = starts < rows.length ? claims.start[rows[starts]!]! : Number.POSITIVE_INFINITY;
    const to = Math.min(start, ends[stops]!);
    if (depth > 1 && to > at) shared.join(at, to - at, depth);
    at = to;
    if (start <= ends[stops]!) {
      depth++;
      starts++;
    } else {
      depth--;
      stops++;
    }
  }
}

export function refcountRecords(shared: RunList): RecordSource {
  return {
    length: shared.length,
    write(view, offset, index) {
      view.setUint32(offset, shared.start[index]! % REFCOUNT_COW);
      view.setUint32(offset + 4, shared.count[index]!);
      view.setUint32(offset + 8, shared.value[index]!);
    },
  };
}

/** Chunk records of an AG with the free bits that follow from the inodes. */
export class ChunkRecords {
  readonly #geometry: Geometry;
  readonly #list: ChunkList;
  /** Free bits by chunk: those of holes are set. */
  readonly freeHi: Uint32Array;
  readonly freeLo: Uint32Array;
  /** Slots that exist, and free ones among them. */
  inodes = 0;
  freeInodes = 0;
  readonly #withFree: number[] = [];

  constructor(geometry: Geometry, inodes: InodeTable, ag: number) {
    this.#geometry = geometry;
    const list = inodes.chunks[ag]!;
    this.#list = list;
    this.freeHi = new Uint32Array(list.length);
    this.freeLo = new Uint32Array(list.length);
    for (let chunk = 0; chunk < list.length; chunk++) {
      const index = (inodes.firstChunk[ag]! + chunk) * CHUNK;
      let existing = 0;
      let free = 0;
      for (let slot = 0; slot < CHUNK; slot++) {
        const exists = list.exists(chunk, slot);
        if (exists) existing++;
        if (exists && (inodes.state[index + slot]! & (STATE.used | STATE.unreadable)) !== 0) continue;
        if (exists) free++;
        const words = slot < 32 ? this.freeLo : this.freeHi;
        words[chunk] = words[chunk]! | (1 << (slot & 31));
      }
      this.inodes += existing;
      this.freeInodes += free;
      if (free > 0) this.#withFree.push(chunk);
    }
  }

  /** True when the list that was read from the inode tree has the same free bits. */
  sameAs(list: ChunkList): boolean {
    if (list !== this.#list) return false;
    for (let chunk = 0; chunk < list.length; chunk++) {
      if (list.freeHi[chunk] !== this.freeHi[chunk] || list.freeLo[chunk] !== this.freeLo[chunk]) return false;
    }
    return true;
  }

  /** True when a chunk starts at this AG inode. */
  startsAt(agInode: number): boolean {
    for (let chunk = 0; chunk < this.#list.length; chunk++) if (this.#list.start[chunk] === agInode) return true;
    return false;
  }

  get all(): RecordSource {
    return { length: this.#list.length, write: (view, offset, index) => this.#write(view, offset, index) };
  }
  get withFree(): RecordSource {
    const chunks = this.#withFree;
    return { length: chunks.length, write: (view, offset, index) => this.#write(view, offset, chunks[index]!) };
  }

  #write(view: DataView, offset: number, chunk: number): void {
    const holemask = this.#list.holemask[chunk]!;
    let existing = 0;
    let free = 0;
    for (let slot = 0; slot < CHUNK; slot++) {
      if (!this.#list.exists(chunk, slot)) continue;
      existing++;
      const word = slot < 32 ? this.freeLo[chunk]! : this.freeHi[chunk]!;
      free += (word >>> (slot & 31)) & 1;
    }
    view.setUint32(offset, this.#list.start[chunk]!);
    if (this.#geometry.features.sparse) {
      view.setUint16(offset + 4, holemask);
      view.setUint8(offset + 6, existing);
      view.setUint8(offset + 7, free);
    } else view.setUint32(offset + 4, free);
    view.setUint32(offset + 8, this.freeHi[chunk]!);
    view.setUint32(offset + 12, this.freeLo[chunk]!);
  }
}
