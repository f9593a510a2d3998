/**
 * What verdicts do to forks, gathered until all are known: then room is found for the copies, bytes are copied on the plan,
 * and every fork that changes is handed on as it shall be.
 *
 * 1. Nothing is taken before the last verdict, and homes that somebody goes back to are taken out of free space first.
 * 2. When there is not enough room for all copies, nothing is changed and the shortage is thrown.
 */
import type { Geometry } from '../../../formats/geometry.ts';
import type { FreeMap } from '../groups/free-map.ts';
import { ForkExtents } from '../pending.ts';
import type { RepairState } from '../state.ts';

/** Where a stretch of a fork shall be. */
interface Edit {
  readonly fileBlock: number;
  readonly blockCount: number;
  /** fs block to map, or -1: none. */
  target: number;
  /** fs block whose bytes are copied into new blocks, -1: none. */
  readonly source: number;
  /** New blocks without content. */
  readonly fresh: boolean;
  /** State of a target; undefined: as the fork had it. */
  readonly unwritten?: boolean;
}

interface ForkEdits {
  readonly inode: number;
  readonly attr: boolean;
  readonly edits: Edit[];
}

export class Edits {
  readonly #geometry: Geometry;
  readonly #forks = new Map<string, ForkEdits>();

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** No fork changes. */
  get isEmpty(): boolean {
    return this.#forks.size === 0;
  }

  /** Write the fork anew as it is. */
  rewrite(inode: number, attr: boolean): void {
    this.#of(inode, attr);
  }
  /** Nothing is mapped there. */
  hole(inode: number, attr: boolean, fileBlock: number, blockCount: number): void {
    this.#of(inode, attr).push({ fileBlock, blockCount, target: -1, source: -1, fresh: false });
  }
  /** These blocks are mapped there. @param target fs block. */
  map(inode: number, attr: boolean, fileBlock: number, blockCount: number, target: number, unwritten: boolean): void {
    this.#of(inode, attr).push({ fileBlock, blockCount, target, source: -1, fresh: false, unwritten });
  }
  /** New blocks with the bytes of others. @param source fs block. */
  copy(inode: number, attr: boolean, fileBlock: number, blockCount: number, source: number): void {
    this.#of(inode, attr).push({ fileBlock, blockCount, target: -1, source, fresh: false });
  }
  /** New unwritten blocks. */
  renew(inode: number, attr: boolean, fileBlock: number, blockCount: number): void {
    this.#of(inode, attr).push({ fileBlock, blockCount, target: -1, source: -1, fresh: true });
  }

  #of(inode: number, attr: boolean): Edit[] {
    const key = `${inode}${attr}`;
    let fork = this.#forks.get(key);
    if (!fork) {
      fork = { inode, attr, edits: [] };
      this.#forks.set(key, fork);
    }
    return fork.edits;
  }

  /** Carry everything out. @param extentsOf the forks as they were. Throws `noSpace`; then nothing was done. */
  apply(state: RepairState, extentsOf: (inode: number, attr: boolean) => ForkExtents): void {
    const { free } = state;
    let wanted = 0;
    for (const { edits } of this.#forks.values()) {
      for (const { target, blockCount, source, fresh } of edits) {
        if (target >= 0) {
          const ag = this.#geometry.agOfFsBlock(target);
          free.exclude(ag, this.#geometry.agBlockOfFsBlock(target), blockCount);
        } else if (source >= 0 || fresh) wanted += blockCount;
      }
    }
    if (wanted > free.available) throw free.shortage(wanted - free.available);
    const changed: { fork: ForkEdits; extents: ForkExtents }[] = [];
    for (const fork of this.#forks.values()) {
      const placed = fork.edits.flatMap((edit) => this.#place(state, free, edit));
      placed.sort((a, b) => a.fileBlock - b.fileBlock);
      changed.push({ fork, extents: edited(extentsOf(fork.inode, fork.attr), placed) });
    }
    for (const { fork, extents } of changed) state.setFork({ inode: fork.inode, attr: fork.attr, extents });
  }

  /** Find new blocks for an edit that needs some. */
  #place(state: RepairState, free: FreeMap, edit: Edit): Edit[] {
    const { fileBlock, blockCount, source, fresh } = edit;
    if (source < 0 && !fresh) return [edit];
    const { blockSize } = this.#geometry;
    const placed: Edit[] = [];
    let done = 0;
    for (const run of free.takeAll(blockCount, source < 0 ? undefined : source)) {
      placed.push({ fileBlock: fileBlock + done, blockCount: run.blockCount, target: run.fsBlock, source: -1, fresh });
      if (source >= 0) {
        const from = this.#geometry.fsBlockToByte(source + done);
        state.plan.copy(from, this.#geometry.fsBlockToByte(run.fsBlock), run.blockCount * blockSize);
        state.copies.push({ from: source + done, to: run.fsBlock, blockCount: run.blockCount });
      }
      done += run.blockCount;
    }
    return placed;
  }
}

/** Extents with stretches replaced. Edits are sorted and do not overlap; what a fork does not map is not edited. */
export function edited(extents: ForkExtents, edits: readonly Edit[]): ForkExtents {
  const out = new ForkExtents();
  let next = 0;
  for (let i = 0; i < extents.length; i++) {
    const start = extents.startBlock[i]!;
    const first = extents.fileBlock[i]!;
    const end = first + extents.blockCount[i]!;
    const unwritten = extents.unwritten[i]!;
    let at = first;
    while (next < edits.length && edits[next]!.fileBlock + edits[next]!.blockCount <= at) next++;
    for (let e = next; e < edits.length && edits[e]!.fileBlock < end; e++) {
      const edit = edits[e]!;
      const from = Math.max(at, edit.fileBlock);
      const to = Math.min(end, edit.fileBlock + edit.blockCount);
      if (to <= from) continue;
      if (from > at) out.push(at, start + (at - first), from - at, unwritten);
      if (edit.target >= 0) {
        const state = edit.unwritten ?? (unwritten || edit.fresh);
        out.push(from, edit.target + (from - edit.fileBlock), to - from, state);
      }
      at = to;
    }
    if (at < end) out.push(at, start + (at - first), end - at, unwritten);
  }
  return out;
}
