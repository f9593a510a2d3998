/** `mkfs IMAGE`: make an image, empty or from a directory. Nothing is written before everything that can be refused is known. */
import { type Command, Option } from 'commander';
import { DIALECTS, type Dialect } from '../../formats/dialect.ts';
import { usage } from '../../lib/errors.ts';
import { finishImage, formatImage } from '../../lib/mkfs/format-image.ts';
import { type ImagePlan, planImage } from '../../lib/mkfs/geometry.ts';
import type { MakeOptions } from '../../lib/mkfs/make.ts';
import type { FeatureChoice } from '../../lib/mkfs/policy.ts';
import { uuidText } from '../../lib/volume/uuid.ts';
import { jsonOption } from '../command.ts';
import type { Filled } from '../mkfs/fill.ts';
import { chooseUuid, epochFromEnvironment, timeNow } from '../mkfs/reproducible.ts';
import { inspectTarget, type OpenTarget, openTarget, type Target } from '../mkfs/target.ts';
import { json, line, note, paint } from '../ui/output.ts';
import { Progress } from '../ui/progress.ts';
import { count, parseNumber, parseSize, showSeconds, showSize } from '../ui/sizes.ts';

/** Options with a size, and what they are called in MakeOptions. */
const SIZES = [
  'blockSize',
  'sectorSize',
  'inodeSize',
  'dirBlockSize',
  'agSize',
  'logSize',
  'stripeUnit',
  'stripeWidth',
] as const;
const FEATURES = [
  'finobt',
  'inobtcount',
  'rmapbt',
  'reflink',
  'bigtime',
  'nrext64',
  'sparse',
  'exchangeRange',
] as const;

type SizeOption = (typeof SIZES)[number];
type FeatureOption = (typeof FEATURES)[number];

interface Options extends Partial<Record<SizeOption, string>>, Partial<Record<FeatureOption, boolean>> {
  size?: string;
  format: string;
  from?: string;
  owner?: string;
  label?: string;
  uuid?: string;
  agCount?: string;
  imaxpct?: string;
  reproducible?: boolean;
  force?: boolean;
  dryRun?: boolean;
  undo?: string;
  quiet?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>', 'file or block device')
    .option('--size <size>', 'size of the image, or "auto": the smallest that holds the source with room to edit')
    .addOption(new Option('--format <name>', 'dialect').choices(DIALECTS.map(({ name }) => name)).default('cadastre'))
    .option('--from <dir>', 'fill the image from this directory')
    .option('--owner <uid:gid>', 'everything belongs to these numbers')
    .option('--label <text>', 'at most 12 bytes')
    .option('--uuid <uuid>', 'instead of a random one')
    .option('--block-size <size>', '1k to 64k (default 4k)')
    .option('--inode-size <size>', '512 to 2k (default 512)')
    .option('--sector-size <size>', '512 to 32k (default 512)')
    .option('--dir-block-size <size>', 'directory blocks, up to 64k')
    .option('--ag-count <n>', 'number of allocation groups')
    .option('--ag-size <size>', 'size of an allocation group')
    .option('--log-size <size>', 'size of the log')
    .option('--stripe-unit <size>', 'stripe unit of the disks below')
    .option('--stripe-width <size>', 'a multiple of the stripe unit')
    .option('--imaxpct <n>', 'most per cent of the space that inodes may take')
    .option('--reproducible', 'same input, same bytes: no clock, no lot (also when SOURCE_DATE_EPOCH is set)');
  for (const feature of FEATURES) {
    const name = feature === 'exchangeRange' ? 'exchange-range' : feature;
    command.option(`--${name}`, `xfs: with ${name}`).option(`--no-${name}`, `xfs: without ${name}`);
  }
  command
    .option('--force', 'overwrite what is there, even if it is in use')
    .addOption(new Option('--dry-run', 'do everything but write (in memory)').conflicts('undo'))
    .option('--undo <file>', 'keep the old bytes in a new file: `cadastre undo` puts them back')
    .option('--quiet', 'print nothing but errors')
    .addOption(jsonOption())
    .action((image: string, options: Options) => make(image, options));
}

/** What is written, and what came of it. */
interface Work {
  readonly image: ImagePlan;
  write(target: OpenTarget): void;
  report(): Filled | undefined;
  close(): void;
}

async function make(image: string, options: Options): Promise<void> {
  const target = await inspectTarget(image, options.force === true, options.from);
  const progress = new Progress(options.quiet === true || options.json === true);
  const epoch = epochFromEnvironment();
  const reproducible = options.reproducible === true || epoch !== undefined;
  const makeOptions = translate(options, target, reproducible);
  const owner = options.owner === undefined ? undefined : parseOwner(options.owner);
  const times = reproducible ? { epoch } : undefined;
  const work =
    options.from === undefined
      ? emptyWork(makeOptions, times)
      : (await import('../mkfs/fill.ts')).fillWork(options.from, makeOptions, times, owner, progress);
  try {
    const opened = await openTarget(target, work.image.size, options);
    let finished = false;
    try {
      work.write(opened);
      finished = true;
    } finally {
      progress.end();
      opened.close(finished);
    }
    report(image, options, work, progress.seconds);
  } finally {
    work.close();
  }
}

