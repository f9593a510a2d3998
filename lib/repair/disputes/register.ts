/**
 * The register as a witness: does it name a claim as it stands, and if not, where does it say that the claimant's own
 * blocks are?
 *
 * 1. A row of the claims that the register has word for word is found by one merge per AG; only the others are looked at
 *    closely, through an index of what the register says of their inodes.
 * 2. That the register does not name a claim means something only where its tree could be read to the end. What it names
 *    elsewhere means something wherever it was read.
 */
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { Observed } from '../../check/check.ts';
import { type ExtentTable, plain } from '../../check/claims.ts';

/** A stretch of a claim about which the register says one thing. */
export interface Stretch {
  /** Blocks from the start of what was asked about. */
  readonly skip: number;
  readonly count: number;
  /** The register has these blocks at this place of this fork. */
  readonly registered: boolean;
  /** Where else it says that this place of the fork is. */
  readonly homes: readonly Home[];
}

export interface Home {
  readonly fsBlock: number;
  readonly unwritten: boolean;
}

/** Rows of one fork in the index. */
interface Rows {
  readonly from: number;
  readonly to: number;
  /** Length of the longest. */
  readonly longest: number;
}

export class Register {
  readonly #geometry: Geometry;
  readonly #observed: Observed;
  /** By AG: 1 for each claim that is registered word for word. Undefined: nothing is known. */
  readonly #exact: (Uint8Array | undefined)[] = [];
  readonly #fileBlock: number[] = [];
  readonly #fsBlock: number[] = [];
  readonly #count: number[] = [];
  readonly #unwritten: boolean[] = [];
  #order = new Uint32Array(0);
  readonly #rows = new Map<string, Rows>();

  constructor(geometry: Geometry, observed: Observed) {
    this.#geometry = geometry;
    this.#observed = observed;
  }

  /** The image has a register and that of this AG could be read to the end. */
  isComplete(ag: number): boolean {
    return this.#observed.trees[ag]?.seen.rmapbt?.complete === true;
  }

  /** Some part of a register could be read. */
  get exists(): boolean {
    return this.#observed.context.recorded.some((table) => table.length > 0);
  }

  /** Marks of the claims of an AG, made once: see `#exact`. */
  exact(ag: number, claims: ExtentTable): Uint8Array | undefined {
    if (!this.isComplete(ag)) return undefined;
    return (this.#exact[ag] ??= matched(claims, this.#observed.context.recorded[ag]!));
  }

  /** Learn what the register says of these inodes: one pass over all of it. */
  index(inodes: ReadonlySet<number>): void {
    const keys: string[] = [];
    for (let ag = 0; ag < this.#geometry.agCount; ag++) {
      const table = this.#observed.context.recorded[ag]!;
      for (let row = 0; row < table.length; row++) {
        if (!table.isForkData(row) || !inodes.has(table.owner(row))) continue;
        keys.push(key(table.owner(row), (table.offsetHi[row]! & RMAP_ATTR_FORK) !== 0));
        this.#fileBlock.push(table.fileBlock(row));
        this.#fsBlock.push(this.#geometry.fsBlock(ag, table.start[row]!));
        this.#count.push(table.count[row]!);
        this.#unwritten.push((table.offsetHi[row]! & RMAP_UNWRITTEN) !== 0);
      }
    }
    const order = Uint32Array.from(keys, (_, i) => i);
    order.sort((a, b) =>
      keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : this.#fileBlock[a]! - this.#fileBlock[b]!,
    );
    this.#order = order;
    for (let from = 0; from < order.length; ) {
      const of = keys[order[from]!]!;
      let to = from;
      let longest = 0;
      for (; to < order.length && keys[order[to]!] === of; to++) longest = Math.max(longest, this.#count[order[to]!]!);
      this.#rows.set(of, { from, to, longest });
      from = to;
    }
  }

  /** What the register says of `count` blocks of an indexed fork that the fork has at `fsBlock`, stretch by stretch. */
  ask(inode: number, attr: boolean, fileBlock: number, count: number, fsBlock: number): Stretch[] {
    const near = this.#near(inode, attr, fileBlock, count);
    const cuts = new Set([0, count]);
    for (const i of near) {
      for (const edge of [this.#fileBlock[i]! - fileBlock, this.#fileBlock[i]! + this.#count[i]! - fileBlock]) {
        if (edge > 0 && edge < count) cuts.add(edge);
      }
    }
    const edges = [...cuts].sort((a, b) => a - b);
    const stretches: Stretch[] = [];
    for (let e = 0; e + 1 < edges.length; e++) {
      const skip = edges[e]!;
      const homes: Home[] = [];
      let registered = false;
      for (const i of near) {
        const into = fileBlock + skip - this.#fileBlock[i]!;
        if (into < 0 || into >= this.#count[i]!) continue;
        const at = this.#fsBlock[i]! + into;
        if (at === fsBlock + skip) registered = true;
        else homes.push({ fsBlock: at, unwritten: this.#unwritten[i]! });
      }
      stretches.push({ skip, count: edges[e + 1]! - skip, registered, homes });
    }
    return stretches;
  }

  /** Index rows that touch a part of a fork. */
  #near(inode: number, attr: boolean, fileBlock: number, count: number): number[] {
    const rows = this.#rows.get(key(inode, attr));
    if (!rows) return [];
    let low = rows.from;
    let high = rows.to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#fileBlock[this.#order[middle]!]! + rows.longest <= fileBlock) low = middle + 1;
      else high = middle;
    }
    const found: number[] = [];
    for (let k = low; k < rows.to; k++) {
      const i = this.#order[k]!;
      if (this.#fileBlock[i]! >= fileBlock + count) break;
      if (this.#fileBlock[i]! + this.#count[i]! > fileBlock) found.push(i);
    }
    return found;
  }

  /** Whose the register says these blocks are: the first row that touches them, or undefined. Rows of an unread tree count. */
  ownerOf(ag: number, agBlock: number, blockCount: number): { table: ExtentTable; row: number } | undefined {
    const table = this.#observed.context.recorded[ag]!;
    let low = 0;
    let high = table.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (table.start[middle]! < agBlock + blockCount) low = middle + 1;
      else high = middle;
    }
    for (let row = low - 1; row >= 0 && row >= low - LOOK_BACK; row--) {
      if (table.start[row]! + table.count[row]! > agBlock) return { table, row };
    }
    return undefined;
  }
}

/** Rows that may share a block with the one that is looked for. */
const LOOK_BACK = 64;

const key = (inode: number, attr: boolean): string => `${inode}${attr ? 'a' : 'd'}`;

/** Two sorted streams side by side: what both have, whatever they say of being written. */
function matched(claims: ExtentTable, recorded: ExtentTable): Uint8Array {
  const marks = new Uint8Array(claims.length);
  let k = 0;
  for (let i = 0; i < claims.length; i++) {
    while (k < recorded.length && claims.compare(i, recorded, k) > 0) k++;
    if (k >= recorded.length) break;
    if (claims.compare(i, recorded, k) === 0 && claims.count[i] === recorded.count[k]) marks[i] = 1;
  }
  return marks;
}

/** True for rows of extent trees. */
export function isTreeBlock(table: ExtentTable, row: number): boolean {
  return !table.isSpecial(row) && (plain(table.offsetHi[row]!) & RMAP_BMBT_BLOCK) !== 0;
}
