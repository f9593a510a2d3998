/** Where a path of the command line leads: a name in a directory, which may be taken. */
import { fileError } from '../../lib/errors.ts';
import type { Inode } from '../../lib/file/inode.ts';
import { type Follow, lookupPath, type Place, resolvePath } from '../../lib/fs/lookup.ts';
import { pathBytes } from '../../lib/volume/path.ts';
import type { Volume } from '../../lib/volume/volume.ts';

/** The place of a path; the last part need not exist. Throws usage BAD_PATH, ENOENT, ENOTDIR, ELOOP. */
export function placeOf(volume: Volume, path: string, follow: Follow = 'slash'): Place {
  return lookupPath(volume, pathBytes(path), follow);
}

/** What is there. Throws ENOENT. */
export function inodeOf(volume: Volume, path: string, follow = true): Inode {
  return resolvePath(volume, pathBytes(path), follow);
}

/** A place whose last part is a name of its own. Throws EINVAL for `/`, `.` and `..`. */
export function namedPlace(volume: Volume, path: string, what: string): Place {
  const place = placeOf(volume, path);
  if (place.last !== 'name') throw fileError('EINVAL', `${what}: ${path} is no name`, { where: { path } });
  return place;
}

/** The same, and something is there. */
export function existingPlace(volume: Volume, path: string, what: string): Place & { readonly inode: Inode } {
  const place = namedPlace(volume, path, what);
  const { inode } = place;
  if (!inode) throw fileError('ENOENT', `no such file or directory: ${path}`, { where: { path } });
  if (place.slash) inode.assertDirectory(path);
  return { ...place, inode };
}

/** Where several sources go: into a directory that exists, or (one source) under a new name. */
export interface Target {
  /** Sources keep their names in it; undefined: the one source becomes `place`. */
  readonly directory: number | undefined;
  readonly place: Place;
}

/** Throws ENOTDIR when several sources have no directory to go to. */
export function targetOf(volume: Volume, path: string, sources: number): Target {
  const place = placeOf(volume, path, 'always');
  if (place.inode?.isDirectory) return { directory: place.inode.number, place };
  if (sources > 1 || place.slash) {
    const code = place.inode ? 'ENOTDIR' : 'ENOENT';
    throw fileError(code, `the target is not a directory: ${path}`, { where: { path } });
  }
  return { directory: undefined, place: placeOf(volume, path, 'slash') };
}
