/**
 * Defragmentation against xfs_fsr on the mounted image, both until everything is durable (mount and unmount counted for the
 * peer: it works on no other image).
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const isRoot = process.getuid?.() === 0;

function must(command, args) {
  const run = spawnSync(command, args, { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${run.stderr}`);
  return run.stdout;
}

/** Two files grow in turns, `block` bytes at a time; then one goes. The other is in as many extents as it has pieces. */
const FRAGMENT = `python3 -c '
import os, sys
pieces, block = int(sys.argv[1]), int(sys.argv[2])
a = os.open("file", os.O_RDWR | os.O_CREAT)
b = os.open("other", os.O_RDWR | os.O_CREAT)
for i in range(pieces):
    os.posix_fallocate(a, i * block, block)
    os.posix_fallocate(b, i * block, block)
data = os.urandom(1 << 20)
for at in range(0, pieces * block, 1 << 20):
    os.pwrite(a, data[:min(1 << 20, pieces * block - at)], at)
os.fsync(a)
os.unlink("other")'`;

const base = (c) => join(c.scratch, 'base');
const ours = (c) => join(c.scratch, 'ours');
const fresh = (name) => (c) => {
  must('cp', ['--reflink=auto', '--sparse=always', base(c), join(c.scratch, name)]);
  must('sync', [join(c.scratch, name)]);
};

function mounted(c, image, script) {
  const lines = ['mkdir -p "$1/m"', `mount -o loop "$1/${image}" "$1/m"`, `(cd "$1/m"; ${script})`, 'umount "$1/m"'];
  return ['sh', '-ec', [...lines, `sync "$1/${image}"`].join('\n'), 'sh', c.scratch];
}

function prepare(size, pieces, block, copies = 0) {
  return (c) => {
    if (!isRoot) throw new Error('only root can mount the image that is to be fragmented');
    must('truncate', ['-s', size, base(c)]);
    must('mkfs.xfs', ['-q', '-f', base(c)]);
    const [command, ...args] = mounted(c, 'base', `${FRAGMENT} ${pieces} ${block}`);
    must(command, args);
    for (let i = 0; i < copies; i++) must(c.node, [c.cli, 'clone', base(c), '/file', `/clone-${i}`]);
  };
}

const wear = fileURLToPath(new URL('../wear.py', import.meta.url));

/** An image of 4 GiB that was filled, emptied and rewritten until three quarters of it were left in pieces. */
function prepareWorn(...how) {
  return (c) => {
    if (!isRoot) throw new Error('only root can mount the image that is to be fragmented');
    must('truncate', ['-s', '4g', base(c)]);
    must('mkfs.xfs', ['-q', '-f', base(c)]);
    const [command, ...args] = mounted(c, 'base', `python3 '${wear}' 1 2 74 ${how.join(' ')}`);
    must(command, args);
  };
}

const ask = (c, command, ...args) => JSON.parse(must(c.node, [c.cli, command, ...args, '--json']));
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Space and extents of an image, against what it was made from. */
const outcome = (name) => (c) => {
  const image = join(c.scratch, name);
  const grown = ask(c, 'df', image).used - ask(c, 'df', base(c)).used;
  const factor = (of) => {
    const { extents, ideal, heldApart, factor } = ask(c, 'frag', of).totals;
    const rest = Math.round((10_000 * (extents - ideal - heldApart)) / extents) / 100;
    const held = heldApart > 0 ? `, ${rest}% without ${heldApart} extents held apart by sharing` : '';
    return `${extents} extents, ideal ${ideal}: ${factor}%${held}`;
  };
  return [
    `used ${grown >= 0 ? '+' : '-'}${mebibytes(Math.abs(grown))}`,
    `before: ${factor(base(c))}`,
    `after: ${factor(image)}`,
  ];
};

/** The free space of each AG: what it is in, and what it could be in. */
const freeSpace = (name) => (c) => {
  const { freeSpace: after } = ask(c, 'defrag', join(c.scratch, name), '--free-space', '--dry-run');
  const { ags } = ask(c, 'df', join(c.scratch, name));
  return after.groups.map(({ ag, freeBlocks, possible }) => {
    const { longestFree } = ags[ag];
    const part = (of) => `${Math.round((100 * longestFree) / Math.max(1, of))}%`;
    return `AG ${ag}: longest run ${longestFree} blocks, ${part(freeBlocks)} of what is free, ${part(possible)} of what is possible`;
  });
};

const needs = ['cli', 'mount', 'mkfs.xfs', 'python3'];
const sides = (file, ...options) => ({
  ours: {
    name: 'cadastre defrag',
    command: (c) => [c.node, c.cli, 'defrag', ours(c), '--top', '0', ...options],
    reset: fresh('ours'),
    report: (c) => [...outcome('ours')(c), ...(options.includes('--free-space') ? freeSpace('ours')(c) : [])],
    needs,
  },
  peers: [
    {
      name: 'xfs_fsr, mounted',
      command: (c) => (isRoot ? mounted(c, 'theirs', `xfs_fsr ${file}`) : null),
      reset: fresh('theirs'),
      report: outcome('theirs'),
      needs: [...needs, 'xfs_fsr'],
    },
  ],
});

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'defrag of 160 MiB in 40,960 extents',
    goal: 'no slower than xfs_fsr',
    limit: 1,
    prepare: prepare('1g', 40_960, 4096),
    ...sides('file'),
  },
  {
    name: 'defrag of 1 GiB in 20,000 extents',
    goal: 'no slower than xfs_fsr',
    limit: 1,
    rounds: 3,
    prepare: prepare('4g', 20_000, 53_248),
    ...sides('file'),
  },
  {
    // xfs_fsr gives the file blocks of its own: its 80 MiB are used once more. Ours keeps all 50 clones sharing.
    name: 'defrag of 80 MiB in 20,000 extents that 50 clones share',
    goal: 'no byte un-shared; xfs_fsr un-shares the file, and costs its size',
    rounds: 3,
    prepare: prepare('1g', 20_000, 4096, 50),
    ...sides('file'),
  },
  {
    // xfs_fsr goes through every file of the mounted image; it has no way to join free space.
    name: 'defrag of an aged image of 4 GiB, 74% full',
    goal: 'factor under 1%, longest free runs 80% of what is free where inodes leave room for it',
    rounds: 1,
    prepare: prepareWorn(),
    ...sides('"$1/m"', '--free-space'),
  },
  {
    name: 'defrag of an aged image of 4 GiB with reflinks, 74% full',
    goal: 'the same, without extents that sharing holds apart; no byte un-shared',
    rounds: 1,
    prepare: prepareWorn('share'),
    ...sides('"$1/m"', '--free-space'),
  },
];
