/**
 * What must still be so when copied blocks are mapped: the files are those of the plan, and nobody has used the blocks. An
 * exchange that finds a difference is not made: the copies are in free space, and stay there unseen.
 */
import type { Inode } from '../file/inode.ts';

/** Other transactions were committed while blocks were copied: the free blocks may have been used, and freed again. */
export class Disturbed extends Error {}

/** A file is not what it was when the plan was made. */
export class FileChanged extends Error {
  readonly inode: number;

  constructor(inode: number) {
    super(`inode ${inode} changed while its blocks were copied`);
    this.inode = inode;
  }
}

/** Blocks of a run that was to be written are not free. */
export class RunTaken extends Error {}

/** A file as it was when the plan was made. */
export class InodeGuard {
  readonly number: number;
  readonly #size: number;
  readonly #hi: number;
  readonly #lo: number;
  /** Sharing its blocks with another file changes no counter, but a flag. */
  readonly #flags2: number;

  constructor(inode: Inode) {
    this.number = inode.number;
    this.#size = inode.size;
    this.#hi = inode.core.changecountHi;
    this.#lo = inode.core.changecountLo;
    this.#flags2 = inode.core.flags2Lo;
  }

  /** Throws FileChanged. */
  verify(inode: Inode): void {
    const { core, size } = inode;
    const isSame = core.changecountHi === this.#hi && core.changecountLo === this.#lo && core.flags2Lo === this.#flags2;
    if (!isSame || size !== this.#size) throw new FileChanged(inode.number);
  }
}
