/** `df IMAGE`: how full the image is, and with --ags each allocation group. */
import type { Command } from 'commander';
import { volumeUsage } from '../../lib/volume/usage.ts';
import { jsonOption } from '../command.ts';
import { withVolume } from '../ui/image.ts';
import { json, line } from '../ui/output.ts';
import { showSize } from '../ui/sizes.ts';
import { facts, Table } from '../ui/table.ts';

interface Options {
  ags?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .option('--ags', 'each allocation group too')
    .addOption(jsonOption())
    .action((image: string, options: Options) =>
      withVolume(image, (volume) => {
        const usage = volumeUsage(volume);
        if (options.json) {
          json(usage);
          return;
        }
        const percent = (part: number, whole: number): string => `${Math.round((part / Math.max(1, whole)) * 100)}%`;
        facts([
          ['size', showSize(usage.size)],
          ['used', `${showSize(usage.used)} (${percent(usage.used, usage.size)})`],
          ['free', showSize(usage.free)],
          ['available', `${showSize(usage.available)} for new data; the rest is held back for metadata`],
          ['inodes', `${usage.inodes - usage.freeInodes} in use, ${usage.freeInodes} free`],
        ]);
        if (!options.ags) return;
        line();
        const table = new Table(
          ['AG', 'blocks', 'free', 'longest', 'inodes', 'free'].map((title) => ({ title, right: true })),
        );
        for (const { ag, blocks, freeBlocks, longestFree, inodes, freeInodes } of usage.ags) {
          table.row(ag, blocks, freeBlocks, longestFree, inodes, freeInodes);
        }
        table.end();
      }),
    );
}
