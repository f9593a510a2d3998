/**
 * The long damage runs behind `npm run test:damage`: comparisons with xfs_repair, wiped areas, random damage, xfs_db's own
 * damage. Prints Markdown tables and, for what failed, lines that can be run again. Exit status 1 when something failed.
 */
import { parseArgs } from 'node:util';
import { seeded } from '../../lib/damage/bits.ts';
import { playScene, SCENES, type SceneOptions } from '../../lib/damage/scenes/scenes.ts';
import { CadastreError } from '../../lib/errors.ts';
import { openSuperblock } from '../../lib/volume/open.ts';
import { withTempDir, xfsDb } from '../support/oracle.ts';
import { areaImage, kernelImages } from './area-images.ts';
import { compareFields } from './compare.ts';
import { Contest, shortcomings, Tally, tallyTable, writeImageFile } from './contest.ts';
import { fieldRuns } from './field-runs.ts';
import { damageImage, IMAGE_NAMES } from './image.ts';
import { randomRuns } from './random-runs.ts';

const WIPES = ['wipe-superblock', 'wipe-64k', 'wipe-1m', 'wipe-ag1', 'wipe-inodes', 'wipe-log', 'wipe-sectors', 'cut'];
/** Sectors that are overwritten where that is said. */
const SECTORS = [1, 256, 1000];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Of each structure; without it `compare` takes 200 and `fields` all. */
    cases: { type: 'string' },
    /** K/N: every N-th case of `fields`. */
    part: { type: 'string', default: '1/1' },
    /** Put the table of `compare` into docs/SALVAGE.md. */
    write: { type: 'boolean', default: false },
    /** Say, case by case, which runs lost something. */
    verbose: { type: 'boolean', default: false },
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    files: { type: 'string', default: '20000' },
    /** One structure or scene, one image, so many seeds of each scene (random: from..to). */
    only: { type: 'string' },
    image: { type: 'string' },
    seeds: { type: 'string', default: '3' },
    /** Where random runs are noted, and taken up again. */
    into: { type: 'string' },
  },
});
const seed = Number(values.seed);
/** Images that xfs_repair can judge. */
const JUDGED = ['xfs', 'xfs-plain', 'xfs-1k'].filter((name) => (values.image ?? name) === name);
const failures: string[] = [];

/** A note where a run went wrong for us. */
function fail(line: string): void {
  failures.push(line);
  console.error(`FAILED ${line}`);
}

function wrongUse(text: string): never {
  console.error(text);
  process.exit(2);
}

/** Canned scenes on an image file, with several seeds. */
function playScenes(contest: Contest, names: readonly string[], tallies: Map<string, Tally>, label: string): void {
  const play = (name: string, title: string, options: SceneOptions): void => {
    let played = true;
    const round = contest.round((device) => {
      try {
        playScene(device, openSuperblock(device).geometry, name, options);
      } catch (error) {
        if (!(error instanceof CadastreError && error.code === 'SCENE_IMPOSSIBLE')) throw error;
        played = false;
      }
    });
    if (!played) return;
    const tally = tallies.get(title) ?? new Tally(title);
    tallies.set(title, tally);
    tally.add(round, contest.before);
    const line = `${label}: --scene ${name} --seed ${options.seed}${options.count ? ` --count ${options.count}` : ''}`;
    for (const each of shortcomings(round)) fail(`${line}: ${each}`);
  };
  for (const name of names) {
    for (let k = 0; k < Number(values.seeds); k++) {
      if (name === 'wipe-sectors') play(name, `${name} ${SECTORS[k % 3]}`, { seed: seed + k, count: SECTORS[k % 3]! });
      else play(name, name, { seed: seed + k });
    }
  }
}

/** Fields of every structure, repaired by both. */
function compare(): void {
  const { only, verbose, write } = values;
  compareFields({ images: JUDGED, cases: Number(values.cases ?? 200), seed, only, verbose, write, fail });
}

function scenes(): void {
  const tallies = new Map<string, Tally>();
  withTempDir((directory) => {
    for (const name of JUDGED) {
      const base = `${directory}/${name}.img`;
      writeImageFile(damageImage(name).device, base);
      const names = Object.keys(SCENES).filter((each) => values.only === undefined || each === values.only);
      playScenes(new Contest(directory, base), names, tallies, name);
    }
  });
  console.log(tallyTable([...tallies.values()], 'scene'));
}

function areas(): void {
  const tallies = new Map<string, Tally>();
  withTempDir((directory) => {
    const base = `${directory}/areas.img`;
    areaImage(base, Number(values.files));
    playScenes(new Contest(directory, base), WIPES, tallies, `${values.files} files`);
  });
  console.log(tallyTable([...tallies.values()], 'area'));
}

function random(): void {
  const span = /^(\d+)\.\.(\d+)$/.exec(values.seeds);
  randomRuns({
    first: span ? Number(span[1]) : seed,
    last: span ? Number(span[2]) : seed + Number(values.runs) - 1,
    image: values.image,
    into: values.into,
    fail,
  });
}

