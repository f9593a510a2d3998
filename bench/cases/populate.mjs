/** A whole image from a directory of 100,000 files (356 MB, 200 directories), against what others take for the same tree. */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeTree } from '../make-tree.mjs';

const SIZE = 1 << 30;
const image = (c) => join(c.scratch, 'image');

/** An image of zeroes in place of the last one. */
function fresh(c) {
  rmSync(image(c), { force: true });
  writeFileSync(image(c), '');
  truncateSync(image(c), SIZE);
}
const gone = (c) => rmSync(image(c), { force: true });

const ours = (format, more = []) => ({
  name: `cadastre mkfs --format ${format}${more.length > 0 ? ` ${more.join(' ')}` : ''} --from`,
  needs: ['cli'],
  reset: gone,
  command: (c) => [c.node, c.cli, 'mkfs', image(c), '--size', '1g', '--format', format, ...more, '--from', c.input],
});

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'populate',
    goal: 'no slower than mke2fs -d on the same tree',
    limit: 1,
    prepare: () => makeTree(),
    ours: ours('xfs'),
    peers: [
      {
        name: 'mke2fs -d',
        needs: ['mke2fs'],
        reset: fresh,
        command: (c) => ['mke2fs', '-q', '-N', '120000', '-d', c.input, image(c)],
      },
      ours('xfs', ['--rmapbt']),
      ours('cadastre'),
      {
        name: 'mkfs.btrfs --rootdir',
        needs: ['mkfs.btrfs'],
        reset: fresh,
        command: (c) => ['mkfs.btrfs', '-q', '--rootdir', c.input, image(c)],
      },
    ],
  },
];
