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

/** Runs npm with these arguments; its exit status, and its output when `quiet` holds it back. */
function npm(args, quiet) {
  const options = {
    cwd: root,
    stdio: quiet ? 'pipe' : 'inherit',
    encoding: 'utf8',
    shell: process.platform === 'win32',
  };
  const common = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const script = process.env.npm_execpath;
  return script
    ? spawnSync(process.execPath, [script, ...args, ...common], { ...options, shell: false })
    : spawnSync('npm', [...args, ...common], options);
}

if (!isInstalled()) {
  console.log('setup: installing the packages of package-lock.json ...');
  // npm ci refuses a lock file that lists optional packages of this platform only (some registries offer no others).
  // npm install takes the same versions from it and adds what this platform needs; --no-save leaves the lock alone.
  if (npm(['ci'], true).status !== 0) {
    const run = npm(['install', '--no-save'], false);
    if (run.status !== 0) {
      console.error(`setup: npm install failed${run.error ? `: ${run.error.message}` : ''}`);
      process.exit(1);
    }
  }
}
if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== hash) writeFileSync(stampFile, hash);
