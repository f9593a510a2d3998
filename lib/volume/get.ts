/**
 * Objects of an image onto the host: content, holes, mode, owner, times, attributes, ACLs, hard links, device nodes.
 *
 * 1. What cannot be read does not stop the rest: it is told to `failed`, and no partial file is left behind.
 * 2. What the host refuses (owners, devices, attributes) is in the writer's `leftOut`.
 * 3. Names come from the image and are not to be trusted: the writer checks each of them.
 */
import { CadastreError, fileError } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import { readSymlink } from '../file/symlink.ts';
import type { HostDirectory } from '../host/calls.ts';
import type { HostMetadata, HostOutput, HostWriter } from '../host/writer.ts';
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

const PIECE = 1 << 20;
/** Errors of the host after which every further object would fail as well. */
const HOPELESS = new Set(['ENOSPC', 'EDQUOT', 'EROFS']);

/** Copies objects into one directory of the host. One per run: it remembers hard links. */
export class Getter {
  readonly result: GetResult = { files: 0, directories: 0, others: 0, hardLinks: 0, bytes: 0 };
  readonly #volume: Volume;
  readonly #writer: HostWriter;
  readonly #options: GetOptions;
  readonly #piece = new Uint8Array(PIECE);
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
        this.#trying(at, () => this.#writer.finishDirectory(directories[depth]!, metadataOf(inode))),
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
      this.#writer.createSymlink(into, name, readSymlink(inode), metadataOf(inode));
      this.result.others++;
    } else {
      const { major, minor } = inode.deviceNumber;
      made = this.#writer.createNode(into, name, major, minor, metadataOf(inode));
      if (made) this.result.others++;
    }
    if (isLinked && made) this.#links.set(inode.number, { directory: into, name });
    this.#options.progress?.(this.result, path);
  }

  /** Holes and unwritten ranges stay holes. */
  #file(inode: Inode, into: HostDirectory, name: Uint8Array): void {
    const metadata = metadataOf(inode);
    const output = this.#writer.createFile(into, name);
    try {
      this.#content(inode, output);
    } catch (error) {
      output.abandon();
      throw error;
    }
    output.finish(inode.size, metadata);
  }

  #content(inode: Inode, output: HostOutput): void {
    const { blockSize } = this.#volume.geometry;
    const reader = this.#volume.fileReader(inode);
    // Neighbouring extents are copied as one run.
    let start = 0;
    let end = 0;
    const copy = (): void => {
      const last = Math.min(end, inode.size);
      for (let at = start; at < last; ) {
        const length = reader.read(at, this.#piece.subarray(0, Math.min(PIECE, last - at)));
        output.write(this.#piece.subarray(0, length), at);
        this.result.bytes += length;
        at += length;
      }
    };
    new Fork(inode, 'data').forEachExtent((fileBlock, _startBlock, blockCount, unwritten) => {
      if (unwritten) return;
      if (fileBlock * blockSize !== end) {
        copy();
        start = fileBlock * blockSize;
      }
      end = (fileBlock + blockCount) * blockSize;
    });
    copy();
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

function metadataOf(inode: Inode): HostMetadata {
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
