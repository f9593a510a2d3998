/** Finding the host's programs: what the oracles, the digest and the ageing helper call. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const found = new Map<string, string | undefined>();

/** Full path of a program in PATH or in the system's administrator folders; undefined when there is none. */
export function findProgram(name: string): string | undefined {
  if (found.has(name)) return found.get(name);
  // The system's folders first: under user-mode-linux, as another user, a program of somebody's home is not there.
  const folders = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', ...(process.env.PATH ?? '').split(':')];
  const path = folders.map((folder) => join(folder, name)).find(isExecutable);
  found.set(name, path);
  return path;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Full path of a program that must be there; throws when it is not. */
export function program(name: string): string {
  const path = findProgram(name);
  if (!path) throw new Error(`${name} is not installed`);
  return path;
}

/** The Python interpreter that runs the helpers; throws when there is none. */
export function python(): string {
  return program('python3');
}
