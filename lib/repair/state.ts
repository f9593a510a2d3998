/**
 * What the stages of one pass share. Every stage works on the *plan*: an overlay of the image that nothing has been
 * written through yet. A stage leaves on the plan what it decided, and the next one observes it there.
 *
 *   1 inodes     chunks found, cores mended, forks read as far as they can be            (inodes/)
 *   2 disputes   claims that collide judged on evidence; forks edited                     (disputes/)
 *   3 forks      every fork that has to be written anew gets its form and its tree blocks  (forks/)
 *   4 groups     AG headers and trees rebuilt from the claims, copies of the superblock    (groups/)
 *   5 names      straight on the plan: attributes, symlinks, directories, links, lost+found (names/)
 *
 * 1. Blocks are taken from `free` only until stage 4 has published free space on the plan; afterwards through Space.
 * 2. `pending` forks stand empty in their inode on the plan (a few bytes), and here as they shall be: whoever wants to
 *    know the claims adds both, which `observed` does.
 * 3. What the first check of the pass saw stays available as evidence: `first`.
 */

import type { Geometry } from '../../formats/geometry.ts';
import type { Seen } from '../check/carry.ts';
import type { CheckResult } from '../check/check.ts';
import type { ChunkList } from '../check/inode-table.ts';

import { blankFork } from './forks/blank.ts';
import { FreeMap, type TakenRun } from './groups/free-map.ts';
import { type Claims, observeClaims } from './groups/observe.ts';
import type { CopiedRange, KeptRange, PendingFork } from './pending.ts';
import type { PlanDevice } from './plan-device.ts';
import type { Decision, RepairReport } from './report.ts';

export type ConflictPolicy = 'auto' | 'share' | 'copy' | 'owner';

export interface RepairOptions {
  /** How disputes over blocks are settled; default `auto`: on evidence. */
  conflicts?: ConflictPolicy;
  /** Asked for each dispute before it is settled (--interactive); returns the action to take among those offered. */
  decide?: (proposal: Decision, choices: readonly string[]) => string;
  /** Throw away a log that can be read but not replayed. */
  discardLog?: boolean;
  /** Plan everything, write nothing. */
  dryRun?: boolean;
  /** Problems kept in the result. */
  maxProblems?: number;
  progress?: ((phase: string, done: number, total: number) => void) | undefined;
  /** An aborted repair throws `Cancelled`; nothing has been written then. */
  signal?: { readonly aborted: boolean } | undefined;
}

export class RepairState {
  readonly plan: PlanDevice;
  readonly geometry: Geometry;
  readonly report: RepairReport;
  readonly options: RepairOptions;
  /** The check this pass began with, AG trees and register (`observed.context.recorded`, `observed.trees`) included. */
  readonly first: CheckResult;
  readonly #pending = new Map<string, PendingFork>();
  readonly #kept: KeptRange[] = [];
  readonly #left = new Set<string>();
  /** AGs whose headers and trees stage 4 must rebuild whatever the first check said of them. */
  readonly dirtyAgs = new Set<number>();
  #chunks: readonly ChunkList[] | undefined;
  /** Inodes that changed on the plan; undefined: any may have. */
  #changed: Set<number> | undefined = new Set();
  #observed: Claims | undefined;
  #free: FreeMap | undefined;

  constructor(plan: PlanDevice, geometry: Geometry, first: CheckResult, report: RepairReport, options: RepairOptions) {
    this.plan = plan;
    this.geometry = geometry;
    this.first = first;
    this.report = report;
    this.options = options;
  }

  /** Chunks by AG as stage 1 decided them (free bits: from the inodes on disk). Undefined: those of the first check hold. */
  get chunks(): readonly ChunkList[] | undefined {
    return this.#chunks;
  }
  set chunks(lists: readonly ChunkList[] | undefined) {
    if (lists === this.#chunks) return;
    this.#chunks = lists;
    this.#observed = undefined;
    this.#seen = undefined;
    this.#forgetFree();
  }

  /** Forks that stage 3 has to write. */
  get pending(): Iterable<PendingFork> {
    return this.#pending.values();
  }

  pendingFork(inode: number, attr: boolean): PendingFork | undefined {
    return this.#pending.get(key(inode, attr));
  }

  /** This is how the fork shall be; on the plan it stands empty from now on. Replaces what was pending before. */
  setFork(fork: PendingFork): void {
    blankFork(this.plan, this.geometry, fork.inode, fork.attr);
    this.#pending.set(key(fork.inode, fork.attr), fork);
    this.#changed?.add(fork.inode);
    this.#observed = undefined;
    const { extents } = fork;
    for (let i = 0; i < extents.length; i++) this.#exclude(extents.startBlock[i]!, extents.blockCount[i]!);
  }

  /** Whoever was asked wants this fork left as it is: no stage asks again. */
  leaveFork(inode: number, attr: boolean): void {
    this.#left.add(key(inode, attr));
  }
  isLeft(inode: number, attr: boolean): boolean {
    return this.#left.has(key(inode, attr));
  }

  /** Stage 3 has written all of them. */
  forksWritten(): void {
    this.#pending.clear();
    this.#observed = undefined;
  }

  /**
   * Somebody changed an inode, or its forks, on the plan: claims are observed anew when next asked for. Without a number
   * all inodes are looked at again, which takes as long as a check does.
   */
  planChanged(inode?: number): void {
    if (inode === undefined) this.#changed = undefined;
    else this.#changed?.add(inode);
    this.#observed = undefined;
    this.#forgetFree();
  }

  /** Inodes that earlier stages changed on the plan; undefined: any may have. */
  get changed(): ReadonlySet<number> | undefined {
    return this.#changed;
  }

  /** Ranges that must not be freed. */
  get kept(): readonly KeptRange[] {
    return this.#kept;
  }
  keep(range: KeptRange): void {
    this.#kept.push(range);
    this.#free?.exclude(range.ag, range.agBlock, range.blockCount);
  }

  /** Copies of data that were made on the plan. */
  readonly copies: CopiedRange[] = [];

  /** Everything claimed now, by AG: headers, log, inode chunks, forks (pending ones as they shall be), no AG trees. */
  get claims(): Claims {
    this.#observed ??= observeClaims({
      plan: this.plan,
      geometry: this.geometry,
      first: this.first,
      chunks: this.#chunks,
      pending: [...this.#pending.values()],
      changed: this.#changed,
    });
    this.#seen ??= this.#observed.seen;
    return this.#observed;
  }

  /** What stood on the plan, at some time in this pass, in chunks that the first check did not know. */
  get seen(): Seen | undefined {
    return this.#seen;
  }
  #seen: Seen | undefined;

  /**
   * Blocks that may be taken now: nobody claims them, they are not kept, and nothing that is evidence stands there.
   * What was taken stays taken for the whole pass.
   */
  get free(): FreeMap {
    this.#free ??= FreeMap.of(this.geometry, this.claims, this.first, this.#kept, this.#taken);
    this.#taken = [];
    return this.#free;
  }
  /** Taken from a map that had to be forgotten. */
  #taken: readonly TakenRun[] = [];

  #forgetFree(): void {
    if (this.#free) this.#taken = this.#free.taken;
    this.#free = undefined;
  }
  #exclude(fsBlock: number, blockCount: number): void {
    const { geometry } = this;
    this.#free?.exclude(geometry.agOfFsBlock(fsBlock), geometry.agBlockOfFsBlock(fsBlock), blockCount);
  }
}

const key = (inode: number, attr: boolean): string => `${inode}/${attr ? 'attr' : 'data'}`;
