/**
 * Makes node_modules present and equal to package-lock.json, so that every npm script works in a fresh clone.
 * Quiet and quick when there is nothing to do: one hash of the lock file is compared with the one left by the last run.
 * Uses Node's own modules only, for nothing else is there yet.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const lockFile = join(root, 'package-lock.json');
const stampFile = join(root, 'node_modules', '.cadastre-setup');
const installedLock = join(root, 'node_modules', '.package-lock.json');

const [major] = process.versions.node.split('.').map(Number);
if (major < 20) {
  console.error(`Cadastre needs Node 20 or newer; this is ${process.version}.`);
  process.exit(1);
}

const hash = createHash('sha256').update(readFileSync(lockFile)).digest('hex');

/** Installed by the last run here, or by hand (npm ci, npm install) after the lock file was written. */
function isInstalled() {
  if (existsSync(stampFile)) return readFileSync(stampFile, 'utf8') === hash;
  return existsSync(installedLock) && statSync(installedLock).mtimeMs >= statSync(lockFile).mtimeMs;
}

if (!isInstalled()) {
  console.log('setup: installing the packages of package-lock.json ...');
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const run = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: 'inherit' })
    : spawnSync('npm', args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
  if (run.status !== 0) {
    console.error(`setup: npm ci failed${run.error ? `: ${run.error.message}` : ''}`);
    process.exit(1);
  }
}
if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== hash) writeFileSync(stampFile, hash);
