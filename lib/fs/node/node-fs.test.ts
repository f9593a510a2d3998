/** Forms and arguments of Node's fs that the conformance test does not vary: handles, streams, encodings, errors by hand. */
import nodeFs from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Superblock } from '../../../formats/superblock.ts';
import { bytesOf, emptyImage } from '../../../test/support/empty-image.ts';
import { withTempDir } from '../../../test/support/oracle.ts';
import { check } from '../../check/check.ts';
import type { OverlayDevice } from '../../device/overlay.ts';
import { CadastreError } from '../../errors.ts';
import { type ImageFs, openImage } from './open-image.ts';

let device: OverlayDevice;
let fs: ImageFs;

beforeEach(() => {
  device = emptyImage({ dialect: 'cadastre' });
  fs = openImage(device);
});
afterEach(() => {
  fs.unmount();
  expect(check(device, { data: true }).problems).toEqual([]);
});

/** Code of what a call throws or rejects with. */
async function codeOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
  return undefined;
}

describe('the object', () => {
  it('has every call of Node but those an image cannot have', () => {
    const without = [
      '_toUnixTimestamp',
      'FileReadStream',
      'FileWriteStream',
      'lchmod',
      'lchmodSync',
      'openAsBlob',
      'glob',
      'globSync',
    ];
    const missing = (theirs: object, ours: object) =>
      Object.keys(theirs).filter((name) => !(name in ours) && !without.includes(name));
    expect(missing(nodeFs, fs)).toEqual([]);
    expect(missing(nodeFs.promises, fs.promises)).toEqual([]);
    expect(Object.getOwnPropertyDescriptor(fs, 'promises')?.enumerable).toBe(true);
  });

  it('works when calls are taken out of it', () => {
    const { writeFileSync, readFileSync, realpathSync } = fs;
    writeFileSync('/f', 'x');
    expect(readFileSync('/f', 'utf8')).toBe('x');
    expect(realpathSync.native('//./f')).toBe('/f');
  });

  it('takes strings, Buffers and URLs as paths, relative ones from the root', () => {
    fs.writeFileSync(Buffer.from('/bytes'), 'b');
    fs.writeFileSync(pathToFileURL('/with space'), 'u');
    expect(fs.readdirSync('.')).toEqual(['bytes', 'with space']);
    expect(fs.readFileSync('bytes', 'latin1')).toBe('b');
    const odd = Buffer.from([0x2f, 0xff]);
    fs.mkdirSync(odd);
    expect(fs.readdirSync('/', 'buffer').at(-1)).toEqual(odd.subarray(1));
  });

  it('refuses wrong arguments at once, also in the callback form', async () => {
    const bad = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const [call, codes] of [
      [() => bad.readFileSync!({}), 'ERR_INVALID_ARG_TYPE'],
      [() => bad.readFile!('/a\0b', () => {}), 'ERR_INVALID_ARG_VALUE'],
      [() => bad.readFile!('/a'), 'ERR_INVALID_ARG_TYPE'],
      [() => bad.openSync!('/a', 'bad'), 'ERR_INVALID_ARG_VALUE'],
      [() => bad.openSync!('/a', 'r', 'zz'), 'ERR_INVALID_ARG_VALUE'],
      [() => bad.readFileSync!('/a', 'bogus'), 'ERR_INVALID_ARG_VALUE'],
      [() => bad.closeSync!('x'), 'ERR_INVALID_ARG_TYPE'],
      [() => bad.closeSync!(-1), 'ERR_OUT_OF_RANGE'],
      [() => bad.writeFileSync!('/a', {}), 'ERR_INVALID_ARG_TYPE'],
      [() => bad.utimesSync!('/a', {}, 1), 'ERR_INVALID_ARG_TYPE'],
      [() => bad.chownSync!('/a', 'me', 1), 'ERR_INVALID_ARG_TYPE'],
      [() => bad.accessSync!('/a', 9), 'ERR_OUT_OF_RANGE'],
      [() => bad.readSync!(1, Buffer.alloc(3), 4, 1), 'ERR_OUT_OF_RANGE'],
    ] as const) {
      expect(await codeOf(call), String(call)).toBe(codes);
    }
  });

  it('says that nothing can be watched, and shares blocks when a clone is asked for', async () => {
    fs.writeFileSync('/f', Buffer.alloc(1_000_001, 'x'));
    expect(await codeOf(() => fs.watch('/f'))).toBe('ENOSYS');
    expect(await codeOf(() => fs.watchFile('/f', () => {}))).toBe('ENOSYS');
    const { bfree } = fs.statfsSync('/');
    fs.copyFileSync('/f', '/g', fs.constants.COPYFILE_FICLONE);
    fs.copyFileSync('/f', '/h', fs.constants.COPYFILE_FICLONE_FORCE);
    expect(bfree - fs.statfsSync('/').bfree).toBeLessThan(20);
    fs.writeFileSync('/g', 'y', { flag: 'r+' });
    expect(fs.readFileSync('/h').equals(fs.readFileSync('/f'))).toBe(true);
    expect(fs.readFileSync('/g', 'latin1').slice(0, 3)).toBe('yxx');
  });
});

