/** The two dialects as data. Code asks for a property of the dialect, never for its name. */
import { CADASTRE_MAGIC, INCOMPAT, RO_COMPAT, XFS_MAGIC } from './superblock.ts';

export interface Dialect {
  readonly name: 'cadastre' | 'xfs';
  readonly magic: number;
  /** Incompat bits this dialect can be read and written with; any other refuses to open. */
  readonly knownIncompat: number;
  readonly knownRoCompat: number;
  /** Feature bits that must be set. */
  readonly requiredIncompat: number;
  readonly requiredRoCompat: number;
  /** Smallest AG in bytes, smallest image in bytes. */
  readonly minAgBytes: number;
  readonly minImageBytes: number;
  /** Data of regular files is never overwritten in place (so its checksums are never stale). */
  readonly alwaysCopyOnWrite: boolean;
}

const XFS_INCOMPAT =
  INCOMPAT.FTYPE |
  INCOMPAT.SPINODES |
  INCOMPAT.META_UUID |
  INCOMPAT.BIGTIME |
  INCOMPAT.NREXT64 |
  INCOMPAT.EXCHRANGE |
  INCOMPAT.PARENT;
const ALL_RO_COMPAT = RO_COMPAT.FINOBT | RO_COMPAT.RMAPBT | RO_COMPAT.REFLINK | RO_COMPAT.INOBTCNT;
const MIB = 2 ** 20;

export const XFS: Dialect = {
  name: 'xfs',
  magic: XFS_MAGIC,
  knownIncompat: XFS_INCOMPAT,
  knownRoCompat: ALL_RO_COMPAT,
  requiredIncompat: INCOMPAT.FTYPE,
  requiredRoCompat: 0,
  minAgBytes: 16 * MIB,
  minImageBytes: 16 * MIB,
  alwaysCopyOnWrite: false,
};

export const CADASTRE: Dialect = {
  name: 'cadastre',
  magic: CADASTRE_MAGIC,
  knownIncompat:
    (INCOMPAT.FTYPE |
      INCOMPAT.SPINODES |
      INCOMPAT.META_UUID |
      INCOMPAT.BIGTIME |
      INCOMPAT.NREXT64 |
      INCOMPAT.DATA_CHECKSUMS) >>>
    0,
  knownRoCompat: ALL_RO_COMPAT,
  requiredIncompat:
    (INCOMPAT.FTYPE | INCOMPAT.SPINODES | INCOMPAT.BIGTIME | INCOMPAT.NREXT64 | INCOMPAT.DATA_CHECKSUMS) >>> 0,
  requiredRoCompat: ALL_RO_COMPAT,
  minAgBytes: 4 * MIB,
  minImageBytes: 4 * MIB,
  alwaysCopyOnWrite: true,
};

export const DIALECTS: readonly Dialect[] = [CADASTRE, XFS];
