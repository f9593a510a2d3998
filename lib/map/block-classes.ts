/**
 * What each block of an AG is, in the few classes a picture can show: read off the register where the image has one, else
 * off all claims.
 *
 * 1. Every block of the AG is in exactly one run; runs come in order. Blocks with several owners are one run.
 * 2. A register that cannot be read is not believed in parts: then it is the claims, too.
 */
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_OWNER } from '../../formats/btree-blocks.ts';
import { MODE, S_IFMT } from '../../formats/inode.ts';
import { NULL32 } from '../../formats/struct.ts';
import { forEachOverlap, forEachRecord } from '../btree/btree.ts';
import { check, type Observed } from '../check/check.ts';
import { NONE } from '../check/inode-table.ts';
import { RunList } from '../check/rows.ts';
import { CadastreError, corrupt } from '../errors.ts';
import { forEachInode, systemInodes } from '../volume/inodes.ts';
import type { Volume } from '../volume/volume.ts';

/** Classes in the order of legends. `lost`: neither free nor owned, or left over from a copy-on-write that was cut off. */
export const BLOCK_CLASSES = ['data', 'shared', 'metadata', 'inodes', 'log', 'free', 'lost'] as const;
export type BlockClass = (typeof BLOCK_CLASSES)[number];
const CLASS = Object.fromEntries(BLOCK_CLASSES.map((name, i) => [name, i])) as { readonly [N in BlockClass]: number };

/** Told of a run of blocks; `kind` is an index into BLOCK_CLASSES. */
export type RunVisitor = (agBlock: number, blockCount: number, kind: number) => void;

/** What is known of an AG, in order of blocks. `owned` may overlap. */
interface AgBlocks {
  forEachOwned(visit: RunVisitor): void;
  readonly free: RunList;
  readonly shared: RunList;
}

export class BlockClasses {
  readonly #volume: Volume;
  readonly #source: (ag: number) => AgBlocks;

  /**
   * Look at the whole image once. Throws `corrupt` when not even the claims can be collected.
   * @param progress inodes looked at, of how many.
   */
  constructor(volume: Volume, progress?: (done: number, total: number) => void) {
    this.#volume = volume;
    this.#source = (volume.geometry.features.rmapbt ? register(volume, progress) : undefined) ?? claims(volume);
  }

  /** Every block of an AG. */
  forEachRun(ag: number, visit: RunVisitor): void {
    const { forEachOwned, free, shared } = this.#source(ag);
    const length = this.#volume.geometry.agLength(ag);
    const unowned = new Splitter(free);
    const data = new Splitter(shared);
    let at = 0;
    const unownedUpTo = (end: number): void => {
      if (end > at)
        unowned.split(at, end, (from, count, isFree) => visit(from, count, isFree ? CLASS.free : CLASS.lost));
    };
    forEachOwned((start, count, kind) => {
      const from = Math.max(start, at);
      const end = Math.min(start + count, length);
      if (end <= from) return;
      unownedUpTo(from);
      at = end;
      if (kind !== CLASS.data) visit(from, end - from, kind);
      else
        data.split(from, end, (piece, blocks, isShared) => visit(piece, blocks, isShared ? CLASS.shared : CLASS.data));
    });
    unownedUpTo(length);
  }
}

/** Cuts ascending ranges by a sorted list of runs: what lies in a run and what does not. */
class Splitter {
  readonly #runs: RunList;
  #next = 0;

  constructor(runs: RunList) {
    this.#runs = runs;
  }

  split(from: number, to: number, piece: (from: number, count: number, inside: boolean) => void): void {
    const { start, count, length } = this.#runs;
    let at = from;
    const emit = (end: number, inside: boolean): void => {
      if (end > at) piece(at, end - at, inside);
      at = Math.max(at, end);
    };
    for (; this.#next < length && start[this.#next]! < to; this.#next++) {
      const end = start[this.#next]! + count[this.#next]!;
      emit(start[this.#next]!, false);
      emit(Math.min(end, to), true);
      if (end > to) return;
    }
    emit(to, false);
  }
}

const SPECIAL: { readonly [owner: number]: number } = {
  [RMAP_OWNER.INODES]: CLASS.inodes,
  [RMAP_OWNER.LOG]: CLASS.log,
  [RMAP_OWNER.COW]: CLASS.lost,
};

/** Class of a row of the register, or of a claim. */
function classOf(hi: number, lo: number, offsetHi: number, isFile: (inode: number) => boolean): number {
  if (hi === NULL32) return SPECIAL[lo] ?? CLASS.metadata;
  if ((offsetHi & (RMAP_ATTR_FORK | RMAP_BMBT_BLOCK)) !== 0) return CLASS.metadata;
  return isFile(hi * 2 ** 32 + lo) ? CLASS.data : CLASS.metadata;
}

/** The register. Undefined when a part of it cannot be read. */
function register(
  volume: Volume,
  progress?: (done: number, total: number) => void,
): ((ag: number) => AgBlocks) | undefined {
  const { geometry, space, cache } = volume;
  const others = systemInodes(volume);
  forEachInode(volume, {
    visit: (inode) => {
      if (!inode.isFile && inode.core.nblocks > 0) others.add(inode.number);
    },
    // What an inode cannot say of itself, the register still does: blocks of a file.
    failed: () => {},
    progress,
  });
  const isFile = (inode: number): boolean => !others.has(inode);
  const tree = (ag: number, name: 'bnobt' | 'rmapbt' | 'refcountbt') => space.ag(cache, ag).tree(name);
  try {
    for (let ag = 0; ag < geometry.agCount; ag++) forEachRecord(cache, tree(ag, 'rmapbt'), () => undefined);
  } catch (error) {
    if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
    return undefined;
  }
  return (ag) => {
    const free = new RunList();
    const shared = new RunList();
    forEachRecord(cache, tree(ag, 'bnobt'), (view, at) => free.push(view.getUint32(at), view.getUint32(at + 4)));
    if (geometry.features.reflink) {
      forEachRecord(cache, tree(ag, 'refcountbt'), (view, at) => {
        if (view.getUint32(at + 8) > 1) shared.join(view.getUint32(at), view.getUint32(at + 4));
      });
    }
    const forEachOwned = (visit: RunVisitor): void =>
      forEachOverlap(cache, tree(ag, 'rmapbt'), 0, geometry.agLength(ag), (view, at) => {
        const word = (offset: number): number => view.getUint32(at + offset);
        visit(word(0), word(4), classOf(word(8), word(12), word(16), isFile));
      });
    return { forEachOwned, free, shared };
  };
}

/** What everything in the image points at. */
function claims(volume: Volume): (ag: number) => AgBlocks {
  const { observed } = check(volume.device, { ignoreLog: true, maxProblems: 0 });
  if (!observed) throw corrupt('UNREADABLE', 'what owns which block cannot be found out');
  const { context, trees, inodes }: Observed = observed;
  const system = systemInodes(volume);
  const isFile = (inode: number): boolean => {
    const index = inodes.indexOf(inode);
    return !system.has(inode) && (index === NONE || (inodes.mode[index]! & S_IFMT) === MODE.FILE);
  };
  return (ag) => {
    const table = context.claims[ag]!;
    const { byStart: free, shared } = trees[ag]!;
    const forEachOwned = (visit: RunVisitor): void => {
      for (let i = 0; i < table.length; i++) {
        const kind = classOf(table.ownerHi[i]!, table.ownerLo[i]!, table.offsetHi[i]!, isFile);
        visit(table.start[i]!, table.count[i]!, kind);
      }
    };
    free.sort();
    return { forEachOwned, free, shared };
  };
}
