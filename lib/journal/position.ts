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
    this.bufferBytes = Math.max(MIN_LOG_BUFFER, geometry.logSunit);
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
