/** Copy jobs: status, several at once, errors and cancelling that leave nothing behind; inside an image and to the host. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { withTempDir } from '../../test/support/oracle.ts';
import { check } from '../check/check.ts';
import type { OverlayDevice } from '../device/overlay.ts';
import type { CadastreError } from '../errors.ts';
import { HostTree } from '../host/tree.ts';
import { HostWriter } from '../host/writer.ts';
import { truncate, writeAt } from '../volume/content.ts';
import { Editor } from '../volume/editor.ts';
import { forEachMapped } from '../volume/extents.ts';
import { setXattr } from '../volume/metadata.ts';
import { create, link, unlink } from '../volume/names.ts';
import { copyFile, copyIn, copyOut } from './copy-file.ts';
import { CopyTree } from './copy-tree.ts';
import { JobRunner } from './job.ts';

const MIB = 1 << 20;
const name = (text: string) => new TextEncoder().encode(text);

class Image {
  readonly device: OverlayDevice;
  readonly editor: Editor;
  readonly root: number;

  constructor(options: Partial<Parameters<typeof emptyImage>[0]> = {}) {
    this.device = emptyImage({ dialect: 'cadastre', ...options });
    this.editor = Editor.open(this.device);
    this.root = this.editor.volume.geometry.rootInode;
  }

  /** A file of `size` bytes that tell where they stand; `seed` makes files different. */
  file(text: string, size: number, seed = 1, directory = this.root): number {
    const number = create(this.editor, directory, name(text), { mode: MODE.FILE | 0o640, uid: 7, gid: 8 });
    if (size > 0) writeAt(this.editor, number, 0, pattern(size, seed));
    return number;
  }

  directory(text: string, parent = this.root): number {
    return create(this.editor, parent, name(text), { mode: MODE.DIR | 0o750 });
  }

  find(text: string): number | undefined {
    let at: number | undefined = this.root;
    for (const part of text.split('/')) at = at && this.editor.volume.child(this.editor.volume.inode(at), name(part));
    return at;
  }

  content(text: string): Uint8Array | undefined {
    const number = this.find(text);
    if (number === undefined) return undefined;
    const inode = this.editor.volume.inode(number);
    const bytes = new Uint8Array(inode.size);
    this.editor.volume.fileReader(inode).read(0, bytes);
    return bytes;
  }

  get free(): number {
    return this.editor.space.countFree(this.editor.volume.cache);
  }

  isShared(number: number): boolean {
    let any = false;
    forEachMapped(this.editor.volume, this.editor.volume.inode(number), 'data', ({ shared }) => {
      any ||= shared;
    });
    return any;
  }

  /** Close, and have it judged. */
  finish(): void {
    this.editor.close();
    expect(check(this.device, { data: true }).problems).toEqual([]);
  }
}

function pattern(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >>> 12) * seed + seed) & 0xff;
  return bytes;
}

const isSame = (a: Uint8Array | undefined, b: Uint8Array) => a !== undefined && Buffer.compare(a, b) === 0;

