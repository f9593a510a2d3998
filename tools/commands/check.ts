/** `check IMAGE`: every structure, every claim, every counter; with --data every checksum. Exit status as fsck's. */
import type { Command } from 'commander';
import { check } from '../../lib/check/check.ts';
import { jsonOption } from '../command.ts';
import { openDevice } from '../ui/image.ts';
import { json, line, paint } from '../ui/output.ts';
import { Progress } from '../ui/progress.ts';
import { count, parseNumber, showSeconds, showSize } from '../ui/sizes.ts';

const STATUS_PROBLEMS = 4;
/** Nothing that could be checked: another format, or a feature we lack. */
const STATUS_UNSUPPORTED = 8;

interface Options {
  data?: boolean;
  max?: string;
  quiet?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .option('--data', 'read all file data and compare it with its checksums')
    .option('--max <n>', 'print this many problems at most (default 1000); all are counted')
    .option('--quiet', 'print problems only')
    .addOption(jsonOption())
    .action((image: string, options: Options) => run(image, options));
}

function run(image: string, options: Options): void {
  const progress = new Progress(options.quiet === true || options.json === true);
  const device = openDevice(image);
  try {
    const result = check(device, {
      data: options.data === true,
      ...(options.max === undefined ? {} : { maxProblems: parseNumber(options.max, '--max', 1) }),
      progress: (phase, done, total) => progress.update(total > 0 ? done / total : undefined, phase),
    });
    progress.end();
    // Known before anything is printed: a reader that goes away does not change it.
    const isOurs = !result.problems.some(({ code }) => code === 'UNSUPPORTED');
    if (!result.clean) process.exitCode = isOurs ? STATUS_PROBLEMS : STATUS_UNSUPPORTED;
    const { clean, problems, problemCount, counts } = result;
    if (options.json) {
      json({ clean, problems, problemCount, counts });
      return;
    }
    for (const { code, severity, path, message } of problems) {
      const mark = severity === 'error' ? paint.red(severity) : paint.yellow(severity);
      line(`${mark} ${code}: ${path === undefined ? '' : `${path}: `}${message}`);
    }
    if (problemCount > problems.length) line(`... and ${problemCount - problems.length} more`);
    if (options.quiet) return;
    const objects =
      `${count(counts.files, 'file')} (${showSize(counts.bytes)}), ` +
      `${count(counts.directories, 'directory', 'directories')}, ${count(counts.symlinks + counts.others, 'other object')}`;
    const verified =
      options.data && counts.verifiedBlocks > 0 ? `, ${count(counts.verifiedBlocks, 'data block')} verified` : '';
    const verdict = clean ? 'clean' : count(problemCount, 'problem');
    line(`${image}: ${verdict}; ${objects}${verified}, in ${showSeconds(progress.seconds)}`);
  } finally {
    progress.end();
    device.close();
  }
}
