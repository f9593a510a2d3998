/**
 * Content on its way: where bytes come from, where they go, and the steps of a copy. There is one copier of long files, for all
 * directions: `put`, `get` and `cp` run it to its end at once, copy jobs (lib/jobs) step it.
 *
 * 1. Holes stay holes. 2. A target appears whole, with `finish`, or not at all. 3. Steps end between two transactions.
 */
import type { Transaction } from '../buffer/transaction.ts';
import { Fork } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import type { FileReader } from '../file/read.ts';
import type { HostFile } from '../host/tree.ts';
import type { HostMetadata, HostOutput } from '../host/writer.ts';
import { truncate, writeAt } from './content.ts';
import type { Editor } from './editor.ts';
import { createUnnamed, finishFreeing, letGo, type NewObject, nameIt } from './names.ts';
import type { Volume } from './volume.ts';

/** Bytes moved in one step: they stay in the processor's cache between reading and writing. */
export const COPY_PIECE = 1 << 20;

/** A copy under way: yields the bytes done since the last time. Ended before its end, it leaves no target. */
export type CopySteps = Generator<number, void, undefined>;

export interface ContentReader {
  readonly size: number;
  /** The next range of data from a byte on, undefined when only a hole follows. */
  nextData(from: number): { offset: number; length: number } | undefined;
  /** All of `into` from a byte on. */
  read(offset: number, into: Uint8Array): void;
  /** Everything was read. Throws when it was not one file all the time: then the target does not appear. */
  ended?(): void;
  close(): void;
}

export interface ContentWriter {
  write(offset: number, bytes: Uint8Array): void;
  /** The target appears. */
  finish(size: number): void;
  /** The target never was. */
  abandon(): void;
}

/**
 * Copy in pieces. Both ends are opened with the first one.
 * @param piece where bytes stay between reading and writing; else memory of its own.
 */
export function* copyContent(
  open: () => { reader: ContentReader; writer: () => ContentWriter },
  piece?: Uint8Array,
): CopySteps {
  const { reader, writer: make } = open();
  let writer: ContentWriter | undefined;
  try {
    writer = make();
    let buffer = piece;
    for (let data = reader.nextData(0); data; data = reader.nextData(data.offset + data.length)) {
      buffer ??= new Uint8Array(Math.min(COPY_PIECE, reader.size));
      for (let done = 0; done < data.length; ) {
        const part = buffer.subarray(0, Math.min(buffer.length, data.length - done));
        reader.read(data.offset + done, part);
        writer.write(data.offset + done, part);
        done += part.length;
        yield part.length;
      }
    }
    reader.ended?.();
    writer.finish(reader.size);
    writer = undefined;
  } finally {
    try {
      writer?.abandon();
    } finally {
      reader.close();
    }
  }
}

/** A file of an image. In an editor's it is held open: without its name it stays until the copy is over. */
export class ImageReader implements ContentReader {
  readonly size: number;
  readonly #volume: Volume;
  readonly #editor: Editor | undefined;
  readonly #number: number;
  /** Of an image that nobody changes. */
  readonly #fixed: { inode: Inode; reader: FileReader } | undefined;

  /** @param editor whoever may change the image between two pieces. */
  constructor(volume: Volume, inode: Inode, editor: Editor | undefined) {
    this.#volume = volume;
    this.#number = inode.number;
    this.#editor = editor;
    this.size = inode.size;
    if (editor) editor.hold(inode.number);
    else this.#fixed = { inode, reader: volume.fileReader(inode) };
  }

