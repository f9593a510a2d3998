/**
 * Many small operations in few transactions: a tree of files costs far less that way.
 *
 * 1. Operations happen in the order in which they were added, each whole or not at all.
 * 2. When one of a batch throws, the batch is taken back and its operations are done one by one, so that a failure is
 *    that of one operation only; it is told to its `failed`, which may throw on.
 * 3. `run` may be called more than once: it keeps what it finds out for `done`, which is called when it has happened.
 */
import type { JournalTransaction } from '../journal/transaction.ts';
import { type Editor, isLogFull } from './editor.ts';

export interface BatchedOperation {
  run(tx: JournalTransaction): void;
  done?(): void;
  failed(error: unknown): void;
  /** Held in memory for it. */
  bytes?: number;
}

/** Around the operations of each transaction: what they can do together. */
export interface BatchHooks<Operation> {
  begin(tx: JournalTransaction, operations: readonly Operation[]): void;
  end(): void;
}

const MAX_OPERATIONS = 64;
const MAX_BYTES = 2 << 20;

export class Batch<Operation extends BatchedOperation = BatchedOperation> {
  readonly #editor: Editor;
  readonly #hooks: BatchHooks<Operation> | undefined;
  #waiting: Operation[] = [];
  #bytes = 0;
  #most = MAX_OPERATIONS;

  constructor(editor: Editor, hooks?: BatchHooks<Operation>) {
    this.#editor = editor;
    this.#hooks = hooks;
  }

  add(operation: Operation): void {
    this.#waiting.push(operation);
    this.#bytes += operation.bytes ?? 0;
    if (this.#waiting.length >= this.#most || this.#bytes > MAX_BYTES) this.flush();
  }

  /** Nothing waits. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Do everything that waits. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    const operations = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    try {
      this.#together(operations);
    } catch (error) {
      if (isLogFull(error)) this.#most = Math.max(1, this.#most >> 2);
      if (operations.length === 1) operations[0]!.failed(error);
      else for (const operation of operations) this.#single(operation);
      return;
    }
    for (const operation of operations) operation.done?.();
  }

  #together(operations: readonly Operation[]): void {
    this.#editor.transact((tx) => {
      this.#hooks?.begin(tx, operations);
      for (const operation of operations) operation.run(tx);
      this.#hooks?.end();
    });
  }

  #single(operation: Operation): void {
    try {
      this.#together([operation]);
    } catch (error) {
      operation.failed(error);
      return;
    }
    operation.done?.();
  }
}
