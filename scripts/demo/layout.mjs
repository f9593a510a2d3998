/** Files in many pieces, some of them shared: seen, put in order, the sharing kept. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, cadastre, mebibytes, same, say, step } from './story.mjs';

const PIECE = 64 << 10;

/** @param format of the image that is made, torn and put in order. */
export function tearAndMend(format, scratch) {
  const image = join(scratch, `layout-${format}.img`);
  cadastre(['mkfs', image, '--size', '64m', '--format', format, '--quiet']);
  step('a file where only gaps are left, and its clone', () => {
    // Fill the image with small files, remove every second one, put a large one into the gaps, remove the rest.
    const small = join(scratch, `small-${format}`);
    mkdirSync(small);
    const count = Math.floor((0.9 * ask(['df', image]).available) / PIECE);
    const paths = Array.from({ length: count }, (_, i) => {
      writeFileSync(join(small, `${i}`), Buffer.alloc(PIECE, i + 1));
      return `/small/${i}`;
    });
    cadastre(['put', '-r', image, small, '/small']);
    cadastre(['rm', image, ...paths.filter((_, i) => i % 2 === 0)]);
    const large = join(scratch, 'large');
    writeFileSync(large, Buffer.concat(paths.slice(0, 0.45 * count).map((_, i) => Buffer.alloc(PIECE, i % 251))));
    cadastre(['put', image, large, '/large']);
    cadastre(['clone', image, '/large', '/clone']);
    cadastre(['rm', '-r', image, '/small']);
    return table(image);
  });
  if (process.stdout.isTTY) say(indent(cadastre(['map', image, '--rows', '8'])));
  const before = ask(['df', image]);
  const digest = cadastre(['cat', image, '/clone']);
  step('defrag, and join what is free', () => {
    const { totals } = ask(['defrag', image, '--free-space']);
    return `${mebibytes(totals.bytesMoved)} moved`;
  });
  step('afterwards', () => {
    if (ask(['df', image]).free < before.free) throw new Error('the image has less free space than before');
    same(cadastre(['cat', image, '/clone']) === digest, true, 'the same content');
    same(
      ask(['extents', image, '/clone']).every(({ shared }) => shared),
      true,
      'shared as before',
    );
    same(ask(['check', image]).clean, true, 'clean');
    return table(image);
  });
  if (process.stdout.isTTY) say(indent(cadastre(['map', image, '--rows', '8'])));
}

function table(image) {
  const { totals } = ask(['frag', image]);
  return `${totals.files} files in ${totals.extents} extents (ideal ${totals.ideal}); free: ${totals.freeExtents} runs`;
}

const indent = (text) => text.replace(/^/gm, '    ');
