/** `stat IMAGE PATH...`: everything an inode says. */
import type { Command } from 'commander';
import { FORMAT } from '../../formats/inode.ts';
import { Fork } from '../../lib/file/fork.ts';
import type { Inode } from '../../lib/file/inode.ts';
import { hexText, listedJson, modeText, nameJson, timeText } from '../../lib/volume/listing.ts';
import { listXattrs } from '../../lib/volume/metadata.ts';
import { pathBytes, showPath, splitPath } from '../../lib/volume/path.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { jsonOption } from '../command.ts';
import { attempt } from '../ui/failures.ts';
import { withVolume } from '../ui/image.ts';
import { JsonArray, line } from '../ui/output.ts';
import { showSize } from '../ui/sizes.ts';
import { facts } from '../ui/table.ts';

interface Options {
  follow?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('<paths...>')
    .option('-L, --follow', 'of a symlink: what it points at')
    .addOption(jsonOption())
    .action((image: string, paths: string[], options: Options) =>
      withVolume(image, (volume) => {
        const array = options.json ? new JsonArray() : undefined;
        let first = true;
        for (const path of paths) {
          attempt('stat', options.json, () => {
            const inode = volume.resolve(path, options.follow === true);
            if (array) array.push(describe(volume, path, inode));
            else {
              if (!first) line();
              print(volume, path, inode);
            }
            first = false;
          });
        }
        array?.end();
      }),
    );
}

const FORMATS: Record<number, string> = {
  [FORMAT.DEV]: 'device',
  [FORMAT.LOCAL]: 'local',
  [FORMAT.EXTENTS]: 'extents',
  [FORMAT.BTREE]: 'btree',
};
const formatName = (format: number): string => FORMATS[format] ?? `format ${format}`;

function describe(volume: Volume, path: string, inode: Inode): Record<string, unknown> {
  const { core } = inode;
  const bytes = pathBytes(path);
  const attr = new Fork(inode, 'attr');
  const data = new Fork(inode, 'data');
  return {
    path: showPath(bytes),
    ...listedJson(splitPath(bytes).at(-1) ?? bytes, inode),
    links: core.nlink,
    atime: timeText(inode.time('atime')),
    ctime: timeText(inode.time('ctime')),
    crtime: timeText(inode.time('crtime')),
    generation: core.gen,
    blocks: core.nblocks,
    bytes: core.nblocks * volume.geometry.blockSize,
    data: { format: formatName(data.format), extents: data.extentCount },
    ...(attr.exists ? { attr: { format: formatName(attr.format), extents: attr.extentCount } } : {}),
    ...(data.format === FORMAT.DEV ? { device: inode.deviceNumber } : {}),
    flags: core.flags,
    reflink: inode.isReflink,
    project: core.projidHi * 0x10000 + core.projidLo,
    xattrs: listXattrs(inode).map(({ name, value }) => ({ ...nameJson(name), value: hexText(value) })),
  };
}

function print(volume: Volume, path: string, inode: Inode): void {
  const { core } = inode;
  const attr = new Fork(inode, 'attr');
  const data = new Fork(inode, 'data');
  const listed = listedJson(new Uint8Array(), inode);
  const { major, minor } = inode.deviceNumber;
  const allocated = core.nblocks * volume.geometry.blockSize;
  facts([
    ['path', showPath(pathBytes(path))],
    ['inode', `${inode.number} (${listed.type}, generation ${core.gen})`],
    ...(listed.target === undefined ? [] : ([['target', listed.target]] as const)),
    ...(data.format === FORMAT.DEV ? ([['device', `${major}:${minor}`]] as const) : []),
    ['size', `${inode.size}`],
    ['allocated', `${showSize(allocated)} (${core.nblocks} blocks)`],
    ['data fork', forkText(data)],
    ['attr fork', attr.exists ? forkText(attr) : 'none'],
    ['mode', `${(inode.mode & 0o7777).toString(8).padStart(4, '0')} ${modeText(inode.mode)}`],
    ['owner', `${core.uid}:${core.gid}`],
    ['links', core.nlink],
    ['accessed', timeText(inode.time('atime'))],
    ['modified', timeText(inode.time('mtime'))],
    ['changed', timeText(inode.time('ctime'))],
    ['created', timeText(inode.time('crtime'))],
    ['shares blocks', inode.isReflink ? 'perhaps (reflink flag)' : 'no'],
  ]);
  for (const { name, value } of listXattrs(inode)) line(`xattr ${showPath(name)} = ${valueText(value)}`);
}

const forkText = (fork: Fork): string =>
  fork.hasExtents ? `${formatName(fork.format)}, ${fork.extentCount} extents` : formatName(fork.format);

/** Text in quotes where it is text, else hexadecimal; long values are cut. */
function valueText(value: Uint8Array): string {
  const shown = value.subarray(0, 64);
  const more = value.length > 64 ? ` ... (${value.length} bytes)` : '';
  const isText = shown.every((byte) => byte >= 0x20 && byte < 0x7f);
  return isText ? `"${showPath(shown)}"${more}` : `0x${hexText(shown)}${more}`;
}
