/**
 * A picture of an image in numbers: each AG is cut into cells of equally many blocks, and each cell knows how many of its
 * blocks are of which class. Drawing it is the business of others.
 */
import type { Geometry } from '../../formats/geometry.ts';
import type { Volume } from '../volume/volume.ts';
import { BLOCK_CLASSES, BlockClasses } from './block-classes.ts';

const KINDS = BLOCK_CLASSES.length;

/** One AG, `counts[cell * BLOCK_CLASSES.length + kind]` blocks. */
export interface AgMap {
  readonly ag: number;
  readonly blocks: number;
  readonly cells: number;
  readonly counts: Uint32Array;
}

export interface ImageMap {
  readonly blockSize: number;
  /** Blocks of a cell: a power of two. The last cell of an AG may be short. */
  readonly cellBlocks: number;
  readonly ags: readonly AgMap[];
  /** Blocks of each class, in the order of BLOCK_CLASSES. */
  readonly totals: readonly number[];
}

export interface MapOptions {
  /** Cells in a row. */
  width: number;
  /** Rows of all AGs together; more when there are more AGs. */
  rows: number;
  /** Only this AG. */
  ag?: number;
  progress?: (done: number, total: number) => void;
}

/** Look at every block. Throws `corrupt` where trees of the free space or of sharing cannot be read. */
export function mapImage(volume: Volume, options: MapOptions): ImageMap {
  const { geometry } = volume;
  const wanted = options.ag === undefined ? Array.from({ length: geometry.agCount }, (_, ag) => ag) : [options.ag];
  const cellBlocks = cellSize(geometry, wanted, options);
  const classes = new BlockClasses(volume, options.progress);
  const totals = new Array<number>(KINDS).fill(0);
  const ags = wanted.map((ag): AgMap => {
    const blocks = geometry.agLength(ag);
    const cells = Math.ceil(blocks / cellBlocks);
    const counts = new Uint32Array(cells * KINDS);
    classes.forEachRun(ag, (agBlock, blockCount, kind) => {
      totals[kind]! += blockCount;
      const end = agBlock + blockCount;
      for (let at = agBlock; at < end; ) {
        const cell = Math.floor(at / cellBlocks);
        const next = Math.min(end, (cell + 1) * cellBlocks);
        counts[cell * KINDS + kind]! += next - at;
        at = next;
      }
    });
    return { ag, blocks, cells, counts };
  });
  return { blockSize: geometry.blockSize, cellBlocks, ags, totals };
}

/** The smallest power of two with which the picture is not higher than asked for. */
function cellSize(geometry: Geometry, ags: readonly number[], { width, rows }: MapOptions): number {
  const most = Math.max(rows, ags.length);
  for (let size = 1; ; size *= 2) {
    let sum = 0;
    for (const ag of ags) sum += Math.ceil(geometry.agLength(ag) / (size * width));
    if (sum <= most) return size;
  }
}

/** What a cell is drawn as. */
export interface CellLook {
  /** Class of most blocks: index into BLOCK_CLASSES. */
  readonly kind: number;
  /** Their part of the cell: 3 nearly all (7/8), 2 most (5/8), 1 less. */
  readonly shade: 1 | 2 | 3;
}

/** Of classes with equally many blocks the one listed first. */
export function cellLook({ counts }: AgMap, cell: number): CellLook {
  let kind = 0;
  let sum = 0;
  for (let i = 0; i < KINDS; i++) {
    const blocks = counts[cell * KINDS + i]!;
    sum += blocks;
    if (blocks > counts[cell * KINDS + kind]!) kind = i;
  }
  const part = counts[cell * KINDS + kind]! / Math.max(1, sum);
  return { kind, shade: part >= 7 / 8 ? 3 : part >= 5 / 8 ? 2 : 1 };
}
