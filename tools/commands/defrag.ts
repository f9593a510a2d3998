/** `defrag IMAGE [PATH...]`: files in fewer extents, with the same content, times and sharing. */
import type { Command } from 'commander';
import { Defrag } from '../../lib/defrag/defrag.ts';
import type { DefraggedFile, DefragOptions, DefragReport, SkipReason } from '../../lib/defrag/report.ts';
import { fragFactor } from '../../lib/frag/frag.ts';
import { pathBytes, showPath } from '../../lib/volume/path.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { failed } from '../ui/failures.ts';
import { line } from '../ui/output.ts';
import { Progress } from '../ui/progress.ts';
import { count, parseNumber, showSeconds, showSize } from '../ui/sizes.ts';
import { Table } from '../ui/table.ts';

interface Options extends EditOptions {
  minExtents?: string;
  metadata?: boolean;
  freeSpace?: boolean;
  top: string;
}

/** Work between two looks at the event loop, where an interrupt would wait. */
const SLICE_MS = 50;

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('[paths...]', 'files and trees (default: the whole image)')
      .option('--min-extents <n>', 'leave files with fewer extents alone (default: 2)')
      .option('--metadata', 'then put extent trees, directory and attribute blocks in order')
      .option('--free-space', 'then move data so that the free space of the image joins')
      .option('--top <n>', 'files shown at most', '20'),
  ).action((image: string, paths: string[], options: Options) => {
    const minExtents =
      options.minExtents === undefined ? undefined : parseNumber(options.minExtents, '--min-extents', 1);
    const top = parseNumber(options.top, '--top');
    return edit(image, options, async (editor) => {
      const progress = new Progress(options.json === true);
      const wanted: DefragOptions = {
        ...(paths.length > 0 ? { paths: paths.map(pathBytes) } : {}),
        ...(minExtents === undefined ? {} : { minExtents }),
        metadata: options.metadata === true,
        freeSpace: options.freeSpace === true,
        failed: (error) => {
          progress.end();
          failed('defrag', options.json, error);
        },
      };
      const work = new Defrag(editor, wanted);
      const interrupted = await run(work, progress);
      const report = work.report;
      progress.end();
      for (const { error } of report.files) if (error) failed('defrag', options.json, error);
      if (!options.json) print(report, top, editor.volume.geometry.blockSize);
      if (interrupted) process.exitCode = 1;
      const text = `${summary(report, editor.volume.geometry.blockSize)} in ${showSeconds(progress.seconds)}${interrupted ? ' (interrupted)' : ''}`;
      return { text, data: { ...toJson(report), ...(interrupted ? { interrupted } : {}) } };
    });
  });
}

/** @returns true when somebody interrupted it: what was done until then stays. */
async function run(work: Defrag, progress: Progress): Promise<boolean> {
  let isInterrupted = false;
  const interrupt = (): void => {
    isInterrupted = true;
  };
  process.on('SIGINT', interrupt);
  try {
    let rest = performance.now() + SLICE_MS;
    for (const { bytesDone, bytesTotal } of work.steps()) {
      if (performance.now() < rest) continue;
      await new Promise(setImmediate);
      rest = performance.now() + SLICE_MS;
      progress.update(
        bytesTotal > 0 ? Math.min(1, bytesDone / bytesTotal) : undefined,
        () => `${showSize(bytesDone)} of ${showSize(bytesTotal)}`,
      );
      if (isInterrupted) return true;
    }
    return false;
  } finally {
    process.off('SIGINT', interrupt);
    progress.end();
  }
}

const REASONS: { readonly [R in SkipReason]: string } = {
  'no-defrag': 'flagged no-defrag',
  immutable: 'immutable',
  'append-only': 'append-only',
  realtime: 'on the realtime device',
  'file-system': "the file system's own",
  'no-room': 'no free run is long enough',
  conflict: 'shared with files in another order',
  changed: 'changed meanwhile',
  damaged: 'damaged: left alone',
  'log-too-small': 'the log is too small',
};

