/**
 * The long crash run: `npm run test:crash [-- SECONDS]` (default 600). Rounds of the crash suite with ever new seeds and many
 * cut points, until the time is up or something fails; then the seed and the line that replays the failure are printed.
 * CADASTRE_SEED fixes the first seed.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const seconds = Number(process.argv[2] ?? 600);
if (!(seconds > 0)) {
  console.error('usage: npm run test:crash [-- SECONDS]');
  process.exit(2);
}
const first = Number(process.env.CADASTRE_SEED ?? Math.floor(Math.random() * 1e6));
const end = Date.now() + seconds * 1000;
let rounds = 0;
do {
  const seed = first + rounds;
  console.log(`round ${rounds + 1}: CADASTRE_SEED=${seed}`);
  const run = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', 'test/crash'], {
    cwd: root,
    stdio: 'inherit',
    env: {
      CADASTRE_CRASH_CUTS: '200',
      CADASTRE_CRASH_STEPS: '250',
      CADASTRE_CRASH_KERNEL_CUTS: '8',
      CADASTRE_CRASH_KILLS: '8',
      ...process.env,
      CADASTRE_SEED: String(seed),
    },
  });
  if (run.status !== 0) {
    console.log(
      `failed with CADASTRE_SEED=${seed}; replay: CADASTRE_CRASH='LINE' npx vitest run test/crash/crash.test.ts`,
    );
    process.exit(1);
  }
  rounds++;
} while (Date.now() < end && process.env.CADASTRE_CRASH === undefined);
console.log(`${rounds} rounds without a failure, seeds ${first}..${first + rounds - 1}`);
