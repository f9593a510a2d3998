/** Blocks as people name them: `2:117` (AG and AG block), `2:117+8`, `byte:4096k`, `fs:524405`. */
import type { Geometry } from '../../formats/geometry.ts';
import { usage } from '../../lib/errors.ts';
import { parseNumber, parseSize } from './sizes.ts';

/** Throws a usage error (BAD_BLOCK) for a block that does not exist. */
export function parseBlocks(text: string, geometry: Geometry): { ag: number; agBlock: number; blockCount: number } {
  const [place = '', countText] = text.split('+', 2);
  const blockCount = countText === undefined ? 1 : parseNumber(countText, 'number of blocks', 1, geometry.agBlocks);
  const { ag, agBlock } = parsePlace(place, text, geometry);
  if (!(ag < geometry.agCount && agBlock + blockCount <= geometry.agLength(ag))) {
    throw usage('BAD_BLOCK', `${text} lies outside the image`, {
      expected: `AG 0..${geometry.agCount - 1}, block 0..${ag < geometry.agCount ? geometry.agLength(ag) - 1 : geometry.agBlocks - 1}`,
      found: text,
    });
  }
  return { ag, agBlock, blockCount };
}

function parsePlace(place: string, text: string, geometry: Geometry): { ag: number; agBlock: number } {
  const [head = '', tail, more] = place.split(':');
  if (tail === undefined || more !== undefined) {
    throw usage('BAD_BLOCK', `${text} is not a block`, { expected: 'AG:BLOCK, byte:N or fs:N', found: text });
  }
  if (head === 'byte') {
    const block = Math.floor(parseSize(tail, text) / geometry.blockSize);
    return { ag: Math.floor(block / geometry.agBlocks), agBlock: block % geometry.agBlocks };
  }
  const number = parseNumber(tail, text);
  if (head === 'fs') return { ag: geometry.agOfFsBlock(number), agBlock: geometry.agBlockOfFsBlock(number) };
  return { ag: parseNumber(head, text), agBlock: number };
}
