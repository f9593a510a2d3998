/**
 * Claims against the reverse map of one AG: two sorted streams, read side by side.
 *
 * 1. What both have is marked `registered`, what only the register has is reported. Owners who could not be read are
 *    presumed to own what the register says, so that their blocks do not count as lost.
 * 2. What only the claims have is left for `reportMissing`: where claims collide, the dispute says it better.
 */
import { RMAP_UNWRITTEN } from '../../../formats/btree-blocks.ts';
import { type ExtentTable, MARK, plain } from '../claims.ts';
import type { CheckContext } from '../context.ts';
import { describeRow } from '../describe.ts';
import { type InodeTable, NONE, STATE } from '../inode-table.ts';
import type { ProblemPlace } from '../problems.ts';

/** Rows of the register that are looked at for one that covers a claim: more have to share a block first. */
const LOOK_BACK = 256;
/** Pieces of one row that the register may have instead of the whole. */
const MOST_PIECES = 64;

export class RegisterCompare {
  readonly #context: CheckContext;
  readonly #ag: number;
  readonly #table: InodeTable;
  /** Special owners whose claims are incomplete. */
  readonly #uncertain: ReadonlySet<number>;
  readonly #claims: ExtentTable;
  readonly #recorded: ExtentTable;
  /** Rows of the register that were used out of turn. */
  readonly #used = new Set<number>();

  constructor(context: CheckContext, ag: number, table: InodeTable, uncertain: ReadonlySet<number>) {
    this.#context = context;
    this.#ag = ag;
    this.#table = table;
    this.#uncertain = uncertain;
    this.#claims = context.claims[ag]!;
    this.#recorded = context.recorded[ag]!;
  }

  /** The claims must be sorted; the register is sorted by its own rule. */
  run(): void {
    this.#presume();
    const claims = this.#claims;
    const recorded = this.#recorded;
    let i = 0;
    let k = 0;
    while (i < claims.length || k < recorded.length) {
      if (k < recorded.length && this.#used.has(k)) {
        k++;
        continue;
      }
      const order = i >= claims.length ? 1 : k >= recorded.length ? -1 : claims.compare(i, recorded, k);
      if (order < 0) i++;
      else if (order > 0) this.#extra(k++);
      else this.#same(i++, k++);
    }
  }

  /**
   * What the register says of owners who could not be read whole is taken over, in place of what little was seen of them:
   * a row of the register may join blocks that were seen with blocks that were not.
   */
  #presume(): void {
    const claims = this.#claims;
    const recorded = this.#recorded;
    const taken: number[] = [];
    for (let k = 0; k < recorded.length; k++) if (this.#mayBeOwned(k)) taken.push(k);
    if (taken.length === 0) return;
    const marks = new Uint8Array(claims.length + taken.length);
    let kept = 0;
    let next = 0;
    for (let i = 0; i < claims.length; i++) {
      const end = claims.start[i]! + claims.count[i]!;
      // Both are sorted by start: the row that covers this claim is one of the last that start at or before it.
      while (next < taken.length && recorded.start[taken[next]!]! <= claims.start[i]!) next++;
      let covered = false;
      for (let t = next - 1; t >= 0 && t >= next - LOOK_BACK && !covered; t--) {
        const k = taken[t]!;
        covered =
          recorded.start[k]! + recorded.count[k]! >= end &&
          recorded.ownerLo[k] === claims.ownerLo[i] &&
          recorded.ownerHi[k] === claims.ownerHi[i];
      }
      if (!covered) claims.moveRow(i, kept++);
    }
    claims.length = kept;
    for (const k of taken) {
      const r = recorded;
      marks[claims.length] = MARK.presumed;
      claims.push(r.start[k]!, r.count[k]!, r.ownerHi[k]!, r.ownerLo[k]!, r.offsetHi[k]!, r.offsetLo[k]!);
    }
    claims.sortWith(marks);
  }

  /** Rows that are claimed but not registered, outside disputes. */
  reportMissing(): void {
    const claims = this.#claims;
    for (let i = 0; i < claims.length; i++) {
      if ((claims.marks[i]! & (MARK.registered | MARK.disputed)) !== 0) continue;
      this.#context.problems.add('RMAP_MISSING', this.#where(claims, i), describeRow(claims, i), 'nothing');
    }
  }

  /** Same start, owner and place: length and state may still differ. */
  #same(i: number, k: number): void {
    const claims = this.#claims;
    const recorded = this.#recorded;
    claims.marks[i]! |= MARK.registered;
    const flag = (claims.offsetHi[i]! ^ recorded.offsetHi[k]!) & RMAP_UNWRITTEN;
    const count = claims.count[i]!;
    const found = recorded.count[k]!;
    if (flag === 0 && count === found) return;
    const where = this.#where(claims, i);
    if (flag === 0 && found < count && this.#pieces(i, k)) {
      this.#context.problems.add('RMAP_NOT_MERGED', where, describeRow(claims, i), describeRow(recorded, k));
    } else {
      this.#context.problems.add('RMAP_MISMATCH', where, describeRow(claims, i), describeRow(recorded, k));
    }
  }

  /** Do rows behind k make up the rest of claim i? */
  #pieces(i: number, k: number): boolean {
    const claims = this.#claims;
    const recorded = this.#recorded;
    const end = claims.start[i]! + claims.count[i]!;
    let next = recorded.start[k]! + recorded.count[k]!;
    const pieces: number[] = [];
    for (let row = k + 1; row < recorded.length && row < k + MOST_PIECES && next < end; row++) {
      if (recorded.start[row]! > next) break;
      const isNext =
        recorded.start[row] === next &&
        recorded.ownerHi[row] === claims.ownerHi[i] &&
        recorded.ownerLo[row] === claims.ownerLo[i] &&
        plain(recorded.offsetHi[row]!) === plain(claims.offsetHi[i]!);
      if (!isNext) continue;
      pieces.push(row);
      next += recorded.count[row]!;
    }
    if (next !== end) return false;
    for (const row of pieces) this.#used.add(row);
    return true;
  }

  #extra(k: number): void {
    const recorded = this.#recorded;
    this.#context.problems.add('RMAP_EXTRA', this.#where(recorded, k), 'nothing', describeRow(recorded, k));
  }

  #mayBeOwned(k: number): boolean {
    const recorded = this.#recorded;
    if (recorded.isSpecial(k)) return this.#uncertain.has(recorded.ownerLo[k]!);
    const index = this.#table.indexOf(recorded.owner(k));
    const state = index === NONE ? 0 : this.#table.state[index]!;
    if ((state & (STATE.unreadable | STATE.partial)) !== 0) return true;
    // Of somebody who was seen and read whole, the claims are known; others may be missing where not all could be read.
    return (state & STATE.used) === 0 && !this.#context.claimsComplete;
  }

  #where(table: ExtentTable, i: number): ProblemPlace {
    const where: ProblemPlace = {
      ag: this.#ag,
      block: table.start[i]!,
      blockCount: table.count[i]!,
      structure: 'rmapbt',
    };
    if (!table.isSpecial(i)) {
      where.inode = table.owner(i);
      if (table.isForkData(i)) where.fileBlock = table.fileBlock(i);
    }
    return where;
  }
}
