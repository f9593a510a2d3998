/** `tree IMAGE [PATH]`: everything below a directory, drawn. */
import type { Command } from 'commander';
import { readSymlink } from '../../lib/file/symlink.ts';
import { listedJson, nameJson } from '../../lib/volume/listing.ts';
import { pathBytes, showPath } from '../../lib/volume/path.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { walkTree } from '../../lib/volume/walk.ts';
import { jsonOption } from '../command.ts';
import { attempt, failed } from '../ui/failures.ts';
import { withVolume } from '../ui/image.ts';
import { JsonArray, line, paint } from '../ui/output.ts';
import { count, parseNumber } from '../ui/sizes.ts';

interface Options {
  depth?: string;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('[path]', 'where to begin', '/')
    .option('--depth <n>', 'go down this many levels')
    .addOption(jsonOption())
    .action((image: string, path: string, options: Options) =>
      withVolume(image, (volume) => (options.json ? asJson(volume, path, options) : drawn(volume, path, options))),
    );
}

const limit = (options: Options): number =>
  options.depth === undefined ? Number.POSITIVE_INFINITY : parseNumber(options.depth, '--depth');

/** An object a line, with its path and depth. */
function asJson(volume: Volume, path: string, options: Options): void {
  const most = limit(options);
  const array = new JsonArray();
  walkTree(volume, volume.resolve(path), pathBytes(path), {
    enter({ entry, inode, path: at }, depth) {
      attempt('tree', true, () => array.push({ ...listedJson(entry.name, inode), path: showPath(at), depth }));
      return depth < most;
    },
    failed: (error) => failed('tree', true, error),
  });
  array.end();
}

/** A line is drawn when it is known whether another one follows in the same directory: one object is held back. */
function drawn(volume: Volume, path: string, options: Options): void {
  const most = limit(options);
  let directories = 0;
  let others = 0;
  const below: string[] = [];
  const remaining: number[] = [];
  walkTree(volume, volume.resolve(path), pathBytes(path), {
    enter({ entry, inode, path: at }, depth) {
      let text = depth === 0 ? showPath(at) : nameJson(entry.name).name;
      if (inode.isDirectory) text = paint.blue(text);
      if (inode.isSymlink) attempt('tree', false, () => (text += ` -> ${showPath(readSymlink(inode))}`));
      if (depth > 0) {
        const isLast = --remaining[depth - 1]! <= 0;
        line(`${below.slice(0, depth - 1).join('')}${isLast ? '└── ' : '├── '}${text}`);
        below[depth - 1] = isLast ? '    ' : '│   ';
        if (inode.isDirectory) directories++;
        else others++;
      } else {
        line(text);
      }
      if (!inode.isDirectory || depth >= most) return false;
      remaining[depth] = 0;
      attempt('tree', false, () => (remaining[depth] = volume.entries(inode).length));
      return true;
    },
    failed: (error) => failed('tree', false, error),
  });
  line();
  line(`${count(directories, 'directory', 'directories')}, ${count(others, 'other object')}`);
}
