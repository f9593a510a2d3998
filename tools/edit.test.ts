/**
 * The editing commands as a user calls them: what they do, what they refuse, undo and dry run. They run in this process,
 * with standard input and output caught, so that a hundred of them take no longer than a few real ones.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCommand } from './command.ts';
import { COMMANDS } from './commands/table.ts';

const streams = vi.hoisted(() => ({ output: ['', '', ''], input: Buffer.alloc(0) }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return {
    ...fs,
    writeSync(fd: number, bytes: Uint8Array, offset = 0, length = bytes.length - offset, position?: number) {
      if (fd !== 1 && fd !== 2) return fs.writeSync(fd, bytes, offset, length, position);
      streams.output[fd] += Buffer.from(bytes).toString('utf8', offset, offset + length);
      return length;
    },
    readSync(fd: number, into: Uint8Array, offset: number, length: number, position: number | null) {
      if (fd !== 0) return fs.readSync(fd, into, offset, length, position);
      const part = streams.input.subarray(0, length);
      into.set(part, offset);
      streams.input = streams.input.subarray(part.length);
      return part.length;
    },
  };
});

interface Result {
  status: number;
  stdout: string;
  stderr: string;
}

async function run(name: string, ...args: string[]): Promise<Result> {
  streams.output = ['', '', ''];
  process.exitCode = undefined;
  try {
    const status = await runCommand(COMMANDS.find((each) => each.name === name)!, args);
    return { status, stdout: streams.output[1]!, stderr: streams.output[2]! };
  } finally {
    process.exitCode = undefined;
  }
}

async function runJson<T = unknown>(...args: [string, ...string[]]): Promise<T> {
  return JSON.parse(await ok(...args, '--json')) as T;
}

let scratch: string;
const at = (name: string): string => join(scratch, name);
const DIALECTS = ['cadastre', 'xfs'] as const;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), `cadastre-test-${process.pid}-edit-`));
  mkdirSync(at('source/sub'), { recursive: true });
  writeFileSync(at('source/hello'), 'hello\n');
  linkSync(at('source/hello'), at('source/sub/again'));
  symlinkSync('../hello', at('source/sub/link'));
  writeFileSync(at('source/sub/big'), Buffer.alloc(3_000_000, 'many bytes '));
  utimesSync(at('source/sub/big'), 1_000_000_000, 1_000_000_000);
  for (const dialect of DIALECTS)
    await ok('mkfs', at(`${dialect}.img`), '--size', '64m', '--format', dialect, '--quiet');
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function ok(...args: [string, ...string[]]): Promise<string> {
  const { status, stdout, stderr } = await run(...args);
  if (status !== 0) throw new Error(`${args.join(' ')}: status ${status}\n${stderr}`);
  return stdout;
}

/** Exit status and code of the error. */
async function refused(...args: [string, ...string[]]): Promise<string> {
  const { status, stderr } = await run(...args);
  return `${status} ${/\[([A-Z_]+)\]/.exec(stderr)?.[1] ?? stderr}`;
}

const names = async (image: string, path: string): Promise<string[]> =>
  (await ok('ls', image, path)).split('\n').slice(0, -1);
const isClean = async (image: string): Promise<void> =>
  expect(await runJson('check', image, '--data')).toMatchObject({ clean: true });
const input = async (image: string, path: string, text: string): Promise<void> => {
  streams.input = Buffer.from(text);
  await ok('put', image, '-', path);
};

