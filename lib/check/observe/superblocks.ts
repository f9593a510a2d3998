/**
 * The superblock and its copies. The primary decides what can be checked at all; the copies are there for the day the
 * primary is lost, so they must describe the same file system. Fields that mkfs and the kernel keep only in the primary
 * (counters, state, quota inodes) are not compared.
 */
import type { Dialect } from '../../../formats/dialect.ts';
import { FOREIGN_PROBE_BYTES } from '../../../formats/foreign.ts';
import { Geometry } from '../../../formats/geometry.ts';
import { NULL64 } from '../../../formats/struct.ts';
import { Superblock, VERSION } from '../../../formats/superblock.ts';
import { SUPERBLOCK_TYPE, verifySuperblock } from '../../../formats/superblock-verify.ts';
import type { Device } from '../../device/device.ts';
import { CadastreError } from '../../errors.ts';
import { readHead } from '../../volume/open.ts';
import type { CheckContext } from '../context.ts';
import type { ProblemLog } from '../problems.ts';

/** More AGs than any file system has; each costs memory. */
const MOST_AGS = 2 ** 20;
/** Version bits that only the primary gets. */
const LOOSE_VERSION = VERSION.ATTR | VERSION.QUOTA;

export interface Primary {
  readonly geometry: Geometry;
  readonly dialect: Dialect;
  /** The sector's bytes. */
  readonly sector: DataView;
}

/** The primary superblock; undefined when nothing behind it can be checked (then that is a problem in the log). */
export function observePrimary(device: Device, problems: ProblemLog): Primary | undefined {
  const where = { ag: 0, structure: 'Superblock' };
  let head: Uint8Array;
  try {
    head = readHead(device, FOREIGN_PROBE_BYTES);
  } catch (error) {
    if (!(error instanceof CadastreError)) throw error;
    problems.add('READ_ERROR', where, 'a superblock', error.message);
    return undefined;
  }
  const { dialect, refusal, fatal, minor } = verifySuperblock(head, device.size);
  if (!dialect || (refusal && !refusal.readOnly)) {
    problems.add('UNSUPPORTED', where, 'a known format', refusal?.message ?? 'no superblock', {
      rule: refusal?.code ?? 'NOT_OURS',
    });
    return undefined;
  }
  for (const each of fatal) problems.fault('SUPERBLOCK_BAD', where, each);
  const deadly = fatal.filter((each) => each.code !== 'BAD_CRC');
  if (deadly.length > 0) return undefined;
  for (const each of minor) if (each.code !== 'BAD_COUNT') problems.fault('SUPERBLOCK_FIELD', where, each);
  const { sectsize, agcount } = Superblock.at(viewOf(head));
  if (agcount > MOST_AGS) {
    problems.add('SUPERBLOCK_BAD', { ...where, field: 'agcount' }, `at most ${MOST_AGS}`, agcount, {
      rule: 'TOO_LARGE',
    });
    return undefined;
  }
  const sector = viewOf(head.slice(0, sectsize));
  return { geometry: new Geometry(sector, dialect), dialect, sector };
}

/**
 * The copies in AGs 1 and up. @param logIsClean then nothing in the log can need features of its own, here or in the primary;
 * before that the primary alone may say so.
 */
export function observeSecondaries(context: CheckContext, primary: Primary, logIsClean: boolean): void {
  const { geometry, problems } = context;
  const bytes = new Uint8Array(geometry.sectorSize);
  const view = viewOf(bytes);
  const first = Superblock.at(primary.sector);
  if (logIsClean && first.featuresLogIncompat !== 0) {
    const where = { ag: 0, structure: 'Superblock', field: 'featuresLogIncompat' };
    problems.add('SUPERBLOCK_FIELD', where, 0, first.featuresLogIncompat, { rule: 'BAD_VALUE' });
  }
  for (let ag = 1; ag < geometry.agCount; ag++) {
    const where = { ag, structure: 'Superblock' };
    if (!context.read(geometry.agBlockToByte(ag, 0), bytes)) continue;
    const { refusal, fatal, minor } = verifySuperblock(bytes, context.device.size, ag);
    const bad = fatal[0] ?? minor[0] ?? SUPERBLOCK_TYPE.verify(view, geometry, geometry.agHeaderDaddr(ag, 0));
    if (refusal && !refusal.readOnly) {
      problems.add('SECONDARY_BAD', { ...where, field: 'features' }, 'those of the primary', refusal.message, {
        rule: refusal.code,
      });
    } else if (bad) {
      problems.fault('SECONDARY_BAD', where, bad);
    } else {
      const copy = Superblock.at(view);
      const compare = (field: string, expected: number, found: number): void => {
        if (expected !== found)
          problems.add('SECONDARY_BAD', { ...where, field }, expected, found, { rule: 'BAD_VALUE' });
      };
      compare('versionnum', first.versionnum & ~LOOSE_VERSION, copy.versionnum & ~LOOSE_VERSION);
      compare('featuresRoCompat', first.featuresRoCompat, copy.featuresRoCompat);
      compare('featuresIncompat', first.featuresIncompat, copy.featuresIncompat);
      if (logIsClean) compare('featuresLogIncompat', 0, copy.featuresLogIncompat);
      compare('rextsize', first.rextsize, copy.rextsize);
      compare('imaxPct', first.imaxPct, copy.imaxPct);
      for (const field of ['uquotino', 'gquotino', 'pquotino'] as const) {
        if (copy[field] !== 0 && copy[field] !== NULL64) compare(field, first[field], copy[field]);
      }
    }
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
