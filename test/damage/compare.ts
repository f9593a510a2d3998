/**
 * Field by field against xfs_repair: a field of some structure gets another value, with a right CRC; both repair a copy; what is
 * left of files, names and attributes is counted. The table of docs/SALVAGE.md is made here.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FORMAT, InodeCore, MODE, S_IFMT } from '../../formats/inode.ts';
import { damage, readTarget } from '../../lib/damage/damage.ts';
import { locate } from '../../lib/damage/locate.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { mustRun, withTempDir } from '../support/oracle.ts';
import { caseLine, casesOf, type DamageCase, sample } from './cases.ts';
import { Contest, shortcomings, Tally, tallyTable, writeImageFile } from './contest.ts';
import { damageImage } from './image.ts';

export interface CompareOptions {
  /** Names of images that xfs_repair can judge. */
  readonly images: readonly string[];
  /** Most cases of each structure. */
  readonly cases: number;
  readonly seed: number;
  /** One structure, by the start of its title. */
  readonly only: string | undefined;
  readonly verbose: boolean;
  readonly write: boolean;
  readonly fail: (line: string) => void;
}

/** Runs the cases, tells what went wrong, prints the tables or puts them into the document. */
export function compareFields(options: CompareOptions): void {
  const tables: string[] = [];
  withTempDir((directory) => {
    for (const name of options.images) {
      const tallies = compareImage(directory, name, options);
      tables.push(`### ${TITLES[name] ?? name}\n${tallyTable(tallies, 'structure')}`);
    }
  });
  const version = /\d+\.\d+(\.\d+)?/.exec(mustRun('xfs_repair', ['-V']))?.[0] ?? '?';
  const text = `${tables.join('\n\n')}\n\nxfs_repair ${version}; at most ${options.cases} runs of each structure, seed ${options.seed}.`;
  if (!options.write) {
    console.log(text);
    return;
  }
  const path = fileURLToPath(new URL('../../docs/SALVAGE.md', import.meta.url));
  const [head, rest] = readFileSync(path, 'utf8').split('<!-- measured -->');
  const tail = rest!.split('<!-- /measured -->')[1]!;
  writeFileSync(path, `${head}<!-- measured -->\n${text}\n<!-- /measured -->${tail}`);
}

const TITLES: { readonly [image: string]: string } = {
  xfs: 'Reverse map and sharing',
  'xfs-plain': 'Neither reverse map nor sharing',
  'xfs-1k': 'Reverse map, blocks of 1 KiB',
};

function compareImage(directory: string, name: string, options: CompareOptions): Tally[] {
  const { cases, seed, only, verbose, fail } = options;
  const image = damageImage(name);
  const base = `${directory}/${name}.img`;
  writeImageFile(image.device, base);
  const contest = new Contest(directory, base);
  const groups = new Map<string, DamageCase[]>();
  for (const each of casesOf(image)) {
    if (each.spec.crc !== 'fix') continue;
    const title = titleOf(each);
    if (only !== undefined && !title.startsWith(only)) continue;
    const group = groups.get(title);
    if (group) group.push(each);
    else groups.set(title, [each]);
  }
  const tallies: Tally[] = [];
  for (const [title, group] of groups) {
    const tally = new Tally(title);
    tallies.push(tally);
    for (const each of sample(group, Number.POSITIVE_INFINITY, seed)) {
      if (tally.rounds >= cases) break;
      const { before, after } = damage(new OverlayDevice(image.device), image.geometry, each.spec);
      if (before === after) continue;
      const round = contest.round((device) => void damage(device, image.geometry, each.spec));
      tally.add(round, contest.before);
      const line = `${caseLine(each)} seed ${each.spec.seed}`;
      for (const text of shortcomings(round)) fail(`${line}: ${text}`);
      const missing = contest.missing(round.ours.kept);
      if (verbose) {
        const other = contest.missing(round.theirs.kept);
        if (missing !== '' || other !== '') {
          const note = round.theirs.note === '' ? '' : ` (${round.theirs.note})`;
          console.error(`${line}: we lost ${missing || 'nothing'}; xfs_repair: ${other || 'nothing'}${note}`);
        }
      }
    }
    const { rounds, ours, theirs } = tally;
    console.error(`${name}: ${title}: ${rounds} runs, ${ours.filesLost} / ${theirs.filesLost} files lost`);
  }
  return tallies;
}

const SUPERBLOCK_TITLES = ['superblock', 'superblock copies'] as const;

/** The row of the table: structures by name, inodes by what they are. */
function titleOf({ image, structure, kind, spec: { place } }: DamageCase): string {
  if (place.kind === 'superblock') return SUPERBLOCK_TITLES[place.ag === 0 ? 0 : 1];
  if (place.kind !== 'inode') return structure;
  if (kind.startsWith('attr.')) return 'inode: attributes';
  const bytes = readTarget(image.device, locate(image.device, image.geometry, place));
  const { mode, format } = InodeCore.at(new DataView(bytes.buffer, bytes.byteOffset));
  if (mode === 0) return 'inode: free';
  switch (mode & S_IFMT) {
    case MODE.FILE:
      return format === FORMAT.BTREE ? 'inode: file with an extent tree' : 'inode: file';
    case MODE.DIR:
      return format === FORMAT.LOCAL ? 'inode: short-form directory' : 'inode: directory';
    case MODE.SYMLINK:
      return 'inode: symlink';
    default:
      return 'inode: special file';
  }
}
