/** `put IMAGE SOURCE... TARGET`: copy files, with -r trees, from the host into the image; `-` is standard input. */
import { lstatSync, readSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Command } from 'commander';
import { MODE } from '../../formats/inode.ts';
import { deviceError, fileError } from '../../lib/errors.ts';
import type { LeftOut } from '../../lib/host/left-out.ts';
import { HostTree } from '../../lib/host/tree.ts';
import { putFile } from '../../lib/volume/content.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { TreePutter } from '../../lib/volume/tree-put.ts';
import { UMASK } from '../edit/mode.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { parseWholeOwner } from '../edit/owner.ts';
import { type Target, targetOf } from '../edit/place.ts';
import { splitTarget } from '../edit/sources.ts';
import { attempt, failed } from '../ui/failures.ts';
import { note, paint } from '../ui/output.ts';
import { Progress } from '../ui/progress.ts';
import { count, showSeconds, showSize } from '../ui/sizes.ts';

interface Options extends EditOptions {
  recursive?: boolean;
  owner?: string;
  quiet?: boolean;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<paths...>', 'sources on the host (- is standard input), and where to in the image')
      .option('-r, --recursive', 'directories with everything in them; symlinks are kept')
      .option('--owner <uid:gid>', 'everything belongs to these numbers')
      .option('--quiet', 'print nothing but errors and what was left out'),
  ).action((image: string, paths: string[], options: Options) => {
    const { sources, target } = splitTarget(paths);
    const owner = options.owner === undefined ? undefined : parseWholeOwner(options.owner);
    return edit(image, options, (editor) => {
      const into = targetOf(editor.volume, target, sources.length);
      const run = new PutRun(editor, options, owner);
      try {
        for (const source of sources) attempt('put', options.json, () => run.source(source, into, target));
      } finally {
        run.progress.end();
      }
      return run.report();
    });
  });
}

class PutRun {
  readonly progress: Progress;
  readonly #editor: Editor;
  readonly #options: Options;
  readonly #owner: { uid: number; gid: number } | undefined;
  readonly #putter: TreePutter;
  readonly #leftOut: LeftOut[] = [];

  constructor(editor: Editor, options: Options, owner: { uid: number; gid: number } | undefined) {
    this.#editor = editor;
    this.#options = options;
    this.#owner = owner;
    this.progress = new Progress(options.quiet === true || options.json === true);
    this.#putter = new TreePutter(editor, {
      ...(owner ? { owner } : {}),
      failed: (error) => failed('put', options.json, error),
      progress: (done) =>
        this.progress.update(undefined, () => `${count(done.files, 'file')}, ${showSize(done.bytes)}`),
    });
  }

  source(source: string, into: Target, target: string): void {
    if (source === '-') {
      this.#input(into, target);
      return;
    }
    const path = this.#real(source);
    const stat = lstatSync(path);
    if (stat.isDirectory()) {
      if (!this.#options.recursive) {
        throw fileError('EISDIR', `${source} is a directory: -r copies it`, { where: { path: source } });
      }
      this.#directory(path, source, into, target);
      return;
    }
    const tree = new HostTree(dirname(path));
    this.#leftOut.push(tree.leftOut);
    try {
      const name = Buffer.from(basename(path));
      const { directory, name: own } = this.#placed(into, target, Buffer.from(basename(source)));
      this.#putter.put(tree, tree.entryAt(name), directory, own);
    } finally {
      tree.close();
    }
  }

  report(): { text?: string; data: Record<string, unknown> } {
    const { result } = this.#putter;
    const total = this.#leftOut.reduce((sum, each) => sum + each.total, 0);
    if (!this.#options.json) {
      for (const each of this.#leftOut) {
        for (const item of each.summary()) note(`${paint.yellow('left out', process.stderr)}: ${item}`);
      }
    }
    const data = { put: { ...result }, leftOut: { total, items: this.#leftOut.flatMap((each) => each.items) } };
    if (this.#options.quiet || !this.#options.recursive) return { data };
    const others = result.others + result.hardLinks;
    const text =
      `${count(result.files, 'file')} (${showSize(result.bytes)}), ` +
      `${count(result.directories, 'directory', 'directories')}, ${count(others, 'other object')} ` +
      `in ${showSeconds(this.progress.seconds)}`;
    return { text, data };
  }

  /** Without -r a symlink stands for what it points at, as with cp. */
  #real(source: string): string {
    try {
      if (this.#options.recursive) lstatSync(source);
      else return realpathSync(source);
      return source;
    } catch (cause) {
      const { code } = cause as { code?: string };
      throw fileError(code ?? 'EIO', `cannot read ${source}: ${code}`, { where: { path: source }, cause });
    }
  }

  #directory(path: string, source: string, into: Target, target: string): void {
    const tree = new HostTree(path);
    this.#leftOut.push(tree.leftOut);
    try {
      const name = basename(source);
      const hasName = !['', '.', '..', '/'].includes(name);
      if (into.directory !== undefined && !hasName) this.#putter.merge(tree, tree.root, into.directory);
      else {
        const placed = this.#placed(into, target, Buffer.from(name));
        this.#putter.put(tree, tree.root, placed.directory, placed.name);
      }
    } finally {
      tree.close();
    }
  }

  #placed(into: Target, target: string, own: Uint8Array): { directory: number; name: Uint8Array } {
    if (into.directory !== undefined) return { directory: into.directory, name: own };
    if (into.place.last !== 'name') throw fileError('EINVAL', `${target} is no name`, { where: { path: target } });
    return { directory: into.place.directory, name: into.place.name };
  }

  /** Standard input becomes a file; one that it replaces hands down its mode and owner. */
  #input(into: Target, target: string): void {
    if (into.directory !== undefined) {
      throw fileError('EISDIR', `${target} is a directory: standard input needs a name`, { where: { path: target } });
    }
    const { directory, name } = this.#placed(into, target, new Uint8Array(0));
    const before = into.place.inode;
    const what = {
      ...(before?.isFile ? { mode: before.mode, inheritAcl: false } : { mode: MODE.FILE | 0o666, umask: UMASK }),
      ...(this.#owner ?? (before ? { uid: before.core.uid, gid: before.core.gid } : {})),
    };
    const { result } = this.#putter;
    putFile(this.#editor, directory, name, what, (piece) => {
      const length = readInput(piece);
      result.bytes += length;
      return length;
    });
    result.files++;
  }
}

const STDIN = 0;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** Bytes of standard input; 0 at its end. */
function readInput(into: Uint8Array): number {
  for (;;) {
    try {
      return readSync(STDIN, into, 0, into.length, null);
    } catch (cause) {
      const { code } = cause as { code?: string };
      if (code === 'EOF') return 0;
      if (code !== 'EAGAIN') throw deviceError(code ?? 'EIO', `cannot read standard input: ${code}`, { cause });
      Atomics.wait(pause, 0, 0, 5);
    }
  }
}
