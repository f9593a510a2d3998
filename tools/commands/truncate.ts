/** `truncate IMAGE -s SIZE PATH...`: cut files or make them longer; a file that is missing is made. */
import type { Command } from 'commander';
import { MODE } from '../../formats/inode.ts';
import { fileError, usage } from '../../lib/errors.ts';
import { MAX_FILE_BYTES, truncate } from '../../lib/volume/content.ts';
import { create } from '../../lib/volume/names.ts';
import { UMASK } from '../edit/mode.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { placeOf } from '../edit/place.ts';
import { attempt } from '../ui/failures.ts';
import { parseSize } from '../ui/sizes.ts';

interface Options extends EditOptions {
  size: string;
  create: boolean;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<paths...>')
      .requiredOption('-s, --size <size>', 'SIZE; +SIZE and -SIZE change it by so much, <SIZE at most, >SIZE at least')
      .option('-c, --no-create', 'make no files'),
  ).action((image: string, paths: string[], options: Options) => {
    const change = parseChange(options.size);
    return edit(image, options, (editor) => {
      const sizes: Record<string, number> = {};
      for (const path of paths) {
        attempt('truncate', options.json, () => {
          const place = placeOf(editor.volume, path, 'always');
          const size = change(place.inode?.size ?? 0);
          if (size > MAX_FILE_BYTES) {
            throw fileError('EFBIG', `${path} would be too large`, { where: { path } });
          }
          let number = place.inode?.number;
          if (number === undefined) {
            if (!options.create) return;
            if (place.last !== 'name' || place.slash) {
              throw fileError('ENOENT', `no such file or directory: ${path}`, { where: { path } });
            }
            number = create(editor, place.directory, place.name, { mode: MODE.FILE | 0o666, umask: UMASK });
          }
          truncate(editor, number, size);
          sizes[path] = size;
        });
      }
      return { data: { sizes } };
    });
  });
}

/** What a size makes of another one. */
function parseChange(text: string): (size: number) => number {
  const match = /^([-+<>]?)(.+)$/s.exec(text);
  if (!match) throw usage('BAD_SIZE', '--size: no size');
  const amount = parseSize(match[2]!, '--size');
  switch (match[1]) {
    case '+':
      return (size) => size + amount;
    case '-':
      return (size) => Math.max(0, size - amount);
    case '<':
      return (size) => Math.min(size, amount);
    case '>':
      return (size) => Math.max(size, amount);
    default:
      return () => amount;
  }
}
