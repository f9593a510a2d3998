/**
 * The picture as an SVG file that needs nothing else: a card with a colour scheme of its own for light and dark surroundings,
 * a row of cells per line, neighbours that look the same as one shape, and what is in it as its tooltip.
 */
import { BLOCK_CLASSES, type BlockClass } from '../../lib/map/block-classes.ts';
import { type AgMap, cellLook, type ImageMap } from '../../lib/map/map.ts';
import { showSize } from '../ui/sizes.ts';
import { MEANINGS, percent } from './legend.ts';

const CELL = 8;
const ROW = 12;
const GAP = 6;
const MARGIN = 20;
const LABEL = 56;
const HEAD = 58;
const LINE = 18;
/** Wide enough for the legend's longest line. */
const LEAST_WIDTH = 560;
/** How much of the colour a shade has, over that of free blocks. */
const OPACITY = [0, 0.45, 0.7, 1];
/** Of what is in a cell that is free for the most part. */
const SPECK = 0.25;

/** Fill in light and in dark surroundings. */
const COLOURS: { readonly [N in BlockClass]: readonly [string, string] } = {
  data: ['#2f6fde', '#5b93f5'],
  shared: ['#0f9d94', '#2cc4b8'],
  metadata: ['#8e44c9', '#b57be6'],
  inodes: ['#e08a00', '#f5ae3d'],
  log: ['#4d8f1f', '#7cc24a'],
  free: ['#e3e6ea', '#333a44'],
  lost: ['#d6293e', '#ff5c6c'],
};

const STYLE = [
  '.card{fill:#fff;stroke:#d5d9df}.ink{fill:#1d2430}.faint{fill:#5f6b7a}',
  ...BLOCK_CLASSES.map((name) => `.${name}{fill:${COLOURS[name][0]}}`),
  '@media (prefers-color-scheme:dark){.card{fill:#171b21;stroke:#39414d}.ink{fill:#e8ebf0}.faint{fill:#9aa5b3}',
  ...BLOCK_CLASSES.map((name) => `.${name}{fill:${COLOURS[name][1]}}`),
  '}.cell:hover{opacity:.75}',
].join('');

/** @param width cells in a row. @param title what the picture is of. */
export function drawSvg(map: ImageMap, width: number, title: string): string {
  const { ags, blockSize, cellBlocks, totals } = map;
  const parts: string[] = [];
  let y = HEAD;
  for (const ag of ags) {
    parts.push(text(MARGIN, y + ROW - 3, 'ink', `AG ${ag.ag}`));
    for (let first = 0; first < ag.cells; first += width, y += ROW) {
      const last = Math.min(first + width, ag.cells);
      for (let cell = first; cell < last; ) {
        const end = endOfLook(ag, cell, last);
        parts.push(shape(map, ag, cell, end, MARGIN + LABEL + (cell - first) * CELL, y));
        cell = end;
      }
    }
    y += GAP;
  }
  y += GAP;
  const blocks = cellBlocks === 1 ? '1 block' : `${cellBlocks} blocks`;
  const scale = `A cell is ${blocks} (${showSize(cellBlocks * blockSize)}), in the colour of what most of it is; paler where it is mixed.`;
  parts.push(text(MARGIN, y + LINE - 5, 'faint', scale));
  y += LINE + 4;
  BLOCK_CLASSES.forEach((name, kind) => {
    const count = totals[kind]!;
    if (count === 0) return;
    parts.push(`<rect class="${name}" x="${MARGIN}" y="${y + 3}" width="12" height="12" rx="2"/>`);
    parts.push(text(MARGIN + 20, y + LINE - 5, 'ink', name));
    parts.push(text(MARGIN + 180, y + LINE - 5, 'ink', showSize(count * blockSize), 'end'));
    parts.push(text(MARGIN + 240, y + LINE - 5, 'ink', percent(count, totals), 'end'));
    parts.push(text(MARGIN + 256, y + LINE - 5, 'faint', MEANINGS[name]));
    y += LINE;
  });
  const all = totals.reduce((sum, count) => sum + count, 0);
  const widest = Math.max(LEAST_WIDTH, LABEL + Math.min(width, Math.max(...ags.map(({ cells }) => cells))) * CELL);
  const [w, h] = [widest + 2 * MARGIN, y + MARGIN];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}" role="img"`,
    ` font-family="system-ui,'Segoe UI',Helvetica,Arial,sans-serif" font-size="12">\n`,
    `<title>${escapeXml(title)}</title>\n<style>${STYLE}</style>\n`,
    `<rect class="card" x="0.5" y="0.5" width="${w - 1}" height="${h - 1}" rx="8"/>\n`,
    `<text class="ink" x="${MARGIN}" y="30" font-size="16" font-weight="600">${escapeXml(title)}</text>\n`,
    text(MARGIN, 46, 'faint', `${showSize(all * blockSize)}, blocks of ${showSize(blockSize)}`),
    '\n',
    parts.join('\n'),
    '\n</svg>\n',
  ].join('');
}

