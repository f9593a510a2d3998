/**
 * Inode chunks of an AG found by looking only at the places where one can start: a few bytes each, instead of all of its blocks.
 * What sound inodes found there say of their files' blocks need not be looked through afterwards.
 *
 * 1. Every place is looked at, also where a file found before has its data: an inode that was left behind may claim anything.
 * 2. What starts at no such place, or with a damaged inode, is left to whoever reads the rest block by block.
 */
import { extentBlockCount, extentStartBlock } from '../../../formats/extent.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import {
  DATA_FORK_OFFSET,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  INODE_MAGIC,
  InodeCore,
} from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import { CHUNK } from '../../check/inode-table.ts';
import { SlotCrc } from '../../check/observe/slot-crc.ts';
import { RunList } from '../../check/rows.ts';
import type { Device } from '../../device/device.ts';
import { readInto } from './block-scan.ts';
import { asSet } from './runs.ts';

const at = InodeCore.offsets;
const EXTENT_BYTES = 16;
/** Places so close to each other are found as fast by reading everything. */
const NEAR_BYTES = 8192;

/**
 * @param visit told of every block of the chunks found.
 * @returns blocks that are accounted for: those visited, and those of the files found.
 */
export function probeChunks(
  device: Device,
  geometry: Geometry,
  ag: number,
  places: RunList,
  visit: (view: DataView, offset: number, agBlock: number) => void,
): RunList {
  return new Probe(device, geometry, ag, visit).run(places);
}

class Probe {
  readonly #device: Device;
  readonly #geometry: Geometry;
  readonly #ag: number;
  readonly #visit: (view: DataView, offset: number, agBlock: number) => void;
  /** Blocks of a chunk. */
  readonly #blocks: number;
  /** One inode, and a chunk. */
  readonly #slot: Uint8Array;
  readonly #slotView: DataView;
  readonly #view: DataView;
  readonly #crc: SlotCrc;
  readonly #known = new RunList();
  /** A chunk was found that is not there as a whole: others may begin in the middle. */
  #hasParts = false;

  constructor(
    device: Device,
    geometry: Geometry,
    ag: number,
    visit: (view: DataView, offset: number, agBlock: number) => void,
  ) {
    this.#device = device;
    this.#geometry = geometry;
    this.#ag = ag;
    this.#visit = visit;
    this.#blocks = Math.max(1, CHUNK / geometry.inodesPerBlock);
    this.#slot = new Uint8Array(geometry.inodeSize);
    this.#slotView = new DataView(this.#slot.buffer);
    const bytes = new Uint8Array(this.#blocks * geometry.blockSize);
    this.#view = new DataView(bytes.buffer);
    this.#crc = new SlotCrc(bytes, geometry.inodeSize);
  }

  run(places: RunList): RunList {
    const { blockSize, sparseAlignment, inodeAlignment, features } = this.#geometry;
    const step = Math.max(1, inodeAlignment);
    if (step * blockSize <= NEAR_BYTES) return this.#known;
    this.#pass(places, step, 0);
    // Parts of chunks are made only where there is no room for whole ones.
    if (features.sparse && this.#hasParts) {
      for (let into = sparseAlignment; into > 0 && into < step; into += sparseAlignment) this.#pass(places, step, into);
    }
    return asSet(this.#known);
  }

  /** Look at every place `into` blocks behind a multiple of `step`. */
  #pass(places: RunList, step: number, into: number): void {
    for (let i = 0; i < places.length; i++) {
      const end = places.start[i]! + places.count[i]!;
      for (let block = Math.ceil((places.start[i]! - into) / step) * step + into; block < end; block += step) {
        if (this.#startsAt(block)) this.#chunk(block, Math.min(this.#blocks, end - block));
      }
    }
  }

  #startsAt(block: number): boolean {
    if (!readInto(this.#device, this.#geometry.agBlockToByte(this.#ag, block), this.#slot)) return false;
    return this.#isInode(this.#slotView, 0, block * this.#geometry.inodesPerBlock);
  }

  #chunk(block: number, count: number): void {
    const { blockSize, inodeSize, inodesPerBlock } = this.#geometry;
    const view = this.#view;
    const bytes = new Uint8Array(view.buffer, 0, count * blockSize);
    if (!readInto(this.#device, this.#geometry.agBlockToByte(this.#ag, block), bytes)) return;
    let seen = 0;
    for (; seen < count && this.#isInode(view, seen * blockSize, (block + seen) * inodesPerBlock); seen++) {
      this.#visit(view, seen * blockSize, block + seen);
      for (let slot = 0; slot < inodesPerBlock; slot++) {
        const offset = seen * blockSize + slot * inodeSize;
        if (!this.#isInode(view, offset, (block + seen) * inodesPerBlock + slot)) continue;
        if (this.#crc.of(offset) === view.getUint32(offset + at.crc, true)) this.#claimData(offset);
      }
    }
    if (seen < this.#blocks) this.#hasParts = true;
    this.#known.push(block, seen);
  }

  /** Does an inode stand here that names this very place? */
  #isInode(view: DataView, offset: number, agInode: number): boolean {
    if (view.getUint16(offset) !== INODE_MAGIC) return false;
    const geometry = this.#geometry;
    const inode = geometry.inodeNumber(this.#ag, agInode);
    return getU64(view, offset + at.ino) === inode && geometry.isMetaUuid(view, offset + at.uuid);
  }

  /** Blocks in this AG that a file has by its list of extents. */
  #claimData(offset: number): void {
    const view = this.#view;
    const geometry = this.#geometry;
    if (view.getUint16(offset + at.mode) === 0 || view.getUint8(offset + at.format) !== FORMAT.EXTENTS) return;
    const room = Math.floor(dataForkBytes(view, offset, geometry.inodeSize) / EXTENT_BYTES);
    const count = Math.min(room, dataExtentCount(view, offset));
    for (let i = 0; i < count; i++) {
      const record = offset + DATA_FORK_OFFSET + i * EXTENT_BYTES;
      const start = extentStartBlock(view, record);
      const length = extentBlockCount(view, record);
      if (length === 0 || !geometry.isFsRange(start, length) || geometry.agOfFsBlock(start) !== this.#ag) continue;
      this.#known.push(geometry.agBlockOfFsBlock(start), length);
    }
  }
}
