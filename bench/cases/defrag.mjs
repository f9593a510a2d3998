/**
 * Defragmentation against xfs_fsr on the mounted image, both until everything is durable (mount and unmount counted for the
 * peer: it works on no other image).
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

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

const needs = ['cli', 'mount', 'mkfs.xfs', 'python3'];
const sides = (file) => ({
  ours: {
    name: 'cadastre defrag',
    command: (c) => [c.node, c.cli, 'defrag', ours(c), '--top', '0'],
    reset: fresh('ours'),
    needs,
  },
  peers: [
    {
      name: 'xfs_fsr, mounted',
      command: (c) => (isRoot ? mounted(c, 'theirs', `xfs_fsr ${file}`) : null),
      reset: fresh('theirs'),
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
];
