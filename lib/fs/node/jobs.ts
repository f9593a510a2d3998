/**
 * Copies by path, as jobs: inside the image, from the host into it and out of it to the host. The work is done in `wait`, `step`
 * and `run`, piece by piece, and never by itself: between two pieces the image may be used as always.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { type CadastreError, fileError } from '../../errors.ts';
import { type HostEntry, HostTree } from '../../host/tree.ts';
import { HostWriter } from '../../host/writer.ts';
import { type CopyFlags, copyFile, copyIn, copyOut } from '../../jobs/copy-file.ts';
import { CopyTree, type CopyTreeOptions } from '../../jobs/copy-tree.ts';
import { type Job, JobRunner, type JobSteps } from '../../jobs/job.ts';
import type { HostTarget } from '../../volume/copy-content.ts';
import type { ImageFiles } from '../image-files.ts';
import { lookupPath, resolvePath } from '../lookup.ts';
import { type PathArgument, pathArgument } from './arguments.ts';

/** A path in the image: text (UTF-8) or bytes. */
export type ImagePath = string | Uint8Array;

/** Copies run at the same time; the others wait for their turn. */
const MOST_AT_ONCE = 4;
/** `run` lets the event loop turn after so many milliseconds of work. */
const SLICE_MS = 20;

/** How a tree is copied. Without `failed` the first object that fails ends the job. */
export type CopyTreeFlags = Omit<CopyTreeOptions, 'failed'> & { failed?: (error: CadastreError) => void };

export class CopyJobs {
  readonly #files: ImageFiles;
  readonly #runner = new JobRunner(MOST_AT_ONCE);
  #copies = 0;

  constructor(files: ImageFiles) {
    this.#files = files;
  }

  /** Jobs that are not over. */
  get pending(): number {
    return this.#runner.pending;
  }

  /**
   * Copy a file under another name, or with `flags.range` a part of it into a file that exists. Where blocks can be shared (and
   * `flags.reflink` does not say `never`) the job is done when it is returned. What is wrong is the job's `error`.
   */
  copyFile(from: ImagePath, to: ImagePath, flags: Omit<CopyFlags, 'path'> = {}): Job {
    return this.#start(pathArgument(from), (source) => {
      const { editor, volume } = this.#files;
      const { directory, name } = this.#place(to);
      const { number } = resolvePath(volume, source.bytes, true);
      return copyFile(this.#runner, editor, number, directory, name, { ...flags, path: source.shown });
    });
  }

  /** Copy a directory with everything in it, or any single object; hard links in it stay hard links. */
  copyTree(from: ImagePath, to: ImagePath, flags: CopyTreeFlags = {}): Job {
    return this.#start(pathArgument(from), (source) => {
      const { editor, volume } = this.#files;
      const { directory, name } = this.#place(to);
      const { number } = resolvePath(volume, source.bytes, false);
      const failed = (error: CadastreError): never => {
        throw error;
      };
      const tree = new CopyTree(editor, number, source.bytes, directory, name, { failed, ...flags });
      return this.#runner.start({ bytes: undefined, path: source.shown }, treeSteps(tree));
    });
  }

  /** Copy a file of the host into the image. */
  copyIn(from: string, to: ImagePath, flags: Pick<CopyFlags, 'exclusive'> = {}): Job {
    return this.#start(pathArgument(from), (source) => {
      const { directory, name } = this.#place(to);
      const path = resolve(source.shown);
      const tree = new HostTree(dirname(path));
      const ended = (): void => tree.close();
      let entry: HostEntry;
      try {
        entry = tree.entryAt(Buffer.from(basename(path)));
        if (entry.directory)
          throw fileError('EISDIR', `${source.shown} is a directory`, { where: { path: source.shown } });
      } catch (error) {
        ended();
        throw error;
      }
      const how = { ...flags, path: source.shown, ended };
      return copyIn(this.#runner, this.#files.editor, tree, entry, directory, name, how);
    });
  }

  /** Copy a file of the image to the host. What has the name is replaced when the copy is whole, or not at all. */
  copyOut(from: ImagePath, to: string, flags: Pick<CopyFlags, 'exclusive'> = {}): Job {
    return this.#start(pathArgument(from), (source) => {
      const { volume, readOnly } = this.#files;
      const { number } = resolvePath(volume, source.bytes, true);
      const path = resolve(pathArgument(to).shown);
      if (flags.exclusive && existsSync(path)) throw fileError('EEXIST', `${path} exists`, { where: { path } });
      const building = flags.exclusive ? path : `${path}.${process.pid}-${this.#copies++}.part`;
      const create = (): HostTarget => hostTarget(building, path);
      const editor = readOnly ? undefined : this.#files.editor;
      return copyOut(this.#runner, volume, editor, number, create, { path: source.shown });
    });
  }

  /** Do a piece of the job whose turn it is. @returns false when none is left. */
  step(): boolean {
    return this.#runner.step();
  }

  /** Run all jobs to their end; the event loop turns in between. What went wrong is in each job's status. */
  async run(): Promise<void> {
    for (let rest = performance.now() + SLICE_MS; this.step(); ) {
      if (performance.now() < rest) continue;
      await new Promise(setImmediate);
      rest = performance.now() + SLICE_MS;
    }
  }

  /** End everything that is not over: no partial target stays. */
  cancel(): void {
    this.#runner.cancel();
  }

  #start(source: PathArgument, start: (source: PathArgument) => Job): Job {
    try {
      return start(source);
    } catch (error) {
      return this.#runner.refused(error, source.shown);
    }
  }

  /** Where a copy is to be. Throws EINVAL for a path that ends in no name. */
  #place(path: ImagePath): { directory: number; name: Uint8Array } {
    const { bytes, shown } = pathArgument(path);
    const { last, slash, directory, name } = lookupPath(this.#files.volume, bytes, 'slash');
    if (last !== 'name' || slash)
      throw fileError('EINVAL', `${shown} is no name for a copy`, { where: { path: shown } });
    // The path's bytes are the caller's.
    return { directory, name: name.slice() };
  }
}

/** The copy of a tree as steps. */
function* treeSteps(tree: CopyTree): JobSteps {
  let told = 0;
  let isOver = false;
  try {
    while (tree.step()) {
      yield tree.bytesDone - told;
      told = tree.bytesDone;
    }
    isOver = true;
  } finally {
    if (!isOver) tree.cancel();
  }
}

/** A new file of the host, built under one name and moved to another. */
function hostTarget(building: string, path: string): HostTarget {
  const writer = new HostWriter(dirname(building));
  const output = writer.createFile(writer.root, Buffer.from(basename(building)));
  const abandon = (): void => {
    output.abandon();
    writer.close();
  };
  return {
    write: (bytes, offset) => output.write(bytes, offset),
    abandon,
    finish: (size, metadata) => {
      output.finish(size, metadata);
      writer.close();
      if (building === path) return;
      try {
        renameSync(building, path);
      } catch (cause) {
        rmSync(building, { force: true });
        const { code = 'EIO' } = cause as { code?: string };
        throw fileError(code, `cannot replace ${path}: ${code}`, {
          where: { path: path },
          cause,
        });
      }
    },
  };
}
