/** What everybody who mends an inode is given. */
import type { PlanReader } from '../forks/plan-reader.ts';
import type { BlockSearch } from './block-search.ts';
import type { InodeDecisions } from './decisions.ts';
import type { EntryEvidence } from './entries.ts';
import type { LostRuns } from './without-register.ts';
import type { Witness } from './witness.ts';

export interface MendHelp {
  readonly reader: PlanReader;
  readonly witness: Witness;
  readonly entries: EntryEvidence;
  readonly search: BlockSearch;
  readonly lost: LostRuns;
  readonly decisions: InodeDecisions;
}
