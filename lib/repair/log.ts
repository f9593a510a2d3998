/**
 * The log made good, planned on layers over the image and carried out on the image itself when the repair is written.
 *
 * 1. A log that can be replayed is replayed. When what it left half done cannot be finished because the image is damaged,
 *    the blocks are put back all the same and the rest is left to repair: most of it concerns trees that are rebuilt. A
 *    change of something that is damaged itself is left out, and said.
 * 2. A log that cannot be read, or is all zeroes, is replaced by a new one; a log that can be read but not be replayed only when the user says
 *    so: it may hold the only copy of something.
 * 3. A new log stands in a cycle beyond every LSN in the image. For the plan its bytes are made when they are read.
 */
import type { Geometry } from '../../formats/geometry.ts';
import { LOG_ITEM } from '../../formats/log-items.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { Device } from '../device/device.ts';
import { CadastreError, corrupt, internal } from '../errors.ts';
import { BEYOND, FreshLog, freshLogCycle, resetLog } from '../journal/clean-log.ts';
import { type LogState, readLogState } from '../journal/log-reader.ts';
import type { ReplayFault } from '../journal/recovery/raw-blocks.ts';
import { type ReplayResult, replayLog } from '../journal/recovery/replay.ts';
import { sealDirectoryPieces } from '../recovery/directory-pieces.ts';
import { recover } from '../recovery/recover.ts';
import { PlanDevice } from './plan-device.ts';
import type { RepairReport } from './report.ts';

/** What makes a log good. */
export interface LogPlan {
  /** The image with a good log, for planning. */
  readonly device: Device;
  /** The same for good, on the image itself. */
  readonly apply: (device: Device) => void;
}

/** Changes that could not be replayed, told one by one. */
const MOST_TOLD = 50;

/** Findings that say "this is no log any more", rather than "a part of this log is damaged". */
const NO_LOG = new Set(['LOG_HEAD', 'LOG_CYCLE', 'LOG_SIZE', 'LOG_UUID']);

/**
 * @param looksClean what a check says of it. Undefined: the log is good. Throws `corrupt` LOG_REPLAY when it can be read but not replayed, and `discard` is not set.
 */
export function planLog(
  device: Device,
  geometry: Geometry,
  report: RepairReport,
  discard: boolean,
  looksClean: boolean,
): LogPlan | undefined {
  let state: LogState;
  try {
    state = readLogState(device, geometry);
  } catch (error) {
    if (!(error instanceof CadastreError)) throw error;
    if (error.family !== 'device' && !NO_LOG.has(error.code) && !discard) throw refusal(error);
    report.did('log', `the log could not be read (${error.message}): a new one was made`);
    report.lose('log', 'changes that were only in the log, if there were any, are lost');
    return planFreshLog(device, geometry);
  }
  if (state.clean) {
    if (state.previousBlock !== NULL32) {
      if (looksClean) return undefined;
      report.did('log', 'the log held nothing, but its end was not as it must be: an empty one was made');
      return planFreshLog(device, geometry);
    }
    report.did('log', 'the log was all zeroes: an empty one was made');
    report.lose('log', 'changes that were only in the log, if there were any, are lost');
    return planFreshLog(device, geometry);
  }
  if (discard) {
    report.did('log', 'the log was thrown away, as asked, and a new one made');
    report.lose('log', 'changes that were only in the log are lost');
    return planFreshLog(device, geometry);
  }
  return planReplay(device, geometry, state, report);
}

/** A new log instead of the old one. @param beyond a cycle that is in use somewhere in the image. */
export function planFreshLog(device: Device, geometry: Geometry, beyond = 0): LogPlan {
  const cycle = freshLogCycle(device, geometry, beyond);
  return {
    device: new FreshLogDevice(device, new FreshLog(geometry, cycle)),
    // `resetLog` goes beyond it.
    apply: (image) => void resetLog(image, geometry, cycle - BEYOND),
  };
}

function planReplay(device: Device, geometry: Geometry, state: LogState, report: RepairReport): LogPlan {
  const plan = new PlanDevice(device);
  try {
    const { checkpoints, unlinkedInodes } = recover(plan, geometry);
    report.did('log', `the log was replayed: ${checkpoints} checkpoints, ${unlinkedInodes} unlinked inodes freed`);
    return { device: plan, apply: (image) => void recover(image, geometry) };
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    return planBlocks(device, geometry, state, report);
  }
}

/** Blocks put back as far as that can be, everything else left to repair. */
function planBlocks(device: Device, geometry: Geometry, state: LogState, report: RepairReport): LogPlan {
  const replay = (image: Device, fault: ReplayFault): ReplayResult => {
    const result = replayLog(image, geometry, state, fault);
    try {
      sealDirectoryPieces(image, result);
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
      fault(error);
    }
    return result;
  };
  const plan = new PlanDevice(device);
  const faults: CadastreError[] = [];
  let left = 0;
  let result: ReplayResult;
  try {
    result = replay(plan, (error) => {
      if (left++ < MOST_TOLD) faults.push(error);
    });
  } catch (error) {
    if (!(error instanceof CadastreError)) throw error;
    throw refusal(error);
  }
  report.did('log', `the log was replayed: ${result.checkpoints} checkpoints`);
  for (const { message, where } of faults) {
    const of = where.inode === undefined ? '' : `inode ${where.inode}: `;
    report.lose('log', `${of}a change in the log could not be replayed: ${message}`);
  }
  if (left > faults.length) report.lose('log', `${left - faults.length} more changes in the log could not be replayed`);
  const lost = result.intents.filter(({ type }) => PRIMARY_INTENTS.has(type)).length;
  if (lost > 0) report.lose('log', `${lost} operations on files that the log only announced could not be finished`);
  const fresh = planFreshLog(plan, geometry);
  return {
    device: fresh.device,
    apply: (image) => {
      replay(image, () => {});
      fresh.apply(image);
    },
  };
}

/** Announced work that changes files; the rest concerns what is rebuilt anyway. */
const PRIMARY_INTENTS = new Set<number>([LOG_ITEM.BUI, LOG_ITEM.ATTRI, LOG_ITEM.XMI]);

function refusal(cause: CadastreError): CadastreError {
  return corrupt('LOG_REPLAY', `the log holds changes but cannot be replayed: ${cause.message}`, {
    where: { structure: 'log', ...cause.where },
    cause,
  });
}

/** The image with a new log that nobody wrote. */
class FreshLogDevice implements Device {
  readonly readOnly = true;
  readonly #below: Device;
  readonly #log: FreshLog;

  constructor(below: Device, log: FreshLog) {
    this.#below = below;
    this.#log = log;
  }

  get size(): number {
    return this.#below.size;
  }

  read(offset: number, into: Uint8Array): void {
    const { start, bytes } = this.#log;
    const from = Math.max(offset, start);
    const to = Math.min(offset + into.length, start + bytes);
    if (from >= to) {
      this.#below.read(offset, into);
      return;
    }
    if (from > offset) this.#below.read(offset, into.subarray(0, from - offset));
    this.#log.read(from - start, into.subarray(from - offset, to - offset));
    if (to < offset + into.length) this.#below.read(to, into.subarray(to - offset));
  }

  write(): void {
    throw readOnly();
  }
  flush(): void {}
  zero(): void {
    throw readOnly();
  }
  resize(): void {
    throw readOnly();
  }
  close(): void {}
}

const readOnly = (): CadastreError => internal('a planned log is not written');
