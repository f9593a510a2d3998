/**
 * Where populate puts file data: one long run per AG, taken from free space at once and handed out piece by piece, so that
 * the trees which grow meanwhile (reverse map, checksums, inodes) do not cut files into pieces, and free space is asked
 * once per run instead of once per file.
 *
 * What a run holds back must never be missing elsewhere: an AG that gets low on free blocks takes its run back, and so does
 * the caller (`close`) before it asks for many blocks that are not file data.
 */
import type { Transaction } from '../buffer/transaction.ts';
import { inodeOwner } from '../space/owner.ts';
import { ReservedRun } from '../space/reserved-run.ts';
import type { Allocation, Space } from '../space/space.ts';

/** Longest run in bytes, and the share of an AG's longest free extent that a run may take. */
const RUN_BYTES = 64 << 20;
const RUN_SHARE = 4;
/** A shorter run is not worth taking. */
const LEAST_BLOCKS = 64;
/** An AG with fewer free blocks than this, or than this share of it, has no run. */
const LOW_BLOCKS = 1024;
const LOW_SHARE = 16;

export class DataRuns {
  readonly #space: Space;
  readonly #tx: Transaction;
  readonly #runs: (ReservedRun | undefined)[] = [];

  constructor(tx: Transaction, space: Space) {
    this.#tx = tx;
    this.#space = space;
  }

  /** Up to `max` blocks for a file in this AG, or undefined: ask free space itself. `near`: where its last data ended. */
  take(agno: number, inode: number, fileBlock: number, max: number, near: number): Allocation | undefined {
    return this.#run(agno, near)?.take(this.#tx, 1, max, inodeOwner(inode), { fileBlock });
  }

  /** Give back what was not used. */
  close(): void {
    for (const run of this.#runs) run?.close(this.#tx);
    this.#runs.length = 0;
  }

  #run(agno: number, near: number): ReservedRun | undefined {
    const { geometry } = this.#tx;
    const { freeblks, longest } = this.#space.ag(this.#tx, agno).agf;
    const open = this.#runs[agno];
    if (freeblks < Math.max(LOW_BLOCKS, geometry.agLength(agno) / LOW_SHARE)) {
      open?.close(this.#tx);
      this.#runs[agno] = undefined;
      return undefined;
    }
    if (open && open.left > 0) return open;
    const blocks = Math.min(RUN_BYTES / geometry.blockSize, Math.floor(longest / RUN_SHARE));
    this.#runs[agno] =
      blocks < LEAST_BLOCKS ? undefined : ReservedRun.open(this.#space, this.#tx, LEAST_BLOCKS, blocks, near);
    return this.#runs[agno];
  }
}
