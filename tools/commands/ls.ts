/** `ls IMAGE [PATH...]`: names, or with -l what is known of each; -R goes down. */
import type { Command } from 'commander';
import type { Inode } from '../../lib/file/inode.ts';
import { readSymlink } from '../../lib/file/symlink.ts';
import { type ListedEntry, listDirectory, listedJson, modeText, nameJson, timeText } from '../../lib/volume/listing.ts';
import { pathBytes, showPath, splitPath } from '../../lib/volume/path.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { secondPlace } from '../../lib/volume/walk.ts';
import { jsonOption } from '../command.ts';
import { attempt, failed } from '../ui/failures.ts';
import { withVolume } from '../ui/image.ts';
import { JsonArray, line, paint } from '../ui/output.ts';
import { Table } from '../ui/table.ts';

interface Options {
  long?: boolean;
  recursive?: boolean;
  json?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('[paths...]', 'directories or other objects (default /)')
    .option('-l, --long', 'mode, links, owner, size, time')
    .option('-R, --recursive', 'everything below too')
    .addOption(jsonOption())
    .action((image: string, paths: string[], options: Options) =>
      withVolume(image, (volume) => {
        const listing = new Listing(volume, options, paths.length > 1);
        for (const path of paths.length > 0 ? paths : ['/']) attempt('ls', options.json, () => listing.show(path));
        listing.end();
      }),
    );
}

class Listing {
  readonly #volume: Volume;
  readonly #options: Options;
  readonly #json: JsonArray | undefined;
  readonly #titles: boolean;
  #first = true;

  constructor(volume: Volume, options: Options, several: boolean) {
    this.#volume = volume;
    this.#options = options;
    this.#json = options.json ? new JsonArray() : undefined;
    this.#titles = several || options.recursive === true;
  }

  show(text: string): void {
    const path = pathBytes(text);
    const inode = this.#volume.resolve(path, !this.#options.long);
    if (inode.isDirectory) {
      this.#directories(inode, path);
      return;
    }
    const name = splitPath(path).at(-1) ?? path;
    this.#print([{ entry: { name, inode: inode.number, ftype: 0 }, path, inode }]);
  }

  end(): void {
    this.#json?.end();
  }

  /** Depth first. A directory has one place; a second one is damage, and following it might never end. */
  #directories(start: Inode, path: Uint8Array): void {
    const pending = [{ number: start.number, path }];
    const seen = new Set([start.number]);
    for (let next = pending.pop(); next; next = pending.pop()) {
      const { number, path: at } = next;
      attempt('ls', this.#options.json, () => {
        const entries = listDirectory(this.#volume, this.#volume.inode(number), at);
        if (this.#titles && !this.#json) {
          if (!this.#first) line();
          line(`${showPath(at)}:`);
        }
        this.#first = false;
        this.#print(entries);
        if (!this.#options.recursive) return;
        for (const { inode, path: below } of entries.reverse()) {
          if (!inode?.isDirectory) continue;
          if (seen.has(inode.number)) failed('ls', this.#options.json, secondPlace(inode.number, below));
          else {
            seen.add(inode.number);
            pending.push({ number: inode.number, path: below });
          }
        }
      });
    }
  }

  #print(entries: ListedEntry[]): void {
    if (this.#json) {
      for (const each of entries) this.#printJson(this.#json, each);
      return;
    }
    const table = this.#options.long
      ? new Table([
          { title: '' },
          { title: '', right: true },
          { title: '', right: true },
          { title: '', right: true },
          { title: '', right: true },
          { title: '' },
          { title: '' },
        ])
      : undefined;
    for (const each of entries) {
      if (each.error) failed('ls', false, each.error);
      if (table) this.#printLong(table, each);
      else line(each.inode?.isDirectory ? paint.blue(showPath(each.entry.name)) : showPath(each.entry.name));
    }
    if (entries.length > 0) table?.end();
  }

  #printLong(table: Table, { entry, inode }: ListedEntry): void {
    const name = showPath(entry.name);
    if (!inode) {
      table.row('?---------', '?', '?', '?', '?', '?', name);
      return;
    }
    const { core } = inode;
    const { major, minor } = inode.deviceNumber;
    const type = modeText(inode.mode)[0];
    const size = type === 'c' || type === 'b' ? `${major},${minor}` : inode.size;
    const time = timeText(inode.time('mtime')).slice(0, 19).replace('T', ' ');
    table.row(
      modeText(inode.mode),
      core.nlink,
      core.uid,
      core.gid,
      size,
      time,
      inode.isSymlink ? `${name} -> ${target(inode)}` : name,
    );
  }

  #printJson(array: JsonArray, { entry, path, inode, error }: ListedEntry): void {
    const where = this.#titles ? { path: showPath(path) } : {};
    if (error) failed('ls', true, error);
    if (!inode) array.push({ ...nameJson(entry.name), inode: entry.inode, type: 'unknown', ...where });
    else attempt('ls', true, () => array.push({ ...listedJson(entry.name, inode), ...where }));
  }
}

function target(inode: Inode): string {
  let text = '?';
  attempt('ls', false, () => {
    text = showPath(readSymlink(inode));
  });
  return text;
}
