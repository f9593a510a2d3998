/** `rm IMAGE PATH...`: remove names, with -r directories and everything below. */
import type { Command } from 'commander';
import { CadastreError, fileError } from '../../lib/errors.ts';
import { unlink } from '../../lib/volume/names.ts';
import { pathBytes } from '../../lib/volume/path.ts';
import { TreeRemover } from '../../lib/volume/tree-remove.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { existingPlace } from '../edit/place.ts';
import { attempt, failed } from '../ui/failures.ts';
import { Progress } from '../ui/progress.ts';
import { count } from '../ui/sizes.ts';

interface Options extends EditOptions {
  recursive?: boolean;
  dir?: boolean;
  force?: boolean;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<paths...>')
      .option('-r, --recursive', 'directories with everything in them')
      .option('-d, --dir', 'empty directories too')
      .option('-f, --force', 'what does not exist is no error'),
  ).action((image: string, paths: string[], options: Options) => {
    const progress = new Progress(options.json === true);
    return edit(image, options, (editor) => {
      const remover = new TreeRemover(
        editor,
        (error) => failed('rm', options.json, error),
        (done) => progress.update(undefined, () => count(done.files, 'file')),
      );
      const { result } = remover;
      for (const path of paths) {
        attempt('rm', options.json, () => {
          try {
            const { directory, name, inode } = existingPlace(editor.volume, path, 'rm');
            if (inode.isDirectory && options.recursive) remover.remove(directory, name, pathBytes(path));
            else if (inode.isDirectory && !options.dir) {
              throw fileError('EISDIR', `${path} is a directory: -r removes it`, { where: { path } });
            } else {
              unlink(editor, directory, name, inode.isDirectory);
              if (inode.isDirectory) result.directories++;
              else result.files++;
            }
          } catch (error) {
            const isMissing = error instanceof CadastreError && ['ENOENT', 'ENOTDIR'].includes(error.code);
            if (!options.force || !isMissing) throw error;
          }
        });
      }
      progress.end();
      return { data: { removed: { ...result } } };
    });
  });
}
