/**
 * Objects of an image onto the host: content, holes, mode, owner, times, attributes, ACLs, hard links, device nodes.
 *
 * 1. What cannot be read does not stop the rest: it is told to `failed`, and no partial file is left behind.
 * 2. What the host refuses (owners, devices, attributes) is in the writer's `leftOut`.
 * 3. Names come from the image and are not to be trusted: the writer checks each of them.
 */
import { CadastreError, fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { readSymlink } from '../file/symlink.ts';
import type { HostDirectory } from '../host/calls.ts';
import type { HostMetadata, HostWriter } from '../host/writer.ts';
import { COPY_PIECE, copyContent, HostFileWriter, ImageReader } from './copy-content.ts';
import { listXattrs } from './metadata.ts';
import { showPath } from './path.ts';
import type { Volume } from './volume.ts';
import { walkTree } from './walk.ts';

export interface GetOptions {
  failed: (error: CadastreError) => void;
  /** Called after every object with what was done so far. */
  progress?: (done: Readonly<GetResult>, path: Uint8Array) => void;
}

export interface GetResult {
  files: number;
  directories: number;
  others: number;
  hardLinks: number;
  bytes: number;
}

/** Errors of the host after which every further object would fail as well. */
const HOPELESS = new Set(['ENOSPC', 'EDQUOT', 'EROFS']);

/** Copies objects into one directory of the host. One per run: it remembers hard links. */
export class Getter {
  readonly result: GetResult = { files: 0, directories: 0, others: 0, hardLinks: 0, bytes: 0 };
  readonly #volume: Volume;
  readonly #writer: HostWriter;
  readonly #options: GetOptions;
  readonly #piece = new Uint8Array(COPY_PIECE);
  /** Where the first name of an inode was made. */
  readonly #links = new Map<number, { directory: HostDirectory; name: Uint8Array }>();

  constructor(volume: Volume, writer: HostWriter, options: GetOptions) {
    this.#volume = volume;
    this.#writer = writer;
    this.#options = options;
  }

  /** Copy one object that is no directory to this name. */
  object(inode: Inode, path: Uint8Array, into: HostDirectory, name: Uint8Array): void {
    this.#trying(path, () => this.#leaf(inode, path, into, name));
  }

  /**
   * Copy a directory with everything below it.
   * @param name of the new directory; undefined: what is in it goes into `into` itself, which takes its metadata.
   */
  tree(start: Inode, path: Uint8Array, into: HostDirectory, name: Uint8Array | undefined): void {
    const directories: HostDirectory[] = [];
    walkTree(this.#volume, start, path, {
      enter: ({ inode, entry, path: at }, depth) => {
        const parent = depth === 0 ? into : directories[depth - 1]!;
        const own = depth === 0 ? name : entry.name;
        if (!inode.isDirectory) {
          this.#trying(at, () => this.#leaf(inode, at, parent, own!));
          return true;
        }
        let made = false;
        this.#trying(at, () => {
          directories[depth] = own === undefined ? parent : this.#writer.createDirectory(parent, own);
          this.result.directories++;
          made = true;
        });
        return made;
      },
      leave: ({ inode, path: at }, depth) =>
        this.#trying(at, () => this.#writer.finishDirectory(directories[depth]!, hostMetadata(inode))),
      failed: (error) => this.#options.failed(error),
    });
  }

  #leaf(inode: Inode, path: Uint8Array, into: HostDirectory, name: Uint8Array): void {
    const isLinked = inode.core.nlink > 1;
    const known = isLinked ? this.#links.get(inode.number) : undefined;
    if (known) {
      this.#writer.createLink(into, name, known.directory, known.name);
      this.result.hardLinks++;
      return;
    }
    let made = true;
    if (inode.isFile) {
      this.#file(inode, into, name);
      this.result.files++;
    } else if (inode.isSymlink) {
      this.#writer.createSymlink(into, name, readSymlink(inode), hostMetadata(inode));
      this.result.others++;
    } else {
      const { major, minor } = inode.deviceNumber;
      made = this.#writer.createNode(into, name, major, minor, hostMetadata(inode));
      if (made) this.result.others++;
    }
    if (isLinked && made) this.#links.set(inode.number, { directory: into, name });
    this.#options.progress?.(this.result, path);
  }

  /** Holes and unwritten ranges stay holes. */
  #file(inode: Inode, into: HostDirectory, name: Uint8Array): void {
    const metadata = hostMetadata(inode);
    const copy = copyContent(
      () => ({
        reader: new ImageReader(this.#volume, inode, undefined),
        writer: () => new HostFileWriter(this.#writer.createFile(into, name), metadata),
      }),
      this.#piece,
    );
    for (const done of copy) this.result.bytes += done;
  }

  #trying(path: Uint8Array, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family === 'internal' || HOPELESS.has(error.code)) throw error;
      const text = showPath(path);
      const { family, code, message, where, expected, found } = error;
      const named = where.path === undefined ? { ...where, path: text } : where;
      this.#options.failed(new CadastreError(family, code, message, { where: named, expected, found, cause: error }));
    }
  }
}

/** What the host is told of a copy. */
export function hostMetadata(inode: Inode): HostMetadata {
  return {
    mode: inode.mode,
    uid: inode.core.uid,
    gid: inode.core.gid,
    atime: inode.time('atime'),
    mtime: inode.time('mtime'),
    xattrs: listXattrs(inode),
  };
}

/** Throws EISDIR: a directory is copied only when that was asked for. */
export function assertNoDirectory(inode: Inode, path: string): void {
  if (inode.isDirectory) throw fileError('EISDIR', `${path} is a directory: use -r`, { where: { path } });
}
