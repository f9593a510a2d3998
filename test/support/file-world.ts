/**
 * An image in memory that tests fill through lib/file: every file has a name in the root directory, so that at the end the
 * checker, and xfs_repair where it is there, can judge the whole.
 */
import { CADASTRE, XFS } from '../../formats/dialect.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { ftypeOfMode, INODE_FLAG2, MODE, S_IFMT } from '../../formats/inode.ts';
import { BufferCache } from '../../lib/buffer/cache.ts';
import { DirectTransaction } from '../../lib/buffer/direct.ts';
import { check } from '../../lib/check/check.ts';
import { MemoryDevice } from '../../lib/device/memory.ts';
import { initialise, insert, remove } from '../../lib/directory/directory.ts';
import { initialiseInode, type NewInode } from '../../lib/file/create.ts';
import { Fork } from '../../lib/file/fork.ts';
import { Inode } from '../../lib/file/inode.ts';
import { editFork } from '../../lib/file/inode-fork-blocks.ts';
import { FileReader } from '../../lib/file/read.ts';
import { writeSymlink } from '../../lib/file/symlink.ts';
import { truncateFile } from '../../lib/file/truncate.ts';
import { FileWriter } from '../../lib/file/write.ts';
import { finishImage, formatImage } from '../../lib/mkfs/format-image.ts';
import { type ImagePlan, planImage } from '../../lib/mkfs/geometry.ts';
import { closeContent } from '../../lib/mkfs/make.ts';
import type { MkfsOptions } from '../../lib/mkfs/options.ts';
import { inodeOwner } from '../../lib/space/owner.ts';
import { Space } from '../../lib/space/space.ts';

const MIB = 1 << 20;
const TIME = { seconds: 1_700_000_000, nanoseconds: 7 };

/** Kinds of image that file tests run over. */
export const FILE_WORLDS: Record<string, Partial<Omit<MkfsOptions, 'dialect'>> & { dialect: 'xfs' | 'cadastre' }> = {
  'xfs 4k': { dialect: 'xfs' },
  'xfs 1k, rmapbt': { dialect: 'xfs', blockSize: 1024, features: { rmapbt: true } },
  'xfs 4k, rmapbt, nrext64': { dialect: 'xfs', features: { rmapbt: true, nrext64: true } },
  'xfs 1k, no reflink': { dialect: 'xfs', blockSize: 1024, features: { reflink: false } },
  'cadastre 4k': { dialect: 'cadastre' },
  'cadastre 1k': { dialect: 'cadastre', blockSize: 1024 },
};

export class FileWorld {
  readonly device: MemoryDevice;
  readonly plan: ImagePlan;
  readonly geometry: Geometry;
  readonly tx: DirectTransaction;
  space: Space;
  #attributes = false;

  constructor(options: Partial<Omit<MkfsOptions, 'dialect'>> & { dialect?: 'xfs' | 'cadastre' } = {}) {
    const { dialect, ...rest } = options;
    this.plan = planImage({
      size: 16 * MIB,
      uuid: new Uint8Array(16).fill(9),
      time: TIME,
      ...rest,
      dialect: dialect === 'cadastre' ? CADASTRE : XFS,
    });
    this.geometry = this.plan.geometry;
    this.device = new MemoryDevice(this.plan.size);
    formatImage(this.device, this.plan, true);
    this.tx = new DirectTransaction(new BufferCache(this.device, this.geometry));
    this.space = new Space(this.geometry);
  }

  /** Make an inode with a name in the root directory; a symlink needs its target. @returns its number. */
  create(mode: number = MODE.FILE | 0o644, more: Partial<NewInode> & { target?: Uint8Array } = {}): number {
    const { tx, space, geometry } = this;
    const { rootInode } = geometry;
    const isDirectory = (mode & S_IFMT) === MODE.DIR;
    const number = space.allocateInode(tx, { parentInode: rootInode, isDirectory, generation: 1 });
    const nlink = isDirectory ? 2 : 1;
    const times = { atime: TIME, mtime: TIME, ctime: TIME, crtime: TIME };
    const inode = initialiseInode(tx, number, { mode, uid: 0, gid: 0, nlink, forkoff: 0, ...times, ...more });
    if (isDirectory) {
      initialise(editFork(tx, space, inode, 'data'), number, rootInode);
      this.#addLinks(1);
    }
    if (more.target) writeSymlink(tx, space, inode, more.target);
    const root = editFork(tx, space, Inode.load(tx, rootInode), 'data');
    insert(root, this.name(number), number, ftypeOfMode(mode));
    return number;
  }

