/**
 * Defragmentation: files in fewer extents, with the same content, times and sharing.
 *
 *     plan -> find a free run -> copy -> compare with the plan -> exchange in one transaction, or a chain of whole steps
 *
 * 1. The donor is a run of free space, not a file: until the exchange nothing on the disk says that anything happens, so
 *    whatever ends the work leaves files whole and nothing to clean up. A second run goes on.
 * 2. No file ever gets worse. Blocks that several files have move once, for all of them; a move that would tear another file
 *    is left out and reported. The file with most blocks comes first, so that it has the say.
 * 3. Worst files first.
 */
import { FORMAT, INODE_FLAG } from '../../formats/inode.ts';
import { NULL64 } from '../../formats/struct.ts';
import { CadastreError } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import { type FreeSpaceLayout, freeSpaceLayout } from '../frag/free-space.ts';
import { SharingUnits } from '../frag/held-apart.ts';
import { forkLayout, longestExtent } from '../frag/ideal.ts';
import type { Editor } from '../volume/editor.ts';
import { findPaths } from '../volume/find-paths.ts';
import { forEachInode } from '../volume/inodes.ts';
import { walkTree } from '../volume/walk.ts';
import { BlockCopier } from './copy.ts';
import { FreeRuns } from './free-runs.ts';
import { type JoinedGroup, joinFreeSpace } from './free-space.ts';
import { Disturbed, FileChanged, InodeGuard, RunTaken } from './guards.ts';
import { tidyInode } from './metadata.ts';
import { Moves, NO_MOVES } from './moves.ts';
import { type Candidate, type Groups, inOrder } from './order.ts';
import { type Owners, openOwners } from './owners.ts';
import { blocksOf, joinableRows, joinsOf, smallerLists, stretches } from './plan.ts';
import { type Exchange, Remapper } from './remap.ts';
import type {
  DefraggedFile,
  DefragOptions,
  DefragProgress,
  DefragReport,
  LayoutConflict,
  SkipReason,
} from './report.ts';
import { type RunList, readRuns } from './run-list.ts';

const DEFAULT_MIN_EXTENTS = 2;
/** Plans made for one file while others get its blocks. */
const MOST_ATTEMPTS = 3;
/** How often files that found no room are tried again after free space was joined. */
const MOST_ROUNDS = 3;

/** Defragment to the end. See `Defrag`. */
export function defrag(editor: Editor, options: DefragOptions = {}): DefragReport {
  const work = new Defrag(editor, options);
  for (const _ of work.steps()) {
    // nobody watches
  }
  return work.report;
}

/** A run that can be watched and stopped: step through `steps`, stop anywhere, then look at `report`. */
export class Defrag {
  readonly #editor: Editor;
  readonly #options: DefragOptions;
  readonly #runs: FreeRuns;
  readonly #copier: BlockCopier;
  readonly #remapper: Remapper;
  readonly #longest: number;
  readonly #waiting = new Map<number, Candidate>();
  readonly #before: FreeSpaceLayout;
  #joined: JoinedGroup[] = [];
  /** Inodes with blocks for directories, attributes or extent trees. */
  readonly #withMetadata: number[] = [];
  readonly #metadata: DefragReport['metadata'] = { inodes: 0, bytesMoved: 0, skipped: [] };
  #groups: Groups | undefined;
  #owners: Owners | undefined;
  #ownersSeen = -1;
  #bytesDone = 0;
  #bytesTotal = 0;
  readonly #files = new Map<number, DefraggedFile>();
  readonly #conflicts: LayoutConflict[] = [];
  readonly #totals = { files: 0, extentsBefore: 0, ideal: 0, bytesMoved: 0 };
  /** The last file that could not get better because of others: its clones cannot either. */
  #stuck: { runs: RunList; commits: number } | undefined;
  /** Extents, before anything was done, of the files that could get fewer: fragmented ones, and who shares their blocks. */
  readonly #extentsBefore = new Map<number, number>();

  constructor(editor: Editor, options: DefragOptions = {}) {
    this.#editor = editor;
    this.#options = options;
    this.#runs = new FreeRuns(editor);
    this.#copier = new BlockCopier(editor, this.#runs);
    this.#remapper = new Remapper(editor, options.stepLimit);
    this.#longest = longestExtent(editor.volume.geometry);
    this.#before = freeSpaceLayout(editor.volume);
  }

