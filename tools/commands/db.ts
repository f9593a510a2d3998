/** `db IMAGE WHAT...`: show any structure by name, as it lies on the disk, damaged or not. */
import type { Command } from 'commander';
import { Geometry } from '../../formats/geometry.ts';
import { FORMAT } from '../../formats/inode.ts';
import { STRUCTURES } from '../../formats/registry.ts';
import { Superblock } from '../../formats/superblock.ts';
import { verifySuperblock } from '../../formats/superblock-verify.ts';
import type { Device } from '../../lib/device/device.ts';
import { directoryForm, forEachEntry, parentOf } from '../../lib/directory/directory.ts';
import { usage } from '../../lib/errors.ts';
import { Fork, type ForkName } from '../../lib/file/fork.ts';
import { readFork } from '../../lib/file/inode-fork-blocks.ts';
import { type Dump, dumpAs, dumpAt, readBytes } from '../../lib/inspect/dump.ts';
import { dumpInode } from '../../lib/inspect/inode.ts';
import type { Row } from '../../lib/inspect/lists.ts';
import { treeShape } from '../../lib/inspect/tree.ts';
import { hexText, nameJson } from '../../lib/volume/listing.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { toLinuxName } from '../../lib/xattr/linux-names.ts';
import { forEachAttribute } from '../../lib/xattr/read.ts';
import { jsonOption } from '../command.ts';
import { parseBlocks } from '../ui/blocks.ts';
import { printDump, printList } from '../ui/dump.ts';
import { openDevice } from '../ui/image.ts';
import { json, line, rawBytes } from '../ui/output.ts';
import { parseNumber, parseSize } from '../ui/sizes.ts';
import { Table } from '../ui/table.ts';

interface Options {
  records?: boolean;
  all?: boolean;
  json?: boolean;
}

const WHAT = `What:
  sb|agf|agi|agfl [AG]      a header of an allocation group (default 0)
  inode N|PATH              an inode and what is inside it
  block AG:B                a block, recognised by its magic (also byte:N, fs:N)
  btree TREE AG             shape of a tree: bnobt cntbt inobt finobt rmapbt refcountbt csumbt
  btree bmbt PATH [attr]    shape of a file's extent tree
  dir PATH                  a directory: form, parent, entries with their cookies
  attr PATH                 all attributes of an object, with values
  as STRUCTURE byte:N       bytes read as any structure
  structures                names of all structures
  raw AG:B[+N]              the bytes themselves (also byte:N, fs:N)`;

export function define(command: Command): void {
  command
    .argument('<image>')
    .argument('<what...>', 'see below')
    .option('--records', 'btree: all records too')
    .option('--all', 'print long lists whole')
    .addOption(jsonOption())
    .addHelpText('after', `\n${WHAT}`)
    .action((image: string, what: string[], options: Options) => {
      const device = openDevice(image);
      try {
        new Inspector(device, options).show(what);
      } finally {
        device.close();
      }
    });
}

class Inspector {
  readonly #device: Device;
  readonly #options: Options;
  #opened: Volume | undefined;

  constructor(device: Device, options: Options) {
    this.#device = device;
    this.#options = options;
  }

  show([verb = '', ...rest]: string[]): void {
    const work: Record<string, () => void> = {
      sb: () => this.#header(0, rest),
      superblock: () => this.#header(0, rest),
      agf: () => this.#header(1, rest),
      agi: () => this.#header(2, rest),
      agfl: () => this.#header(3, rest),
      inode: () => this.#inode(only(verb, rest)),
      block: () => this.#block(only(verb, rest)),
      btree: () => this.#btree(rest),
      dir: () => this.#directory(only(verb, rest)),
      attr: () => this.#attributes(only(verb, rest)),
      as: () => this.#as(rest),
      structures: () => this.#structures(),
      raw: () => this.#raw(only(verb, rest)),
    };
    if (!Object.hasOwn(work, verb)) {
      throw usage('BAD_WHAT', `db does not know ${verb}`, { expected: Object.keys(work).join(' '), found: verb });
    }
    work[verb]!();
  }

