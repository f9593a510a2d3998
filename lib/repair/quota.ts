/** Quota usage: a repair that gives blocks and inodes away, or takes them, leaves it to the kernel to count again. */
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { QUOTA_CHECKED, Superblock, VERSION } from '../../formats/superblock.ts';
import type { Device } from '../device/device.ts';
import type { RepairReport } from './report.ts';

/** The plan's superblock no longer says that usage was counted. */
export function recountQuota(plan: Device, geometry: Geometry, report: RepairReport): void {
  const bytes = new Uint8Array(geometry.sectorSize);
  plan.read(0, bytes);
  const sb = Superblock.at(new DataView(bytes.buffer));
  if ((sb.versionnum & VERSION.QUOTA) === 0 || (sb.qflags & QUOTA_CHECKED) === 0) return;
  sb.qflags &= ~QUOTA_CHECKED;
  sealCrc(bytes, Superblock.offsets.crc);
  plan.write(0, bytes);
  report.did('superblock', 'quota is counted anew when it is switched on the next time', { ag: 0 });
}
