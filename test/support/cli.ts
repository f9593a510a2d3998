/**
 * Runs the real command in a process of its own: the compiled one when it is newer than every source (after a build, as in
 * `npm test`), else the sources through tsx, which starts more slowly.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const compiled = join(root, 'dist', 'tools', 'cadastre.js');

function newest(folder: string): number {
  let latest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts') || entry.name.endsWith('.test.ts')) continue;
    latest = Math.max(latest, statSync(join(entry.parentPath, entry.name)).mtimeMs);
  }
  return latest;
}

const isFresh =
  existsSync(compiled) &&
  ['formats', 'lib', 'tools'].every((folder) => newest(join(root, folder)) < statSync(compiled).mtimeMs);
/** Program and first arguments of the command. */
export const cadastre: readonly string[] = isFresh
  ? [process.execPath, compiled]
  : [
      process.execPath,
      '--import',
      join(root, 'node_modules', 'tsx', 'dist', 'esm', 'index.mjs'),
      join(root, 'tools', 'cadastre.ts'),
    ];

export interface CliResult {
  status: number;
  stdout: string;
  stderr: string;
}

/** Never throws for the exit status. `bytes`: standard output as latin-1, one character a byte. */
export function cli(
  args: string[],
  options: { env?: Record<string, string>; bytes?: boolean; input?: string } = {},
): CliResult {
  const [program, ...first] = cadastre;
  const result = spawnSync(program!, [...first, ...args], {
    encoding: options.bytes ? 'latin1' : 'utf8',
    maxBuffer: 1 << 28,
    ...(options.input === undefined ? {} : { input: options.input }),
    timeout: 60_000,
    env: { ...process.env, SOURCE_DATE_EPOCH: '', ...options.env },
  });
  if (result.error) throw result.error;
  return { status: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
}

/** Runs it, wants status 0, and gives the JSON it printed. */
export function cliJson<T = unknown>(...args: string[]): T {
  const { status, stdout, stderr } = cli([...args, '--json']);
  if (status !== 0) throw new Error(`cadastre ${args.join(' ')}: status ${status}\n${stderr}`);
  return JSON.parse(stdout) as T;
}
