/**
 * The long damage runs: `npm run test:damage [-- WHAT [OPTIONS]]`. WHAT is one of
 *
 *   fields    every case of the field suite (test/damage/fields.test.ts with FULL=1)
 *   compare   repaired by us and by xfs_repair: what each loses, structure by structure (--cases N of each, --image xfs, --verbose;
 *             --write puts the table into docs/SALVAGE.md)
 *   scenes    the same for the canned scenes and wiped ranges
 *   areas     ranges wiped on an image with many files (--files N)
 *   random    bytes, blocks and trees overwritten, images cut (--runs N --seed S)
 *   trash     images of mkfs.xfs and the kernel, broken by xfs_db's blocktrash (--runs N --seed S; needs root)
 *   fuzz      the same, single fields broken by xfs_db's fuzz with a right CRC
 *
 * Everything but `fields` is test/damage/run.ts; without WHAT: compare.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [what = 'compare', ...options] = process.argv.slice(2);
const args =
  what === 'fields'
    ? [join(root, 'node_modules/vitest/vitest.mjs'), 'run', 'test/damage', ...options]
    : [
        '--import',
        join(root, 'node_modules/tsx/dist/esm/index.mjs'),
        join(root, 'test/damage/run.ts'),
        what,
        ...options,
      ];
const run = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env: { FULL: '1', ...process.env } });
process.exit(run.status ?? 1);
