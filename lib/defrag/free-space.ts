/**
 * Joining free space: in each AG a window is chosen that holds little, everything in it moves into holes elsewhere in the AG,
 * and the window is one free run. The plan (join-plan.ts) is made on paper and then carried out move by move.
 *
 *     before   [AAA..B.C....DD.EE.....F..GG...H]
 *     window             |-------------|            as long as nearly all of the free space, the least to move
 *     after    [AAAEEBFCDD..............GG...H]
 *
 * 1. Only whole units move (ag-units.ts): no file gets more extents.
 * 2. AG headers, the log, inodes and what must stay (flags) never move. Tree blocks do, at the end: moving data changes them.
 * 3. A move that cannot be made (something took its place) is left out, and so are those of the plan that need it. What is
 *    then in the way is for the next round.
 * 4. The claims come from the checker, which also says whether the image is whole: a damaged one is refused.
 */
import { forEachActiveSlot } from '../../formats/ag-verify.ts';
import { RMAP_ATTR_FORK, RMAP_UNWRITTEN } from '../../formats/btree-blocks.ts';
import { check } from '../check/check.ts';
import type { ExtentTable } from '../check/claims.ts';
import { CadastreError, corrupt } from '../errors.ts';
import { Fork, type ForkName } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import type { TreeName } from '../space/allocation-group.ts';
import { relocateListed, relocateTreeBlock } from '../space/relocate.ts';
import type { Editor } from '../volume/editor.ts';
import { type InodeKind, type Unit, unitsOf } from './ag-units.ts';
import type { BlockCopier } from './copy.ts';
import type { FreeRuns } from './free-runs.ts';
import { Disturbed, FileChanged, InodeGuard, RunTaken } from './guards.ts';
import { Holes } from './holes.ts';
import { type FreeRun, planJoin, possibleRun } from './join-plan.ts';
import { moveForkRange, moveTreeBlock } from './move-metadata.ts';
import { Moves } from './moves.ts';
import type { Exchange, Remapper } from './remap.ts';
import { clipped, type Window } from './window.ts';

/** Rounds over the blocks of an AG's own trees: moving one may change others. */
const TREE_ROUNDS = 3;
/** Windows emptied in one AG: what moved out of one has left holes for the next. */
const MOST_ROUNDS = 4;

export interface FreeSpaceTools {
  readonly editor: Editor;
  readonly copier: BlockCopier;
  readonly remapper: Remapper;
  readonly runs: FreeRuns;
  /** Blocks of this inode must stay where they are. */
  readonly mustStay: (inode: Inode) => boolean;
  /** Told of the bytes moved. */
  readonly moved: (bytes: number) => void;
}

/** An AG whose free space was to be joined. Blocks. */
export interface JoinedGroup {
  readonly ag: number;
  readonly freeBlocks: number;
  readonly longest: number;
  /** The longest run that what cannot move leaves room for. */
  readonly possible: number;
}

/**
 * Join the free space of every AG, again where that helped.
 * @param wanted blocks in all that are needed in long runs; AGs are left alone when others have given so many.
 * @returns the AGs, as they are afterwards. Throws `corrupt` RUN_CHECK when the image is damaged.
 */
export function* joinFreeSpace(
  tools: FreeSpaceTools,
  wanted = Number.MAX_SAFE_INTEGER,
): Generator<void, JoinedGroup[], undefined> {
  const { editor } = tools;
  const { space, cache, geometry } = editor.volume;
  const longest = (ag: number): number => space.ag(cache, ag).agf.longest;
  const groups: JoinedGroup[] = [];
  let missing = wanted;
  let ags = Array.from({ length: geometry.agCount }, (_, ag) => ag);
  for (let round = 0; round < MOST_ROUNDS && ags.length > 0 && missing > 0; round++) {
    // The checker reads what is in place.
    editor.journal.advanceTail();
    const { observed, problems, clean } = check(editor.volume.device, { ignoreLog: true, maxProblems: 1 });
    if (!observed || !clean) {
      throw corrupt('RUN_CHECK', 'the image is damaged: run check', { where: problems[0]?.where ?? {} });
    }
    const kinds = new Map<number, InodeKind>();
    const better: number[] = [];
    for (const ag of ags) {
      if (missing <= 0) break;
      const before = longest(ag);
      const joiner = new AgJoiner(tools, ag, observed.context.claims[ag]!, kinds);
      const possible = yield* joiner.run(missing);
      groups[ag] = { ag, freeBlocks: space.ag(cache, ag).agf.freeblks, longest: longest(ag), possible };
      if (longest(ag) > before) better.push(ag);
      if (round === 0) missing -= longest(ag);
    }
    ags = better;
  }
  return groups;
}

