/** The same change for many objects, with -R for everything below them: many in one transaction. */
import type { Transaction } from '../../lib/buffer/transaction.ts';
import { CadastreError } from '../../lib/errors.ts';
import type { Inode } from '../../lib/file/inode.ts';
import { Batch } from '../../lib/volume/batch.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { pathBytes } from '../../lib/volume/path.ts';
import { walkTree } from '../../lib/volume/walk.ts';
import { attempt, failed } from '../ui/failures.ts';
import { inodeOf } from './place.ts';

export interface EachOptions {
  recursive?: boolean;
  json?: boolean;
  /** False: a symlink itself, not what it points at. */
  follow: boolean;
}

/**
 * @param change called with each inode in a transaction; its times are the caller's.
 * @returns how many were changed.
 */
export function changeEach(
  name: string,
  editor: Editor,
  paths: readonly string[],
  options: EachOptions,
  change: (tx: Transaction, inode: Inode) => void,
): number {
  let changed = 0;
  const batch = new Batch(editor);
  const fail = (error: unknown): void => {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    failed(name, options.json, error);
  };
  const add = (number: number): void =>
    batch.add({
      run: (tx) => change(tx, editor.inode(tx, number)),
      done: () => {
        changed++;
      },
      failed: fail,
    });
  for (const path of paths) {
    attempt(name, options.json, () => {
      const start = inodeOf(editor.volume, path, options.follow);
      if (!options.recursive || !start.isDirectory) {
        add(start.number);
        return;
      }
      walkTree(editor.volume, start, pathBytes(path), {
        enter: ({ inode }) => {
          // What a symlink points at is not below.
          if (!inode.isSymlink || !options.follow) add(inode.number);
          return true;
        },
        failed: fail,
      });
    });
    batch.flush();
  }
  return changed;
}
