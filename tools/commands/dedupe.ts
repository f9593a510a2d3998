/** `dedupe IMAGE [PATH...]`: blocks of equal content become shared. */
import type { Command } from 'commander';
import { dedupe } from '../../lib/dedupe/dedupe.ts';
import { pathBytes } from '../../lib/volume/path.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { inodeOf } from '../edit/place.ts';
import { failed } from '../ui/failures.ts';
import { Progress } from '../ui/progress.ts';
import { count, parseSize, showSize } from '../ui/sizes.ts';

interface Options extends EditOptions {
  min?: string;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('[paths...]', 'files and trees to look at (default: all)')
      .option('--min <size>', 'shortest run that is worth a cut; whole files always are (default: 64k)'),
  ).action((image: string, paths: string[], options: Options) => {
    const minBytes = options.min === undefined ? undefined : parseSize(options.min, '--min');
    return edit(image, options, (editor) => {
      const starts = (paths.length > 0 ? paths : ['/']).map((path) => ({
        inode: inodeOf(editor.volume, path, false),
        path: pathBytes(path),
      }));
      const reading = new Progress(options.json === true);
      const sharing = new Progress(options.json === true);
      try {
        const result = dedupe(editor, starts, {
          ...(minBytes === undefined ? {} : { minBytes }),
          progress: (phase, done, total) => {
            if (phase === 'index') reading.update(undefined, () => `${showSize(done)} looked at`);
            else sharing.update(total ? done / total : undefined, () => `${showSize(done)} shared`);
          },
          failed: (error) => failed('dedupe', options.json, error),
        });
        reading.end();
        sharing.end();
        const saved =
          result.savedBytes < 0
            ? `${showSize(-result.savedBytes)} lost to tree blocks`
            : `${showSize(result.savedBytes)} saved`;
        const text =
          `${count(result.files, 'file')} (${showSize(result.bytes)}): ${showSize(result.sharedBytes)} shared in ` +
          `${count(result.runs, 'run')}, ${saved}`;
        return { text, data: { ...result } };
      } finally {
        reading.end();
        sharing.end();
      }
    });
  });
}
