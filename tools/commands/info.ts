/** `info IMAGE`: format, sizes, counters, features, state of the log. */
import type { Command } from 'commander';
import { volumeInformation } from '../../lib/volume/info.ts';
import { jsonOption } from '../command.ts';
import { withVolume } from '../ui/image.ts';
import { json, note } from '../ui/output.ts';
import { showSize } from '../ui/sizes.ts';
import { facts } from '../ui/table.ts';

export function define(command: Command): void {
  command
    .argument('<image>')
    .addOption(jsonOption())
    .action((image: string, options: { json?: boolean }) =>
      withVolume(image, (volume, state) => {
        const information = volumeInformation(volume);
        const log = { state, ...information.log };
        if (options.json) {
          json({ ...information, log });
          return;
        }
        const { blockSize, features, agCount, agBlocks, stripe } = information;
        const on = Object.entries(features).filter(([, value]) => value);
        const off = Object.entries(features).filter(([, value]) => !value);
        facts([
          ['format', information.format],
          ['label', information.label === '' ? 'none' : information.label],
          ['uuid', information.uuid],
          ['size', `${showSize(information.size)} (${information.blocks} blocks of ${showSize(blockSize)})`],
          ['free', `${showSize(information.freeBlocks * blockSize)} (${information.freeBlocks} blocks)`],
          ['inodes', `${information.inodes - information.freeInodes} in use, ${information.freeInodes} free`],
          ['inode size', `${information.inodeSize} bytes`],
          ['sector size', `${information.sectorSize} bytes`],
          ['directory block', showSize(information.dirBlockSize)],
          ['AGs', `${agCount} of ${agBlocks} blocks (${showSize(agBlocks * blockSize)})`],
          ['log', `${log.state}; ${showSize(log.blocks * blockSize)} at AG ${log.ag} block ${log.agBlock}`],
          ...(stripe.unit > 0
            ? ([
                ['stripe', `${showSize(stripe.unit * blockSize)}, width ${showSize(stripe.width * blockSize)}`],
              ] as const)
            : []),
          ['features', on.map(([name]) => name).join(' ')],
          ['without', off.map(([name]) => name).join(' ')],
        ]);
        if (information.readOnly) note(`can only be read: ${information.readOnly}`);
        if (information.countersFrom) note(`counters are the superblock's: ${information.countersFrom}`);
      }),
    );
}
