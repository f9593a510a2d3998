/**
 * Make a whole image: geometry, empty structures, content from a host tree, counters. In two steps, so that everything
 * that can be refused is refused before the target is touched:
 *
 * 1. `planMake` decides and checks: options, size (also `auto`), whether the source fits.
 * 2. `writeImage` writes; until its last step the superblock says "in progress" and nobody opens the image.
 */
import { sealCrc } from '../../formats/checksum.ts';
import { Superblock, VERSION } from '../../formats/superblock.ts';
import { BufferCache } from '../buffer/cache.ts';
import { DirectTransaction } from '../buffer/direct.ts';
import type { Device } from '../device/device.ts';
import { GatherDevice } from '../device/gather.ts';
import { MemoryDevice } from '../device/memory.ts';
import { CadastreError, noSpace } from '../errors.ts';
import type { HostTree } from '../host/tree.ts';
import { TreePlan } from '../populate/plan.ts';
import { Populate, type PopulateOptions, type PopulateResult } from '../populate/populate.ts';
import { Space } from '../space/space.ts';
import { finishImage, formatImage } from './format-image.ts';
import { type ImagePlan, planImage } from './geometry.ts';
import type { MkfsOptions } from './options.ts';

export interface MakeOptions extends Omit<MkfsOptions, 'size'> {
  /** Bytes, or `auto`: the smallest image that holds the source with room to edit. */
  size: number | 'auto';
  /** Content; none makes an empty image. */
  from?: HostTree;
}

/** What will be made; nothing has been written yet. */
export interface MakePlan {
  readonly image: ImagePlan;
  readonly from: HostTree | undefined;
  /** What the source needs, if there is one. */
  readonly tree: TreePlan | undefined;
  /** Blocks that content may take in the empty image. */
  readonly available: number;
}

/** Room that `auto` leaves for editing, as a share of what the source needs, and the least of it in bytes. */
const AUTO_SLACK = 0.1;
const AUTO_SLACK_BYTES = 1 << 20;
const AUTO_STEP = 1.05;
/** No image is made larger than this just because smaller ones are refused. */
const MAX_AUTO_BYTES = 2 ** 50;
const MIB = 1 << 20;

/**
 * Decide everything. Throws `usage` errors for options, and ENOSPC with the size that would do when the source does not
 * fit.
 */
export function planMake(options: MakeOptions): MakePlan {
  const { from, size, ...rest } = options;
  if (size !== 'auto') {
    const image = planImage({ ...rest, size });
    const available = availableWhenEmpty(image);
    const tree = from && TreePlan.measure(from, image.geometry);
    if (tree && !(available >= tree.need.total && inodesFit(image, tree))) {
      const fits = planAuto(rest, tree);
      const { blockSize } = image.geometry;
      throw noSpace(
        `the source needs ${mebibytes(tree.need.total * blockSize)} MiB and an image of ${mebibytes(size)} MiB has room for ` +
          `${mebibytes(Math.max(0, available) * blockSize)} MiB: make it at least ${mebibytes(fits.size)} MiB`,
        { expected: `at least ${fits.size} bytes`, found: size },
      );
    }
    return { image, from, tree, available };
  }
  const start = Math.max(rest.dialect.minImageBytes, from ? 64 * MIB : 0);
  const smallest = smallestFrom(rest, start, () => true);
  const tree = from ? TreePlan.measure(from, smallest.geometry) : undefined;
  const image = tree ? planAuto(rest, tree) : smallest;
  return { image, from, tree, available: availableWhenEmpty(image) };
}

/** The smallest image, in whole MiB, that has room for the tree and the slack. */
function planAuto(options: Omit<MkfsOptions, 'size'>, tree: TreePlan): ImagePlan {
  const blockSize = options.blockSize ?? 4096;
  const content = tree.need.total * blockSize;
  const wanted = Math.ceil((content * (1 + AUTO_SLACK) + AUTO_SLACK_BYTES) / blockSize);
  const start = Math.max(options.dialect.minImageBytes, Math.floor(content / MIB) * MIB);
  return smallestFrom(options, start, (plan) => inodesFit(plan, tree) && availableWhenEmpty(plan) >= wanted);
}

