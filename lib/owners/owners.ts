/**
 * Who owns these blocks? Read off the register where the image has one; else all claims of the image are collected first.
 *
 * 1. Answers cover the range asked for without a gap: what nobody owns is `free`, or `unknown` when free space does not
 *    have it either.
 * 2. Shared blocks have one answer for each owner.
 */
import { forEachActiveSlot } from '../../formats/ag-verify.ts';
import {
  BTREES,
  type BtreeLayout,
  RMAP_ATTR_FORK,
  RMAP_BMBT_BLOCK,
  RMAP_OFFSET_HI_MASK,
  RMAP_OWNER,
} from '../../formats/btree-blocks.ts';
import { NULL32 } from '../../formats/struct.ts';
import { forEachOverlap } from '../btree/btree.ts';
import { check } from '../check/check.ts';
import type { ExtentTable } from '../check/claims.ts';
import { CadastreError } from '../errors.ts';
import { findPaths } from '../volume/find-paths.ts';
import { showPath } from '../volume/path.ts';
import type { Volume } from '../volume/volume.ts';

/** A range of AG blocks. */
export interface BlockRange {
  readonly ag: number;
  readonly agBlock: number;
  readonly blockCount: number;
}

export type OwnerKind =
  | 'data'
  | 'directory'
  | 'symlink'
  | 'attributes'
  | 'extent-tree'
  | 'inodes'
  | 'ag-headers'
  | 'log'
  | 'free-list'
  | 'cow-staging'
  | 'free'
  | 'unknown'
  | BtreeLayout['name']
  | 'free-space-tree'
  | 'inode-tree';

export interface OwnedRange extends BlockRange {
  readonly kind: OwnerKind;
  readonly inode?: number;
  path?: string;
  readonly fileBlock?: number;
}

const TWO32 = 2 ** 32;
const SPECIAL_KINDS = new Map<number, OwnerKind>([
  [RMAP_OWNER.FS, 'ag-headers'],
  [RMAP_OWNER.LOG, 'log'],
  [RMAP_OWNER.INODES, 'inodes'],
  [RMAP_OWNER.REFC, 'refcountbt'],
  [RMAP_OWNER.CSUM, 'csumbt'],
  [RMAP_OWNER.COW, 'cow-staging'],
]);

/** The owners of each range, in order of blocks. Throws `corrupt` when the register cannot be read. */
export function findOwners(volume: Volume, ranges: readonly BlockRange[]): OwnedRange[] {
  const found: OwnedRange[] = [];
  const source = volume.geometry.features.rmapbt ? register(volume) : claims(volume);
  for (const range of ranges) found.push(...new RangeOwners(volume, range).run(source));
  const inodes = new Set(found.flatMap(({ inode }) => (inode === undefined ? [] : [inode])));
  if (inodes.size > 0) {
    const paths = findPaths(volume, inodes);
    for (const each of found) {
      const path = each.inode === undefined ? undefined : paths.get(each.inode);
      if (path) each.path = showPath(path);
    }
  }
  return found;
}

/** Calls back the rows of the register (or of the claims) that touch a range. */
type Source = (range: BlockRange, row: RowVisitor) => void;
type RowVisitor = (
  start: number,
  count: number,
  ownerHi: number,
  ownerLo: number,
  offsetHi: number,
  offsetLo: number,
) => void;

function register(volume: Volume): Source {
  const { space, cache } = volume;
  return ({ ag, agBlock, blockCount }, row) => {
    const tree = space.ag(cache, ag).tree('rmapbt');
    forEachOverlap(cache, tree, agBlock, agBlock + blockCount, (view, at) => {
      const word = (offset: number): number => view.getUint32(at + offset);
      row(word(0), word(4), word(8), word(12), word(16), word(20));
    });
  };
}

function claims(volume: Volume): Source {
  const { observed } = check(volume.device, { ignoreLog: true, maxProblems: 0 });
  return ({ ag, agBlock, blockCount }, row) => {
    const table: ExtentTable | undefined = observed?.context.claims[ag];
    if (!table) return;
    for (let i = 0; i < table.length && table.start[i]! < agBlock + blockCount; i++) {
      if (table.start[i]! + table.count[i]! <= agBlock) continue;
      row(
        table.start[i]!,
        table.count[i]!,
        table.ownerHi[i]!,
        table.ownerLo[i]!,
        table.offsetHi[i]!,
        table.offsetLo[i]!,
      );
    }
  };
}

class RangeOwners {
  readonly #volume: Volume;
  readonly #range: BlockRange;
  readonly #end: number;
  readonly #found: OwnedRange[] = [];
  #freeList: Set<number> | undefined;

  constructor(volume: Volume, range: BlockRange) {
    this.#volume = volume;
    this.#range = range;
    this.#end = range.agBlock + range.blockCount;
  }

