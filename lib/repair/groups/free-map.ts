/** Blocks that repair may take: what nobody claims, nobody may miss, and no evidence stands in. */
import type { Geometry } from '../../../formats/geometry.ts';
import type { CheckResult } from '../../check/check.ts';
import type { KeptRange } from '../pending.ts';
import type { Claims } from './observe.ts';

export class FreeMap {
  static of(_geometry: Geometry, _claims: Claims, _first: CheckResult, _kept: readonly KeptRange[]): FreeMap {
    return new FreeMap();
  }
  /** Take a run of `min`..`max` blocks, near `near` (fs block) if given. @returns undefined when there is none. */
  take(_min: number, _max: number, _near?: number): { fsBlock: number; blockCount: number } | undefined {
    return undefined;
  }
}
