/** `extents IMAGE PATH`: where the blocks of a file are. */
import type { Command } from 'commander';
import { forEachMapped } from '../../lib/volume/extents.ts';
import { jsonOption } from '../command.ts';
import { withVolume } from '../ui/image.ts';
import { JsonArray, line } from '../ui/output.ts';
import { Table } from '../ui/table.ts';

interface Options {
  attr?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('<path>')
    .option('--attr', 'the blocks of its attributes instead')
    .addOption(jsonOption())
    .action((image: string, path: string, options: Options) =>
      withVolume(image, (volume) => {
        const inode = volume.resolve(path, false);
        const fork = options.attr ? 'attr' : 'data';
        if (options.json) {
          const array = new JsonArray();
          forEachMapped(volume, inode, fork, (extent) => array.push(extent));
          array.end();
          return;
        }
        const table = new Table([
          { title: 'file block', right: true },
          { title: 'AG', right: true },
          { title: 'AG block', right: true },
          { title: 'blocks', right: true },
          { title: '' },
        ]);
        let any = false;
        forEachMapped(volume, inode, fork, ({ fileBlock, ag, agBlock, blockCount, unwritten, shared }) => {
          any = true;
          table.row(fileBlock, ag, agBlock, blockCount, `${unwritten ? 'unwritten ' : ''}${shared ? 'shared' : ''}`);
        });
        if (any) table.end();
        else
          line(`no blocks: ${inode.size > 0 && !inode.isFile ? 'the content is in the inode' : 'nothing is mapped'}`);
      }),
    );
}
