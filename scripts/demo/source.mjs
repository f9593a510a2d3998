/** What the demo's images are made of. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/**
 * A copy of the project's own packages (its sources and documents where there are none): a tool that runs meanwhile may
 * write into the original. With a few things in it that packages do not have.
 */
export function makeSource(root, scratch) {
  const copy = join(scratch, 'source');
  mkdirSync(copy);
  const packages = join(root, 'node_modules');
  const [from, names] = existsSync(packages)
    ? [packages, readdirSync(packages).filter((name) => !name.startsWith('.') || name === '.bin')]
    : [root, ['docs', 'lib']];
  for (const name of names) {
    cpSync(join(from, name), join(copy, name), { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  }
  const odd = join(copy, 'odd things');
  mkdirSync(odd);
  const notText = Buffer.concat([Buffer.from(`${odd}/not text `), Buffer.from([0xff, 0xfe])]);
  writeFileSync(notText, 'a name that is not UTF-8');
  linkSync(notText, join(odd, 'the same file'));
  writeFileSync(join(odd, 'mostly a hole'), 'start');
  truncateSync(join(odd, 'mostly a hole'), 2 ** 32);
  chmodSync(join(odd, 'mostly a hole'), 0o4711);
  symlinkSync('a long way '.repeat(60), join(odd, 'a long symlink'));
  spawnSync('mkfifo', [join(odd, 'fifo')]);
  spawnSync('setfattr', ['-n', 'user.demo', '-v', 'kept', join(odd, 'the same file')]);
  return [copy, from];
}
