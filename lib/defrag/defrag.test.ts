import { describe, expect, it } from 'vitest';
import { INODE_FLAG, MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { check } from '../check/check.ts';
import type { Device } from '../device/device.ts';
import { OverlayDevice } from '../device/overlay.ts';
import { Fork } from '../file/fork.ts';
import { writeAt } from '../volume/content.ts';
import { Editor } from '../volume/editor.ts';
import { create, unlink } from '../volume/names.ts';
import { Defrag, defrag } from './defrag.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Two files written in turns, `pieces` blocks each. */
function fragmented(dialect: 'cadastre' | 'xfs', pieces: number) {
  const image = emptyImage({ dialect });
  const editor = Editor.open(image);
  const { rootInode, blockSize } = editor.volume.geometry;
  const names = ['one', 'two'];
  const numbers = names.map((name) => create(editor, rootInode, encode(name), { mode: MODE.FILE | 0o644 }));
  for (let i = 0; i < pieces; i++) {
    for (const number of numbers) writeAt(editor, number, i * blockSize, new Uint8Array(blockSize).fill(i + 1));
    editor.sync();
  }
  const extents = (number: number): number => new Fork(editor.volume.inode(number), 'data').extentCount;
  return { image, editor, numbers: numbers as [number, number], extents, blockSize };
}

describe('defrag', () => {
  it('leaves files in one extent', () => {
    const { image, editor, numbers, extents } = fragmented('xfs', 30);
    expect(extents(numbers[0])).toBeGreaterThan(10);
    const report = defrag(editor, { paths: [encode('/one')] });
    expect(numbers.map(extents)[0]).toBe(1);
    expect(extents(numbers[1])).toBeGreaterThan(10);
    expect(report.files.map(({ path, extentsAfter }) => [Buffer.from(path!).toString(), extentsAfter])).toEqual([
      ['/one', 1],
    ]);
    editor.close();
    expect(check(image).problems).toEqual([]);
  });

  it('leaves a file alone whose data is damaged, and names it', () => {
    const { editor, numbers, extents } = fragmented('cadastre', 12);
    const before = extents(numbers[0]);
    const cursor = new Fork(editor.volume.inode(numbers[0]), 'data').cursor();
    cursor.seekLast();
    editor.volume.device.write(editor.volume.geometry.fsBlockToByte(cursor.startBlock) + 5, Uint8Array.of(0xee));
    const report = defrag(editor);
    const damaged = report.files.find(({ inode }) => inode === numbers[0])!;
    expect([damaged.skipped, damaged.error?.code, damaged.extentsAfter]).toEqual(['damaged', 'DATA_CHECKSUM', before]);
    expect(extents(numbers[1])).toBe(1);
  });

  it.each([
    ['NODEFRAG', 'no-defrag'],
    ['IMMUTABLE', 'immutable'],
    ['APPEND', 'append-only'],
  ] as const)('honours %s', (flag, reason) => {
    const { editor, numbers, extents } = fragmented('xfs', 8);
    const before = extents(numbers[1]);
    editor.transact((tx) => {
      const inode = editor.inode(tx, numbers[1]);
      inode.change(tx);
      inode.core.flags |= INODE_FLAG[flag];
    });
    const report = defrag(editor);
    expect(report.files.find(({ inode }) => inode === numbers[1])?.skipped).toBe(reason);
    expect(numbers.map(extents)).toEqual([1, before]);
  });

  it('backs out when a file is written while its blocks are copied', () => {
    const { image, editor, numbers, extents, blockSize } = fragmented('xfs', 20);
    const before = extents(numbers[0]);
    const work = new Defrag(editor, { paths: [encode('/one')] });
    let steps = 0;
    for (const _ of work.steps()) {
      if (steps++ === 0) writeAt(editor, numbers[0], 3 * blockSize, encode('new'));
    }
    expect(work.report.files[0]).toMatchObject({ skipped: 'changed', extentsAfter: before, bytesMoved: 0 });
    const bytes = new Uint8Array(3);
    editor.volume.fileReader(editor.volume.inode(numbers[0])).read(3 * blockSize, bytes);
    expect(bytes).toEqual(encode('new'));
    editor.close();
    expect(check(image).problems).toEqual([]);
  });

  it('can be stopped anywhere and goes on in another run', () => {
    const { image, editor, numbers, extents } = fragmented('cadastre', 40);
    const limit = { mappings: 4, blocks: 16 };
    let steps = 0;
    for (const _ of new Defrag(editor, { stepLimit: limit }).steps()) if (++steps === 5) break;
    expect(numbers.map(extents).some((count) => count > 1)).toBe(true);
    defrag(editor);
    expect(numbers.map(extents)).toEqual([1, 1]);
    editor.close();
    expect(check(image, { data: true }).problems).toEqual([]);
  });

  it.each(['cadastre', 'xfs'] as const)(
    'makes room for a file that finds none, unless only that was named: %s',
    (dialect) => {
      const image = emptyImage({ dialect });
      const editor = Editor.open(image);
      const { rootInode, blockSize } = editor.volume.geometry;
      const make = (name: string, blocks: number): number => {
        const number = create(editor, rootInode, encode(name), { mode: MODE.FILE | 0o644 });
        writeAt(editor, number, 0, new Uint8Array(blocks * blockSize).fill(name.length));
        return number;
      };
      const count = Math.floor((0.93 * editor.space.available(editor.volume.cache)) / 16);
      for (let i = 0; i < count; i++) make(`small-${i}`, 16);
      // Nothing longer than what a small one leaves.
      make('rest', editor.space.available(editor.volume.cache) - 16);
      for (let i = 0; i < count; i += 2) unlink(editor, rootInode, encode(`small-${i}`));
      editor.sync();
      const big = make('big', 16 * Math.floor(count / 16));
      const extents = (): number => new Fork(editor.volume.inode(big), 'data').extentCount;
      expect(extents()).toBeGreaterThan(2);
      const alone = defrag(editor, { paths: [encode('/big')] });
      expect(alone.files.map(({ skipped }) => skipped)).toEqual(['no-room']);
      expect(extents()).toBeGreaterThan(1);
      const { totals, freeSpace } = defrag(editor);
      expect([extents(), totals.extentsAfter - totals.ideal, freeSpace.groups]).toEqual([1, 0, []]);
      editor.close();
      expect(check(image, { data: true }).problems).toEqual([]);
    },
  );

  it.each(['cadastre', 'xfs'] as const)('says on an overlay what it then does: %s', (dialect) => {
    const { image, editor } = fragmented(dialect, 40);
    editor.close();
    const reportOn = (device: Device) => {
      const work = Editor.open(device);
      const report = defrag(work, { metadata: true, freeSpace: true });
      work.close();
      return report;
    };
    const before = check(image).counts;
    const planned = reportOn(new OverlayDevice(image));
    expect(check(image).counts).toEqual(before);
    expect(planned.files).not.toEqual([]);
    expect(reportOn(image)).toEqual(planned);
  });
});