  /** Take the name away again; what the inode holds must be let go by the caller. */
  unlink(number: number, isDirectory = false): void {
    const root = editFork(this.tx, this.space, Inode.load(this.tx, this.geometry.rootInode), 'data');
    remove(root, this.name(number));
    if (isDirectory) this.#addLinks(-1);
  }

  name(number: number): Uint8Array {
    return new TextEncoder().encode(`inode-${number}`);
  }

  #addLinks(count: number): void {
    const root = Inode.load(this.tx, this.geometry.rootInode);
    root.change(this.tx);
    root.core.nlink += count;
  }

  inode(number: number): Inode {
    return Inode.load(this.tx, number);
  }
  fork(number: number, name: 'data' | 'attr' = 'data'): Fork {
    return new Fork(this.inode(number), name);
  }
  writer(number: number): FileWriter {
    return new FileWriter(this.tx, this.inode(number), this.device, this.space);
  }

  /** All bytes of a file, read in pieces of an odd size. */
  read(number: number): Uint8Array {
    const reader = new FileReader(this.inode(number), this.device, this.space);
    const bytes = new Uint8Array(reader.inode.size).fill(0xee);
    for (let at = 0; at < bytes.length; at += 50_001) reader.read(at, bytes.subarray(at, at + 50_001));
    return bytes;
  }

  /** Truncate in as many pieces as it takes. */
  truncate(number: number, size: number, units?: number): void {
    while (truncateFile(this.tx, this.space, this.device, this.inode(number), size, units)) this.tx.commit();
  }

  /**
   * Share whole blocks of one file with another one, which loses what it has there: what a clone does, by the doors that
   * tests judge. Holes and unwritten extents of the source become holes.
   */
  share(from: number, fromBlock: number, to: number, toBlock: number, count: number): void {
    const { tx, space, geometry } = this;
    const [source, target] = [this.inode(from), this.inode(to)];
    const end = (toBlock + count) * geometry.blockSize;
    this.writer(to).clearBehindEnd(end, toBlock + count, Number.MAX_SAFE_INTEGER);
    const owner = inodeOwner(to);
    const fork = new Fork(target, 'data');
    fork.unmap(tx, space, toBlock, toBlock + count, (fileBlock, startBlock, blockCount, unwritten) => {
      space.free(tx, startBlock, blockCount, owner, { fileBlock, unwritten });
    });
    const pieces: { fileBlock: number; startBlock: number; blockCount: number }[] = [];
    new Fork(source, 'data').forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
      const first = Math.max(fileBlock, fromBlock);
      const last = Math.min(fileBlock + blockCount, fromBlock + count);
      if (unwritten || first >= last) return;
      pieces.push({ fileBlock: first, startBlock: startBlock + first - fileBlock, blockCount: last - first });
    });
    for (const inode of [source, target]) {
      inode.change(tx);
      inode.core.flags2Lo |= INODE_FLAG2.REFLINK;
    }
    for (const { fileBlock, startBlock, blockCount } of pieces) {
      const at = toBlock + fileBlock - fromBlock;
      space.share(tx, startBlock, blockCount, owner, { fileBlock: at });
      fork.map(tx, space, at, startBlock, blockCount, false);
    }
    if (end > target.size) target.core.size = end;
  }

  /** The superblock says that attributes are in use. */
  usesAttributes(): void {
    this.#attributes = true;
  }

  /** Complete the image. @returns the checker's problems, one line each: none for a right image. */
  finish(): string[] {
    closeContent(this.device, this.tx, this.space, this.#attributes);
    finishImage(this.device, this.plan);
    const { problems } = check(this.device, { data: true });
    return problems.map((problem) => JSON.stringify(problem));
  }
}

/** Blocks of a fork's extent tree. */
export function treeBlockCount(world: FileWorld, fork: Fork): number {
  if (fork.format !== 3) return 0;
  let count = 0;
  fork.tree().forEachBlock(world.tx, () => void count++);
  return count;
}
