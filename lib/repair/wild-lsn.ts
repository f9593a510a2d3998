/**
 * Blocks that say they were written later than the log has come. A few of them are damaged themselves and lose their LSN;
 * many mean that the log was replaced by an older one, and get a new log in a later cycle.
 */
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { BASIC_BLOCK } from '../../formats/geometry.ts';
import type { CheckResult } from '../check/check.ts';
import type { Problem } from '../check/problems.ts';
import type { Device } from '../device/device.ts';
import { MAX_LOG_CYCLE } from '../journal/clean-log.ts';
import { isDirectoryType, kindOf } from '../journal/recovery/block-kinds.ts';
import type { RepairReport } from './report.ts';

/** More blocks than this do not become damaged in the same field. */
const FEW = 8;
const SECTORS: { readonly [structure: string]: 0 | 1 | 2 | 3 } = {
  Superblock: 0,
  superblock: 0,
  AGF: 1,
  AGI: 2,
  AGFL: 3,
};

/** True when the log must begin anew in a cycle beyond `observed.context.latest`. */
export function needsLaterLog(first: CheckResult): boolean {
  const count = first.damaged.codes.get('LSN_AHEAD') ?? 0;
  return count > FEW && first.observed?.context.latest !== undefined;
}

/** Take the LSN from blocks that have an impossible one. @param later the log begins anew, in a cycle beyond those that can be. */
export function dropWildLsns(
  plan: Device,
  geometry: Geometry,
  first: CheckResult,
  report: RepairReport,
  later: boolean,
): void {
  for (const problem of first.problems) {
    if (problem.code !== 'LSN_AHEAD') continue;
    if (later && Number.parseInt(String(problem.found), 10) < MAX_LOG_CYCLE) continue;
    if (!dropLsn(plan, geometry, problem)) continue;
    const { ag, inode } = problem.where;
    const text = `${problem.where.structure} claimed to be newer than the log: its LSN was reset`;
    report.did('log', text, { ...(ag === undefined ? {} : { ag }), ...(inode === undefined ? {} : { inode }) });
  }
}

function dropLsn(plan: Device, geometry: Geometry, { where }: Problem): boolean {
  const { ag, block, structure = '' } = where;
  if (ag === undefined) return false;
  const sector = block === undefined ? SECTORS[structure] : undefined;
  if (block === undefined && sector === undefined) return false;
  const daddr = sector === undefined ? geometry.agBlockToDaddr(ag, block!) : geometry.agHeaderDaddr(ag, sector);
  const at = daddr * BASIC_BLOCK;
  const bytes = new Uint8Array(
    sector === undefined ? Math.max(geometry.blockSize, geometry.dirBlockSize) : geometry.sectorSize,
  );
  plan.read(at, bytes.subarray(0, Math.min(bytes.length, plan.size - at)));
  const kind = kindOf(new DataView(bytes.buffer), geometry);
  if (!kind || kind.type.lsnOffset < 0) return false;
  const length =
    sector !== undefined ? bytes.length : isDirectoryType(kind.logType) ? geometry.dirBlockSize : geometry.blockSize;
  const own = bytes.subarray(0, length);
  own.fill(0, kind.type.lsnOffset, kind.type.lsnOffset + 8);
  sealCrc(own, kind.type.crcOffset);
  plan.write(at, own);
  return true;
}
