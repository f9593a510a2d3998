/**
 * A handle on one inode: a movable window over its slot in the cluster buffer, nothing decoded, nothing to write back.
 *
 * 1. A handle lives for one operation: it holds a buffer, and buffers are only stable between other people's changes.
 * 2. `load` verifies the slot (CRC unless it was changed in memory, then the core); hostile counts never get past it.
 * 3. Every change goes through `change(tx)` first.
 */
import type { Geometry } from '../../formats/geometry.ts';
import { INODE_FLAG2, InodeCore, MODE, S_IFMT } from '../../formats/inode.ts';
import { INODE_CLUSTER, inodeCoreFault, inodeCrcFault, isBigtime } from '../../formats/inode-verify.ts';
import { readTime, type Time, writeTime } from '../../formats/time.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { corrupt, fileError } from '../errors.ts';

/** The four times of an inode. */
export type TimeName = 'atime' | 'mtime' | 'ctime' | 'crtime';

export class Inode {
  readonly number: number;
  readonly geometry: Geometry;
  readonly reader: BlockReader;
  readonly buffer: Buffer;
  readonly view: DataView;
  /** Offset of the inode's slot in `view`. */
  readonly base: number;
  readonly core: ReturnType<typeof InodeCore.view>;

  private constructor(reader: BlockReader, number: number, buffer: Buffer, base: number) {
    this.reader = reader;
    this.geometry = reader.geometry;
    this.number = number;
    this.buffer = buffer;
    this.view = buffer.view;
    this.base = base;
    this.core = InodeCore.view().at(buffer.view, base);
  }

  /**
   * Read and verify an inode in use. Throws `corrupt` (INODE_*, BAD_CRC) with the inode number in `where`; a free inode
   * is INODE_FREE.
   */
  static load(reader: BlockReader, number: number): Inode {
    const inode = Inode.#place(reader, number);
    const slot = inode.base / reader.geometry.inodeSize;
    const fault =
      (inode.buffer.changedSlots?.has(slot) ? undefined : inodeCrcFault(inode.view, inode.base, reader.geometry)) ??
      inodeCoreFault(inode.view, inode.base, reader.geometry, number);
    if (fault) {
      throw corrupt(fault.code, `inode ${number}: ${fault.field} is ${fault.found}, expected ${fault.expected}`, {
        where: { inode: number, structure: 'Inode', field: fault.field },
        expected: fault.expected,
        found: fault.found,
      });
    }
    if (inode.core.mode === 0) {
      throw corrupt('INODE_FREE', `inode ${number} is free but something names it`, { where: { inode: number } });
    }
    return inode;
  }

  /** The slot of an inode that was just allocated: content is still that of a free inode and not verified. */
  static placeFresh(tx: Transaction, number: number): Inode {
    return Inode.#place(tx, number);
  }

  static #place(reader: BlockReader, number: number): Inode {
    const { geometry } = reader;
    const ag = geometry.agOfInode(number);
    const agBlock = geometry.agBlockOfAgInode(geometry.agInodeOfInode(number));
    if (!(ag < geometry.agCount && agBlock >= geometry.headerBlocks && agBlock < geometry.agLength(ag))) {
      throw corrupt('INODE_OUT_OF_RANGE', `inode number ${number} lies outside the image`, {
        where: { inode: number },
      });
    }
    const cluster = agBlock - (agBlock % geometry.clusterBlocks);
    const bytes = geometry.clusterBlocks * geometry.blockSize;
    const buffer = reader.get(geometry.agBlockToDaddr(ag, cluster), bytes, INODE_CLUSTER);
    const slot =
      (agBlock - cluster) * geometry.inodesPerBlock + (geometry.agInodeOfInode(number) % geometry.inodesPerBlock);
    return new Inode(reader, number, buffer, slot * geometry.inodeSize);
  }

  /** Announce a change of any byte of the inode. */
  change(tx: Transaction): void {
    tx.change(this.buffer, this.base, this.geometry.inodeSize);
  }

  get mode(): number {
    return this.core.mode;
  }
  /** Type bits of the mode: one of MODE. */
  get type(): number {
    return this.core.mode & S_IFMT;
  }
  get isDirectory(): boolean {
    return this.type === MODE.DIR;
  }
  get isFile(): boolean {
    return this.type === MODE.FILE;
  }
  get isSymlink(): boolean {
    return this.type === MODE.SYMLINK;
  }
  get size(): number {
    return this.core.size;
  }
  get isReflink(): boolean {
    return (this.core.flags2Lo & INODE_FLAG2.REFLINK) !== 0;
  }

  time(name: TimeName): Time {
    return readTime(this.view, this.base + InodeCore.offsets[name], isBigtime(this.view, this.base));
  }

  /** `change` must have been called. */
  setTime(name: TimeName, time: Time): void {
    writeTime(this.view, this.base + InodeCore.offsets[name], time, isBigtime(this.view, this.base));
  }

  /** Device number of a character or block device: major << 18 | minor. */
  get deviceNumber(): { major: number; minor: number } {
    const raw = this.view.getUint32(this.base + InodeCore.size);
    return { major: raw >>> 18, minor: raw & 0x3ffff };
  }

  /** Throws ENOTDIR unless this is a directory. */
  assertDirectory(path?: string): void {
    if (!this.isDirectory)
      throw fileError('ENOTDIR', `${path ?? `inode ${this.number}`} is not a directory`, whereOf(this, path));
  }
}

function whereOf(inode: Inode, path: string | undefined): { where: { inode: number; path?: string } } {
  return { where: path === undefined ? { inode: inode.number } : { inode: inode.number, path } };
}
