/**
 * Random damage, seed by seed: repair comes to an end, in bounded memory, and is clean or says why not. Runs can be had in parts
 * that add up: each seed stands for itself, and with `--into FILE` a line of each run is kept, so that a run that was stopped
 * goes on where it was.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { damageImage } from './image.ts';
import { randomDamage } from './random-damage.ts';
import { tryRepair, type Verdict } from './survive.ts';

interface RandomOptions {
  readonly first: number;
  readonly last: number;
  /** This image for all seeds. */
  readonly image: string | undefined;
  /** Where the runs are noted: `seed image verdict milliseconds why`. Seeds that are in it are not run again. */
  readonly into: string | undefined;
  readonly fail: (line: string) => void;
}

interface Run {
  readonly seed: number;
  readonly image: string;
  readonly verdict: Verdict;
  readonly milliseconds: number;
  readonly why: string;
}

/** Which image a seed is for, so that parts do the same as the whole; more of them would give the seeds another meaning. */
const IMAGES = ['cadastre', 'xfs', 'xfs-plain', 'xfs-1k'] as const;
/** Verdicts that are as it should be. */
const FINE: ReadonlySet<Verdict> = new Set(['clean', 'clean without log', 'hopeless', 'unsupported', 'full']);

/** Runs the seeds that are missing, prints what all of them came to. */
export function randomRuns({ first, last, image, into, fail }: RandomOptions): void {
  const known = into === undefined ? [] : readRuns(into);
  const runs = new Map(known.filter((run) => isWithin(run, first, last)).map((run) => [run.seed, run]));
  for (const run of runs.values()) if (!FINE.has(run.verdict)) fail(`random ${lineOf(run)}`);
  let done = 0;
  for (let seed = first; seed <= last; seed++) {
    if (runs.has(seed)) continue;
    const run = one(seed, image ?? IMAGES[seed % IMAGES.length]!);
    runs.set(seed, run);
    if (into !== undefined) appendFileSync(into, `${lineOf(run)}\n`);
    if (!FINE.has(run.verdict)) fail(`random ${lineOf(run)}`);
    if (++done % 100 === 0) console.error(summary(runs, first, last));
  }
  const memory = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(`${summary(runs, first, last)}; ${done} of them now, ${memory} MiB at most`);
}

const isWithin = ({ seed }: Run, first: number, last: number): boolean => first <= seed && seed <= last;

function one(seed: number, image: string): Run {
  const { verdict, why, milliseconds } = tryRepair(damageImage(image), (device, { geometry }) =>
    randomDamage(device, geometry, seed),
  );
  return { seed, image, verdict, milliseconds: Math.round(milliseconds), why };
}

const lineOf = ({ seed, image, verdict, milliseconds, why }: Run): string =>
  [seed, image, verdict, milliseconds, why.replace(/\s+/g, ' ')].join('\t');

/** A last line that was cut short is none. */
function readRuns(path: string): Run[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  lines.pop();
  return lines.map((line) => {
    const [seed, image, verdict, milliseconds, ...why] = line.split('\t');
    return {
      seed: Number(seed),
      image: image!,
      verdict: verdict as Verdict,
      milliseconds: Number(milliseconds),
      why: why.join(' '),
    };
  });
}

/** One line that adds up over parts. */
function summary(all: ReadonlyMap<number, Run>, first: number, last: number): string {
  const runs = [...all.values()];
  const counts: Partial<Record<Verdict, number>> = {};
  for (const { verdict } of runs) counts[verdict] = (counts[verdict] ?? 0) + 1;
  const failures = runs.filter(({ verdict }) => !FINE.has(verdict)).length;
  const longest = runs.reduce((most, { milliseconds }) => Math.max(most, milliseconds), 0);
  const verdicts = Object.entries(counts).map(([verdict, count]) => `${count} ${verdict}`);
  return `seeds ${first}..${last}: ${runs.length} runs: ${verdicts.join(', ')}; ${failures} failures; longest ${longest} ms`;
}
