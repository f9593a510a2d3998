/**
 * The long damage runs: `npm run test:damage [-- WHAT [OPTIONS]]`. WHAT is one of
 *
 *   fields    every field of every structure, every verb: found, repaired, nothing lost (--part 3/8, --only STRUCTURE,
 *             --image xfs,cadastre, --cases N of each structure)
 *   compare   repaired by us and by xfs_repair: what each loses, structure by structure (--cases N of each, --image xfs, --verbose;
 *             --write puts the table into docs/SALVAGE.md)
 *   scenes    the same for the canned scenes and wiped ranges
 *   areas     ranges wiped on an image with many files (--files N)
 *   random    bytes, blocks and trees overwritten, images cut (--seeds 1..10000; --into FILE notes the runs, and goes on there
 *             when it was stopped)
 *   trash     images of mkfs.xfs and the kernel, broken by xfs_db's blocktrash (--runs N --seed S; needs root)
 *   fuzz      the same, single fields broken by xfs_db's fuzz with a right CRC
 *
 * All of it is test/damage/run.ts; without WHAT: compare.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [what = 'compare', ...options] = process.argv.slice(2);
const tsx = join(root, 'node_modules/tsx/dist/esm/index.mjs');
const args = ['--import', tsx, join(root, 'test/damage/run.ts'), what, ...options];
const run = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env: { FULL: '1', ...process.env } });
process.exit(run.status ?? 1);
