/** `damage IMAGE WHAT... FIELD VERB [VALUE]`: break one field on purpose; `--scene`: damage as it happens. */
import { type Command, Option } from 'commander';
import type { Geometry } from '../../formats/geometry.ts';
import { VERBS, type Verb } from '../../lib/damage/bits.ts';
import { damage, type FieldChange, listFields } from '../../lib/damage/damage.ts';
import { locate } from '../../lib/damage/locate.ts';
import { placeWords } from '../../lib/damage/place.ts';
import { playScene, SCENES, type SceneReport } from '../../lib/damage/scenes/scenes.ts';
import type { Device } from '../../lib/device/device.ts';
import { CadastreError, usage } from '../../lib/errors.ts';
import { openSuperblock } from '../../lib/volume/open.ts';
import { parsePlace } from '../damage/places.ts';
import { EditableImage, type EditOptions, editOptions } from '../edit/open.ts';
import { openDevice } from '../ui/image.ts';
import { json, line } from '../ui/output.ts';
import { count, parseNumber, showSize } from '../ui/sizes.ts';
import { Table } from '../ui/table.ts';

interface Options extends EditOptions {
  list?: boolean;
  scene?: string;
  scenes?: boolean;
  crc: 'fix' | 'keep';
  seed?: string;
  count?: string;
}

const HELP = `What (--list shows its fields):
  sb|agf|agi|agfl [AG]           a header of an allocation group (default 0)
  inode N|PATH                   core, and what the forks hold inside the inode
  btree TREE AG [CHILD...]       a block of bnobt cntbt inobt finobt rmapbt refcountbt csumbt: the root,
                                 or by child indexes from there; or block:B
  btree bmbt PATH [attr] [CHILD...]  a block of an extent tree (default: the first below the inode)
  dir PATH [BLOCK|data:N|leaf:N|node:N|free:N]   a block of a directory
  attr PATH [BLOCK|leaf:N|node:N|value:N]        a block of attributes
  symlink PATH                   a long target
  log [BB]                       a log record (default: the last)
  block AG:B                     a block, recognised by its magic (also byte:N, fs:N)
  as STRUCTURE byte:N            bytes taken as any structure
  raw AG:B[+N]                   bytes[I], or all of them (also byte:N[+LENGTH])
Field: as --list shows it: longest, unlinked[3], recs[5].startBlock, extents[0].blockCount ...
Verb: zero ones | first middle last (turns that bit over) | add [N] sub [N] | random | value N
  N is a number, 0x..., null (all ones) or text:... for names.
Scenes: --scenes lists them; names after --scene NAME say who plays which part.`;

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('[what...]', 'see below')
      .option('--list', 'show the fields of a structure with their values')
      .option('--scene <name>', 'damage as it happens; the words are paths')
      .option('--scenes', 'list the scenes')
      .addOption(
        new Option('--crc <what>', 'make the CRC right afterwards, as a bug would, or leave it, as bit rot does')
          .choices(['fix', 'keep'])
          .default('fix'),
      )
      .option('--seed <n>', 'for what is drawn by lot (default 1)')
      .option('--count <n>', 'scene wipe-sectors: how many (default 16)'),
  )
    .addHelpText('after', `\n${HELP}`)
    .action((image: string, words: string[], options: Options) => run(image, words, options));
}

function run(path: string, words: readonly string[], options: Options): void {
  if (options.scenes) {
    listScenes(options.json === true);
    return;
  }
  if (options.list) {
    const device = openDevice(path);
    try {
      list(device, words, options.json === true);
    } finally {
      device.close();
    }
    return;
  }
  // Everything that can be said of the words alone, before the image is locked.
  const order = options.scene === undefined ? parseOrder(words) : undefined;
  const seed = options.seed === undefined ? 1 : parseNumber(options.seed, '--seed', 0, 2 ** 32 - 1);
  const image = new EditableImage(path, options);
  try {
    const { device } = image;
    const geometry = geometryOf(device);
    if (order) {
      const place = parsePlace(order.what, device, geometry);
      const change = damage(device, geometry, { place, ...order.spec, crc: options.crc, seed });
      device.flush();
      if (change.after === change.before) image.dropEmptyUndo();
      tellChange(path, change, image.wouldChange, options);
    } else {
      if (!geometry) throw usage('NEEDS_SUPERBLOCK', 'scenes need a superblock that can be read');
      const report = playScene(device, geometry, options.scene!, {
        paths: words,
        seed,
        ...(options.count === undefined ? {} : { count: parseNumber(options.count, '--count', 1, 1e6) }),
      });
      device.flush();
      tellScene(path, report, image.wouldChange, options);
    }
  } catch (error) {
    image.abandon();
    image.dropEmptyUndo();
    throw error;
  } finally {
    image.close();
  }
}

/** Of an image whose superblock can be read; for the others a few places are still known. */
function geometryOf(device: Device): Geometry | undefined {
  try {
    return openSuperblock(device, true).geometry;
  } catch (error) {
    if (error instanceof CadastreError && error.family !== 'device') return undefined;
    throw error;
  }
}

interface Order {
  readonly what: readonly string[];
  readonly spec: { field: string; verb: Verb; value?: bigint };
}

