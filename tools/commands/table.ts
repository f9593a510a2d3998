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
  entry('check', 'verify everything; exit status 0 clean, 4 problems', () => import('./check.ts'), FSCK),
  entry('owners', 'who owns a block', () => import('./owners.ts')),
  entry('db', 'show any structure by name', () => import('./db.ts')),
];