function print({ files, conflicts, metadata, totals, freeSpace }: DefragReport, top: number, blockSize: number): void {
  const table = new Table([
    { title: 'before', right: true },
    { title: 'after', right: true },
    { title: 'moved', right: true },
    { title: 'file' },
    { title: '' },
  ]);
  for (const { path, inode, extentsBefore, extentsAfter, bytesMoved, skipped } of files.slice(0, top)) {
    const name = path ? showPath(path) : `(inode ${inode})`;
    table.row(extentsBefore, extentsAfter, showSize(bytesMoved), name, skipped ? REASONS[skipped] : '');
  }
  if (files.length > 0 && top > 0) table.end();
  if (files.length > top) line(`... and ${count(files.length - top, 'file')} more`);
  for (const { path, inode, extents, with: others } of conflicts.slice(0, top)) {
    const name = path ? showPath(path) : `inode ${inode}`;
    line(
      `${name}: ${count(extents, 'extent')} left for the order of ${count(others.length, 'file')} that share blocks with it`,
    );
  }
  if (conflicts.length > top) line(`... and ${count(conflicts.length - top, 'conflict')} more`);
  if (metadata.inodes > 0)
    line(`metadata of ${count(metadata.inodes, 'inode')}: ${showSize(metadata.bytesMoved)} moved`);
  for (const { path, inode } of metadata.skipped.slice(0, top)) {
    line(`${path ? showPath(path) : `inode ${inode}`}: no room for its metadata, or too small a log`);
  }
  if (totals.heldApart > 0)
    line(
      `${count(totals.heldApart, 'extent')} above the ideal held apart by sharing: files share blocks in different orders`,
    );
  printGroups(freeSpace.groups, blockSize);
}

/** What the free space of each AG has become, against what inodes and the like leave room for. */
function printGroups(groups: DefragReport['freeSpace']['groups'], blockSize: number): void {
  if (groups.length === 0) return;
  const table = new Table(['AG', 'free', 'longest', '% of free', 'possible'].map((title) => ({ title, right: true })));
  for (const { ag, freeBlocks, longest, possible } of groups) {
    const part = freeBlocks > 0 ? Math.round((100 * longest) / freeBlocks) : 0;
    table.row(
      ag,
      showSize(freeBlocks * blockSize),
      showSize(longest * blockSize),
      part,
      showSize(possible * blockSize),
    );
  }
  table.end();
}

function summary({ totals, freeSpace: { before, after } }: DefragReport, blockSize: number): string {
  const factor = (extents: number): string =>
    `${Math.round(fragFactor({ extents, ideal: totals.ideal }) * 100) / 100}%`;
  return (
    `${count(totals.files, 'file')}: ${count(totals.extentsBefore, 'extent')} became ${totals.extentsAfter} (ideal ` +
    `${totals.ideal}; ${factor(totals.extentsBefore)} -> ${factor(totals.extentsAfter)}), ` +
    `${showSize(totals.bytesMoved)} moved; free runs ${before.freeExtents} -> ${after.freeExtents}, the longest ` +
    `${showSize(before.largestFree * blockSize)} -> ${showSize(after.largestFree * blockSize)}`
  );
}

function toJson({ files, totals, conflicts, metadata, freeSpace }: DefragReport): Record<string, unknown> {
  const show = (path: Uint8Array | undefined): string | null => (path ? showPath(path) : null);
  const fileJson = ({ path, error: _, ...rest }: DefraggedFile) => ({ path: show(path), ...rest });
  const { histogram: _before, ...before } = freeSpace.before;
  const { histogram: _after, ...after } = freeSpace.after;
  return {
    files: files.map(fileJson),
    totals,
    conflicts: conflicts.map(({ path, ...rest }) => ({ path: show(path), ...rest })),
    metadata: { ...metadata, skipped: metadata.skipped.map(({ path, inode }) => ({ path: show(path), inode })) },
    freeSpace: { before, after, groups: freeSpace.groups },
  };
}
