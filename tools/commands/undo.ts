/** `undo IMAGE FILE`: put an image back to what it was before the edit that wrote this undo file. */
import { rmSync } from 'node:fs';
import type { Command } from 'commander';
import { FileDevice } from '../../lib/device/file.ts';
import { undo } from '../../lib/device/undo.ts';
import { jsonOption } from '../command.ts';
import { EditableImage } from '../edit/open.ts';
import { json, line } from '../ui/output.ts';
import { showSize } from '../ui/sizes.ts';

interface Options {
  force?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('<file>', 'what --undo wrote')
    .option('--force', 'although the image was changed since')
    .addOption(jsonOption())
    .action((path: string, name: string, options: Options) => {
      const image = new EditableImage(path, {});
      try {
        const file = new FileDevice(name, 'rw');
        try {
          const { wasNew, ...result } = undo(image.device, file, { force: options.force === true });
          if (wasNew) rmSync(path);
          if (options.json) json({ image: path, ...result, removed: wasNew });
          else {
            const what = wasNew ? 'removed: it was not there before' : `${showSize(result.restoredBytes)} put back`;
            line(`${path}: ${what}${result.finished ? '' : ', of an edit that was cut off'}`);
          }
        } finally {
          file.close();
        }
      } finally {
        image.close();
      }
    });
}
