/**
 * Recovery: from an image as a crash left it to one that is whole, with a clean log.
 *
 *   1 replay        what the log says of blocks and inodes, in place; durable; the log is still dirty
 *   2 intents       logged again ahead of the head, then carried out one by one, each logged as done
 *   3 leftovers     unlinked inodes and staging extents, freed
 *   4 superblock    its sums from the AG headers; quota to be counted again
 *   5 clean log
 *
 * 1. A crash at any moment of it leaves a log whose recovery gives the same result: step 1 can be done again, and
 *    everything after it happens in transactions.
 * 2. Reading commands run it on an overlay; nothing here knows.
 */
import type { Geometry } from '../../formats/geometry.ts';
import { LOG_INCOMPAT, QUOTA_CHECKED, Superblock, VERSION } from '../../formats/superblock.ts';
import { SUPERBLOCK_TYPE } from '../../formats/superblock-verify.ts';
import { BufferCache } from '../buffer/cache.ts';
import type { Device } from '../device/device.ts';
import { unsupported } from '../errors.ts';
import { clearAhead, resetLog } from '../journal/clean-log.ts';
import { Journal } from '../journal/journal.ts';
import { type LogState, readLogState } from '../journal/log-reader.ts';
import type { Position } from '../journal/position.ts';
import { type LogSummary, summarizeLog } from '../journal/recovery/checkpoints.ts';
import { replayLog } from '../journal/recovery/replay.ts';
import { Space } from '../space/space.ts';
import { RecoveryContext } from './context.ts';
import { sealDirectoryPieces } from './directory-pieces.ts';
import { finishIntents } from './intents.ts';
import { freeStaging, freeUnlinked } from './leftovers.ts';

/** What a recovery did. */
export interface RecoveryReport {
  /** The log was clean: nothing was done. */
  clean: boolean;
  /** Where replay started and where the log ended, CYCLE:BLOCK in 512-byte blocks. */
  tail: string;
  head: string;
  /** Records at the head that the crash had torn. */
  tornRecords: number;
  checkpoints: number;
  /** Items in the log by type; of those, how many had reached their place already. */
  items: Record<string, number>;
  skipped: number;
  /** Intents that were unfinished, by type. */
  intents: Record<string, number>;
  /** Inodes without a name that were freed. */
  unlinkedInodes: number;
  /** Copy-on-write blocks that were freed. */
  stagingBlocks: number;
}

/**
 * Replay the log of an image and finish what was under way. With a clean log nothing is written, but over torn records ahead of its end. Whoever had the image
 * open must open it again: the superblock may have changed.
 * @param geometry from `openSuperblock`.
 * Throws `corrupt` (LOG_*, REPLAY_*, and what trees and forks throw), `unsupported` (LOG_ITEM, LOG_BYTE_ORDER,
 * LOG_INCOMPAT), ENOSPC.
 */
export function recover(device: Device, geometry: Geometry): RecoveryReport {
  const state = readLogState(device, geometry);
  const report = emptyReport(state);
  if (state.clean) {
    // Nothing to replay; but what a crash left of records that it tore must not be taken for records by anybody else.
    clearAhead(device, geometry, state.head, state.tail);
    return report;
  }
  refuseUnknown(device, geometry);
  const result = replayLog(device, geometry, state);
  sealDirectoryPieces(device, result);
  report.checkpoints = result.checkpoints;
  report.items = result.items;
  report.skipped = result.skipped;
  const cache = new BufferCache(device, result.geometry);
  const journal = new Journal(device, cache, state.head, state.previousBlock, state.tail);
  const context = new RecoveryContext(cache, new Space(result.geometry), journal);
  report.intents = finishIntents(context, result.intents);
  report.unlinkedInodes = freeUnlinked(context);
  report.stagingBlocks = freeStaging(context);
  updateSuperblock(context);
  journal.close();
  return report;
}

/** What is thrown away with a log, and the state it was in; `summary` is missing when the log cannot be read. */
export interface DiscardReport {
  clean: boolean;
  /** Why the log cannot be read, if it cannot. */
  damage: string | undefined;
  lost: LogSummary | undefined;
  /** Cycle of the new log. */
  cycle: number;
}

/**
 * Throw the log away and write a clean one. Everything that was in it only is lost, and the image may contradict itself
 * afterwards: it needs a check.
 */
export function discardLog(device: Device, geometry: Geometry): DiscardReport {
  let clean = false;
  let damage: string | undefined;
  let lost: LogSummary | undefined;
  try {
    const state = readLogState(device, geometry);
    clean = state.clean;
    lost = summarizeLog(device, geometry, state);
  } catch (error) {
    damage = error instanceof Error ? error.message : String(error);
  }
  const cycle = resetLog(device, geometry);
  return { clean, damage, lost, cycle };
}

function emptyReport(state: LogState): RecoveryReport {
  const show = (at: Position): string => `${at.cycle}:${at.block}`;
  return {
    clean: state.clean,
    tail: show(state.tail),
    head: show(state.head),
    tornRecords: state.tornRecords,
    checkpoints: 0,
    items: {},
    skipped: 0,
    intents: {},
    unlinkedInodes: 0,
    stagingBlocks: 0,
  };
}

/** A log written with features we do not know is not replayed. */
function refuseUnknown(device: Device, geometry: Geometry): void {
  const sector = new Uint8Array(geometry.sectorSize);
  device.read(0, sector);
  const bits = Superblock.at(new DataView(sector.buffer)).featuresLogIncompat;
  const unknown = (bits & ~LOG_INCOMPAT.XATTRS) >>> 0;
  if (unknown === 0) return;
  throw unsupported('LOG_INCOMPAT', `the log was written with unknown features (0x${unknown.toString(16)})`, {
    where: { ag: 0, structure: 'Superblock', field: 'featuresLogIncompat' },
    found: unknown,
  });
}

/** Sums of the superblock are only right after a clean end: count them. */
function updateSuperblock(context: RecoveryContext): void {
  const { geometry, space } = context;
  context.transact((tx) => {
    const buffer = tx.get(0, geometry.sectorSize, SUPERBLOCK_TYPE);
    tx.change(buffer);
    const sb = Superblock.at(buffer.view);
    const { inodes, free } = space.countInodes(tx);
    sb.icount = inodes;
    sb.ifree = free;
    sb.fdblocks = space.countFree(tx);
    sb.featuresLogIncompat = 0;
    if (sb.versionnum & VERSION.QUOTA) sb.qflags &= ~QUOTA_CHECKED;
  });
}