class AgJoiner {
  readonly #tools: FreeSpaceTools;
  readonly #ag: number;
  readonly #claims: ExtentTable;
  readonly #kinds: Map<number, InodeKind>;

  constructor(tools: FreeSpaceTools, ag: number, claims: ExtentTable, kinds: Map<number, InodeKind>) {
    this.#tools = tools;
    this.#ag = ag;
    this.#claims = claims;
    this.#kinds = kinds;
  }

  /** @param most blocks of the longest run that is wanted. @returns blocks of the longest run that is possible. */
  *run(most: number): Generator<void, number, undefined> {
    const { geometry } = this.#tools.editor.volume;
    const units = unitsOf(this.#claims, (number) => this.#kindOf(number));
    const length = geometry.agLength(this.#ag);
    const free = this.#free();
    const freeBlocks = free.reduce((sum, { count }) => sum + count, 0);
    const plan = planJoin(units, length, free, most);
    if (plan) {
      const places = new Map<number, number>();
      const lost = new Set<number>();
      for (const { unit: index, target } of plan.steps) {
        const unit = { ...units[index]!, start: places.get(index) ?? units[index]!.start };
        if (lost.has(index)) continue;
        if (yield* this.#move(unit, target)) places.set(index, target);
        else lost.add(index);
      }
      yield* this.#moveTrees(plan.window);
    }
    return possibleRun(units, length, freeBlocks);
  }

  /** Free runs in order. */
  #free(): FreeRun[] {
    const free: FreeRun[] = [];
    this.#tools.runs.forEach(this.#ag, (start, count) => free.push({ start, count }));
    return free;
  }

  #kindOf(number: number): InodeKind {
    let kind = this.#kinds.get(number);
    if (kind) return kind;
    const inode = this.#tools.editor.volume.inode(number);
    if (inode.isFile) kind = this.#tools.mustStay(inode) ? 'fixed' : 'file';
    else if (inode.isDirectory) kind = 'blocks';
    // A symlink has one block for each extent: joined ones would not be whole any more.
    else kind = inode.isSymlink && new Fork(inode, 'data').extentCount === 1 ? 'blocks' : 'fixed';
    this.#kinds.set(number, kind);
    return kind;
  }

  /** @returns false when the unit could not be moved: the place was taken, or something changed. */
  *#move(unit: Unit, target: number): Generator<void, boolean, undefined> {
    try {
      if (unit.kind === 'data') yield* this.#moveData(unit, target);
      else if (!this.#moveMetadata(unit, target)) return false;
    } catch (error) {
      if (!isPassing(error)) throw error;
      return false;
    }
    this.#tools.moved(unit.count * this.#tools.editor.volume.geometry.blockSize);
    yield;
    return true;
  }

  *#moveData(unit: Unit, target: number): Generator<void, void, undefined> {
    const { editor, copier, remapper } = this.#tools;
    const { geometry } = editor.volume;
    const claims = this.#claims;
    // Rows say where the unit was at first: it may have moved since.
    const shift = geometry.fsBlock(this.#ag, unit.start) - claims.start[unit.firstRow]!;
    const guards = new Map<number, InodeGuard>();
    let unwritten = true;
    let mayBeShared = false;
    for (let row = unit.firstRow; row < unit.firstRow + unit.rows; row++) {
      const number = claims.owner(row);
      if (!guards.has(number)) {
        const inode = editor.volume.inode(number);
        guards.set(number, new InodeGuard(inode));
        mayBeShared ||= inode.isReflink;
      }
      if ((claims.offsetHi[row]! & RMAP_UNWRITTEN) === 0) unwritten = false;
    }
    const moves = new Moves();
    moves.add(geometry.fsBlock(this.#ag, unit.start), geometry.fsBlock(this.#ag, target), unit.count, unwritten);
    moves.close();
    const exchange: Exchange = {
      moves,
      guards,
      mayBeShared,
      isAllHome: true,
      forEachMapping: (_reader, _move, start, count, visit) => {
        for (let row = unit.firstRow; row < unit.firstRow + unit.rows; row++) {
          const rowStart = claims.start[row]! + shift;
          const from = Math.max(start, rowStart);
          const length = Math.min(start + count, rowStart + claims.count[row]!) - from;
          if (length <= 0) continue;
          const isUnwritten = (claims.offsetHi[row]! & RMAP_UNWRITTEN) !== 0;
          visit(claims.owner(row), claims.fileBlock(row) + (from - rowStart), from, length, isUnwritten);
        }
      },
    };
    const seen = editor.journal.commits;
    for (const _ of copier.copy(moves)) yield;
    for (const _ of remapper.run(exchange, seen)) yield;
  }

  #moveMetadata(unit: Unit, target: number): boolean {
    const { editor } = this.#tools;
    const { geometry } = editor.volume;
    const row = unit.firstRow;
    const inode = this.#claims.owner(row);
    const fork: ForkName = (this.#claims.offsetHi[row]! & RMAP_ATTR_FORK) !== 0 ? 'attr' : 'data';
    const to = geometry.fsBlock(this.#ag, target);
    const from = geometry.fsBlock(this.#ag, unit.start);
    if (unit.kind === 'extent-tree') {
      const level = this.#levelOf(from);
      return editor.transact((tx) => moveTreeBlock(editor, tx, inode, fork, from, level, to));
    }
    const fileBlock = this.#claims.fileBlock(row);
    const step = fork === 'attr' ? 1 : geometry.dirBlockBlocks;
    if (editor.volume.inode(inode).isDirectory && (fileBlock % step !== 0 || unit.count % step !== 0)) return false;
    editor.transact((tx) => moveForkRange(editor, tx, { inode, fork, fileBlock, blockCount: unit.count }, to));
    return true;
  }

  /** Level of a tree block, from its header. */
  #levelOf(fsBlock: number): number {
    const { cache, device, geometry } = this.#tools.editor.volume;
    const daddr = geometry.fsBlockToDaddr(fsBlock);
    const cached = cache.peek(daddr);
    if (cached) return cached.view.getUint16(4);
    const head = new Uint8Array(8);
    device.read(geometry.fsBlockToByte(fsBlock), head);
    return new DataView(head.buffer).getUint16(4);
  }

  /** Blocks of the AG's own trees and of its free list out of the window. */
  *#moveTrees(window: Window): Generator<void, void, undefined> {
    const { editor } = this.#tools;
    const { space, geometry } = editor.volume;
    for (let round = 0; round < TREE_ROUNDS; round++) {
      const found = this.#treeBlocksInside(window);
      if (found.length === 0) return;
      const free = this.#free();
      const holes = new Holes([
        ...clipped(free, 0, window.start),
        ...clipped(free, window.end, Number.MAX_SAFE_INTEGER),
      ]);
      for (const { tree, block, level } of found) {
        const target = holes.take(1);
        if (target === undefined) return;
        try {
          editor.transact((tx) => {
            const ag = space.ag(tx, this.#ag);
            return tree === 'list'
              ? relocateListed(tx, ag, block, target)
              : relocateTreeBlock(tx, ag, tree, block, level, target);
          });
        } catch (error) {
          if (!isPassing(error)) throw error;
        }
        this.#tools.moved(geometry.blockSize);
        yield;
      }
    }
  }

  #treeBlocksInside({ start, end }: Window): { tree: TreeName | 'list'; block: number; level: number }[] {
    const { space, cache, geometry } = this.#tools.editor.volume;
    const { features } = geometry;
    const ag = space.ag(cache, this.#ag);
    const found: { tree: TreeName | 'list'; block: number; level: number }[] = [];
    const names: TreeName[] = ['bnobt', 'cntbt', 'inobt'];
    if (features.finobt) names.push('finobt');
    if (features.rmapbt) names.push('rmapbt');
    if (features.reflink) names.push('refcountbt');
    if (features.dataChecksums) names.push('csumbt');
    for (const tree of names) {
      ag.tree(tree).forEachBlock(cache, (block, level) => {
        if (block >= start && block < end) found.push({ tree, block, level });
      });
    }
    forEachActiveSlot(ag.agf.view, ag.agfl, geometry, (_slot, block) => {
      if (block >= start && block < end) found.push({ tree: 'list', block, level: 0 });
    });
    return found;
  }
}

/** Errors that are about one unit: another one may be moved all the same. */
function isPassing(error: unknown): boolean {
  if (error instanceof RunTaken || error instanceof FileChanged || error instanceof Disturbed) return true;
  return error instanceof CadastreError && (error.family === 'no-space' || error.code === 'DATA_CHECKSUM');
}
