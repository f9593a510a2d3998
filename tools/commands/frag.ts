/** `frag IMAGE [PATH...]`: files in more pieces than needed, worst first, and the free space by the length of its runs. */
import type { Command } from 'commander';
import { type FragReport, fragFactor, fragReport } from '../../lib/frag/frag.ts';
import { pathBytes, showPath } from '../../lib/volume/path.ts';
import { jsonOption } from '../command.ts';
import { failed } from '../ui/failures.ts';
import { withVolume } from '../ui/image.ts';
import { json, line } from '../ui/output.ts';
import { Progress } from '../ui/progress.ts';
import { count, parseNumber, showSize } from '../ui/sizes.ts';
import { facts, Table } from '../ui/table.ts';

interface Options {
  all?: boolean;
  top?: string;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('[paths...]', 'files and trees to look at (default: the whole image)')
    .option('--top <n>', 'files shown at most (default 20)')
    .option('--all', 'show every file, also those in one piece')
    .addOption(jsonOption())
    .action((image: string, paths: string[], options: Options) => {
      const most = options.top === undefined ? undefined : parseNumber(options.top, '--top');
      const top = most ?? (options.all ? Number.MAX_SAFE_INTEGER : undefined);
      return withVolume(image, (volume) => {
        const progress = new Progress(options.json);
        const report = fragReport(volume, {
          ...(paths.length === 0 ? {} : { paths: paths.map(pathBytes) }),
          ...(top === undefined ? {} : { top }),
          all: options.all === true,
          failed: (error) => {
            progress.end();
            failed('frag', options.json, error);
          },
          progress: (done, total) => progress.update(total > 0 ? done / total : undefined, 'inodes'),
        });
        progress.end();
        if (options.json) printJson(report);
        else print(report, volume.geometry.blockSize, paths.length > 0);
      });
    });
}

function printJson({ files, data, metadata, free, fragmented, heldApart }: FragReport): void {
  json({
    files: files.map(({ path, inode, bytes, extents, ideal }) => {
      return { path: path ? showPath(path) : null, inode, bytes, extents, ideal };
    }),
    totals: {
      files: data.forks,
      fragmented,
      extents: data.extents,
      ideal: data.ideal,
      factor: hundredths(fragFactor(data)),
      heldApart,
      freeBlocks: free?.freeBlocks ?? null,
      freeExtents: free?.freeExtents ?? null,
      largestFree: free?.largestFree ?? null,
    },
    metadata,
    histogram: free?.histogram ?? null,
  });
}

function print(report: FragReport, blockSize: number, isPart: boolean): void {
  const { files, data, metadata, free, fragmented, heldApart } = report;
  if (files.length > 0) {
    const table = new Table([
      { title: 'extents', right: true },
      { title: 'ideal', right: true },
      { title: 'size', right: true },
      { title: 'inode', right: true },
      { title: 'file' },
    ]);
    for (const { path, inode, bytes, extents, ideal } of files) {
      table.row(extents, ideal, showSize(bytes), inode, path ? showPath(path) : '(no name)');
    }
    table.end();
    const hidden = fragmented - files.filter(({ extents, ideal }) => extents > ideal).length;
    if (hidden > 0) line(`... and ${count(hidden, 'file')} more in more pieces than needed (--top ${fragmented})`);
    line();
  }
  const directories = `${metadata.directories.extents} (ideal ${metadata.directories.ideal})`;
  facts([
    ['files', `${data.forks}, ${fragmented} of them in more pieces than needed`],
    ['extents', `${data.extents} (ideal ${data.ideal})`],
    ...(heldApart > 0 ? [['held apart', `${heldApart} of them, by sharing in different orders`] as const] : []),
    ['factor', `${hundredths(fragFactor(data))}%${times(data.extents, data.ideal)}`],
    [
      'directories',
      `extents ${directories}, attributes ${metadata.attributes.extents} (ideal ${metadata.attributes.ideal})`,
    ],
  ]);
  if (!free) return;
  line();
  const { freeBlocks, freeExtents, largestFree, histogram } = free;
  const share = (blocks: number): string => `${((blocks / Math.max(1, freeBlocks)) * 100).toFixed(1)}%`;
  line(
    `${isPart ? 'free space of the whole image' : 'free space'}: ${showSize(freeBlocks * blockSize)} in ` +
      `${count(freeExtents, 'run')}, the longest ${showSize(largestFree * blockSize)} (${share(largestFree)} of it)`,
  );
  if (histogram.length === 0) return;
  const table = new Table(['from', 'to', 'runs', 'blocks', '% of free'].map((title) => ({ title, right: true })));
  for (const { from, to, runs, blocks } of histogram) table.row(from, to, runs, blocks, share(blocks));
  table.end();
}

const times = (extents: number, ideal: number): string =>
  ideal > 0 ? `, ${hundredths(extents / ideal)} extents for each one needed` : '';

const hundredths = (value: number): number => Math.round(value * 100) / 100;
