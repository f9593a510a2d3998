/**
 * The whole test run: set-up, types, lint, import directions, dead code, build, vitest. `npm test -- FILTER...` is the
 * short loop: build and the tests whose path matches. CADASTRE_STEPS=types,lint,... runs only the steps named.
 *
 * 1. The last line is exactly `N passed, N failed, N skipped`. The numbers are vitest's; a step that failed, and a test
 *    file that could not be loaded, count as one failure each. The exit status is 0 only if nothing failed.
 * 2. It says which oracles (real programs that judge us) ran and which did not, and why. Under CI=true a missing one is
 *    a failure (test/support/oracle.ts refuses to skip).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const filters = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), 'cadastre-run-'));
const resultsFile = join(scratch, 'vitest.json');
const oracleLog = join(scratch, 'oracles.jsonl');

const node = process.execPath;
const bin = (name, file) => join(root, 'node_modules', name, file);
const folders = ['formats', 'lib', 'tools'].filter((folder) => existsSync(join(root, folder)) && hasSources(folder));

/** Whether a folder holds any TypeScript: an empty one makes the import checker stop with an error. */
function hasSources(folder) {
  return readdirSync(join(root, folder), { recursive: true }).some((name) => String(name).endsWith('.ts'));
}

const steps = [
  { name: 'types', args: [bin('typescript', 'bin/tsc'), '--noEmit', '-p', 'tsconfig.json'] },
  { name: 'lint', args: [bin('@biomejs/biome', 'bin/biome'), 'check', '.'] },
  {
    name: 'imports',
    args: [bin('dependency-cruiser', 'bin/dependency-cruise.mjs'), '--config', '.dependency-cruiser.cjs', ...folders],
  },
  {
    name: 'dead-code',
    args: [bin('knip', 'bin/knip.js'), '--no-progress', '--no-config-hints'],
    // What is dead is what no command reaches: without the commands' entry there is nothing to measure against.
    waitsFor: 'tools/cadastre.ts',
  },
  { name: 'build', args: [bin('typescript', 'bin/tsc'), '-p', 'tsconfig.build.json'] },
  { name: 'bundle', args: [join(root, 'scripts', 'bundle.mjs')] },
  {
    name: 'tests',
    args: [
      bin('vitest', 'vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${resultsFile}`,
      ...filters,
    ],
    loud: true,
  },
];
const wanted =
  process.env.CADASTRE_STEPS?.split(',') ?? (filters.length > 0 ? ['build', 'bundle', 'tests'] : undefined);

/** Runs one step; its output is shown when it is the test run itself or when it failed. */
function runStep(step) {
  const started = performance.now();
  if (step.loud) console.log(`${step.name} ...`);
  const run = spawnSync(node, step.args, {
    cwd: root,
    stdio: step.loud ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, CADASTRE_ORACLE_LOG: oracleLog, ...(process.stdout.isTTY ? {} : { NO_COLOR: '1' }) },
    maxBuffer: 64 << 20,
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const ok = run.status === 0;
  if (!step.loud && !ok) process.stdout.write(`${run.stdout ?? ''}${run.stderr ?? ''}`);
  const why = run.error ? ` (${run.error.message})` : run.signal ? ` (${run.signal})` : '';
  console.log(`${step.name.padEnd(10)} ${ok ? 'ok' : 'FAILED'}${why}  ${seconds} s`);
  return ok;
}

/** What requireOracle wrote down: one line per suite that asked for an oracle. */
function printOracles() {
  if (!existsSync(oracleLog)) return;
  const byName = new Map();
  for (const line of readFileSync(oracleLog, 'utf8').split('\n')) {
    if (line === '') continue;
    const { name, suite, reason } = JSON.parse(line);
    const entry = byName.get(name) ?? { suites: new Set(), reason };
    entry.suites.add(suite);
    byName.set(name, entry);
  }
  console.log('\noracles:');
  for (const [name, { suites, reason }] of [...byName].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const list = [...suites].sort().join(', ');
    console.log(`  ${name.padEnd(12)} ${reason ? `SKIPPED: ${reason}; not run: ${list}` : `used by ${list}`}`);
  }
}

/** Test totals of vitest's JSON report; `broken` counts files that failed without running a test. */
function readTotals() {
  if (!existsSync(resultsFile)) return { passed: 0, failed: 0, skipped: 0, broken: 1 };
  const report = JSON.parse(readFileSync(resultsFile, 'utf8'));
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  for (const file of broken) console.log(`could not be run: ${file.name}: ${String(file.message).split('\n')[0]}`);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests,
    skipped: report.numPendingTests + report.numTodoTests,
    broken: broken.length,
  };
}

/** Mounts and directories left by a test process that was killed; their names carry its process id. */
function sweepLeftovers() {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^cadastre-test-(\d+)-/.exec(name)?.[1];
    if (!pid || existsSync(`/proc/${pid}`)) continue;
    const path = join(tmpdir(), name);
    if (process.getuid?.() !== statSync(path).uid && process.getuid?.() !== 0) continue;
    if (existsSync('/proc/mounts')) {
      const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
      const inside = mounts.map((line) => line.split(' ')[1] ?? '').filter((at) => at.startsWith(`${path}/`));
      for (const at of inside.reverse()) spawnSync('umount', [at]);
    }
    rmSync(path, { recursive: true, force: true });
  }
}

let failedSteps = 0;
let totals = { passed: 0, failed: 0, skipped: 0, broken: 0 };
try {
  const setup = spawnSync(node, [join(root, 'scripts', 'setup.mjs')], { cwd: root, stdio: 'inherit' });
  if (setup.status !== 0) failedSteps++;
  else {
    sweepLeftovers();
    for (const step of steps) {
      if (wanted && !wanted.includes(step.name)) continue;
      if (step.waitsFor && !existsSync(join(root, step.waitsFor))) {
        console.log(`${step.name.padEnd(10)} waits for ${step.waitsFor}`);
        continue;
      }
      const ok = runStep(step);
      if (step.name === 'tests') {
        totals = readTotals();
        // An unhandled error fails the run without failing a test.
        if (!ok && totals.failed + totals.broken === 0) failedSteps++;
      } else if (!ok) failedSteps++;
    }
    printOracles();
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const failed = totals.failed + totals.broken + failedSteps;
console.log(`\n${totals.passed} passed, ${failed} failed, ${totals.skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
