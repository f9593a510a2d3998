/**
 * Walks of a whole tree inside an image. A directory has one place: a second way to it is damage (a loop, or two parents),
 * is told of and not followed, so that every walk ends and visits a directory once.
 */
import { CadastreError, corrupt } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { type ListedEntry, listDirectory } from './listing.ts';
import { showPath } from './path.ts';
import type { Volume } from './volume.ts';

export interface WalkVisitor {
  /** An object, directories before what is in them, names in order. Return false to stay out of a directory. */
  enter(entry: ListedEntry & { readonly inode: Inode }, depth: number): boolean | undefined;
  /** Everything below the directory that `enter` was last told of at this depth has been visited. */
  leave?(entry: ListedEntry & { readonly inode: Inode }, depth: number): void;
  /** Something cannot be read: the walk goes on behind it. */
  failed(error: CadastreError, path: Uint8Array): void;
}

type Found = ListedEntry & { readonly inode: Inode };

/** The error that says that a directory was met a second time. */
export function secondPlace(inode: number, path: Uint8Array): CadastreError {
  const text = showPath(path);
  return corrupt('DIRECTORY_LOOP', `${text} leads to a directory that has another place already`, {
    where: { inode, path: text },
  });
}

/** Visit an object and, when it is a directory, everything below it. Needs memory for one listing per level. */
export function walkTree(volume: Volume, start: Inode, path: Uint8Array, visitor: WalkVisitor): void {
  const seen = new Set<number>();
  const levels: { directory: Found; entries: ListedEntry[]; next: number }[] = [];
  const visit = (found: Found): void => {
    const { inode } = found;
    if (inode.isDirectory && seen.has(inode.number)) {
      visitor.failed(secondPlace(inode.number, found.path), found.path);
      return;
    }
    if (inode.isDirectory) seen.add(inode.number);
    if (visitor.enter(found, levels.length) === false || !inode.isDirectory) return;
    let entries: ListedEntry[] = [];
    try {
      entries = listDirectory(volume, inode, found.path);
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
      visitor.failed(error, found.path);
    }
    levels.push({ directory: found, entries, next: 0 });
  };
  const name = path.subarray(path.lastIndexOf(0x2f) + 1);
  visit({ entry: { name, inode: start.number, ftype: 0 }, path, inode: start });
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    const listed = level.entries[level.next++];
    if (!listed) {
      levels.pop();
      visitor.leave?.(level.directory, levels.length);
    } else if (listed.inode) {
      visit({ ...listed, inode: listed.inode });
    } else if (listed.error) {
      visitor.failed(listed.error, listed.path);
    }
  }
}
