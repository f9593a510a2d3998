/** Places in the log: a cycle (how often it was written round) and a basic block. The log is a ring of basic blocks. */
import type { Geometry } from '../../formats/geometry.ts';
import { LOG_BB, MIN_LOG_BUFFER } from '../../formats/log.ts';

/** An LSN in its two halves. */
export interface Position {
  readonly cycle: number;
  readonly block: number;
}

/** Earlier (negative), equal or later. */
export function comparePositions(a: Position, b: Position): number {
  return a.cycle - b.cycle || a.block - b.block;
}

/** What of a log follows from the geometry. Sizes in basic blocks. */
export class LogShape {
  /** Byte address of the log. */
  readonly start: number;
  readonly blocks: number;
  /** Log stripe unit: records start and end on multiples of it; 1 = none. */
  readonly unit: number;
  /** In-core buffer size that our records claim, in bytes; decides their header blocks. */
  readonly bufferBytes: number;

  constructor(geometry: Geometry) {
    this.start = geometry.fsBlockToByte(geometry.logStart);
    this.blocks = (geometry.logBlocks * geometry.blockSize) / LOG_BB;
    this.unit = Math.max(1, Math.floor(geometry.logSunit / LOG_BB));
    this.bufferBytes = Math.max(MIN_LOG_BUFFER, powerOfTwo(geometry.logSunit));
  }

  /** Longest record: whole stripe units inside a buffer. */
  get recordBytes(): number {
    const unitBytes = this.unit * LOG_BB;
    return Math.floor(this.bufferBytes / unitBytes) * unitBytes;
  }

  /** Most that a checkpoint may take. Half of the log may be in use before it, and two records stay free behind it. */
  get checkpointLimit(): number {
    return Math.floor(Math.min((this.blocks * 3) / 8, this.blocks / 2 - (2 * this.bufferBytes) / LOG_BB));
  }

  /** So much waiting makes a checkpoint due. */
  get checkpointDue(): number {
    return Math.floor(this.checkpointLimit / 3);
  }

  /** Most that one transaction may take: it must fit behind what waits already. */
  get transactionLimit(): number {
    return this.checkpointLimit - this.checkpointDue;
  }

  /** The place `count` basic blocks behind another one. */
  advance(at: Position, count: number): Position {
    const block = at.block + count;
    return block < this.blocks ? { cycle: at.cycle, block } : { cycle: at.cycle + 1, block: block - this.blocks };
  }

  /** Basic blocks from `tail` up to `head`. */
  distance(tail: Position, head: Position): number {
    return (head.cycle - tail.cycle) * this.blocks + head.block - tail.block;
  }
}

function powerOfTwo(bytes: number): number {
  let power = 1;
  while (power < bytes) power *= 2;
  return power;
}
