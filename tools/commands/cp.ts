/** `cp IMAGE SOURCE... TARGET`: copy inside the image; blocks are shared where they can be. */
import { type Command, Option } from 'commander';
import { fileError } from '../../lib/errors.ts';
import { CopyTree, type CopyTreeResult } from '../../lib/jobs/copy-tree.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { pathBytes } from '../../lib/volume/path.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { existingPlace, inodeOf, type Target, targetOf } from '../edit/place.ts';
import { splitTarget } from '../edit/sources.ts';
import { attempt, failed } from '../ui/failures.ts';
import { Progress } from '../ui/progress.ts';
import { count, parseNumber, showSeconds, showSize } from '../ui/sizes.ts';

interface Options extends EditOptions {
  recursive?: boolean;
  clobber: boolean;
  reflink: 'auto' | 'always' | 'never';
  jobs: string;
}

/** Work between two looks at the event loop, where an interrupt would wait. */
const SLICE_MS = 50;

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<paths...>', 'sources, and a new name or a directory that exists')
      .option('-r, --recursive', 'directories with everything in them; symlinks are kept')
      .option('-n, --no-clobber', 'what has the name already is an error')
      .addOption(new Option('--reflink <when>', 'share blocks').choices(['auto', 'always', 'never']).default('auto'))
      .option('--jobs <n>', 'files copied at the same time', '4'),
  ).action((image: string, paths: string[], options: Options) => {
    const { sources, target } = splitTarget(paths);
    const jobs = parseNumber(options.jobs, '--jobs', 1, 64);
    return edit(image, options, async (editor) => {
      const into = targetOf(editor.volume, target, sources.length);
      const total: CopyTreeResult = { files: 0, directories: 0, others: 0, hardLinks: 0, bytes: 0 };
      const progress = new Progress(options.json === true);
      try {
        for (const source of sources) {
          let tree: CopyTree | undefined;
          attempt('cp', options.json, () => {
            tree = prepare(editor, source, target, into, options, jobs);
          });
          if (tree) await run(tree, progress, (result) => addTo(total, result));
        }
      } finally {
        progress.end();
      }
      const text =
        `${count(total.files, 'file')} (${showSize(total.bytes)}), ` +
        `${count(total.directories, 'directory', 'directories')}, ` +
        `${count(total.others + total.hardLinks, 'other object')} in ${showSeconds(progress.seconds)}`;
      return { ...(options.recursive ? { text } : {}), data: { copied: total } };
    });
  });
}

function prepare(
  editor: Editor,
  source: string,
  target: string,
  into: Target,
  options: Options,
  jobs: number,
): CopyTree {
  const { volume } = editor;
  const inode = options.recursive ? existingPlace(volume, source, 'cp').inode : inodeOf(volume, source);
  if (inode.isDirectory && !options.recursive) {
    throw fileError('EISDIR', `${source} is a directory: -r copies it`, { where: { path: source } });
  }
  const directory = into.directory ?? into.place.directory;
  const name = into.directory === undefined ? into.place.name : existingPlace(volume, source, 'cp').name;
  if (name.length === 0) throw fileError('EINVAL', `cp: ${target} is no name`, { where: { path: target } });
  return new CopyTree(editor, inode.number, pathBytes(source), directory, name, {
    jobs,
    reflink: options.reflink,
    exclusive: !options.clobber,
    failed: (error) => failed('cp', options.json, error),
  });
}

/** Step the copy to its end; an interrupt cancels it, and the image is closed in order. */
async function run(tree: CopyTree, progress: Progress, done: (result: CopyTreeResult) => void): Promise<void> {
  let isInterrupted = false;
  const interrupt = () => {
    isInterrupted = true;
  };
  process.on('SIGINT', interrupt);
  try {
    for (let more = true, rest = performance.now() + SLICE_MS; more; more = tree.step()) {
      if (performance.now() < rest) continue;
      await new Promise(setImmediate);
      rest = performance.now() + SLICE_MS;
      progress.update(undefined, () => `${count(tree.result.files, 'file')}, ${showSize(tree.bytesDone)}`);
      if (!isInterrupted) continue;
      tree.cancel();
      throw fileError('ECANCELED', 'interrupted: what was copied until now is whole');
    }
  } finally {
    process.off('SIGINT', interrupt);
    done(tree.result);
  }
}

function addTo(total: CopyTreeResult, more: Readonly<CopyTreeResult>): void {
  total.files += more.files;
  total.directories += more.directories;
  total.others += more.others;
  total.hardLinks += more.hardLinks;
  total.bytes += more.bytes;
}
