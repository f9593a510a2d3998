/**
 * Counts at the format's limit (2^32 - 1): a block that has reached it is pinned, whoever comes or goes. No image holds so
 * many mappings, so the count is written by hand. The kernel, given the same image and the same work, leaves the same.
 */
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { loopMount, mkfsXfs, mustRun, requireOracle, withTempDir } from '../../test/support/oracle.ts';
import { check } from '../check/check.ts';
import type { Device } from '../device/device.ts';
import { FileDevice } from '../device/file.ts';
import { repair } from '../repair/repair.ts';
import { forEachShared, setRefcount, takeRefcounts } from '../space/refcounts.ts';
import { writeAt } from '../volume/content.ts';
import { Editor } from '../volume/editor.ts';
import { forEachMapped } from '../volume/extents.ts';
import { create, unlink } from '../volume/names.ts';
import { Volume } from '../volume/volume.ts';
import { cloneFile } from './clone-file.ts';

const SIZE = 1 << 20;
const LIMIT = 2 ** 32 - 1;
const name = (text: string) => new TextEncoder().encode(text);
const root = (editor: Editor) => editor.volume.geometry.rootInode;
const find = (volume: Volume, text: string) =>
  volume.inode(volume.child(volume.inode(volume.geometry.rootInode), name(text))!);

/** `/a` and its clone `/b`, one extent that this many are said to share. */
function makeSharers(editor: Editor, count: number): void {
  const source = create(editor, root(editor), name('a'), { mode: MODE.FILE | 0o644 });
  writeAt(editor, source, 0, new Uint8Array(SIZE).fill(0x61));
  cloneFile(editor, source, root(editor), name('b'));
  forEachMapped(editor.volume, find(editor.volume, 'a'), 'data', ({ ag, agBlock, blockCount }) => {
    editor.transact((tx) => {
      const group = editor.space.ag(tx, ag);
      takeRefcounts(tx, group, agBlock, blockCount, () => {});
      setRefcount(tx, group, agBlock, blockCount, count);
    });
  });
}

/** Every refcount record: blocks and count. */
function recorded(volume: Volume): string[] {
  const found: string[] = [];
  const { geometry, space, cache } = volume;
  for (let ag = 0; ag < geometry.agCount; ag++) {
    forEachShared(space.ag(cache, ag), 0, geometry.agLength(ag), (_start, blocks, count) => {
      found.push(`${blocks} x ${count}`);
      return false;
    });
  }
  return found;
}

const WORLDS = {
  'cadastre 4k': { dialect: 'cadastre' },
  'xfs 4k': { dialect: 'xfs' },
  'xfs 1k, rmapbt': { dialect: 'xfs', blockSize: 1024, features: { rmapbt: true } },
} as const;

describe.each(Object.entries(WORLDS))('a count at the limit, %s', (_name, options) => {
  it('stays there; a write goes elsewhere; repair finds the true count', () => {
    const device: Device = emptyImage({ ...options, size: 32 << 20 });
    let editor = Editor.open(device);
    const blocks = SIZE / editor.volume.geometry.blockSize;
    const clean = editor.space.countFree(editor.volume.cache);
    makeSharers(editor, LIMIT - 1);
    cloneFile(editor, find(editor.volume, 'a').number, root(editor), name('c'));
    expect(recorded(editor.volume)).toEqual([`${blocks} x ${LIMIT}`]);
    const last = cloneFile(editor, find(editor.volume, 'a').number, root(editor), name('d'));
    expect(recorded(editor.volume)).toEqual([`${blocks} x ${LIMIT}`]);

    writeAt(editor, last, 0, new Uint8Array(SIZE).fill(0x62));
    for (const each of ['a', 'b']) unlink(editor, root(editor), name(each));
    expect(recorded(editor.volume)).toEqual([`${blocks} x ${LIMIT}`]);
    editor.close();

    // One has the blocks: nothing is lost, and the count is told.
    const problems = check(device, { data: true }).problems;
    expect(problems.map(({ code, expected, found }) => [code, expected, found])).toEqual([
      ['REFCOUNT_WRONG', 1, LIMIT],
    ]);
    expect(repair(device)).toMatchObject({ clean: true, losses: [] });
    expect(recorded(Volume.open(device))).toEqual([]);
    editor = Editor.open(device);
    for (const [each, byte] of [
      ['c', 0x61],
      ['d', 0x62],
    ] as const) {
      const bytes = new Uint8Array(SIZE);
      editor.volume.fileReader(find(editor.volume, each)).read(0, bytes);
      expect(bytes.every((value) => value === byte)).toBe(true);
      unlink(editor, root(editor), name(each));
    }
    editor.close();
    expect(check(device, { data: true }).problems).toEqual([]);
    const volume = Volume.open(device);
    expect(clean - volume.space.countFree(volume.cache)).toBeLessThan(8);
  });
});

describe.runIf(requireOracle('xfsprogs', 'loop'))('the kernel at the limit', () => {
  it.each([
    ['the default of mkfs.xfs', ['-m', 'reflink=1']],
    ['with rmapbt', ['-m', 'reflink=1,rmapbt=1']],
  ])('leaves the same counts: %s', (_name, options) => {
    withTempDir((directory) => {
      const [ours, theirs] = [join(directory, 'ours'), join(directory, 'theirs')];
      mkfsXfs(ours, 64 << 20, options);
      let editor = Editor.open(new FileDevice(ours, 'rw'));
      makeSharers(editor, LIMIT - 1);
      editor.close();
      copyFileSync(ours, theirs);

      editor = Editor.open(new FileDevice(ours, 'rw'));
      for (const each of ['c', 'd']) cloneFile(editor, find(editor.volume, 'a').number, root(editor), name(each));
      writeAt(editor, find(editor.volume, 'd').number, 0, new Uint8Array(4096).fill(0x62));
      for (const each of ['a', 'c']) unlink(editor, root(editor), name(each));
      editor.close();
      loopMount(theirs, { write: true }, (mount) => {
        for (const each of ['c', 'd']) mustRun('cp', ['--reflink=always', join(mount, 'a'), join(mount, each)]);
        mustRun('xfs_io', ['-c', 'pwrite -q -S 0x62 0 4096', '-c', 'fsync', join(mount, 'd')]);
        for (const each of ['a', 'c']) mustRun('rm', [join(mount, each)]);
        expect(readFileSync(join(mount, 'b')).every((byte) => byte === 0x61)).toBe(true);
      });
      const [found, expected] = [ours, theirs].map((path) => {
        const volume = Volume.open(new FileDevice(path, 'r'));
        const counts = recorded(volume);
        volume.close();
        return counts;
      });
      expect(expected).toEqual([`256 x ${LIMIT}`]);
      expect(found).toEqual(expected);
    });
  });
});
