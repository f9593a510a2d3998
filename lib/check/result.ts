/** What a check returns: its findings, and what it observed on the way. */
import type { CheckContext } from './context.ts';
import type { Counts } from './counts.ts';
import type { Damaged } from './damaged.ts';
import type { EntryLog } from './entry-log.ts';
import type { InodeTable } from './inode-table.ts';
import type { AgHeaders } from './observe/ag-headers.ts';
import type { AgTrees } from './observe/ag-trees.ts';
import type { Primary } from './observe/superblocks.ts';
import type { Problem } from './problems.ts';

export interface CheckResult {
  /** No problem of any severity. */
  readonly clean: boolean;
  readonly problems: readonly Problem[];
  /** All problems found, also those beyond `maxProblems`. */
  readonly problemCount: number;
  /** Everybody who has problems, also those beyond `maxProblems`. */
  readonly damaged: Damaged;
  /** Of what was looked at. */
  readonly counts: Counts;
  /** What was observed: for repair, `owners` and their like. Undefined when nothing could be. */
  readonly observed: Observed | undefined;
}

/** Everything a run knows, by AG where it is an array. Claims are sorted. */
export interface Observed {
  readonly context: CheckContext;
  readonly primary: Primary;
  readonly headers: readonly AgHeaders[];
  readonly trees: readonly AgTrees[];
  readonly inodes: InodeTable;
  /** See `CheckOptions.keepEntries`. */
  readonly entries: EntryLog | undefined;
  /** Nothing was taken over from an earlier check. */
  readonly isWhole: boolean;
}