  /** Neighbouring extents come as one range, up to about a piece. */
  nextData(from: number): { offset: number; length: number } | undefined {
    const { size } = this;
    if (from >= size) return undefined;
    const inode = this.#fixed?.inode ?? this.#volume.inode(this.#number);
    const { blockSize } = this.#volume.geometry;
    let offset = size;
    let end = size;
    new Fork(inode, 'data').forEachExtent(
      (fileBlock, _startBlock, blockCount, unwritten) => {
        const start = Math.max(from, fileBlock * blockSize);
        if (start >= size || (offset < size && (unwritten || start !== end))) return true;
        if (unwritten) return false;
        if (offset === size) offset = start;
        end = Math.min(size, (fileBlock + blockCount) * blockSize);
        return end - offset >= COPY_PIECE;
      },
      Math.floor(from / blockSize),
    );
    return offset < size ? { offset, length: end - offset } : undefined;
  }

  read(offset: number, into: Uint8Array): void {
    const reader = this.#fixed?.reader ?? this.#volume.fileReader(this.#volume.inode(this.#number));
    into.fill(0, reader.read(offset, into));
  }

  close(): void {
    if (this.#editor) letGo(this.#editor, this.#number);
  }
}

/** What a file in an image starts and ends with. */
export interface NewFile {
  readonly directory: number;
  readonly name: Uint8Array;
  readonly what: NewObject;
  /** Attributes: called with the new inode before it has content. */
  dress?: (number: number) => void;
  /** Times and the like: called in the transaction that names it. */
  complete?: (tx: Transaction, number: number) => void;
}

/** A new file of an image: without a name, on the unlinked list, until it is finished. */
export class ImageWriter implements ContentWriter {
  readonly #editor: Editor;
  readonly #file: NewFile;
  readonly #number: number;
  #isNamed = false;

  constructor(editor: Editor, file: NewFile) {
    this.#editor = editor;
    this.#file = file;
    this.#number = editor.transact((tx) => createUnnamed(editor, tx, file.directory, file.what));
    try {
      file.dress?.(this.#number);
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  write(offset: number, bytes: Uint8Array): void {
    writeAt(this.#editor, this.#number, offset, bytes);
  }

  finish(size: number): void {
    const editor = this.#editor;
    const { directory, name, complete } = this.#file;
    if (editor.volume.inode(this.#number).size !== size) truncate(editor, this.#number, size);
    const victim = editor.transact((tx) => {
      complete?.(tx, this.#number);
      return nameIt(editor, tx, directory, name, this.#number);
    });
    this.#isNamed = true;
    if (victim !== undefined) finishFreeing(editor, victim);
  }

  abandon(): void {
    if (!this.#isNamed) finishFreeing(this.#editor, this.#number);
  }
}

/** A file of the host. A hole counts only in whole blocks of the image: data widens to block boundaries. */
export class HostReader implements ContentReader {
  readonly size: number;
  readonly #file: HostFile;
  readonly #blockSize: number;

  constructor(file: HostFile, blockSize: number) {
    this.#file = file;
    this.#blockSize = blockSize;
    this.size = file.size;
  }
  nextData(from: number): { offset: number; length: number } | undefined {
    const segment = this.#file.nextSegment(from);
    if (!segment) return undefined;
    const offset = segment.offset - (segment.offset % this.#blockSize);
    const end = Math.ceil((segment.offset + segment.length) / this.#blockSize) * this.#blockSize;
    return { offset, length: Math.min(this.size, end) - offset };
  }
  read(offset: number, into: Uint8Array): void {
    this.#file.readInto(into, offset);
  }
  ended(): void {
    this.#file.close();
  }
  close(): void {
    this.#file.close();
  }
}

/** A new file of the host; a HostOutput is one. */
export type HostTarget = Pick<HostOutput, 'write' | 'finish' | 'abandon'>;

export class HostFileWriter implements ContentWriter {
  readonly #output: HostTarget;
  readonly #metadata: HostMetadata;

  constructor(output: HostTarget, metadata: HostMetadata) {
    this.#output = output;
    this.#metadata = metadata;
  }
  write(offset: number, bytes: Uint8Array): void {
    this.#output.write(bytes, offset);
  }
  finish(size: number): void {
    this.#output.finish(size, this.#metadata);
  }
  abandon(): void {
    this.#output.abandon();
  }
}
