/** Putting 10,000 small files into an image that exists, against the kernel doing it through a loop mount; both end durable. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeImage, mountedScript } from '../edit-image.mjs';
import { makeTree } from '../make-tree.mjs';

const image = (c) => join(c.scratch, 'work.img');

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'put 10,000 files',
    goal: 'no slower than cp -a into the mounted image and umount',
    limit: 1,
    prepare: (c) => {
      mkdirSync(join(c.scratch, 'mount'));
      makeImage(c, join(c.scratch, 'base.img'), '1g');
      return makeTree({ files: 10_000, bytes: 40_000_000, directories: 50 });
    },
    ours: {
      name: 'cadastre put -r',
      needs: ['cli'],
      reset: (c) => copyFileSync(join(c.scratch, 'base.img'), image(c)),
      command: (c) => [c.node, c.cli, 'put', '-r', '--quiet', image(c), c.input, '/tree'],
    },
    peers: [
      {
        name: 'mount, cp -a, umount',
        needs: ['mount', 'mkfs.xfs'],
        reset: (c) => copyFileSync(join(c.scratch, 'base.img'), image(c)),
        command: (c) => mountedScript(c, image(c), `cp -a "${c.input}" "$MOUNT/tree"`),
      },
    ],
  },
];