const isVerb = (word: string | undefined): word is Verb => (VERBS as readonly (string | undefined)[]).includes(word);

/** WHAT... FIELD VERB [VALUE]. */
function parseOrder(words: readonly string[]): Order {
  const hasValue = ['add', 'sub', 'value'].includes(words.at(-2) ?? '') && words.length > 3;
  const verb = hasValue ? words.at(-2) : words.at(-1);
  const rest = words.slice(0, hasValue ? -2 : -1);
  if (!isVerb(verb)) {
    throw usage('BAD_VERB', verb === undefined ? 'what is to be broken?' : `${verb} is no verb`, {
      expected: VERBS.join(' '),
      found: verb,
    });
  }
  if (rest.length < 2) throw usage('BAD_WHAT', 'damage needs a structure, a field and a verb (--help lists them)');
  const value = hasValue ? parseValue(words.at(-1)!) : undefined;
  if (verb === 'value' && value === undefined) throw usage('BAD_VALUE', 'value needs a number');
  return {
    what: rest.slice(0, -1),
    spec: { field: rest.at(-1)!, verb, ...(value === undefined ? {} : { value }) },
  };
}

function parseValue(text: string): bigint {
  if (text.startsWith('text:')) {
    let value = 0n;
    for (const byte of new TextEncoder().encode(text.slice(5))) value = (value << 8n) | BigInt(byte);
    return value;
  }
  if (text === 'null') return -1n;
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text)) {
    throw usage('BAD_VALUE', `${text} is no value`, { expected: 'a number, 0x..., null or text:...', found: text });
  }
  return BigInt(text);
}

function list(device: Device, words: readonly string[], asJson: boolean): void {
  const geometry = geometryOf(device);
  const target = locate(device, geometry, parsePlace(words, device, geometry));
  const fields = listFields(device, target);
  const what = placeWords(target.place).join(' ');
  const { byte } = target.ranges[0]!;
  if (asJson) {
    json({
      what,
      structure: target.structure,
      byte,
      fields: fields.map(({ name, bit, bits, value }) => ({ name, bit, bits, value })),
    });
    return;
  }
  line(`${target.structure}: ${what}, at byte ${byte}`);
  const columns = [
    { title: 'byte', right: true },
    { title: 'bits', right: true },
    { title: 'field' },
    { title: 'value' },
  ];
  const table = new Table(columns);
  for (const { name, bit, bits, value } of fields) {
    table.row(bit % 8 === 0 ? bit >> 3 : `${bit >> 3}.${bit % 8}`, bits, name, showValue(value, bits));
  }
  table.end();
}

function listScenes(asJson: boolean): void {
  const scenes = Object.entries(SCENES).map(([name, { paths, summary }]) => ({ name, paths, summary }));
  if (asJson) {
    json(scenes);
    return;
  }
  const table = new Table([{ title: 'scene' }, { title: 'paths' }, { title: 'what happens' }]);
  for (const { name, paths, summary } of scenes) table.row(name, paths, summary);
  table.end();
}

/** Decimal while a person can read it; names and uuids are hexadecimal. */
function showValue(value: bigint, bits: number): string {
  if (bits >= 16 && value === (1n << BigInt(bits)) - 1n) return 'null';
  const text = bits > 64 || value > 0xffff_ffff_ffn ? `0x${value.toString(16).padStart(bits >> 2, '0')}` : `${value}`;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function tellChange(path: string, change: FieldChange, wouldChange: number | undefined, options: Options): void {
  const { what, field, bits, before, after, crcFixed } = change;
  if (options.json) {
    json({ image: path, ...change, ...dryRun(wouldChange) });
    return;
  }
  const values = `${showValue(before, bits)} -> ${showValue(after, bits)}`;
  const crc = crcFixed === undefined ? '' : crcFixed ? ', CRC made right' : ', CRC left as it was';
  line(
    before === after ? `${what}: ${field} is ${showValue(before, bits)} already` : `${what}: ${field} ${values}${crc}`,
  );
  tellDryRun(wouldChange);
}

function tellScene(path: string, report: SceneReport, wouldChange: number | undefined, options: Options): void {
  if (options.json) {
    json({ image: path, ...report, ...dryRun(wouldChange) });
    return;
  }
  line(`${report.scene}: ${report.text}`);
  const most = 20;
  for (const change of report.changes.slice(0, most)) {
    if ('field' in change) {
      const { what, field, before, after, bits } = change;
      line(`  ${what}: ${field} ${showValue(before, bits)} -> ${showValue(after, bits)}`);
    } else line(`  ${change.what}: ${showSize(change.length)} at byte ${change.byte}`);
  }
  const more = report.changes.length - most;
  if (more > 0) line(`  ... and ${count(more, 'change')} more (--json has all)`);
  tellDryRun(wouldChange);
}

const dryRun = (changedBytes: number | undefined): object =>
  changedBytes === undefined ? {} : { dryRun: true, changedBytes };

function tellDryRun(wouldChange: number | undefined): void {
  if (wouldChange !== undefined) line(`dry run: ${showSize(wouldChange)} would change; nothing was written`);
}
