import { describe, expect, it } from 'vitest';
import { MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { cloneRange } from '../clone/clone-range.ts';
import { Fork } from '../file/fork.ts';
import { writeAt } from '../volume/content.ts';
import { Editor } from '../volume/editor.ts';
import { create } from '../volume/names.ts';
import { SharingUnits } from './held-apart.ts';
import { forkLayout } from './ideal.ts';

/** Files `one`, of 12 blocks in one extent, and `other`, made of parts of it: [first block, blocks, block of `other`]. */
function world(parts: readonly (readonly [number, number, number])[]) {
  const editor = Editor.open(emptyImage({ dialect: 'xfs' }));
  const { rootInode, blockSize } = editor.volume.geometry;
  const make = (name: string): number =>
    create(editor, rootInode, new TextEncoder().encode(name), { mode: MODE.FILE | 0o644 });
  const one = make('one');
  const other = make('other');
  writeAt(editor, one, 0, new Uint8Array(12 * blockSize).fill(1));
  for (const [first, count, at] of parts) {
    const range = { sourceOffset: first * blockSize, targetOffset: at * blockSize, length: count * blockSize };
    cloneRange(editor, one, other, range);
  }
  return { editor, one, other, blockSize };
}

const held = (editor: Editor, number: number): number =>
  new SharingUnits(editor.volume).heldApart(new Fork(editor.volume.inode(number), 'data'));

describe('extents held apart by sharing', () => {
  it.each([
    [
      'two halves the other way round',
      [
        [6, 6, 0],
        [0, 6, 6],
      ],
      1,
    ],
    [
      'a part left out',
      [
        [0, 4, 0],
        [8, 4, 4],
      ],
      1,
    ],
    [
      'every second block',
      [
        [0, 1, 0],
        [2, 1, 1],
        [4, 1, 2],
        [6, 1, 3],
      ],
      3,
    ],
    [
      'a hole between',
      [
        [0, 4, 0],
        [8, 4, 9],
      ],
      0,
    ],
  ] as const)('%s', (_name, parts, expected) => {
    const { editor, one, other } = world(parts);
    expect(held(editor, other)).toBe(expected);
    expect(held(editor, one)).toBe(0);
  });

  it('are not those that another layout would join', () => {
    // The second half of the clone is its own by now.
    const { editor, one, other, blockSize } = world([[0, 12, 0]]);
    writeAt(editor, other, 6 * blockSize, new Uint8Array(6 * blockSize).fill(2));
    const { extents, ideal } = forkLayout(new Fork(editor.volume.inode(other), 'data'));
    expect([extents, ideal]).toEqual([2, 1]);
    // `one` goes on behind block 5, so that the clone cannot.
    expect(held(editor, other)).toBe(1);
    writeAt(editor, one, 0, new Uint8Array(12 * blockSize).fill(3));
    expect(held(editor, other)).toBe(0);
  });
});