const TRASHED = [
  '',
  '-t bnobt',
  '-t cntbt',
  '-t inobt',
  '-t inode',
  '-t agf',
  '-t agi',
  '-t sb',
  '-t dir3',
  '-t attr3',
];

/** What xfs_db breaks on images that mkfs.xfs and the kernel made. */
function trash(): void {
  const tallies = new Map<string, Tally>();
  withTempDir((directory) => {
    for (const { name, path } of kernelImages(directory, values.image)) {
      const contest = new Contest(directory, path);
      const pick = seeded(seed);
      for (let i = 0; i < Number(values.runs); i++) {
        const type = TRASHED[Math.floor(pick() * TRASHED.length)]!;
        const command = `blocktrash -n ${1 + Math.floor(pick() * 4)} -s ${seed + i} -3 -x 8 -y 2048 ${type}`.trim();
        const round = contest.round((_device, damaged) => {
          try {
            xfsDb(damaged, ['blockget', command], { write: true });
          } catch {
            // Nothing of that type: the image is as it was.
          }
        });
        const title = type === '' ? 'any block' : type.slice(3);
        const tally = tallies.get(title) ?? new Tally(title);
        tallies.set(title, tally);
        tally.add(round, contest.before);
        for (const each of shortcomings(round)) fail(`${name}: ${command}: ${each}`);
      }
    }
  });
  console.log(tallyTable([...tallies.values()], 'blocktrash'));
}

/** Where xfs_db goes (N: the inode of a file), and what it breaks there. */
const FUZZED: readonly (readonly [place: string, fields: readonly string[]])[] = [
  ['agf 0', ['magicnum', 'length', 'bnoroot', 'cntlevel', 'flfirst', 'freeblks', 'longest', 'uuid']],
  ['agi 0', ['magicnum', 'length', 'count', 'root', 'level', 'freecount', 'unlinked[5]', 'uuid']],
  ['agf 1', ['seqno', 'bnolevel', 'cntroot', 'fllast', 'flcount', 'btreeblks', 'crc']],
  ['inode N', ['core.magic', 'core.mode', 'core.version', 'core.format', 'core.nlinkv2', 'core.size', 'core.nblocks']],
  ['inode N', ['core.forkoff', 'core.aformat', 'v3.flags2', 'v3.inumber', 'v3.uuid', 'core.extsize', 'core.gen']],
  ['inode N', ['u3.bmx[0].startblock', 'u3.bmx[0].blockcount', 'u3.bmx[0].startoff', 'next_unlinked']],
];
const FUZZ_VERBS = ['zeroes', 'ones', 'firstbit', 'middlebit', 'lastbit', 'add', 'sub', 'random'];

/** Single fields of images that mkfs.xfs and the kernel made, broken by xfs_db with a right CRC. */
function fuzz(): void {
  const tallies = new Map<string, Tally>();
  withTempDir((directory) => {
    for (const { name, path } of kernelImages(directory, values.image)) {
      const contest = new Contest(directory, path);
      const inodes = [...new Set([...contest.before.values()].map(({ inode }) => inode))];
      const pick = seeded(seed);
      const one = <T>(items: readonly T[]): T => items[Math.floor(pick() * items.length)]!;
      for (let i = 0; i < Number(values.runs); i++) {
        const [place, fields] = one(FUZZED);
        const commands = [place.replace('N', String(one(inodes))), `fuzz -d ${one(fields)} ${one(FUZZ_VERBS)}`];
        const round = contest.round((_device, damaged) => {
          try {
            xfsDb(damaged, commands, { write: true });
          } catch {
            // The inode has no such field.
          }
        });
        const title = place.split(' ')[0]!;
        const tally = tallies.get(title) ?? new Tally(title);
        tallies.set(title, tally);
        tally.add(round, contest.before);
        for (const each of shortcomings(round)) fail(`${name}: ${commands.join('; ')}: ${each}`);
      }
    }
  });
  console.log(tallyTable([...tallies.values()], 'fuzz'));
}

/** Fields of every structure, repaired by us alone: all of them. */
function fields(): void {
  const images = values.image?.split(',') ?? IMAGE_NAMES;
  const cases = values.cases === undefined ? Number.POSITIVE_INFINITY : Number(values.cases);
  const [part, of] = /^[1-9]\d*\/[1-9]\d*$/.test(values.part) ? values.part.split('/').map(Number) : [];
  if (part === undefined || part > of!) wrongUse(`--part ${values.part}: K/N is wanted, as 3/8`);
  fieldRuns({ images, cases, part, of: of!, only: values.only, seed, fail });
}

const modes: Record<string, () => void> = { fields, compare, scenes, areas, random, trash, fuzz };
const mode = positionals[0] ?? 'compare';
if (!Object.hasOwn(modes, mode)) {
  wrongUse(`no such run: ${mode}; there are ${Object.keys(modes).join(', ')}`);
}
modes[mode]!();
console.log(failures.length === 0 ? 'no failure' : `${failures.length} failures`);
process.exit(failures.length === 0 ? 0 : 1);
