/**
 * `cp -r` inside an image: a walk that starts a copy job for each file, several of them pending at once.
 *
 * 1. What fails is told, by path; the others go on. A full image ends everything.
 * 2. Hard links inside the tree stay hard links. Directories get their times when everything in them is there.
 * 3. Cancelled, it leaves the files that are whole and no partial one.
 */
import { cloneDirectory, cloneFile, restoreTimes } from '../clone/clone-file.ts';
import { atPath, endsAll, refuseInside } from '../clone/clone-tree.ts';
import { CadastreError, corrupt } from '../errors.ts';
import type { Editor } from '../volume/editor.ts';
import { link } from '../volume/names.ts';
import { joinPath } from '../volume/path.ts';
import { type CopyFlags, copyFile } from './copy-file.ts';
import { type Job, JobRunner } from './job.ts';

export interface CopyTreeOptions extends Pick<CopyFlags, 'reflink' | 'exclusive'> {
  /** Files copied at the same time; default 4. */
  jobs?: number;
  /** Told of every object that could not be copied, named in `where.path`. */
  failed: (error: CadastreError) => void;
}

export interface CopyTreeResult {
  files: number;
  directories: number;
  others: number;
  hardLinks: number;
  bytes: number;
}

interface Task {
  from: number;
  path: Uint8Array;
  into: number;
  name: Uint8Array;
}

export class CopyTree {
  readonly result: CopyTreeResult = { files: 0, directories: 0, others: 0, hardLinks: 0, bytes: 0 };
  readonly #editor: Editor;
  readonly #options: CopyTreeOptions;
  readonly #runner: JobRunner;
  readonly #most: number;
  readonly #tasks: Task[] = [];
  readonly #copies: { job: Job; path: Uint8Array }[] = [];
  /** Directories whose times are still those of the copying. */
  readonly #made: { from: number; to: number; path: Uint8Array }[] = [];
  readonly #seen = new Set<number>();
  /** First copy of an inode with several names. */
  readonly #links = new Map<number, { job: Job | undefined; directory: number; name: Uint8Array }>();

  /** Throws EINVAL when the target lies inside the source. */
  constructor(
    editor: Editor,
    source: number,
    path: Uint8Array,
    directory: number,
    name: Uint8Array,
    options: CopyTreeOptions,
  ) {
    if (editor.volume.inode(source).isDirectory) refuseInside(editor, source, directory);
    this.#editor = editor;
    this.#options = options;
    this.#most = options.jobs ?? 4;
    this.#runner = new JobRunner(this.#most);
    this.#tasks.push({ from: source, path, into: directory, name });
  }

  /** Bytes copied so far, those of unfinished files too. */
  get bytesDone(): number {
    return this.#copies.reduce((sum, { job }) => sum + job.status().bytesDone, this.result.bytes);
  }

  /** Do a piece. @returns false when everything is done. Throws what ends everything (ENOSPC). */
  step(): boolean {
    this.#settle();
    if (this.#runner.pending < this.#most && this.#tasks.length > 0) {
      const task = this.#tasks.pop()!;
      this.#trying(task.path, () => this.#start(task));
      return true;
    }
    if (this.#runner.step()) return true;
    this.#settle();
    const directory = this.#made.pop();
    if (!directory) return false;
    this.#trying(directory.path, () =>
      this.#editor.transact((tx) => restoreTimes(this.#editor, tx, directory.from, directory.to)),
    );
    return true;
  }

  /** End it: no partial file stays. */
  cancel(): void {
    this.#tasks.length = 0;
    this.#runner.cancel();
    this.#copies.length = 0;
  }

  #start({ from, path, into, name }: Task): void {
    const { volume } = this.#editor;
    const inode = volume.inode(from);
    if (inode.isDirectory) {
      this.#directory(from, path, into, name);
      return;
    }
    const known = inode.core.nlink > 1 ? this.#links.get(from) : undefined;
    if (known) {
      known.job?.wait();
      const first = volume.child(volume.inode(known.directory), known.name);
      if (first !== undefined) {
        link(this.#editor, first, into, name);
        this.result.hardLinks++;
        return;
      }
    }
    let job: Job | undefined;
    const isLinked = inode.core.nlink > 1;
    if (inode.isFile) {
      job = copyFile(this.#runner, this.#editor, from, into, name, this.#options);
      this.#copies.push({ job, path });
    } else {
      cloneFile(this.#editor, from, into, name, this.#options.exclusive !== true);
      this.result.others++;
    }
    if (isLinked) this.#links.set(from, { job, directory: into, name });
  }

  #directory(from: number, path: Uint8Array, into: number, name: Uint8Array): void {
    const { volume } = this.#editor;
    if (this.#seen.has(from)) throw corrupt('DIRECTORY_LOOP', 'a directory has two names', { where: { inode: from } });
    this.#seen.add(from);
    const to = this.#editor.transact((tx) => cloneDirectory(this.#editor, tx, from, into, name));
    this.result.directories++;
    this.#made.push({ from, to, path });
    const entries = volume.sortedEntries(volume.inode(from));
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i]!;
      this.#tasks.push({ from: entry.inode, path: joinPath(path, entry.name), into: to, name: entry.name });
    }
  }

  /** Count the jobs that are over. */
  #settle(): void {
    for (let i = this.#copies.length - 1; i >= 0; i--) {
      const { job, path } = this.#copies[i]!;
      if (job.isRunning) continue;
      this.#copies.splice(i, 1);
      const { state, bytesTotal, error } = job.status();
      if (state === 'failed') this.#tell(error, path);
      else if (state === 'done') {
        this.result.files++;
        this.result.bytes += bytesTotal ?? 0;
      }
    }
  }

  #trying(path: Uint8Array, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#tell(error, path);
    }
  }

  #tell(error: unknown, path: Uint8Array): void {
    const named = atPath(error, path);
    if (!(named instanceof CadastreError) || endsAll(named)) {
      this.cancel();
      throw named;
    }
    this.#options.failed(named);
  }
}
