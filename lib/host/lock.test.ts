/** Who uses an image: processes, loop devices, mounts. The last two need root. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CadastreError } from '../errors.ts';
import { assertNotInUse, imageUsers, lockImage } from './lock.ts';
import { loadCLibrary } from './native.ts';

const isRoot = process.getuid?.() === 0;
let scratch: string;
let image: string;
beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'cadastre-lock-'));
  image = path.join(scratch, 'image with space');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 4 << 20);
});
afterEach(() => fs.rmSync(scratch, { recursive: true, force: true }));

/** Message of the IN_USE error; undefined when nothing is thrown. */
function refusal(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(CadastreError);
    expect((error as CadastreError).code).toBe('IN_USE');
    return (error as CadastreError).message;
  }
}

describe.runIf(process.platform === 'linux')('users of an image', () => {
  test('nobody, this process itself, a path that does not exist', () => {
    const fd = fs.openSync(image, 'r+');
    expect(imageUsers(image)).toEqual([]);
    assertNotInUse(image);
    assertNotInUse(path.join(scratch, 'missing'));
    assertNotInUse(scratch);
    fs.closeSync(fd);
  });

  test.each(['r', 'r+'])('another process that holds it open: %s', async (flags) => {
    const fd = fs.openSync(image, flags);
    const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
    await once(child, 'spawn');
    fs.closeSync(fd);
    try {
      // The descriptor decides, not the name.
      fs.linkSync(image, `${image}2`);
      const message = refusal(() => assertNotInUse(`${image}2`));
      if (flags === 'r') expect(message).toBeUndefined();
      else expect(message).toContain(`open for writing in process ${child.pid} (sleep)`);
      expect(imageUsers(image)).toMatchObject([{ kind: 'process', writes: flags !== 'r' }]);
    } finally {
      child.kill();
      await once(child, 'exit');
    }
    assertNotInUse(image);
  });

  test.runIf(isRoot)('loop devices and mounts', (context) => {
    let mke2fs = true;
    try {
      execFileSync('mke2fs', ['-q', '-F', image]);
    } catch {
      mke2fs = false;
    }
    let device: string;
    try {
      device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
    } catch {
      context.skip();
      return;
    }
    const mountPoint = path.join(scratch, 'mount point');
    fs.mkdirSync(mountPoint);
    try {
      expect(refusal(() => assertNotInUse(image))).toContain(`attached read-write to ${device}`);
      assertNotInUse(device);
      if (mke2fs) {
        execFileSync('mount', ['-o', 'ro', device, mountPoint]);
        try {
          expect(refusal(() => assertNotInUse(image))).toContain(`mounted at ${mountPoint}`);
          expect(refusal(() => assertNotInUse(device))).toContain(`mounted at ${mountPoint}`);
          expect(imageUsers(image)).toMatchObject([
            { kind: 'mount', writes: false },
            { kind: 'loop', writes: true },
          ]);
        } finally {
          execFileSync('umount', [mountPoint]);
        }
      }
    } finally {
      execFileSync('losetup', ['-d', device]);
    }
    const readOnly = execFileSync('losetup', ['--find', '--show', '-r', image], { encoding: 'utf8' }).trim();
    try {
      assertNotInUse(image);
      expect(imageUsers(image)).toMatchObject([{ kind: 'loop', writes: false }]);
    } finally {
      execFileSync('losetup', ['-d', readOnly]);
    }
    expect(imageUsers(image)).toEqual([]);
  });
});

test.runIf(typeof loadCLibrary() !== 'string')('the advisory lock is exclusive and goes with the descriptor', () => {
  const [first, second] = [fs.openSync(image, 'r+'), fs.openSync(image, 'r+')];
  expect(lockImage(first, image)).toBe(true);
  expect(refusal(() => lockImage(second, image))).toContain('locked by another process');
  fs.closeSync(first);
  expect(lockImage(second, image)).toBe(true);
  fs.closeSync(second);
});
