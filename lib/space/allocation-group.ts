/**
 * One allocation group: its three header sectors and its trees, with the roots in the headers.
 *
 * 1. Header bytes in the buffers are the only truth; the views here are placed over them and placed again whenever the
 *    cache has let go of a buffer.
 * 2. One cursor per tree is kept while the same reader is in use, so that neighbouring operations find the same leaf.
 *    Any change to a tree goes through that cursor; after a call that may change a tree, seek again.
 * 3. Where tree blocks come from is not decided here but by the TreeBlockSource (tree-blocks.ts).
 */
import { Agf, Agi } from '../../formats/ag-headers.ts';
import { AGF_TYPE, AGFL_TYPE, AGI_TYPE } from '../../formats/ag-verify.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { Btree, type BtreeRoot, type Cursor, TREE_TYPES } from '../btree/btree.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { BlockReader, Transaction } from '../buffer/transaction.ts';
import { internal } from '../errors.ts';
import { remainingReservation, type TreeReservation, treeReservation } from './reservations.ts';

/** The trees of an AG. */
export type TreeName = 'bnobt' | 'cntbt' | 'inobt' | 'finobt' | 'rmapbt' | 'refcountbt' | 'csumbt';

/** Where the blocks of an AG's trees come from and go to, with their counters and reverse-map records. */
export interface TreeBlockSource {
  /** @returns an AG block; throws `noSpace`. */
  take(tx: Transaction, ag: AllocationGroup, tree: TreeName, near: number): number;
  give(tx: Transaction, ag: AllocationGroup, tree: TreeName, agBlock: number): void;
}

/** The field that holds a tree's root and the one that holds its height. */
const ROOT_FIELDS = {
  bnobt: { header: 'agf', root: Agf.offsets.bnoRoot, level: Agf.offsets.bnoLevel },
  cntbt: { header: 'agf', root: Agf.offsets.cntRoot, level: Agf.offsets.cntLevel },
  rmapbt: { header: 'agf', root: Agf.offsets.rmapRoot, level: Agf.offsets.rmapLevel },
  refcountbt: { header: 'agf', root: Agf.offsets.refcountRoot, level: Agf.offsets.refcountLevel },
  csumbt: { header: 'agf', root: Agf.offsets.csumRoot, level: Agf.offsets.csumLevel },
  inobt: { header: 'agi', root: Agi.offsets.root, level: Agi.offsets.level },
  finobt: { header: 'agi', root: Agi.offsets.freeRoot, level: Agi.offsets.freeLevel },
} as const;

type AgfView = ReturnType<typeof Agf.view>;
type AgiView = ReturnType<typeof Agi.view>;

export class AllocationGroup {
  readonly geometry: Geometry;
  readonly number: number;
  /** Blocks in this AG. */
  readonly length: number;
  readonly reservation: TreeReservation;
  readonly #source: TreeBlockSource;
  readonly #trees = new Map<TreeName, Btree>();
  readonly #cursors = new Map<TreeName, Cursor>();
  readonly #agfView: AgfView = Agf.view();
  readonly #agiView: AgiView = Agi.view();
  #agf: Buffer | undefined;
  #agi: Buffer | undefined;
  #agfl: Buffer | undefined;
  #reader: BlockReader | undefined;

  constructor(geometry: Geometry, number: number, source: TreeBlockSource) {
    this.geometry = geometry;
    this.number = number;
    this.length = geometry.agLength(number);
    this.reservation = treeReservation(geometry, number);
    this.#source = source;
  }

  /** Look at the AG through this reader from now on. Another reader than before may see other bytes: forget everything. */
  use(reader: BlockReader): this {
    if (reader !== this.#reader) {
      this.#reader = reader;
      this.#cursors.clear();
      this.#agf = this.#agi = this.#agfl = undefined;
    }
    return this;
  }

  get reader(): BlockReader {
    if (!this.#reader) throw internal('allocation group used before use()');
    return this.#reader;
  }

  /** The AGF, to look at. */
  get agf(): AgfView {
    if (!this.#agf?.attached) {
      this.#agf = this.reader.get(this.geometry.agHeaderDaddr(this.number, 1), this.geometry.sectorSize, AGF_TYPE);
      this.#agfView.at(this.#agf.view);
    }
    return this.#agfView;
  }
  /** The AGF, to change. */
  changeAgf(tx: Transaction): AgfView {
    const view = this.agf;
    tx.change(this.#agf!);
    return view;
  }
  /** The AGI, to look at. */
  get agi(): AgiView {
    if (!this.#agi?.attached) {
      this.#agi = this.reader.get(this.geometry.agHeaderDaddr(this.number, 2), this.geometry.sectorSize, AGI_TYPE);
      this.#agiView.at(this.#agi.view);
    }
    return this.#agiView;
  }
  /** The AGI, to change. */
  changeAgi(tx: Transaction): AgiView {
    const view = this.agi;
    tx.change(this.#agi!);
    return view;
  }
  /** The free list's sector, to look at. */
  get agfl(): DataView {
    if (!this.#agfl?.attached) {
      this.#agfl = this.reader.get(this.geometry.agHeaderDaddr(this.number, 3), this.geometry.sectorSize, AGFL_TYPE);
    }
    return this.#agfl.view;
  }
  /** The free list's sector, to change. */
  changeAgfl(tx: Transaction): DataView {
    const view = this.agfl;
    tx.change(this.#agfl!);
    return view;
  }

  /** A tree of this AG. The caller knows that the feature is on. */
  tree(name: TreeName): Btree {
    const known = this.#trees.get(name);
    if (known) return known;
    const { geometry, number } = this;
    const tree = new Btree(TREE_TYPES[name], geometry, this.#root(name), {
      owner: number,
      daddr: (pointer) => geometry.agBlockToDaddr(number, pointer),
      allocate: (tx, near) => this.#source.take(tx, this, name, near),
      free: (tx, pointer) => this.#source.give(tx, this, name, pointer),
    });
    this.#trees.set(name, tree);
    return tree;
  }

  /** The kept cursor of a tree: place it with a seek before use. */
  cursor(name: TreeName): Cursor {
    let cursor = this.#cursors.get(name);
    if (!cursor) this.#cursors.set(name, (cursor = this.tree(name).cursor(this.reader)));
    return cursor;
  }

  #root(name: TreeName): BtreeRoot {
    const { header, root, level } = ROOT_FIELDS[name];
    const view = (): DataView => (header === 'agf' ? this.agf.view : this.agi.view);
    return {
      pointer: () => view().getUint32(root),
      height: () => view().getUint32(level),
      set: (tx, pointer, height) => {
        const target = (header === 'agf' ? this.changeAgf(tx) : this.changeAgi(tx)).view;
        target.setUint32(root, pointer);
        target.setUint32(level, height);
      },
    };
  }

  /** Blocks of this AG that its trees may still grow into. */
  get heldBack(): number {
    const { features } = this.geometry;
    const { agf } = this;
    // Without INOBTCNT nobody counts the tree's blocks; one is the least it has.
    const finobt = features.finobt ? (features.inobtcount ? this.agi.fblocks : 1) : 0;
    return remainingReservation(
      this.reservation,
      features.rmapbt ? agf.rmapBlocks : 0,
      features.reflink ? agf.refcountBlocks : 0,
      finobt,
      features.dataChecksums ? agf.csumBlocks : 0,
    );
  }
}
