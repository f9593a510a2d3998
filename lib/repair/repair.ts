/**
 * Repair: find a superblock, make the log good, then rounds of check and mend on a plan until the check is clean, then
 * write the plan out so that it happens whole or not at all.
 *
 *   device  <-  lower (superblock, size)  <-  log (replayed, or a new one)  <-  plan (everything the stages do)
 *
 * R1. Nothing is written to the device before the plan is finished and was checked. The superblock and the log come first then,
 *     each by itself and repeatable; everything else is published by `writeOut`.
 * R2. A plan that is not better than what was there is not written.
 * R3. The second repair finds nothing to do: the plan was checked by the same check that begins the next one.
 */
import type { Geometry } from '../../formats/geometry.ts';
import { inodeCoreFault } from '../../formats/inode-verify.ts';
import type { Earlier } from '../check/carry.ts';
import { type CheckResult, check } from '../check/check.ts';
import { Cancelled, CheckContext } from '../check/context.ts';
import { NONE } from '../check/inode-table.ts';
import { observeLog } from '../check/observe/log.ts';
import { observePrimary } from '../check/observe/superblocks.ts';
import { pathsOf } from '../check/paths.ts';
import { ProblemLog } from '../check/problems.ts';
import type { Device } from '../device/device.ts';
import { CadastreError, corrupt } from '../errors.ts';
import { settleDisputes } from './disputes/disputes.ts';
import { writeForks } from './forks/write-forks.ts';
import { rebuildGroups } from './groups/rebuild.ts';
import { mendInodes } from './inodes/inodes.ts';
import { planFreshLog, planLog } from './log.ts';
import { cutLostTail } from './lost-tail.ts';
import { mendNames } from './names/names.ts';
import { changedBlocks, PlanDevice } from './plan-device.ts';
import { recountQuota } from './quota.ts';
import { RepairReport, type RepairResult } from './report.ts';
import { readSlot } from './slot.ts';
import { type RepairOptions, RepairState } from './state.ts';
import { findSuperblock } from './superblock.ts';
import { dropWildLsns, needsLaterLog } from './wild-lsn.ts';
import { writeOut } from './write-out/write-out.ts';

const MOST_PASSES = 4;
const DEFAULT_MAX_PROBLEMS = 1000;

/**
 * Repair an image. The result says what was found, decided, changed and lost.
 * Throws `corrupt` NO_SUPERBLOCK, NO_FIT, LOG_REPLAY; `unsupported` for what is not handled; ENOSPC, which says how much is missing;
 * `Cancelled`. The device is unchanged then. `device` errors while it is written leave what a crash would.
 */
export function repair(device: Device, options: RepairOptions = {}): RepairResult {
  return new Repair(device, options).run();
}

class Repair {
  readonly #device: Device;
  readonly #options: RepairOptions;
  readonly #report = new RepairReport();
  readonly #early: ProblemLog;
  /** What is done to the device itself before the plan is written, in this order. */
  readonly #steps: ((image: Device) => void)[] = [];

  constructor(device: Device, options: RepairOptions) {
    this.#device = device;
    this.#options = options;
    this.#early = new ProblemLog(options.maxProblems ?? DEFAULT_MAX_PROBLEMS);
  }

