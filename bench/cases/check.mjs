/** Checking an image of 4 GiB with 300,000 files, against xfs_repair -n on the same image. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { makeTree } from '../make-tree.mjs';

const image = (c) => join(c.scratch, 'image');

function prepare(c) {
  const source = makeTree({ files: 300_000, bytes: 1_000_000_000, directories: 600 });
  const args = [c.cli, 'mkfs', image(c), '--size', '4g', '--format', 'xfs', '--rmapbt', '--from', source];
  const made = spawnSync(c.node, args, { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
}

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'check',
    goal: 'at most 1.5 x xfs_repair -n, and no more memory',
    limit: 1.5,
    prepare,
    ours: { name: 'cadastre check', needs: ['cli'], command: (c) => [c.node, c.cli, 'check', image(c)] },
    peers: [{ name: 'xfs_repair -n', needs: ['xfs_repair'], command: (c) => ['xfs_repair', '-n', image(c)] }],
  },
];
