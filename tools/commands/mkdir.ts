/** `mkdir IMAGE PATH...`: make directories, with -p what is missing above them too. */
import type { Command } from 'commander';
import { MODE } from '../../formats/inode.ts';
import { fileError } from '../../lib/errors.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { setMode } from '../../lib/volume/metadata.ts';
import { createIn } from '../../lib/volume/names.ts';
import { joinPath, pathBytes, showPath, splitPath } from '../../lib/volume/path.ts';
import { directoryMode, UMASK } from '../edit/mode.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { parseWholeOwner } from '../edit/owner.ts';
import { namedPlace, placeOf } from '../edit/place.ts';
import { attempt } from '../ui/failures.ts';

const SETGID = 0o2000;

interface Options extends EditOptions {
  parents?: boolean;
  mode?: string;
  owner?: string;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<paths...>')
      .option('-p, --parents', 'what is missing above them too; a directory that exists is no error')
      .option('-m, --mode <mode>', 'permissions (default 755)')
      .option('--owner <uid:gid>', 'owner of what is made (default 0:0)'),
  ).action((image: string, paths: string[], options: Options) => {
    const mode = options.mode === undefined ? undefined : directoryMode(options.mode);
    const owner = options.owner === undefined ? {} : parseWholeOwner(options.owner);
    return edit(image, options, (editor) => {
      const made: string[] = [];
      const make = (path: string, permissions: number | undefined): void => {
        const { directory, name } = namedPlace(editor.volume, path, 'mkdir');
        editor.transact((tx) => {
          const number = createIn(editor, tx, directory, name, { mode: MODE.DIR | 0o777, umask: UMASK, ...owner });
          if (permissions === undefined) return;
          // Set-id bits that were handed down stay, as with chmod.
          const inode = editor.inode(tx, number);
          setMode(editor, tx, inode, permissions | (inode.mode & SETGID));
        });
        made.push(path);
      };
      for (const path of paths) {
        attempt('mkdir', options.json, () => {
          if (options.parents) withParents(editor, path, mode, make);
          else {
            if (placeOf(editor.volume, path).inode) throw exists(path);
            make(path, mode);
          }
        });
      }
      return { data: { made } };
    });
  });
}

function withParents(
  editor: Editor,
  path: string,
  mode: number | undefined,
  make: (path: string, mode: number | undefined) => void,
): void {
  const parts = splitPath(pathBytes(path));
  let at: Uint8Array = Uint8Array.of(0x2f);
  parts.forEach((part, i) => {
    at = joinPath(at, part);
    const text = showPath(at);
    const { inode } = placeOf(editor.volume, text, 'always');
    if (!inode) make(text, i === parts.length - 1 ? mode : undefined);
    else if (!inode.isDirectory) throw exists(text);
  });
}

function exists(path: string): Error {
  return fileError('EEXIST', `${path} exists`, { where: { path } });
}
