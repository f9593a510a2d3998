/** What is asked about the place of a directory in the tree: its path, and which renames would tear the tree. */

import { forEachEntry, parentOf } from '../directory/directory.ts';
import { corrupt, fileError } from '../errors.ts';
import { readFork } from '../file/inode-fork-blocks.ts';
import { joinPath } from '../volume/path.ts';
import type { Volume } from '../volume/volume.ts';
import { lookupPath, type Place } from './lookup.ts';

/** Directories above each other: more than any path has, so a loop. */
const MAX_DEPTH = 4096;

const ROOT = Uint8Array.of(0x2f);

export class Names {
  readonly #volume: Volume;

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  /** The absolute path, free of symlinks, of what exists at `path`. Throws ENOENT, ENOTDIR, ELOOP. */
  pathOf(path: Uint8Array): Uint8Array {
    const { directory, name, last, inode, slash } = lookupPath(this.#volume, path, 'always');
    if (!inode) throw fileError('ENOENT', 'no such file or directory');
    if (slash) inode.assertDirectory();
    if (last === 'name') return joinPath(this.#directoryPath(directory), name);
    return this.#directoryPath(inode.number);
  }

  /**
   * Refuse, in Linux's order, what names.ts would refuse in another: a directory may not move below itself (EINVAL), and what
   * lies above the source cannot be replaced by it (ENOTEMPTY).
   */
  refuseRename(source: Place, target: Place): void {
    const moved = source.inode?.number;
    const replaced = target.inode?.number;
    if (source.inode?.isDirectory && this.#isAbove(moved, target.directory)) {
      throw fileError('EINVAL', 'a directory cannot move below itself');
    }
    if (target.inode?.isDirectory && this.#isAbove(replaced, source.directory)) {
      throw fileError('ENOTEMPTY', 'the target holds the source');
    }
  }

  /** True when `inode` is `directory` or lies above it. */
  #isAbove(inode: number | undefined, directory: number): boolean {
    let found = false;
    this.#climb(directory, (at) => (found = at === inode));
    return found;
  }

  /** The directory and all above it up to the root; return true to stop. A loop is damage: it ends. */
  #climb(directory: number, visit: (at: number, parent: number) => boolean): void {
    const { rootInode } = this.#volume.geometry;
    for (let at = directory, depth = 0; ; depth++) {
      const parent = at === rootInode ? at : parentOf(readFork(this.#volume.inode(at), 'data'));
      if (visit(at, parent) || at === rootInode) return;
      if (depth > MAX_DEPTH) throw corrupt('DIRECTORY_LOOP', 'a directory lies below itself', { where: { inode: at } });
      at = parent;
    }
  }

  #directoryPath(directory: number): Uint8Array {
    const names: Uint8Array[] = [];
    this.#climb(directory, (at, parent) => {
      if (at !== parent) names.push(this.#nameOf(at, parent));
      return false;
    });
    return names.reduceRight<Uint8Array>((path, name) => joinPath(path, name), ROOT);
  }

  /** The name a directory has in its parent. */
  #nameOf(directory: number, parent: number): Uint8Array {
    let found: Uint8Array | undefined;
    forEachEntry(readFork(this.#volume.inode(parent), 'data'), (inode, _ftype, bytes, start, end) => {
      if (inode === directory) found = bytes.slice(start, end);
    });
    if (!found) throw fileError('ENOENT', `directory inode ${directory} has lost its name`);
    return found;
  }
}
