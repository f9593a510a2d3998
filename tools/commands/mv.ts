/** `mv IMAGE SOURCE... TARGET`: rename, into a directory when the target is one. */
import type { Command } from 'commander';
import { fileError } from '../../lib/errors.ts';
import { rename, unlink } from '../../lib/volume/names.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { existingPlace, targetOf } from '../edit/place.ts';
import { splitTarget } from '../edit/sources.ts';
import { attempt } from '../ui/failures.ts';

interface Options extends EditOptions {
  clobber: boolean;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<paths...>', 'what is moved, and where to')
      .option('-n, --no-clobber', 'leave what has the new name already'),
  ).action((image: string, paths: string[], options: Options) => {
    const { sources, target } = splitTarget(paths);
    return edit(image, options, (editor) => {
      const { volume } = editor;
      const { directory, place } = targetOf(volume, target, sources.length);
      let moved = 0;
      for (const path of sources) {
        attempt('mv', options.json, () => {
          const source = existingPlace(volume, path, 'mv');
          const to = directory ?? place.directory;
          const name = directory === undefined ? place.name : source.name;
          if (directory === undefined && place.last !== 'name') {
            throw fileError('EINVAL', `mv: ${target} is no name`, { where: { path: target } });
          }
          const taken = volume.child(volume.inode(to), name);
          if (taken !== undefined && !options.clobber) return;
          if (taken === source.inode.number) {
            if (to === source.directory && Buffer.compare(name, source.name) === 0) {
              throw fileError('EINVAL', `${path} is there already`, { where: { path } });
            }
            // Two names of one file: what is asked for is that the first one goes.
            if (!source.inode.isDirectory) unlink(editor, source.directory, source.name);
          } else rename(editor, source.directory, source.name, to, name);
          moved++;
        });
      }
      return { data: { moved } };
    });
  });
}
