/** `du IMAGE [PATH...]`: what trees take, each directory with everything below it. */
import type { Command } from 'commander';
import { pathBytes, showPath } from '../../lib/volume/path.ts';
import { type TreeUsage, treeUsage } from '../../lib/volume/usage.ts';
import { jsonOption } from '../command.ts';
import { attempt, failed } from '../ui/failures.ts';
import { withVolume } from '../ui/image.ts';
import { JsonArray, line } from '../ui/output.ts';
import { parseNumber, showSize } from '../ui/sizes.ts';

interface Options {
  summarize?: boolean;
  depth?: string;
  bytes?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('[paths...]', 'where to begin (default /)')
    .option('-s, --summarize', 'only the paths named')
    .option('-d, --depth <n>', 'print directories down to this level')
    .option('-b, --bytes', 'exact numbers')
    .addOption(jsonOption())
    .action((image: string, paths: string[], options: Options) =>
      withVolume(image, (volume) => {
        const deepest = options.summarize
          ? 0
          : options.depth
            ? parseNumber(options.depth, '--depth')
            : Number.MAX_VALUE;
        const array = options.json ? new JsonArray() : undefined;
        const print = (path: Uint8Array, usage: TreeUsage): void => {
          if (array) array.push({ path: showPath(path), ...usage });
          else {
            const size = options.bytes ? String(usage.bytes) : showSize(usage.bytes);
            const shared = usage.sharedBytes > 0 ? `  (${showSize(usage.sharedBytes)} shared)` : '';
            line(`${size.padStart(10)}  ${showPath(path)}${shared}`);
          }
        };
        const counted = new Set<number>();
        for (const path of paths.length > 0 ? paths : ['/']) {
          attempt('du', options.json, () => {
            const start = volume.resolve(path, false);
            const each = (at: Uint8Array, usage: TreeUsage, depth: number) => depth <= deepest && print(at, usage);
            const total = treeUsage(volume, start, pathBytes(path), counted, each, (error) =>
              failed('du', options.json, error),
            );
            if (!start.isDirectory) print(pathBytes(path), total);
          });
        }
        array?.end();
      }),
    );
}