  #inode(text: string): void {
    this.#print(dumpInode(this.#device, this.#volume.geometry, this.#inodeNumber(text)));
  }

  #block(text: string): void {
    const { geometry } = this.#volume;
    const { ag, agBlock } = parseBlocks(text, geometry);
    this.#print(dumpAt(this.#device, geometry, geometry.agBlockToByte(ag, agBlock)));
  }

  /** Opened when it is needed: a broken superblock can still be shown. Unfinished images too. */
  get #volume(): Volume {
    return (this.#opened ??= Volume.open(this.#device, { allowUnfinished: true }));
  }

  #inodeNumber(text: string): number {
    return text.startsWith('/') ? this.#volume.resolve(text, false).number : parseNumber(text, 'inode');
  }

  #header(sector: number, rest: string[]): void {
    if (rest.length > 1) throw usage('BAD_WHAT', `too many words: ${rest.join(' ')}`);
    const ag = parseNumber(rest[0] ?? '0', 'AG', 0, 2 ** 32 - 1);
    if (sector === 0 && ag === 0) {
      this.#primary();
      return;
    }
    const { geometry } = this.#volume;
    if (ag >= geometry.agCount) {
      throw usage('BAD_AG', `there is no AG ${ag}`, { expected: `0..${geometry.agCount - 1}`, found: ag });
    }
    const byte = geometry.agBlockToByte(ag, 0) + sector * geometry.sectorSize;
    const dump = dumpAt(this.#device, geometry, byte);
    const name = ['superblock', 'agf', 'agi', 'agfl'][sector]!;
    // Without its magic it is still shown as what stands in that place.
    if (dump.structure === name) this.#print(dump);
    else {
      const shown = dumpAs(this.#device, name, byte)!;
      this.#print({ ...shown, fault: { code: 'BAD_MAGIC', field: 'magicnum', expected: name, found: dump.structure } });
    }
  }

  /** The primary superblock, whatever it says. */
  #primary(): void {
    const shown = dumpAs(this.#device, 'superblock', 0)!;
    const head = readBytes(this.#device, 0, 65536);
    const { fatal, minor, refusal, dialect } = verifySuperblock(new Uint8Array(head.buffer), this.#device.size);
    const fault = fatal[0] ?? minor[0];
    const refused = refusal && {
      code: refusal.code,
      field: 'magicnum',
      expected: 'a known image',
      found: refusal.message,
    };
    this.#print({ ...shown, fault: fault ?? refused });
    if (!this.#options.json && dialect && fatal.length === 0) {
      const { agCount, agBlocks } = new Geometry(new DataView(head.buffer, 0, Superblock.size), dialect);
      line(`${dialect.name} format, ${agCount} AGs of ${agBlocks} blocks`);
    }
  }

  #btree([name = '', place, forkName = 'data', ...more]: string[]): void {
    const { cache, space, geometry } = this.#volume;
    if (place === undefined || more.length > 0)
      throw usage('BAD_WHAT', 'btree needs a name and an AG (or bmbt and a path)');
    const { features } = geometry;
    const exists: Record<string, boolean> = {
      bnobt: true,
      cntbt: true,
      inobt: true,
      finobt: features.finobt,
      rmapbt: features.rmapbt,
      refcountbt: features.reflink,
      csumbt: features.dataChecksums,
    };
    const records: Row[] = [];
    const visit = this.#options.records ? (rows: readonly Row[]) => void records.push(...rows) : undefined;
    let tree: Parameters<typeof treeShape>[1];
    if (name === 'bmbt') {
      if (forkName !== 'data' && forkName !== 'attr') throw usage('BAD_WHAT', `no fork is called ${forkName}`);
      const inode = this.#volume.inode(this.#inodeNumber(place));
      const fork = new Fork(inode, forkName as ForkName);
      if (!fork.exists || fork.format !== FORMAT.BTREE) {
        throw usage('NO_TREE', `the ${forkName} fork of ${place} has no extent tree: its extents are in the inode`);
      }
      tree = fork.tree();
    } else {
      if (exists[name] === undefined) throw usage('BAD_WHAT', `no tree is called ${name}`, { found: name });
      if (!exists[name]) throw usage('NO_TREE', `this image has no ${name}`);
      const ag = parseNumber(place, 'AG', 0, geometry.agCount - 1);
      tree = space.ag(cache, ag).tree(name as 'bnobt');
    }
    const shape = treeShape(cache, tree, visit);
    if (shape.errors.length > 0) process.exitCode = 1;
    if (this.#options.json) {
      json({ tree: name, of: place, ...shape, ...(visit ? { records } : {}) });
      return;
    }
    line(
      `${name} of ${name === 'bmbt' ? place : `AG ${place}`}: height ${shape.height}, root ${shape.root ?? 'in the inode'}`,
    );
    const table = new Table(['level', 'blocks', 'records', 'full'].map((title) => ({ title, right: true })));
    for (const { level, blocks, records, fill } of shape.levels)
      table.row(level, blocks, records, `${Math.round(fill * 100)}%`);
    table.end();
    for (const error of shape.errors) line(`${error.code}: ${error.message}`);
    if (visit) printList({ title: 'records', rows: records }, true);
  }

  #directory(path: string): void {
    const inode = this.#volume.inode(this.#inodeNumber(path));
    inode.assertDirectory(path);
    const fork = readFork(inode, 'data');
    const rows: Row[] = [];
    forEachEntry(fork, (number, ftype, bytes, start, end, cookie) => {
      rows.push({ cookie, inode: number, ftype, ...nameJson(bytes.subarray(start, end)) });
    });
    const facts = { inode: inode.number, form: directoryForm(fork), parent: parentOf(fork), size: inode.size };
    if (this.#options.json) json({ ...facts, entries: rows });
    else {
      line(
        Object.entries(facts)
          .map(([name, value]) => `${name} ${value}`)
          .join(', '),
      );
      printList({ title: 'entries', rows }, this.#options.all === true);
    }
  }

  #attributes(path: string): void {
    const inode = this.#volume.inode(this.#inodeNumber(path));
    const rows: Row[] = [];
    if (inode.core.forkoff !== 0) {
      forEachAttribute(readFork(inode, 'attr'), (found) => {
        const name = found.name();
        const linux = toLinuxName(found.flags, name);
        const shown = linux ? { linuxName: nameJson(linux).name } : {};
        rows.push({
          flags: found.flags,
          ...nameJson(name),
          ...shown,
          valueBlock: found.valueBlock,
          value: hexText(found.value()),
        });
      });
    }
    if (this.#options.json) json({ inode: inode.number, attributes: rows });
    else printList({ title: `attributes of inode ${inode.number}`, rows }, this.#options.all === true);
  }

  #as([name = '', place = '', ...more]: string[]): void {
    if (more.length > 0 || place === '') throw usage('BAD_WHAT', 'as needs a structure and a place (byte:N)');
    const dump = dumpAs(this.#device, name, this.#range(place).byte);
    if (!dump)
      throw usage('BAD_WHAT', `no structure is called ${name}`, {
        found: name,
        expected: '`db IMAGE structures` lists them',
      });
    this.#print(dump);
  }

  #structures(): void {
    if (this.#options.json) {
      json(STRUCTURES.map(({ name, struct, placement, where }) => ({ name, size: struct.size, placement, where })));
      return;
    }
    const table = new Table([{ title: 'name' }, { title: 'bytes', right: true }, { title: 'where' }]);
    for (const { name, struct, where } of STRUCTURES) table.row(name, struct.size, where);
    table.end();
  }

  /** `byte:N` exactly there, also in an image that cannot be opened; else a block. */
  #range(text: string): { byte: number; length: number } {
    const exact = /^byte:([^+]+)(?:\+(.+))?$/.exec(text);
    if (exact) {
      const byte = parseSize(exact[1]!, 'byte');
      const length = exact[2] === undefined ? 512 : parseSize(exact[2], 'length');
      if (byte >= this.#device.size) throw usage('BAD_BLOCK', `byte ${byte} lies outside the image`, { found: byte });
      return { byte, length };
    }
    const { geometry } = this.#volume;
    const { ag, agBlock, blockCount } = parseBlocks(text, geometry);
    return { byte: geometry.agBlockToByte(ag, agBlock), length: blockCount * geometry.blockSize };
  }

  #raw(text: string): void {
    const { byte, length } = this.#range(text);
    const end = Math.min(byte + length, this.#device.size);
    const isTerminal = process.stdout.isTTY === true;
    for (let at = byte; at < end; ) {
      const view = readBytes(this.#device, at, Math.min(1 << 16, end - at));
      const bytes = new Uint8Array(view.buffer);
      if (this.#options.json) json({ byte: at, hex: hexText(bytes) });
      else if (isTerminal || this.#options.all) hexLines(bytes, at);
      else rawBytes(bytes);
      at += bytes.length;
    }
  }

  #print(dump: Dump): void {
    printDump(dump, this.#options.json === true, this.#options.all === true);
  }
}

function only(verb: string, rest: readonly string[]): string {
  const [word, ...more] = rest;
  if (word === undefined || more.length > 0) throw usage('BAD_WHAT', `${verb} needs one argument`);
  return word;
}

/** Sixteen bytes a line; lines of zeroes after the first are left out. */
function hexLines(bytes: Uint8Array, start: number): void {
  let zeroes = 0;
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    zeroes = row.every((byte) => byte === 0) ? zeroes + 1 : 0;
    if (zeroes === 2) line('*');
    if (zeroes >= 2) continue;
    const text = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    line(`${(start + at).toString(16).padStart(10, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
}
