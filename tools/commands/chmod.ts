/** `chmod IMAGE MODE PATH...`: permissions, octal or symbolic. */
import type { Command } from 'commander';
import { usage } from '../../lib/errors.ts';
import { setMode } from '../../lib/volume/metadata.ts';
import { changeEach } from '../edit/each.ts';
import { parseMode } from '../edit/mode.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';

interface Options extends EditOptions {
  recursive?: boolean;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<mode>', 'octal (644), or symbolic (u+x,go=rX)')
      .argument('<paths...>')
      .option('-R, --recursive', 'everything below too')
      // A mode may start with a minus sign.
      .allowUnknownOption(),
  ).action((image: string, text: string, paths: string[], options: Options) => {
    const change = parseMode(text);
    const strange = paths.find((path) => path.startsWith('-'));
    if (strange !== undefined) throw usage('UNKNOWN_OPTION', `unknown option ${strange}`);
    return edit(image, options, (editor) => {
      const changed = changeEach('chmod', editor, paths, { ...options, follow: true }, (tx, inode) => {
        setMode(editor, tx, inode, change(inode.mode & 0o7777, inode.isDirectory));
        editor.touch(tx, inode, false);
      });
      return { data: { changed } };
    });
  });
}
