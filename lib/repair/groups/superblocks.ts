/** What the superblock counts, and its copies in the other AGs. */
import { Agf, Agi } from '../../../formats/ag-headers.ts';
import { sealCrc } from '../../../formats/checksum.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { Superblock } from '../../../formats/superblock.ts';
import { AG_DAMAGE } from '../../check/damaged.ts';
import type { Device } from '../../device/device.ts';
import type { RepairState } from '../state.ts';
import { readHeader } from './headers.ts';

/** Store the sums over all AGs; their headers must be right by now, and the log clean. */
export function mendCounters(state: RepairState): void {
  const { plan, geometry, report } = state;
  const sums = { icount: 0, ifree: 0, fdblocks: 0 };
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const agf = Agf.at(readHeader(plan, geometry, ag, 1));
    const agi = Agi.at(readHeader(plan, geometry, ag, 2));
    sums.fdblocks += agf.freeblks + agf.flcount + agf.btreeblks;
    sums.icount += agi.count;
    sums.ifree += agi.freecount;
  }
  const sector = readSuperblock(plan, geometry, 0);
  const sb = Superblock.at(sector);
  const wrong = (['icount', 'ifree', 'fdblocks'] as const).filter((field) => sb[field] !== sums[field]);
  const { featuresLogIncompat } = sb;
  if (wrong.length === 0 && featuresLogIncompat === 0) return;
  if (featuresLogIncompat !== 0) {
    report.did('superblock', 'features that only a log to be replayed has were taken away', { ag: 0 });
    sb.featuresLogIncompat = 0;
  }
  if (state.first.damaged.codes.has('SUPERBLOCK_COUNTER')) {
    const text = wrong.map((field) => `${field} is ${sums[field]}, was ${sb[field]}`).join(', ');
    report.did('superblock', `counters of the superblock as counted: ${text}`);
  }
  for (const field of wrong) sb[field] = sums[field];
  writeSuperblock(plan, geometry, 0, sector);
}

/** Write copies that are wrong again from the primary. */
export function mendCopies(state: RepairState): void {
  const { plan, geometry, report, first } = state;
  for (let ag = 1; ag < geometry.agCount; ag++) {
    if (!first.damaged.inAg(ag, AG_DAMAGE.superblock)) continue;
    const sector = readSuperblock(plan, geometry, 0);
    const sb = Superblock.at(sector);
    // Counters of a copy mean nothing; no log ever wrote this sector.
    sb.lsnHi = 0;
    sb.lsnLo = 0;
    writeSuperblock(plan, geometry, ag, sector);
    report.did('superblock', 'copy of the superblock written again from the primary', { ag });
  }
}

function readSuperblock(plan: Device, geometry: Geometry, ag: number): DataView {
  const bytes = new Uint8Array(geometry.sectorSize);
  plan.read(geometry.agBlockToByte(ag, 0), bytes);
  return new DataView(bytes.buffer);
}

function writeSuperblock(plan: Device, geometry: Geometry, ag: number, sector: DataView): void {
  const bytes = new Uint8Array(sector.buffer);
  sealCrc(bytes, Superblock.offsets.crc);
  plan.write(geometry.agBlockToByte(ag, 0), bytes);
}
