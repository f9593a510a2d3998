/**
 * The options of mkfs: defaults and every check that needs no geometry. After `normalize` all sizes are powers of two in
 * their legal ranges, features are consistent, and nothing is undefined that has a default.
 */
import type { Dialect } from '../../formats/dialect.ts';
import type { Time } from '../../formats/time.ts';
import { type CadastreError, usage } from '../errors.ts';
import { type FeatureChoice, mkfsPolicy } from './policy.ts';

/** All sizes are bytes. Everything optional has the default of mkfs.xfs 6.1 (xfs) or the only legal value (cadastre features). */
export interface MkfsOptions {
  dialect: Dialect;
  /** Size of the image. A rest smaller than a block, or than the smallest AG, stays unused. */
  size: number;
  /** At most 12 bytes of UTF-8. */
  label?: string;
  /** 16 bytes, not all zero. */
  uuid: Uint8Array;
  blockSize?: number;
  sectorSize?: number;
  inodeSize?: number;
  dirBlockSize?: number;
  /** Not both. */
  agCount?: number;
  agSize?: number;
  logSize?: number;
  features?: Partial<FeatureChoice>;
  stripeUnit?: number;
  stripeWidth?: number;
  imaxPct?: number;
  /** Times of the first inodes. */
  time: Time;
}

/** Options with defaults filled in; stripe in blocks, 0 = none. */
export interface NormalOptions {
  readonly dialect: Dialect;
  readonly size: number;
  readonly label: Uint8Array;
  readonly uuid: Uint8Array;
  readonly blockSize: number;
  readonly sectorSize: number;
  readonly inodeSize: number;
  readonly dirBlockSize: number;
  readonly agCount: number | undefined;
  readonly agSize: number | undefined;
  readonly logSize: number | undefined;
  readonly features: Readonly<FeatureChoice>;
  readonly stripeUnit: number;
  readonly stripeWidth: number;
  readonly imaxPct: number | undefined;
  readonly time: Time;
}

const LABEL_BYTES = 12;
const MAX_BLOCK = 65536;

const mib = (bytes: number): string => `${+(bytes / 2 ** 20).toFixed(2)} MiB`;

function bad(code: string, what: string, expected: string, found: unknown): CadastreError {
  return usage(code, `${what}: ${expected}, not ${String(found)}`, { expected, found });
}

/** Throws unless `value` is a power of two in [least, most]. */
function powerOfTwo(code: string, what: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most || (value & (value - 1)) !== 0)
    throw bad(code, what, `a power of two from ${least} to ${most} bytes`, value);
  return value;
}

function chooseFeatures(dialect: Dialect, wanted: Partial<FeatureChoice>): FeatureChoice {
  const policy = mkfsPolicy(dialect);
  const features: FeatureChoice = { ...policy.features };
  for (const [name, value] of Object.entries(wanted) as [keyof FeatureChoice, boolean | undefined][]) {
    if (!(name in features)) throw usage('BAD_FEATURES', `no feature is called ${name}`, { found: name });
    if (value === undefined || value === features[name]) continue;
    if (!policy.featuresAreOptional) {
      const message = features[name]
        ? `${name} cannot be switched off: the ${dialect.name} format always has it`
        : `the ${dialect.name} format has no ${name}`;
      throw usage('BAD_FEATURES', message, { expected: features[name], found: value });
    }
    features[name] = value;
  }
  // The counts go with the tree; who switches the tree off does not have to switch off the counts too.
  if (!features.finobt && wanted.inobtcount === undefined) features.inobtcount = false;
  if (features.inobtcount && !features.finobt)
    throw usage('BAD_FEATURES', 'inobtcount needs finobt', { expected: 'finobt', found: 'inobtcount without it' });
  return features;
}

