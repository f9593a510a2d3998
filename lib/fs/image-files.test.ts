/** The calls on bytes and numbers: what Node's own fs cannot be compared with. */
import { describe, expect, it } from 'vitest';
import { bytesOf, emptyImage } from '../../test/support/empty-image.ts';
import { check } from '../check/check.ts';
import { MemoryDevice } from '../device/memory.ts';
import { OverlayDevice } from '../device/overlay.ts';
import { replace } from '../directory/directory.ts';
import { CadastreError } from '../errors.ts';
import { editFork } from '../file/inode-fork-blocks.ts';
import { Editor } from '../volume/editor.ts';
import { OPEN } from './flags.ts';
import { ImageFiles } from './image-files.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

function code(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof CadastreError) return error.code;
    throw error;
  }
  return 'no error';
}

function put(files: ImageFiles, path: string, content: string | Uint8Array): void {
  const fd = files.open(bytes(path), OPEN.WRONLY | OPEN.CREAT | OPEN.TRUNC);
  files.write(fd, typeof content === 'string' ? bytes(content) : content);
  files.close(fd);
}

function get(files: ImageFiles, path: string): string {
  const fd = files.open(bytes(path), OPEN.RDONLY);
  const into = new Uint8Array(files.fstat(fd).size);
  files.read(fd, into);
  files.close(fd);
  return text(into);
}

const problems = (device: OverlayDevice): readonly unknown[] => check(device, { data: true }).problems;

