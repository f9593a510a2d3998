/** Reading one large file out of an image, against cat of the same bytes on the host. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { generator } from '../make-tree.mjs';

const MIB = 1 << 20;
const SIZE = 1024;

/** A file of 1 GiB, and images that hold it. */
function prepare(c) {
  const source = join(c.scratch, 'source');
  mkdirSync(source);
  const file = join(source, 'large');
  const random = generator(1);
  const piece = Buffer.alloc(MIB);
  for (let i = 0; i < MIB; i += 4) piece.writeUInt32LE(Math.floor(random() * 2 ** 32), i);
  const fd = openSync(file, 'w');
  for (let i = 0; i < SIZE; i++) {
    piece.writeUInt32LE(i, (i * 4) % MIB);
    writeSync(fd, piece);
  }
  closeSync(fd);
  for (const format of ['xfs', 'cadastre']) {
    const args = [c.cli, 'mkfs', join(c.scratch, format), '--size', 'auto', '--format', format, '--from', source];
    const made = spawnSync(c.node, args, { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
  }
  return file;
}

const ours = (format) => ({
  name: `cadastre cat (${format})`,
  needs: ['cli'],
  command: (c) => [c.node, c.cli, 'cat', join(c.scratch, format), '/large'],
});

/** @type {import('../case.d.ts').Case[]} */
export const cases = [
  {
    name: 'cat',
    goal: "at least 0.7 of plain cat's speed",
    limit: 1 / 0.7,
    prepare,
    ours: ours('xfs'),
    // Through a pipe: cat and the kernel would otherwise copy nothing at all.
    peers: [
      { name: 'cat', command: (c) => ['sh', '-c', 'cat "$1" | cat > /dev/null', 'sh', c.input] },
      ours('cadastre'),
    ],
  },
];
