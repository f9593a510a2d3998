/**
 * Ageing: age.py fills a mounted file system with every form there is (profile 'forms') or wears it by random operations
 * (profile 'random'), the same for the same seed. Here are its doors: on a mounted directory, on an image by loop mount,
 * and on an image under user-mode-linux.
 */
import { fileURLToPath } from 'node:url';
import { loopMount, mustRun, umlRun } from './oracle.ts';

/** What to do. */
export interface AgeOptions {
  /** Default 1. */
  seed?: number;
  /** Default 'forms'. */
  profile?: 'forms' | 'random';
  /** Operations of the random profile; default 20000. */
  ops?: number;
  /** Directory block size: the number of entries that makes each directory form follows from it. Default 4096. */
  dirBlockSize?: number;
  /** The random profile deletes a third of its files when more bytes than this are in use. Default 160 MiB. */
  budget?: number;
}

/** What was done: counts by operation; `absent`: the file system has no such feature; `refused`: by operation and errno. */
export interface AgeSummary {
  done: Record<string, number>;
  absent: Record<string, number>;
  refused: Record<string, number>;
}

const ageScript = fileURLToPath(new URL('./age.py', import.meta.url));

function ageArguments(options: AgeOptions): string[] {
  const args = ['--seed', String(options.seed ?? 1), '--profile', options.profile ?? 'forms'];
  if (options.ops !== undefined) args.push('--ops', String(options.ops));
  if (options.dirBlockSize !== undefined) args.push('--dir-block', String(options.dirBlockSize));
  if (options.budget !== undefined) args.push('--budget', String(options.budget));
  return args;
}

/** Ages what is mounted at a directory. Throws when the file system shows damage or behaves unexpectedly. */
export function ageDirectory(directory: string, options: AgeOptions = {}): AgeSummary {
  return JSON.parse(mustRun('python3', [ageScript, directory, ...ageArguments(options)])) as AgeSummary;
}

/** Ages an image by a loop mount (root); the image is cleanly unmounted afterwards. */
export function ageImage(image: string, options: AgeOptions = {}): AgeSummary {
  return loopMount(image, { write: true }, (directory) => ageDirectory(directory, options));
}

/** Ages an image under user-mode-linux, as an ordinary user. */
export function ageImageByUml(image: string, options: AgeOptions = {}): AgeSummary {
  const script = `python3 "$TOOLS/age.py" "$IMAGE0" ${ageArguments(options).join(' ')}`;
  const result = umlRun([image], script, { files: [ageScript] });
  if (result.status !== 0) throw new Error(`ageing under user-mode-linux failed (${result.status}): ${result.output}`);
  return JSON.parse(result.stdout) as AgeSummary;
}
