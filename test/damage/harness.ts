/**
 * One case of the damage suite, from damage to verdict: found, repaired, clean afterwards, nothing left to do, and whose
 * bytes survived. Throws nothing for what repair does wrong: that is what is to be reported.
 */
import { type CheckResult, check } from '../../lib/check/check.ts';
import { damage, type FieldChange } from '../../lib/damage/damage.ts';
import { playScene } from '../../lib/damage/scenes/scenes.ts';
import type { Device } from '../../lib/device/device.ts';
import { OverlayDevice } from '../../lib/device/overlay.ts';
import { CadastreError } from '../../lib/errors.ts';
import { repair } from '../../lib/repair/repair.ts';
import type { RepairResult } from '../../lib/repair/report.ts';
import { caseLine, type DamageCase } from './cases.ts';
import { compareContent, contentOf, type Held, type Kept } from './content.ts';
import type { DamageImage } from './image.ts';
import { hasSuperblock } from './survive.ts';
import { missedLine, whyUnvalidated } from './unvalidated.ts';

export interface Judged {
  readonly each: DamageCase;
  readonly change: FieldChange;
  readonly found: boolean;
  readonly failures: readonly string[];
  /** After the repair; undefined when there was nothing to repair, or it threw. */
  readonly kept: Kept | undefined;
  readonly milliseconds: number;
}

const CHECK = { data: true, maxProblems: 50 } as const;
/** Longest that check and repair of one small image may take. */
export const MOST_MILLISECONDS = 20_000;

/** Structures that say again what others say: damaging them costs no file. */
const REDUNDANT =
  /^(superblock|agf|agi|agfl|bnobt|cntbt|inobt|finobt|rmapbt|refcountbt|csumbt|dir-leaf1|dir-leafn|dir-free|log-record)$/;

const contents = new Map<string, ReadonlyMap<string, Held>>();

export function contentBefore(image: DamageImage): ReadonlyMap<string, Held> {
  let held = contents.get(image.name);
  if (!held) contents.set(image.name, (held = contentOf(image.device)));
  return held;
}

/** Judge a case. @param withRepair otherwise only whether the check finds it. Undefined when the verb changed nothing. */
export function judge(each: DamageCase, withRepair: boolean): Judged | undefined {
  const device = new OverlayDevice(each.image.device);
  const change = damage(device, each.image.geometry, each.spec);
  if (change.before === change.after) return undefined;
  const start = performance.now();
  const failures: string[] = [];
  const result = check(device, CHECK);
  if (result.clean && whyUnvalidated(each, change) === undefined) failures.push(missedLine(each, change));
  const isRefused = withRepair && isRightlyRefused(device, [each]);
  const kept =
    withRepair && !result.clean && !isRefused
      ? repairAndCompare(each.image, device, failures, mayLose(each))
      : undefined;
  const milliseconds = performance.now() - start;
  if (milliseconds > MOST_MILLISECONDS) failures.push(`took ${Math.round(milliseconds)} ms`);
  return { each, change, found: !result.clean, failures, kept, milliseconds };
}

/** A superblock without a copy. */
const isLone = ({ image, spec }: DamageCase): boolean =>
  spec.place.kind === 'superblock' && image.geometry.agCount === 1;
/** Features that we do not know, in such a superblock, with a right CRC: xfs_repair refuses them as well. */
const hasStrangeFeatures = (each: DamageCase): boolean =>
  isLone(each) && each.spec.crc === 'fix' && /^features/.test(each.spec.field);

/** Is this image refused, and may it be after such damage? Of two wrong fields in the only superblock each hides the other. */
export function isRightlyRefused(device: Device, cases: readonly DamageCase[]): boolean {
  const isHidden = cases.filter(isLone).length > 1;
  if (!isHidden && !cases.some(hasStrangeFeatures)) return false;
  try {
    repair(device, { dryRun: true });
    return false;
  } catch (error) {
    if (!(error instanceof CadastreError)) throw error;
    return error.family === 'unsupported' || (isHidden && error.code === 'NO_SUPERBLOCK');
  }
}

/** Repair, with the log thrown away when that is asked for: as xfs_repair, it does not do so by itself. */
export function repairAnyLog(device: Device): RepairResult {
  try {
    return repair(device, {});
  } catch (error) {
    if (!(error instanceof CadastreError && error.code === 'LOG_REPLAY')) throw error;
    return repair(device, { discardLog: true });
  }
}