/** An empty image needs neither the allocator nor the host's tree: they are not loaded, so that it is made at once. */
function emptyWork(options: Omit<MakeOptions, 'from'>, times: { epoch: number | undefined } | undefined): Work {
  const size = options.size === 'auto' ? options.dialect.minImageBytes : options.size;
  const time = times ? { seconds: times.epoch ?? 0, nanoseconds: 0 } : options.time;
  const image = planImage({ ...options, size, time });
  return {
    image,
    write({ device, blank }) {
      formatImage(device, image, blank);
      finishImage(device, image);
    },
    report: () => undefined,
    close: () => {},
  };
}

/** Options as the library takes them. */
function translate(options: Options, target: Target, reproducible: boolean): Omit<MakeOptions, 'from'> {
  const dialect = DIALECTS.find(({ name }) => name === options.format) as Dialect;
  const sizes: Partial<Record<SizeOption, number>> = {};
  for (const name of SIZES) {
    const text = options[name];
    if (text !== undefined)
      sizes[name] = parseSize(text, `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
  }
  const features: Partial<FeatureChoice> = {};
  for (const name of FEATURES) if (options[name] !== undefined) features[name] = options[name];
  const size = chooseSize(options, target);
  const { agCount, imaxpct, label } = options;
  const chosen = {
    ...sizes,
    ...(agCount === undefined ? {} : { agCount: parseNumber(agCount, '--ag-count', 1) }),
    ...(imaxpct === undefined ? {} : { imaxPct: parseNumber(imaxpct, '--imaxpct', 0, 100) }),
    ...(label === undefined ? {} : { label }),
  };
  const uuid = chooseUuid(
    options.uuid,
    reproducible ? { format: options.format, size, features, ...chosen } : undefined,
  );
  return { dialect, size, uuid, features, ...chosen, time: timeNow() };
}

function chooseSize(options: Options, target: Target): number | 'auto' {
  if (options.size === 'auto') return 'auto';
  if (options.size !== undefined) return parseSize(options.size, '--size');
  if (target.isBlockDevice || target.bytes > 0) return target.bytes;
  if (options.from !== undefined) return 'auto';
  throw usage('NO_SIZE', 'say how big the image is to be: --size 64m, or --size auto with --from');
}

function parseOwner(text: string): { uid: number; gid: number } {
  const [uid, gid, rest] = text.split(':');
  if (uid === undefined || gid === undefined || rest !== undefined) {
    throw usage('BAD_OWNER', `--owner: ${text} is not UID:GID`, { expected: 'two numbers', found: text });
  }
  return { uid: parseNumber(uid, '--owner', 0, 0xfffffffe), gid: parseNumber(gid, '--owner', 0, 0xfffffffe) };
}

function report(image: string, options: Options, work: Work, seconds: number): void {
  const { geometry, size } = work.image;
  const filled = work.report();
  if (options.json) {
    json({
      image,
      format: geometry.dialect.name,
      size,
      blockSize: geometry.blockSize,
      blocks: geometry.blocks,
      agCount: geometry.agCount,
      agBlocks: geometry.agBlocks,
      logBlocks: geometry.logBlocks,
      uuid: uuidText(geometry.uuid),
      ...(options.dryRun ? { dryRun: true } : {}),
      ...(filled ? { populated: filled.result, leftOut: filled.leftOut.toJSON() } : {}),
    });
    return;
  }
  // What is missing from the image is said even where nothing else is.
  for (const item of filled?.leftOut.summary() ?? []) note(`${paint.yellow('left out', process.stderr)}: ${item}`);
  if (options.quiet) return;
  line(
    `${image}: ${geometry.dialect.name}, ${showSize(size)}, ${count(geometry.agCount, 'allocation group')}, ` +
      `blocks of ${showSize(geometry.blockSize)}, uuid ${uuidText(geometry.uuid)}`,
  );
  if (options.dryRun) line('dry run: nothing was written');
  if (!filled) return;
  const { files, bytes, directories, symlinks, others, hardLinks } = filled.result;
  const parts = [`${count(files, 'file')} (${showSize(bytes)})`, count(directories, 'directory', 'directories')];
  if (symlinks + others > 0) parts.push(count(symlinks + others, 'other object'));
  if (hardLinks > 0) parts.push(count(hardLinks, 'hard link'));
  line(`${parts.join(', ')} in ${showSeconds(seconds)}`);
}
