/** `log IMAGE`: what waits in the log; --replay puts it in place, --discard throws it away. */
import { type Command, Option } from 'commander';
import type { Geometry } from '../../formats/geometry.ts';
import type { Device } from '../../lib/device/device.ts';
import { unsupported } from '../../lib/errors.ts';
import { readLogState } from '../../lib/journal/log-reader.ts';
import { type LogSummary, summarizeLog } from '../../lib/journal/recovery/checkpoints.ts';
import { type DiscardReport, discardLog, type RecoveryReport, recover } from '../../lib/recovery/recover.ts';
import { openSuperblock } from '../../lib/volume/open.ts';
import { EditableImage, type EditOptions, editOptions } from '../edit/open.ts';
import { openDevice } from '../ui/image.ts';
import { json, line } from '../ui/output.ts';
import { count, showSize } from '../ui/sizes.ts';
import { facts } from '../ui/table.ts';

interface Options extends EditOptions {
  replay?: boolean;
  discard?: boolean;
}

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .option('--replay', 'put what the log holds in place, and finish what was under way')
      .addOption(
        new Option('--discard', 'throw the log away: what only it holds is lost, and `check` is due').conflicts(
          'replay',
        ),
      ),
  ).action((path: string, options: Options) => {
    if (options.replay || options.discard) change(path, options);
    else show(path, options);
  });
}

function show(path: string, options: Options): void {
  const device = openDevice(path);
  try {
    const { geometry } = openSuperblock(device);
    const summary = summarizeLog(device, geometry, readLogState(device, geometry));
    if (options.json) {
      json(summary);
      return;
    }
    const { clean, head, tail, tornRecords, items, checkpoints } = summary;
    facts([
      ['state', clean ? 'clean' : 'dirty'],
      ['head', head],
      ...(clean ? [] : ([['tail', tail]] as const)),
      ['size', showSize(geometry.logBlocks * geometry.blockSize)],
      ...(tornRecords > 0 ? ([['torn records', tornRecords]] as const) : []),
      ...(clean
        ? []
        : ([
            ['checkpoints', checkpoints.length],
            ['items', itemText(items)],
          ] as const)),
    ]);
    for (const { lsn, items: own } of checkpoints) line(`checkpoint ${lsn}: ${itemText(own)}`);
  } finally {
    device.close();
  }
}

function change(path: string, options: Options): void {
  const image = new EditableImage(path, options);
  let lines: string[];
  let data: RecoveryReport | DiscardReport;
  try {
    const { geometry, readOnlyReason } = openSuperblock(image.device);
    if (readOnlyReason) throw unsupported('READ_ONLY', `the image can only be read: ${readOnlyReason}`);
    if (options.discard) {
      const report = discardLog(image.device, geometry);
      data = report;
      lines = discarded(path, report);
    } else {
      const report = replay(image.device, geometry);
      data = report;
      lines = replayed(path, report);
    }
    image.device.flush();
  } catch (error) {
    image.dropEmptyUndo();
    image.abandon();
    throw error;
  }
  image.close();
  const dry = image.wouldChange === undefined ? {} : { dryRun: true, changedBytes: image.wouldChange };
  if (options.json) json({ image: path, ...data, ...dry });
  else {
    for (const each of lines) line(each);
    if (image.wouldChange !== undefined) {
      line(`dry run: ${showSize(image.wouldChange)} of the image would change; nothing was written`);
    }
  }
}

const replay = (device: Device, geometry: Geometry): RecoveryReport => recover(device, geometry);

function replayed(path: string, report: RecoveryReport): string[] {
  if (report.clean) return [`${path}: the log was clean`];
  const intents = itemText(report.intents);
  return [
    `${path}: ${count(report.checkpoints, 'checkpoint')} replayed (${itemText(report.items)})`,
    ...(intents === '' ? [] : [`finished: ${intents}`]),
    ...(report.unlinkedInodes > 0 ? [`freed ${count(report.unlinkedInodes, 'inode')} without a name`] : []),
    ...(report.stagingBlocks > 0 ? [`freed ${count(report.stagingBlocks, 'block')} of unfinished writes`] : []),
  ];
}

function discarded(path: string, report: DiscardReport): string[] {
  if (report.clean) return [`${path}: the log was clean, and is a new one now`];
  const lost = report.lost ? lostText(report.lost) : `it could not be read: ${report.damage}`;
  return [
    `${path}: the log is thrown away; ${lost}`,
    'what it held may be missing or half done: `cadastre check` says so',
  ];
}

const lostText = (lost: LogSummary): string =>
  `lost: ${count(lost.checkpoints.length, 'checkpoint')} (${itemText(lost.items)})`;

const itemText = (items: Record<string, number>): string =>
  Object.entries(items)
    .map(([name, number]) => `${number} ${name}`)
    .join(', ');
