/**
 * Us and xfs_repair over the same damage: each repairs a copy of the damaged image, and the files that are intact afterwards
 * are counted by content. Images lie in a scratch directory; nothing is mounted.
 */
import { closeSync, copyFileSync, openSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { check } from '../../lib/check/check.ts';
import type { Device } from '../../lib/device/device.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { CadastreError } from '../../lib/errors.ts';
import { repair } from '../../lib/repair/repair.ts';
import { run, xfsRepairCheck } from '../support/oracle.ts';
import { compareContent, contentOf, type Held, type Kept } from './content.ts';
import { repairAnyLog } from './harness.ts';

/** How one of the two did. */
export interface Side {
  /** It came to an end without an error of its own. */
  readonly done: boolean;
  /** The image checks clean afterwards, by our check. */
  readonly clean: boolean;
  /** `xfs_repair -n` finds nothing to do afterwards. */
  readonly agreed: boolean;
  readonly kept: Kept | undefined;
  readonly milliseconds: number;
  readonly note: string;
}

export interface Round {
  readonly ours: Side;
  readonly theirs: Side;
  /** What `xfs_repair -n` says of the image that we repaired; empty when it agrees. */
  readonly complaint: string;
}

const LOG_DIRTY = 2;
const CHUNK = 1 << 20;
const ZEROES = new Uint8Array(4096);

/** Copy a device into a sparse file. */
export function writeImageFile(device: Device, path: string): void {
  rmSync(path, { force: true });
  const fd = openSync(path, 'wx');
  const piece = new Uint8Array(CHUNK);
  for (let at = 0; at < device.size; at += CHUNK) {
    const part = piece.subarray(0, Math.min(CHUNK, device.size - at));
    device.read(at, part);
    for (let i = 0; i < part.length; i += 4096) {
      const page = part.subarray(i, i + 4096);
      if (Buffer.compare(page, ZEROES.subarray(0, page.length)) !== 0) writeSync(fd, page, 0, page.length, at + i);
    }
  }
  closeSync(fd);
  truncateSync(path, device.size);
}

export class Contest {
  readonly #directory: string;
  readonly #base: string;
  readonly before: ReadonlyMap<string, Held>;

  /** @param base image file, never written. */
  constructor(directory: string, base: string) {
    this.#directory = directory;
    this.#base = base;
    const device = new FileDevice(base, 'r');
    this.before = contentOf(device);
    device.close();
  }

  /** What is not there any more, in words; empty: nothing is missing. */
  missing(kept: Kept | undefined): string {
    if (!kept) return 'everything';
    const all = compareContent(this.before, this.before);
    const out =
      kept.lost.length > 0 ? [`${kept.lost.slice(0, 5).map(({ path }) => path)} (${kept.lost.length} files)`] : [];
    if (kept.names < all.names) out.push(`${all.names - kept.names} names`);
    if (kept.attributes < all.attributes) out.push(`attributes of ${all.attributes - kept.attributes} inodes`);
    return out.join(', ');
  }

  /** Damage a copy, and let both repair it. @param alone without xfs_repair (the cadastre dialect). */
  round(damage: (device: Device, path: string) => void, alone = false): Round {
    const damaged = join(this.#directory, 'damaged.img');
    this.#copy(this.#base, damaged);
    const device = new FileDevice(damaged, 'rw');
    try {
      damage(device, damaged);
    } finally {
      device.close();
    }
    const ours = this.#ours(damaged, alone);
    const complaint = ours.complaint;
    const theirs = alone ? NOBODY : this.#theirs(damaged);
    return { ours, theirs, complaint };
  }

  #ours(damaged: string, alone: boolean): Side & { complaint: string } {
    const path = join(this.#directory, 'ours.img');
    this.#copy(damaged, path);
    const device = new FileDevice(path, 'rw');
    const start = performance.now();
    try {
      const { clean, remaining } = repairAnyLog(device);
      const milliseconds = performance.now() - start;
      const again = check(device, { maxProblems: 3 });
      let note = clean && again.clean ? '' : `${(clean ? again.problems : remaining)[0]?.message ?? ''}`;
      const second = clean ? repair(new OverlayDevice(device), {}) : undefined;
      if (second?.changed) note = `the second repair writes: ${second.actions[0]?.text ?? ''}`;
      const kept = compareContent(this.before, contentOf(device));
      const complaint = alone || note !== '' ? '' : xfsRepairCheck(path).output;
      return {
        done: true,
        clean: note === '' && clean && again.clean,
        agreed: complaint === '',
        kept,
        milliseconds,
        note,
        complaint,
      };
    } catch (error) {
      const milliseconds = performance.now() - start;
      const isOrderly = error instanceof CadastreError && error.family !== 'internal';
      const note = String(error);
      return { done: isOrderly, clean: false, agreed: false, kept: undefined, milliseconds, note, complaint: '' };
    } finally {
      device.close();
    }
  }

  /** xfs_repair, with its log thrown away when it asks for that. */
  #theirs(damaged: string): Side {
    const path = join(this.#directory, 'theirs.img');
    this.#copy(damaged, path);
    const start = performance.now();
    let result = run('xfs_repair', ['-o', 'force_geometry', path]);
    let note = '';
    if (result.status === LOG_DIRTY) {
      result = run('xfs_repair', ['-L', '-o', 'force_geometry', path]);
      note = 'log thrown away';
    }
    const milliseconds = performance.now() - start;
    const done = result.status === 0;
    if (!done) note = `status ${result.status}: ${result.output.trim().split('\n').at(-1)}`;
    const device = new FileDevice(path, 'r');
    try {
      const clean = done && check(device, { ignoreLog: true, maxProblems: 3 }).clean;
      const agreed = done && xfsRepairCheck(path).ok;
      return { done, clean, agreed, kept: compareContent(this.before, contentOf(device)), milliseconds, note };
    } finally {
      device.close();
    }
  }

  /** Sparse files stay sparse: holes are copied as holes where the host can, as shared blocks where it does better. */
  #copy(from: string, to: string): void {
    rmSync(to, { force: true });
    const result = run('cp', ['--sparse=always', from, to]);
    if (result.status !== 0) copyFileSync(from, to);
  }
}

const NOBODY: Side = { done: false, clean: false, agreed: false, kept: undefined, milliseconds: 0, note: '' };

/** Where we did worse than xfs_repair, or were not done: one line each. */
export function shortcomings({ ours, theirs, complaint }: Round): string[] {
  const out: string[] = [];
  if (!ours.clean) out.push(ours.note);
  if (complaint !== '') out.push(`xfs_repair -n: ${complaint.split('\n')[0]}`);
  const worse = (what: string, mine: number | undefined, other: number | undefined): void => {
    if ((mine ?? 0) < (other ?? 0)) out.push(`${mine ?? 0} ${what}, with xfs_repair ${other}`);
  };
  worse('files intact', ours.kept?.intact, theirs.kept?.intact);
  worse('names', ours.kept?.names, theirs.kept?.names);
  worse('inodes with their attributes', ours.kept?.attributes, theirs.kept?.attributes);
  return out;
}

/** Sums of many rounds of one kind. */
export class Tally {
  readonly name: string;
  rounds = 0;
  readonly ours = new Sums();
  readonly theirs = new Sums();

  constructor(name: string) {
    this.name = name;
  }

  /** @param before what there was. */
  add({ ours, theirs }: Round, before: ReadonlyMap<string, Held>): void {
    const all = compareContent(before, before);
    this.rounds++;
    this.ours.add(ours, all);
    this.theirs.add(theirs, all);
  }
}

/** Rounds in which something was missing, by what it was. */
class Sums {
  /** The image cannot be read at all afterwards: what it still holds is not lost, but nobody has it. */
  unreadable = 0;
  /** By our check. */
  unclean = 0;
  /** By `xfs_repair -n`. */
  unrepaired = 0;
  files = 0;
  names = 0;
  attributes = 0;
  filesLost = 0;

  add({ clean, agreed, kept }: Side, all: Kept): void {
    if (!clean) this.unclean++;
    if (!agreed) this.unrepaired++;
    if (!kept || kept.intact === 0) {
      this.unreadable++;
      return;
    }
    if (kept.intact < all.intact) this.files++;
    if (kept.names < all.names) this.names++;
    if (kept.attributes < all.attributes) this.attributes++;
    this.filesLost += all.intact - kept.intact;
  }
}

const COLUMNS = [
  ['unreadable', 'unreadable afterwards'],
  ['files', 'runs that lose a file'],
  ['filesLost', 'files lost'],
  ['names', 'runs that lose a name'],
  ['attributes', 'runs that lose attributes'],
  ['unrepaired', 'xfs_repair -n complains'],
  ['unclean', 'check complains'],
] as const;

/** The tallies as a Markdown table: ours and theirs in each column. */
export function tallyTable(tallies: readonly Tally[], what: string): string {
  const lines = [
    `| ${what} | runs | ${COLUMNS.map(([, title]) => title).join(' | ')} |`,
    `|---|---|${COLUMNS.map(() => '---|').join('')}`,
  ];
  const row = (name: string, list: readonly Tally[]): void => {
    const sum = (value: (tally: Tally) => number): number => list.reduce((total, each) => total + value(each), 0);
    const cells = COLUMNS.map(([key]) => `${sum(({ ours }) => ours[key])} / ${sum(({ theirs }) => theirs[key])}`);
    lines.push(`| ${name} | ${sum(({ rounds }) => rounds)} | ${cells.join(' | ')} |`);
  };
  for (const each of [...tallies].sort((a, b) => (a.name < b.name ? -1 : 1))) row(each.name, [each]);
  row('**all**', tallies);
  return lines.join('\n');
}
