/** What the steps of a recovery share: the replayed image, its journal, and transactions around each step. */
import type { Geometry } from '../../formats/geometry.ts';
import type { BufferCache } from '../buffer/cache.ts';
import { corrupt } from '../errors.ts';
import type { Journal } from '../journal/journal.ts';
import type { JournalTransaction } from '../journal/transaction.ts';
import type { Space } from '../space/space.ts';

export class RecoveryContext {
  readonly geometry: Geometry;
  readonly cache: BufferCache;
  readonly space: Space;
  readonly journal: Journal;

  constructor(cache: BufferCache, space: Space, journal: Journal) {
    this.geometry = cache.geometry;
    this.cache = cache;
    this.space = space;
    this.journal = journal;
  }

  /** Do something in one transaction. When `work` throws, nothing of it has happened. */
  transact<T>(work: (tx: JournalTransaction) => T): T {
    const tx = this.journal.begin();
    try {
      const result = work(tx);
      this.journal.commit(tx);
      return result;
    } catch (error) {
      this.journal.cancel(tx);
      throw error;
    }
  }

  /** Blocks that the log names: in one AG, behind its headers, not in the log itself. */
  checkRange(fsBlock: number, blockCount: number, what: string): void {
    const { geometry } = this;
    const { logStart, logBlocks } = geometry;
    const inLog = fsBlock < logStart + logBlocks && logStart < fsBlock + blockCount;
    if (Number.isSafeInteger(fsBlock) && geometry.isFsRange(fsBlock, blockCount) && !inLog) return;
    throw corrupt('LOG_INTENT', `log: ${what} names blocks that are not there: ${fsBlock}+${blockCount}`, {
      where: { structure: 'log', block: fsBlock },
      expected: 'blocks inside one AG',
      found: `${fsBlock}+${blockCount}`,
    });
  }
}
