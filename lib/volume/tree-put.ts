/**
 * Objects of the host into an image: content, holes, mode, owner, times, attributes, ACLs, hard links, device nodes.
 *
 * 1. An object appears whole or not at all; what had its name before is replaced in the same step. Directories are merged.
 * 2. What cannot be put does not stop the rest: it is told to `failed`. A full image does.
 * 3. What the format cannot hold is in the tree's `leftOut`.
 */
import { MODE, S_IFMT } from '../../formats/inode.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { CadastreError, fileError } from '../errors.ts';
import { homeBlock } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import { FileWriter } from '../file/write.ts';
import type { HostEntry, HostFile, HostTree } from '../host/tree.ts';
import { describeAsHost, hasOwnAcl } from './as-host.ts';
import { Batch, type BatchedOperation } from './batch.ts';
import { COPY_PIECE, copyContent, HostReader, ImageWriter } from './copy-content.ts';
import { type Editor, isLogFull } from './editor.ts';
import { createIn, createUnnamed, finishFreeing, link, linkOver, type NewObject, nameIt } from './names.ts';
import { showPath } from './path.ts';
import { type ComingObject, PutTogether } from './put-together.ts';

export interface PutOptions {
  /** Everything is owned by these instead of what the host says. */
  owner?: { uid: number; gid: number };
  failed: (error: CadastreError) => void;
  /** Called after every object with what was done so far. */
  progress?: (done: Readonly<PutResult>) => void;
}

export interface PutResult {
  files: number;
  directories: number;
  others: number;
  hardLinks: number;
  bytes: number;
}

/** Files up to this size are read whole and take their place in one transaction with others. */
const SMALL_BYTES = 512 << 10;
/** Holds what a batch does, and one file more. */
const SLAB_BYTES = 3 << 20;

/** One of many in a transaction. */
interface PutOperation extends BatchedOperation {
  readonly makes?: ComingObject;
}

interface Level {
  readonly entry: HostEntry;
  readonly inode: number;
  readonly entries: readonly HostEntry[];
  /** It was there before: its names may be taken. */
  readonly merged: boolean;
  next: number;
}

/** Puts objects into an image. One per run: it remembers hard links. */
export class TreePutter {
  readonly result: PutResult = { files: 0, directories: 0, others: 0, hardLinks: 0, bytes: 0 };
  readonly #editor: Editor;
  readonly #options: PutOptions;
  readonly #batch: Batch<PutOperation>;
  /** Of the transaction under way. */
  #together: PutTogether | undefined;
  /** Inode in the image of a host inode with several names. */
  readonly #links = new Map<string, number>();
  /** Where the last small file of each AG ended: the next one goes right behind it. */
  readonly #dataEnd: Float64Array;
  #piece: Uint8Array | undefined;
  /** Content of the small files that wait in the batch. */
  #slab: Uint8Array | undefined;
  #slabUsed = 0;