describe('FileHandle', () => {
  it('reads, writes, changes and closes', async () => {
    const handle = await fs.promises.open('/f', 'w+', 0o640);
    await handle.write('hello ');
    await handle.write(Buffer.from('world'), 0, 5, null);
    await handle.writev([Buffer.from('!'), Buffer.from('!')]);
    expect((await handle.read(Buffer.alloc(5), 0, 5, 6)).buffer.toString()).toBe('world');
    expect((await handle.read({ position: 0 })).bytesRead).toBe(13);
    await handle.truncate(11);
    await handle.utimes(10, 20);
    await handle.chmod(0o600);
    await handle.chown(3, 4);
    await handle.sync();
    await handle.datasync();
    expect(await handle.stat()).toMatchObject({ size: 11, mode: 0o100600, uid: 3, gid: 4, mtimeMs: 20_000 });
    expect(await handle.stat({ bigint: true })).toMatchObject({ size: 11n, atimeNs: 10_000_000_000n });
    await handle.appendFile('\nmore');
    await handle.close();
    await handle.close();
    expect(handle.fd).toBe(-1);
    expect(await fs.promises.readFile('/f', 'utf8')).toContain('hello world');

    const again = await fs.promises.open('/f');
    expect(await fs.promises.readFile(again, { encoding: 'utf8' })).toContain('more');
    await again.close();
    const lines: string[] = [];
    for await (const line of (await fs.promises.open('/f')).readLines()) lines.push(line.replace(/\0/g, ''));
    expect(lines[0]).toBe('hello world');
  });

  it('writes what an iterable gives, and stops when it is aborted', async () => {
    async function* pieces() {
      yield 'one ';
      yield Buffer.from('two');
    }
    await fs.promises.writeFile('/f', pieces());
    expect(fs.readFileSync('/f', 'utf8')).toBe('one two');
    const signal = AbortSignal.abort();
    expect(await codeOf(() => fs.promises.readFile('/f', { signal }))).toBe('ABORT_ERR');
    expect(await codeOf(() => fs.promises.writeFile('/f', 'x', { signal }))).toBe('ABORT_ERR');
    expect(fs.readFileSync('/f', 'utf8')).toBe('one two');
  });
});

describe('streams', () => {
  it('read a range, and write at a place or at the end', async () => {
    const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));
    const out = fs.createWriteStream('/f', { highWaterMark: 1000 });
    for (let at = 0; at < content.length; at += 7001) out.write(content.subarray(at, at + 7001));
    out.end();
    await new Promise<void>((resolve) => out.on('close', resolve));
    expect(Buffer.compare(fs.readFileSync('/f'), content)).toBe(0);

    const parts: Buffer[] = [];
    for await (const part of fs.createReadStream('/f', { start: 1000, end: 200_000, highWaterMark: 333 }))
      parts.push(part);
    expect(Buffer.compare(Buffer.concat(parts), content.subarray(1000, 200_001))).toBe(0);

    await pipeline(['[in place]'], fs.createWriteStream('/f', { flags: 'r+', start: 10 }));
    await pipeline(['[at end]'], fs.createWriteStream('/f', { flags: 'a' }));
    const text = fs.readFileSync('/f', 'latin1');
    expect([text.slice(10, 20), text.slice(-8)]).toEqual(['[in place]', '[at end]']);

    const handle = await fs.promises.open('/f');
    let length = 0;
    for await (const part of handle.createReadStream({ encoding: 'latin1' })) length += part.length;
    expect([length, handle.fd]).toEqual([300_008, -1]);
  });

  it('say what is wrong by an error event', async () => {
    const error = await new Promise<NodeJS.ErrnoException>((resolve) =>
      fs.createReadStream('/no').on('error', resolve),
    );
    expect(error).toMatchObject({ code: 'ENOENT', syscall: 'open', path: '/no' });
    fs.mkdirSync('/d');
    expect(await codeOf(() => pipeline(['x'], fs.createWriteStream('/d')))).toBe('EISDIR');
  });
});

