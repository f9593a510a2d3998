/** From inode numbers back to paths: one walk over directory entries, ended as soon as every number has a path. */
import { FTYPE } from '../../formats/inode.ts';
import { CadastreError } from '../errors.ts';
import { joinPath } from './path.ts';
import type { Volume } from './volume.ts';

/** The first path of each inode, in the order of the walk. What has none (unlinked, unreachable) is missing. */
export function findPaths(volume: Volume, wanted: ReadonlySet<number>): Map<number, Uint8Array> {
  const paths = new Map<number, Uint8Array>();
  const root = volume.geometry.rootInode;
  const slash = Uint8Array.of(0x2f);
  if (wanted.has(root)) paths.set(root, slash);
  const seen = new Set([root]);
  const pending: { inode: number; path: Uint8Array }[] = [{ inode: root, path: slash }];
  for (let next = pending.pop(); next && paths.size < wanted.size; next = pending.pop()) {
    try {
      for (const { name, inode, ftype } of volume.entries(volume.inode(next.inode))) {
        if (wanted.has(inode) && !paths.has(inode)) paths.set(inode, joinPath(next.path, name));
        if (ftype !== FTYPE.DIR || seen.has(inode)) continue;
        seen.add(inode);
        pending.push({ inode, path: joinPath(next.path, name) });
      }
    } catch (error) {
      // A damaged directory hides what is in it, not the rest.
      if (!(error instanceof CadastreError)) throw error;
    }
  }
  return paths;
}
