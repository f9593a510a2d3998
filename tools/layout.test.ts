/** `frag` and `map` as a user calls them: text, JSON shapes, files, wrong arguments. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli, cliJson } from '../test/support/cli.ts';

let scratch: string;
const at = (name: string): string => join(scratch, name);

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-layout-`));
  mkdirSync(at('source/sub'), { recursive: true });
  writeFileSync(at('source/one'), Buffer.alloc(300_000, 1));
  writeFileSync(at('source/sub/two'), Buffer.alloc(20_000, 2));
  for (const format of ['xfs', 'cadastre']) {
    const image = at(format);
    expect(cli(['mkfs', image, '--format', format, '--size', '32m', '--from', at('source')]).status).toBe(0);
    // A block of another file in the middle: a file in three pieces.
    expect(cli(['clone', image, '/one', '/sub/again']).status).toBe(0);
    expect(cli(['clone', image, '/sub/two', '/sub/again', '--range', '0:4096:65536']).status).toBe(0);
  }
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Frag {
  files: { path: string; extents: number; ideal: number }[];
  totals: Record<string, number>;
  histogram: { from: number; to: number; runs: number; blocks: number }[];
}

describe.each(['xfs', 'cadastre'])('%s', (format) => {
  it('frag', () => {
    const text = cli(['frag', at(format)]);
    expect(text).toMatchObject({ status: 0, stderr: '' });
    expect(text.stdout).toMatch(/^ +3 +1 +293 KiB +\d+ {2}\/sub\/again$/m);
    expect(text.stdout).toMatch(/^extents +5 \(ideal 3\)$/m);
    expect(text.stdout).toMatch(/^factor +40%, 1.67 extents for each one needed$/m);
    const { files, totals, histogram } = cliJson<Frag>('frag', at(format));
    expect(files).toEqual([{ path: '/sub/again', inode: expect.any(Number), bytes: 300_000, extents: 3, ideal: 1 }]);
    expect(totals).toEqual({
      files: 3,
      fragmented: 1,
      extents: 5,
      ideal: 3,
      factor: 40,
      // What /sub/two and /one share of it they have in their own order.
      heldApart: 2,
      freeBlocks: histogram.reduce((sum, { blocks }) => sum + blocks, 0),
      freeExtents: histogram.reduce((sum, { runs }) => sum + runs, 0),
      largestFree: expect.any(Number),
    });
    expect(cliJson<Frag>('frag', at(format), '--all').files).toHaveLength(3);
    expect(cliJson<Frag>('frag', at(format), '--top', '0').files).toHaveLength(0);
    expect(cliJson<Frag>('frag', at(format), '/one').totals).toMatchObject({ files: 1, extents: 1 });
    expect(cliJson<Frag>('frag', at(format), '/sub').totals).toMatchObject({ files: 2, extents: 4 });
    expect(cli(['frag', at(format), '/one']).stdout).toMatch(/ \/one$/m);
  });

  it('map', () => {
    const { status, stdout, stderr } = cli(['map', at(format), '--width', '40', '--rows', '8']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^AG 0 +0 {2}[A-Za-z.,]{40}$/m);
    expect(stdout).toMatch(/^A cell is \d+ blocks \(.+\), drawn as what most of it is\.$/m);
    expect(stdout).toMatch(/^ {2}L l {2}log +\d+ .* [\d.]+% {2}the log$/m);
    // 32 MiB of 4 KiB.
    const map = cliJson<{ totals: Record<string, number>; ags: { cells: unknown[] }[] }>('map', at(format));
    expect(Object.values(map.totals).reduce((sum, blocks) => sum + blocks)).toBe(8192);
    // 73 of the 74 blocks of /one, and one of /sub/two.
    expect(map.totals.shared).toBe(74);
    expect(cliJson<{ ags: unknown[] }>('map', at(format), '--ag', '0').ags).toHaveLength(1);
  });

  it('map --svg', () => {
    expect(cli(['map', at(format), '--svg', at('picture.svg')]).stdout).toContain('picture.svg written');
    const svg = readFileSync(at('picture.svg'), 'utf8');
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ \d+"/);
    // Every tag is closed, and the tooltips cover each AG from its first block to its last.
    const open: string[] = [];
    for (const [, close, name, self] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
      if (close) expect(open.pop()).toBe(name);
      else if (!self) open.push(name!);
    }
    expect(open).toEqual([]);
    const next = new Map<string, number>();
    for (const [, ag, from, to] of svg.matchAll(/<title>(AG \d+), blocks (\d+)-(\d+) /g)) {
      expect(Number(from)).toBe(next.get(ag!) ?? 0);
      next.set(ag!, Number(to) + 1);
    }
    expect([...next.values()].reduce((sum, blocks) => sum + blocks, 0)).toBe(8192);
    expect(cli(['map', at(format), '--svg', '-']).stdout).toBe(svg);
  });
});

it.each([
  [['frag'], 2],
  [['frag', 'IMAGE', '/nothing'], 1],
  [['frag', 'IMAGE', 'relative'], 2],
  [['frag', 'IMAGE', '--top', '-1'], 2],
  [['map', 'IMAGE', '--width', '0'], 2],
  [['map', 'IMAGE', '--width', '4096', '--rows', '4096'], 2],
  [['map', 'IMAGE', '--ag', '99'], 2],
  [['map', 'IMAGE', '--svg', '/nowhere/x.svg'], 1],
  [['map', 'IMAGE', '--svg', '-', '--json'], 2],
  [['map', '/nowhere/image'], 1],
])('refuses %j', (args, status) => {
  const { status: found, stdout, stderr } = cli(args.map((arg) => (arg === 'IMAGE' ? at('xfs') : arg)));
  expect({ found, stdout }).toEqual({ found: status, stdout: '' });
  expect(stderr).not.toBe('');
});
