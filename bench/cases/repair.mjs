/** Repairing an image of 4 GiB with 300,000 files that was damaged in several ways, and blocks claimed twice, against xfs_repair. */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTree } from '../make-tree.mjs';

const sound = (c) => join(c.scratch, 'sound');
const image = (c) => join(c.scratch, 'image');
const BLOCK = 4096;
const AG_BLOCKS = 262144;

function prepare(c) {
  const source = makeTree({ files: 300_000, bytes: 1_000_000_000, directories: 600 });
  const args = [c.cli, 'mkfs', sound(c), '--size', '4g', '--format', 'xfs', '--rmapbt', '--from', source];
  const made = spawnSync(c.node, args, { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
}

/** A fresh copy with zeroes at [byte, length] pairs. */
const reset = (zeroes) => (c) => {
  const copied = spawnSync('cp', ['--sparse=always', sound(c), image(c)], { encoding: 'utf8' });
  if (copied.status !== 0) throw new Error(copied.stderr);
  const fd = openSync(image(c), 'r+');
  for (const [at, length] of zeroes) writeSync(fd, new Uint8Array(length), 0, length, at);
  closeSync(fd);
};

const damage = {
  nothing: [],
  'no primary superblock': [[0, 512]],
  'headers and tree roots of AG 1': [[AG_BLOCKS * BLOCK, 7 * BLOCK]],
  'first MiB of AG 1': [[AG_BLOCKS * BLOCK, 1 << 20]],
};

/** Half of 20,000 files claim the blocks of another, and what of them is right afterwards. */
const script = fileURLToPath(new URL('../cross-link.mjs', import.meta.url));
const own = (c, whose) => join(c.scratch, whose);
const copyFor = (whose) => (c) => execFileSync('cp', ['--sparse=always', sound(c), own(c, whose)]);
const outcome = (whose) => (c) => {
  const count = execFileSync(c.node, [script, 'differ', own(c, whose), c.input], { encoding: 'utf8' }).trim();
  return [`${count} of 20,000 files have other bytes than before`];
};

/** @type {import('../case.d.ts').Case} */
const crossed = {
  name: 'repair, 10,000 files that claim the blocks of another',
  prepare: (c) => {
    const source = makeTree({ files: 20_000, bytes: 200_000_000, directories: 200 });
    const args = [c.cli, 'mkfs', sound(c), '--size', '1g', '--format', 'xfs', '--rmapbt', '--from', source];
    execFileSync(c.node, args, { stdio: 'ignore' });
    execFileSync(c.node, [script, 'cross', sound(c)], { stdio: 'ignore' });
    return source;
  },
  ours: {
    name: 'cadastre repair',
    needs: ['cli'],
    reset: copyFor('ours'),
    statuses: [0, 1],
    command: (c) => [c.node, c.cli, 'repair', own(c, 'ours')],
    report: outcome('ours'),
  },
  peers: [
    {
      name: 'xfs_repair',
      needs: ['xfs_repair'],
      reset: copyFor('theirs'),
      command: (c) => ['xfs_repair', own(c, 'theirs')],
      report: outcome('theirs'),
    },
  ],
};

/** @type {import('../case.d.ts').Case[]} */
const wiped = Object.entries(damage).map(([name, zeroes]) => ({
  name: `repair, ${name}`,
  goal: 'at most 1.5 x xfs_repair, and no more memory',
  limit: 1.5,
  prepare,
  ours: {
    name: 'cadastre repair',
    needs: ['cli'],
    reset: reset(zeroes),
    statuses: [0, 1],
    command: (c) => [c.node, c.cli, 'repair', image(c)],
  },
  peers: [
    {
      name: 'xfs_repair',
      needs: ['xfs_repair'],
      reset: reset(zeroes),
      command: (c) => ['xfs_repair', image(c)],
    },
  ],
}));

export const cases = [...wiped, crossed];
