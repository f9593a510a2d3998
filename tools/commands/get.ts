/** `get IMAGE PATH [DEST]`: copy a file, or with -r a tree, onto the host. */
import { statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { usage } from '../../lib/errors.ts';
import { HostWriter } from '../../lib/host/writer.ts';
import { assertNoDirectory, Getter } from '../../lib/volume/get.ts';
import { pathBytes, splitPath } from '../../lib/volume/path.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { jsonOption } from '../command.ts';
import { failed } from '../ui/failures.ts';
import { withVolume } from '../ui/image.ts';
import { json, line, note, paint } from '../ui/output.ts';
import { Progress } from '../ui/progress.ts';
import { count, showSeconds, showSize } from '../ui/sizes.ts';

interface Options {
  recursive?: boolean;
  force?: boolean;
  owner: boolean;
  quiet?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('<path>', 'what to copy')
    .argument('[destination]', 'a name, or a directory that exists (default: here)', '.')
    .option('-r, --recursive', 'directories with everything in them')
    .option('--force', 'replace what is there')
    .option('--no-owner', 'do not set owner and group')
    .option('--quiet', 'print nothing but errors and what was left out')
    .addOption(jsonOption())
    .action((image: string, path: string, destination: string, options: Options) =>
      withVolume(image, (volume) => get(volume, path, destination, options)),
    );
}

function get(volume: Volume, path: string, destination: string, options: Options): void {
  const bytes = pathBytes(path);
  const inode = volume.resolve(bytes, !options.recursive);
  if (!options.recursive) assertNoDirectory(inode, path);
  const own = splitPath(bytes).at(-1);
  const exists = statSync(destination, { throwIfNoEntry: false })?.isDirectory() === true;
  if (own === undefined && !options.recursive) throw usage('BAD_PATH', 'the root directory needs -r');
  // Into a directory that exists under its own name; else under the new name beside it. The root has no name of its own.
  const direct = inode.isDirectory && own === undefined;
  const root = exists || direct ? destination : dirname(destination);
  const name = exists ? own : Buffer.from(basename(destination));
  const progress = new Progress(options.quiet === true || options.json === true);
  const writer = new HostWriter(root, { owner: options.owner, replace: options.force === true });
  try {
    const getter = new Getter(volume, writer, {
      failed: (error) => failed('get', options.json, error),
      progress: (done) => progress.update(undefined, () => `${count(done.files, 'file')}, ${showSize(done.bytes)}`),
    });
    if (inode.isDirectory) getter.tree(inode, bytes, writer.root, direct ? undefined : name);
    else getter.object(inode, bytes, writer.root, name!);
    progress.end();
    const { result } = getter;
    const { leftOut } = writer;
    if (options.json) {
      json({ destination: name && !direct ? join(root, name.toString()) : root, ...result, leftOut: leftOut.toJSON() });
      return;
    }
    for (const item of leftOut.summary()) note(`${paint.yellow('left out', process.stderr)}: ${item}`);
    if (options.quiet || !options.recursive) return;
    line(
      `${count(result.files, 'file')} (${showSize(result.bytes)}), ${count(result.directories, 'directory', 'directories')}, ` +
        `${count(result.others + result.hardLinks, 'other object')} in ${showSeconds(progress.seconds)}`,
    );
  } finally {
    progress.end();
    writer.close();
  }
}
