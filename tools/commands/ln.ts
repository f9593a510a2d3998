/** `ln IMAGE TARGET... LINK`: one more name for a file, or with -s a symlink. */
import type { Command } from 'commander';
import { MODE } from '../../formats/inode.ts';
import { fileError } from '../../lib/errors.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { create, createUnnamed, finishFreeing, link, linkOver, nameIt } from '../../lib/volume/names.ts';
import { nameBytes, splitPath } from '../../lib/volume/path.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { existingPlace, targetOf } from '../edit/place.ts';
import { splitTarget } from '../edit/sources.ts';
import { attempt } from '../ui/failures.ts';

interface Options extends EditOptions {
  symbolic?: boolean;
  force?: boolean;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<paths...>', 'what is linked to, and the new name or a directory for it')
      .option('-s, --symbolic', 'make symlinks; what they say is taken as it is')
      .option('-f, --force', 'replace what has the name'),
  ).action((image: string, paths: string[], options: Options) => {
    const { sources, target } = splitTarget(paths);
    return edit(image, options, (editor) => {
      const { volume } = editor;
      const into = targetOf(volume, target, sources.length);
      let made = 0;
      for (const path of sources) {
        attempt('ln', options.json, () => {
          const own = splitPath(nameBytes(path)).at(-1);
          const directory = into.directory ?? into.place.directory;
          const name = into.directory === undefined ? into.place.name : own;
          if (name === undefined || name.length === 0) {
            throw fileError('EINVAL', `ln: ${target} is no name`, { where: { path: target } });
          }
          const taken = volume.child(volume.inode(directory), name);
          if (taken !== undefined && !options.force) {
            throw fileError('EEXIST', `${target} exists`, { where: { path: target } });
          }
          if (options.symbolic) symlink(editor, directory, name, nameBytes(path), taken !== undefined);
          else {
            const { inode } = existingPlace(volume, path, 'ln');
            if (taken === undefined) link(editor, inode.number, directory, name);
            else linkOver(editor, inode.number, directory, name);
          }
          made++;
        });
      }
      return { data: { made } };
    });
  });
}

function symlink(editor: Editor, directory: number, name: Uint8Array, target: Uint8Array, replaces: boolean): void {
  if (target.length === 0 || target.length > 1023 || target.includes(0)) {
    throw fileError(target.length > 1023 ? 'ENAMETOOLONG' : 'ENOENT', 'not what a symlink can say');
  }
  const what = { mode: MODE.SYMLINK | 0o777, target };
  if (!replaces) {
    create(editor, directory, name, what);
    return;
  }
  const victim = editor.transact((tx) =>
    nameIt(editor, tx, directory, name, createUnnamed(editor, tx, directory, what)),
  );
  if (victim !== undefined) finishFreeing(editor, victim);
}
