/**
 * The checker: observe (who claims what) → compare (claims against the register) → problems. Read-only.
 *
 * 1. Never throws for what the image holds; what cannot be read is a problem, and what depends on it is not guessed at.
 * 2. One pass over the inodes, one over the directories; memory is a few dozen bytes for each inode and extent.
 * 3. The claims stay available: repair decides the disputed ones and rebuilds the register from the rest.
 */
import { Superblock } from '../../formats/superblock.ts';
import type { Device } from '../device/device.ts';
import { Carry, type Earlier } from './carry.ts';
import { compareBlocks } from './compare/blocks.ts';
import { compareChecksums } from './compare/checksums.ts';
import {
  compareAgCounters,
  compareFreeTrees,
  compareSuperblockCounters,
  freeExtents,
  type ImageSums,
} from './compare/counters.ts';
import { compareInodeTrees } from './compare/inode-trees.ts';
import { compareLinks, followUnlinked, markSpecialInodes, strayUnlinked } from './compare/links.ts';
import { RegisterCompare } from './compare/register.ts';
import { CheckContext, type Progress } from './context.ts';
import { Counts } from './counts.ts';
import { verifyData } from './data.ts';
import { EntryLog } from './entry-log.ts';
import { InodeTable, STATE } from './inode-table.ts';
import { type AgHeaders, observeAgHeaders } from './observe/ag-headers.ts';
import { type AgTrees, observeAgTrees } from './observe/ag-trees.ts';
import { DirectoryObserver } from './observe/directories.ts';
import { InodeObserver } from './observe/inodes.ts';
import { observeLog } from './observe/log.ts';
import { observePrimary, observeSecondaries, type Primary } from './observe/superblocks.ts';
import { addPaths } from './paths.ts';
import { ProblemLog, TooManyProblems } from './problems.ts';
import type { CheckResult, Observed } from './result.ts';

export interface CheckOptions {
  /** Read all file data and compare it with its checksums (images that have them). */
  data?: boolean;
  /** The log was replayed, or its state does not matter: look at the metadata as it is. */
  ignoreLog?: boolean;
  /** Problems kept in the result; all are counted. Default 1000. */
  maxProblems?: number;
  /** Go on however many problems there are: repair wants to know all of them. */
  toTheEnd?: boolean;
  /** Keep the entries of sound directories in `Observed.entries`. */
  keepEntries?: boolean;
  /** What has not changed since this check is not read again. Ends early when something is wrong: then check the whole. */
  since?: Earlier;
  progress?: Progress | undefined;
  /** Checked now and then; an aborted run throws `Cancelled`. */
  signal?: { readonly aborted: boolean } | undefined;
}

export type { CheckResult, Observed } from './result.ts';

const DEFAULT_MAX_PROBLEMS = 1000;
/** More problems than this end a run that takes over what an earlier one saw. */
const ENOUGH = 1;

/**
 * Check an image. Throws only `Cancelled`, and internal errors.
 * @param device is not written.
 */
export function check(device: Device, options: CheckOptions = {}): CheckResult {
  const hopeless = options.since ? ENOUGH : options.toTheEnd ? Number.POSITIVE_INFINITY : undefined;
  const problems = new ProblemLog(options.maxProblems ?? DEFAULT_MAX_PROBLEMS, hopeless);
  const counts = new Counts();
  let observed: Observed | undefined;
  try {
    observed = run(device, problems, counts, options);
  } catch (error) {
    if (!(error instanceof TooManyProblems)) throw error;
    problems.giveUp();
  }
  return {
    clean: problems.total === 0,
    problems: problems.problems,
    problemCount: problems.total,
    damaged: problems.damaged,
    counts,
    observed,
  };
}

