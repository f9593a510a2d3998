/**
 * What mkfs decides differently for the two dialects, as data: default features, number of AGs, size of the log.
 *
 * xfs follows mkfs.xfs 6.1 (geometry must be equal for the same options). cadastre keeps the same shape but goes down to
 * 4 MiB. Its log need not satisfy the kernel, only our own journal, which logs changed 128-byte chunks and not whole blocks:
 * 1 MiB is 8192 of them. The journal must split what does not fit into a third of the log it finds.
 */
import { CADASTRE, type Dialect } from '../../formats/dialect.ts';
import { type LogSizeInput, minLogBlocks } from './log-size.ts';

/** Features a user may choose; the rest of `Features` is fixed or comes later. */
export interface FeatureChoice {
  finobt: boolean;
  rmapbt: boolean;
  reflink: boolean;
  inobtcount: boolean;
  sparse: boolean;
  bigtime: boolean;
  nrext64: boolean;
  exchangeRange: boolean;
  parent: boolean;
}

export interface MkfsPolicy {
  readonly features: Readonly<FeatureChoice>;
  /** False: the features above are the dialect and cannot be chosen. */
  readonly featuresAreOptional: boolean;
  /** log2 of the number of AGs: the first row whose `from` (image bytes) is not above the image; below all: one AG. */
  readonly agCountLog: readonly { readonly from: number; readonly log: number }[];
  /** Smallest log in blocks. */
  minLogBlocks(input: LogSizeInput): number;
  /** Log bytes for an image of this many bytes when none are asked for; the caller raises it to the minimum. */
  defaultLogBytes(imageBytes: number): number;
}

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** From mkfs.xfs: 64 MiB, then 1/2048 of the image. */
const largeLog = (imageBytes: number): number => Math.max(64 * MIB, imageBytes / 2048);

const XFS_POLICY: MkfsPolicy = {
  features: {
    finobt: true,
    rmapbt: false,
    reflink: true,
    inobtcount: true,
    sparse: true,
    bigtime: true,
    nrext64: false,
    exchangeRange: false,
    parent: false,
  },
  featuresAreOptional: true,
  agCountLog: [
    { from: 64 * MIB, log: 2 },
    { from: 32 * MIB, log: 1 },
  ],
  minLogBlocks,
  // Below 300 MiB mkfs.xfs refuses; its own test override then takes the minimum, and so do we.
  defaultLogBytes: (imageBytes) => (imageBytes < 300 * MIB ? 0 : largeLog(imageBytes)),
};

const CADASTRE_POLICY: MkfsPolicy = {
  features: { ...XFS_POLICY.features, rmapbt: true, nrext64: true },
  featuresAreOptional: false,
  agCountLog: [{ from: 64 * MIB, log: 2 }],
  minLogBlocks: (input) => MIB / input.blockSize,
  // A sixteenth, so that 4 MiB gives 1 MiB (the minimum is more than that) and 1 GiB gives 64 MiB.
  defaultLogBytes: (imageBytes) => (imageBytes < GIB ? imageBytes / 16 : largeLog(imageBytes)),
};

export function mkfsPolicy(dialect: Dialect): MkfsPolicy {
  return dialect === CADASTRE ? CADASTRE_POLICY : XFS_POLICY;
}
