/**
 * What the objects of one transaction of `put` do together: their inodes are taken, their names entered and their blocks asked for
 * at once, as far as they are of one directory or AG. It lives for one transaction.
 */
import type { Transaction } from '../buffer/transaction.ts';
import type { Inode } from '../file/inode.ts';
import type { BlockGiver } from '../file/write.ts';
import { inodeOwner } from '../space/owner.ts';
import { ReservedRun } from '../space/reserved-run.ts';
import type { Editor } from './editor.ts';
import { type NewObject, NewObjects } from './names.ts';

/** An object that will be made. */
export interface ComingObject {
  readonly directory: number;
  /** It gets an inode of the directory's and its name at once. */
  readonly isNew: boolean;
  /** Of its content. */
  readonly blocks: number;
}

export class PutTogether {
  readonly #editor: Editor;
  readonly #tx: Transaction;
  /** New objects to come, by directory. */
  readonly #counts = new Map<number, number>();
  readonly #directories = new Map<number, NewObjects>();
  /** Blocks to come, by AG, and the runs they come from. */
  readonly #blocks: Float64Array;
  readonly #runs: (ReservedRun | undefined)[] = [];

  constructor(editor: Editor, tx: Transaction, objects: Iterable<ComingObject>) {
    this.#editor = editor;
    this.#tx = tx;
    const { geometry } = editor.volume;
    this.#blocks = new Float64Array(geometry.agCount);
    for (const { directory, isNew, blocks } of objects) {
      if (isNew) this.#counts.set(directory, (this.#counts.get(directory) ?? 0) + 1);
      this.#blocks[geometry.agOfInode(directory)]! += blocks;
    }
  }

  /** As `createIn` does, but the name is entered later, and only then found to be taken. */
  make(directory: number, name: Uint8Array, what: NewObject): Inode {
    let objects = this.#directories.get(directory);
    if (!objects) {
      objects = new NewObjects(this.#editor, this.#tx, directory, this.#counts.get(directory)!);
      this.#directories.set(directory, objects);
    }
    return objects.make(name, what);
  }

  /** Enter the names that wait in one directory. Throws EEXIST, ENOSPC. */
  name(directory: number): void {
    this.#directories.get(directory)?.nameAll();
  }

  /** Blocks for a file, from the run of its AG where that has enough. */
  blocksFor(inode: number): BlockGiver {
    const ag = this.#editor.volume.geometry.agOfInode(inode);
    const owner = inodeOwner(inode);
    return (fileBlock, max, near) => {
      const run = this.#run(ag, near);
      return run && run.left >= max ? run.take(this.#tx, max, max, owner, { fileBlock }) : undefined;
    };
  }

  /** Everything is made: the last names are entered, and blocks that nobody took go back. Throws EEXIST, ENOSPC. */
  end(): void {
    for (const objects of this.#directories.values()) objects.nameAll();
    for (const run of this.#runs) run?.close(this.#tx);
  }

  #run(ag: number, near: number): ReservedRun | undefined {
    const blocks = this.#blocks[ag]!;
    if (blocks === 0) return this.#runs[ag];
    this.#blocks[ag] = 0;
    const tx = this.#tx;
    const { geometry } = tx;
    const run = ReservedRun.open(this.#editor.space, tx, blocks, blocks, near);
    // What was freed a moment ago is not for data yet: then every file looks for itself.
    if (run && tx.freedIn?.(geometry.fsBlockToDaddr(run.next), blocks * geometry.blockSize)) run.close(tx);
    else this.#runs[ag] = run;
    return this.#runs[ag];
  }
}
