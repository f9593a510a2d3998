/** What the parts of the demo share: steps that are told with their time, and our command. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const cli = join(root, 'dist', 'tools', 'cadastre.js');

export const say = (text) => console.log(text);
export const seconds = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;

export const outcome = { failures: 0, skipped: [] };

/** One step of the story: runs `work`, prints its result and how long it took. A thrown error is a failure. */
export function step(title, work) {
  const start = performance.now();
  try {
    const result = work();
    say(`  ${title.padEnd(44)} ${String(result ?? 'ok').padEnd(72)} ${seconds(start)}`);
  } catch (error) {
    outcome.failures++;
    say(`  ${title.padEnd(44)} FAILED after ${seconds(start)}`);
    say(String(error instanceof Error ? error.message : error).replace(/^/gm, '      '));
  }
}

export function skip(what, why) {
  outcome.skipped.push(`${what}: ${why}`);
}

/** Run our command and return what it printed; throws with its own words when the status is none of `allowed`. */
export function cadastre(args, allowed = [0]) {
  const run = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (!allowed.includes(run.status)) {
    throw new Error(`cadastre ${args.join(' ')}: status ${run.status}\n${run.stderr}${run.stdout}`);
  }
  return run.stdout.trim();
}

/** The same, read as JSON. */
export const ask = (args, allowed) => JSON.parse(cadastre([...args, '--json'], allowed));

/** Throws unless two things are the same. */
export function same(found, expected, what) {
  if (found !== expected) throw new Error(`${what}: expected ${expected}, found ${found}`);
}

export const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
