/**
 * What a repair says of itself: every problem it met, every decision over disputed blocks with its evidence, everything
 * it changed, and everything that could not be saved. Nothing is ever lost silently: who drops something calls `lose`.
 */
import type { Problem } from '../check/problems.ts';

export interface DisputedRange {
  readonly ag: number;
  readonly agBlock: number;
  readonly blockCount: number;
}

/** One owner of a disputed range, as JSON shows it. */
export interface DisputeClaimant {
  /** data, directory, symlink, attributes, extent-tree, inode, inodes, ag-headers, log, a tree of the AG ... */
  readonly kind: string;
  readonly inode?: number;
  path?: string;
  /** First disputed block of the claimant's fork. */
  readonly fileBlock?: number;
  /** What the register says of this claim; undefined without a readable register. */
  readonly registered?: boolean;
  /** What happened to this claimant: keeps, shares, restored, copied, hole, rebuilt. */
  outcome?: string;
}

/** A decision over one disputed range, over blocks that a fork is given back, or over an inode. */
export interface Decision {
  /** Of an inode: the block that it lies in. */
  readonly range: DisputedRange;
  readonly claimants: DisputeClaimant[];
  /** Sentences, strongest first. */
  readonly evidence: readonly string[];
  /** correct-refcount, restore, copy, share, metadata-keeps, self-description, correct-extent, remake-inode, stay ... */
  readonly action: string;
  /** Where the bytes are now, claimant by claimant, in one sentence. */
  readonly outcome: string;
}

/** Something repair changed, other than a decision. */
export interface Action {
  /** Stage of the repair: superblock, log, inodes, forks, ag, directories, attributes, links. */
  readonly stage: string;
  readonly text: string;
  readonly ag?: number;
  readonly inode?: number;
  path?: string;
}

/** Something that could not be kept. */
export interface Loss {
  /** What: "extents", "attribute", "entry", "inode", "symlink target", "data" ... */
  readonly what: string;
  readonly text: string;
  readonly inode?: number;
  path?: string;
  readonly fileBlock?: number;
  readonly blockCount?: number;
}

/** Something that was put into lost+found. */
export interface Found {
  readonly inode: number;
  /** Path in lost+found. */
  readonly path: string;
  /** Name it is known to have had. */
  readonly name?: string;
}

/** Decisions reported one by one; more are counted. */
const MOST_DECISIONS = 20_000;

/** Collects; the driver adds the problems and the verdict. */
export class RepairReport {
  readonly decisions: Decision[] = [];
  /** Decisions that were one too many. */
  unlisted = 0;
  readonly actions: Action[] = [];
  readonly losses: Loss[] = [];
  readonly found: Found[] = [];

  decide(decision: Decision): void {
    if (this.decisions.length < MOST_DECISIONS) this.decisions.push(decision);
    else this.unlisted++;
  }
  did(stage: string, text: string, where: { ag?: number; inode?: number } = {}): void {
    this.actions.push({ stage, text, ...where });
  }
  lose(what: string, text: string, where: { inode?: number; fileBlock?: number; blockCount?: number } = {}): void {
    this.losses.push({ what, text, ...where });
  }
}

/** The result of a repair; `--json` prints it. */
export interface RepairResult {
  /** The image, as it is now (or would be after a dry run), checks clean. */
  readonly clean: boolean;
  /** What the first check found. */
  readonly problems: readonly Problem[];
  readonly problemCount: number;
  /** What the last check still finds. */
  readonly remaining: readonly Problem[];
  readonly decisions: readonly Decision[];
  readonly actions: readonly Action[];
  readonly losses: readonly Loss[];
  readonly found: readonly Found[];
  /** Anything was (or would be) written. */
  readonly changed: boolean;
  /** Rounds of observing and mending. */
  readonly passes: number;
}
