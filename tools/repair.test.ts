/** The command repair as it is typed: what it prints, leaves and returns. */
import { closeSync, cpSync, mkdirSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RepairResult } from '../lib/repair/report.ts';
import { cli } from '../test/support/cli.ts';
import { withTempDir } from '../test/support/oracle.ts';

function makeImage(directory: string, ...options: string[]): string {
  const image = join(directory, 'image');
  const source = join(directory, 'source');
  mkdirSync(join(source, 'tree'), { recursive: true });
  for (let i = 0; i < 20; i++) writeFileSync(join(source, 'tree', `file ${i}`), Buffer.alloc(9000, `content ${i} `));
  expect(cli(['mkfs', image, '--size', '64m', '--from', source, ...options]).status).toBe(0);
  return image;
}

function wipe(image: string, at: number, length: number): void {
  const fd = openSync(image, 'r+');
  writeSync(fd, new Uint8Array(length), 0, length, at);
  closeSync(fd);
}

const json = (text: string): RepairResult & { dryRun?: boolean } => JSON.parse(text);

describe('repair on the command line', () => {
  it('plans, repairs, takes it back, and has nothing to do the second time', () => {
    withTempDir((directory) => {
      const image = makeImage(directory);
      const before = readFileSync(image);
      expect(cli(['repair', image])).toMatchObject({ status: 0, stdout: expect.stringMatching(/: clean, in /) });
      wipe(image, 0, 4096);
      const broken = readFileSync(image);

      const dry = cli(['repair', image, '--dry-run']);
      expect(dry.status).toBe(4);
      expect(dry.stdout).toMatch(/SUPERBLOCK_BAD.*\n(.*\n)*.*nothing written/);
      const planned = json(cli(['repair', image, '--dry-run', '--json']).stdout);
      expect(readFileSync(image).equals(broken)).toBe(true);

      const undo = join(directory, 'undo');
      const real = cli(['repair', image, '--json', '--undo', undo]);
      expect(real.status).toBe(1);
      const { dryRun, ...said } = planned;
      expect(dryRun).toBe(true);
      expect(json(real.stdout)).toEqual(said);
      expect(said).toMatchObject({ clean: true, changed: true, losses: [], remaining: [] });
      expect(cli(['check', image, '--data']).status).toBe(0);
      expect(cli(['cat', image, '/tree/file 7']).stdout).toBe(Buffer.alloc(9000, 'content 7 ').toString());
      expect(cli(['repair', image, '--quiet'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/clean/) });

      expect(cli(['undo', image, undo]).status).toBe(0);
      expect(readFileSync(image).equals(broken)).toBe(true);
      expect(before.length).toBe(broken.length);
    });
  });

  it('gives an image that was cut short its size back', () => {
    withTempDir((directory) => {
      const image = makeImage(directory);
      truncateSync(image, 48 << 20);
      const { status, stdout } = cli(['repair', image]);
      expect(status).toBe(1);
      expect(stdout).toContain('the last 16777216 bytes of the image are gone');
      expect(readFileSync(image).length).toBe(64 << 20);
      expect(cli(['check', image]).status).toBe(0);
    });
  });

  it('takes every rule for conflicts, and asks when it shall', () => {
    withTempDir((directory) => {
      const image = makeImage(directory, '--format', 'cadastre');
      expect(cli(['damage', image, '--scene', 'cross-link']).status).toBe(0);
      for (const rule of ['auto', 'share', 'copy', 'owner']) {
        const copy = join(directory, rule);
        cpSync(image, copy);
        const { status, stdout } = cli(['repair', copy, '--conflicts', rule, '--json']);
        expect([rule, status]).toEqual([rule, 1]);
        const [decision] = json(stdout).decisions;
        expect(decision).toMatchObject({
          range: { ag: expect.any(Number), agBlock: expect.any(Number), blockCount: expect.any(Number) },
          evidence: expect.any(Array),
          action: expect.any(String),
          outcome: expect.any(String),
        });
        expect(decision!.claimants.length).toBeGreaterThan(1);
        for (const claimant of decision!.claimants) {
          expect(claimant).toMatchObject({ kind: 'data', path: expect.any(String), fileBlock: expect.any(Number) });
        }
      }
      const asked = cli(['repair', image, '--interactive'], { input: 'nonsense\n\n' });
      expect(asked.status).toBe(1);
      expect(asked.stderr).toContain('claimed by /tree/');
      expect(asked.stderr).toContain('"nonsense" is none of them');
    });
  });

  it('refuses what it cannot do, and says why', () => {
    withTempDir((directory) => {
      const nothing = join(directory, 'nothing');
      writeFileSync(nothing, Buffer.alloc(20 << 20));
      expect(cli(['repair', nothing])).toMatchObject({
        status: 8,
        stderr: expect.stringMatching(/no superblock was found.*NO_SUPERBLOCK/),
      });
      expect(cli(['repair', join(directory, 'missing')]).status).toBe(8);
      expect(cli(['repair', directory]).status).toBe(8);
      expect(cli(['repair']).status).toBe(16);
      expect(cli(['repair', nothing, '--conflicts', 'vote']).status).toBe(16);
      expect(cli(['repair', nothing, '--dry-run', '--undo', join(directory, 'u')]).status).toBe(16);
      expect(cli(['repair', nothing, '--undo', nothing]).status).toBe(16);
      expect(readFileSync(nothing).every((byte) => byte === 0)).toBe(true);
    });
  });
});
