/** `map IMAGE`: a picture of what is where, in the terminal or as an SVG file. */
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { deviceError, usage } from '../../lib/errors.ts';
import { BLOCK_CLASSES } from '../../lib/map/block-classes.ts';
import { type AgMap, cellLook, type ImageMap, mapImage } from '../../lib/map/map.ts';
import { jsonOption } from '../command.ts';
import { drawSvg } from '../map/svg.ts';
import { drawText } from '../map/text.ts';
import { withVolume } from '../ui/image.ts';
import { json, line, rawBytes } from '../ui/output.ts';
import { Progress } from '../ui/progress.ts';
import { parseNumber } from '../ui/sizes.ts';

/** Beside the picture: the names of the AGs and the first block of each row. */
const LABELS = 18;
const MOST_CELLS = 1 << 16;

interface Options {
  width?: string;
  rows?: string;
  ag?: string;
  svg?: string;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .option('--width <n>', 'cells in a row (default: as wide as the terminal, at most 128)')
    .option('--rows <n>', 'rows of the whole picture (default 24; 48 in a file); more when there are more AGs')
    .option('--ag <n>', 'only this AG')
    .option('--svg <file>', 'write an SVG picture (- is standard output)')
    .addOption(jsonOption())
    .action((image: string, options: Options) =>
      withVolume(image, (volume) => {
        if (options.svg !== undefined && options.json)
          throw usage('BAD_OPTIONS', '--svg and --json exclude each other');
        const isFile = options.svg !== undefined;
        const screen = isFile ? 128 : Math.min(128, Math.max(16, (process.stdout.columns || 82) - LABELS));
        const width = options.width === undefined ? screen : parseNumber(options.width, '--width', 1, 4096);
        const rows = options.rows === undefined ? (isFile ? 48 : 24) : parseNumber(options.rows, '--rows', 1, 4096);
        if (width * rows > MOST_CELLS) {
          throw usage('BAD_OPTIONS', `--width times --rows is more than ${MOST_CELLS} cells`);
        }
        const ag =
          options.ag === undefined ? {} : { ag: parseNumber(options.ag, '--ag', 0, volume.geometry.agCount - 1) };
        const bar = new Progress(options.json);
        const progress = (done: number, total: number) => bar.update(total > 0 ? done / total : undefined, 'inodes');
        const map = mapImage(volume, { width, rows, ...ag, progress });
        bar.end();
        if (options.json) json(asJson(map));
        else if (options.svg !== undefined) write(options.svg, drawSvg(map, width, basename(image)));
        else drawText(map, width);
      }),
    );
}

function write(file: string, text: string): void {
  if (file === '-') {
    rawBytes(Buffer.from(text));
    return;
  }
  try {
    writeFileSync(file, text);
  } catch (cause) {
    const { code = 'EIO' } = cause as { code?: string };
    throw deviceError(code, `cannot write ${file}: ${code}`, { where: { path: file }, cause });
  }
  line(`${file} written`);
}

function asJson({ blockSize, cellBlocks, ags, totals }: ImageMap): unknown {
  return {
    blockSize,
    cellBlocks,
    totals: named((kind) => totals[kind]!),
    ags: ags.map((ag) => ({
      ag: ag.ag,
      blocks: ag.blocks,
      cells: Array.from({ length: ag.cells }, (_, cell) => cellJson(ag, cell)),
    })),
  };
}

function cellJson(ag: AgMap, cell: number): unknown {
  const blocks = named((kind) => ag.counts[cell * BLOCK_CLASSES.length + kind]!);
  return { class: BLOCK_CLASSES[cellLook(ag, cell).kind], blocks };
}

/** By class, without those that have nothing. */
function named(count: (kind: number) => number): Record<string, number> {
  const entries = BLOCK_CLASSES.map((name, kind) => [name, count(kind)] as const);
  return Object.fromEntries(entries.filter(([, blocks]) => blocks > 0));
}
