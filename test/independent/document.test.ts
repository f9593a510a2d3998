/** docs/FORMAT.md itself: its field tables agree with the registry, its links lead somewhere, its examples are right. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nameHash } from './files.ts';
import { crc32c } from './image.ts';

const root = join(import.meta.dirname, '..', '..');
const document = readFileSync(join(root, 'docs', 'FORMAT.md'), 'utf8');
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (value: number): string => `0x${value.toString(16).toUpperCase().padStart(8, '0')}`;

describe('docs/FORMAT.md', () => {
  it('has the field tables of the registry', () => {
    const run = spawnSync(process.execPath, ['scripts/format-tables.mjs', '--check'], { cwd: root, encoding: 'utf8' });
    expect(run.stderr).toBe('');
    expect(run.status).toBe(0);
  });

  it('has a heading for every link and section number it mentions', () => {
    const headings = [...document.matchAll(/^#+ (.+)$/gm)].map((match) => match[1]!);
    const anchors = headings.map((text) =>
      text
        .toLowerCase()
        .replace(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-'),
    );
    for (const [, anchor] of document.matchAll(/\]\(#([^)]+)\)/g)) expect(anchors).toContain(anchor);
    const numbers = headings.map((text) => text.split(' ')[0]);
    for (const [, number] of document.matchAll(/\((?:\w+, )?(\d+\.\d+)\)/g)) expect(numbers).toContain(number);
  });

  it('gives right checksums', () => {
    expect(document).toContain(hex(crc32c(ascii('123456789'))));
    const slot = new Uint8Array(512);
    slot.set([0x49, 0x4e]);
    slot[4] = 3;
    slot.fill(0xff, 96, 100);
    slot[159] = 131;
    for (let i = 0; i < 16; i++) slot[160 + i] = 0x10 + i;
    expect(document).toContain(`Its CRC32C is ${hex(crc32c(slot, 100))}`);
    const block = new Uint8Array(4096);
    expect(document).toContain(`block of zeroes is ${hex(crc32c(block))}`);
    block.set(ascii('hello\n'));
    expect(document).toContain(`4090 zeroes ${hex(crc32c(block))}`);
  });

  it('gives right hashes', () => {
    const rows = [...document.matchAll(/^\| (?:name hash of )?`([^`]+)` \| (0x[0-9A-F]{8}) \|$/gm)];
    expect(rows.length).toBeGreaterThan(7);
    for (const [, name, hash] of rows) expect([name, hash]).toEqual([name, hex(nameHash(ascii(name!)))]);
  });

  it('gives the right capacities', () => {
    const sizes = { leaf: [8, 16, 24, 12, 64], node: [12, 8, 44, 8, 8] };
    for (const bs of [1024, 4096, 65536]) {
      const cells = sizes.leaf.map(
        (leaf, i) => `${Math.floor((bs - 56) / leaf)} / ${Math.floor((bs - 56) / sizes.node[i]!)}`,
      );
      cells.push(`${Math.floor((bs - 72) / 16)} / ${Math.floor((bs - 72) / 16)}`);
      expect(document).toContain(`| ${bs} | ${cells.join(' | ')} |`);
    }
  });
});
