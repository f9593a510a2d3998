/**
 * Reading file data: straight from the device in long runs. Holes and unwritten extents read as zeroes. Where the image
 * keeps data checksums, every block that is touched is read whole and compared first: never silent wrong bytes.
 */
import { crc32c } from '../../formats/checksum.ts';
import { FORMAT } from '../../formats/inode.ts';
import type { Device } from '../device/device.ts';
import { corrupt } from '../errors.ts';
import type { Space } from '../space/space.ts';
import { Fork } from './fork.ts';
import type { Inode } from './inode.ts';

/** Blocks whose checksums are looked up and compared at once. */
const VERIFY_BLOCKS = 256;

/** Reads one file; make one per open file, it keeps its scratch memory. */
export class FileReader {
  readonly inode: Inode;
  readonly #device: Device;
  readonly #space: Space;
  readonly #fork: Fork;
  #scratch: Uint8Array = new Uint8Array(0);
  readonly #crcs = new Uint32Array(VERIFY_BLOCKS);

  constructor(inode: Inode, device: Device, space: Space) {
    this.inode = inode;
    this.#device = device;
    this.#space = space;
    this.#fork = new Fork(inode, 'data');
  }

  /**
   * Read from byte `offset` on; at end of file less than asked.
   * @returns bytes read. Throws `corrupt` DATA_CHECKSUM (inode, file block) when a block is not what was written.
   */
  read(offset: number, into: Uint8Array): number {
    const { size, geometry } = this.inode;
    const length = Math.max(0, Math.min(into.length, size - offset));
    if (length === 0) return 0;
    const { blockSize } = geometry;
    const end = offset + length;
    let at = offset;
    if (this.#fork.format !== FORMAT.LOCAL) {
      this.#fork.forEachExtent(
        (fileBlock, startBlock, blockCount, unwritten) => {
          const start = fileBlock * blockSize;
          if (start >= end) return true;
          if (start > at) {
            into.fill(0, at - offset, start - offset);
            at = start;
          }
          const stop = Math.min(end, start + blockCount * blockSize);
          const piece = into.subarray(at - offset, stop - offset);
          if (unwritten) piece.fill(0);
          else this.#readRun(startBlock, at - start, fileBlock, piece);
          at = stop;
          return at >= end;
        },
        Math.floor(offset / blockSize),
      );
    }
    into.fill(0, at - offset, length);
    return length;
  }

  /** Bytes `skip ..` of the extent that starts at `startBlock`. */
  #readRun(startBlock: number, skip: number, fileBlock: number, into: Uint8Array): void {
    const { geometry } = this.inode;
    if (!geometry.features.dataChecksums) {
      this.#device.read(geometry.fsBlockToByte(startBlock) + skip, into);
      return;
    }
    const { blockSize } = geometry;
    let done = 0;
    while (done < into.length) {
      const block = Math.floor((skip + done) / blockSize);
      const inBlock = (skip + done) % blockSize;
      const count = Math.min(VERIFY_BLOCKS, Math.ceil((inBlock + into.length - done) / blockSize));
      const bytes = Math.min(count * blockSize - inBlock, into.length - done);
      const whole = inBlock === 0 && bytes === count * blockSize;
      const target = whole ? into.subarray(done, done + bytes) : this.#room(count * blockSize);
      this.#device.read(geometry.fsBlockToByte(startBlock + block), target);
      this.#verify(startBlock + block, count, fileBlock + block, target);
      if (!whole) into.set(target.subarray(inBlock, inBlock + bytes), done);
      done += bytes;
    }
  }

  #verify(startBlock: number, count: number, fileBlock: number, bytes: Uint8Array): void {
    const { blockSize } = this.inode.geometry;
    const present = this.#space.readChecksums(this.inode.reader, startBlock, count, this.#crcs);
    for (let i = 0; i < count; i++) {
      const found = crc32c(bytes.subarray(i * blockSize, (i + 1) * blockSize));
      if (present[i] && found === this.#crcs[i]) continue;
      const { number } = this.inode;
      const expected = present[i] ? `0x${this.#crcs[i]!.toString(16)}` : 'a checksum';
      throw corrupt('DATA_CHECKSUM', `inode ${number}, file block ${fileBlock + i}: the data is not what was written`, {
        where: { inode: number, fileBlock: fileBlock + i, block: startBlock + i },
        expected,
        found: `0x${found.toString(16)}`,
      });
    }
  }

  #room(bytes: number): Uint8Array {
    if (this.#scratch.length < bytes) this.#scratch = new Uint8Array(VERIFY_BLOCKS * this.inode.geometry.blockSize);
    return this.#scratch.subarray(0, bytes);
  }
}
