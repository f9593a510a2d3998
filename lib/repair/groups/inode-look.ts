/** What a block or a slot looks like when one asks whether inodes live there: each says its own number, uuid and CRC. */
import { crcWithHole, storedCrc } from '../../../formats/checksum.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { INODE_MAGIC, InodeCore } from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import { CHUNK } from '../../check/inode-table.ts';
import type { Device } from '../../device/device.ts';
import { readInto } from './block-scan.ts';

const at = InodeCore.offsets;

/** A slot that is still recognisable although a part of it may be wrong: its place or its file system is named. */
export function looksLikeInode(view: DataView, offset: number, geometry: Geometry, inode: number): boolean {
  if (view.getUint16(offset) !== INODE_MAGIC) return false;
  return getU64(view, offset + at.ino) === inode || geometry.isMetaUuid(view, offset + at.uuid);
}

/**
 * Does a block hold inodes of this very place? A copy of inodes that lies in a file's data (an image inside an image, a
 * backup) names other places.
 */
export class BlockLook {
  readonly #geometry: Geometry;
  /** Of the block looked at last: slots that name their own number and uuid, and those in use. */
  good = 0;
  used = 0;

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** True when the block at `offset` is one of inodes. */
  look(view: DataView, offset: number, ag: number, agBlock: number): boolean {
    const geometry = this.#geometry;
    const { inodeSize, inodesPerBlock } = geometry;
    this.good = this.used = 0;
    let isSealed = false;
    for (let slot = 0; slot < inodesPerBlock; slot++) {
      const place = offset + slot * inodeSize;
      if (view.getUint16(place) !== INODE_MAGIC) continue;
      const inode = geometry.inodeNumber(ag, agBlock * inodesPerBlock + slot);
      if (getU64(view, place + at.ino) !== inode || !geometry.isMetaUuid(view, place + at.uuid)) continue;
      this.good++;
      if (view.getUint16(place + at.mode) !== 0) this.used++;
      if (isSealed) continue;
      const bytes = new Uint8Array(view.buffer, view.byteOffset + place, inodeSize);
      isSealed = crcWithHole(bytes, at.crc) === storedCrc(bytes, at.crc);
    }
    return isSealed || this.good * 2 > inodesPerBlock;
  }
}

/** Slots of one chunk: which look like inodes, and which of those are in use. */
export class ChunkLook {
  readonly #device: Device;
  readonly #geometry: Geometry;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** By slot; slots that cannot be read count as inodes in use. */
  readonly isInode = new Uint8Array(CHUNK);
  readonly isUsed = new Uint8Array(CHUNK);

  constructor(device: Device, geometry: Geometry) {
    this.#device = device;
    this.#geometry = geometry;
    this.#bytes = new Uint8Array(CHUNK * geometry.inodeSize);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** @param start AG inode of slot 0. @returns how many slots look like inodes. */
  look(ag: number, start: number, holemask: number): number {
    const geometry = this.#geometry;
    const { inodeSize, inodesPerBlock } = geometry;
    let found = 0;
    // A chunk is one stretch of the disk; it is read in pieces where a part of it is a hole or cannot be read.
    const fits = holemask === 0 && geometry.isAgInode(ag, start) && geometry.isAgInode(ag, start + CHUNK - 1);
    const isWhole = fits && readInto(this.#device, this.#byteOf(ag, start), this.#bytes);
    for (let slot = 0; slot < CHUNK; slot += 4) {
      this.isInode.fill(0, slot, slot + 4);
      this.isUsed.fill(0, slot, slot + 4);
      const agInode = start + slot;
      if (((holemask >>> (slot >> 2)) & 1) !== 0 || !geometry.isAgInode(ag, agInode)) continue;
      const first = agInode % inodesPerBlock;
      // Four slots lie in one block, unless a block has fewer.
      for (let k = 0; k < 4; ) {
        const run = Math.min(4 - k, inodesPerBlock - ((first + k) % inodesPerBlock));
        const byte = this.#byteOf(ag, agInode + k);
        const readable = isWhole || readInto(this.#device, byte, this.#bytes.subarray(0, run * inodeSize));
        const base = isWhole ? (slot + k) * inodeSize : 0;
        for (let i = 0; i < run; i++) {
          const inode = geometry.inodeNumber(ag, agInode + k + i);
          const is = !readable || looksLikeInode(this.#view, base + i * inodeSize, geometry, inode);
          if (!is) continue;
          found++;
          this.isInode[slot + k + i] = 1;
          if (!readable || this.#view.getUint16(base + i * inodeSize + at.mode) !== 0) this.isUsed[slot + k + i] = 1;
        }
        k += run;
      }
    }
    return found;
  }

  #byteOf(ag: number, agInode: number): number {
    const { inodeSize, inodesPerBlock } = this.#geometry;
    const block = this.#geometry.agBlockOfAgInode(agInode);
    return this.#geometry.agBlockToByte(ag, block) + (agInode % inodesPerBlock) * inodeSize;
  }
}