/** The smallest image of at least `start` bytes, in whole MiB, that can be made with these options and fits. */
function smallestFrom(
  options: Omit<MkfsOptions, 'size'>,
  start: number,
  fits: (plan: ImagePlan) => boolean,
): ImagePlan {
  const attempt = (size: number): ImagePlan | undefined => {
    try {
      const plan = planImage({ ...options, size });
      return fits(plan) ? plan : undefined;
    } catch (error) {
      // Too small for its log, or for an AG: a larger one may do.
      if (error instanceof CadastreError && error.code === 'IMAGE_TOO_SMALL' && size < MAX_AUTO_BYTES) return undefined;
      throw error;
    }
  };
  let low = start;
  let high = start;
  let plan = attempt(high);
  while (!plan) {
    low = high;
    high = Math.ceil((high * AUTO_STEP + 4 * MIB) / MIB) * MIB;
    plan = attempt(high);
  }
  while (high - low > MIB) {
    const middle = Math.ceil((low + high) / 2 / MIB) * MIB;
    if (middle >= high) break;
    const tried = attempt(middle);
    if (tried) [high, plan] = [middle, tried];
    else low = middle;
  }
  return plan;
}

/** True when so many inodes may exist: a superblock limits the share of space that inodes take. */
function inodesFit({ geometry }: ImagePlan, tree: TreePlan): boolean {
  const { blocks, imaxPct, chunkBlocks, inodesPerBlock } = geometry;
  if (imaxPct === 0) return true;
  const limit = Math.floor(Math.floor((blocks * imaxPct) / 100) / chunkBlocks) * chunkBlocks * inodesPerBlock;
  return tree.inodes + geometry.chunkInodes <= limit;
}

/** Blocks that content may take: what an empty image has free less what its trees hold back. Tried in memory. */
function availableWhenEmpty(plan: ImagePlan): number {
  const device = new MemoryDevice(plan.size);
  formatImage(device, plan, true);
  return new Space(plan.geometry).available(new BufferCache(device, plan.geometry));
}

/**
 * Write the planned image.
 * @param device at least `plan.image.size` bytes. @param blank it reads as zeroes everywhere.
 */
export function writeImage(
  device: Device,
  plan: MakePlan,
  blank: boolean,
  options?: PopulateOptions,
): PopulateResult | undefined {
  formatImage(device, plan.image, blank);
  let result: PopulateResult | undefined;
  if (plan.from && options) {
    const { geometry } = plan.image;
    const data = new GatherDevice(device);
    const cache = new BufferCache(data, geometry);
    const tx = new DirectTransaction(cache);
    const space = new Space(geometry);
    result = new Populate(tx, space, data, plan.from, options, plan.tree).run();
    closeContent(device, tx, space, result.attributes);
  }
  finishImage(device, plan.image);
  return result;
}

/**
 * The content of an image under construction is complete: write it, and the superblock's sums with the bit that says
 * attributes are in use. `finishImage` comes next.
 */
export function closeContent(device: Device, tx: DirectTransaction, space: Space, attributes: boolean): void {
  const { geometry } = tx;
  const { inodes, free } = space.countInodes(tx);
  const freeBlocks = space.countFree(tx);
  tx.close();
  const sector = new Uint8Array(geometry.sectorSize);
  device.read(0, sector);
  const sb = Superblock.at(new DataView(sector.buffer));
  sb.icount = inodes;
  sb.ifree = free;
  sb.fdblocks = freeBlocks;
  if (attributes) sb.versionnum |= VERSION.ATTR;
  sealCrc(sector, Superblock.offsets.crc);
  device.write(0, sector);
}

const mebibytes = (bytes: number): string => String(Math.ceil(bytes / MIB));
