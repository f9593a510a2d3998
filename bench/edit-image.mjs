/** What the measurements of edits share: an image to edit, and the kernel's way through a loop mount. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Makes an xfs image, empty or from a directory. */
export function makeImage(context, path, size, from) {
  const source = from === undefined ? [] : ['--from', from];
  execFileSync(context.node, [context.cli, 'mkfs', path, '--format', 'xfs', '--size', size, '--quiet', ...source]);
}

/** A command that does `work` on the mounted image ($MOUNT) and makes it durable; null for ordinary users. */
export function mountedScript(context, image, work) {
  if (process.getuid?.() !== 0) return null;
  const script = `set -e; mount -o loop,nouuid "$1" "$MOUNT"; ${work}; umount "$MOUNT"; sync "$1"`;
  return ['env', `MOUNT=${join(context.scratch, 'mount')}`, 'sh', '-c', script, 'sh', image];
}
