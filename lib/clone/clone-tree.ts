/**
 * Cloning a tree as `cp -al` would walk it, but copy-on-write: directories first, names in byte order, hard links inside
 * the tree stay hard links. What fails is named; what is finished stays.
 */
import type { Transaction } from '../buffer/transaction.ts';
import { CadastreError, corrupt, fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { Batch } from '../volume/batch.ts';
import type { Editor } from '../volume/editor.ts';
import { link } from '../volume/names.ts';
import { joinPath, showPath } from '../volume/path.ts';
import { cloneDirectory, cloneFile, cloneSmall, isSmall, isTooLarge, restoreTimes } from './clone-file.ts';
import { assertReflink } from './share.ts';

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

/** An inode that is made by an operation of the batch: 0 until then, and when that failed. */
interface Made {
  number: number;
}

/** One object to clone; with `finished` a directory whose clone has all its entries. */
interface Task {
  from: number;
  path: Uint8Array;
  into: Made;
  name: Uint8Array;
  finished?: Made;
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
  assertReflink(editor);
  if (editor.volume.inode(source).isDirectory) refuseInside(editor, source, directory);
  const cloner = new TreeCloner(editor, options);
  cloner.run({ from: source, path: sourcePath, into: { number: directory }, name });
  return cloner.result;
}

/** Thrown for what is in a directory that could not be made: that was told already. */
class NoParent extends Error {}

class TreeCloner {
  readonly result: CloneResult = { files: 0, directories: 0, symlinks: 0, others: 0, hardLinks: 0, bytes: 0 };
  readonly #editor: Editor;
  readonly #options: CloneTreeOptions;
  readonly #batch: Batch;
  readonly #links = new Map<number, Made>();
  readonly #seen = new Set<number>();
  readonly #pending: Task[] = [];

  constructor(editor: Editor, options: CloneTreeOptions) {
    this.#editor = editor;
    this.#options = options;
    this.#batch = new Batch(editor);
  }

  run(start: Task): void {
    this.#pending.push(start);
    for (let task = this.#pending.pop(); task; task = this.#pending.pop()) {
      const { path } = task;
      try {
        this.#task(task);
      } catch (error) {
        this.#tell(error, path);
      }
    }
    this.#batch.flush();
  }

  #task(task: Task): void {
    const { from, path, finished } = task;
    const inode = finished ? undefined : this.#editor.volume.inode(from);
    if (finished) {
      this.#add(path, (tx) => restoreTimes(this.#editor, tx, from, existing(finished)));
    } else if (inode?.isDirectory) this.#directory(task, inode);
    else if (inode) this.#leaf(task, inode);
  }

  #directory(task: Task, inode: Inode): void {
    const { from, path, into, name } = task;
    if (this.#seen.has(from)) throw corrupt('DIRECTORY_LOOP', 'a directory has two names', { where: { inode: from } });
    this.#seen.add(from);
    const made: Made = { number: 0 };
    const entries = this.#editor.volume.sortedEntries(inode);
    this.#add(
      path,
      (tx) => {
        made.number = cloneDirectory(this.#editor, tx, from, existing(into), name);
      },
      { made, done: () => this.result.directories++ },
    );
    this.#pending.push({ ...task, finished: made });
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i]!;
      this.#pending.push({ from: entry.inode, path: joinPath(path, entry.name), into: made, name: entry.name });
    }
  }

  #leaf({ from, path, into, name }: Task, inode: Inode): void {
    const editor = this.#editor;
    const { size, isFile, isSymlink } = inode;
    const isLinked = inode.core.nlink > 1;
    const known = isLinked ? this.#links.get(from) : undefined;
    if (known) this.#batch.flush();
    if (known && known.number !== 0) {
      link(editor, known.number, existing(into), name);
      this.result.hardLinks++;
      return;
    }
    const made: Made = { number: 0 };
    if (isLinked) this.#links.set(from, made);
    const done = (): void => {
      if (isFile) {
        this.result.files++;
        this.result.bytes += size;
      } else if (isSymlink) this.result.symlinks++;
      else this.result.others++;
    };
    const whole = (): void => {
      made.number = cloneFile(editor, from, existing(into), name);
    };
    if (isFile && !isSmall(inode)) {
      this.#batch.flush();
      whole();
      done();
      this.#options.progress?.(this.result, path);
      return;
    }
    const run = (tx: Transaction): void => {
      made.number = cloneSmall(editor, tx, from, existing(into), name);
    };
    this.#add(path, run, { made, done, inSteps: whole });
  }

  /**
   * An operation of the batch.
   * @param how `made`: what it makes; `inSteps`: does it when it is too large for a transaction.
   */
  #add(
    path: Uint8Array,
    run: (tx: Transaction) => void,
    how: { made?: Made; done?: () => void; inSteps?: () => void } = {},
  ): void {
    const { made, inSteps } = how;
    const done = (): void => {
      how.done?.();
      this.#options.progress?.(this.result, path);
    };
    const failed = (error: unknown): void => {
      // The number of a transaction that was taken back.
      if (made) made.number = 0;
      if (!inSteps || !isTooLarge(error)) {
        this.#tell(error, path);
        return;
      }
      try {
        inSteps();
        done();
      } catch (second) {
        this.#tell(second, path);
      }
    };
    this.#batch.add({ run, done, failed });
  }

  #tell(error: unknown, path: Uint8Array): void {
    if (error instanceof NoParent) return;
    const named = atPath(error, path);
    if (!this.#options.failed || !(named instanceof CadastreError) || endsAll(named)) throw named;
    this.#options.failed(named);
  }
}

function existing(made: Made): number {
  if (made.number === 0) throw new NoParent();
  return made.number;
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
