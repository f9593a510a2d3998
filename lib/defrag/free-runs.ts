/**
 * Where data may go: runs of free space, looked for in the free-space trees and taken only by the transaction that maps them.
 * Until then the run is reserved by nothing but the order of things: a plan is carried out before the next one is made.
 *
 * 1. The shortest run that is long enough, in the AG the data is in if that has one.
 * 2. Runs whose freeing is durable come first: writing to others costs a checkpoint.
 * 3. An AG keeps what its trees may still need. Blocks that come from the same AG do not count: they are given back by the
 *    same transaction.
 */
import { forEachRecord } from '../btree/btree.ts';
import { listShortfall } from '../space/free-list.ts';
import type { Allocation } from '../space/space.ts';
import type { Editor } from '../volume/editor.ts';

/** Runs of a fitting length looked at for one whose freeing is durable. */
const LOOKED_AT = 32;
/** Blocks of an AG that a plan leaves to the transaction's own needs: free list, splits of trees. */
const SPARE = 8;

export class FreeRuns {
  readonly #editor: Editor;

  constructor(editor: Editor) {
    this.#editor = editor;
  }

  /** Blocks of an AG that moved data may take. @param isInside the data is in this AG. */
  #room(ag: number, isInside: boolean): number {
    const { space, cache } = this.#editor.volume;
    const group = space.ag(cache, ag);
    const { freeblks } = group.agf;
    return freeblks - listShortfall(group) - SPARE - (isInside ? 0 : group.heldBack);
  }

  /** AGs in the order they are tried. */
  *#ags(home: number): Iterable<number> {
    const { agCount } = this.#editor.volume.geometry;
    for (let i = 0; i < agCount; i++) yield (home + i) % agCount;
  }

  /**
   * A run of exactly `want` blocks.
   * @param home AG to prefer. @param isAllHome all of the data is there now.
   */
  find(want: number, home: number, isAllHome: boolean): Allocation | undefined {
    const { geometry, space, cache } = this.#editor.volume;
    const { journal } = this.#editor;
    let busy: Allocation | undefined;
    for (const ag of this.#ags(home)) {
      const group = space.ag(cache, ag);
      if (group.agf.longest < want || this.#room(ag, isAllHome && ag === home) < want) continue;
      const cursor = group.tree('cntbt').cursor(cache);
      let left = LOOKED_AT;
      for (let more = cursor.seekGE(want, 0); more && left > 0; more = cursor.next(), left--) {
        const fsBlock = geometry.fsBlock(ag, cursor.view.getUint32(cursor.offset));
        const run = { fsBlock, blockCount: want };
        if (!journal.isFreed(geometry.fsBlockToDaddr(fsBlock), want * geometry.blockSize)) return run;
        busy ??= run;
      }
    }
    return busy;
  }

  /** Is every block of a run free now? */
  isFree({ fsBlock, blockCount }: Allocation): boolean {
    const { geometry, space, cache } = this.#editor.volume;
    const start = geometry.agBlockOfFsBlock(fsBlock);
    const cursor = space.ag(cache, geometry.agOfFsBlock(fsBlock)).tree('bnobt').cursor(cache);
    if (!cursor.seekLE(start)) return false;
    return cursor.view.getUint32(cursor.offset) + cursor.view.getUint32(cursor.offset + 4) >= start + blockCount;
  }

  /** Blocks of the longest run that `find` would give. */
  longest(home: number, isAllHome: boolean): number {
    const { space, cache } = this.#editor.volume;
    let most = 0;
    for (const ag of this.#ags(home)) {
      const { longest } = space.ag(cache, ag).agf;
      most = Math.max(most, Math.min(longest, this.#room(ag, isAllHome && ag === home)));
    }
    return most;
  }

  /** Free runs of an AG in order. */
  forEach(ag: number, visit: (start: number, count: number) => void): void {
    const { space, cache } = this.#editor.volume;
    forEachRecord(cache, space.ag(cache, ag).tree('bnobt'), (view, offset) => {
      visit(view.getUint32(offset), view.getUint32(offset + 4));
    });
  }
}
