/**
 * Measurements: ours against peers, side by side in one run. Ratios travel between machines, seconds do not.
 *
 * 1. The sides of a case run in turns (ours, peer, ours, peer ...), so that a slow moment of the machine hits all.
 * 2. What is reported is the median; the ratio is the median of the ratios of each round's pair.
 * 3. A side that cannot run here is named, never left out silently; a side that fails makes the run fail.
 *
 * Usage: node bench/run.mjs [CASE...] [--rounds N] [--json FILE] [--strict]
 * Cases are data in bench/cases/*.mjs (bench/case.d.ts says what they are made of); CASE is a part of a case's name.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    json: { type: 'string' },
    strict: { type: 'boolean', default: false },
  },
});
const rounds = Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  console.error('--rounds takes a whole number from 1 on');
  process.exit(2);
}
const cli = join(here, '..', 'dist', 'tools', 'cadastre.js');

/** Middle value; the mean of the two middle ones when their number is even. */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Why a side cannot run here; undefined when it can. */
function whyNot(side) {
  for (const need of side.needs ?? []) {
    if (need === 'cli' ? !existsSync(cli) : spawnSync('sh', ['-c', 'command -v "$1"', 'sh', need]).status !== 0) {
      return `${need === 'cli' ? 'dist/tools/cadastre.js' : need} is missing`;
    }
  }
  return undefined;
}

/**
 * Runs one side once. Seconds of wall time, and the peak resident memory in MiB where GNU time tells it (spawnSync does
 * not), else undefined.
 */
function measure(side, context) {
  side.reset?.(context);
  const command = side.command(context);
  if (!command) return undefined;
  const timer = existsSync('/usr/bin/time') ? join(context.scratch, '.time') : undefined;
  const [program, ...args] = timer ? ['/usr/bin/time', '-o', timer, '-f', '%e %M', ...command] : command;
  const started = process.hrtime.bigint();
  const run = spawnSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8', maxBuffer: 64 << 20 });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  if (run.error) throw new Error(`${side.name}: ${run.error.message}`);
  if (!(side.statuses ?? [0]).includes(run.status)) {
    throw new Error(`${side.name}: status ${run.status}\n${command.join(' ')}\n${run.stderr}`);
  }
  const kilobytes = timer ? Number(readFileSync(timer, 'utf8').trim().split('\n').at(-1).split(' ')[1]) : Number.NaN;
  return { seconds, mebibytes: Number.isNaN(kilobytes) ? undefined : kilobytes / 1024 };
}

/** One case: all its sides that can run, in turns. */
function runCase(one) {
  const scratch = mkdtempSync(join(tmpdir(), 'cadastre-bench-run-'));
  try {
    const context = { node: process.execPath, cli, scratch, input: undefined };
    const sides = [one.ours, ...one.peers].map((side) => ({ side, skipped: whyNot(side), runs: [] }));
    const active = sides.filter((entry) => !entry.skipped);
    if (active.length > 0) context.input = one.prepare?.(context);
    const count = one.rounds ?? rounds;
    // One round that is not counted fills the caches for everybody.
    for (let round = -1; round < count; round++) {
      for (const entry of active) {
        if (entry.skipped) continue;
        const result = measure(entry.side, context);
        if (!result) entry.skipped = 'cannot run here';
        else if (round >= 0) entry.runs.push(result);
      }
    }
    for (const entry of active) entry.report = entry.skipped ? [] : entry.side.report?.(context);
    const ours = sides[0];
    const rows = sides.map(({ side, skipped, runs, report }) => {
      if (skipped) return { side: side.name, skipped };
      const memory = runs.map((run) => run.mebibytes).filter((value) => value !== undefined);
      return {
        side: side.name,
        seconds: median(runs.map((run) => run.seconds)),
        fastest: Math.min(...runs.map((run) => run.seconds)),
        mebibytes: memory.length > 0 ? Math.max(...memory) : undefined,
        ratio: ours.skipped ? undefined : median(runs.map((run, i) => ours.runs[i].seconds / run.seconds)),
        report,
      };
    });
    const against = rows[1]?.ratio;
    const missed = one.limit !== undefined && against !== undefined && against > one.limit;
    return { case: one.name, goal: one.goal, limit: one.limit, missed, rounds: count, rows };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function printCase(result) {
  console.log(`\n${result.case}${result.goal ? ` (${result.goal})` : ''}`);
  result.rows.forEach((row, i) => {
    if (row.skipped) {
      console.log(`  ${row.side.padEnd(34)} not run: ${row.skipped}`);
      return;
    }
    const memory = row.mebibytes === undefined ? '' : `${row.mebibytes.toFixed(0)} MiB`;
    const ratio = i === 0 || row.ratio === undefined ? '' : `ours takes ${row.ratio.toFixed(2)} x`;
    console.log(`  ${row.side.padEnd(34)} ${row.seconds.toFixed(3).padStart(9)} s ${memory.padStart(9)}  ${ratio}`);
    for (const words of row.report ?? []) console.log(`    ${words}`);
  });
  if (result.missed) console.log(`  MISSED: the limit is ${result.limit} x of ${result.rows[1].side}`);
}

const results = [];
let failures = 0;
for (const file of readdirSync(join(here, 'cases')).sort()) {
  if (!file.endsWith('.mjs')) continue;
  const { cases } = await import(`./cases/${file}`);
  for (const one of cases) {
    if (wanted.length > 0 && !wanted.some((word) => one.name.includes(word))) continue;
    try {
      const result = runCase(one);
      results.push(result);
      printCase(result);
    } catch (error) {
      failures++;
      console.log(`\n${one.name}\n  FAILED: ${error.message}`);
    }
  }
}
if (results.length === 0 && failures === 0) console.log('no case of that name');
if (options.json) {
  mkdirSync(dirname(options.json), { recursive: true });
  const machine = { node: process.version, platform: process.platform, cpus: cpus().length, memory: totalmem() };
  writeFileSync(options.json, `${JSON.stringify({ machine, results }, undefined, 2)}\n`);
}
const missed = results.filter((result) => result.missed).length;
process.exit(failures > 0 || (options.strict && missed > 0) ? 1 : 0);
