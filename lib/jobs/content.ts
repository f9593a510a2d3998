/**
 * Content on its way: where bytes come from, where they go, and the steps of a copy. Holes stay holes. A target appears
 * whole, with `finish`, or not at all.
 */
import type { Transaction } from '../buffer/transaction.ts';
import { Fork } from '../file/fork.ts';
import type { HostFile } from '../host/tree.ts';
import type { HostMetadata, HostOutput } from '../host/writer.ts';
import { truncate, writeAt } from '../volume/content.ts';
import type { Editor } from '../volume/editor.ts';
import { createUnnamed, finishFreeing, letGo, type NewObject, nameIt } from '../volume/names.ts';
import type { Volume } from '../volume/volume.ts';
import type { JobSteps } from './job.ts';

/** Bytes moved in one step. */
const PIECE = 1 << 20;

export interface ContentReader {
  readonly size: number;
  /** The next range of data from a byte on, undefined when only a hole follows. */
  nextData(from: number): { offset: number; length: number } | undefined;
  /** All of `into` from a byte on. */
  read(offset: number, into: Uint8Array): void;
  close(): void;
}

export interface ContentWriter {
  write(offset: number, bytes: Uint8Array): void;
  /** The target appears. */
  finish(size: number): void;
  /** The target never was. */
  abandon(): void;
}

/** Copy in pieces. Both ends are opened with the first one. */
export function* copyContent(open: () => { reader: ContentReader; writer: () => ContentWriter }): JobSteps {
  const { reader, writer: make } = open();
  let writer: ContentWriter | undefined;
  try {
    writer = make();
    const piece = new Uint8Array(Math.min(PIECE, Math.max(1, reader.size)));
    for (let data = reader.nextData(0); data; data = reader.nextData(data.offset + data.length)) {
      for (let done = 0; done < data.length; ) {
        const part = piece.subarray(0, Math.min(piece.length, data.length - done));
        reader.read(data.offset + done, part);
        writer.write(data.offset + done, part);
        done += part.length;
        yield part.length;
      }
    }
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

/** A file of an image. It is held open: without its name it stays until the copy is over. */
export class ImageReader implements ContentReader {
  readonly size: number;
  readonly #volume: Volume;
  readonly #editor: Editor | undefined;
  readonly #number: number;

  constructor(volume: Volume, number: number, editor?: Editor) {
    this.#volume = volume;
    this.#number = number;
    this.#editor = editor;
    this.size = volume.inode(number).size;
    editor?.hold(number);
  }

  nextData(from: number): { offset: number; length: number } | undefined {
    const inode = this.#volume.inode(this.#number);
    const { blockSize } = this.#volume.geometry;
    const { size } = this;
    let found: { offset: number; length: number } | undefined;
    new Fork(inode, 'data').forEachExtent(
      (fileBlock, _startBlock, blockCount, unwritten) => {
        const start = Math.max(from, fileBlock * blockSize);
        const end = Math.min(size, (fileBlock + blockCount) * blockSize);
        if (unwritten || start >= end) return fileBlock * blockSize >= size;
        found = { offset: start, length: end - start };
        return true;
      },
      Math.floor(from / blockSize),
    );
    return found;
  }

  read(offset: number, into: Uint8Array): void {
    const got = this.#volume.fileReader(this.#volume.inode(this.#number)).read(offset, into);
    into.fill(0, got);
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

/** A file of the host. */
export class HostReader implements ContentReader {
  readonly size: number;
  readonly #file: HostFile;

  constructor(file: HostFile) {
    this.#file = file;
    this.size = file.size;
  }
  nextData(from: number): { offset: number; length: number } | undefined {
    return this.#file.nextSegment(from);
  }
  read(offset: number, into: Uint8Array): void {
    this.#file.readInto(into, offset);
  }
  close(): void {
    this.#file.close();
  }
}

/** A new file of the host. */
export class HostFileWriter implements ContentWriter {
  readonly #output: HostOutput;
  readonly #metadata: HostMetadata;

  constructor(output: HostOutput, metadata: HostMetadata) {
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
