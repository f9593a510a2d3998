/**
 * The trees of one AG: their records as data, their blocks as claims, their own rules (ranges, order beyond keys, joins).
 * What the records say of the rest of the image is compared later.
 */
import { Agf, Agi } from '../../../formats/ag-headers.ts';
import {
  type BtreeLayout,
  CSUM_PER_RECORD,
  REFCOUNT_COW,
  RMAP_ATTR_FORK,
  RMAP_BMBT_BLOCK,
  RMAP_OFFSET_HI_MASK,
  RMAP_OWNER,
  RMAP_UNWRITTEN,
} from '../../../formats/btree-blocks.ts';
import { SPECIAL } from '../claims.ts';
import type { CheckContext } from '../context.ts';
import { ChunkList, wholeBlockHoles } from '../inode-table.ts';
import type { ProblemPlace } from '../problems.ts';
import { RunList } from '../rows.ts';
import type { AgHeaders } from './ag-headers.ts';
import { agTree, runTree, type TreeSeen } from './tree-run.ts';

type TreeName = Exclude<BtreeLayout['name'], 'bmbt'>;

/** Everything the trees of an AG say. `seen` has no entry for a tree that the image has not, or whose root is unknown. */
export interface AgTrees {
  readonly seen: { [N in TreeName]?: TreeSeen };
  readonly byStart: RunList;
  readonly byLength: RunList;
  readonly chunks: ChunkList;
  readonly freeChunks: ChunkList;
  /** Shared blocks with their number of owners. */
  readonly shared: RunList;
  /** Blocks with a checksum, joined. */
  readonly checksummed: RunList;
  /** Inodes that exist and free ones, by the inode tree. */
  inodes: number;
  freeInodes: number;
  /** Special owners (low words) whose claims may be incomplete. */
  readonly uncertain: Set<number>;
}

const OWNERS: { readonly [N in TreeName]: number } = {
  bnobt: RMAP_OWNER.AG,
  cntbt: RMAP_OWNER.AG,
  rmapbt: RMAP_OWNER.AG,
  inobt: RMAP_OWNER.INOBT,
  finobt: RMAP_OWNER.INOBT,
  refcountbt: RMAP_OWNER.REFC,
  csumbt: RMAP_OWNER.CSUM,
};

export function observeAgTrees(context: CheckContext, ag: number, headers: AgHeaders): AgTrees {
  return new AgTreeObserver(context, ag, headers).run();
}

