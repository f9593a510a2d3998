/** `touch IMAGE PATH...`: set times; a file that is missing is made. */
import type { Command } from 'commander';
import { MODE } from '../../formats/inode.ts';
import { fileError, usage } from '../../lib/errors.ts';
import { setTimes } from '../../lib/volume/metadata.ts';
import { create } from '../../lib/volume/names.ts';
import { UMASK } from '../edit/mode.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { inodeOf, placeOf } from '../edit/place.ts';
import { parseStamp, parseTime, timeNow } from '../edit/time.ts';
import { attempt } from '../ui/failures.ts';

interface Options extends EditOptions {
  access?: boolean;
  modification?: boolean;
  create: boolean;
  dereference: boolean;
  date?: string;
  stamp?: string;
  reference?: string;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<paths...>')
      .option('-a, --access', 'the access time only')
      .option('-m, --modification', 'the modification time only')
      .option('-c, --no-create', 'make no files')
      .option('-h, --no-dereference', 'a symlink itself, not what it points at')
      .option('-d, --date <time>', 'ISO 8601 (UTC where no zone is given), @SECONDS, or now')
      .option('-t, --stamp <stamp>', '[[CC]YY]MMDDhhmm[.ss], UTC')
      .option('-r, --reference <path>', 'the times of another object of the image')
      .helpOption('--help', 'display help for command'),
  ).action((image: string, paths: string[], options: Options) => {
    const { date, stamp, reference, dereference: follow } = options;
    if ([date, stamp, reference].filter((each) => each !== undefined).length > 1) {
      throw usage('CONFLICT', 'one of --date, --stamp and --reference');
    }
    const given = date !== undefined ? parseTime(date) : stamp !== undefined ? parseStamp(stamp) : undefined;
    const both = options.access === options.modification;
    return edit(image, options, (editor) => {
      const { volume } = editor;
      const model = reference === undefined ? undefined : inodeOf(volume, reference);
      const now = timeNow();
      const atime = model?.time('atime') ?? given ?? now;
      const mtime = model?.time('mtime') ?? given ?? now;
      let touched = 0;
      let made = 0;
      for (const path of paths) {
        attempt('touch', options.json, () => {
          const place = placeOf(volume, path, follow ? 'always' : 'slash');
          let number = place.inode?.number;
          if (number === undefined) {
            if (!options.create) return;
            if (place.last !== 'name' || place.slash) {
              throw fileError('ENOENT', `no such file or directory: ${path}`, { where: { path } });
            }
            number = create(editor, place.directory, place.name, { mode: MODE.FILE | 0o666, umask: UMASK });
            made++;
          }
          setTimes(
            editor,
            number,
            both || options.access ? atime : undefined,
            both || options.modification ? mtime : undefined,
            given === undefined && model === undefined,
          );
          touched++;
        });
      }
      return { data: { touched, made } };
    });
  });
}
