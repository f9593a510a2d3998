/**
 * Cloning a tree as `cp -al` would walk it, but copy-on-write: directories first, names in byte order, hard links inside
 * the tree stay hard links. What fails is named; what is finished stays.
 */
import { CadastreError, corrupt, fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import type { Editor } from '../volume/editor.ts';
import { link } from '../volume/names.ts';
import { joinPath, showPath } from '../volume/path.ts';
import { cloneDirectory, cloneFile, restoreTimes } from './clone-file.ts';

const DOT_DOT = Uint8Array.of(0x2e, 0x2e);

export interface CloneResult {
  files: number;
  directories: number;
  symlinks: number;
  others: number;
  hardLinks: number;
  /** Bytes of the files (not of space: that is shared). */
  bytes: number;
}

export interface CloneTreeOptions {
  /** Called after every object with what was done so far. */
  progress?: (done: Readonly<CloneResult>, path: Uint8Array) => void;
  /**
   * Told of an object that could not be cloned (named in `where.path`); the others go on. Without it the first one ends
   * the run. No space ends it always.
   */
  failed?: (error: CadastreError) => void;
}

/** One object to clone; with `finished` a directory whose clone has all its entries. */
interface Task {
  from: number;
  path: Uint8Array;
  into: number;
  name: Uint8Array;
  finished?: number;
}

/**
 * Clone a tree (or a single object) under a new name. Throws EEXIST, NO_REFLINK, and EINVAL when the target lies inside
 * the source; an error on the way names the object that failed in `where.path`.
 */
export function cloneTree(
  editor: Editor,
  source: number,
  sourcePath: Uint8Array,
  directory: number,
  name: Uint8Array,
  options: CloneTreeOptions = {},
): CloneResult {
  const result: CloneResult = { files: 0, directories: 0, symlinks: 0, others: 0, hardLinks: 0, bytes: 0 };
  if (editor.volume.inode(source).isDirectory) refuseInside(editor, source, directory);
  const links = new Map<number, number>();
  const seen = new Set<number>();
  const pending: Task[] = [{ from: source, path: sourcePath, into: directory, name }];
  for (let task = pending.pop(); task; task = pending.pop()) {
    const { path, from } = task;
    try {
      if (task.finished !== undefined) {
        restoreTimes(editor, from, task.finished);
        continue;
      }
      const inode = editor.volume.inode(from);
      if (inode.isDirectory) {
        if (seen.has(from)) throw corrupt('DIRECTORY_LOOP', 'a directory has two names', { where: { inode: from } });
        seen.add(from);
        const number = cloneDirectory(editor, from, task.into, task.name);
        result.directories++;
        pending.push({ ...task, finished: number });
        const entries = editor.volume.sortedEntries(inode);
        for (let i = entries.length - 1; i >= 0; i--) {
          const entry = entries[i]!;
          pending.push({ from: entry.inode, path: joinPath(path, entry.name), into: number, name: entry.name });
        }
      } else cloneLeaf(editor, inode, task.into, task.name, links, result);
    } catch (error) {
      const named = atPath(error, path);
      if (!options.failed || !(named instanceof CadastreError) || endsAll(named)) throw named;
      options.failed(named);
      continue;
    }
    options.progress?.(result, path);
  }
  return result;
}

function cloneLeaf(
  editor: Editor,
  inode: Inode,
  directory: number,
  name: Uint8Array,
  links: Map<number, number>,
  result: CloneResult,
): void {
  const { number, size, isFile, isSymlink } = inode;
  const isLinked = inode.core.nlink > 1;
  const known = isLinked ? links.get(number) : undefined;
  if (known !== undefined) {
    link(editor, known, directory, name);
    result.hardLinks++;
    return;
  }
  const clone = cloneFile(editor, number, directory, name);
  if (isLinked) links.set(number, clone);
  if (isFile) {
    result.files++;
    result.bytes += size;
  } else if (isSymlink) result.symlinks++;
  else result.others++;
}

/** The same error, saying which object it was. */
export function atPath(error: unknown, path: Uint8Array): unknown {
  if (!(error instanceof CadastreError) || error.family === 'internal') return error;
  const { family, code, message, where, expected, found } = error;
  return new CadastreError(family, code, message, {
    where: { ...where, path: showPath(path) },
    expected,
    found,
    cause: error,
  });
}

/** Errors after which every further object would fail as well. */
export function endsAll(error: CadastreError): boolean {
  return error.family === 'no-space' || error.family === 'device' || error.family === 'internal';
}

/** The directory the clone goes into must not lie below the source. */
export function refuseInside(editor: Editor, source: number, directory: number): void {
  const { volume } = editor;
  const above = new Set<number>();
  for (let at = directory; ; ) {
    if (at === source) {
      throw fileError('EINVAL', 'a directory cannot be copied into itself', { where: { inode: source } });
    }
    if (at === volume.geometry.rootInode) return;
    if (above.has(at)) throw corrupt('DIRECTORY_LOOP', 'the directories above the target form a loop');
    above.add(at);
    const parent = volume.child(volume.inode(at), DOT_DOT);
    if (parent === undefined) throw corrupt('DIRECTORY_PARENT', 'a directory without parent', { where: { inode: at } });
    at = parent;
  }
}
