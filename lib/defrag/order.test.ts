import { describe, expect, it } from 'vitest';
import { MODE } from '../../formats/inode.ts';
import { emptyImage } from '../../test/support/empty-image.ts';
import { cloneRange } from '../clone/clone-range.ts';
import { Fork } from '../file/fork.ts';
import { writeAt } from '../volume/content.ts';
import { Editor } from '../volume/editor.ts';
import { create } from '../volume/names.ts';
import { Moves } from './moves.ts';
import { type Candidate, Groups, inOrder } from './order.ts';
import { type Owners, openOwners } from './owners.ts';
import { readRuns } from './run-list.ts';

const candidate = (inode: number, extents: number, blocks: number): Candidate => {
  return { inode, path: undefined, extents, ideal: 1, blocks };
};

describe('the order of files', () => {
  it('is worst first, and heaviest first among those that share', () => {
    const groups = new Groups();
    groups.join(1, 2);
    groups.join(5, 2);
    const files = [
      candidate(1, 90, 10),
      candidate(2, 5, 70),
      candidate(3, 50, 10),
      candidate(4, 99, 1),
      candidate(5, 2, 70),
    ];
    expect(inOrder(files, groups).map(({ inode }) => inode)).toEqual([4, 2, 5, 1, 3]);
    expect(inOrder(files, undefined).map(({ inode }) => inode)).toEqual([4, 1, 3, 2, 5]);
  });

  it('knows groups of any size', () => {
    const groups = new Groups();
    for (let i = 1; i < 50_000; i++) groups.join(i, i - 1);
    expect(groups.of(0)).toBe(groups.of(49_999));
    expect(groups.of(50_001)).toBe(50_001);
  });
});

describe.each([false, true])('owners of shared blocks, rmapbt %s', (rmapbt) => {
  /** A file of 12 blocks, two clones of it, one of a part of it at another offset, and a file of its own. */
  function world() {
    const editor = Editor.open(emptyImage({ dialect: 'xfs', features: { rmapbt } }));
    const { rootInode, blockSize } = editor.volume.geometry;
    const names = ['one', 'two', 'three', 'part', 'alone'];
    const files = names.map((name) =>
      create(editor, rootInode, new TextEncoder().encode(name), { mode: MODE.FILE | 0o644 }),
    );
    const [one, two, three, part, alone] = files as [number, number, number, number, number];
    writeAt(editor, one, 0, new Uint8Array(12 * blockSize).fill(1));
    writeAt(editor, alone, 0, new Uint8Array(3 * blockSize).fill(2));
    cloneRange(editor, one, two, { sourceOffset: 0, targetOffset: 0, length: 0 });
    cloneRange(editor, one, three, { sourceOffset: 0, targetOffset: 0, length: 0 });
    cloneRange(editor, one, part, {
      sourceOffset: 4 * blockSize,
      targetOffset: 2 * blockSize,
      length: 5 * blockSize,
    });
    const start = readRuns(new Fork(editor.volume.inode(one), 'data')).start[0]!;
    return { editor, one, two, three, part, alone, start };
  }

  const ownersOf = (owners: Owners, editor: Editor, start: number, count: number): string[] => {
    const rows: string[] = [];
    owners.forEach(editor.volume.cache, start, count, (inode, fileBlock, at, many) => {
      for (let i = 0; i < many; i++) rows.push(`${at + i - start}: ${inode} ${fileBlock + i}`);
    });
    return rows.sort();
  };

  it('are all files that have them', () => {
    const { editor, one, two, three, part, alone, start } = world();
    const owners = openOwners(editor.volume);
    const expected = [one, two, three].map((inode) => `0: ${inode} 5`);
    expect(ownersOf(owners, editor, start + 5, 1)).toEqual([...expected, `0: ${part} 3`].sort());
    const groups = owners.groups();
    expect(new Set([one, two, three, part].map((inode) => groups.of(inode))).size).toBe(1);
    expect(groups.of(alone)).toBe(alone);
  });

  it.runIf(!rmapbt)('are the same when blocks have moved, one after the other, in any layer', () => {
    const { editor, one, two, three, part, start } = world();
    const owners = openOwners(editor.volume);
    const places = Array.from({ length: 12 }, (_, i) => start + i);
    // Each block moves some times to places of its own.
    for (let round = 0; round < 30; round++) {
      const block = (7 * round) % 12;
      const count = Math.min(1 + (round % 3), 12 - block);
      const moves = new Moves();
      for (let i = 0; i < count; i++) {
        const to = start + 100 + 10 * round + i;
        moves.add(places[block + i]!, to, 1, false);
        places[block + i] = to;
      }
      moves.close();
      owners.moved(moves);
      for (const [i, place] of places.entries()) {
        const expected = [one, two, three].map((inode) => `0: ${inode} ${i}`);
        if (i >= 4 && i < 9) expected.push(`0: ${part} ${i - 2}`);
        expect(ownersOf(owners, editor, place, 1), `round ${round}, block ${i}`).toEqual(expected.sort());
      }
    }
  });
});
