/**
 * The picture for a terminal: a row of cells per line, one group of lines per AG, a legend with totals. With colours a cell
 * is a block whose shade says how much of it is of its class; without, a letter: capital where the cell is nearly all of it.
 */
import { BLOCK_CLASSES, type BlockClass } from '../../lib/map/block-classes.ts';
import { type CellLook, cellLook, type ImageMap } from '../../lib/map/map.ts';
import { hasColour, line, paint } from '../ui/output.ts';
import { showSize } from '../ui/sizes.ts';
import { MEANINGS, percent } from './legend.ts';

/** By shade. */
const BLOCKS = ['', '░', '▒', '█'];
const LETTERS: { readonly [N in BlockClass]: string } = {
  data: 'ddD',
  shared: 'ssS',
  metadata: 'mmM',
  inodes: 'iiI',
  log: 'llL',
  free: ',,.',
  lost: 'xxX',
};
const PAINTS: { readonly [N in BlockClass]: (text: string) => string } = {
  data: (text) => paint.blue(text),
  shared: (text) => paint.cyan(text),
  metadata: (text) => paint.magenta(text),
  inodes: (text) => paint.yellow(text),
  log: (text) => paint.green(text),
  free: (text) => paint.grey(text),
  lost: (text) => paint.red(text),
};

/** @param width cells in a line. */
export function drawText(map: ImageMap, width: number): void {
  const { ags, cellBlocks, blockSize } = map;
  const agWidth = Math.max(...ags.map(({ ag }) => `AG ${ag}`.length));
  const blockWidth = Math.max(...ags.map(({ blocks }) => String(blocks).length));
  for (const ag of ags) {
    for (let first = 0; first < ag.cells; first += width) {
      const looks = Array.from({ length: Math.min(width, ag.cells - first) }, (_, i) => cellLook(ag, first + i));
      const name = (first === 0 ? `AG ${ag.ag}` : '').padEnd(agWidth);
      line(`${name}  ${paint.grey(String(first * cellBlocks).padStart(blockWidth))}  ${drawCells(looks)}`);
    }
  }
  line();
  const blocks = cellBlocks === 1 ? '1 block' : `${cellBlocks} blocks`;
  line(`A cell is ${blocks} (${showSize(cellBlocks * blockSize)}), drawn as what most of it is.`);
  drawLegend(map);
}

function drawCells(looks: readonly CellLook[]): string {
  let text = '';
  for (let i = 0; i < looks.length; ) {
    const name = BLOCK_CLASSES[looks[i]!.kind]!;
    let run = '';
    for (; i < looks.length && BLOCK_CLASSES[looks[i]!.kind] === name; i++) run += sign(name, looks[i]!.shade);
    text += PAINTS[name](run);
  }
  return text;
}

function sign(name: BlockClass, shade: 1 | 2 | 3): string {
  if (!hasColour()) return LETTERS[name][shade - 1]!;
  return name === 'free' && shade === 3 ? '·' : BLOCKS[shade]!;
}

/** Widths are those of the text without its colours, so this is no Table. */
function drawLegend({ totals, blockSize }: ImageMap): void {
  const blockWidth = Math.max(...totals.map((blocks) => String(blocks).length));
  BLOCK_CLASSES.forEach((name, kind) => {
    const blocks = totals[kind]!;
    if (blocks === 0) return;
    const sample = hasColour() ? sign(name, 3) + sign(name, 2) + sign(name, 1) : `${sign(name, 3)} ${sign(name, 1)}`;
    line(
      `  ${PAINTS[name](sample)}  ${name.padEnd(8)}  ${String(blocks).padStart(blockWidth)}  ` +
        `${showSize(blocks * blockSize).padStart(8)}  ${percent(blocks, totals).padStart(6)}  ${paint.grey(MEANINGS[name])}`,
    );
  });
}
