/** Writing 1 GiB into an image, against the raw speed of the disk below it. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeImage } from '../edit-image.mjs';
import { cacheDirectory } from '../make-tree.mjs';

const image = (c) => join(c.scratch, 'work.img');

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'put one file of 1 GiB',
    goal: 'at least half of the raw write speed',
    limit: 2,
    prepare: () => {
      mkdirSync(cacheDirectory, { recursive: true });
      const source = join(cacheDirectory, 'gibibyte');
      if (!existsSync(source)) {
        const script = 'dd if=/dev/urandom of="$1.part" bs=4M count=256 status=none && mv "$1.part" "$1"';
        execFileSync('sh', ['-c', script, 'sh', source]);
      }
      return source;
    },
    ours: {
      name: 'cadastre put',
      needs: ['cli'],
      reset: (c) => {
        rmSync(image(c), { force: true });
        makeImage(c, image(c), '2g');
      },
      command: (c) => [c.node, c.cli, 'put', image(c), c.input, '/file'],
    },
    peers: [
      {
        name: 'dd conv=fsync',
        needs: ['dd'],
        reset: (c) => rmSync(join(c.scratch, 'raw'), { force: true }),
        command: (c) => ['dd', `if=${c.input}`, `of=${join(c.scratch, 'raw')}`, 'bs=4M', 'conv=fsync', 'status=none'],
      },
    ],
  },
];
