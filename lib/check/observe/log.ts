/**
 * Is the log clean? Finds the head and looks at the record before it, without replaying anything.
 *
 * 1. Believes nothing: reads at most the few blocks of a binary search and the window a crash can leave unfinished.
 * 2. Anything that is not a well-formed clean end counts as dirty or bad; what is in a dirty log is not for us to say.
 */
import {
  LOG_BB,
  LOG_OP,
  LOG_RECORD_MAGIC,
  LogOpHeader,
  LogRecordHeader,
  logRecordShape,
} from '../../../formats/log.ts';
import type { CheckContext } from '../context.ts';

/** Writes that can have been in flight at a crash. */
const IN_FLIGHT_BB = (2 << 20) / LOG_BB;
/** Longest stretch behind the head that may hold no record: unfinished writes, or one record. */
const WINDOW_BB = (2 << 20) / LOG_BB + 512;

export type LogState = 'clean' | 'dirty' | 'bad';

/** Reports LOG_DIRTY, LOG_BAD and LOG_ZEROED; stores the head's position in the context. */
export function observeLog(context: CheckContext): LogState {
  return new LogLook(context).run();
}

class LogLook {
  readonly #context: CheckContext;
  readonly #start: number;
  readonly #length: number;
  readonly #sector = new Uint8Array(LOG_BB);
  readonly #view = new DataView(this.#sector.buffer);
  #readable = true;

  constructor(context: CheckContext) {
    const { geometry } = context;
    this.#context = context;
    this.#start = geometry.fsBlockToByte(geometry.logStart);
    this.#length = (geometry.logBlocks * geometry.blockSize) / LOG_BB;
  }

  run(): LogState {
    const first = this.#cycle(0);
    const last = this.#cycle(this.#length - 1);
    if (!this.#readable) return 'bad';
    if (first === 0 && last === 0) {
      // Nothing to replay, and the next record will be the first; but no tool that closes an image leaves its log so.
      this.#context.problems.add('LOG_ZEROED', { structure: 'log' }, 'a clean end', 'zeroes');
      this.#context.head = { cycle: 1, block: 0 };
      return 'clean';
    }
    if (first !== last && (last === 0 ? first !== 1 : first !== last + 1)) {
      return this.#bad('cycle', last === 0 ? 1 : `${last} or ${last + 1}`, first);
    }
    const written = first === last ? this.#length : this.#search(last);
    const head = this.#beforeHoles(written, first === last ? last - 1 : last);
    if (!this.#readable) return 'bad';
    return this.#before(head % this.#length, first === last ? last : first);
  }

  /** The first of the last blocks written that still has the cycle before: there the head is, for everybody who replays. */
  #beforeHoles(head: number, old: number): number {
    const most = Math.min(IN_FLIGHT_BB, this.#length - 1);
    if (head < most && old > 0) {
      const hole = this.#firstOf(old - 1, this.#length - (most - head), this.#length);
      if (hole >= 0) return hole;
    }
    const hole = this.#firstOf(old, Math.max(0, head - most), head);
    return hole >= 0 ? hole : head;
  }

  /** First BB of a run with this cycle, or -1. */
  #firstOf(cycle: number, from: number, to: number): number {
    const bytes = new Uint8Array((to - from) * LOG_BB);
    if (!this.#context.read(this.#start + from * LOG_BB, bytes)) this.#readable = false;
    if (!this.#readable) return -1;
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < to - from; i++) if (cycleAt(view, i * LOG_BB) === cycle) return from + i;
    return -1;
  }

  /** First BB whose cycle is that of the last one; those before have a greater one. */
  #search(last: number): number {
    let low = 1;
    let high = this.#length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#cycle(middle) === last) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The record that ends at `head`. @param cycle of what was written last. @param isAgain the head was moved back already. */
  #before(head: number, cycle: number, isAgain = false): LogState {
    const most = Math.min(WINDOW_BB, this.#length);
    for (let back = 1; back <= most; back++) {
      const block = (head - back + this.#length) % this.#length;
      if (!this.#read(block)) return 'bad';
      if (this.#view.getUint32(0) !== LOG_RECORD_MAGIC) continue;
      const header = LogRecordHeader.at(this.#view);
      const shape = logRecordShape(this.#view, this.#length);
      if (!shape) return this.#bad('record', 'a well-formed record before the head', `block ${block}`);
      if (!this.#isOurs(header.fsUuid)) return this.#bad('uuid', 'the uuid of this file system', 'another one');
      // A record may go round the end of the log: what follows it is a cycle later than its header.
      const headCycle = block >= head ? header.cycle + 1 : header.cycle;
      // Not written to its end: the log ends before it.
      if (shape.total > back && !isAgain && block < head)
        return this.#before(block, block === 0 ? cycle - 1 : cycle, true);
      this.#context.head = { cycle: headCycle, block: head };
      const ops = header.numLogops;
      if (headCycle !== (head === 0 ? cycle + 1 : cycle) || ops !== 1) return this.#dirty(block, ops);
      // xfs_db leaves blocks that were never written behind the record when it resets a log to a later cycle.
      for (let gap = back - shape.total; gap > 0; gap--) {
        if (this.#cycle((head - gap + this.#length) % this.#length) !== 0) return this.#dirty(block, ops);
      }
      if (shape.total > back) return this.#dirty(block, ops);
      if (!this.#read((block + shape.headers) % this.#length)) return 'bad';
      const op = LogOpHeader.at(this.#view);
      return (op.flags & LOG_OP.UNMOUNT) !== 0 ? 'clean' : this.#dirty(block, ops);
    }
    return this.#bad('record', 'a record before the head', 'none');
  }

  #isOurs(uuid: Uint8Array): boolean {
    const { uuid: ours } = this.#context.geometry;
    return uuid.every((byte) => byte === 0) || uuid.every((byte, i) => byte === ours[i]);
  }

  #dirty(block: number, ops: number): LogState {
    this.#context.problems.add('LOG_DIRTY', { structure: 'log', block }, 'a clean end', `${ops} operations at the end`);
    return 'dirty';
  }
  #bad(field: string, expected: string | number, found: string | number): LogState {
    this.#context.problems.add('LOG_BAD', { structure: 'log', field }, expected, found);
    return 'bad';
  }

  #read(block: number): boolean {
    if (!this.#context.read(this.#start + block * LOG_BB, this.#sector)) this.#readable = false;
    return this.#readable;
  }
  /** Cycle of a BB: its first word, or the second where the first is a record's magic. */
  #cycle(block: number): number {
    if (!this.#read(block)) return 0;
    return cycleAt(this.#view, 0);
  }
}

function cycleAt(view: DataView, offset: number): number {
  const word = view.getUint32(offset);
  return word === LOG_RECORD_MAGIC ? view.getUint32(offset + 4) : word;
}
