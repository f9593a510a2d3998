/**
 * What can be asked about claims, in one place: who claims a range, what free space and the refcounts said of it when the
 * pass began, what the owners' inodes say, whether bytes match their checksums. Everything is worked out when it is first
 * asked for: an image without disputes pays for none of it.
 */
import { Agf } from '../../../formats/ag-headers.ts';
import { CsumRecord } from '../../../formats/btree-blocks.ts';
import { crc32c } from '../../../formats/checksum.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { INODE_FLAG2, InodeCore, isBigtime, MODE, S_IFMT } from '../../../formats/inode.ts';
import { readTime } from '../../../formats/time.ts';
import { Cursor } from '../../btree/btree.ts';
import type { Observed } from '../../check/check.ts';
import type { ExtentTable } from '../../check/claims.ts';
import type { AgTrees } from '../../check/observe/ag-trees.ts';
import { agTree } from '../../check/observe/tree-run.ts';
import { RunList } from '../../check/rows.ts';
import { CadastreError } from '../../errors.ts';
import { readExtents } from '../forks/extents.ts';
import type { Claims } from '../groups/observe.ts';
import { asSet, intersect, unite } from '../groups/runs.ts';
import { Overlaps } from '../overlaps.ts';
import type { ForkExtents } from '../pending.ts';
import { readSlot } from '../slot.ts';
import type { RepairState } from '../state.ts';
import { type ClaimKind, isAgTree, kindOfRow } from './kinds.ts';
import { Register } from './register.ts';
import { SelfDescriptions } from './self.ts';

/** What an inode says of itself. */
export interface InodeFacts {
  readonly size: number;
  readonly reflink: boolean;
  readonly isFile: boolean;
  /** Seconds since 1970, with fractions. */
  readonly changed: number;
  readonly changeCount: number;
}

/** Inodes whose facts are remembered. */
const MOST_FACTS = 4096;
const at = InodeCore.offsets;

export class Evidence {
  readonly geometry: Geometry;
  readonly observed: Observed;
  readonly claims: Claims;
  readonly register: Register;
  readonly self: SelfDescriptions;
  readonly #state: RepairState;
  readonly #overlaps: Overlaps[] = [];
  readonly #trees: RunList[] = [];
  readonly #free: FreeRuns[] = [];
  readonly #facts = new Map<number, InodeFacts>();
  readonly #extents = new Map<string, ForkExtents>();
  readonly #sums = new Map<number, Cursor | undefined>();

  constructor(state: RepairState, observed: Observed) {
    this.#state = state;
    this.geometry = state.geometry;
    this.observed = observed;
    this.claims = state.claims;
    this.register = new Register(state.geometry, observed);
    this.self = new SelfDescriptions(state.plan, state.geometry, (inode, attr) => this.extentsOf(inode, attr));
  }

  table(ag: number): ExtentTable {
    return this.claims.tables[ag]!;
  }

  kind(ag: number, row: number): ClaimKind {
    return kindOfRow(this.table(ag), row, this.claims.inodes);
  }

  /** Marks of the claims that the register has word for word; undefined where it is not known. */
  exact(ag: number): Uint8Array | undefined {
    return this.register.exact(ag, this.table(ag));
  }