function stripe(options: MkfsOptions, blockSize: number): { unit: number; width: number } {
  const unit = options.stripeUnit ?? 0;
  const width = options.stripeWidth ?? unit;
  if (unit === 0 && width === 0) return { unit: 0, width: 0 };
  if (!Number.isInteger(unit) || unit <= 0 || unit % blockSize !== 0)
    throw bad('BAD_STRIPE', 'stripe unit', `a multiple of the block size (${blockSize})`, unit);
  if (!Number.isInteger(width) || width <= 0 || width % unit !== 0)
    throw bad('BAD_STRIPE', 'stripe width', `a multiple of the stripe unit (${unit})`, width);
  if (width / blockSize > 2 ** 31 - 1) throw bad('BAD_STRIPE', 'stripe width', 'below 2^31 blocks', width);
  return { unit: unit / blockSize, width: width / blockSize };
}

/** Fill in defaults and check what can be checked without a geometry. Throws `usage` errors. */
export function normalize(options: MkfsOptions): NormalOptions {
  const { dialect, size, uuid, time } = options;
  if (!Number.isSafeInteger(size) || size <= 0) throw bad('BAD_SIZE', 'image size', 'a whole number of bytes', size);
  if (size < dialect.minImageBytes) {
    const least = mib(dialect.minImageBytes);
    throw usage('IMAGE_TOO_SMALL', `an image of ${mib(size)} is too small: the smallest is ${least}`, {
      expected: `at least ${least}`,
      found: size,
    });
  }
  const sectorSize = powerOfTwo('BAD_SECTOR_SIZE', 'sector size', options.sectorSize ?? 512, 512, 32768);
  const blockSize = powerOfTwo('BAD_BLOCK_SIZE', 'block size', options.blockSize ?? 4096, 1024, MAX_BLOCK);
  if (sectorSize > blockSize)
    throw bad('BAD_SECTOR_SIZE', 'sector size', `at most the block size (${blockSize})`, sectorSize);
  const inodeSize = powerOfTwo('BAD_INODE_SIZE', 'inode size', options.inodeSize ?? 512, 512, 2048);
  if (inodeSize * 2 > blockSize)
    throw bad('BAD_INODE_SIZE', 'inode size', `at most half a block (${blockSize / 2})`, inodeSize);
  const dirBlockSize = powerOfTwo(
    'BAD_DIR_BLOCK_SIZE',
    'directory block size',
    options.dirBlockSize ?? Math.max(4096, blockSize),
    blockSize,
    MAX_BLOCK,
  );
  const label = new TextEncoder().encode(options.label ?? '');
  if (label.length > LABEL_BYTES)
    throw bad('BAD_LABEL', 'label', `at most ${LABEL_BYTES} bytes of UTF-8`, `${label.length} bytes`);
  if (label.includes(0)) throw bad('BAD_LABEL', 'label', 'text without zero bytes', 'a zero byte');
  if (uuid.length !== 16 || uuid.every((byte) => byte === 0))
    throw bad('BAD_UUID', 'uuid', '16 bytes, not all zero', uuid.length === 16 ? 'zero' : `${uuid.length} bytes`);
  const { imaxPct } = options;
  if (imaxPct !== undefined && (!Number.isInteger(imaxPct) || imaxPct < 0 || imaxPct > 100))
    throw bad('BAD_IMAX_PCT', 'most space for inodes', 'a percentage from 0 to 100', imaxPct);
  if (options.agCount !== undefined && options.agSize !== undefined)
    throw usage('BAD_AG_COUNT', 'give either the number of allocation groups or their size, not both');
  if (!Number.isInteger(time.seconds) || !(time.nanoseconds >= 0 && time.nanoseconds < 1e9))
    throw bad('BAD_TIME', 'time', 'whole seconds and nanoseconds below 10^9', `${time.seconds}.${time.nanoseconds}`);
  const { unit, width } = stripe(options, blockSize);
  return {
    dialect,
    size,
    label,
    uuid: uuid.slice(),
    blockSize,
    sectorSize,
    inodeSize,
    dirBlockSize,
    agCount: options.agCount,
    agSize: options.agSize,
    logSize: options.logSize,
    features: chooseFeatures(dialect, options.features ?? {}),
    stripeUnit: unit,
    stripeWidth: width,
    imaxPct,
    time: { seconds: time.seconds, nanoseconds: time.nanoseconds },
  };
}
