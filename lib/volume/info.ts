/** What an image says of itself as a whole: sizes, counters, features. */
import type { Features } from '../../formats/geometry.ts';
import { CadastreError } from '../errors.ts';
import { uuidText } from './uuid.ts';
import type { Volume } from './volume.ts';

export interface VolumeInformation {
  readonly format: 'cadastre' | 'xfs';
  /** Bytes that the file system covers. */
  readonly size: number;
  readonly blockSize: number;
  readonly sectorSize: number;
  readonly inodeSize: number;
  readonly dirBlockSize: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  /** Inodes that exist, free ones included; more are made as they are needed. */
  readonly inodes: number;
  readonly freeInodes: number;
  readonly agCount: number;
  readonly agBlocks: number;
  readonly label: string;
  readonly uuid: string;
  readonly features: Readonly<Features>;
  readonly log: { readonly ag: number; readonly agBlock: number; readonly blocks: number };
  /** In blocks; 0 = none. */
  readonly stripe: { readonly unit: number; readonly width: number };
  readonly imaxPct: number;
  readonly rootInode: number;
  /** Why the image may only be read, if so. */
  readonly readOnly?: string;
  /** The counters are the superblock's, because AG headers could not be read: this is why. */
  readonly countersFrom?: string;
}

/** Counters are sums over the AG headers; those of the superblock where a header is damaged. */
export function volumeInformation(volume: Volume): VolumeInformation {
  const { geometry, dialect, superblock, opened } = volume;
  const label = superblock.fname;
  const end = label.indexOf(0);
  return {
    format: dialect.name,
    size: geometry.blocks * geometry.blockSize,
    blockSize: geometry.blockSize,
    sectorSize: geometry.sectorSize,
    inodeSize: geometry.inodeSize,
    dirBlockSize: geometry.dirBlockSize,
    blocks: geometry.blocks,
    ...counters(volume),
    agCount: geometry.agCount,
    agBlocks: geometry.agBlocks,
    label: new TextDecoder().decode(label.subarray(0, end < 0 ? label.length : end)),
    uuid: uuidText(geometry.uuid),
    features: geometry.features,
    log: {
      ag: geometry.agOfFsBlock(geometry.logStart),
      agBlock: geometry.agBlockOfFsBlock(geometry.logStart),
      blocks: geometry.logBlocks,
    },
    stripe: { unit: geometry.stripeUnit, width: geometry.stripeWidth },
    imaxPct: geometry.imaxPct,
    rootInode: geometry.rootInode,
    ...(opened.readOnlyReason === undefined ? {} : { readOnly: opened.readOnlyReason }),
  };
}

function counters(volume: Volume): { freeBlocks: number; inodes: number; freeInodes: number; countersFrom?: string } {
  const { space, cache, superblock } = volume;
  try {
    const { inodes, free } = space.countInodes(cache);
    return { freeBlocks: space.countFree(cache), inodes, freeInodes: free };
  } catch (error) {
    if (!(error instanceof CadastreError)) throw error;
    const { fdblocks, icount, ifree } = superblock;
    return { freeBlocks: fdblocks, inodes: icount, freeInodes: ifree, countersFrom: error.message };
  }
}
