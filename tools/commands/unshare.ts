/** `unshare IMAGE PATH...`: give files blocks of their own. */
import type { Command } from 'commander';
import { unshare } from '../../lib/clone/unshare.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { inodeOf } from '../edit/place.ts';
import { attempt } from '../ui/failures.ts';
import { Progress } from '../ui/progress.ts';
import { showSize } from '../ui/sizes.ts';

export function define(command: Command): void {
  editOptions(command.argument('<image>').argument('<paths...>', 'regular files')).action(
    (image: string, paths: string[], options: EditOptions) => {
      const progress = new Progress(options.json === true);
      return edit(image, options, (editor) => {
        const total = { files: 0, runs: 0, bytes: 0 };
        for (const path of paths) {
          attempt('unshare', options.json, () => {
            const inode = inodeOf(editor.volume, path);
            const { size } = inode;
            const done = unshare(editor, inode.number, ({ bytes }) =>
              progress.update(bytes / Math.max(1, size), () => `${path}: ${showSize(bytes)} copied`),
            );
            total.files++;
            total.runs += done.runs;
            total.bytes += done.bytes;
          });
        }
        progress.end();
        return { text: `${showSize(total.bytes)} copied`, data: total };
      });
    },
  );
}
