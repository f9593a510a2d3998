/** An empty image of 1 GiB: what remains beside Node's own start-up. */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const image = (c) => join(c.scratch, 'image');
const gone = (c) => rmSync(image(c), { force: true });

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'mkfs-empty',
    goal: "at most Node's own start-up and 50 ms",
    ours: {
      name: 'cadastre mkfs --format xfs --size 1g',
      needs: ['cli'],
      reset: gone,
      command: (c) => [c.node, c.cli, 'mkfs', image(c), '--format', 'xfs', '--size', '1g'],
    },
    peers: [
      { name: 'node -e 0', command: (c) => [c.node, '-e', '0'] },
      {
        name: 'mkfs.xfs',
        needs: ['mkfs.xfs'],
        reset: (c) => {
          gone(c);
          writeFileSync(image(c), '');
          truncateSync(image(c), 1 << 30);
        },
        command: (c) => ['mkfs.xfs', '-q', image(c)],
      },
    ],
  },
];