describe('copies inside an image', () => {
  it('are done at once where blocks can be shared', () => {
    const image = new Image();
    const source = image.file('a', 3 * MIB);
    const job = copyFile(new JobRunner(), image.editor, source, image.root, name('b'));
    expect(job.status()).toMatchObject({ state: 'done', bytesDone: 3 * MIB, bytesTotal: 3 * MIB });
    expect(image.isShared(source)).toBe(true);
    expect(isSame(image.content('b'), pattern(3 * MIB, 1))).toBe(true);
    image.finish();
  });

  it.each(['xfs', 'cadastre'] as const)('go on side by side when they have to be made, %s', (dialect) => {
    const image = new Image({ dialect });
    const runner = new JobRunner(2);
    const jobs = [1, 2, 3].map((seed) => {
      const source = image.file(`a${seed}`, 2 * MIB + 100, seed);
      setXattr(image.editor, source, name('user.seed'), name(String(seed)));
      truncate(image.editor, source, 5 * MIB + 1);
      writeAt(image.editor, source, 4 * MIB, pattern(10, seed));
      return copyFile(runner, image.editor, source, image.root, name(`b${seed}`), { reflink: 'never' });
    });
    for (let i = 0; i < 4; i++) runner.step();
    expect(jobs.map((job) => job.status().bytesDone > 0)).toEqual([true, true, false]);
    expect(image.find('b1')).toBeUndefined();
    expect(runner.pending).toBe(3);
    jobs[1]!.wait();
    expect(jobs[1]!.status()).toMatchObject({ state: 'done', bytesDone: 5 * MIB + 1 });
    runner.run();
    expect(jobs.map((job) => job.status().state)).toEqual(['done', 'done', 'done']);
    for (const seed of [1, 2, 3]) {
      expect(isSame(image.content(`b${seed}`), image.content(`a${seed}`)!)).toBe(true);
      const [from, to] = ['a', 'b'].map((letter) => image.editor.volume.inode(image.find(letter + seed)!));
      expect([to!.mode, to!.core.uid, to!.core.gid]).toEqual([from!.mode, 7, 8]);
      expect(to!.time('mtime')).toEqual(from!.time('mtime'));
      expect(to!.core.nblocks).toBeLessThan(600); // the hole stayed one
      expect(to!.core.forkoff).toBeGreaterThan(0);
      expect(image.isShared(to!.number)).toBe(false);
    }
    image.finish();
  });

  it('leave nothing when they are cancelled, whatever they were replacing', () => {
    const image = new Image();
    const source = image.file('a', 6 * MIB);
    image.file('b', 100, 9);
    const before = image.free;
    const runner = new JobRunner();
    const started = copyFile(runner, image.editor, source, image.root, name('b'), { reflink: 'never' });
    const waiting = copyFile(runner, image.editor, source, image.root, name('c'), { reflink: 'never' });
    for (let i = 0; i < 3; i++) runner.step();
    started.cancel();
    waiting.cancel();
    expect(started.status().state).toBe('cancelled');
    expect(() => started.wait()).toThrow(expect.objectContaining({ code: 'ECANCELED' }));
    runner.run();
    expect(image.find('c')).toBeUndefined();
    expect(isSame(image.content('b'), pattern(100, 9))).toBe(true);
    image.editor.sync();
    expect(Math.abs(image.free - before)).toBeLessThan(8);
    image.finish();
  });

  it('leave nothing when the image is full', () => {
    const image = new Image();
    const source = image.file('a', 18 * MIB);
    const job = copyFile(new JobRunner(), image.editor, source, image.root, name('b'), { reflink: 'never' });
    expect(() => job.wait()).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    expect(job.status().state).toBe('failed');
    expect(image.find('b')).toBeUndefined();
    image.file('c', 2 * MIB);
    image.finish();
  });

  it('end with a source that loses its name', () => {
    const image = new Image();
    const source = image.file('a', 4 * MIB);
    const runner = new JobRunner();
    const job = copyFile(runner, image.editor, source, image.root, name('b'), { reflink: 'never' });
    runner.step();
    unlink(image.editor, image.root, name('a'));
    job.wait();
    expect(isSame(image.content('b'), pattern(4 * MIB, 1))).toBe(true);
    expect(image.find('a')).toBeUndefined();
    image.finish();
  });

  it('say what is wrong with their target', () => {
    const image = new Image({ dialect: 'xfs', features: { reflink: false } });
    const source = image.file('a', 100);
    image.file('b', 5);
    image.directory('d');
    const code = (target: string, flags: Parameters<typeof copyFile>[5]) => {
      const job = copyFile(new JobRunner(), image.editor, source, image.root, name(target), flags);
      return (job.status().error as CadastreError | undefined)?.code;
    };
    expect(code('c', { reflink: 'always' })).toBe('NO_REFLINK');
    expect(code('b', { exclusive: true })).toBe('EEXIST');
    expect(code('a', {})).toBe('EINVAL');
    expect(code('d', {})).toBe('EISDIR');
    image.finish();
  });
});

describe('copies between host and image', () => {
  it('are jobs like the others', () => {
    withTempDir((directory) => {
      const image = new Image();
      const bytes = pattern(3 * MIB + 5, 4);
      mkdirSync(join(directory, 'in'));
      writeFileSync(join(directory, 'in', 'x'), bytes, { mode: 0o604 });
      const tree = new HostTree(join(directory, 'in'));
      const writer = new HostWriter(join(directory, 'out'));
      const runner = new JobRunner();
      const job = copyIn(runner, image.editor, tree, tree.entryAt(name('x')), image.root, name('y'));
      runner.step();
      expect(job.status()).toMatchObject({ state: 'running', bytesDone: MIB });
      runner.run();
      expect(isSame(image.content('y'), bytes)).toBe(true);
      expect(image.editor.volume.inode(image.find('y')!).mode & 0o777).toBe(0o604);

      const out = (to: string) => () => writer.createFile(writer.root, name(to));
      const back = copyOut(runner, image.editor.volume, image.editor, image.find('y')!, out('z'));
      const cut = copyOut(runner, image.editor.volume, image.editor, image.find('y')!, out('cut'));
      const cutIn = copyIn(runner, image.editor, tree, tree.entryAt(name('x')), image.root, name('cut'));
      for (let i = 0; i < 6; i++) runner.step();
      expect(existsSync(join(directory, 'out', 'cut'))).toBe(true);
      cut.cancel();
      cutIn.cancel();
      back.wait();
      expect(existsSync(join(directory, 'out', 'cut'))).toBe(false);
      expect(image.find('cut')).toBeUndefined();
      expect(isSame(readFileSync(join(directory, 'out', 'z')), bytes)).toBe(true);
      expect(statSync(join(directory, 'out', 'z')).mode & 0o777).toBe(0o604);

      const missing = copyIn(runner, image.editor, tree, tree.entryAt(name('x')), image.find('y')!, name('no'));
      expect((missing.status().error as CadastreError).code).toBe('ENOTDIR');
      writer.close();
      tree.close();
      image.finish();
    });
  });
});