  /** Who has shared blocks, as it is now: what is remembered holds until somebody else commits a transaction. */
  #allOwners(): Owners {
    const { commits } = this.#editor.journal;
    if (!this.#owners || commits !== this.#ownersSeen) {
      this.#owners = openOwners(this.#editor.volume);
      this.#ownersSeen = commits;
    }
    return this.#owners;
  }

  /**
   * The work, in pieces. Between two of them every file is whole and no transaction is open. Throws `corrupt` for damage
   * that is not that of one file ("run check").
   */
  *steps(): Generator<DefragProgress, void, undefined> {
    this.#collect();
    yield* this.#allFiles();
    // Files that were done have left room for those that had to be cut.
    for (let round = 0, before = 0; round < MOST_ROUNDS && before !== this.#extentsNow(); round++) {
      before = this.#extentsNow();
      this.#retry();
      yield* this.#allFiles();
    }
    yield* this.#makeRoom();
    if (this.#options.metadata) yield* this.#allMetadata();
    if (this.#options.freeSpace) this.#joined = yield* this.#joinFreeSpace();
  }

  /** Files that found no room get it: free space is joined, as much of it as they need, and they are tried again. */
  *#makeRoom(): Generator<DefragProgress, void, undefined> {
    // Whoever names files does not want all others to be moved about, unless for the free space.
    if (this.#options.paths && !this.#options.freeSpace) return;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      this.#retry();
      let wanted = 0;
      for (const { blocks } of this.#waiting.values()) wanted += blocks;
      if (wanted === 0) return;
      try {
        yield* this.#joinFreeSpace(wanted);
      } catch (error) {
        // What can be read of a damaged image was put in order; only who wants more must hear that there is none.
        if (this.#options.freeSpace || !(error instanceof CadastreError) || error.code !== 'RUN_CHECK') throw error;
        this.#waiting.clear();
        return;
      }
      const before = this.#extentsNow();
      yield* this.#allFiles();
      if (this.#extentsNow() === before) return;
    }
  }

  /** Every file that waits, the worst first. */
  *#allFiles(): Generator<DefragProgress, void, undefined> {
    const order = inOrder(this.#waiting.values(), this.#sharingGroups());
    const { blockSize } = this.#editor.volume.geometry;
    this.#bytesTotal = this.#bytesDone;
    for (const { blocks } of order) this.#bytesTotal += blocks * blockSize;
    for (const next of order) {
      this.#waiting.delete(next.inode);
      const goal = this.#bytesDone + next.blocks * blockSize;
      for (const _ of this.#file(next)) yield this.#progress();
      this.#bytesDone = goal;
      yield this.#progress();
    }
  }

  /** Files that share blocks; undefined when none that waits does. */
  #sharingGroups(): Groups | undefined {
    const { volume } = this.#editor;
    for (const inode of this.#groups ? [] : this.#waiting.keys()) {
      if (!volume.inode(inode).isReflink) continue;
      this.#groups = this.#allOwners().groups();
      break;
    }
    return this.#groups;
  }

  /** Files that found no room wait again. */
  #retry(): void {
    for (const entry of this.#files.values()) {
      if (entry.skipped !== 'no-room') continue;
      const { inode, path, ideal } = entry;
      const extents = entry.extentsAfter;
      const blocks = this.#editor.volume.inode(inode).core.nblocks;
      this.#waiting.set(inode, { inode, path, extents, ideal, blocks });
    }
  }

  *#allMetadata(): Generator<DefragProgress, void, undefined> {
    const { volume } = this.#editor;
    for (const number of this.#withMetadata) {
      if (this.#mustStay(volume.inode(number))) continue;
      try {
        const bytes = tidyInode(this.#editor, this.#runs, number);
        this.#metadata.inodes += bytes > 0 ? 1 : 0;
        this.#metadata.bytesMoved += bytes;
      } catch (error) {
        const isPassing = error instanceof RunTaken || (error instanceof CadastreError && error.family === 'no-space');
        if (!isPassing) throw error;
        this.#metadata.skipped.push({ path: undefined, inode: number });
      }
      yield this.#progress();
    }
  }

  *#joinFreeSpace(wanted?: number): Generator<DefragProgress, JoinedGroup[], undefined> {
    const tools = {
      editor: this.#editor,
      copier: this.#copier,
      remapper: this.#remapper,
      runs: this.#runs,
      mustStay: (inode: Inode) => this.#mustStay(inode) !== undefined,
      moved: (bytes: number) => {
        this.#bytesDone += bytes;
        this.#totals.bytesMoved += bytes;
      },
    };
    const steps = joinFreeSpace(tools, wanted);
    let step = steps.next();
    for (; !step.done; step = steps.next()) yield this.#progress();
    return step.value;
  }

  #progress(): DefragProgress {
    return { bytesDone: this.#bytesDone, bytesTotal: this.#bytesTotal };
  }

  /** What was done until now. Reads names and free space. */
  get report(): DefragReport {
    const { volume } = this.#editor;
    const named = [...this.#files.values(), ...this.#conflicts, ...this.#metadata.skipped];
    const nameless = named.filter(({ path }) => path === undefined);
    if (nameless.length > 0) {
      const paths = findPaths(volume, new Set(nameless.map(({ inode }) => inode)));
      for (const each of nameless) each.path = paths.get(each.inode);
    }
    return {
      files: [...this.#files.values()],
      totals: { ...this.#totals, extentsAfter: this.#extentsNow(), heldApart: this.#heldApart() },
      conflicts: this.#conflicts,
      metadata: this.#metadata,
      freeSpace: { before: this.#before, after: freeSpaceLayout(volume), groups: this.#joined },
    };
  }

  #extentsNow(): number {
    let extents = this.#totals.extentsBefore;
    for (const [number, before] of this.#extentsBefore) {
      extents += new Fork(this.#editor.volume.inode(number), 'data').extentCount - before;
    }
    return extents;
  }

  #heldApart(): number {
    const { volume } = this.#editor;
    let units: SharingUnits | undefined;
    let extents = 0;
    for (const number of this.#extentsBefore.keys()) {
      const inode = volume.inode(number);
      const fork = new Fork(inode, 'data');
      if (!inode.isReflink || fork.extentCount < 2) continue;
      units ??= new SharingUnits(volume);
      extents += units.heldApart(fork);
    }
    return extents;
  }

  // ---- which files

  #collect(): void {
    const { volume } = this.#editor;
    const failed = (error: CadastreError): void => {
      if (!this.#options.failed) throw error;
      this.#options.failed(error);
    };
    const { paths } = this.#options;
    if (!paths) {
      forEachInode(volume, { visit: (inode) => this.#consider(inode, undefined), failed });
      return;
    }
    const seen = new Set<number>();
    for (const path of paths) {
      walkTree(volume, volume.resolve(path, false), path, {
        enter: ({ inode, path: at }) => {
          if (seen.has(inode.number)) return !inode.isDirectory;
          seen.add(inode.number);
          try {
            this.#consider(inode, at);
          } catch (error) {
            if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
            failed(error);
          }
          return true;
        },
        failed,
      });
    }
  }

  #consider(inode: Inode, path: Uint8Array | undefined): void {
    if (this.#options.metadata && hasMetadata(inode)) this.#withMetadata.push(inode.number);
    if (!inode.isFile) return;
    const { extents, ideal } = forkLayout(new Fork(inode, 'data'));
    const totals = this.#totals;
    totals.files++;
    totals.extentsBefore += extents;
    totals.ideal += ideal;
    if (extents > ideal || (inode.isReflink && extents > 1)) this.#extentsBefore.set(inode.number, extents);
    if (extents <= ideal || extents < (this.#options.minExtents ?? DEFAULT_MIN_EXTENTS)) return;
    const candidate = { inode: inode.number, path, extents, ideal, blocks: inode.core.nblocks };
    const skipped = this.#mustStay(inode);
    if (skipped) this.#files.set(inode.number, this.#entry(candidate, skipped));
    else this.#waiting.set(inode.number, candidate);
  }

  #entry({ inode, path, extents, ideal }: Candidate, skipped?: SkipReason): DefraggedFile {
    const entry: DefraggedFile = {
      path,
      inode,
      extentsBefore: extents,
      extentsAfter: extents,
      ideal,
      bytesMoved: 0,
    };
    if (skipped) entry.skipped = skipped;
    return entry;
  }

  /** Somebody wants the blocks of this file to stay where they are, or they are no file data. */
  #mustStay(inode: Inode): SkipReason | undefined {
    const { flags } = inode.core;
    if ((flags & INODE_FLAG.REALTIME) !== 0) return 'realtime';
    if ((flags & INODE_FLAG.NODEFRAG) !== 0) return 'no-defrag';
    if ((flags & INODE_FLAG.IMMUTABLE) !== 0) return 'immutable';
    if ((flags & INODE_FLAG.APPEND) !== 0) return 'append-only';
    const { rbmino, rsumino, uquotino, gquotino, pquotino } = this.#editor.volume.superblock;
    const special = [rbmino, rsumino, uquotino, gquotino, pquotino].filter((each) => each !== 0 && each !== NULL64);
    return special.includes(inode.number) ? 'file-system' : undefined;
  }

  /** Other files that have any of these rows' blocks. */
  #sharers(inode: Inode, runs: RunList, isWanted: (row: number) => boolean): Set<number> {
    const { space, volume } = this.#editor;
    const found = new Set<number>();
    for (let row = 0; row < runs.length; row++) {
      if (!isWanted(row)) continue;
      space.sharedRuns(volume.cache, runs.start[row]!, runs.count[row]!, (start, count) => {
        this.#allOwners().forEach(volume.cache, start, count, (number) => {
          if (number !== inode.number) found.add(number);
        });
        return undefined;
      });
    }
    return found;
  }

  // ---- one file

  *#file(candidate: Candidate): Generator<void, void, undefined> {
    const fork = new Fork(this.#editor.volume.inode(candidate.inode), 'data');
    const now = forkLayout(fork);
    // It got better when another file that shares its blocks did.
    const entry = this.#files.get(candidate.inode) ?? this.#entry(candidate);
    this.#files.set(candidate.inode, entry);
    delete entry.skipped;
    try {
      if (now.extents > now.ideal) yield* this.#improve(entry);
    } catch (error) {
      if (error instanceof FileChanged || error instanceof Disturbed) entry.skipped = 'changed';
      else if (error instanceof RunTaken) entry.skipped = 'no-room';
      else if (!(error instanceof CadastreError)) throw error;
      else if (error.family === 'no-space')
        entry.skipped = error.where.field === 'LOG_FULL' ? 'log-too-small' : 'no-room';
      else if (error.code === 'DATA_CHECKSUM') {
        entry.skipped = 'damaged';
        entry.error = error;
      } else throw error;
    } finally {
      entry.extentsAfter = new Fork(this.#editor.volume.inode(candidate.inode), 'data').extentCount;
    }
  }

  *#improve(entry: DefraggedFile): Generator<void, void, undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        yield* this.#joinRows(entry);
        return;
      } catch (error) {
        // The free list may take blocks of the run between two transactions: plan anew.
        if (!(error instanceof RunTaken) || attempt === MOST_ATTEMPTS) throw error;
      }
    }
  }

  *#joinRows(entry: DefraggedFile): Generator<void, void, undefined> {
    const { volume } = this.#editor;
    const { geometry } = volume;
    let runs = readRuns(new Fork(volume.inode(entry.inode), 'data'));
    const { commits } = this.#editor.journal;
    if (this.#stuck?.commits === commits && this.#stuck.runs.equals(runs)) {
      entry.skipped = 'conflict';
      return;
    }
    const fixed = new Set<number>();
    let isCut = false;
    const isTwice = volume.inode(entry.inode).isReflink && hasBlocksTwice(runs);
    let queue: number[][] = [joinableRows(runs, this.#longest)];
    for (let rows = queue.shift(); rows; rows = queue.shift()) {
      if (joinsOf(runs, rows) === 0) continue;
      const blocks = blocksOf(runs, rows);
      const home = geometry.agOfFsBlock(runs.start[rows[0]!]!);
      const isAllHome = rows.every((row) => geometry.agOfFsBlock(runs.start[row]!) === home);
      const run = this.#runs.find(blocks, home, isAllHome);
      if (!run) {
        const room = Math.min(this.#runs.longest(home, isAllHome), blocks - 1);
        isCut = true;
        queue.unshift(...smallerLists(runs, rows, room));
        continue;
      }
      const exchange = this.#exchange(entry.inode, runs, rows, run.fsBlock, isAllHome, fixed);
      if (!exchange) {
        // Something must stay: what is left of the list, piece by piece.
        queue.unshift(
          ...stretches(
            runs,
            rows.filter((row) => !fixed.has(row)),
          ),
        );
        continue;
      }
      const seen = this.#editor.journal.commits;
      for (const bytes of this.#copier.copy(exchange.moves)) {
        this.#bytesDone += bytes;
        yield;
      }
      for (const moved of this.#remapper.run(exchange, seen)) {
        entry.bytesMoved += moved * geometry.blockSize;
        this.#totals.bytesMoved += moved * geometry.blockSize;
        yield;
      }
      if (!isTwice) continue;
      // Other rows have moved along: begin anew. Each round leaves fewer extents.
      runs = readRuns(new Fork(volume.inode(entry.inode), 'data'));
      fixed.clear();
      queue = [joinableRows(runs, this.#longest)];
    }
    const { extents, ideal } = forkLayout(new Fork(volume.inode(entry.inode), 'data'));
    if (extents === ideal) return;
    if (isCut) entry.skipped = 'no-room';
    else if (fixed.size > 0) {
      entry.skipped = 'conflict';
      if (this.#editor.journal.commits === commits) this.#stuck = { runs, commits };
    }
  }

  /**
   * The exchange that lays rows of a file one behind the other at `target`; undefined when some of them must stay, which are
   * then in `fixed`.
   */
  #exchange(
    number: number,
    runs: RunList,
    rows: readonly number[],
    target: number,
    isAllHome: boolean,
    fixed: Set<number>,
  ): Exchange | undefined {
    const { volume, space } = this.#editor;
    const inode = volume.inode(number);
    const moves = new Moves();
    const fileBlocks: number[] = [];
    for (const row of rows) {
      moves.add(runs.start[row]!, target + moves.blocks, runs.count[row]!, runs.unwritten[row] === 1);
      fileBlocks.push(runs.fileBlock[row]!);
    }
    const guards = new Map([[number, new InodeGuard(inode)]]);
    const mayBeShared = inode.isReflink;
    let { commits } = this.#editor.journal;
    const exchange: Exchange = {
      moves,
      guards,
      mayBeShared,
      isAllHome,
      forEachMapping: (reader, move, start, count, visit) => {
        const shift = fileBlocks[move]! - moves.from[move]!;
        const unwritten = moves.unwritten[move]!;
        let at = start;
        if (mayBeShared) {
          space.sharedRuns(reader, start, count, (shared, length) => {
            if (shared > at) visit(number, at + shift, at, shared - at, unwritten);
            this.#allOwners().forEach(reader, shared, length, visit);
            at = shared + length;
            return undefined;
          });
        }
        if (start + count > at) visit(number, at + shift, at, start + count - at, unwritten);
      },
      moved: (done) => {
        if (this.#ownersSeen !== commits) return;
        this.#owners?.moved(done);
        this.#ownersSeen = commits = this.#editor.journal.commits;
      },
    };
    moves.close();
    if (!inode.isReflink) return exchange;
    const mustStay = new Set(moves.overlapping());
    for (let i = 0; i < moves.length; i++) {
      // Not copied, so they must not be what somebody else has written.
      if (moves.unwritten[i] && space.firstShared(volume.cache, moves.from[i]!, moves.count[i]!)) mustStay.add(i);
    }
    if (mustStay.size > 0) {
      for (const move of mustStay) fixed.add(rows[move]!);
      return undefined;
    }
    const wanted = new Set(rows);
    const others = this.#sharers(inode, runs, (row) => wanted.has(row));
    const torn = new Set<number>();
    const losers: number[] = [];
    if (moves.extentsAfter(runs, this.#longest) >= NO_MOVES.extentsAfter(runs, this.#longest)) {
      for (const row of rows) fixed.add(row);
      return undefined;
    }
    for (const other of others) {
      const sharer = volume.inode(other);
      guards.set(other, new InodeGuard(sharer));
      const theirs = readRuns(new Fork(sharer, 'data'));
      const isFixed = this.#mustStay(sharer) !== undefined;
      const isWorse = moves.extentsAfter(theirs, this.#longest) > NO_MOVES.extentsAfter(theirs, this.#longest);
      if (!isFixed && !isWorse) continue;
      losers.push(other);
      const before = torn.size;
      if (!isFixed) moves.findTears(theirs, torn);
      if (torn.size === before) moves.findShared(theirs, torn);
    }
    if (torn.size === 0) return exchange;
    for (const move of torn) fixed.add(rows[move]!);
    this.#conflict(number, torn.size, losers);
    return undefined;
  }

  #conflict(inode: number, extents: number, losers: readonly number[]): void {
    let conflict = this.#conflicts.find((each) => each.inode === inode);
    if (!conflict) {
      conflict = { path: undefined, inode, extents: 0, with: [] };
      this.#conflicts.push(conflict);
    }
    conflict.extents += extents;
    for (const loser of losers) if (!conflict.with.includes(loser)) conflict.with.push(loser);
  }
}

function hasMetadata(inode: Inode): boolean {
  const data = new Fork(inode, 'data');
  return inode.isDirectory || data.format === FORMAT.BTREE || new Fork(inode, 'attr').hasExtents;
}

/** Does a file have some of its blocks at two places? */
function hasBlocksTwice(runs: RunList): boolean {
  const all = new Moves();
  for (let i = 0; i < runs.length; i++) all.add(runs.start[i]!, 0, runs.count[i]!, false);
  return !all.close();
}
