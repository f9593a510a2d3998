/**
 * The same collisions on ext4, for e2fsck: an image filled from a directory, files without extents so that debugfs can point
 * one block pointer at another file's block.
 */
import { mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, run } from '../support/oracle.ts';

const BLOCK = 4096;
const MIB = 1 << 20;

/** Blocks of each file. /frag is long enough for an indirect block. */
const FILES: Readonly<Record<string, number>> = { a: 4, b: 6, c: 4, d: 2, e: 1, two: 4, frag: 20, named: 1 };
const DIRECTORIES: Readonly<Record<string, number>> = { dir: 30, dir2: 30, tree: 300 };

/** What a file's block holds. */
export function blockOf(name: string, block: number): Buffer {
  return Buffer.alloc(BLOCK, `${name}.${block} `);
}

export class Ext4 {
  readonly image: string;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.image = join(directory, 'ext4.img');
    const source = join(directory, 'source');
    mkdirSync(source);
    for (const [name, blocks] of Object.entries(FILES)) {
      writeFileSync(join(source, name), Buffer.concat(Array.from({ length: blocks }, (_, i) => blockOf(name, i))));
    }
    for (const [name, entries] of Object.entries(DIRECTORIES)) {
      mkdirSync(join(source, name));
      for (let i = 0; i < entries; i++) writeFileSync(join(source, name, `${name} entry ${i}`), '');
    }
    symlinkSync('long/'.repeat(150), join(source, 'link'));
    writeFileSync(this.image, '');
    truncateSync(this.image, 64 * MIB);
    const features = '^extent,^64bit,^metadata_csum,^inline_data,ext_attr';
    mustRun('mke2fs', [
      '-q',
      '-F',
      '-t',
      'ext4',
      '-O',
      features,
      '-b',
      `${BLOCK}`,
      '-I',
      '128',
      '-d',
      source,
      this.image,
    ]);
    for (let i = 0; i < 5; i++) this.edit(`ea_set /named user.attribute${i} ${'v'.repeat(200)}`);
    rmSync(source, { recursive: true });
  }

  edit(command: string): void {
    const { output } = run('debugfs', ['-w', '-R', command, this.image]);
    const complaints = output.split('\n').filter((line) => line !== '' && !line.startsWith('debugfs 1.'));
    if (complaints.length > 0) throw new Error(`debugfs ${command}: ${complaints.join('\n')}`);
  }
  #ask(command: string): string {
    return run('debugfs', ['-R', command, this.image]).stdout;
  }

  /** All blocks of an object, the indirect one behind the twelfth included. */
  blocks(path: string): number[] {
    return this.#ask(`blocks ${path}`).trim().split(/\s+/).map(Number);
  }
  /** Number after a label in what debugfs shows of an inode or the superblock. */
  number(command: string, label: string): number {
    const match = new RegExp(`${label}:?\\s*(?:block )?(?:at )?(\\d+)`).exec(this.#ask(command));
    if (!match) throw new Error(`debugfs ${command}: no ${label}`);
    return Number(match[1]);
  }
  /** The file's block pointer number `from` and those behind it now name other blocks. */
  aim(path: string, targets: readonly number[], from = 0): void {
    targets.forEach((target, i) => {
      this.edit(`sif ${path} block[${from + i}] ${target}`);
    });
  }

  /** e2fsck, all answers yes. */
  repair(): void {
    run('e2fsck', ['-fy', this.image]);
  }

  /** Content of a regular file; undefined when it is gone. */
  read(path: string): Buffer | undefined {
    const out = join(this.#directory, 'dump');
    rmSync(out, { force: true });
    const { output } = run('debugfs', ['-R', `dump ${path} ${out}`, this.image]);
    if (/not found/.test(output)) return undefined;
    return readFileSync(out);
  }
  /** Names in a directory. */
  list(path: string): string[] {
    const lines = this.#ask(`ls -p ${path}`).split('\n');
    const names = lines.map((line) => line.split('/')[5] ?? '');
    return names.filter((name) => name !== '' && name !== '.' && name !== '..');
  }
  target(path: string): string {
    return /Fast link dest: "(.*)"/.exec(this.#ask(`stat ${path}`))?.[1] ?? this.read(path)?.toString() ?? '';
  }
  attributes(path: string): number {
    return this.#ask(`ea_list ${path}`)
      .split('\n')
      .filter((line) => line.includes('user.attribute')).length;
  }
}