describe.each(DIALECTS)('edits of a %s image', (dialect) => {
  let image: string;
  beforeAll(() => {
    image = at(`work-${dialect}.img`);
    copyFileSync(at(`${dialect}.img`), image);
  });

  it('puts trees and standard input', async () => {
    expect(await refused('put', image, at('source'), '/tree')).toBe('1 EISDIR');
    expect(await ok('put', '-r', image, at('source'), '/tree')).toContain(
      '2 files (2.9 MiB), 2 directories, 2 other objects',
    );
    expect((await ok('cat', image, '/tree/sub/big')).length).toBe(3_000_000);
    const [hello] = await runJson<{ links: number; inode: number }[]>('stat', image, '/tree/hello');
    expect(hello!.links).toBe(2);
    expect(await ok('stat', image, '/tree/sub/big')).toContain('2001-09-09T01:46:40.000000000Z');
    await input(image, '/tree/hello', 'replaced');
    expect(await ok('cat', image, '/tree/hello')).toBe('replaced');
    expect(await ok('cat', image, '/tree/sub/again')).toBe('hello\n');
    // Again over itself: the same tree.
    await ok('put', '-r', image, at('source'), '/', '--quiet');
    await ok('put', '-r', image, `${at('source')}/.`, '/tree', '--owner', '7:8');
    expect(await ok('cat', image, '/tree/sub/link')).toBe('hello\n');
    const [big] = await runJson<unknown[]>('stat', image, '/tree/sub/big');
    expect(big).toMatchObject({ uid: 7, gid: 8 });
    expect(await refused('put', image, at('absent'), '/')).toBe('1 ENOENT');
    expect(await refused('put', image, at('source/hello'), '/absent/x')).toBe('1 ENOENT');
    expect(await refused('put', image, at('source/hello'))).toBe('2 NO_TARGET');
    await isClean(image);
  });

  it('makes, moves, links and removes names', async () => {
    await ok('mkdir', '-p', image, '/a/b/c', '/a/b/d', '-m', '700');
    expect(await refused('mkdir', image, '/a/b')).toBe('1 EEXIST');
    expect(await refused('mkdir', image, 'a')).toBe('2 BAD_PATH');
    await ok('touch', image, '/a/one', '/a/t\\xffo', '-d', '2020-02-02T02:02:02.5');
    await ok('mv', image, '/a/one', '/a/t\\xffo', '/a/b');
    expect(await names(image, '/a/b')).toEqual(['c', 'd', 'one', 't\\xffo']);
    expect(await refused('mv', image, '/a', '/a/b')).toBe('1 EINVAL');
    expect(await refused('mv', image, '/a/b/one', '/a/b/d', '/a/b/absent')).toBe('1 ENOENT');
    await ok('mv', image, '/a/b/one', '/a/uno');
    await ok('ln', image, '/a/uno', '/a/due');
    await ok('ln', '-s', image, 'uno', '/a/tre');
    expect(await refused('ln', '-s', image, 'uno', '/a/due')).toBe('1 EEXIST');
    await ok('ln', '-sf', image, 'b', '/a/due');
    expect(await ok('ls', image, '-l', '/a')).toContain('due -> b');
    expect(await refused('rm', image, '/a')).toBe('1 EISDIR');
    expect(await refused('rm', image, '/absent')).toBe('1 ENOENT');
    expect(await refused('rm', '-r', image, '/')).toBe('1 EINVAL');
    await ok('rm', '-rf', image, '/absent', '/a/b');
    expect(await names(image, '/a')).toEqual(['due', 'tre', 'uno']);
    await isClean(image);
  });

  it('changes what inodes say', async () => {
    await input(image, '/file', '0123456789');
    await ok('chmod', image, '4755', '/file');
    await ok('chmod', image, '-x,g+w', '/file');
    await ok('chown', image, '12:34', '/file');
    await ok('touch', image, '-m', '-d', '2020-02-02T02:02:02.5', '/file');
    await ok('truncate', image, '-s', '+6', '/file');
    expect((await runJson<unknown[]>('stat', image, '/file'))[0]).toMatchObject({
      mode: 0o100664,
      uid: 12,
      gid: 34,
      size: 16,
    });
    await ok('truncate', image, '-s', '4', '/file');
    expect(await ok('cat', image, '/file')).toBe('0123');
    expect(await refused('truncate', image, '-s', 'x', '/file')).toBe('2 BAD_SIZE');
    expect(await refused('chmod', image, 'nothing', '/file')).toBe('2 BAD_MODE');
    expect(await refused('chmod', image, '600', '/absent', '/file')).toBe('1 ENOENT');
    expect((await runJson<{ mode: number }[]>('stat', image, '/file'))[0]!.mode).toBe(0o100600);
    await ok('xattr', image, 'set', '/file', 'user.a', 'b\\xff');
    expect(await ok('xattr', image, 'get', '/file', 'user.a', '--hex')).toBe('62ff\n');
    expect(await ok('xattr', image, 'list', '/file')).toBe('user.a\n');
    await ok('xattr', image, 'rm', '/file', 'user.a');
    expect(await refused('xattr', image, 'get', '/file', 'user.a')).toBe('1 ENODATA');
    expect(await refused('xattr', image, 'set', '/file', 'user.a')).toBe('2 BAD_ARGUMENTS');
    await isClean(image);
  });

  it('are undone to the byte, and a dry run writes nothing', async () => {
    const before = readFileSync(image);
    const dry = await runJson<{ dryRun: boolean; changedBytes: number }>('rm', '-r', image, '/tree', '--dry-run');
    expect(dry).toMatchObject({ dryRun: true, removed: { files: 4, directories: 2 } });
    expect(dry.changedBytes).toBeGreaterThan(4096);
    expect(readFileSync(image).equals(before)).toBe(true);
    await ok('rm', '-r', image, '/tree', '--undo', at('undo'));
    await ok('put', '-r', image, at('source'), '/other', '--undo', at('undo2'), '--quiet');
    expect(await refused('mkdir', image, '/x', '--undo', at('undo'))).toBe('2 EXISTS');
    expect(await refused('undo', image, at('undo'))).toBe('1 CHANGED_SINCE');
    await ok('undo', image, at('undo2'));
    await ok('undo', image, at('undo'));
    expect(readFileSync(image).equals(before)).toBe(true);
    expect(await refused('undo', image, at('undo'))).toBe('1 ALREADY_UNDONE');
    expect(await refused('mkdir', image, '/tree', '--undo', at('undo3'))).toBe('1 EEXIST');
    await ok('mkfs', image, '--force', '--size', '48m', '--undo', at('undo4'), '--quiet');
    expect(readFileSync(image).length).toBe(48 << 20);
    await ok('undo', image, at('undo4'));
    expect(readFileSync(image).equals(before)).toBe(true);
    // Where nothing was, nothing is left; an empty file stays one.
    await ok('mkfs', at('fresh'), '--size', '32m', '--undo', at('undo5'), '--quiet');
    await ok('mkdir', at('fresh'), '/d', '--undo', at('undo6'));
    await ok('undo', at('fresh'), at('undo6'));
    await ok('undo', at('fresh'), at('undo5'));
    expect(existsSync(at('fresh'))).toBe(false);
    writeFileSync(at('fresh'), '');
    await ok('mkfs', at('fresh'), '--size', '32m', '--undo', at('undo7'), '--quiet');
    await ok('undo', at('fresh'), at('undo7'));
    expect(statSync(at('fresh')).size).toBe(0);
    for (const file of ['fresh', 'undo5', 'undo6', 'undo7']) rmSync(at(file));
    for (const file of ['undo', 'undo2', 'undo3', 'undo4']) rmSync(at(file), { force: true });
  });

  it('show a clean log', async () => {
    expect(await runJson('log', image)).toMatchObject({ clean: true });
    expect(await ok('log', image, '--replay')).toContain('the log was clean');
    await ok('log', image, '--discard');
    await isClean(image);
  });
});

it('refuses an image that another process writes to', async () => {
  const image = at('busy.img');
  copyFileSync(at('xfs.img'), image);
  const other = spawn('sh', ['-c', 'exec 3<>"$0"; echo ready; sleep 30', image], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    await once(other.stdout, 'data');
    expect(await refused('mkdir', image, '/x')).toBe('1 IN_USE');
    expect(await refused('undo', image, at('absent'))).toBe('1 IN_USE');
  } finally {
    other.kill();
  }
});

it('refuses what is no image, and leaves no undo file behind', async () => {
  writeFileSync(at('text'), 'a text');
  expect(await refused('mkdir', at('text'), '/x', '--undo', at('undo'))).toMatch(/^1 /);
  expect(existsSync(at('undo'))).toBe(false);
  expect(await refused('mkdir', at('absent.img'), '/x')).toBe('1 ENOENT');
  expect(await refused('mkdir', scratch, '/x')).toBe('1 NOT_AN_IMAGE');
});
