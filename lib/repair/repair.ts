/**
 * Repair: find a superblock, make the log good, then rounds of check and mend on a plan until the check is clean, then
 * write the plan out so that it happens whole or not at all.
 */
import { check } from '../check/check.ts';
import type { Device } from '../device/device.ts';
import { settleDisputes } from './disputes/disputes.ts';
import { writeForks } from './forks/write-forks.ts';
import { rebuildGroups } from './groups/rebuild.ts';
import { mendInodes } from './inodes/inodes.ts';
import { mendNames } from './names/names.ts';
import { PlanDevice } from './plan-device.ts';
import { RepairReport, type RepairResult } from './report.ts';
import { type RepairOptions, RepairState } from './state.ts';

const MOST_PASSES = 4;

export function repair(device: Device, options: RepairOptions = {}): RepairResult {
  const plan = new PlanDevice(device);
  const report = new RepairReport();
  const before = check(plan, { ignoreLog: true });
  let now = before;
  let passes = 0;
  while (!now.clean && now.observed && passes < MOST_PASSES) {
    passes++;
    const state = new RepairState(plan, now.observed.context.geometry, now, report, options);
    mendInodes(state);
    settleDisputes(state);
    writeForks(state);
    rebuildGroups(state);
    mendNames(state);
    now = check(plan, { ignoreLog: true });
  }
  return {
    clean: now.clean,
    problems: before.problems,
    problemCount: before.problemCount,
    remaining: now.problems,
    decisions: report.decisions,
    actions: report.actions,
    losses: report.losses,
    found: report.found,
    changed: plan.changedBytes > 0,
    passes,
  };
}
