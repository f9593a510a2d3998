/**
 * Deduplication: blocks of equal content become shared.
 *
 * 1. Fingerprints only say what may be equal; two runs are shared when every byte was compared, read from the image.
 * 2. Each step is a transaction that leaves a consistent image, and no content or time changes: a run that is ended in the
 *    middle loses nothing, the next one goes on where it stopped.
 * 3. It ends when nothing more is gained, so a second run saves nothing.
 */
import { INODE_FLAG } from '../../formats/inode.ts';
import { atPath } from '../clone/clone-tree.ts';
import { SharingLedger } from '../clone/ledger.ts';
import { assertReflink, shareStep, shareWhole } from '../clone/share.ts';
import { CadastreError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { type Editor, isLogFull } from '../volume/editor.ts';
import { findPaths } from '../volume/find-paths.ts';
import { forEachInode, systemInodes } from '../volume/inodes.ts';
import { walkTree } from '../volume/walk.ts';
import { BlockIndex } from './block-index.ts';
import { planRuns, type Run } from './match.ts';
import { Window } from './window.ts';

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
/** Compared at once: two of them stay in the processor's cache. */
const COMPARE_BYTES = 256 << 10;
/** Runs up to this many blocks take their place in one transaction with others, so many of them. */
const SHORT_BLOCKS = 64;
const MOST_SHORT = 256;
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

/** Blocks [first, end) of one file for those `shift` further on in another: compared, and equal. */
interface Equal {
  readonly from: number;
  readonly to: number;
  readonly first: number;
  readonly end: number;
  readonly shift: number;
}

class Dedupe {
  readonly #editor: Editor;
  readonly #options: DedupeOptions;
  readonly #index: BlockIndex;
  readonly #blockSize: number;
  readonly #minBlocks: number;
  readonly #left: Window;
  readonly #right: Window;
  /** Short runs that wait for a transaction, and how many of them one may take. */
  #short: Equal[] = [];
  readonly #seen = new Set<number>();
  #mostShort = MOST_SHORT;
  readonly #result: DedupeResult = { files: 0, bytes: 0, runs: 0, sharedBytes: 0, savedBytes: 0, different: 0 };

  constructor(editor: Editor, options: DedupeOptions) {
    this.#editor = editor;
    this.#options = options;
    this.#index = new BlockIndex(editor);
    this.#left = new Window(editor.data, COMPARE_BYTES);
    this.#right = new Window(editor.data, COMPARE_BYTES);
    this.#blockSize = editor.volume.geometry.blockSize;
    this.#minBlocks = Math.max(1, Math.ceil((options.minBytes ?? DEFAULT_MIN_BYTES) / this.#blockSize));
  }

  run(starts: readonly DedupeStart[]): DedupeResult {
    const { space, volume } = this.#editor;
    this.#collect(starts);
    const before = space.countFree(volume.cache);
    for (let pass = 0; pass < MOST_PASSES; pass++) {
      if (pass > 0) this.#index.refresh();
      const runs = planRuns(this.#index, this.#minBlocks, SHORT_BLOCKS);
      let total = 0;
      for (const run of runs) total += run.count * this.#blockSize;
      let done = 0;
      let gained = 0;
      for (const run of runs) {
        gained += this.#shareEqual(run);
        done += run.count * this.#blockSize;
        this.#options.progress?.('share', done, total);
      }
      this.#shareShort();
      if (gained === 0) break;
    }
    this.#result.savedBytes = (space.countFree(volume.cache) - before) * this.#blockSize;
    return this.#result;
  }

  #collect(starts: readonly DedupeStart[]): void {
    const { volume } = this.#editor;
    const whole = starts.find(({ inode }) => inode.number === volume.geometry.rootInode);
    if (whole) this.#collectAll();
    else {
      for (const { inode, path } of starts) {
        const failed = (error: unknown): void => this.#tell(error, path);
        if (!inode.isDirectory) this.#trying(inode, failed);
        else {
          walkTree(volume, inode, path, {
            enter: ({ inode: each, path: at }) => {
              this.#trying(each, (error) => this.#tell(error, at));
              return true;
            },
            failed: (error, at) => this.#tell(error, at),
          });
        }
      }
    }
    this.#result.files = this.#index.inodes.length;
    this.#result.bytes = this.#index.count * this.#blockSize;
  }

  /** All files of the image: in the order of the disk, without looking at names. */
  #collectAll(): void {
    const { volume } = this.#editor;
    const system = systemInodes(volume);
    const failures: unknown[] = [];
    const failed = (error: unknown): void => {
      if (!this.#isTold(error)) throw error;
      failures.push(error);
    };
    forEachInode(volume, {
      visit: (inode) => {
        if (inode.core.nlink > 0 && !system.has(inode.number)) this.#trying(inode, failed);
      },
      failed,
    });
    const wanted = new Set<number>();
    for (const error of failures) if (error instanceof CadastreError) wanted.add(error.where.inode ?? -1);
    const paths = failures.length > 0 ? findPaths(volume, wanted) : undefined;
    for (const error of failures) {
      const inode = error instanceof CadastreError ? error.where.inode : undefined;
      this.#tell(error, inode === undefined ? undefined : paths?.get(inode));
    }
  }

  /** Index a file, unless it cannot or may not share blocks, or was met before. */
  #trying(inode: Inode, failed: (error: unknown) => void): void {
    // As the kernel: blocks of an immutable file are not exchanged, even for equal ones.
    const isLeftOut = (inode.core.flags & (INODE_FLAG.REALTIME | INODE_FLAG.IMMUTABLE)) !== 0;
    if (!inode.isFile || isLeftOut || inode.size === 0 || this.#seen.has(inode.number)) return;
    this.#seen.add(inode.number);
    try {
      this.#index.add(inode);
    } catch (error) {
      failed(error instanceof CadastreError ? withInode(error, inode.number) : error);
    }
    this.#options.progress?.('index', this.#index.count * this.#blockSize, undefined);
  }

  #isTold(error: unknown): boolean {
    return error instanceof CadastreError && error.family === 'corrupt' && this.#options.failed !== undefined;
  }

  #tell(error: unknown, path: Uint8Array | undefined): void {
    const named = path ? atPath(error, path) : error;
    if (!(named instanceof CadastreError) || !this.#isTold(named)) throw named;
    this.#options.failed?.(named);
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
    const left = this.#left.words(geometry.fsBlockToByte(a), length);
    const right = this.#right.words(geometry.fsBlockToByte(b), length);
    const words = length / 4;
    for (let i = 0; i < words; i++) {
      if (left[i] !== right[i]) return Math.floor((4 * i) / this.#blockSize);
    }
    return count;
  }

  /** @returns blocks that will be shared, at the latest with `#shareShort`, and were not before. */
  #share({ source, target }: Run, skip: number, count: number): number {
    const { inodes, file, fileBlock, place } = this.#index;
    let fresh = 0;
    for (let i = skip; i < skip + count; i++) if (place[source + i] !== place[target + i]) fresh++;
    if (fresh === 0) return 0;
    const first = fileBlock[source]! + skip;
    const equal: Equal = {
      from: inodes[file[source]!]!,
      to: inodes[file[target]!]!,
      first,
      end: first + count,
      shift: fileBlock[target]! - fileBlock[source]!,
    };
    if (count > SHORT_BLOCKS) {
      this.#shareShort();
      this.#inSteps(equal);
    } else {
      this.#short.push(equal);
      if (this.#short.length >= this.#mostShort) this.#shareShort();
    }
    this.#result.runs++;
    this.#result.sharedBytes += fresh * this.#blockSize;
    return fresh;
  }

  #inSteps({ from, to, first, end, shift }: Equal): void {
    const editor = this.#editor;
    for (let at = first; at < end; ) {
      at = editor.transactSized((tx, units) => shareStep(editor, tx, from, to, at, end, shift, units));
    }
  }

  /** All short runs that wait, in one transaction; in steps where log or image have no room for that. */
  #shareShort(): void {
    const editor = this.#editor;
    const waiting = this.#short;
    if (waiting.length === 0) return;
    this.#short = [];
    try {
      editor.transact((tx) => {
        const ledger = new SharingLedger();
        for (const { from, to, first, end, shift } of waiting) {
          shareWhole(editor, tx, from, to, first, end, shift, ledger);
        }
        ledger.settle(tx, editor.space);
      });
    } catch (error) {
      // A full image may still have room for one at a time: each gives blocks back.
      if (!(error instanceof CadastreError) || error.family !== 'no-space') throw error;
      if (isLogFull(error)) this.#mostShort = Math.max(1, waiting.length >> 2);
      for (const each of waiting) this.#inSteps(each);
    }
  }
}

function withInode(error: CadastreError, inode: number): CadastreError {
  if (error.where.inode !== undefined) return error;
  const { family, code, message, where, expected, found } = error;
  return new CadastreError(family, code, message, { where: { ...where, inode }, expected, found, cause: error });
}