describe('a copied tree', () => {
  function makeTree(image: Image): void {
    const top = image.directory('t');
    const below = image.directory('sub', top);
    const linked = image.file('one', 2 * MIB, 1, top);
    link(image.editor, linked, below, name('two'));
    image.file('bad', 3 * MIB, 2, top);
    image.file('good', 300_000, 3, below);
    create(image.editor, below, name('s'), { mode: MODE.SYMLINK | 0o777, target: name('../one') });
  }

  it.each(['auto', 'never'] as const)('has everything, hard links as hard links: reflink %s', (reflink) => {
    const image = new Image();
    makeTree(image);
    const tree = new CopyTree(image.editor, image.find('t')!, name('/t'), image.root, name('u'), {
      reflink,
      failed: (error) => expect.fail(error.message),
    });
    while (tree.step()) expect(tree.bytesDone).toBeLessThan(8 * MIB);
    expect(tree.result).toEqual({ files: 3, directories: 2, others: 1, hardLinks: 1, bytes: 5 * MIB + 300_000 });
    expect(image.find('u/one')).toBe(image.find('u/sub/two'));
    expect(image.find('u/one')).not.toBe(image.find('t/one'));
    expect(isSame(image.content('u/sub/good'), pattern(300_000, 3))).toBe(true);
    const [from, to] = ['t/sub', 'u/sub'].map((path) => image.editor.volume.inode(image.find(path)!));
    expect(to!.time('mtime')).toEqual(from!.time('mtime'));
    expect(image.isShared(image.find('u/one')!)).toBe(reflink === 'auto');
    image.finish();
  });

  it('names the file that cannot be read; the others are there', () => {
    const image = new Image();
    makeTree(image);
    image.editor.sync();
    const { geometry } = image.editor.volume;
    forEachMapped(image.editor.volume, image.editor.volume.inode(image.find('t/bad')!), 'data', (extent) => {
      if (extent.fileBlock === 0) {
        const at = geometry.fsBlockToByte(geometry.fsBlock(extent.ag, extent.agBlock));
        image.device.write(at + 2 * MIB, Uint8Array.of(1, 2, 3, 4));
      }
    });
    const told: (string | undefined)[][] = [];
    const tree = new CopyTree(image.editor, image.find('t')!, name('/t'), image.root, name('u'), {
      reflink: 'never',
      failed: (error) => told.push([error.code, error.where.path]),
    });
    while (tree.step()) expect(image.find('u/bad')).toBeUndefined();
    expect(told).toEqual([['DATA_CHECKSUM', '/t/bad']]);
    expect(tree.result.files).toBe(2);
    expect(isSame(image.content('u/sub/good'), pattern(300_000, 3))).toBe(true);
    image.editor.close();
    expect(check(image.device).problems).toEqual([]);
  });

  it('cancelled, has whole files only', () => {
    const image = new Image();
    makeTree(image);
    const tree = new CopyTree(image.editor, image.find('t')!, name('/t'), image.root, name('u'), {
      reflink: 'never',
      jobs: 2,
      failed: (error) => expect.fail(error.message),
    });
    for (let i = 0; i < 6; i++) tree.step();
    tree.cancel();
    expect(tree.step()).toBe(true); // the times of directories are left
    while (tree.step()) expect(tree.result.files).toBeLessThan(3);
    for (const path of ['u/one', 'u/bad', 'u/sub/good']) {
      const bytes = image.content(path);
      if (bytes) expect(isSame(bytes, image.content(path.replace('u/', 't/'))!)).toBe(true);
    }
    expect(image.content('u/bad')).toBeUndefined();
    image.finish();
  });

  it('does not go into itself', () => {
    const image = new Image();
    makeTree(image);
    const failed = () => expect.fail('told instead of thrown');
    expect(
      () => new CopyTree(image.editor, image.find('t')!, name('/t'), image.find('t/sub')!, name('u'), { failed }),
    ).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    image.finish();
  });
});
