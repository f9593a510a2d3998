/** Is the log of an opened image clean? One look at its end; nothing is replayed. */
import type { Geometry } from '../../formats/geometry.ts';
import { CheckContext } from '../../lib/check/context.ts';
import { type LogState, observeLog } from '../../lib/check/observe/log.ts';
import { ProblemLog } from '../../lib/check/problems.ts';
import type { Device } from '../../lib/device/device.ts';

export function logState(device: Device, geometry: Geometry): LogState {
  return observeLog(new CheckContext(device, geometry, new ProblemLog(8), {}));
}

export type { LogState };
