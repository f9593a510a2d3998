/** `chown IMAGE U[:G] PATH...`: owner and group, as numbers. */
import type { Command } from 'commander';
import { setOwner } from '../../lib/volume/metadata.ts';
import { changeEach } from '../edit/each.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { parseOwner } from '../edit/owner.ts';

interface Options extends EditOptions {
  recursive?: boolean;
  dereference: boolean;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<owner>', 'numbers: U, U:G or :G')
      .argument('<paths...>')
      .option('-R, --recursive', 'everything below too, symlinks themselves')
      .option('-h, --no-dereference', 'a symlink itself, not what it points at')
      .helpOption('--help', 'display help for command'),
  ).action((image: string, text: string, paths: string[], options: Options) => {
    const { uid, gid } = parseOwner(text);
    const follow = options.dereference && !options.recursive;
    return edit(image, options, (editor) => {
      const changed = changeEach('chown', editor, paths, { ...options, follow }, (tx, inode) => {
        setOwner(tx, inode, uid, gid);
        editor.touch(tx, inode, false);
      });
      return { data: { changed } };
    });
  });
}
