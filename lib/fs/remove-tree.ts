/** Removing a directory with everything below it, by inode and name: neither depth nor the length of paths matters. */
import { fileError } from '../errors.ts';
import type { Editor } from '../volume/editor.ts';
import { unlink } from '../volume/names.ts';
import type { DirectoryEntry } from '../volume/volume.ts';
import { firstVisit } from './first-visit.ts';

interface Level {
  readonly directory: number;
  readonly entries: readonly DirectoryEntry[];
  next: number;
  /** How the parent level calls it. */
  readonly name: Uint8Array;
}

/** Remove what has this name, a directory or not. One transaction for each name. Throws ENOENT, ENOSPC, `corrupt`. */
export function removeTree(editor: Editor, directory: number, name: Uint8Array): void {
  const { volume } = editor;
  const number = volume.child(volume.inode(directory), name);
  if (number === undefined) throw fileError('ENOENT', 'no such file or directory');
  const levels: Level[] = [];
  const seen = new Set<number>();
  const enter = (inode: number, called: Uint8Array): boolean => {
    const target = volume.inode(inode);
    if (!target.isDirectory) return false;
    firstVisit(seen, inode);
    levels.push({ directory: inode, entries: volume.entries(target), next: 0, name: called });
    return true;
  };
  if (!enter(number, name)) {
    unlink(editor, directory, name);
    return;
  }
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    const entry = level.entries[level.next++];
    if (entry) {
      if (!enter(entry.inode, entry.name)) unlink(editor, level.directory, entry.name);
      continue;
    }
    levels.pop();
    unlink(editor, levels.at(-1)?.directory ?? directory, level.name, true);
  }
}
