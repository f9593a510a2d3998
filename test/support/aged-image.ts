/**
 * Aged images in memory: files that share blocks, with unwritten ranges, holes and attributes, in an image whose free space
 * is in pieces. And what of them must not change when only the layout does.
 */
import fc from 'fast-check';
import { MODE } from '../../formats/inode.ts';
import { Fork } from '../../lib/file/fork.ts';
import { allocateUnwritten } from '../../lib/file/truncate.ts';
import { truncate, writeAt } from '../../lib/volume/content.ts';
import type { Editor } from '../../lib/volume/editor.ts';
import { forEachMapped } from '../../lib/volume/extents.ts';
import { setXattr } from '../../lib/volume/metadata.ts';
import { create, unlink } from '../../lib/volume/names.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { everyObject } from './every-object.ts';
import { digestVolume } from './image-digest.ts';
import { SharingEditor, SharingModel, type SharingOp, sharingOp } from './sharing-model.ts';

const encoder = new TextEncoder();

/** How an image is aged. */
export interface Ageing {
  /** Operations on files that share blocks. */
  script: readonly SharingOp[];
  /** Blocks of each filler file; every second one is deleted again. */
  fillers: readonly number[];
  /** Files written a block at a time in turns, each in so many pieces. */
  interleaved: readonly number[];
  /** Block ranges that get unwritten blocks: file, first, count. */
  unwritten: readonly (readonly [file: number, first: number, count: number])[];
  /** Part of the ballast that stays, in percent: little room is left where it is much. */
  ballast: number;
}

export const ageing: fc.Arbitrary<Ageing> = fc.record({
  script: fc.array(sharingOp, { minLength: 5, maxLength: 25, size: 'max' }),
  fillers: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 20, maxLength: 60, size: 'max' }),
  interleaved: fc.array(fc.integer({ min: 2, max: 40 }), { minLength: 1, maxLength: 5, size: 'max' }),
  unwritten: fc.array(fc.tuple(fc.nat(3), fc.nat(40), fc.integer({ min: 1, max: 12 })), { maxLength: 4 }),
  ballast: fc.oneof(fc.constant(0), fc.nat(100), fc.integer({ min: 90, max: 100 })),
});

/** Age an empty image. */
export function ageEditor(editor: Editor, how: Ageing): void {
  const { volume } = editor;
  const { rootInode, blockSize } = volume.geometry;
  const make = (name: string): number => create(editor, rootInode, encoder.encode(name), { mode: MODE.FILE | 0o644 });
  const fill = (number: number, at: number, count: number, byte: number): void =>
    writeAt(editor, number, at * blockSize, new Uint8Array(count * blockSize).fill(byte));
  const fillers = how.fillers.map((count, i) => {
    const number = make(`filler-${i}`);
    fill(number, 0, count, 1 + (i % 7));
    return number;
  });
  const ballast = make('ballast');
  const room = editor.space.available(volume.cache);
  const ballastBlocks = Math.floor(room * 0.95);
  editor.chain((tx, units) =>
    allocateUnwritten(
      tx,
      editor.space,
      editor.data,
      editor.inode(tx, ballast),
      0,
      ballastBlocks * blockSize,
      false,
      units,
    ),
  );
  for (let i = 0; i < fillers.length; i += 2) unlink(editor, rootInode, encoder.encode(`filler-${i}`));
  editor.sync();
  const numbers = how.interleaved.map((_, i) => make(`interleaved-${i}`));
  for (let at = 0; at < Math.max(...how.interleaved); at++) {
    for (const [i, count] of how.interleaved.entries()) if (at < count) fill(numbers[i]!, at, 1, 10 + i + (at % 5));
  }
  const model = new SharingModel(blockSize);
  const files = new SharingEditor(editor);
  for (const op of how.script) if (model.apply(op) === undefined) files.apply(op, model);
  for (const [file, first, count] of how.unwritten) {
    const number = files.inode(file);
    if (number === undefined) continue;
    editor.chain((tx, units) => {
      const inode = editor.inode(tx, number);
      return allocateUnwritten(tx, editor.space, editor.data, inode, first * blockSize, count * blockSize, true, units);
    });
  }
  for (const [i, number] of numbers.entries())
    setXattr(editor, number, encoder.encode('user.n'), new Uint8Array(3000 * i));
  truncate(editor, ballast, Math.floor((ballastBlocks * how.ballast) / 100) * blockSize);
  editor.sync();
}

/** What must be the same when only the layout changes: names, content, times, attributes, and who shares which blocks. */
export function unchangeable(volume: Volume): unknown {
  const first = new Map<number, number>();
  const sharing: Record<string, unknown[]> = {};
  everyObject(volume, '', (path, inode) => {
    if (!inode.isFile) return;
    const { changecountHi, changecountLo, nlink, flags } = inode.core;
    const rows: unknown[] = [[changecountHi, changecountLo, nlink, flags]];
    forEachMapped(volume, inode, 'data', ({ fileBlock, ag, agBlock, blockCount, unwritten, shared }) => {
      for (let i = 0; i < blockCount; i++) {
        const block = volume.geometry.fsBlock(ag, agBlock) + i;
        if (shared && !first.has(block)) first.set(block, first.size);
        rows.push([fileBlock + i, unwritten, shared ? first.get(block) : -1]);
      }
    });
    sharing[Buffer.from(path).toString('latin1')] = rows;
  });
  // Blocks of the extent tree count as blocks of the file: those may go. So may blocks of directories.
  const tree = digestVolume(volume, { identity: true }).map(({ blocks: _, size, ...entry }) =>
    entry.type === 'directory' ? entry : { ...entry, size },
  );
  return { tree, sharing };
}

/** Extents of the data fork of every regular file, by path. */
export function extentCounts(volume: Volume): Map<string, number> {
  const counts = new Map<string, number>();
  everyObject(volume, '', (path, inode) => {
    if (inode.isFile) counts.set(Buffer.from(path).toString('latin1'), new Fork(inode, 'data').extentCount);
  });
  return counts;
}

/**
 * Free blocks as the superblock counts them. The checksum tree grows when free space falls into pieces (its records have no
 * gaps), into blocks that are held back for it: they count as free here.
 */
export function freeBlocks(volume: Volume): number {
  const { geometry, space, cache } = volume;
  let blocks = space.countFree(cache);
  if (geometry.features.dataChecksums) {
    for (let ag = 0; ag < geometry.agCount; ag++) blocks += space.ag(cache, ag).agf.csumBlocks;
  }
  return blocks;
}
