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

/** How one of the two did. */
export interface Side {
  /** It came to an end without an error of its own. */
  readonly done: boolean;
  /** The image checks clean afterwards (ours: by our check; theirs: by ours too). */
  readonly clean: boolean;
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
      if (page.some((byte) => byte !== 0)) writeSync(fd, page, 0, page.length, at + i);
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
    const mended = join(this.#directory, 'ours.img');
    const ours = this.#ours(damaged, alone ? undefined : mended);
    const complaint = !alone && ours.clean ? xfsRepairCheck(mended).output : '';
    const theirs = alone ? NOBODY : this.#theirs(damaged);
    return { ours, theirs, complaint };
  }

  #ours(damaged: string, result: string | undefined): Side {
    const file = new FileDevice(damaged, 'r');
    const device = new OverlayDevice(file);
    const start = performance.now();
    try {
      const { clean, remaining } = repair(device, {});
      const milliseconds = performance.now() - start;
      if (result) writeImageFile(device, result);
      const again = check(device, { maxProblems: 3 });
      const note = clean && again.clean ? '' : `${(clean ? again.problems : remaining)[0]?.message ?? ''}`;
      const kept = compareContent(this.before, contentOf(device));
      return { done: true, clean: clean && again.clean, kept, milliseconds, note };
    } catch (error) {
      const milliseconds = performance.now() - start;
      const isOrderly = error instanceof CadastreError && error.family !== 'internal';
      return { done: isOrderly, clean: false, kept: undefined, milliseconds, note: String(error) };
    } finally {
      file.close();
    }
  }

  /** xfs_repair, with its log thrown away when it asks for that; judged by our own check and reader. */
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
    if (result.status !== 0) note = `status ${result.status}: ${result.output.trim().split('\n').at(-1)}`;
    const device = new FileDevice(path, 'r');
    try {
      const clean = result.status === 0 && check(device, { ignoreLog: true, maxProblems: 3 }).clean;
      return {
        done: result.status === 0,
        clean,
        kept: compareContent(this.before, contentOf(device)),
        milliseconds,
        note,
      };
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

const NOBODY: Side = { done: false, clean: false, kept: undefined, milliseconds: 0, note: '' };

/** Sums of many rounds of one kind. */
export class Tally {
  readonly name: string;
  rounds = 0;
  files = 0;
  readonly ours = new Sums();
  readonly theirs = new Sums();
  complaints = 0;

  constructor(name: string) {
    this.name = name;
  }

  add({ ours, theirs, complaint }: Round, files: number): void {
    this.rounds++;
    this.files += files;
    this.ours.add(ours, files);
    this.theirs.add(theirs, files);
    if (complaint !== '') this.complaints++;
  }
}

class Sums {
  clean = 0;
  failed = 0;
  /** Rounds in which no file lost a byte. */
  whole = 0;
  intact = 0;
  inPlace = 0;
  milliseconds = 0;

  add({ done, clean, kept, milliseconds }: Side, files: number): void {
    if (clean) this.clean++;
    if (!done) this.failed++;
    if (kept && kept.intact === files) this.whole++;
    this.intact += kept?.intact ?? 0;
    this.inPlace += kept?.inPlace ?? 0;
    this.milliseconds += milliseconds;
  }
}

/** The tallies as a Markdown table. */
export function tallyTable(tallies: readonly Tally[], what: string): string {
  const lines = [
    `| ${what} | runs | clean: ours | theirs | no file lost: ours | theirs | files intact: ours | theirs | in place: ours | theirs |`,
    '|---|---|---|---|---|---|---|---|---|---|',
  ];
  const percent = (part: number, whole: number): string => `${((100 * part) / Math.max(1, whole)).toFixed(2)} %`;
  const all = new Tally('**all**');
  for (const each of [...tallies].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    lines.push(tallyRow(each, percent));
    all.rounds += each.rounds;
    all.files += each.files;
    for (const side of ['ours', 'theirs'] as const) {
      for (const key of ['clean', 'failed', 'whole', 'intact', 'inPlace', 'milliseconds'] as const) {
        all[side][key] += each[side][key];
      }
    }
  }
  lines.push(tallyRow(all, percent));
  return lines.join('\n');
}

function tallyRow(
  { name, rounds, files, ours, theirs }: Tally,
  percent: (part: number, whole: number) => string,
): string {
  const pairs = [
    [ours.clean, theirs.clean],
    [ours.whole, theirs.whole],
    [percent(ours.intact, files), percent(theirs.intact, files)],
    [percent(ours.inPlace, files), percent(theirs.inPlace, files)],
  ];
  return `| ${name} | ${rounds} | ${pairs.flat().join(' | ')} |`;
}
