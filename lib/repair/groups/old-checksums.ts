/**
 * The checksums that an AG's tree must hold (cadastre dialect), out of what can still be read of the old tree.
 *
 * 1. A checksum that the old tree has is kept as it is, whether the data matches or not: a reader must go on failing where
 *    the bytes are not what was written.
 * 2. A block without one gets that of what it holds. Leaves of the old tree that its root no longer leads to may prove it:
 *    the same number there means that these are the bytes that were written. Otherwise it is reported as never proven.
 * 3. Numbers are gathered for a window of written blocks at a time: memory does not grow with the image.
 */
import { Agf } from '../../../formats/ag-headers.ts';
import { BTREES, CSUM_PER_RECORD, CsumRecord, ShortHeader } from '../../../formats/btree-blocks.ts';
import { crc32c, crcWithHole, storedCrc } from '../../../formats/checksum.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { CheckContext } from '../../check/context.ts';
import { agTree, runTree } from '../../check/observe/tree-run.ts';
import { ProblemLog } from '../../check/problems.ts';
import type { RunList } from '../../check/rows.ts';
import type { Device } from '../../device/device.ts';
import type { CopiedRange } from '../pending.ts';
import type { RecordSource } from './ag-records.ts';
import { readInto } from './block-scan.ts';
import { treeBlocks } from './tree-search.ts';

/** Written blocks of which checksums are held at once. */
const WINDOW = 4 << 20;
const READ_BYTES = 1 << 20;
const CRCS = CsumRecord.offsets.crcs;

/** What is known of a block of the window. */
const NOTHING = 0;
const RECORDED = 1;
const PROOF = 2;

export interface ChecksumSource {
  readonly plan: Device;
  readonly geometry: Geometry;
  readonly ag: number;
  /** Written data, ascending, joined. */
  readonly runs: RunList;
  /** By AG, the AGF that leads to the old tree, if there is one. */
  readonly agfs: readonly (DataView | undefined)[];
  /** Copies of data: what stands in this AG has the checksums of its source. */
  readonly copies: readonly CopiedRange[];
  /** The old tree could be read whole. */
  readonly complete: boolean;
  /** Where blocks that are not reached from its root may stand. */
  readonly unclaimed: RunList;
  /** Told of each block whose checksum was computed and that nothing proves. */
  neverProven(agBlock: number): void;
  /** Told of each block that the device cannot read: no data matches the checksum it gets. */
  unreadable(agBlock: number): void;
}

export class ChecksumRecords implements RecordSource {
  readonly length: number;
  readonly #source: ChecksumSource;
  /** Written blocks before each run. */
  readonly #before: Float64Array;
  #crcs: Uint32Array = new Uint32Array(0);
  #known: Uint8Array = new Uint8Array(0);
  /** The window: ordinals of written blocks. */
  #from = 0;
  #to = 0;
  /** Next block to be written to a record. */
  #run = 0;
  #inRun = 0;
  /** Run that the last record of the old tree touched. */
  #last = 0;

  constructor(source: ChecksumSource) {
    this.#source = source;
    const { runs } = source;
    this.#before = new Float64Array(runs.length + 1);
    let records = 0;
    for (let i = 0; i < runs.length; i++) {
      this.#before[i + 1] = this.#before[i]! + runs.count[i]!;
      records += Math.ceil(runs.count[i]! / CSUM_PER_RECORD);
    }
    this.length = records;
  }

