/**
 * Which runs of blocks are worth sharing: entries of a block index whose fingerprints say that they may be equal.
 *
 * Entries are taken in order. Each is either a *root*, whose block stays where it is, or part of a *run* that is to share
 * the blocks of a run of earlier roots:
 *
 *     file A   r1 r2 r3 r4          roots
 *     file B   x  r2 r3 y           r2 r3 of B become those of A when two blocks are long enough
 *
 * 1. A run counts when it is as long as asked, or is a whole file: short ones would only cut extents to pieces.
 * 2. A block that an earlier entry keeps is not moved for one of its later owners: nothing would be freed.
 */
import type { BlockIndex } from './block-index.ts';

/** `count` entries from `target` on shall share the blocks of those from `source` on. */
export interface Run {
  readonly source: number;
  readonly target: number;
  readonly count: number;
}

/** Roots of the same fingerprint that are tried. */
const MOST_CANDIDATES = 32;

/**
 * @param minBlocks shortest run. @param shortBlocks runs up to this length are short.
 * @returns runs: the longest first, the short ones behind them in the order in which they lie on the disk, so that neighbours are
 * read together.
 */
export function planRuns(index: BlockIndex, minBlocks: number, shortBlocks: number): Run[] {
  const { place } = index;
  const runs = new Matcher(index).plan(minBlocks);
  return runs.sort((a, b) => {
    if (a.count > shortBlocks || b.count > shortBlocks) return b.count - a.count || a.target - b.target;
    return place[a.target]! - place[b.target]! || a.target - b.target;
  });
}

class Matcher {
  readonly #index: BlockIndex;
  /** Hash table of roots: newest of each bucket, and the one before each. */
  readonly #newest: Int32Array;
  readonly #before: Int32Array;
  readonly #mask: number;
  readonly #isRoot: Uint8Array;
  /** Shared blocks that a root keeps. */
  readonly #kept = new Set<number>();

  constructor(index: BlockIndex) {
    this.#index = index;
    let size = 1024;
    while (size < 2 * index.count) size *= 2;
    this.#mask = size - 1;
    this.#newest = new Int32Array(size).fill(-1);
    this.#before = new Int32Array(index.count);
    this.#isRoot = new Uint8Array(index.count);
  }

  plan(minBlocks: number): Run[] {
    const { count, hash, place, shared, file, starts } = this.#index;
    const runs: Run[] = [];
    for (let at = 0; at < count; ) {
      if (shared[at] && this.#kept.has(place[at]!)) {
        at++;
        continue;
      }
      let best = 0;
      let source = -1;
      let tried = 0;
      for (let root = this.#newest[hash[at]! & this.#mask]!; root >= 0; root = this.#before[root]!) {
        if (hash[root] !== hash[at]) continue;
        const length = this.#matchLength(root, at);
        if (length > best) {
          best = length;
          source = root;
        }
        if (++tried === MOST_CANDIDATES) break;
      }
      const isWholeFile = at === starts[file[at]!] && at + best === starts[file[at]! + 1];
      if (best > 0 && (best >= minBlocks || isWholeFile)) {
        runs.push({ source, target: at, count: best });
        at += best;
      } else this.#keep(at++);
    }
    return runs;
  }

  #keep(at: number): void {
    const { hash, place, shared } = this.#index;
    const bucket = hash[at]! & this.#mask;
    this.#before[at] = this.#newest[bucket]!;
    this.#newest[bucket] = at;
    this.#isRoot[at] = 1;
    if (shared[at]) this.#kept.add(place[at]!);
  }

  /** Entries from `root` and from `at` on that may be equal, both without gaps in their file. */
  #matchLength(root: number, at: number): number {
    const { count, file, fileBlock, hash, place, shared } = this.#index;
    let length = 0;
    for (let a = root, b = at; a < at && b < count; a++, b++, length++) {
      if (!this.#isRoot[a] || hash[a] !== hash[b] || file[a] !== file[root] || file[b] !== file[at]) break;
      if (fileBlock[a] !== fileBlock[root]! + length || fileBlock[b] !== fileBlock[at]! + length) break;
      if (shared[b] && place[a] !== place[b] && this.#kept.has(place[b]!)) break;
    }
    return length;
  }
}
