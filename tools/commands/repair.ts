/** `repair IMAGE`: plan, decide, say what is done and what is lost, write it at once. Exit status as fsck's. */
import { readSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { Problem } from '../../lib/check/problems.ts';
import { repair } from '../../lib/repair/repair.ts';
import type { Decision, DisputeClaimant, RepairResult } from '../../lib/repair/report.ts';
import type { ConflictPolicy } from '../../lib/repair/state.ts';
import { EditableImage, editOptions } from '../edit/open.ts';
import { json, line, note, paint } from '../ui/output.ts';
import { Progress } from '../ui/progress.ts';
import { count, showSeconds } from '../ui/sizes.ts';

const STATUS_CORRECTED = 1;
const STATUS_LEFT = 4;
/** Lines of one section for people; JSON has all of them. */
const MOST_LINES = 100;
/** Share of the whole that is done when a phase begins, as it usually goes. */
const PHASES: readonly (readonly [name: string, begins: number])[] = [
  ['superblock', 0],
  ['check', 0.02],
  ['inodes', 0.4],
  ['disputes', 0.45],
  ['forks', 0.5],
  ['groups', 0.5],
  ['names', 0.55],
  ['verify', 0.62],
  ['write', 0.95],
  ['publish', 0.98],
  ['done', 1],
];

interface Options {
  conflicts: ConflictPolicy;
  interactive?: boolean;
  discardLog?: boolean;
  dryRun?: boolean;
  undo?: string;
  quiet?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  const rules = ['auto', 'share', 'copy', 'owner'];
  editOptions(command.argument('<image>'))
    .addOption(
      new Option('--conflicts <rule>', 'how blocks that several claim are settled').choices(rules).default('auto'),
    )
    .addOption(new Option('--interactive', 'ask before each of these decisions').conflicts('json'))
    .option('--discard-log', 'throw away a log that cannot be replayed, with what is only in it')
    .option('--quiet', 'print losses and what is left only')
    .action((path: string, options: Options) => run(path, options));
}

function run(path: string, options: Options): void {
  const quiet = options.quiet === true || options.json === true;
  const progress = new Progress(quiet || options.interactive === true);
  const image = new EditableImage(path, options);
  try {
    const result = repair(image.device, {
      conflicts: options.conflicts,
      discardLog: options.discardLog === true,
      dryRun: options.dryRun === true,
      ...(options.interactive ? { decide: ask } : {}),
      progress: (phase, done, total) => progress.update(shareOf(phase, done, total), phase),
    });
    progress.end();
    // Known before anything is printed: a reader that goes away does not change it.
    process.exitCode = statusOf(result, options);
    if (options.json) json({ image: path, ...(options.dryRun ? { dryRun: true } : {}), ...result });
    else tell(path, result, options, progress.seconds);
  } catch (error) {
    progress.end();
    image.dropEmptyUndo();
    image.abandon();
    throw error;
  }
  image.close();
}

function statusOf(result: RepairResult, options: Options): number {
  if (!result.clean || (options.dryRun && result.changed)) return STATUS_LEFT;
  return result.changed ? STATUS_CORRECTED : 0;
}

function shareOf(phase: string, done: number, total: number): number {
  const name = phase.split(':')[0]!;
  const at = Math.max(
    0,
    PHASES.findIndex((each) => each[0] === name),
  );
  const begins = PHASES[at]![1];
  // A check has parts of its own; only the longest, inodes and directories, move the line.
  const parts: readonly string[] = ['trees', 'inodes', 'directories', 'blocks'];
  const part = parts.indexOf(phase.split(': ')[1] ?? '');
  const within = total > 0 ? done / total : 0;
  const share = part < 0 ? within : (part + within) / parts.length;
  return begins + share * ((PHASES[at + 1]?.[1] ?? 1) - begins);
}

function tell(path: string, result: RepairResult, options: Options, seconds: number): void {
  const { decisions, actions, losses, found, remaining } = result;
  if (!options.quiet) {
    section('Problems', problemLines(result));
    section('Decisions', decisions.flatMap(decisionLines), Number.POSITIVE_INFINITY);
    section(
      options.dryRun ? 'Would be changed' : 'Changed',
      actions.map(({ stage, text, path: where, ag, inode }) => `${stage}: ${place(where, inode, ag)}${text}`),
    );
    section(
      'lost+found',
      found.map((each) => `${each.path}: inode ${each.inode}${each.name === undefined ? '' : `, was "${each.name}"`}`),
    );
  }
  section(
    paint.red('Lost'),
    losses.map(({ what, text, path: where, inode, fileBlock }) => {
      const at = fileBlock === undefined ? '' : `file block ${fileBlock}: `;
      return `${what}: ${place(where, inode)}${at}${text}`;
    }),
  );
  section(paint.red('Left'), remaining.map(problemLine));
  line(`${path}: ${verdict(result, options)}, in ${showSeconds(seconds)}`);
}

function verdict(result: RepairResult, options: Options): string {
  const { clean, changed, problemCount, remaining, losses } = result;
  if (clean && !changed) return paint.green('clean');
  const lost = losses.length > 0 ? `, ${count(losses.length, 'loss', 'losses')}` : ', nothing lost';
  const what = `${count(problemCount, 'problem')}${lost}`;
  if (options.dryRun)
    return `dry run: ${what}; ${clean ? 'it would be clean' : 'it would not be clean'}; nothing written`;
  if (clean) return `${paint.green('repaired')}: ${what}`;
  if (!changed) return paint.red(`not repaired: ${count(remaining.length, 'problem')} left, nothing written`);
  return paint.red(`repaired in part: ${what}; ${count(remaining.length, 'problem')} left`);
}

function section(title: string, lines: readonly string[], most = MOST_LINES): void {
  if (lines.length === 0) return;
  line(paint.bold(title));
  for (const each of lines.slice(0, most)) line(`  ${each}`);
  if (lines.length > most) line(`  ... and ${lines.length - most} more (--json lists them)`);
}

/** Problems by code: how many, and the first of them. */
function problemLines({ problems, problemCount }: RepairResult): string[] {
  const groups = new Map<string, Problem[]>();
  for (const problem of problems) {
    const group = groups.get(problem.code);
    if (group) group.push(problem);
    else groups.set(problem.code, [problem]);
  }
  const lines = [...groups.values()].map((group) => {
    const more = group.length > 1 ? ` (and ${group.length - 1} more)` : '';
    return `${problemLine(group[0]!)}${more}`;
  });
  if (problemCount > problems.length) lines.push(`... and ${problemCount - problems.length} that are not listed`);
  return lines;
}

function problemLine({ code, path, message }: Problem): string {
  return `${code}: ${path === undefined ? '' : `${path}: `}${message}`;
}

function place(path: string | undefined, inode: number | undefined, ag?: number): string {
  if (path !== undefined) return `${path}: `;
  if (inode !== undefined) return `inode ${inode}: `;
  return ag === undefined ? '' : `AG ${ag}: `;
}

function decisionLines(decision: Decision): string[] {
  const { range, claimants, evidence, action, outcome } = decision;
  const blocks =
    range.blockCount === 1
      ? `block ${range.agBlock}`
      : `blocks ${range.agBlock}-${range.agBlock + range.blockCount - 1}`;
  return [
    `AG ${range.ag}, ${blocks}: ${action}`,
    ...claimants.map(
      (each) => `  claimed by ${claimantText(each)}${each.outcome === undefined ? '' : `: ${each.outcome}`}`,
    ),
    ...evidence.map((each) => `  because ${each}`),
    `  ${outcome}`,
  ];
}

function claimantText({ kind, inode, path, fileBlock, registered }: DisputeClaimant): string {
  const who = path ?? (inode === undefined ? '' : `inode ${inode}`);
  const where = fileBlock === undefined ? '' : `, file block ${fileBlock}`;
  const known = registered === undefined ? '' : registered ? ', registered' : ', not registered';
  return `${who === '' ? kind : `${who} (${kind}${where})`}${known}`;
}

/** Ask for one decision; an empty answer takes the proposal. */
function ask(proposal: Decision, choices: readonly string[]): string {
  note(decisionLines(proposal).join('\n'));
  for (;;) {
    note(`${choices.join(' | ')}  [${proposal.action}] ?`);
    const answer = readLine();
    if (answer === undefined || answer === '') return proposal.action;
    const fits = choices.filter((each) => each.startsWith(answer));
    if (fits.length === 1 || fits.includes(answer)) return fits.includes(answer) ? answer : fits[0]!;
    note(`"${answer}" is none of them`);
  }
}

/** A line of standard input; undefined at its end. */
function readLine(): string | undefined {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  for (;;) {
    let got = 0;
    try {
      got = readSync(0, one, 0, 1, null);
    } catch (cause) {
      if ((cause as { code?: string }).code === 'EAGAIN') continue;
      return undefined;
    }
    if (got === 0) return bytes.length === 0 ? undefined : Buffer.from(bytes).toString().trim();
    if (one[0] === 0x0a) return Buffer.from(bytes).toString().trim();
    bytes.push(one[0]!);
  }
}