/** Repair twice, check, count. @param mayLose whose bytes may be gone: an inode number; undefined = nobody's. */
export function repairAndCompare(
  image: DamageImage,
  device: Device,
  failures: string[],
  mayLose: ((held: Held) => boolean) | undefined,
): Kept | undefined {
  try {
    const result = repairAnyLog(device);
    if (!result.clean) failures.push(`repair is not clean: ${problemsOf(result.remaining)}`);
    // Data that is not what was written cannot be mended: the check goes on naming it.
    const again = check(device, CHECK).problems.filter(({ code }) => code !== 'DATA_CHECKSUM');
    if (result.clean && again.length > 0) failures.push(`repair says clean, check does not: ${problemsOf(again)}`);
    if (result.clean) {
      const second = repair(new OverlayDevice(device), {});
      if (second.changed) failures.push(`the second repair writes: ${second.actions.map(({ text }) => text)[0] ?? ''}`);
    }
    const kept = compareContent(contentBefore(image), contentOf(device));
    const lost = mayLose ? kept.lost.filter((held) => !mayLose(held)) : kept.lost;
    if (lost.length > 0)
      failures.push(`bytes lost: ${lost.map(({ path }) => path).slice(0, 5)} (${lost.length} files)`);
    return kept;
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? '') : '';
    const at = stack.split('\n').find((line) => /lib\//.test(line)) ?? '';
    failures.push(`repair throws: ${error} ${at.trim().replace(/file:.*\/lib\//, 'lib/')}`);
    return undefined;
  }
}

/** Whose bytes a damage may cost: the object's whose structure it is. Undefined: nobody's. */
export function mayLose({ structure, kind, spec }: DamageCase): ((held: Held) => boolean) | undefined {
  // A block of data and its checksum contradict one another, and nobody knows which is right: neither is read any more.
  if (structure === 'csumbt' && kind === 'recs[].crcs[]') return () => true;
  if (REDUNDANT.test(structure)) return undefined;
  const { place } = spec;
  const inode = 'inode' in place ? place.inode : -1;
  return (held) => held.inode === inode;
}

function problemsOf(problems: CheckResult['problems']): string {
  return problems
    .slice(0, 3)
    .map(({ code, message }) => `${code} ${message}`)
    .join(' | ');
}

/** Failures as text: a heading for each structure, the case as it can be typed, what happened. */
export function failureReport(judged: readonly Judged[]): string {
  const groups = new Map<string, string[]>();
  for (const { each, failures } of judged) {
    for (const failure of failures) {
      const lines = groups.get(each.structure) ?? [];
      lines.push(`- \`${caseLine(each)}\` seed ${each.spec.seed}: ${failure}`);
      groups.set(each.structure, lines);
    }
  }
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([structure, lines]) => `## ${structure} (${lines.length})\n${lines.join('\n')}\n`)
    .join('\n');
}

/** Scenes that take bytes of files away for good: only the image must come out sound. */
const LOSSY = /^(wipe-|cut|swapped-blocks|misdirected-write|file-past-ag-end|lost-(fork|bmbt-root|inode-chunk))/;

/** Inode numbers by path: a file may be known by another of its names afterwards. */
const inodesByPath = (image: DamageImage): ReadonlyMap<string, number> =>
  new Map([...contentBefore(image)].map(([path, { inode }]) => [path, inode]));

/**
 * Play scenes on a copy of the image, one after the other, repair it, judge. Undefined: the image has no stage for one of
 * them (any more).
 */
export function repairScenes(
  image: DamageImage,
  scenes: readonly string[],
  seed: number,
): { readonly device: Device; readonly failures: readonly string[] } | undefined {
  const device = new OverlayDevice(image.device);
  const failures: string[] = [];
  const inodes = inodesByPath(image);
  const involved = new Set<number | undefined>();
  try {
    for (const [i, scene] of scenes.entries()) {
      for (const path of playScene(device, image.geometry, scene, { seed: seed + i }).paths) {
        involved.add(inodes.get(path));
      }
    }
  } catch (error) {
    // A superblock that is gone is no stage either.
    if (error instanceof CadastreError && error.family !== 'internal') return undefined;
    throw error;
  }
  // Both superblocks of two: nothing can be mended, and what is said then is for the random runs.
  if (!hasSuperblock(device, image)) return undefined;
  const isLossy = scenes.some((scene) => LOSSY.test(scene));
  repairAndCompare(image, device, failures, isLossy ? () => true : ({ inode }) => involved.has(inode));
  return { device, failures };
}
