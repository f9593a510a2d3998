/** `xattr IMAGE get|set|list|rm PATH ...`: extended attributes under their Linux names (`user.x`, `security.y` ...). */
import type { Command } from 'commander';
import { fileError, usage } from '../../lib/errors.ts';
import type { Inode } from '../../lib/file/inode.ts';
import { hexText, nameJson } from '../../lib/volume/listing.ts';
import { listXattrs, removeXattr, setXattr } from '../../lib/volume/metadata.ts';
import { isPlainText, nameBytes, showPath } from '../../lib/volume/path.ts';
import { type EditOptions, edit, editOptions } from '../edit/open.ts';
import { inodeOf } from '../edit/place.ts';
import { withVolume } from '../ui/image.ts';
import { json, line, rawBytes } from '../ui/output.ts';

interface Options extends EditOptions {
  dereference: boolean;
  hex?: boolean;
}

/** Arguments behind the path. */
const ARGUMENTS: Record<string, string[]> = { get: ['NAME'], set: ['NAME', 'VALUE'], list: [], rm: ['NAME'] };

export function define(command: Command): void {
  editOptions(
    command
      .argument('<image>')
      .argument('<action>', 'get PATH NAME, set PATH NAME VALUE, list PATH, or rm PATH NAME')
      .argument('<path>')
      .argument('[name]', 'with its namespace: user.NAME, trusted.NAME, security.NAME, system.posix_acl_access')
      .argument('[value]', 'text; \\xNN stands for one byte')
      .option('--hex', 'values are hexadecimal')
      .option('-h, --no-dereference', 'of a symlink itself, not of what it points at')
      .helpOption('--help', 'display help for command'),
  ).action(
    (
      image: string,
      action: string,
      path: string,
      name: string | undefined,
      value: string | undefined,
      options: Options,
    ) => {
      const wanted = ARGUMENTS[action];
      const given = [name, value].filter((each) => each !== undefined).length;
      if (!wanted) throw usage('BAD_ACTION', `xattr: ${action} is none of get, set, list, rm`, { found: action });
      if (given !== wanted.length)
        throw usage('BAD_ARGUMENTS', `xattr ${action} takes PATH ${wanted.join(' ')}`.trim());
      if (action === 'list' || action === 'get') return read(image, path, name, options);
      const bytes = nameBytes(name!);
      return edit(image, options, (editor) => {
        const { number } = inodeOf(editor.volume, path, options.dereference);
        if (action === 'rm') removeXattr(editor, number, bytes);
        else setXattr(editor, number, bytes, options.hex ? hexBytes(value!) : nameBytes(value!));
        return { data: { path, name: name! } };
      });
    },
  );
}

function read(image: string, path: string, name: string | undefined, options: Options): Promise<void> {
  return withVolume(image, (volume) => {
    const inode = inodeOf(volume, path, options.dereference);
    if (name === undefined) list(inode, options);
    else get(inode, path, name, options);
  });
}

function list(inode: Inode, options: Options): void {
  const attributes = listXattrs(inode);
  if (options.json) json(attributes.map((each) => attributeJson(each.name, each.value)));
  else for (const each of attributes) line(showPath(each.name));
}

function get(inode: Inode, path: string, name: string, options: Options): void {
  const bytes = nameBytes(name);
  const found = listXattrs(inode).find((each) => Buffer.compare(each.name, bytes) === 0);
  if (!found) throw fileError('ENODATA', `${path} has no attribute ${name}`, { where: { path } });
  if (options.json) json(attributeJson(found.name, found.value));
  else if (options.hex) line(hexText(found.value));
  else rawBytes(found.value);
}

/** `value` is hexadecimal; `text` is there when it is plain text. */
function attributeJson(name: Uint8Array, value: Uint8Array): Record<string, unknown> {
  const text = isPlainText(value) ? { text: showPath(value) } : {};
  return { ...nameJson(name), value: hexText(value), ...text };
}

function hexBytes(text: string): Uint8Array {
  const digits = text.replace(/^0x/i, '');
  if (!/^(?:[0-9a-f]{2})*$/i.test(digits)) throw usage('BAD_HEX', `${text} is not hexadecimal`, { found: text });
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}
