/** What defragmentation is told and what it says: see defrag.ts. */
import type { CadastreError } from '../errors.ts';
import type { FreeSpaceLayout } from '../frag/free-space.ts';
import type { JoinedGroup } from './free-space.ts';
import type { StepLimit } from './remap.ts';

export interface DefragOptions {
  /** Absolute paths of files and trees. Default: the whole image. */
  paths?: readonly Uint8Array[];
  /** Files with fewer extents are left alone. Default 2. */
  minExtents?: number;
  /** Then the metadata of the files and directories: extent trees, directory and attribute blocks. */
  metadata?: boolean;
  /** Then join the free space of the whole image. */
  freeSpace?: boolean;
  /** What one transaction does at most. Default: as much as the log takes. */
  stepLimit?: StepLimit;
  /** Told of what cannot be read while files are looked for. Default: the first one ends the run. */
  failed?: (error: CadastreError) => void;
}

/** Why a file was left alone, or did not get as good as it could be. */
export type SkipReason =
  | 'no-defrag'
  | 'immutable'
  | 'append-only'
  | 'realtime'
  | 'file-system'
  | 'no-room'
  | 'conflict'
  | 'changed'
  | 'damaged'
  | 'log-too-small';

export interface DefraggedFile {
  /** Undefined for a file without a name. */
  path: Uint8Array | undefined;
  readonly inode: number;
  readonly extentsBefore: number;
  extentsAfter: number;
  readonly ideal: number;
  /** Bytes of blocks that were given a new place; unwritten ones are not copied but count. */
  bytesMoved: number;
  skipped?: SkipReason;
  /** What was wrong with a damaged file. */
  error?: CadastreError;
}

/** Files whose blocks are shared in different orders: the first one lost something, so that the others keep their shape. */
export interface LayoutConflict {
  path: Uint8Array | undefined;
  readonly inode: number;
  /** Extents that stayed where they are. */
  extents: number;
  readonly with: number[];
}

/** An inode whose metadata stayed as it was. */
export interface SkippedMetadata {
  path: Uint8Array | undefined;
  readonly inode: number;
}

export interface DefragReport {
  /** Files that had more extents than needed, in the order they were looked at. */
  readonly files: DefraggedFile[];
  readonly totals: {
    /** Regular files looked at, with their extents. */
    files: number;
    extentsBefore: number;
    extentsAfter: number;
    /** Does not know of sharing. */
    ideal: number;
    /** Extents above the ideal that are there because files share blocks in different orders: not all can have theirs. */
    heldApart: number;
    bytesMoved: number;
  };
  readonly conflicts: LayoutConflict[];
  /** Inodes whose metadata was put in order, its bytes, and inodes for which there was no room or too small a log. */
  readonly metadata: { inodes: number; bytesMoved: number; readonly skipped: SkippedMetadata[] };
  readonly freeSpace: {
    before: FreeSpaceLayout;
    after: FreeSpaceLayout;
    /** Each AG after its free space was joined; empty when it was not. */
    readonly groups: readonly JoinedGroup[];
  };
}

/** How far a run is. */
export interface DefragProgress {
  readonly bytesDone: number;
  /** An estimate: blocks that several files share are counted for each. */
  readonly bytesTotal: number;
}
