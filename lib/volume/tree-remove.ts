/**
 * Removing a directory with everything below it: content before the directory that has it, many names in one
 * transaction. What cannot be removed is told and stays, with the directories above it. A directory that is met twice is
 * damage and is not entered again, so the walk ends.
 */
import { CadastreError, corrupt, fileError } from '../errors.ts';
import { Batch } from './batch.ts';
import type { Editor } from './editor.ts';
import { finishFreeing, unlinkIn } from './names.ts';
import { joinPath, showPath } from './path.ts';
import type { DirectoryEntry } from './volume.ts';

export interface RemoveResult {
  files: number;
  directories: number;
}

interface Level {
  readonly directory: number;
  /** How the directory above calls it, and its whole path. */
  readonly name: Uint8Array;
  readonly path: Uint8Array;
  readonly entries: readonly DirectoryEntry[];
  next: number;
}

/** Pieces of content that go in the transaction that removes the name; what has more is finished behind it. */
const UNITS = 8;

export class TreeRemover {
  readonly result: RemoveResult = { files: 0, directories: 0 };
  readonly #editor: Editor;
  readonly #batch: Batch;
  readonly #failed: (error: CadastreError) => void;
  readonly #progress: ((done: Readonly<RemoveResult>) => void) | undefined;
  readonly #seen = new Set<number>();

  /** @param failed told of each object that stays and why. */
  constructor(
    editor: Editor,
    failed: (error: CadastreError) => void,
    progress?: (done: Readonly<RemoveResult>) => void,
  ) {
    this.#editor = editor;
    this.#batch = new Batch(editor);
    this.#failed = failed;
    this.#progress = progress;
  }

  /** Remove a name and, when it is a directory, everything below. */
  remove(directory: number, name: Uint8Array, path: Uint8Array): void {
    const { volume } = this.#editor;
    const number = volume.child(volume.inode(directory), name);
    if (number === undefined) {
      throw fileError('ENOENT', `no such file or directory: ${showPath(path)}`, { where: { path: showPath(path) } });
    }
    const levels: Level[] = [];
    if (!this.#enter(number, name, path, levels)) this.#unlink(directory, name, path, false);
    for (let level = levels.at(-1); level; level = levels.at(-1)) {
      const entry = level.entries[level.next++];
      if (!entry) {
        levels.pop();
        this.#unlink(levels.at(-1)?.directory ?? directory, level.name, level.path, true);
        continue;
      }
      const at = joinPath(level.path, entry.name);
      this.#trying(at, () => {
        if (!this.#enter(entry.inode, entry.name, at, levels)) this.#unlink(level.directory, entry.name, at, false);
      });
    }
    this.#batch.flush();
  }

  /** @returns false when it is no directory. */
  #enter(number: number, name: Uint8Array, path: Uint8Array, levels: Level[]): boolean {
    const inode = this.#editor.volume.inode(number);
    if (!inode.isDirectory) return false;
    if (this.#seen.has(number)) {
      throw corrupt('DIRECTORY_LOOP', `${showPath(path)} leads to a directory that has another place already`, {
        where: { inode: number, path: showPath(path) },
      });
    }
    this.#seen.add(number);
    levels.push({ directory: number, name, path, entries: this.#editor.volume.entries(inode), next: 0 });
    return true;
  }

  #unlink(directory: number, name: Uint8Array, path: Uint8Array, isDirectory: boolean): void {
    let left: number | undefined;
    this.#batch.add({
      run: (tx) => {
        left = unlinkIn(this.#editor, tx, directory, name, isDirectory, UNITS);
      },
      done: () => {
        if (left !== undefined) finishFreeing(this.#editor, left);
        if (isDirectory) this.result.directories++;
        else this.result.files++;
        this.#progress?.(this.result);
      },
      failed: (error) => this.#tell(error, path),
    });
  }

  #trying(path: Uint8Array, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#tell(error, path);
    }
  }

  #tell(error: unknown, path: Uint8Array): void {
    if (!(error instanceof CadastreError) || !['file', 'corrupt'].includes(error.family)) throw error;
    const { family, code, message, where, expected, found } = error;
    const named = { ...where, path: showPath(path) };
    this.#failed(new CadastreError(family, code, message, { where: named, expected, found, cause: error }));
  }
}
