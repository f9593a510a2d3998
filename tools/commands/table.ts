/** All commands, in the order of the help text. Modules are loaded when their command runs, so start-up stays short. */
import type { CommandEntry } from '../command.ts';

const PLAIN = { failed: 1, usage: 2 } as const;

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
  entry('cat', 'write files to standard output', () => import('./cat.ts')),
];