  /** The extents of a fork as it shall be, or as it stands on the plan. */
  extentsOf(inode: number, attr: boolean): ForkExtents {
    const pending = this.#state.pendingFork(inode, attr);
    if (pending) return pending.extents;
    const key = `${inode}${attr}`;
    let extents = this.#extents.get(key);
    if (!extents) {
      if (this.#extents.size >= MOST_FACTS) this.#extents.clear();
      extents = readExtents(this.#state.plan, this.geometry, inode, attr);
      this.#extents.set(key, extents);
    }
    return extents;
  }

  /** Every claim that touches [from, to). */
  overlapping(ag: number, from: number, to: number, visit: (row: number) => void): void {
    const overlaps = (this.#overlaps[ag] ??= new Overlaps(this.table(ag)));
    overlaps.some(from, to, (row) => {
      visit(row);
      return false;
    });
  }

  /** Blocks that trees of the AG and its free list had when the pass began, ascending. */
  treeRuns(ag: number): RunList {
    return (this.#trees[ag] ??= treeRuns(this.observed.context.claims[ag]!));
  }

  /** What both free-space trees, as far as they could be read, call free: ascending. Undefined when neither could be. */
  freeRuns(ag: number): RunList | undefined {
    return this.#freeOf(ag).both;
  }
  /** What at least one of them calls free. */
  perhapsFree(ag: number): RunList | undefined {
    return this.#freeOf(ag).either;
  }
  #freeOf(ag: number): FreeRuns {
    return (this.#free[ag] ??= freeRuns(this.observed.trees[ag]!));
  }

  /** How many of these blocks were recorded as free; undefined when it is not known. */
  freeBlocksIn(ag: number, agBlock: number, count: number): number | undefined {
    const runs = this.freeRuns(ag);
    return runs && blocksIn(runs, agBlock, agBlock + count);
  }

  /** Does a tree or the free list of the AG have one of these blocks? */
  isAgTree(ag: number, agBlock: number, count: number): boolean {
    return blocksIn(this.treeRuns(ag), agBlock, agBlock + count) > 0;
  }

  /** Recorded number of owners of a block (1: no record); undefined when it is not known. */
  refcount(ag: number, agBlock: number): number | undefined {
    const trees = this.observed.trees[ag];
    if (!this.geometry.features.reflink || !trees?.seen.refcountbt?.complete) return undefined;
    const { shared } = trees;
    const i = lastFrom(shared, agBlock);
    return i >= 0 && agBlock < shared.start[i]! + shared.count[i]! ? shared.value[i]! : 1;
  }

  facts(inode: number): InodeFacts {
    let facts = this.#facts.get(inode);
    if (!facts) {
      if (this.#facts.size >= MOST_FACTS) this.#facts.clear();
      facts = factsOf(readSlot(this.#state.plan, this.geometry, inode));
      this.#facts.set(inode, facts);
    }
    return facts;
  }

  /** Do these blocks hold nothing but zeroes, as far as they can be read? */
  isZero(ag: number, agBlock: number, count: number): boolean {
    const { blockSize } = this.geometry;
    const bytes = new Uint8Array(blockSize);
    for (let block = agBlock; block < agBlock + count; block++) {
      this.#state.plan.read(this.geometry.agBlockToByte(ag, block), bytes);
      if (bytes.some((byte) => byte !== 0)) return false;
    }
    return true;
  }

  /** Of these blocks: how many have a checksum, and how many match it. */
  checksums(fsBlock: number, count: number): { known: number; match: number } {
    const { geometry } = this;
    const sum = { known: 0, match: 0 };
    if (!geometry.features.dataChecksums) return sum;
    const ag = geometry.agOfFsBlock(fsBlock);
    const first = geometry.agBlockOfFsBlock(fsBlock);
    const bytes = new Uint8Array(geometry.blockSize);
    try {
      for (let block = first; block < first + Math.min(count, MOST_SUMMED); block++) {
        const expected = this.#checksum(ag, block);
        if (expected === undefined) continue;
        sum.known++;
        this.#state.plan.read(geometry.agBlockToByte(ag, block), bytes);
        if (crc32c(bytes) === expected) sum.match++;
      }
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
    }
    return sum;
  }

  #checksum(ag: number, block: number): number | undefined {
    if (!this.#sums.has(ag)) {
      const { agf } = this.observed.headers[ag]!;
      const complete = this.observed.trees[ag]!.seen.csumbt?.complete;
      const { context } = this.observed;
      let cursor: Cursor | undefined;
      if (agf && complete) {
        const { csumRoot, csumLevel } = Agf.at(agf);
        cursor = new Cursor(agTree(context, ag, 'csumbt', csumRoot, csumLevel), context.reader);
      }
      this.#sums.set(ag, cursor);
    }
    const cursor = this.#sums.get(ag);
    if (!cursor?.seekLE(block)) return undefined;
    const { view, offset } = cursor;
    const into = block - view.getUint32(offset);
    return into < view.getUint32(offset + 4) ? view.getUint32(offset + CsumRecord.offsets.crcs + 4 * into) : undefined;
  }
}

/** Blocks of one range whose checksums are compared: evidence, not a data check. */
const MOST_SUMMED = 64;

function factsOf(slot: DataView): InodeFacts {
  const { seconds, nanoseconds } = readTime(slot, at.ctime, isBigtime(slot, 0));
  return {
    size: slot.getUint32(at.size) * 2 ** 32 + slot.getUint32(at.size + 4),
    reflink: (slot.getUint8(127) & INODE_FLAG2.REFLINK) !== 0,
    isFile: (slot.getUint16(at.mode) & S_IFMT) === MODE.FILE,
    changed: seconds + nanoseconds / 1e9,
    changeCount: slot.getUint32(at.changecount) * 2 ** 32 + slot.getUint32(at.changecount + 4),
  };
}

interface FreeRuns {
  readonly both: RunList | undefined;
  readonly either: RunList | undefined;
}

function freeRuns({ seen, byStart, byLength }: AgTrees): FreeRuns {
  const lists = [seen.bnobt?.complete ? byStart : undefined, seen.cntbt?.complete ? byLength : undefined];
  const [one, other] = lists.flatMap((list) => (list ? [setOf(list)] : []));
  return { both: one && other ? intersect(one, other) : one, either: one && other ? unite(one, other) : one };
}

function setOf(list: RunList): RunList {
  const copy = new RunList();
  for (let i = 0; i < list.length; i++) copy.push(list.start[i]!, list.count[i]!);
  return asSet(copy);
}

function treeRuns(table: ExtentTable): RunList {
  const runs = new RunList();
  for (let row = 0; row < table.length; row++) {
    if (isAgTree(table, row)) runs.push(table.start[row]!, table.count[row]!);
  }
  return asSet(runs);
}

/** Last run that starts at or before a block, or -1. */
export function lastFrom(runs: RunList, block: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs.start[middle]! <= block) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Blocks of [from, to) that the runs have. */
export function blocksIn(runs: RunList, from: number, to: number): number {
  let sum = 0;
  for (let i = Math.max(0, lastFrom(runs, from)); i < runs.length && runs.start[i]! < to; i++) {
    sum += Math.max(0, Math.min(to, runs.start[i]! + runs.count[i]!) - Math.max(from, runs.start[i]!));
  }
  return sum;
}