describe.each(['cadastre', 'xfs'] as const)('%s image files', (dialect) => {
  it('leave the position where it is when nothing is written, in append mode too', () => {
    const files = new ImageFiles(emptyImage({ dialect }));
    const fd = files.open(bytes('/f'), OPEN.RDWR | OPEN.CREAT | OPEN.APPEND);
    files.ftruncate(fd, 1);
    expect(files.write(fd, new Uint8Array(0))).toBe(0);
    expect(files.read(fd, new Uint8Array(4))).toBe(1);
    files.unmount();
  });

  it('keep an unlinked file until its last descriptor is closed', () => {
    const device = emptyImage({ dialect });
    const files = new ImageFiles(device);
    const free = files.statfs().freeBlocks;
    put(files, '/f', new Uint8Array(1 << 20).fill(7));
    const [one, two] = [files.open(bytes('/f'), OPEN.RDWR), files.open(bytes('/f'), OPEN.RDONLY)];
    put(files, '/g', 'g');
    files.rename(bytes('/g'), bytes('/f'));
    expect(files.fstat(one)).toMatchObject({ nlink: 0, size: 1 << 20 });
    files.write(one, bytes('tail'), 1 << 20);
    files.close(one);
    const into = new Uint8Array(8);
    expect(files.read(two, into, (1 << 20) - 2)).toBe(6);
    expect(text(into.subarray(2, 6))).toBe('tail');
    files.close(two);
    expect(code(() => files.fstat(two))).toBe('EBADF');
    files.unlink(bytes('/f'));
    expect(files.statfs().freeBlocks).toBe(free);
    files.unmount();
    expect(problems(device)).toEqual([]);
  });

  it('free unlinked open files when the image is closed, and in recovery when it is not', () => {
    const device = emptyImage({ dialect });
    const files = new ImageFiles(device);
    put(files, '/f', 'gone');
    put(files, '/stays', 'here');
    files.open(bytes('/f'), OPEN.RDONLY);
    files.unlink(bytes('/f'));
    files.sync();
    const crashed = new OverlayDevice(new MemoryDevice(bytesOf(device)));
    files.unmount();
    expect(problems(device)).toEqual([]);

    const reader = new ImageFiles(new OverlayDevice(crashed), { readOnly: true });
    expect(reader.readdir(bytes('/')).map(({ name }) => text(name))).toEqual(['stays']);
    expect(code(() => reader.mkdir(bytes('/d')))).toBe('EROFS');
    reader.unmount();
    const again = new ImageFiles(crashed);
    expect(get(again, '/stays')).toBe('here');
    again.unmount();
    expect(problems(crashed)).toEqual([]);
  });

  it('leave the bytes of an image alone that is opened for reading', () => {
    const device = emptyImage({ dialect });
    const files = new ImageFiles(device);
    put(files, '/f', 'content');
    files.sync(); // a dirty log
    const bytesBefore = bytesOf(device);
    const memory = new MemoryDevice(bytesBefore);
    const reader = new ImageFiles(memory, { readOnly: true });
    expect(get(reader, '/f')).toBe('content');
    for (const call of [
      () => reader.open(bytes('/f'), OPEN.WRONLY),
      () => reader.unlink(bytes('/f')),
      () => reader.rename(bytes('/f'), bytes('/g')),
      () => reader.symlink(bytes('f'), bytes('/l')),
      () => reader.chmod(bytes('/f'), 0),
      () => reader.truncate(bytes('/f'), 0),
      () => reader.removeTree(bytes('/f')),
    ]) {
      expect(code(call)).toBe('EROFS');
    }
    reader.unmount();
    expect(Buffer.compare(memory.toBytes(), bytesBefore)).toBe(0);
    files.unmount();
  });

  it('read over a log that cannot be replayed, and say so', () => {
    const device = emptyImage({ dialect });
    const files = new ImageFiles(device);
    put(files, '/f', 'content');
    files.unmount();
    const healthy = new ImageFiles(device, { readOnly: true });
    expect(healthy.warning).toBeUndefined();
    const { geometry } = healthy.volume;
    // The first block of the log is of a cycle that none could be of.
    device.write(geometry.fsBlockToByte(geometry.logStart), Uint8Array.of(0, 0, 0x77, 0));
    const before = bytesOf(device);
    expect(code(() => new ImageFiles(device))).not.toBe('no error');
    const reader = new ImageFiles(device, { readOnly: true });
    expect(reader.warning).toMatch(/^the log cannot be replayed \(.+\): what is read may be stale or damaged$/);
    expect(get(reader, '/f')).toBe('content');
    expect(code(() => put(reader, '/g', 'x'))).toBe('EROFS');
    expect(Buffer.compare(bytesOf(device), before)).toBe(0);
    // More than the log is wrong: that is no warning.
    device.write(0, Uint8Array.of(1, 2, 3, 4));
    expect(code(() => new ImageFiles(device, { readOnly: true }))).not.toBe('no error');
  });

  it('say ENOSPC when the image is full, and stay whole', () => {
    const device = emptyImage({ dialect, size: 16 << 20 });
    const files = new ImageFiles(device);
    put(files, '/source', new Uint8Array(2 << 20).fill(1));
    const fd = files.open(bytes('/fill'), OPEN.RDWR | OPEN.CREAT);
    const piece = new Uint8Array(1 << 20).fill(2);
    expect(
      code(() => {
        for (;;) files.write(fd, piece);
      }),
    ).toBe('ENOSPC');
    expect(files.fstat(fd).size % piece.length).toBe(0);
    expect(code(() => files.copyFile(bytes('/source'), bytes('/copy')))).toBe('ENOSPC');
    expect(code(() => files.stat(bytes('/copy')))).toBe('ENOENT');
    files.close(fd);
    files.unlink(bytes('/fill'));
    files.copyFile(bytes('/source'), bytes('/copy'));
    files.unmount();
    expect(problems(device)).toEqual([]);
  });

  it('copy nowhere for the reason that opening gives', () => {
    const files = new ImageFiles(emptyImage({ dialect }));
    files.close(files.open(bytes('/source'), OPEN.RDWR | OPEN.CREAT));
    files.symlink(bytes('none/there'), bytes('/away'));
    expect(code(() => files.copyFile(bytes('/source'), bytes('/away/')))).toBe('EISDIR');
    expect(code(() => files.copyFile(bytes('/source'), bytes('/away')))).toBe('ENOENT');
    files.unmount();
  });

  it('copy holes as holes', () => {
    const device = emptyImage({ dialect });
    const files = new ImageFiles(device);
    const fd = files.open(bytes('/sparse'), OPEN.RDWR | OPEN.CREAT);
    files.write(fd, bytes('start'), 0);
    files.write(fd, bytes('middle'), 5 * 2 ** 30);
    files.ftruncate(fd, 2 ** 40);
    files.close(fd);
    files.copyFile(bytes('/sparse'), bytes('/copy'));
    const copy = files.stat(bytes('/copy'));
    expect(copy).toMatchObject({ size: 2 ** 40, blocks: files.stat(bytes('/sparse')).blocks });
    const into = new Uint8Array(8);
    const reader = files.open(bytes('/copy'), OPEN.RDONLY);
    files.read(reader, into, 5 * 2 ** 30);
    expect(text(into)).toBe('middle\0\0');
    files.unmount();
    expect(problems(device)).toEqual([]);
  });

  it('take names that are not UTF-8, and remove trees deeper than a path can say', () => {
    const device = emptyImage({ dialect });
    const files = new ImageFiles(device);
    const odd = Uint8Array.of(0x2f, 0xff, 0xfe, 0x80);
    files.mkdir(odd);
    expect([...files.readdir(bytes('/'))[0]!.name]).toEqual([0xff, 0xfe, 0x80]);
    // Directories moved into each other: no path is long, the tree is deep.
    const long = `/${'n'.repeat(250)}`;
    for (let i = 0; i < 30; i++) {
      files.mkdir(bytes('/outer'));
      if (i > 0) files.rename(bytes('/inner'), bytes(`/outer${long}`));
      files.rename(bytes('/outer'), bytes('/inner'));
    }
    expect(code(() => files.stat(bytes(`/inner${long.repeat(29)}`)))).toBe('ENAMETOOLONG');
    files.removeTree(bytes('/inner'));
    files.removeTree(odd);
    expect(files.readdir(bytes('/'))).toEqual([]);
    files.unmount();
    expect(problems(device)).toEqual([]);
  });

  it('end in a tree that contains itself', () => {
    const device = emptyImage({ dialect });
    const files = new ImageFiles(device);
    files.mkdir(bytes('/a'));
    files.mkdir(bytes('/a/b'));
    files.mkdir(bytes('/a/b/c'));
    const a = files.stat(bytes('/a')).inode;
    const b = files.stat(bytes('/a/b')).inode;
    files.unmount();
    const editor = Editor.open(device);
    editor.transact((tx) => {
      // /a/b/c now leads to /a.
      const inode = editor.inode(tx, b);
      replace(editFork(tx, editor.space, inode, 'data'), bytes('c'), a, 2);
    });
    editor.close();
    const damaged = new ImageFiles(device);
    expect(code(() => damaged.removeTree(bytes('/a')))).toBe('DIRECTORY_LOOP');
    expect(code(() => damaged.realpath(bytes('/a/b/c/b')))).toBe('no error');
    damaged.unmount();
  });

  it('write at the end in append mode, wherever the descriptor stands', () => {
    const files = new ImageFiles(emptyImage({ dialect }));
    put(files, '/f', 'one ');
    const fd = files.open(bytes('/f'), OPEN.RDWR | OPEN.APPEND);
    files.write(fd, bytes('two '), 0);
    files.write(fd, bytes('three'));
    expect(get(files, '/f')).toBe('one two three');
    expect(code(() => files.ftruncate(fd, -1))).toBe('EINVAL');
    files.unmount();
    expect(code(() => files.stat(bytes('/f')))).toBe('EBADF');
    files.unmount();
  });
});
