/** Arguments of the form SOURCE... TARGET. */
import { usage } from '../../lib/errors.ts';

/** Throws usage NO_TARGET when there is only one. */
export function splitTarget(paths: readonly string[]): { sources: string[]; target: string } {
  const target = paths.at(-1);
  if (target === undefined || paths.length < 2) throw usage('NO_TARGET', `where to? ${paths[0] ?? ''} has no target`);
  return { sources: paths.slice(0, -1), target };
}