function run(device: Device, problems: ProblemLog, counts: Counts, options: CheckOptions): Observed | undefined {
  const primary = observePrimary(device, problems);
  if (!primary) return undefined;
  const { geometry } = primary;
  counts.blocks = geometry.blocks;
  const context = new CheckContext(device, geometry, problems, options);
  // What is in place may be older than what the log holds: nothing found there would mean anything.
  const log = options.ignoreLog ? problems.mute(() => observeLog(context)) : observeLog(context);
  if (log === 'dirty' && !options.ignoreLog) return undefined;
  context.checkLsn(primary.sector, Superblock.offsets.lsn, 'Superblock', { ag: 0 });
  observeSecondaries(context, primary, log === 'clean');

  const carry = carryFrom(options.since, context, primary);
  const headers: AgHeaders[] = [];
  const trees: AgTrees[] = [];
  for (let ag = 0; ag < geometry.agCount; ag++) {
    context.step('trees', ag, geometry.agCount);
    if (carry?.hasGroup(ag)) {
      headers.push(carry.before.headers[ag]!);
      trees.push(carry.before.trees[ag]!);
      context.recorded[ag] = carry.before.context.recorded[ag]!;
      continue;
    }
    headers.push(observeAgHeaders(context, ag));
    trees.push(observeAgTrees(context, ag, headers[ag]!));
  }
  const inodesComplete = trees.every((each) => each.seen.inobt?.complete);
  const chunks = trees.map((each) => each.chunks);
  const inodes = new InodeTable(geometry, chunks, inodesComplete && context.claimsComplete);
  const observer = new InodeObserver(context, inodes, counts);
  for (let ag = 0; ag < geometry.agCount; ag++) observer.run(ag, carry?.takeChunks(inodes, ag));
  carry?.takeClaims(context);
  markSpecialInodes(context, inodes, primary.sector);
  const entries = options.keepEntries && !carry ? new EntryLog() : undefined;
  const directories = new DirectoryObserver(context, inodes, counts, entries);
  directories.run(carry);
  directories.compareParents();

  const entriesComplete = inodes.complete && !isSomeDirectoryLost(inodes);
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const { agi } = headers[ag]!;
    if (agi) followUnlinked(context, inodes, ag, agi);
  }
  if (headers.every((each) => each.agi)) strayUnlinked(context, inodes);
  compareLinks(context, inodes, entriesComplete);
  compareAgs(context, inodes, headers, trees, primary, counts, log === 'clean', carry);
  const observed: Observed = { context, primary, headers, trees, inodes, entries, isWhole: !carry };
  if (options.data && geometry.features.dataChecksums) {
    for (let ag = 0; ag < geometry.agCount; ag++) {
      const { agf } = headers[ag]!;
      if (agf) verifyData(context, ag, agf, trees[ag]!.checksummed, counts);
    }
  }
  if (problems.problems.length > 0) addPaths(context, inodes);
  return observed;
}

/** What can be taken over; undefined: nothing. */
function carryFrom(earlier: Earlier | undefined, context: CheckContext, { sector }: Primary): Carry | undefined {
  const carry = earlier && Carry.of(earlier);
  if (!carry?.isOf(sector)) return undefined;
  context.latest = carry.before.context.latest;
  return carry;
}

/** Everything about the blocks and counters of each AG. */
function compareAgs(
  context: CheckContext,
  inodes: InodeTable,
  headers: readonly AgHeaders[],
  trees: readonly AgTrees[],
  primary: Primary,
  counts: Counts,
  countersKnown: boolean,
  carry: Carry | undefined,
): void {
  const { geometry, claims } = context;
  const { features } = geometry;
  const inodesReadable = !inodes.hasAny(STATE.unreadable | STATE.partial);
  const sums: ImageSums = { icount: 0, ifree: 0, fdblocks: 0 };
  for (let ag = 0; ag < geometry.agCount; ag++) {
    context.step('blocks', ag, geometry.agCount);
    if (carry?.isSame(ag)) {
      compareAgCounters(context, ag, headers[ag]!, trees[ag]!, sums);
      continue;
    }
    const { seen, uncertain, shared, chunks, freeChunks, checksummed } = trees[ag]!;
    compareFreeTrees(context, ag, trees[ag]!);
    if (features.finobt && seen.inobt?.complete && seen.finobt?.complete) {
      compareInodeTrees(context, ag, chunks, freeChunks);
    }
    claims[ag]!.sort();
    const hasRegister = features.rmapbt && seen.rmapbt?.complete === true;
    const register = new RegisterCompare(context, ag, inodes, uncertain);
    if (hasRegister) register.run();
    compareBlocks(context, inodes, {
      ag,
      free: freeExtents(trees[ag]!),
      shared: features.reflink && seen.refcountbt?.complete ? shared : undefined,
      hasRegister,
      complete: hasRegister || (context.claimsComplete && uncertain.size === 0 && inodesReadable),
    });
    if (hasRegister) register.reportMissing();
    if (features.dataChecksums && seen.csumbt?.complete)
      compareChecksums(context, inodes, ag, checksummed, context.claimsComplete && inodesReadable);
    compareAgCounters(context, ag, headers[ag]!, trees[ag]!, sums);
  }
  counts.freeBlocks = sums.fdblocks ?? 0;
  if (countersKnown) compareSuperblockCounters(context, primary.sector, sums);
}

/** A directory that could not be read, or an inode that may have been one: entries are missing from the counts. */
function isSomeDirectoryLost(inodes: InodeTable): boolean {
  const { state, mode } = inodes;
  for (let index = 0; index < state.length; index++) {
    if ((state[index]! & STATE.unreadable) !== 0) return true;
    if ((state[index]! & STATE.partial) !== 0 && (mode[index]! & 0xf000) === 0x4000) return true;
  }
  return false;
}