  run(): RepairResult {
    const { geometry, lower } = this.#prepare();
    let first = this.#check('check', lower, undefined);
    let base = lower;
    if (!fitsAnything(first)) {
      throw corrupt(
        'NO_FIT',
        'the superblock fits nothing in the image: no AG header and no root directory is where it says',
        {
          where: { ag: 0, structure: 'Superblock' },
        },
      );
    }
    if (needsLaterLog(first)) {
      const { cycle } = first.observed!.context.latest!;
      const fresh = planFreshLog(lower, geometry, cycle);
      this.#steps.push(fresh.apply);
      this.#report.did('log', 'a new log was made, in a cycle beyond everything that was ever written');
      base = fresh.device;
    }
    const plan = new PlanDevice(base, true);
    if (!first.clean) recountQuota(plan, geometry, this.#report);
    const begun = first;
    let passes = 0;
    while (!first.clean && first.observed && passes < MOST_PASSES) {
      // A later pass sees blocks that could not be reached before; the log is what it is by then.
      dropWildLsns(plan, geometry, first, this.#report, passes === 0 && base !== lower);
      const state = new RepairState(plan, geometry, first, this.#report, this.#options);
      this.#pass(state, passes++);
      const before = first.problemCount;
      first = this.#verify(state, base !== lower);
      // A pass that changed nothing for the better will not do so when it is repeated.
      if (passes > 1 && first.problemCount >= before) break;
    }
    const { unlisted } = this.#report;
    if (unlisted > 0) this.#report.did('disputes', `${unlisted} more decisions were taken in the same ways`);
    const isBetter = first.clean || first.problemCount < begun.problemCount || this.#steps.length > 0;
    const changed = this.#steps.length > 0 || (!plan.isUnchanged && isBetter);
    if (changed && !this.#options.dryRun) this.#write(geometry, plan, begun, first);
    this.#addPaths(first);
    const early = this.#early;
    return {
      clean: first.clean,
      problems: [...early.problems, ...begun.problems],
      problemCount: early.total + begun.problemCount,
      remaining: first.problems,
      decisions: this.#report.decisions,
      actions: this.#report.actions,
      losses: this.#report.losses,
      found: this.#report.found,
      changed,
      passes,
    };
  }

  /** Superblock, size and log; gives the image as it is with all that in order. */
  #prepare(): { geometry: Geometry; lower: Device } {
    const device = this.#device;
    const report = this.#report;
    const { progress } = this.#options;
    const found = findSuperblock(device, (done, total) => progress?.('superblock', done, total));
    let { geometry } = found;
    this.#noteSuperblock(found.changes.length > 0);
    const lower = new PlanDevice(device);
    if (device.size < found.imageBytes) {
      const missing = found.imageBytes - device.size;
      report.did('superblock', `the image was cut short: it gets its ${found.imageBytes} bytes back`);
      report.lose('data', `the last ${missing} bytes of the image are gone`);
      lower.resize(found.imageBytes);
      this.#steps.push((image) => image.resize(found.imageBytes));
    }
    if (found.changes.length > 0) {
      for (const change of found.changes) report.did('superblock', change, { ag: 0 });
      lower.write(0, found.sector);
      this.#steps.push((image) => {
        image.write(0, found.sector);
        image.flush();
      });
    }
    const looksClean = observeLog(new CheckContext(lower, geometry, this.#early, {})) === 'clean';
    const log = planLog(lower, geometry, report, this.#options.discardLog === true, looksClean);
    if (log) {
      this.#steps.push(log.apply);
      // Replay may have brought a new superblock.
      geometry = findSuperblock(log.device).geometry;
    }
    return { geometry, lower: log?.device ?? lower };
  }

  /** Paths, as they are after the repair, of everything the report names by inode. */
  #addPaths({ observed }: CheckResult): void {
    const { decisions, actions, losses } = this.#report;
    // The number of an inode that was given up may be somebody else's by now.
    const about = losses.filter(({ what }) => what !== 'inode');
    const kept = decisions.flatMap(({ claimants }) => claimants.filter(({ outcome }) => outcome !== 'cleared'));
    const named = [...actions, ...about, ...kept];
    const nameless = named.filter((each) => each.inode !== undefined && each.path === undefined);
    if (!observed || nameless.length === 0) return;
    const inodes = new Set(nameless.map((each) => each.inode!));
    const paths = pathsOf(observed.context, observed.inodes, inodes);
    for (const each of nameless) {
      const path = paths.get(each.inode!);
      if (path !== undefined) each.path = path;
    }
  }

  /** What a check would say of the primary superblock; that there is none is no end, now that another was found. */
  #noteSuperblock(isReplaced: boolean): void {
    const seen = new ProblemLog(DEFAULT_MAX_PROBLEMS);
    observePrimary(this.#device, seen);
    const isKnown = seen.problems.every(({ code }) => code !== 'UNSUPPORTED');
    if (isKnown && (seen.total > 0 || !isReplaced)) {
      for (const { code, where, expected, found, rule } of seen.problems) {
        this.#early.add(code, where, expected, found, rule === undefined ? {} : { rule });
      }
    } else if (isReplaced) {
      const where = { ag: 0, structure: 'Superblock', field: isKnown ? 'geometry' : 'magicnum' };
      this.#early.add('SUPERBLOCK_BAD', where, 'what its copies say', isKnown ? 'something else' : 'no superblock');
    }
  }

  /** What the pass left: read again is what changed. Only what is clean is believed of that; what is wrong the whole check tells. */
  #verify({ plan, geometry, first, seen }: RepairState, hasNewLog: boolean): CheckResult {
    if (!hasNewLog && first.observed?.isWhole) {
      const some = this.#check('verify', plan, { result: first, changed: changedBlocks(plan, geometry), seen });
      if (some.clean || some.observed?.isWhole) return some;
    }
    return this.#check('verify', plan, undefined);
  }

  #check(phase: string, device: Device, since: Earlier | undefined): CheckResult {
    const { progress, signal, maxProblems } = this.#options;
    return check(device, {
      ignoreLog: true,
      toTheEnd: true,
      ...(since ? { since } : { keepEntries: true }),
      maxProblems: maxProblems ?? DEFAULT_MAX_PROBLEMS,
      progress: progress && ((part, done, total) => progress(`${phase}: ${part}`, done, total)),
      signal,
    });
  }

  #pass(state: RepairState, pass: number): void {
    this.#step('inodes');
    mendInodes(state);
    if (pass === 0 && this.#device.size < state.plan.size) cutLostTail(state, this.#device.size);
    this.#step('disputes');
    settleDisputes(state);
    this.#step('forks');
    writeForks(state);
    this.#step('groups');
    rebuildGroups(state);
    this.#step('names');
    mendNames(state);
  }

  #step(phase: string): void {
    if (this.#options.signal?.aborted) throw new Cancelled();
    this.#options.progress?.(phase, 0, 1);
  }

  #write(geometry: Geometry, plan: PlanDevice, begun: CheckResult, last: CheckResult): void {
    if (this.#options.signal?.aborted) throw new Cancelled();
    const device = this.#device;
    for (const step of this.#steps) step(device);
    if (plan.isUnchanged || !last.observed) return;
    writeOut(device, plan, geometry, begun, last.observed, this.#options);
  }
}

/**
 * Something in the image is as the superblock says. If nothing is, it is the superblock of something else, and a repair by it
 * would clear everything.
 */
function fitsAnything({ observed }: CheckResult): boolean {
  if (!observed || observed.headers.some(({ agf, agi }) => agf || agi)) return true;
  const { inodes, context } = observed;
  if (inodes.indexOf(context.geometry.rootInode) !== NONE) return true;
  try {
    const { device, geometry } = context;
    return (
      inodeCoreFault(readSlot(device, geometry, geometry.rootInode), 0, geometry, geometry.rootInode) === undefined
    );
  } catch (error) {
    if (error instanceof CadastreError) return false;
    throw error;
  }
}
