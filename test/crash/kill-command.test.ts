/** The real command, killed with SIGKILL at random moments: what it leaves is made good by the log, and clean. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { cadastre, cli } from '../support/cli.ts';

const ROUNDS = 8;
const seed = Number(process.env.CADASTRE_SEED ?? Date.now() % 1_000_000);
const source = fileURLToPath(new URL('../../lib', import.meta.url));

it.each(['xfs', 'cadastre'])(`put and rm of the command are killed (%s, CADASTRE_SEED=${seed})`, async (format) => {
  const scratch = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-kill-`));
  const image = join(scratch, 'image');
  let state = seed;
  const random = (below: number) => (state = (state * 48271 + 11) % 2147483647) % below;
  try {
    expect(cli(['mkfs', image, '--format', format, '--size', '96m', '--quiet']).status).toBe(0);
    let killed = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const args =
        round % 3 === 2 ? ['rm', '-rf', image, '/tree-0', '/tree-1'] : ['put', '-r', image, source, `/tree-${round}`];
      const child = spawn(cadastre[0]!, [...cadastre.slice(1), ...args], { stdio: 'ignore' });
      const timer = setTimeout(() => child.kill('SIGKILL'), 60 + random(400));
      const [, signal] = await once(child, 'exit');
      clearTimeout(timer);
      if (signal === 'SIGKILL') killed++;
      expect(cli(['log', image, '--replay']).status).toBe(0);
      const verdict = cli(['check', image, '--data']);
      expect(verdict.stdout).toContain('clean');
      expect(verdict.status).toBe(0);
    }
    expect(killed).toBeGreaterThan(0);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
