/** Sharing: clones, writes to shared blocks and dedupe, against the kernel on the mounted image (mount and unmount counted). */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeTree } from '../make-tree.mjs';

const program = fileURLToPath(new URL('../sharing.mjs', import.meta.url));
const isRoot = process.getuid?.() === 0;

function must(command, args) {
  const run = spawnSync(command, args, { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${run.stderr}`);
}

/** A copy of the prepared image for one run, durable: whoever flushes first must not pay for the copy. */
const fresh = (name) => (c) => {
  must('cp', ['--reflink=auto', '--sparse=always', join(c.scratch, 'base'), join(c.scratch, name)]);
  must('sync', [join(c.scratch, name)]);
};
const base = (c) => join(c.scratch, 'base');
const ours = (c) => join(c.scratch, 'ours');

/** A shell script in the mounted image; null where nobody may mount. */
function mounted(c, script) {
  if (!isRoot) return null;
  const lines = ['mkdir -p "$1/m"', 'mount -o loop "$1/theirs" "$1/m"', `(cd "$1/m"; ${script})`, 'umount "$1/m"'];
  return ['sh', '-ec', lines.join('\n'), 'sh', c.scratch];
}

/** The prepared image. */
function image(c, size, fill, format = 'xfs') {
  must(c.node, [c.cli, 'mkfs', base(c), '--size', size, '--format', format]);
  fill(c);
}

const OVERWRITE = `python3 -c '
import os
fd = os.open("clone", os.O_RDWR)
blocks = os.fstat(fd).st_size // 4096
r = 1
for i in range(10000):
    r = (r * 1664525 + 1013904223) & 0xffffffff
    os.pwrite(fd, b"\\2" * 4096, r % blocks * 4096)
os.fsync(fd)'`;

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'clone of a file in 100,000 extents',
    goal: 'at most half of cp --reflink=always',
    limit: 0.5,
    prepare: (c) => image(c, '2g', () => must(c.node, [program, 'fragmented', base(c), '100000'])),
    ours: {
      name: 'cadastre clone',
      command: (c) => [c.node, c.cli, 'clone', ours(c), '/file', '/clone'],
      reset: fresh('ours'),
      needs: ['cli'],
    },
    peers: [
      {
        name: 'cp --reflink=always, mounted',
        command: (c) => mounted(c, 'cp --reflink=always file clone'),
        reset: fresh('theirs'),
        needs: ['cli', 'mount'],
      },
    ],
  },
  {
    name: 'clone of a tree of 100,000 files',
    goal: 'at most half of cp -a --reflink=always',
    limit: 0.5,
    rounds: 3,
    prepare: (c) => image(c, '4g', () => must(c.node, [c.cli, 'put', '-r', base(c), makeTree(), '/tree'])),
    ours: {
      name: 'cadastre clone -r',
      command: (c) => [c.node, c.cli, 'clone', '-r', ours(c), '/tree', '/clone'],
      reset: fresh('ours'),
      needs: ['cli'],
    },
    peers: [
      {
        name: 'cp -a --reflink=always, mounted',
        command: (c) => mounted(c, 'cp -a --reflink=always tree clone'),
        reset: fresh('theirs'),
        needs: ['cli', 'mount'],
      },
    ],
  },
  {
    name: '10,000 writes of 4 KiB into a clone of 1 GiB',
    goal: 'no slower than the kernel with one fsync at the end',
    limit: 1,
    rounds: 3,
    prepare: (c) =>
      image(c, '2g', () => {
        const big = join(c.scratch, 'big');
        must('sh', ['-c', 'yes "a line that is no hole" | head -c 1073741824 > "$1"', 'sh', big]);
        must(c.node, [c.cli, 'put', base(c), big, '/big']);
        must(c.node, [c.cli, 'clone', base(c), '/big', '/clone']);
      }),
    ours: {
      name: 'through the library',
      command: (c) => [c.node, program, 'overwrite', ours(c), '/clone', '10000'],
      reset: fresh('ours'),
      needs: ['cli'],
    },
    peers: [
      {
        name: 'pwrite, mounted',
        command: (c) => mounted(c, OVERWRITE),
        reset: fresh('theirs'),
        needs: ['cli', 'mount', 'python3'],
      },
    ],
  },
  {
    name: 'dedupe of two identical trees',
    goal: 'faster than reading all data',
    limit: 1,
    rounds: 3,
    prepare: (c) =>
      image(
        c,
        '3g',
        () => {
          const source = makeTree({ files: 20_000, bytes: 200_000_000 });
          const large = join(c.scratch, 'large');
          must('sh', ['-c', 'head -c 800000000 /dev/urandom > "$1"', 'sh', large]);
          for (const name of ['/one', '/two']) {
            must(c.node, [c.cli, 'put', '-r', base(c), source, name]);
            must(c.node, [c.cli, 'put', base(c), large, `${name}/large`]);
          }
        },
        'cadastre',
      ),
    ours: {
      name: 'cadastre dedupe',
      command: (c) => [c.node, c.cli, 'dedupe', ours(c)],
      reset: fresh('ours'),
      needs: ['cli'],
    },
    peers: [
      { name: 'cadastre check --data', command: (c) => [c.node, c.cli, 'check', '--data', base(c)], needs: ['cli'] },
    ],
  },
];