describe('directories', () => {
  it('open, iterate and close', async () => {
    fs.mkdirSync('/d/e', { recursive: true });
    fs.writeFileSync('/d/f', '');
    fs.symlinkSync('f', '/d/l');
    const seen: string[] = [];
    for await (const entry of await fs.promises.opendir('/d')) {
      seen.push(`${entry.name} ${entry.isFile()} ${entry.isDirectory()} ${entry.isSymbolicLink()} ${entry.parentPath}`);
    }
    expect(seen).toEqual(['e false true false /d', 'f true false false /d', 'l false false true /d']);
    const dir = fs.opendirSync('/d');
    expect(dir.readSync()?.name).toBe('e');
    expect((await dir.read())?.name).toBe('f');
    dir.closeSync();
    expect(await codeOf(() => dir.readSync())).toBe('ERR_DIR_CLOSED');
    expect(fs.readdirSync('/', { recursive: true })).toEqual(['d', 'd/e', 'd/f', 'd/l']);
    expect(fs.mkdtempSync('/d/t-')).toMatch(/^\/d\/t-[A-Za-z0-9]{6}$/);
  });

  it('copy trees through a filter that answers later', async () => {
    fs.mkdirSync('/a/b', { recursive: true });
    for (const name of ['keep', 'skip', 'b/keep']) fs.writeFileSync(`/a/${name}`, name);
    await fs.promises.cp('/a', '/x/y', { recursive: true, filter: async (from) => !from.includes('skip') });
    expect(fs.readdirSync('/x', { recursive: true })).toEqual(['y', 'y/b', 'y/keep', 'y/b/keep']);
    expect(await codeOf(() => fs.cpSync('/a', '/a/b/c', { recursive: true }))).toBe('ERR_FS_CP_EINVAL');
    fs.symlinkSync('/a', '/alias');
    expect(await codeOf(() => fs.cpSync('/a', '/alias/b/c', { recursive: true }))).toBe('ERR_FS_CP_EINVAL');
    expect(await codeOf(() => fs.cpSync('/a', '/z', { filter: (async () => true) as never, recursive: true }))).toBe(
      'ERR_INVALID_ARG_TYPE',
    );
  });
});

it('a long chain of awaits lets timers run', async () => {
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const end = performance.now() + 120;
  while (performance.now() < end) await fs.promises.writeFile('/f', 'x');
  clearInterval(timer);
  expect(ticks).toBeGreaterThan(1);
});

describe('opening', () => {
  it('locks an image file while it can be written, and lets it go', () => {
    withTempDir((directory) => {
      const path = join(directory, 'image');
      nodeFs.writeFileSync(path, bytesOf(device));
      const first = openImage(path);
      expect(first.writable).toBe(true);
      first.writeFileSync('/f', 'x');
      first.flush();
      const reader = openImage(pathToFileURL(path), { readOnly: true });
      expect(reader.readFileSync('/f', 'utf8')).toBe('x');
      expect(reader.writable).toBe(false);
      reader.unmount();
      first.unmount();
      first.unmount();
      const second = openImage(path, { umask: 0o077, uid: 5, gid: 6 });
      second.writeFileSync('/g', '');
      expect(second.statSync('/g')).toMatchObject({ mode: 0o100600, uid: 5, gid: 6 });
      second.unmount();
    });
  });

  it('refuses by name what is no image', () => {
    withTempDir((directory) => {
      const path = join(directory, 'image');
      expect(() => openImage(path)).toThrow(CadastreError);
      nodeFs.writeFileSync(path, Buffer.alloc(1 << 20, 'x'));
      expect(() => openImage(path)).toThrow(CadastreError);
      nodeFs.writeFileSync(path, '');
      expect(() => openImage(path)).toThrow(CadastreError);
      expect(() => openImage(directory)).toThrow(CadastreError);
    });
  });

  it('turns damage into EIO, with what is wrong as its cause', () => {
    fs.writeFileSync('/f', Buffer.alloc(5000, 1));
    fs.unmount();
    // The root inode's cluster.
    const { geometry } = { geometry: Superblock.at(new DataView(bytesOf(device).buffer)) };
    const at = Math.floor(geometry.rootino / geometry.inopblock) * geometry.blocksize;
    const damaged = emptyImage({ dialect: 'cadastre' });
    damaged.write(0, bytesOf(device));
    damaged.write(at + 100, new Uint8Array(4));
    const broken = openImage(damaged, { readOnly: true });
    try {
      broken.readFileSync('/f');
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'EIO', errno: -5, syscall: 'open', path: '/f' });
      expect((error as Error).cause).toBeInstanceOf(CadastreError);
    }
    broken.unmount();
  });
});