  constructor(editor: Editor, options: PutOptions) {
    this.#editor = editor;
    this.#options = options;
    this.#batch = new Batch<PutOperation>(editor, {
      begin: (tx, operations) => {
        const coming = operations.flatMap(({ makes }) => makes ?? []);
        this.#together = new PutTogether(editor, tx, coming);
      },
      end: () => this.#together!.end(),
    });
    this.#dataEnd = new Float64Array(editor.volume.geometry.agCount);
  }

  /** Put one object, a directory with everything below it, under this name. */
  put(tree: HostTree, entry: HostEntry, directory: number, name: Uint8Array): void {
    this.#trying(entry, () => {
      if (!entry.directory) this.#leaf(tree, entry, directory, name, true);
      else this.#walk(tree, this.#enter(tree, entry, directory, name, true));
    });
    this.#batch.flush();
  }

  /** Put what is in a directory of the host into one of the image, which takes its metadata. */
  merge(tree: HostTree, entry: HostEntry, directory: number): void {
    this.#walk(tree, { entry, inode: directory, entries: tree.readDirectory(entry), merged: true, next: 0 });
    this.#batch.flush();
  }

  #walk(tree: HostTree, start: Level): void {
    const levels = [start];
    for (let level = levels.at(-1); level; level = levels.at(-1)) {
      const entry = level.entries[level.next++];
      if (!entry) {
        levels.pop();
        this.#finishDirectory(tree, level);
        continue;
      }
      this.#trying(entry, () => {
        if (entry.directory) levels.push(this.#enter(tree, entry, level.inode, entry.name, level.merged));
        else this.#leaf(tree, entry, level.inode, entry.name, level.merged);
      });
    }
  }

  /** The directory is there, or made now. */
  #enter(tree: HostTree, entry: HostEntry, directory: number, name: Uint8Array, mayExist: boolean): Level {
    const entries = tree.readDirectory(entry);
    const known = mayExist ? this.#existing(directory, name) : undefined;
    if (known) {
      known.assertDirectory(showPath(entry.path));
      return { entry, inode: known.number, entries, merged: true, next: 0 };
    }
    const what = this.#object(entry);
    const inode = this.#editor.transact((tx) => createIn(this.#editor, tx, directory, name, what));
    return { entry, inode, entries, merged: false, next: 0 };
  }

  #finishDirectory(tree: HostTree, { entry, inode, merged }: Level): void {
    this.#batch.add({
      run: (tx) => {
        this.#together!.name(inode);
        this.#dress(tx, this.#editor.inode(tx, inode), tree, entry, !merged);
      },
      done: () => {
        this.result.directories++;
      },
      failed: (error) => this.#tell(error, entry),
    });
  }

  #leaf(tree: HostTree, entry: HostEntry, directory: number, name: Uint8Array, mayExist: boolean): void {
    const existing = mayExist ? this.#existing(directory, name) : undefined;
    if (existing?.isDirectory) throw fileError('EISDIR', 'a directory of this name is in the image');
    const linkKey = entry.nlink > 1 ? entry.linkKey : undefined;
    if (linkKey !== undefined) {
      this.#batch.flush(); // the first name may still wait
      const known = this.#links.get(linkKey);
      if (known !== undefined) {
        this.#hardLink(known, directory, name, existing);
        return;
      }
    }
    const keep = (inode: number): void => {
      if (linkKey !== undefined) this.#links.set(linkKey, inode);
      this.#options.progress?.(this.result);
    };
    if ((entry.mode & S_IFMT) !== MODE.FILE) {
      this.#small(tree, entry, directory, name, existing, undefined, keep);
      return;
    }
    const file = tree.openFile(entry);
    try {
      if (file.size > SMALL_BYTES || file.maybeSparse) {
        this.#batch.flush();
        keep(this.#large(tree, entry, file, directory, name));
        return;
      }
      const bytes = this.#room(file.size);
      file.readInto(bytes.subarray(0, file.size), 0);
      this.#small(tree, entry, directory, name, existing, bytes, keep);
    } finally {
      file.close();
    }
  }

  /** Whole blocks for so many bytes, zero behind them, until the batch is done. */
  #room(size: number): Uint8Array {
    const { blockSize } = this.#editor.volume.geometry;
    const length = Math.ceil(size / blockSize) * blockSize;
    const slab = (this.#slab ??= new Uint8Array(SLAB_BYTES));
    if (this.#slabUsed + length > slab.length) this.#batch.flush();
    // From the start again as soon as nobody waits: the same few hundred KiB stay in the processor's cache.
    if (this.#batch.isEmpty) this.#slabUsed = 0;
    const bytes = slab.subarray(this.#slabUsed, this.#slabUsed + length);
    this.#slabUsed += length;
    bytes.fill(0, size);
    return bytes;
  }

  /** An object whose content is at hand: one of many operations in a transaction. */
  #small(
    tree: HostTree,
    entry: HostEntry,
    directory: number,
    name: Uint8Array,
    existing: Inode | undefined,
    bytes: Uint8Array | undefined,
    keep: (inode: number) => void,
  ): void {
    const editor = this.#editor;
    const what = this.#object(entry);
    let number = 0;
    let victim: number | undefined;
    const blocks = (bytes?.length ?? 0) / editor.volume.geometry.blockSize;
    this.#batch.add({
      bytes: bytes?.length ?? 0,
      makes: { directory, isNew: existing === undefined, blocks },
      run: (tx) => {
        const inode = existing
          ? editor.inode(tx, createUnnamed(editor, tx, directory, what))
          : this.#together!.make(directory, name, what);
        ({ number } = inode);
        if (bytes && entry.size > 0) this.#content(tx, inode, entry.size, bytes);
        this.#dress(tx, inode, tree, entry, true);
        victim = existing ? nameIt(editor, tx, directory, name, number) : undefined;
      },
      done: () => {
        if (victim !== undefined) finishFreeing(editor, victim);
        if (bytes) {
          this.result.files++;
          this.result.bytes += entry.size;
        } else this.result.others++;
        keep(number);
      },
      failed: (error) => {
        if (!bytes || !isLogFull(error)) {
          this.#tell(error, entry);
          return;
        }
        // Too much for one transaction of this image: in steps, then.
        this.#trying(entry, () => {
          const file = tree.openFile(entry);
          try {
            keep(this.#large(tree, entry, file, directory, name));
          } finally {
            file.close();
          }
        });
      },
    });
  }

  /** The whole content of a new file: whole blocks, `size` bytes of them count. */
  #content(tx: Transaction, inode: Inode, size: number, bytes: Uint8Array): void {
    const editor = this.#editor;
    const { geometry } = editor.volume;
    const { number } = inode;
    const ag = geometry.agOfInode(number);
    const writer = new FileWriter(tx, inode, editor.data, editor.space, this.#together!.blocksFor(number));
    const near = writer.append(0, bytes, this.#dataEnd[ag]! || homeBlock(inode));
    this.#dataEnd[ag] = geometry.agOfFsBlock(near) === ag ? near : 0;
    inode.change(tx);
    inode.core.size = size;
  }

  /** Long or sparse: written piece by piece to an inode without a name, which it gets at the end. */
  #large(tree: HostTree, entry: HostEntry, file: HostFile, directory: number, name: Uint8Array): number {
    const editor = this.#editor;
    let number = 0;
    let bytes = 0;
    const copy = copyContent(
      () => ({
        reader: new HostReader(file, editor.volume.geometry.blockSize),
        writer: () =>
          new ImageWriter(editor, {
            directory,
            name,
            what: this.#object(entry),
            complete: (tx, made) => {
              number = made;
              this.#dress(tx, editor.inode(tx, made), tree, entry, true);
            },
          }),
      }),
      (this.#piece ??= new Uint8Array(COPY_PIECE)),
    );
    for (const done of copy) bytes += done;
    this.result.files++;
    this.result.bytes += bytes;
    return number;
  }

  #hardLink(number: number, directory: number, name: Uint8Array, existing: Inode | undefined): void {
    if (existing?.number === number) return;
    const editor = this.#editor;
    if (!existing) link(editor, number, directory, name);
    else linkOver(editor, number, directory, name);
    this.result.hardLinks++;
    this.#options.progress?.(this.result);
  }

  #existing(directory: number, name: Uint8Array): Inode | undefined {
    const { volume } = this.#editor;
    const number = volume.child(volume.inode(directory), name);
    return number === undefined ? undefined : volume.inode(number);
  }

  #object(entry: HostEntry): NewObject {
    const isDevice = entry.type === 'character' || entry.type === 'block';
    return {
      mode: entry.mode,
      inheritAcl: !hasOwnAcl(entry),
      ...(this.#options.owner ?? { uid: entry.uid, gid: entry.gid }),
      atime: entry.atime,
      mtime: entry.mtime,
      ...(entry.target ? { target: entry.target } : {}),
      ...(isDevice ? { device: { major: entry.rdevMajor, minor: entry.rdevMinor } } : {}),
    };
  }

  #dress(tx: Transaction, inode: Inode, tree: HostTree, entry: HostEntry, isNew: boolean): void {
    describeAsHost(this.#editor, tx, inode, tree, entry, { owner: this.#options.owner, isNew });
    inode.setTime('ctime', this.#editor.now());
  }

  #trying(entry: HostEntry, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#tell(error, entry);
    }
  }

  /** One object failed; what would fail for all others too is thrown on. */
  #tell(error: unknown, entry: HostEntry): void {
    if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
    const { family, code, message, where, expected, found } = error;
    const named = { ...where, path: showPath(entry.path.length > 0 ? entry.path : entry.name) };
    const told = new CadastreError(family, code, message, { where: named, expected, found, cause: error });
    if (family !== 'file' && family !== 'corrupt') throw told;
    this.#options.failed(told);
  }
}
