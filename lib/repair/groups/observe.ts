/** The claims as they stand on the plan. */
import type { Geometry } from '../../../formats/geometry.ts';
import type { CheckResult } from '../../check/check.ts';
import type { ExtentTable } from '../../check/claims.ts';
import type { ChunkList, InodeTable } from '../../check/inode-table.ts';
import type { Device } from '../../device/device.ts';
import type { PendingFork } from '../pending.ts';

/** By AG, sorted. */
export interface Claims {
  readonly tables: readonly ExtentTable[];
  readonly inodes: InodeTable;
}

export function observeClaims(
  _plan: Device,
  _geometry: Geometry,
  _first: CheckResult,
  _chunks: readonly ChunkList[] | undefined,
  _pending: Iterable<PendingFork>,
): Claims {
  throw new Error('to be written');
}
