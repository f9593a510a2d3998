/** Removing a tree of 100,000 files, against the kernel doing it through a loop mount; both end durable. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeImage, mountedScript } from '../edit-image.mjs';
import { makeTree } from '../make-tree.mjs';

const base = (c) => join(c.scratch, 'base.img');
const image = (c) => join(c.scratch, 'work.img');

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'rm -r of 100,000 files',
    goal: 'no slower than rm -rf in the mounted image and umount',
    limit: 1,
    prepare: (c) => {
      mkdirSync(join(c.scratch, 'mount'));
      makeImage(c, base(c), '1g', makeTree());
    },
    ours: {
      name: 'cadastre rm -r',
      needs: ['cli'],
      reset: (c) => copyFileSync(base(c), image(c)),
      command: (c) => ['sh', '-c', '"$0" "$1" rm -r "$2" $("$0" "$1" ls "$2" / | sed s,^,/,)', c.node, c.cli, image(c)],
    },
    peers: [
      {
        name: 'mount, rm -rf, umount',
        needs: ['mount', 'mkfs.xfs'],
        reset: (c) => copyFileSync(base(c), image(c)),
        command: (c) => mountedScript(c, image(c), 'rm -rf "$MOUNT"/*'),
      },
    ],
  },
];
