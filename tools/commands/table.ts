/** All commands, in the order of the help text. Modules are loaded when their command runs, so start-up stays short. */
import type { CommandEntry } from '../command.ts';

const PLAIN = { failed: 1, usage: 2 } as const;
/** As fsck's. */
const FSCK = { failed: 8, usage: 16 } as const;

const entry = (
  name: string,
  summary: string,
  load: CommandEntry['load'],
  status: CommandEntry['status'] = PLAIN,
): CommandEntry => ({ name, summary, load, status });

export const COMMANDS: readonly CommandEntry[] = [
  entry('mkfs', 'make an image, empty or from a directory', () => import('./mkfs.ts')),
  entry('info', 'format, size, features, counters, state of the log', () => import('./info.ts')),
  entry('ls', 'list a directory', () => import('./ls.ts')),
  entry('tree', 'draw a directory with everything below it', () => import('./tree.ts')),
  entry('stat', 'everything an inode says', () => import('./stat.ts')),
  entry('cat', 'write files to standard output', () => import('./cat.ts')),
  entry('get', 'copy files and trees out of the image', () => import('./get.ts')),
  entry('extents', 'where the blocks of a file are', () => import('./extents.ts')),
  entry('du', 'what files and trees take', () => import('./du.ts')),
  entry('df', 'how full the image is', () => import('./df.ts')),
  entry('frag', 'files and free space in pieces', () => import('./frag.ts')),
  entry('map', 'a picture of what is where', () => import('./map.ts')),
  entry('put', 'copy files and trees from the host into the image', () => import('./put.ts')),
  entry('mkdir', 'make directories', () => import('./mkdir.ts')),
  entry('rm', 'remove files and trees', () => import('./rm.ts')),
  entry('mv', 'rename and move', () => import('./mv.ts')),
  entry('ln', 'link files, or make symlinks', () => import('./ln.ts')),
  entry('clone', 'the same file or tree again, sharing its blocks', () => import('./clone.ts')),
  entry('cp', 'copy inside the image, sharing blocks where it can be', () => import('./cp.ts')),
  entry('unshare', 'give files blocks of their own', () => import('./unshare.ts')),
  entry('dedupe', 'share blocks of equal content', () => import('./dedupe.ts')),
  entry('defrag', 'files in fewer extents, sharing kept', () => import('./defrag.ts')),
  entry('chmod', 'set permissions', () => import('./chmod.ts')),
  entry('chown', 'set owner and group', () => import('./chown.ts')),
  entry('touch', 'set times, make empty files', () => import('./touch.ts')),
  entry('truncate', 'cut files or make them longer', () => import('./truncate.ts')),
  entry('xattr', 'get, set, list and remove extended attributes', () => import('./xattr.ts')),
  entry('undo', 'put back what an edit with --undo has changed', () => import('./undo.ts')),
  entry('log', 'what waits in the log; replay or discard it', () => import('./log.ts')),
  entry('check', 'verify everything; exit status 0 clean, 4 problems', () => import('./check.ts'), FSCK),
  entry('repair', 'mend everything, say every decision; exit status as fsck', () => import('./repair.ts'), FSCK),
  entry('owners', 'who owns a block', () => import('./owners.ts')),
  entry('db', 'show any structure by name', () => import('./db.ts')),
  entry('damage', 'break any structure on purpose: for tests and training', () => import('./damage.ts')),
];