/** The first cell that looks different. What is in cells that are free for the most part differs: each is told apart. */
function endOfLook(ag: AgMap, cell: number, last: number): number {
  const { kind, shade } = cellLook(ag, cell);
  let end = cell + 1;
  if (BLOCK_CLASSES[kind] === 'free' && shade !== 3) return end;
  for (; end < last; end++) {
    const look = cellLook(ag, end);
    if (look.kind !== kind || look.shade !== shade) break;
  }
  return end;
}

/** Cells that look the same, from `cell` to before `end`: the colour over that of free blocks, and the tooltip. */
function shape(
  { cellBlocks, blockSize }: ImageMap,
  ag: AgMap,
  cell: number,
  end: number,
  x: number,
  y: number,
): string {
  const { kind, shade } = cellLook(ag, cell);
  const from = cell * cellBlocks;
  const to = Math.min(end * cellBlocks, ag.blocks);
  const sums = BLOCK_CLASSES.map((_, i) => {
    let sum = 0;
    for (let at = cell; at < end; at++) sum += ag.counts[at * BLOCK_CLASSES.length + i]!;
    return sum;
  });
  const content = sums
    .map((sum, i) => ({ name: BLOCK_CLASSES[i]!, sum }))
    .filter(({ sum }) => sum > 0)
    .sort((a, b) => b.sum - a.sum);
  const list = content.map((each) => `${each.name} ${percent(each.sum, sums)}`).join(', ');
  const isFree = BLOCK_CLASSES[kind] === 'free';
  const colour = !isFree ? BLOCK_CLASSES[kind]! : shade === 3 ? 'free' : content[1]!.name;
  const opacity = isFree ? SPECK : OPACITY[shade]!;
  const place = `x="${x}" y="${y}" width="${(end - cell) * CELL}" height="${ROW - 2}"`;
  const tip = `AG ${ag.ag}, blocks ${from}-${to - 1} (${showSize((to - from) * blockSize)}): ${list}`;
  const over =
    shade === 3
      ? `<rect class="${colour}" ${place}/>`
      : `<rect class="free" ${place}/><rect class="${colour}" ${place} fill-opacity="${opacity}"/>`;
  return `<g class="cell">${over}<title>${tip}</title></g>`;
}

function text(x: number, y: number, look: string, content: string, anchor?: string): string {
  const at = anchor === undefined ? '' : ` text-anchor="${anchor}"`;
  return `<text class="${look}" x="${x}" y="${y}"${at}>${escapeXml(content)}</text>`;
}

/** Text for XML; control characters, which XML cannot have, as a replacement sign. */
function escapeXml(content: string): string {
  return content
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/[\p{Cc}\p{Cs}\p{Cn}]/gu, '\ufffd');
}
