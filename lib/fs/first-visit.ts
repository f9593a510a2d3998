/** Walks of a tree end: a directory has one place, and a second way to it is damage. */
import { corrupt } from '../errors.ts';

/** Note that a walk enters a directory. Throws `corrupt` DIRECTORY_LOOP when it was there before. */
export function firstVisit(seen: Set<number>, directory: number): void {
  if (seen.has(directory)) {
    throw corrupt('DIRECTORY_LOOP', `directory inode ${directory} has two places`, { where: { inode: directory } });
  }
  seen.add(directory);
}
