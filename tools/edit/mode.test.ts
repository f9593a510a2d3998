/** Modes against the host's own chmod. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { directoryMode, parseMode } from './mode.ts';

const scratch = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-mode-`));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const MODES = [
  ...[
    '644',
    '0755',
    '00755',
    '02750',
    '7',
    '4711',
    '00',
    '2750',
    'u+x',
    'go-rwx',
    'a=r',
    '=rw',
    '+x',
    '-w',
    'u=rwx,g=rx,o=',
    'ug+s',
  ],
  ...['+t', 'o+t', 'g=u', 'o=g,u-x', 'a+X', 'go=rX', 'u-s,g+s', 'a-st', 'ugo+rw', 'u+w-x', 'g+s,u=', '=', 'a=', 'uo=t'],
];
const STARTS = [0o644, 0o755, 0o4711, 0o2755, 0o1777, 0o600, 0, 0o6777];

describe('a mode', () => {
  it.each(MODES)('%s is what chmod makes of it', (mode) => {
    for (const isDirectory of [false, true]) {
      const paths = STARTS.map((start) => {
        const path = join(scratch, `${isDirectory ? 'd' : 'f'}${start}`);
        rmSync(path, { recursive: true, force: true });
        if (isDirectory) mkdirSync(path);
        else writeFileSync(path, '');
        chmodSync(path, start);
        return path;
      });
      const script = 'umask 022; mode=$1; shift; exec chmod -- "$mode" "$@"';
      const run = spawnSync('sh', ['-c', script, 'sh', mode, ...paths], { encoding: 'utf8' });
      const wanted = paths.map((path) => (statSync(path).mode & 0o7777).toString(8));
      const ours = STARTS.map((start) => parseMode(mode)(start, isDirectory).toString(8));
      // Removing what the umask protects is done, and told as an error.
      if (run.status !== 0) expect(run.stderr).toContain('new permissions are');
      expect(ours, `${mode} of ${isDirectory ? 'directories' : 'files'}`).toEqual(wanted);
    }
  });

  it('is refused when it is none', () => {
    for (const text of ['', '888', '12345', '012345', 'z+x', 'u+', 'u', 'u+q', ',', 'u+x,', 'u=gx']) {
      if (text === 'u+') continue; // no permissions at all: allowed
      expect(() => parseMode(text), text).toThrow(expect.objectContaining({ family: 'usage', code: 'BAD_MODE' }));
    }
  });

  it('starts from the usual umask', () => {
    expect(directoryMode('u=rwx,go=')).toBe(0o700);
  });
});
