/** `clone IMAGE SOURCE TARGET`: the same content again without copying a block; with --range a part of a file. */
import { type Command, Option } from 'commander';
import { cloneFile } from '../../lib/clone/clone-file.ts';
import { type CloneRange, cloneRange } from '../../lib/clone/clone-range.ts';
import { cloneTree } from '../../lib/clone/clone-tree.ts';
import { assertReflink } from '../../lib/clone/share.ts';
import { fileError, usage } from '../../lib/errors.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { pathBytes } from '../../lib/volume/path.ts';
import { type EditOptions, type EditReport, edit, editOptions } from '../edit/open.ts';
import { existingPlace, inodeOf, targetOf } from '../edit/place.ts';
import { failed } from '../ui/failures.ts';
import { Progress } from '../ui/progress.ts';
import { count, parseSize, showSeconds, showSize } from '../ui/sizes.ts';

interface Options extends EditOptions {
  recursive?: boolean;
  force?: boolean;
  range?: string;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<source>')
      .argument('<target>', 'a new name, or a directory that exists')
      .option('-r, --recursive', 'a directory with everything in it')
      .option('-f, --force', 'take the place of a file that exists')
      .addOption(
        new Option(
          '--range <off:len[:dstoff]>',
          'share a part with an existing file; a length of 0 reaches to the end',
        ).conflicts(['recursive', 'force']),
      ),
  ).action((image: string, source: string, target: string, options: Options) => {
    const range = options.range === undefined ? undefined : parseRange(options.range);
    return edit(image, options, (editor) => {
      assertReflink(editor);
      return range ? part(editor, source, target, range) : whole(editor, source, target, options);
    });
  });
}

/** Throws usage BAD_RANGE, BAD_SIZE. */
function parseRange(text: string): CloneRange {
  const parts = text.split(':');
  if (parts.length < 2 || parts.length > 3) {
    throw usage('BAD_RANGE', `${text} is not a range`, {
      expected: 'OFFSET:LENGTH or OFFSET:LENGTH:TARGET',
      found: text,
    });
  }
  const sourceOffset = parseSize(parts[0]!, 'offset');
  const targetOffset = parts[2] === undefined ? sourceOffset : parseSize(parts[2], 'target offset');
  return { sourceOffset, targetOffset, length: parseSize(parts[1]!, 'length') };
}

function part(editor: Editor, source: string, target: string, range: CloneRange): EditReport {
  const from = inodeOf(editor.volume, source);
  const to = inodeOf(editor.volume, target);
  cloneRange(editor, from.number, to.number, range);
  return { data: { source, target, range: { ...range } } };
}

function whole(editor: Editor, source: string, target: string, options: Options): EditReport {
  const { volume } = editor;
  const from = options.recursive ? existingPlace(volume, source, 'clone') : undefined;
  const inode = from?.inode ?? inodeOf(volume, source);
  const into = targetOf(volume, target, 1);
  const directory = into.directory ?? into.place.directory;
  const name = into.directory === undefined ? into.place.name : existingPlace(volume, source, 'clone').name;
  if (name.length === 0) throw fileError('EINVAL', `clone: ${target} is no name`, { where: { path: target } });
  if (!inode.isDirectory) {
    const { size } = inode;
    cloneFile(editor, inode.number, directory, name, options.force === true);
    return { data: { files: 1, bytes: size } };
  }
  if (!options.recursive) {
    throw fileError('EISDIR', `${source} is a directory: -r clones it`, { where: { path: source } });
  }
  const progress = new Progress(options.json === true);
  try {
    const result = cloneTree(editor, inode.number, pathBytes(source), directory, name, {
      failed: (error) => failed('clone', options.json, error),
      progress: (done) => progress.update(undefined, () => `${count(done.files, 'file')}, ${showSize(done.bytes)}`),
    });
    const others = result.symlinks + result.others + result.hardLinks;
    const text =
      `${count(result.files, 'file')} (${showSize(result.bytes)}), ` +
      `${count(result.directories, 'directory', 'directories')}, ${count(others, 'other object')} ` +
      `in ${showSeconds(progress.seconds)}`;
    return { text, data: { ...result } };
  } finally {
    progress.end();
  }
}
