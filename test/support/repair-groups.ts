/** Stage 4 of a repair alone: what it makes of an image whose AG structures are damaged and nothing else. */
import { type CheckResult, check } from '../../lib/check/check.ts';
import type { Device } from '../../lib/device/device.ts';
import { decideChunks } from '../../lib/repair/groups/chunks.ts';
import { rebuildGroups } from '../../lib/repair/groups/rebuild.ts';
import { PlanDevice } from '../../lib/repair/plan-device.ts';
import { RepairReport } from '../../lib/repair/report.ts';
import { RepairState } from '../../lib/repair/state.ts';

export interface GroupsMended {
  readonly before: CheckResult;
  readonly after: CheckResult;
  readonly plan: PlanDevice;
  readonly report: RepairReport;
}

/** Decide the chunks and rebuild the AGs on a plan over `device`; its superblock must be good. */
export function mendGroups(device: Device): GroupsMended {
  const plan = new PlanDevice(device);
  const before = check(plan, { ignoreLog: true, toTheEnd: true });
  if (!before.observed) throw new Error(`nothing observed: ${before.problems[0]?.message}`);
  const report = new RepairReport();
  const state = new RepairState(plan, before.observed.context.geometry, before, report, {});
  state.chunks = decideChunks(state);
  rebuildGroups(state);
  return { before, after: check(plan, { ignoreLog: true }), plan, report };
}