  run(source: Source): OwnedRange[] {
    source(this.#range, (start, count, ownerHi, ownerLo, offsetHi, offsetLo) => {
      const from = Math.max(start, this.#range.agBlock);
      const blockCount = Math.min(start + count, this.#end) - from;
      if (blockCount <= 0) return;
      if (ownerHi === NULL32) this.#special(from, blockCount, ownerLo);
      else this.#fork(from, blockCount, ownerHi * TWO32 + ownerLo, offsetHi, offsetLo, from - start);
    });
    const owned = this.#found.sort((a, b) => a.agBlock - b.agBlock || (a.inode ?? 0) - (b.inode ?? 0));
    return this.#fillGaps(owned);
  }

  #add(agBlock: number, blockCount: number, kind: OwnerKind, more: { inode?: number; fileBlock?: number } = {}): void {
    this.#found.push({ ag: this.#range.ag, agBlock, blockCount, kind, ...more });
  }

  #fork(from: number, count: number, inode: number, offsetHi: number, offsetLo: number, skipped: number): void {
    if ((offsetHi & RMAP_BMBT_BLOCK) !== 0) {
      this.#add(from, count, 'extent-tree', { inode });
      return;
    }
    const fileBlock = (offsetHi & RMAP_OFFSET_HI_MASK) * TWO32 + offsetLo + skipped;
    const kind = (offsetHi & RMAP_ATTR_FORK) !== 0 ? 'attributes' : this.#dataKind(inode);
    this.#add(from, count, kind, { inode, fileBlock });
  }

  #dataKind(number: number): OwnerKind {
    try {
      const inode = this.#volume.inode(number);
      return inode.isDirectory ? 'directory' : inode.isSymlink ? 'symlink' : 'data';
    } catch (error) {
      if (!(error instanceof CadastreError)) throw error;
      return 'data';
    }
  }

  #special(from: number, count: number, owner: number): void {
    if (owner !== RMAP_OWNER.AG && owner !== RMAP_OWNER.INOBT) {
      this.#add(from, count, SPECIAL_KINDS.get(owner) ?? 'unknown');
      return;
    }
    // One owner stands for several trees: each block says which one it is of.
    const general = owner === RMAP_OWNER.AG ? 'free-space-tree' : 'inode-tree';
    for (let block = from; block < from + count; block++) this.#add(block, 1, this.#treeOf(block, general));
  }

  #treeOf(agBlock: number, general: OwnerKind): OwnerKind {
    if (general === 'free-space-tree' && this.#listed().has(agBlock)) return 'free-list';
    const { geometry, device } = this.#volume;
    const magic = new Uint8Array(4);
    device.read(geometry.agBlockToByte(this.#range.ag, agBlock), magic);
    const number = new DataView(magic.buffer).getUint32(0);
    return Object.values(BTREES).find((layout) => layout.magic === number)?.name ?? general;
  }

  /** Blocks of the AG's free list. */
  #listed(): Set<number> {
    if (this.#freeList) return this.#freeList;
    const { geometry, space, cache } = this.#volume;
    const list = new Set<number>();
    const group = space.ag(cache, this.#range.ag);
    const { agfl } = group;
    forEachActiveSlot(group.agf.view, agfl, geometry, (_slot, agBlock) => list.add(agBlock));
    this.#freeList = list;
    return list;
  }

  /** What has no owner is free, or lost. */
  #fillGaps(owned: OwnedRange[]): OwnedRange[] {
    const whole: OwnedRange[] = [];
    let at = this.#range.agBlock;
    for (const each of owned) {
      if (each.agBlock > at) this.#unowned(at, each.agBlock, whole);
      whole.push(each);
      at = Math.max(at, each.agBlock + each.blockCount);
    }
    if (at < this.#end) this.#unowned(at, this.#end, whole);
    return whole;
  }

  #unowned(from: number, to: number, out: OwnedRange[]): void {
    const { ag } = this.#range;
    const { space, cache } = this.#volume;
    const cursor = space.ag(cache, ag).tree('bnobt').cursor(cache);
    let at = from;
    const emit = (end: number, kind: OwnerKind): void => {
      if (end > at) out.push({ ag, agBlock: at, blockCount: end - at, kind });
      at = Math.max(at, end);
    };
    let more = cursor.seekLE(from) || cursor.seekFirst();
    for (; more && at < to; more = cursor.next()) {
      const start = cursor.view.getUint32(cursor.offset);
      const end = start + cursor.view.getUint32(cursor.offset + 4);
      if (end <= at) continue;
      if (start >= to) break;
      emit(Math.min(start, to), 'unknown');
      emit(Math.min(end, to), 'free');
    }
    emit(to, 'unknown');
  }
}
