/**
 * What every part of a run shares: the device, the geometry, the problems found, and a reader that goes on where a cache
 * must refuse.
 *
 * 1. A block whose only fault is its CRC is reported, once, and then used: everything in it was verified.
 * 2. Nothing is cached but the last block: a run looks at most blocks once, and memory belongs to the claims.
 */
import { type BlockType, checkBlock } from '../../formats/block-type.ts';
import { BASIC_BLOCK, type Geometry } from '../../formats/geometry.ts';
import { Buffer, type Segment } from '../buffer/buffer.ts';
import type { BlockReader } from '../buffer/transaction.ts';
import type { Device } from '../device/device.ts';
import { CadastreError, corrupt } from '../errors.ts';
import { MAX_LOG_CYCLE } from '../journal/clean-log.ts';
import { ExtentTable, SPECIAL } from './claims.ts';
import type { ProblemCode, ProblemLog, ProblemPlace } from './problems.ts';

/** How far a run has come. */
export type Progress = (phase: string, done: number, total: number) => void;

export class Cancelled extends Error {}

export interface RunOptions {
  progress?: Progress | undefined;
  signal?: { readonly aborted: boolean } | undefined;
}

export class CheckContext {
  readonly device: Device;
  readonly geometry: Geometry;
  readonly problems: ProblemLog;
  readonly reader: ObservingReader;
  /** By AG: what is claimed, and what the reverse map records (empty without one). */
  readonly claims: ExtentTable[] = [];
  readonly recorded: ExtentTable[] = [];
  /** Position of the log's head; blocks from the future are an error. Undefined when the log cannot be read. */
  head: { cycle: number; block: number } | undefined;
  /** The latest position that any block carries, as far as a log can come; undefined: none carries one. */
  latest: { cycle: number; block: number } | undefined;
  /** False when something that makes claims could not be read, so that an unclaimed block proves nothing. */
  claimsComplete = true;
  readonly #options: RunOptions;

  constructor(device: Device, geometry: Geometry, problems: ProblemLog, options: RunOptions) {
    this.device = device;
    this.geometry = geometry;
    this.problems = problems;
    this.#options = options;
    this.reader = new ObservingReader(this);
    for (let ag = 0; ag < geometry.agCount; ag++) {
      this.claims.push(new ExtentTable());
      this.recorded.push(new ExtentTable());
    }
  }

  /** Say how far we are; throws `Cancelled` when somebody wants us to stop. */
  step(phase: string, done: number, total: number): void {
    if (this.#options.signal?.aborted) throw new Cancelled();
    this.#options.progress?.(phase, done, total);
  }

  /** Read bytes; a device that fails is reported, and false comes back. */
  read(byte: number, into: Uint8Array): boolean {
    try {
      this.device.read(byte, into);
      return true;
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'device') throw error;
      const { geometry } = this;
      const daddr = Math.floor(byte / BASIC_BLOCK);
      const where = { ag: geometry.agOfDaddr(daddr), block: geometry.agBlockOfDaddr(daddr) };
      this.problems.add('READ_ERROR', where, `${into.length} bytes`, error.message);
      return false;
    }
  }

  /** Claim blocks for a special owner (low word of RMAP_OWNER). */
  claimSpecial(ag: number, agBlock: number, count: number, owner: number): void {
    this.claims[ag]!.add(agBlock, count, SPECIAL, owner, 0, 0);
  }

  /** Report a block written later than the log has come. */
  checkLsn(view: DataView, offset: number, structure: string, where: ProblemPlace): void {
    const { head, latest } = this;
    const cycle = view.getUint32(offset);
    const block = view.getUint32(offset + 4);
    if (cycle === 0xffffffff && block === 0xffffffff) return;
    const isLatest = !latest || cycle > latest.cycle || (cycle === latest.cycle && block > latest.block);
    if (isLatest && cycle < MAX_LOG_CYCLE) {
      this.latest = { cycle, block };
    }
    if (!head || cycle < head.cycle || (cycle === head.cycle && block <= head.block)) return;
    this.problems.add('LSN_AHEAD', { ...where, structure }, `${head.cycle}:${head.block}`, `${cycle}:${block}`);
  }
}

/** See the head of this file. `code` and `place` say how to report what is wrong but usable. */
export class ObservingReader implements BlockReader {
  readonly geometry: Geometry;
  readonly #context: CheckContext;
  #last: Buffer | undefined;
  /** How a bad CRC is reported. */
  code: ProblemCode = 'TREE_BLOCK';
  place: ProblemPlace = {};

  constructor(context: CheckContext) {
    this.#context = context;
    this.geometry = context.geometry;
  }

  /** What the blocks read from now on belong to. */
  of(code: ProblemCode, place: ProblemPlace): this {
    this.code = code;
    this.place = place;
    return this;
  }

  get(daddr: number, length: number, type: BlockType): Buffer {
    const last = this.#last;
    if (last && last.daddr === daddr && last.type === type && last.length === length) return last;
    return this.#load([{ daddr, length }], length, type);
  }

  getSegments(segments: readonly Segment[], type: BlockType): Buffer {
    let length = 0;
    for (const segment of segments) length += segment.length;
    return this.#load(segments, length, type);
  }

  #load(segments: readonly Segment[], length: number, type: BlockType): Buffer {
    const context = this.#context;
    const { geometry } = context;
    const buffer = new Buffer(segments, length, type);
    const { daddr } = buffer;
    const where = { ...this.place, ag: geometry.agOfDaddr(daddr), block: geometry.agBlockOfDaddr(daddr) };
    let at = 0;
    for (const segment of segments) {
      if (!context.read(segment.daddr * BASIC_BLOCK, buffer.data.subarray(at, at + segment.length))) {
        throw corrupt('UNREADABLE', `${type.name}: unreadable`, {
          where,
          expected: 'readable',
          found: 'a device error',
        });
      }
      at += segment.length;
    }
    let fault = checkBlock(type, buffer.data, buffer.view, geometry, daddr);
    if (fault?.code === 'BAD_CRC') {
      const deeper = type.verify(buffer.view, geometry, daddr);
      if (!deeper) {
        context.problems.fault(this.code, { ...where, structure: where.structure ?? type.name }, fault);
        fault = undefined;
      }
    }
    if (fault) {
      throw corrupt(fault.code, `${type.name}: ${fault.field} is ${fault.found}, expected ${fault.expected}`, {
        where: { ...where, structure: type.name, field: fault.field },
        expected: fault.expected,
        found: fault.found,
      });
    }
    if (type.lsnOffset >= 0) context.checkLsn(buffer.view, type.lsnOffset, type.name, where);
    this.#last = buffer;
    return buffer;
  }
}
