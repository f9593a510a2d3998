/**
 * How much files and free space are in pieces: extents against the fewest possible.
 *
 * 1. The whole image is one pass over inodes, not over names: names are looked up only for the files that are shown. A part
 *    of it is a walk over names, every object once whatever its links.
 * 2. Memory is that of the files shown, and of the extents of files that share blocks when some of those are in pieces.
 */
import { CadastreError } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import { findPaths } from '../volume/find-paths.ts';
import { forEachInode, systemInodes } from '../volume/inodes.ts';
import type { Volume } from '../volume/volume.ts';
import { walkTree } from '../volume/walk.ts';
import { type FreeSpaceLayout, freeSpaceLayout } from './free-space.ts';
import { SharingUnits } from './held-apart.ts';
import { forkLayout } from './ideal.ts';

/** The data of a regular file. */
export interface FileFragments {
  /** Undefined for a file without a name (unlinked, or only in directories that cannot be read). */
  path: Uint8Array | undefined;
  readonly inode: number;
  /** Size in bytes. */
  readonly bytes: number;
  readonly extents: number;
  readonly ideal: number;
}

/** Sums over forks of one kind. */
export interface ForkSums {
  forks: number;
  extents: number;
  ideal: number;
}

export interface FragReport {
  /** Worst first: most extents above the ideal. */
  readonly files: readonly FileFragments[];
  /** Regular files with more extents than needed: `files` may show fewer, or more. */
  fragmented: number;
  /** Extents above the ideal that are there because files share blocks in different orders (held-apart.ts). */
  heldApart: number;
  /** Of all regular files looked at. */
  readonly data: ForkSums;
  /** Forks with blocks of their own: what is in the inode is in one piece. */
  readonly metadata: { readonly directories: ForkSums; readonly attributes: ForkSums; readonly symlinks: ForkSums };
  /** Of the whole image, whatever part of it was looked at. Undefined when it cannot be read. */
  readonly free: FreeSpaceLayout | undefined;
}

export interface FragOptions {
  /** Absolute paths of files and trees; files named here are shown in any case. Default: everything. */
  paths?: readonly Uint8Array[];
  /** Files shown at most; default 20. */
  top?: number;
  /** Show files in one piece too. */
  all?: boolean;
  /** Told of what cannot be read; the rest is counted all the same. */
  failed: (error: CadastreError) => void;
  progress?: (done: number, total: number) => void;
}

const DEFAULT_TOP = 20;

/** Extents above the ideal in percent of all, as xfs_db's `frag` counts it; 0 when there are none. */
export function fragFactor({ extents, ideal }: { extents: number; ideal: number }): number {
  return extents === 0 ? 0 : ((extents - ideal) / extents) * 100;
}

/** Measure. Throws what `Volume.resolve` throws for paths that do not exist. */
export function fragReport(volume: Volume, options: FragOptions): FragReport {
  const starts = options.paths?.map((path) => ({ path, inode: volume.resolve(path, false) }));
  const free = attempt(options.failed, () => freeSpaceLayout(volume));
  const survey = new Survey(options, free);
  if (starts === undefined) {
    const { failed, progress } = options;
    const system = systemInodes(volume);
    const visit = (inode: Inode): void => {
      if (!system.has(inode.number)) survey.add(inode, undefined, false);
    };
    forEachInode(volume, { visit, failed, progress });
  } else {
    for (const { path, inode } of starts) {
      walkTree(volume, inode, path, {
        enter: (found, depth) => survey.addOnce(found.inode, found.path, depth === 0),
        failed: options.failed,
      });
    }
  }
  return survey.end(volume);
}

class Survey implements FragReport {
  files: FileFragments[] = [];
  fragmented = 0;
  heldApart = 0;
  readonly data = sums();
  readonly metadata = { directories: sums(), attributes: sums(), symlinks: sums() };
  readonly free: FreeSpaceLayout | undefined;
  readonly #all: boolean;
  readonly #top: number;
  readonly #failed: FragOptions['failed'];
  /** Files the caller has named: always shown. */
  readonly #named: FileFragments[] = [];
  /** Files in pieces that may share blocks. */
  readonly #sharing: number[] = [];
  /** Objects that can be met again: directories, and files with several names. */
  readonly #seen = new Set<number>();

  constructor({ all = false, top = DEFAULT_TOP, failed }: FragOptions, free: FreeSpaceLayout | undefined) {
    this.#all = all;
    this.#top = top;
    this.#failed = failed;
    this.free = free;
  }

  addOnce(inode: Inode, path: Uint8Array, named: boolean): boolean {
    if (inode.isDirectory || inode.core.nlink > 1) {
      if (this.#seen.has(inode.number)) return false;
      this.#seen.add(inode.number);
    }
    attempt(this.#failed, () => this.add(inode, path, named));
    return true;
  }

  add(inode: Inode, path: Uint8Array | undefined, named: boolean): void {
    if (inode.core.forkoff !== 0) count(this.metadata.attributes, new Fork(inode, 'attr'));
    const fork = new Fork(inode, 'data');
    if (inode.isDirectory) count(this.metadata.directories, fork);
    else if (inode.isSymlink) count(this.metadata.symlinks, fork);
    else if (inode.isFile) this.#file(inode, fork, path, named);
  }

  #file(inode: Inode, fork: Fork, path: Uint8Array | undefined, named: boolean): void {
    const { extents, ideal } = forkLayout(fork);
    this.data.forks++;
    this.data.extents += extents;
    this.data.ideal += ideal;
    if (extents > ideal) {
      this.fragmented++;
      if (inode.isReflink) this.#sharing.push(inode.number);
    }
    if (extents === ideal && !this.#all && !named) return;
    const file = { path, inode: inode.number, bytes: inode.size, extents, ideal };
    if (named) this.#named.push(file);
    else if (this.files.push(file) >= 2 * this.#top + 1000) this.#cut();
  }

  #cut(): void {
    this.files.sort(worstFirst);
    if (this.files.length > this.#top) this.files.length = this.#top;
  }

  /** Put in order, and find the names. */
  end(volume: Volume): this {
    if (this.#sharing.length > 0) {
      const units = new SharingUnits(volume);
      for (const number of this.#sharing) this.heldApart += units.heldApart(new Fork(volume.inode(number), 'data'));
    }
    this.#cut();
    this.files.push(...this.#named);
    this.files.sort(worstFirst);
    const nameless = this.files.filter(({ path }) => path === undefined);
    if (nameless.length > 0) {
      const paths = findPaths(volume, new Set(nameless.map(({ inode }) => inode)));
      for (const file of nameless) file.path = paths.get(file.inode);
    }
    return this;
  }
}

const sums = (): ForkSums => ({ forks: 0, extents: 0, ideal: 0 });

function count(into: ForkSums, fork: Fork): void {
  const { extents, ideal } = forkLayout(fork);
  if (extents === 0) return;
  into.forks++;
  into.extents += extents;
  into.ideal += ideal;
}

function worstFirst(a: FileFragments, b: FileFragments): number {
  return b.extents - b.ideal - (a.extents - a.ideal) || b.extents - a.extents || a.inode - b.inode;
}

function attempt<T>(failed: FragOptions['failed'], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    failed(error);
    return undefined;
  }
}
