/**
 * `cadastre repair` as it is called on damaged images: what a dry run promises is what happens, undo takes it back to the byte,
 * who has no right to write is refused, want of space is told and changes nothing, statuses are fsck's, and the JSON has
 * the keys that programs rely on.
 */
import { closeSync, copyFileSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileDevice } from '../../lib/device/file.ts';
import { putFile } from '../../lib/volume/content.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { cli } from '../support/cli.ts';
import { bytesOf } from '../support/empty-image.ts';
import { loopMount, requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';
import { writeImageFile } from './contest.ts';
import { damageImage } from './image.ts';

const MIB = 1 << 20;
let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-`));
  for (const name of ['xfs', 'cadastre']) writeImageFile(damageImage(name).device, join(scratch, name));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A copy of the image, broken by scenes one after the other. */
function broken(directory: string, name: string, ...scenes: readonly string[]): string {
  const image = join(directory, 'image');
  copyFileSync(join(scratch, name), image);
  for (const scene of scenes) {
    expect(cli(['damage', image, '--scene', scene, '--seed', '3'])).toMatchObject({ status: 0 });
  }
  return image;
}

/** Text of a run without what must differ: how long it took, and that it only would have. */
const promised = (text: string): string =>
  text
    .replace(/^Would be changed$/m, 'Changed')
    .replace(/: dry run: (.*); it would be clean; nothing written, in .*$/m, ': repaired: $1')
    .replace(/, in [\d.]+ s$/m, '')
    .trim();

const SCENES: readonly (readonly [image: string, scenes: readonly string[]])[] = [
  ['cadastre', ['orphan', 'cross-link-three']],
  ['xfs', ['wipe-log', 'file-over-bmbt']],
  ['xfs', ['cut']],
  ['cadastre', ['wipe-1m']],
  ['xfs', ['cross-link']],
  ['xfs', ['wipe-inodes']],
];
const isFull = process.env.FULL === '1';

const reports: unknown[] = [];

describe('a dry run, the run, and undo', () => {
  it.each(isFull ? SCENES : SCENES.slice(0, 3))('%s: %j', (name, scenes) => {
    withTempDir((directory) => {
      const image = broken(directory, name, ...scenes);
      const before = readFileSync(image);
      const isIntact = (): boolean => statSync(image).size === before.length && readFileSync(image).equals(before);
      const dry = cli(['repair', image, '--dry-run']);
      const dryJson = cli(['repair', image, '--dry-run', '--json']);
      expect([dry.status, dryJson.status, isIntact()]).toEqual([4, 4, true]);

      const undo = join(directory, 'undo');
      const real = cli(['repair', image, '--undo', undo]);
      expect([real.status, real.stderr]).toEqual([1, '']);
      expect(promised(real.stdout)).toBe(promised(dry.stdout));
      expect(isIntact()).toBe(false);
      expect(cli(['check', image]).status).toBe(0);
      expect(cli(['repair', image]).status).toBe(0);
      if (name === 'xfs') expect(xfsRepairCheckIfThere(image)).toBe('');

      expect(cli(['undo', image, undo])).toMatchObject({ status: 0 });
      expect(isIntact()).toBe(true);
      const { dryRun, ...said } = JSON.parse(dryJson.stdout);
      reports.push({ dryRun, ...said });
      expect(dryRun).toBe(true);
      const again = cli(['repair', image, '--json']);
      expect([again.status, JSON.parse(again.stdout)]).toEqual([1, said]);
    });
  });
});

const hasXfsprogs = requireOracle('xfsprogs');
const xfsRepairCheckIfThere = (image: string): string => (hasXfsprogs ? xfsRepairCheck(image).output : '');

describe('who else uses the image', () => {
  it('has it open for writing', () => {
    withTempDir((directory) => {
      const image = broken(directory, 'xfs', 'cross-link');
      const before = readFileSync(image);
      const other = openSync(image, 'r+');
      try {
        for (const options of [[], ['--dry-run'], ['--undo', join(directory, 'undo')], ['--json']]) {
          const { status, stdout, stderr } = cli(['repair', image, ...options]);
          expect([status, stdout]).toEqual([8, '']);
          expect(stderr).toContain('IN_USE');
          expect(stderr).toContain(`process ${process.pid}`);
        }
      } finally {
        closeSync(other);
      }
      expect(readFileSync(image).equals(before)).toBe(true);
      expect(() => statSync(join(directory, 'undo'))).toThrow();
      // A reader is nobody's enemy.
      const reader = openSync(image, 'r');
      expect(cli(['repair', image]).status).toBe(1);
      closeSync(reader);
    });
  });

  it.runIf(requireOracle('loop'))('has it mounted', () => {
    withTempDir((directory) => {
      const image = broken(directory, 'xfs', 'orphan');
      const before = readFileSync(image);
      for (const write of [false, true]) {
        const mounted = join(directory, 'mounted');
        copyFileSync(image, mounted);
        loopMount(mounted, { write }, (at) => {
          const { status, stderr } = cli(['repair', mounted]);
          expect(status).toBe(8);
          expect(stderr).toMatch(/is in use: mounted at .*IN_USE/);
          expect(stderr).toContain(at);
          expect(stderr).toContain('unmount');
        });
      }
      expect(readFileSync(image).equals(before)).toBe(true);
    });
  });
});

describe('not enough space', () => {
  /** Two large files on the same blocks, nothing free, no sharing: one needs a copy that has no place. */
  function full(directory: string): string {
    const image = join(directory, 'image');
    const features = ['--no-reflink', '--no-rmapbt'];
    expect(cli(['mkfs', image, '--format', 'xfs', '--size', '32m', ...features])).toMatchObject({ status: 0 });
    const editor = Editor.open(new FileDevice(image, 'rw'));
    const put = (name: string, length: number): void => {
      let left = length;
      putFile(editor, editor.volume.root.number, new TextEncoder().encode(name), { mode: 0o644 }, (into) => {
        const count = Math.min(left, into.length);
        into.fill(name.charCodeAt(0), 0, count);
        left -= count;
        return count;
      });
    };
    put('owner', 6 * MIB);
    put('claimant', 6 * MIB);
    for (let length = 4 * MIB, i = 0; length >= 512; i++) {
      try {
        put(`fill ${i}`, length);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
        length >>= 1;
      }
    }
    editor.close();
    expect(cli(['damage', image, '--scene', 'cross-link', '/owner', '/claimant']).status).toBe(0);
    return image;
  }

  it('is told in blocks, and changes nothing', () => {
    withTempDir((directory) => {
      const image = full(directory);
      const before = readFileSync(image);
      const undo = join(directory, 'undo');
      for (const options of [[], ['--dry-run'], ['--undo', undo]]) {
        const { status, stdout, stderr } = cli(['repair', image, ...options]);
        expect([status, stdout]).toEqual([8, '']);
        expect(stderr).toMatch(/the repair needs \d+ blocks \(\d+ KiB\).* more than are free \[ENOSPC\]/);
        expect(readFileSync(image).equals(before)).toBe(true);
      }
      expect(() => statSync(undo)).toThrow();
      const { error } = JSON.parse(cli(['repair', image, '--json']).stderr);
      expect(error).toMatchObject({ family: 'no-space', code: 'ENOSPC' });
      // A way that needs no space is open.
      expect(cli(['repair', image, '--conflicts', 'owner'])).toMatchObject({ status: 1 });
      expect(cli(['check', image]).status).toBe(0);
    });
  });
});

describe('what programs rely on', () => {
  /** Keys at every level that any of the values has; elements of lists together. */
  function shapeOf(values: readonly unknown[]): unknown {
    const lists = values.filter((each): each is unknown[] => Array.isArray(each));
    if (lists.length > 0) return [shapeOf(lists.flat())];
    const objects = values.filter((each): each is Record<string, unknown> => typeof each === 'object' && each !== null);
    if (objects.length === 0) return [...new Set(values.map((each) => typeof each))].sort().join('|');
    const keys = [...new Set(objects.flatMap((each) => Object.keys(each)))].sort();
    return Object.fromEntries(
      keys.map((key) => {
        const having = objects.filter((each) => Object.hasOwn(each, key));
        return [key, shapeOf(having.map((each) => each[key]))];
      }),
    );
  }

  // Of the dry runs above: each call of the command takes its time on a busy machine.
  it('has the same keys in all reports', () => {
    expect(reports.length).toBeGreaterThanOrEqual(3);
    expect(shapeOf(reports.slice(0, 3))).toMatchInlineSnapshot(`
        {
          "actions": [
            {
              "ag": "number",
              "inode": "number",
              "path": "string",
              "stage": "string",
              "text": "string",
            },
          ],
          "changed": "boolean",
          "clean": "boolean",
          "decisions": [
            {
              "action": "string",
              "claimants": [
                {
                  "fileBlock": "number",
                  "inode": "number",
                  "kind": "string",
                  "outcome": "string",
                  "path": "string",
                  "registered": "boolean",
                },
              ],
              "evidence": [
                "string",
              ],
              "outcome": "string",
              "range": {
                "ag": "number",
                "agBlock": "number",
                "blockCount": "number",
              },
            },
          ],
          "dryRun": "boolean",
          "found": [
            {
              "inode": "number",
              "path": "string",
            },
          ],
          "image": "string",
          "losses": [
            {
              "inode": "number",
              "path": "string",
              "text": "string",
              "what": "string",
            },
          ],
          "passes": "number",
          "problemCount": "number",
          "problems": [
            {
              "claimants": [
                {
                  "blockCount": "number",
                  "fileBlock": "number",
                  "inode": "number",
                  "kind": "string",
                  "path": "string",
                  "registered": "boolean",
                },
              ],
              "code": "string",
              "expected": "string",
              "fix": "string",
              "found": "number|string",
              "message": "string",
              "path": "string",
              "rule": "string",
              "severity": "string",
              "where": {
                "ag": "number",
                "block": "number",
                "blockCount": "number",
                "field": "string",
                "fileBlock": "number",
                "inode": "number",
                "path": "string",
                "structure": "string",
              },
            },
          ],
          "remaining": [
            "",
          ],
        }
      `);
  });
});

describe('statuses', () => {
  it.each([
    [['--conflicts', 'vote'], 16, 'vote'],
    [['--conflicts'], 16, 'argument missing'],
    [['--nonsense'], 16, 'unknown option'],
    [['--interactive', '--json'], 16, 'cannot be used with'],
    [['--dry-run', '--undo', 'u'], 16, 'cannot be used with'],
    [['second argument'], 16, 'too many arguments'],
    [['--undo', '.'], 16, 'EXISTS'],
    [['--undo', '/nowhere/at/all'], 8, 'ENOENT'],
  ] as const)('%j: %i', (options, expected, words) => {
    const image = join(scratch, 'cadastre');
    const { status, stderr } = cli(['repair', image, ...options]);
    expect(stderr).toContain(words);
    expect(status).toBe(expected);
    expect(stderr).not.toContain('    at ');
    expect(readFileSync(image).equals(bytesOf(damageImage('cadastre').device))).toBe(true);
  });
});
