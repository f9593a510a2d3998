/**
 * Libraries from npm that take an `fs` work unchanged on an image: isomorphic-git (promises) and tar-fs (callbacks and streams).
 * What they do is compared with the host's own git and tar where those are there, and the image is clean afterwards.
 */
import { spawnSync } from 'node:child_process';
import nodeFs from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import git from 'isomorphic-git';
import tar from 'tar-fs';
import { afterEach, describe, expect, it } from 'vitest';
import { check } from '../../lib/check/check.ts';
import type { OverlayDevice } from '../../lib/device/overlay.ts';
import { type ImageFs, openImage } from '../../lib/fs/node/open-image.ts';
import { bytesOf, emptyImage } from '../support/empty-image.ts';
import { requireOracle, withTempDir, xfsRepairCheck } from '../support/oracle.ts';
import { findProgram } from '../support/tools.ts';

const hasRepair = requireOracle('xfsprogs');
const author = { name: 'Ada', email: 'ada@example.org', timestamp: 1_700_000_000, timezoneOffset: 0 };

describe.each(['cadastre', 'xfs'] as const)('on a %s image', (dialect) => {
  let device: OverlayDevice;
  let image: ImageFs;

  function open(): ImageFs {
    device = emptyImage({ dialect, size: 64 << 20 });
    image = openImage(device);
    return image;
  }

  /** After each test: whatever the library did, the image is whole. */
  afterEach(() => {
    image.unmount();
    expect(check(device, { data: true }).problems).toEqual([]);
    if (dialect !== 'xfs' || !hasRepair) return;
    withTempDir((directory) => {
      const file = join(directory, 'image');
      nodeFs.writeFileSync(file, bytesOf(device));
      expect(xfsRepairCheck(file)).toEqual({ ok: true, output: '' });
    });
  });

  it('isomorphic-git: init, add, commit, status, log, branch, checkout', async () => {
    const fs = open();
    const dir = '/repo';
    fs.mkdirSync(dir);
    await git.init({ fs, dir, defaultBranch: 'main' });
    fs.mkdirSync('/repo/src/deep', { recursive: true });
    for (let i = 0; i < 40; i++) fs.writeFileSync(`/repo/src/deep/file-${i}`, `content ${i}\n`.repeat(i * 20));
    fs.writeFileSync('/repo/naïve.txt', 'names are bytes\n');
    fs.writeFileSync('/repo/run', '#!/bin/sh\n', { mode: 0o755 });
    fs.symlinkSync('src/deep/file-1', '/repo/link');
    expect(await git.status({ fs, dir, filepath: 'naïve.txt' })).toBe('*added');
    await git.add({ fs, dir, filepath: '.' });
    const first = await git.commit({ fs, dir, author, message: 'first' });

    await git.branch({ fs, dir, ref: 'side', checkout: true });
    fs.appendFileSync('/repo/naïve.txt', 'more\n');
    fs.rmSync('/repo/src/deep/file-3');
    await git.add({ fs, dir, filepath: 'naïve.txt' });
    await git.remove({ fs, dir, filepath: 'src/deep/file-3' });
    const second = await git.commit({ fs, dir, author, message: 'second' });
    expect((await git.log({ fs, dir })).map(({ oid }) => oid)).toEqual([second, first]);

    await git.checkout({ fs, dir, ref: 'main' });
    expect(fs.readFileSync('/repo/naïve.txt', 'utf8')).toBe('names are bytes\n');
    expect(fs.readFileSync('/repo/src/deep/file-3', 'utf8')).toBe('content 3\n'.repeat(60));
    expect(fs.readlinkSync('/repo/link')).toBe('src/deep/file-1');
    const matrix = await git.statusMatrix({ fs, dir });
    expect(matrix.length).toBe(43);
    for (const [path, ...state] of matrix) expect(state, path).toEqual([1, 1, 1]);

    // Out to the host: git itself agrees.
    if (!findProgram('git')) return;
    await withTempDir(async (directory) => {
      await pipeline(tar.pack(dir, on(fs)), tar.extract(directory));
      const run = (...args: string[]) =>
        spawnSync('git', ['-c', 'safe.directory=*', '-C', directory, ...args], { encoding: 'utf8' });
      const fsck = run('fsck', '--strict');
      expect(fsck.status, fsck.stderr).toBe(0);
      expect(run('rev-parse', 'side', 'main').stdout).toBe(`${second}\n${first}\n`);
      expect(run('status', '--porcelain').stdout).toBe('');
    });
  });

  it('tar-fs: a tree of the host goes in through a tar stream and comes out the same', async () => {
    const fs = open();
    await withTempDir(async (directory) => {
      const source = join(directory, 'in');
      const target = join(directory, 'out');
      nodeFs.mkdirSync(join(source, 'a/b'), { recursive: true });
      for (let i = 0; i < 30; i++) nodeFs.writeFileSync(join(source, 'a/b', `f${i}`), Buffer.alloc(i * 9000, i));
      nodeFs.writeFileSync(join(source, 'tool'), 'x', { mode: 0o750 });
      nodeFs.symlinkSync('a/b/f2', join(source, 'link'));
      nodeFs.utimesSync(join(source, 'tool'), 1_600_000_000, 1_600_000_000);

      await pipeline(tar.pack(source), tar.extract('/t', on(fs)));
      expect(fs.statSync('/t/tool').mode & 0o777).toBe(0o750);
      expect(fs.statSync('/t/tool').mtimeMs).toBe(1_600_000_000_000);
      await pipeline(tar.pack('/t', on(fs)), tar.extract(target));
      expect(listing(target)).toEqual(listing(source));
    });
  });
});

/** Options that tar-fs takes though its types do not say so. */
function on(fs: ImageFs): tar.PackOptions & tar.ExtractOptions {
  return { fs } as unknown as tar.PackOptions & tar.ExtractOptions;
}

/** Every path below a host directory with its kind, mode and content. */
function listing(root: string): string[] {
  return (nodeFs.readdirSync(root, { recursive: true, withFileTypes: true }) as nodeFs.Dirent[])
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { mode, mtimeMs } = nodeFs.lstatSync(path);
      const content = entry.isFile()
        ? `${(mtimeMs / 1000) | 0} ${nodeFs.readFileSync(path).toString('base64')}`
        : entry.isSymbolicLink() && nodeFs.readlinkSync(path);
      return `${path.slice(root.length)} ${mode.toString(8)} ${content}`;
    })
    .sort();
}
