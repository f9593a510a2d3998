/**
 * Deterministic source trees for the measurements: the same options give the same names, bytes, modes and times.
 * A tree is made once, in a cache directory under the system's temporary directory, and used again; a tree that was not
 * finished has no stamp and is made anew.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where trees and other expensive inputs live between runs. */
export const cacheDirectory = join(tmpdir(), 'cadastre-bench');

const VERSION = 1;

/**
 * Makes (or finds) a tree and gives its path: `files` files of together `bytes` bytes in `directories` directories, two
 * levels deep. Sizes are skewed as in real trees: most files are small, few are large.
 */
export function makeTree({ files = 100_000, bytes = 356_000_000, directories = 200, seed = 1 } = {}) {
  const name = `tree-v${VERSION}-${files}-${bytes}-${directories}-${seed}`;
  const path = join(cacheDirectory, name);
  if (existsSync(`${path}.done`) && existsSync(path)) return path;
  rmSync(path, { recursive: true, force: true });
  mkdirSync(cacheDirectory, { recursive: true });
  const building = `${path}.${process.pid}`;
  const random = generator(seed);
  const sizes = skewedSizes(files, bytes, random);
  // One pool of random bytes; each file is a stretch of it from a place of its own: as fast as writing can be.
  const pool = randomPool(1 << 22, random);
  const folders = makeFolders(building, directories);
  for (let i = 0; i < files; i++) {
    const file = join(folders[i % directories], `file-${i.toString(36)}.dat`);
    const fd = openSync(file, 'w', i % 50 === 0 ? 0o755 : 0o644);
    let left = sizes[i];
    while (left > 0) {
      const length = Math.min(left, pool.length / 2);
      const start = Math.floor(random() * (pool.length / 2));
      writeSync(fd, pool, start, length);
      left -= length;
    }
    closeSync(fd);
    utimesSync(file, 1_600_000_000 + i, 1_600_000_000 + i);
  }
  for (const folder of folders) utimesSync(folder, 1_600_000_000, 1_600_000_000);
  renameSync(building, path);
  writeFileSync(`${path}.done`, '');
  return path;
}

/** `count` directories, a tenth of them at the top and the rest inside those. */
function makeFolders(root, count) {
  mkdirSync(root, { recursive: true });
  const top = Math.max(1, Math.ceil(count / 10));
  const folders = [];
  for (let i = 0; i < count; i++) {
    const path = i < top ? join(root, `folder-${i}`) : join(folders[i % top], `inner-${i}`);
    mkdirSync(path);
    folders.push(path);
  }
  return folders;
}

/** Sizes that sum to exactly `total`: exponentially spread, so that the mean lies far above the median. */
function skewedSizes(count, total, random) {
  const weights = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    weights[i] = (-Math.log(1 - random())) ** 2;
    sum += weights[i];
  }
  const sizes = new Float64Array(count);
  let rest = total;
  for (let i = 0; i < count; i++) {
    sizes[i] = Math.min(rest, Math.floor((weights[i] / sum) * total));
    rest -= sizes[i];
  }
  if (count > 0) sizes[count - 1] += rest;
  return sizes;
}

function randomPool(length, random) {
  const pool = Buffer.alloc(length);
  for (let i = 0; i < length; i += 4) pool.writeUInt32LE(Math.floor(random() * 2 ** 32), i);
  return pool;
}

/** A small random generator (mulberry32): the same numbers on every machine. Results in [0, 1). */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
