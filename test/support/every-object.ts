/** Every object of an image by walkTree, for tests: what cannot be read is an error. */
import type { Inode } from '../../lib/file/inode.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { walkTree } from '../../lib/volume/walk.ts';

/** @param path what the root is called: empty, or a slash. */
export function everyObject(volume: Volume, path: string, visit: (path: Uint8Array, inode: Inode) => void): void {
  walkTree(volume, volume.root, Buffer.from(path), {
    enter: (found) => {
      visit(found.path, found.inode);
      return true;
    },
    failed: (error) => {
      throw error;
    },
  });
}