class AgTreeObserver {
  readonly #context: CheckContext;
  readonly #ag: number;
  readonly #headers: AgHeaders;
  readonly #length: number;
  readonly #trees: AgTrees = {
    seen: {},
    byStart: new RunList(),
    byLength: new RunList(),
    chunks: new ChunkList(),
    freeChunks: new ChunkList(),
    shared: new RunList(),
    checksummed: new RunList(),
    inodes: 0,
    freeInodes: 0,
    uncertain: new Set(),
  };

  constructor(context: CheckContext, ag: number, headers: AgHeaders) {
    this.#context = context;
    this.#ag = ag;
    this.#headers = headers;
    this.#length = context.geometry.agLength(ag);
  }

  run(): AgTrees {
    const { features } = this.#context.geometry;
    const { agf, agi, freeListKnown } = this.#headers;
    const trees = this.#trees;
    if (!freeListKnown) trees.uncertain.add(RMAP_OWNER.AG);
    const f = agf && Agf.at(agf);
    this.#tree('bnobt', f?.bnoRoot, f?.bnoLevel, this.#free(trees.byStart));
    this.#tree('cntbt', f?.cntRoot, f?.cntLevel, this.#free(trees.byLength));
    if (features.rmapbt) this.#tree('rmapbt', f?.rmapRoot, f?.rmapLevel, this.#rmap());
    if (features.reflink) this.#tree('refcountbt', f?.refcountRoot, f?.refcountLevel, this.#refcount());
    if (features.dataChecksums) this.#tree('csumbt', f?.csumRoot, f?.csumLevel, this.#checksum());
    const i = agi && Agi.at(agi);
    this.#tree('inobt', i?.root, i?.level, this.#chunk('inobt', trees.chunks));
    this.#lastBlock();
    if (features.finobt) this.#tree('finobt', i?.freeRoot, i?.freeLevel, this.#chunk('finobt', trees.freeChunks));
    return trees;
  }

  /** The last record of the inode tree is the last one of its block. */
  #lastBlock(): void {
    const { geometry } = this.#context;
    const { inodesPerBlock } = geometry;
    const { chunks, seen } = this.#trees;
    if (inodesPerBlock <= 64 || chunks.length === 0 || seen.inobt?.complete !== true) return;
    const last = chunks.start[chunks.length - 1]!;
    if ((last + 64) % inodesPerBlock === 0) return;
    const block = geometry.agBlockOfAgInode(last);
    const where = { ag: this.#ag, block, structure: 'inobt', field: `at AG inode ${last}` };
    const expected = `records for all ${inodesPerBlock} inodes of a block`;
    this.#context.problems.add('INODE_RECORD', where, expected, 'one is missing', { rule: 'CHUNK_BLOCK' });
  }

  #tree(
    name: TreeName,
    root: number | undefined,
    height: number | undefined,
    record: (view: DataView, offset: number) => void,
  ): void {
    const owner = OWNERS[name];
    const { uncertain } = this.#trees;
    let seen: TreeSeen | undefined;
    if (root !== undefined && height !== undefined) {
      const context = this.#context;
      const tree = agTree(context, this.#ag, name, root, height);
      const claim = (pointer: number): void => context.claimSpecial(this.#ag, pointer, 1, owner);
      seen = runTree(context, tree, { ag: this.#ag }, claim, record);
      this.#trees.seen[name] = seen;
    }
    if (seen?.complete) return;
    uncertain.add(owner);
    if (name === 'inobt') {
      uncertain.add(RMAP_OWNER.INODES);
      this.#context.claimsComplete = false;
    } else if (name === 'refcountbt') uncertain.add(RMAP_OWNER.COW);
  }

  #bad(structure: string, block: number, field: string, expected: string | number, found: string | number): void {
    this.#context.problems.add('TREE_RECORD', { ag: this.#ag, block, structure, field }, expected, found);
  }

  /** True when the range lies in the AG; reported otherwise. */
  #inside(structure: string, start: number, count: number): boolean {
    if (count > 0 && start + count <= this.#length) return true;
    this.#bad(structure, start, 'range', `1 block or more below ${this.#length}`, `${start}+${count}`);
    return false;
  }

  #free(list: RunList): (view: DataView, offset: number) => void {
    const byStart = list === this.#trees.byStart;
    const structure = byStart ? 'bnobt' : 'cntbt';
    return (view, offset) => {
      const start = view.getUint32(offset);
      const count = view.getUint32(offset + 4);
      if (!this.#inside(structure, start, count)) return;
      const last = list.length - 1;
      if (byStart && last >= 0) {
        const end = list.start[last]! + list.count[last]!;
        if (start < end) this.#bad(structure, start, 'range', `a start at ${end} or behind`, `${start}+${count}`);
        else if (start === end) {
          const whole = `${list.start[last]}+${list.count[last]! + count}`;
          this.#context.problems.add('FREE_NOT_MERGED', this.#at(start, count, structure), whole, `${start}+${count}`);
        }
      }
      list.push(start, count);
    };
  }

  #at(block: number, blockCount: number, structure: string): ProblemPlace {
    return { ag: this.#ag, block, blockCount, structure };
  }

  #rmap(): (view: DataView, offset: number) => void {
    const recorded = this.#context.recorded[this.#ag]!;
    const { geometry } = this.#context;
    return (view, offset) => {
      const start = view.getUint32(offset);
      const count = view.getUint32(offset + 4);
      const ownerHi = view.getUint32(offset + 8);
      const ownerLo = view.getUint32(offset + 12);
      const offsetHi = view.getUint32(offset + 16);
      const offsetLo = view.getUint32(offset + 20);
      if (!this.#inside('rmapbt', start, count)) return;
      const known =
        ownerHi === SPECIAL
          ? SPECIAL_OWNERS.has(ownerLo)
          : ownerHi < 0x200000 && geometry.isInode(ownerHi * 2 ** 32 + ownerLo);
      if (!known) {
        this.#bad('rmapbt', start, 'owner', 'an inode or a known owner', hex64(ownerHi, ownerLo));
        return;
      }
      const flags = (offsetHi & ~(RMAP_ATTR_FORK | RMAP_BMBT_BLOCK | RMAP_UNWRITTEN | RMAP_OFFSET_HI_MASK)) >>> 0;
      const placeless = ownerHi === SPECIAL || (offsetHi & RMAP_BMBT_BLOCK) !== 0;
      const allowed = ownerHi === SPECIAL ? 0 : (RMAP_ATTR_FORK | RMAP_BMBT_BLOCK) >>> 0;
      if (flags !== 0 || (placeless && ((offsetHi & ~allowed) >>> 0 !== 0 || offsetLo !== 0))) {
        this.#bad(
          'rmapbt',
          start,
          'offset',
          placeless ? 'no file block' : 'bits 54-60 clear',
          hex64(offsetHi, offsetLo),
        );
        return;
      }
      recorded.push(start, count, ownerHi, ownerLo, offsetHi, offsetLo);
    };
  }

  #refcount(): (view: DataView, offset: number) => void {
    const { shared } = this.#trees;
    let end = 0;
    let cow = false;
    let before = 0;
    return (view, offset) => {
      const word = view.getUint32(offset);
      const count = view.getUint32(offset + 4);
      const owners = view.getUint32(offset + 8);
      const isCow = (word & REFCOUNT_COW) !== 0;
      const start = word % REFCOUNT_COW;
      if (!this.#inside('refcountbt', start, count)) return;
      if (isCow !== cow) {
        cow = isCow;
        end = before = 0;
      }
      if (start < end) {
        this.#bad('refcountbt', start, 'range', `a start at ${end} or behind`, `${start}+${count}`);
        return;
      }
      if (isCow ? owners !== 1 : owners < 2) {
        this.#bad('refcountbt', start, 'refcount', isCow ? 1 : 'at least 2', owners);
        if (isCow) return;
      } else if (start === end && owners === before) {
        this.#context.problems.add('REFCOUNT_NOT_MERGED', this.#at(start, count, 'refcountbt'), '', owners);
      }
      end = start + count;
      before = owners;
      if (!isCow) {
        if (owners >= 2) shared.join(start, count, owners);
        return;
      }
      this.#context.claimSpecial(this.#ag, start, count, RMAP_OWNER.COW);
      this.#context.problems.add('COW_LEFTOVER', this.#at(start, count, 'refcountbt'), 'none', count);
    };
  }

  #checksum(): (view: DataView, offset: number) => void {
    const { checksummed } = this.#trees;
    let end = 0;
    return (view, offset) => {
      const start = view.getUint32(offset);
      const count = view.getUint32(offset + 4);
      if (count > CSUM_PER_RECORD) this.#bad('csumbt', start, 'blockCount', `1..${CSUM_PER_RECORD}`, count);
      else if (!this.#inside('csumbt', start, count)) return;
      else if (start < end) this.#bad('csumbt', start, 'startBlock', `${end} or more`, start);
      else {
        for (let i = count; i < CSUM_PER_RECORD; i++) {
          const rest = view.getUint32(offset + 8 + 4 * i);
          if (rest === 0) continue;
          this.#bad('csumbt', start, `crcs[${i}]`, '0 behind the last', rest);
          break;
        }
        end = start + count;
        checksummed.join(start, count);
      }
    };
  }

  /** Chunk records of the inode tree or the free-inode tree. */
  #chunk(structure: 'inobt' | 'finobt', list: ChunkList): (view: DataView, offset: number) => void {
    const { geometry, problems } = this.#context;
    const trees = this.#trees;
    const ag = this.#ag;
    const { sparse } = geometry.features;
    // Chunks start at aligned blocks; with more than 64 inodes a block, several chunks share one.
    const unit = Math.max(64, Math.max(1, geometry.inodeAlignment) * geometry.inodesPerBlock);
    const step =
      geometry.inodesPerBlock > 64
        ? 64
        : Math.min(unit, Math.max(1, geometry.inodeAlignment) * geometry.inodesPerBlock);
    const primary = structure === 'inobt';
    let end = 0;
    return (view, offset) => {
      const start = view.getUint32(offset);
      const holemask = sparse ? view.getUint16(offset + 4) : 0;
      const count = sparse ? view.getUint8(offset + 6) : 64;
      const freeCount = sparse ? view.getUint8(offset + 7) : view.getUint32(offset + 4);
      const freeHi = view.getUint32(offset + 8);
      const freeLo = view.getUint32(offset + 12);
      const where = { ag, block: geometry.agBlockOfAgInode(start), structure, field: `at AG inode ${start}` };
      const bad = (expected: string | number, found: string | number, rule: string): void =>
        problems.add('INODE_RECORD', where, expected, found, { rule });
      const lastBlock = geometry.agBlockOfAgInode(start + 63);
      const fits = geometry.isAgInode(ag, start) && (holemask !== 0 || lastBlock < this.#length);
      if (!fits || start % step !== 0 || start < end) {
        bad(`a chunk of the AG, from ${end} on, in steps of ${step}`, start, 'CHUNK_START');
        if (primary) this.#context.claimsComplete = false;
        return;
      }
      // Inodes are made a block at a time: with more than 64 in one, all its records exist or none.
      const per = geometry.inodesPerBlock;
      if (primary && per > 64 && start !== end && (start % per !== 0 || end % per !== 0)) {
        bad(`records for all ${per} inodes of a block`, 'one is missing', 'CHUNK_BLOCK');
      }
      end = start + 64;
      const wholeHoles = wholeBlockHoles(geometry, holemask);
      if (wholeHoles !== holemask)
        bad(`holes of whole blocks, ${wholeHoles}`, `hole mask ${holemask}`, 'CHUNK_HALF_BLOCK');
      const existing = 64 - 4 * bitCount(holemask);
      if (existing !== count || count === 0) {
        bad(`${existing} inodes for hole mask ${holemask}`, `${count} inodes`, 'CHUNK_COUNT');
      }
      const free = bitCount((freeLo & ~holes(holemask)) >>> 0) + bitCount((freeHi & ~holes(holemask >>> 8)) >>> 0);
      if (free !== freeCount) bad(`${free} free inodes by the bits`, `${freeCount} free inodes`, 'CHUNK_FREE');
      if ((holes(holemask) & ~freeLo) !== 0 || (holes(holemask >>> 8) & ~freeHi) !== 0) {
        bad('free bits of holes set', 'clear', 'CHUNK_HOLES');
      }
      list.push(start, holemask, freeHi, freeLo);
      if (!primary) return;
      trees.inodes += existing;
      trees.freeInodes += free;
      this.#claimChunk(start, holemask);
    };
  }

  /** Blocks of a chunk that exist. With several chunks in a block only the first of them claims it. */
  #claimChunk(start: number, holemask: number): void {
    const { geometry } = this.#context;
    const per = geometry.inodesPerBlock;
    const claim = (block: number, count: number): void =>
      this.#context.claimSpecial(this.#ag, block, count, RMAP_OWNER.INODES);
    if (per >= 64) {
      const block = geometry.agBlockOfAgInode(start);
      if (block !== this.#chunkBlock) claim(block, 1);
      this.#chunkBlock = block;
      return;
    }
    const blocks = 64 / per;
    const first = start / per;
    for (let i = 0; i < blocks; i++) {
      const bit = (i * per) >> 2;
      if (((holemask >>> bit) & 1) === 0 && first + i < this.#length) claim(first + i, 1);
    }
  }
  #chunkBlock = -1;
}

const SPECIAL_OWNERS = new Set<number>(
  Object.values(RMAP_OWNER).filter((owner) => owner !== RMAP_OWNER.NULL && owner !== RMAP_OWNER.UNKNOWN),
);

/** 32 slot bits for the low 8 bits of a hole mask. */
function holes(mask: number): number {
  let out = 0;
  for (let i = 0; i < 8; i++) if ((mask >>> i) & 1) out |= 0xf << (4 * i);
  return out >>> 0;
}

function bitCount(value: number): number {
  let v = value - ((value >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return (((v + (v >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}

const hex64 = (hi: number, lo: number): string =>
  `0x${hi.toString(16).padStart(8, '0')}${lo.toString(16).padStart(8, '0')}`;
