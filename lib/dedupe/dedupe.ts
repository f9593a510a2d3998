/**
 * Deduplication: blocks of equal content become shared.
 *
 * 1. Fingerprints only say what may be equal; two runs are shared when every byte was compared, read from the image.
 * 2. Each step is a transaction that leaves a consistent image, and no content or time changes: a run that is ended in the
 *    middle loses nothing, the next one goes on where it stopped.
 * 3. It ends when nothing more is gained, so a second run saves nothing.
 */
import { INODE_FLAG } from '../../formats/inode.ts';
import { assertReflink, shareStep } from '../clone/share.ts';
import { CadastreError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { Batch } from '../volume/batch.ts';
import { type Editor, isLogFull } from '../volume/editor.ts';
import { walkTree } from '../volume/walk.ts';
import { BlockIndex } from './block-index.ts';
import { planRuns, type Run } from './match.ts';

export interface DedupeOptions {
  /** Shortest run that is shared, in bytes; whole files are shared even when they are shorter. Default 64 KiB. */
  minBytes?: number;
  progress?: (phase: 'index' | 'share', bytesDone: number, bytesTotal: number | undefined) => void;
  /** Told of files that cannot be read; they are left out. Default: the first one ends the run. */
  failed?: (error: CadastreError) => void;
}

/** Where to look: a file, or a directory with everything below it. */
export interface DedupeStart {
  readonly inode: Inode;
  readonly path: Uint8Array;
}

export interface DedupeResult {
  /** Regular files looked at, and bytes of their written blocks. */
  files: number;
  bytes: number;
  /** Runs that were shared, and bytes in them. */
  runs: number;
  sharedBytes: number;
  /** What free space gained, less what the trees took of it. */
  savedBytes: number;
  /** Runs whose fingerprints agreed but not their bytes. */
  different: number;
}

const DEFAULT_MIN_BYTES = 64 << 10;
const COMPARE_BYTES = 1 << 20;
/** Runs up to this many blocks take their place in one transaction with others, with so many units each. */
const BATCHED_BLOCKS = 64;
const BATCHED_UNITS = 16;
/** Rounds of matching; each gains something or is the last. */
const MOST_PASSES = 16;

/**
 * Share equal blocks of all files below the starts. Throws NO_REFLINK; ENOSPC (trees may have to grow) after which what was
 * shared stays so.
 */
export function dedupe(editor: Editor, starts: readonly DedupeStart[], options: DedupeOptions = {}): DedupeResult {
  assertReflink(editor);
  return new Dedupe(editor, options).run(starts);
}

/** A short run turned out to need several steps. */
class NotAtOnce extends Error {}

class Dedupe {
  readonly #editor: Editor;
  readonly #options: DedupeOptions;
  readonly #index: BlockIndex;
  readonly #batch: Batch;
  readonly #blockSize: number;
  readonly #minBlocks: number;
  readonly #left = new Uint32Array(COMPARE_BYTES / 4);
  readonly #right = new Uint32Array(COMPARE_BYTES / 4);
  readonly #result: DedupeResult = { files: 0, bytes: 0, runs: 0, sharedBytes: 0, savedBytes: 0, different: 0 };

  constructor(editor: Editor, options: DedupeOptions) {
    this.#editor = editor;
    this.#options = options;
    this.#index = new BlockIndex(editor);
    this.#batch = new Batch(editor);
    this.#blockSize = editor.volume.geometry.blockSize;
    this.#minBlocks = Math.max(1, Math.ceil((options.minBytes ?? DEFAULT_MIN_BYTES) / this.#blockSize));
  }

  run(starts: readonly DedupeStart[]): DedupeResult {
    const { space, volume } = this.#editor;
    this.#collect(starts);
    const before = space.countFree(volume.cache);
    for (let pass = 0; pass < MOST_PASSES; pass++) {
      if (pass > 0) this.#index.refresh();
      const runs = planRuns(this.#index, this.#minBlocks);
      let total = 0;
      for (const run of runs) total += run.count * this.#blockSize;
      let done = 0;
      let gained = 0;
      for (const run of runs) {
        gained += this.#shareEqual(run);
        done += run.count * this.#blockSize;
        this.#options.progress?.('share', done, total);
      }
      this.#batch.flush();
      if (gained === 0) break;
    }
    this.#result.savedBytes = (space.countFree(volume.cache) - before) * this.#blockSize;
    return this.#result;
  }

  #collect(starts: readonly DedupeStart[]): void {
    const seen = new Set<number>();
    const failed = (error: unknown): void => {
      const isTold = error instanceof CadastreError && error.family === 'corrupt' && this.#options.failed;
      if (!isTold) throw error;
      this.#options.failed?.(error);
    };
    const add = (inode: Inode): void => {
      // As the kernel: blocks of an immutable file are not exchanged, even for equal ones.
      const isLeftOut = (inode.core.flags & (INODE_FLAG.REALTIME | INODE_FLAG.IMMUTABLE)) !== 0;
      if (!inode.isFile || isLeftOut || inode.size === 0 || seen.has(inode.number)) return;
      seen.add(inode.number);
      try {
        this.#index.add(inode);
      } catch (error) {
        failed(error);
      }
      this.#options.progress?.('index', this.#index.count * this.#blockSize, undefined);
    };
    for (const { inode, path } of starts) {
      if (!inode.isDirectory) add(inode);
      else {
        walkTree(this.#editor.volume, inode, path, {
          enter: ({ inode: each }) => {
            add(each);
            return true;
          },
          failed,
        });
      }
    }
    this.#result.files = this.#index.inodes.length;
    this.#result.bytes = this.#index.count * this.#blockSize;
  }

  /** Compare a run and share what is equal of it. @returns blocks that were shared. */
  #shareEqual(run: Run): number {
    let gained = 0;
    for (let done = 0; done < run.count; ) {
      const equal = this.#equalBlocks(run, done);
      const isWhole = equal === run.count;
      if (!isWhole && done + equal < run.count) this.#result.different++;
      if (isWhole || equal >= this.#minBlocks) gained += this.#share(run, done, equal);
      done += Math.max(1, equal + (done + equal < run.count ? 1 : 0));
    }
    return gained;
  }

  /** Blocks of a run from `skip` on that are equal byte by byte. */
  #equalBlocks({ source, target, count }: Run, skip: number): number {
    const { place } = this.#index;
    const most = Math.max(1, Math.floor(COMPARE_BYTES / this.#blockSize));
    for (let done = skip; done < count; ) {
      const a = place[source + done]!;
      const b = place[target + done]!;
      let blocks = 1;
      while (blocks < most && done + blocks < count) {
        if (place[source + done + blocks] !== a + blocks || place[target + done + blocks] !== b + blocks) break;
        blocks++;
      }
      if (a !== b) {
        const equal = this.#compare(a, b, blocks);
        if (equal < blocks) return done + equal - skip;
      }
      done += blocks;
    }
    return count - skip;
  }

  /** Blocks at the start of two ranges of the image that are equal. */
  #compare(a: number, b: number, count: number): number {
    const { geometry } = this.#editor.volume;
    const length = count * this.#blockSize;
    this.#editor.data.read(geometry.fsBlockToByte(a), new Uint8Array(this.#left.buffer, 0, length));
    this.#editor.data.read(geometry.fsBlockToByte(b), new Uint8Array(this.#right.buffer, 0, length));
    const left = this.#left;
    const right = this.#right;
    const words = length / 4;
    for (let i = 0; i < words; i++) {
      if (left[i] !== right[i]) return Math.floor((4 * i) / this.#blockSize);
    }
    return count;
  }

  /** @returns blocks that will be shared, at the latest when the batch is flushed, and were not before. */
  #share({ source, target }: Run, skip: number, count: number): number {
    const { inodes, file, fileBlock, place } = this.#index;
    let fresh = 0;
    for (let i = skip; i < skip + count; i++) if (place[source + i] !== place[target + i]) fresh++;
    if (fresh === 0) return 0;
    const from = inodes[file[source]!]!;
    const to = inodes[file[target]!]!;
    const first = fileBlock[source]! + skip;
    const shift = fileBlock[target]! - fileBlock[source]!;
    const end = first + count;
    const editor = this.#editor;
    const inSteps = (): void => {
      for (let at = first; at < end; ) {
        at = editor.transactSized((tx, units) => shareStep(editor, tx, from, to, at, end, shift, units));
      }
    };
    if (count > BATCHED_BLOCKS) {
      this.#batch.flush();
      inSteps();
    } else {
      this.#batch.add({
        run: (tx) => {
          if (shareStep(editor, tx, from, to, first, end, shift, BATCHED_UNITS) < end) throw new NotAtOnce();
        },
        failed: (error) => {
          if (!(error instanceof NotAtOnce) && !isLogFull(error)) throw error;
          inSteps();
        },
      });
    }
    this.#result.runs++;
    this.#result.sharedBytes += fresh * this.#blockSize;
    return fresh;
  }
}