  get #blocks(): number {
    return this.#before[this.#before.length - 1]!;
  }

  /** Gather the first window. @param all everything at once: the old tree is going to be written over. */
  prepare(all: boolean): void {
    this.#load(0, all ? this.#blocks : WINDOW);
  }

  write(view: DataView, offset: number): void {
    const { runs } = this.#source;
    const start = runs.start[this.#run]! + this.#inRun;
    const count = Math.min(CSUM_PER_RECORD, runs.count[this.#run]! - this.#inRun);
    const ordinal = this.#before[this.#run]! + this.#inRun;
    if (ordinal + count > this.#to) this.#load(ordinal, WINDOW);
    view.setUint32(offset, start);
    view.setUint32(offset + 4, count);
    for (let i = 0; i < count; i++) view.setUint32(offset + CRCS + 4 * i, this.#crcs[ordinal + i - this.#from]!);
    this.#inRun += count;
    if (this.#inRun === runs.count[this.#run]) {
      this.#run++;
      this.#inRun = 0;
    }
  }

  #load(from: number, size: number): void {
    this.#from = from;
    this.#to = Math.min(this.#blocks, from + size);
    const length = this.#to - from;
    if (this.#crcs.length < length) {
      this.#crcs = new Uint32Array(length);
      this.#known = new Uint8Array(length);
    }
    this.#known.fill(NOTHING);
    this.#walk(this.#source.ag, (view, offset, kind) => this.#take(view, offset, kind));
    if (!this.#source.complete) this.#search();
    this.#inherit();
    this.#compute();
  }

  /** The old tree of an AG from its root. */
  #walk(ag: number, take: (view: DataView, offset: number, kind: number) => void): void {
    const { plan, geometry, agfs } = this.#source;
    const agf = agfs[ag];
    if (!agf) return;
    const { csumRoot, csumLevel } = Agf.at(agf);
    const context = new CheckContext(plan, geometry, new ProblemLog(0), {});
    const tree = agTree(context, ag, 'csumbt', csumRoot, csumLevel);
    let block: ArrayBufferLike | undefined;
    let kind = RECORDED;
    const visit = (view: DataView, offset: number): void => {
      if (view.buffer !== block) {
        block = view.buffer;
        const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
        const { crc } = ShortHeader.offsets;
        // Any number may be wrong in a block that is: it proves only what it matches.
        kind = crcWithHole(bytes, crc) === storedCrc(bytes, crc) ? RECORDED : PROOF;
      }
      take(view, offset, kind);
    };
    context.problems.mute(() => runTree(context, tree, { ag }, () => {}, visit));
  }

  /** Copies have the checksums of their sources, right or wrong. */
  #inherit(): void {
    const { geometry, ag, copies, runs } = this.#source;
    /** By AG of the source: source block → places in the window. */
    const wanted = new Map<number, Map<number, number[]>>();
    for (const { from, to, blockCount } of copies) {
      if (geometry.agOfFsBlock(to) !== ag) continue;
      const fromAg = geometry.agOfFsBlock(from);
      const sources = wanted.get(fromAg) ?? new Map<number, number[]>();
      wanted.set(fromAg, sources);
      for (let i = 0; i < blockCount; i++) {
        const ordinal = this.#ordinal(runs, geometry.agBlockOfFsBlock(to) + i);
        if (ordinal < this.#from || ordinal >= this.#to) continue;
        const source = geometry.agBlockOfFsBlock(from) + i;
        sources.set(source, [...(sources.get(source) ?? []), ordinal - this.#from]);
      }
    }
    for (const [fromAg, sources] of wanted) {
      this.#walk(fromAg, (view, offset, kind) => {
        const start = view.getUint32(offset);
        const count = Math.min(CSUM_PER_RECORD, view.getUint32(offset + 4));
        for (let i = 0; i < count; i++) {
          for (const at of sources.get(start + i) ?? []) {
            this.#known[at] = kind;
            this.#crcs[at] = view.getUint32(offset + CRCS + 4 * i);
          }
        }
      });
    }
  }

  /** Leaves that nobody leads to any more. */
  #search(): void {
    const { plan, geometry, ag, unclaimed } = this.#source;
    const { magic, headerSize, recordSize } = BTREES.csumbt;
    treeBlocks(plan, geometry, ag, unclaimed, magic, (view) => {
      const header = ShortHeader.at(view);
      if (header.level !== 0) return;
      const { numrecs } = header;
      for (let i = 0; i < numrecs; i++) this.#take(view, headerSize + i * recordSize, PROOF);
    });
  }

  /** Note the checksums of a record. */
  #take(view: DataView, offset: number, kind: number): void {
    const { runs } = this.#source;
    const start = view.getUint32(offset);
    const length = view.getUint32(offset + 4);
    const count = Math.min(CSUM_PER_RECORD, length);
    const overlaps = kind === RECORDED && this.#isKnown(start);
    if (kind === RECORDED && (overlaps || !this.#fits(start, length))) kind = PROOF;
    for (let i = 0; i < count; i++) {
      const ordinal = this.#ordinal(runs, start + i);
      if (ordinal < this.#from || ordinal >= this.#to) continue;
      const at = ordinal - this.#from;
      // Of two records of the tree that say something of one block, neither is believed.
      if (this.#known[at] === RECORDED && !overlaps) continue;
      // Two stray leaves that disagree: the later one found stands, and proves only what it matches.
      this.#known[at] = kind;
      this.#crcs[at] = view.getUint32(offset + CRCS + 4 * i);
    }
  }

  /**
   * A record begins with a run of written blocks, or where the one before it ended, and lies in one run. One that does not may
   * be shifted or too long, and says something of blocks that are not its own: it proves only what it matches.
   */
  #fits(start: number, length: number): boolean {
    const { runs } = this.#source;
    const ordinal = this.#ordinal(runs, start);
    if (ordinal < 0 || length > CSUM_PER_RECORD) return false;
    if (this.#ordinal(runs, start + length - 1) !== ordinal + length - 1) return false;
    const isInWindow = ordinal > this.#from && ordinal < this.#to;
    return !isInWindow || this.#ordinal(runs, start - 1) < 0 || this.#isKnown(start - 1);
  }

  /** Something was said of this block already. */
  #isKnown(block: number): boolean {
    const ordinal = this.#ordinal(this.#source.runs, block);
    return ordinal >= this.#from && ordinal < this.#to && this.#known[ordinal - this.#from] !== NOTHING;
  }

  /** Number of a written block among all; -1 for others. */
  #ordinal(runs: RunList, block: number): number {
    const last = this.#last;
    if (last < runs.length && block >= runs.start[last]! && block < runs.start[last]! + runs.count[last]!) {
      return this.#before[last]! + block - runs.start[last]!;
    }
    let low = 0;
    let high = runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (runs.start[middle]! <= block) low = middle + 1;
      else high = middle;
    }
    const run = low - 1;
    if (run < 0 || block >= runs.start[run]! + runs.count[run]!) return -1;
    this.#last = run;
    return this.#before[run]! + block - runs.start[run]!;
  }

  /** Whatever the old tree did not have. */
  #compute(): void {
    const { runs } = this.#source;
    let run = 0;
    while (run < runs.length && this.#before[run + 1]! <= this.#from) run++;
    for (; run < runs.length && this.#before[run]! < this.#to; run++) {
      const first = Math.max(this.#from, this.#before[run]!) - this.#before[run]!;
      const end = Math.min(this.#to, this.#before[run + 1]!) - this.#before[run]!;
      for (let at = first; at < end; ) {
        const index = this.#before[run]! + at - this.#from;
        let count = 1;
        if (this.#known[index] !== RECORDED) {
          while (at + count < end && this.#known[index + count] !== RECORDED) count++;
          this.#computeRun(runs.start[run]! + at, count, index);
        }
        at += count;
      }
    }
  }

  #computeRun(start: number, count: number, index: number): void {
    const { plan, geometry, ag } = this.#source;
    const { blockSize } = geometry;
    const most = Math.max(1, Math.floor(READ_BYTES / blockSize));
    const bytes = new Uint8Array(Math.min(most, count) * blockSize);
    for (let done = 0; done < count; ) {
      let blocks = Math.min(most, count - done);
      let into = bytes.subarray(0, blocks * blockSize);
      if (!readInto(plan, geometry.agBlockToByte(ag, start + done), into)) {
        blocks = 1;
        into = bytes.subarray(0, blockSize);
        if (!readInto(plan, geometry.agBlockToByte(ag, start + done), into)) {
          this.#crcs[index + done] = 0;
          this.#source.unreadable(start + done);
          done++;
          continue;
        }
      }
      for (let i = 0; i < blocks; i++) {
        const crc = crc32c(into.subarray(i * blockSize, (i + 1) * blockSize));
        const at = index + done + i;
        const proven = this.#known[at] === PROOF && this.#crcs[at] === crc;
        this.#crcs[at] = crc;
        if (!proven) this.#source.neverProven(start + done + i);
      }
      done += blocks;
    }
  }
}
