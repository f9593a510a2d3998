/** `owners IMAGE BLOCK...` or `--path P`: who owns these blocks. */
import type { Command } from 'commander';
import { usage } from '../../lib/errors.ts';
import { type BlockRange, findOwners } from '../../lib/owners/owners.ts';
import { forEachMapped } from '../../lib/volume/extents.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { jsonOption } from '../command.ts';
import { parseBlocks } from '../ui/blocks.ts';
import { withVolume } from '../ui/image.ts';
import { JsonArray } from '../ui/output.ts';
import { Table } from '../ui/table.ts';

interface Options {
  path?: string;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('[blocks...]', 'AG:BLOCK, AG:BLOCK+COUNT, byte:N (of the image), or fs:N (an fs block)')
    .option('--path <path>', 'all blocks of this object: who else owns them')
    .addOption(jsonOption())
    .action((image: string, blocks: string[], options: Options) =>
      withVolume(image, (volume) => {
        const ranges = blocks.map((text) => parseBlocks(text, volume.geometry));
        if (options.path !== undefined) ranges.push(...blocksOf(volume, options.path));
        else if (ranges.length === 0) throw usage('NO_BLOCK', 'name a block (AG:BLOCK), or an object with --path');
        const owners = findOwners(volume, ranges);
        if (options.json) {
          const array = new JsonArray();
          for (const owner of owners) array.push(owner);
          array.end();
          return;
        }
        const table = new Table([
          { title: 'AG', right: true },
          { title: 'AG block', right: true },
          { title: 'blocks', right: true },
          { title: 'kind' },
          { title: 'inode', right: true },
          { title: 'file block', right: true },
          { title: 'path' },
        ]);
        for (const { ag, agBlock, blockCount, kind, inode, fileBlock, path } of owners) {
          table.row(ag, agBlock, blockCount, kind, inode ?? '', fileBlock ?? '', path ?? '');
        }
        table.end();
      }),
    );
}

/** Every block of both forks. */
function blocksOf(volume: Volume, path: string): BlockRange[] {
  const inode = volume.resolve(path, false);
  const ranges: BlockRange[] = [];
  for (const fork of ['data', 'attr'] as const) {
    forEachMapped(volume, inode, fork, ({ ag, agBlock, blockCount }) => {
      const last = ranges.at(-1);
      // Cut where sharing begins: for this question one range.
      if (last && last.ag === ag && last.agBlock + last.blockCount === agBlock) {
        ranges[ranges.length - 1] = { ...last, blockCount: last.blockCount + blockCount };
      } else ranges.push({ ag, agBlock, blockCount });
    });
  }
  return ranges;
}
