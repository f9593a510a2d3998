/**
 * Fingerprints of every written block of some files: 32 bits each, only a hint of what may be equal. Where the image keeps
 * data checksums they are the fingerprints and no data is read; else each block is read once and hashed.
 *
 * 1. Entries stand in the order of files, and of file blocks in a file; blocks behind the end of file have none.
 * 2. Sharing blocks changes where an entry's block is, never its fingerprint: `refresh` brings the places up to date.
 */
import { crc32c } from '../../formats/checksum.ts';
import { corrupt, unsupported } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import type { Editor } from '../volume/editor.ts';
import { forEachMapped } from '../volume/extents.ts';

/** Entries an index may have: memory is some 30 bytes for each. */
const MOST_ENTRIES = 1 << 26;
/** Blocks whose fingerprints are taken at once. */
const BATCH_BLOCKS = 256;

export class BlockIndex {
  /** Inode numbers; entries refer to them by position. */
  readonly inodes: number[] = [];
  /** Entry at which each file begins; one more for the end of the last. */
  readonly starts: number[] = [0];
  count = 0;
  file = new Uint32Array(1024);
  fileBlock = new Float64Array(1024);
  /** fs block. */
  place = new Float64Array(1024);
  hash = new Uint32Array(1024);
  /** 1: the block has several owners. */
  shared = new Uint8Array(1024);
  readonly #editor: Editor;
  readonly #crcs = new Uint32Array(BATCH_BLOCKS);
  readonly #data: Uint8Array;

  constructor(editor: Editor) {
    this.#editor = editor;
    const { features, blockSize } = editor.volume.geometry;
    this.#data = new Uint8Array(features.dataChecksums ? 0 : BATCH_BLOCKS * blockSize);
  }

  /** Add a regular file. Throws `corrupt`, `unsupported` TOO_MANY_BLOCKS. */
  add(inode: Inode): void {
    const file = this.inodes.length;
    const first = this.count;
    this.inodes.push(inode.number);
    try {
      this.#forEachRun(inode, (fileBlock, start, count, shared) => {
        for (let done = 0; done < count; done += BATCH_BLOCKS) {
          const blocks = Math.min(BATCH_BLOCKS, count - done);
          this.#grow(blocks);
          this.#fingerprints(start + done, blocks);
          for (let i = 0; i < blocks; i++) {
            const at = this.count++;
            this.file[at] = file;
            this.fileBlock[at] = fileBlock + done + i;
            this.place[at] = start + done + i;
            this.hash[at] = this.#crcs[i]!;
            this.shared[at] = shared ? 1 : 0;
          }
        }
      });
    } catch (error) {
      // A file that cannot be read is left out whole.
      this.inodes.pop();
      this.count = first;
      throw error;
    }
    this.starts.push(this.count);
  }

  /** Look up again where the blocks of all files are. */
  refresh(): void {
    for (let file = 0; file < this.inodes.length; file++) {
      let at = this.starts[file]!;
      const end = this.starts[file + 1]!;
      const inode = this.#editor.volume.inode(this.inodes[file]!);
      this.#forEachRun(inode, (fileBlock, start, count, shared) => {
        if (at + count > end || this.fileBlock[at] !== fileBlock) {
          throw corrupt('FILE_CHANGED', `inode ${inode.number} changed meanwhile`, { where: { inode: inode.number } });
        }
        this.place.set(
          Float64Array.from({ length: count }, (_, i) => start + i),
          at,
        );
        this.shared.fill(shared ? 1 : 0, at, at + count);
        at += count;
      });
    }
  }

  /** Written runs of a file up to its end, cut where sharing begins or ends. */
  #forEachRun(inode: Inode, visit: (fileBlock: number, start: number, count: number, shared: boolean) => void): void {
    const { geometry } = this.#editor.volume;
    const end = Math.ceil(inode.size / geometry.blockSize);
    if (!inode.isReflink) {
      // Nobody has to be asked who shares what.
      new Fork(inode, 'data').forEachExtent((fileBlock, start, blockCount, unwritten) => {
        const count = Math.min(blockCount, end - fileBlock);
        if (!unwritten && count > 0) visit(fileBlock, start, count, false);
      });
      return;
    }
    forEachMapped(this.#editor.volume, inode, 'data', ({ fileBlock, ag, agBlock, blockCount, unwritten, shared }) => {
      const count = Math.min(blockCount, end - fileBlock);
      if (!unwritten && count > 0) visit(fileBlock, geometry.fsBlock(ag, agBlock), count, shared);
    });
  }

  /** Of consecutive blocks, into `#crcs`. */
  #fingerprints(start: number, count: number): void {
    const { space, volume, data } = this.#editor;
    const { blockSize, features } = volume.geometry;
    if (features.dataChecksums) {
      const present = space.readChecksums(volume.cache, start, count, this.#crcs);
      for (let i = 0; i < count; i++) {
        if (!present[i]) {
          throw corrupt('DATA_CHECKSUM', `block ${start + i} has no checksum`, { where: { block: start + i } });
        }
      }
      return;
    }
    const bytes = this.#data.subarray(0, count * blockSize);
    data.read(volume.geometry.fsBlockToByte(start), bytes);
    for (let i = 0; i < count; i++) this.#crcs[i] = crc32c(bytes.subarray(i * blockSize, (i + 1) * blockSize));
  }

  #grow(more: number): void {
    const needed = this.count + more;
    if (needed > MOST_ENTRIES) {
      throw unsupported('TOO_MANY_BLOCKS', `more than ${MOST_ENTRIES} blocks at once: name fewer files`);
    }
    if (needed <= this.hash.length) return;
    const size = Math.max(needed, 2 * this.hash.length);
    this.file = enlarged(this.file, new Uint32Array(size));
    this.fileBlock = enlarged(this.fileBlock, new Float64Array(size));
    this.place = enlarged(this.place, new Float64Array(size));
    this.hash = enlarged(this.hash, new Uint32Array(size));
    this.shared = enlarged(this.shared, new Uint8Array(size));
  }
}

function enlarged<T extends Uint8Array | Uint32Array | Float64Array>(old: T, bigger: T): T {
  bigger.set(old);
  return bigger;
}
