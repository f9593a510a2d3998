/** Operations on file content. Long ones go in pieces, one transaction each; every piece leaves a consistent file. */
import { MODE } from '../../formats/inode.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { lookup } from '../directory/directory.ts';
import { fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { readFork } from '../file/inode-fork-blocks.ts';
import { truncateFile } from '../file/truncate.ts';
import { checkFileRange, FileWriter } from '../file/write.ts';
import { type Editor, isLogFull } from './editor.ts';
import { createIn, createUnnamed, finishFreeing, freeStep, type NewObject, nameIt } from './names.ts';
import { assertMayChange, assertMayWrite } from './protection.ts';

/** Bytes written in one transaction, and the least of them when the log is too small for more. */
const PIECE = 4 << 20;
const LEAST_PIECE = 64 << 10;
/** Largest size of a file that Numbers hold exactly and the format can map. */
export const MAX_FILE_BYTES = Number.MAX_SAFE_INTEGER;

/** Where new content comes from, piece by piece: fills the buffer and says how many bytes it got; 0 = end. */
export type ContentSource = (into: Uint8Array) => number;

function assertFile(inode: Inode): void {
  if (inode.isDirectory)
    throw fileError('EISDIR', `inode ${inode.number} is a directory`, { where: { inode: inode.number } });
  if (!inode.isFile)
    throw fileError('EINVAL', `inode ${inode.number} has no content`, { where: { inode: inode.number } });
}

/**
 * Write bytes into a file; it grows when they reach behind its end. Throws ENOSPC, EFBIG, EISDIR. Up to 4 MiB are one step;
 * of more, what was written before an error stays.
 */
export function writeAt(editor: Editor, number: number, offset: number, bytes: Uint8Array): void {
  checkFileRange(offset, bytes.length);
  if (bytes.length === 0) {
    assertFile(editor.volume.inode(number));
    return;
  }
  clearGap(editor, number, offset);
  writePieces(editor, number, offset, bytes, (tx, inode) => editor.touch(tx, inode, true));
}

/**
 * Before a write that starts behind the end of the file: what blocks there still hold must not show up in the gap. In
 * steps of their own, for the blocks that go must not be taken for the data that comes.
 */
function clearGap(editor: Editor, number: number, offset: number): void {
  const { blockSize } = editor.volume.geometry;
  editor.chain((tx, units) => {
    const inode = editor.inode(tx, number);
    assertFile(inode);
    assertMayWrite(inode, offset);
    if (Math.floor(offset / blockSize) <= Math.floor(inode.size / blockSize)) return false;
    const writer = new FileWriter(tx, inode, editor.data, editor.space);
    return writer.clearBehindEnd(offset, Number.MAX_SAFE_INTEGER, units) === 0;
  });
}

/** Write in pieces, one transaction each; smaller ones when the log of this image asks for it. */
function writePieces(
  editor: Editor,
  number: number,
  offset: number,
  bytes: Uint8Array,
  finish: (tx: Transaction, inode: Inode) => void,
): void {
  let most = PIECE;
  for (let done = 0; done < bytes.length; ) {
    const piece = bytes.subarray(done, Math.min(bytes.length, done + most));
    try {
      editor.transact((tx) => {
        const inode = editor.inode(tx, number);
        assertFile(inode);
        writePiece(editor, tx, inode, offset + done, piece);
        finish(tx, inode);
      });
    } catch (error) {
      if (!isLogFull(error) || most <= LEAST_PIECE) throw error;
      most /= 4;
      continue;
    }
    done += piece.length;
  }
}

function writePiece(editor: Editor, tx: Transaction, inode: Inode, offset: number, piece: Uint8Array): void {
  new FileWriter(tx, inode, editor.data, editor.space).write(offset, piece);
}

/** Cut a file or make it longer (the new part reads as zeroes). */
export function truncate(editor: Editor, number: number, size: number): void {
  if (size < 0 || size > MAX_FILE_BYTES) throw fileError('EINVAL', `a file cannot have ${size} bytes`);
  editor.chain((tx, units) => {
    const inode = editor.inode(tx, number);
    assertFile(inode);
    assertMayChange(inode);
    const more = truncateFile(tx, editor.space, editor.data, inode, size, units);
    editor.touch(tx, inode, true);
    return more;
  });
}

/**
 * Make a file with this content, or put it in place of an existing one; nobody ever sees a part of it. Content that fits one
 * piece takes one transaction; more is written to an unnamed file that gets its name at the end.
 * @param dress called with the new inode before it is named: attributes, times.
 * @returns the inode number. Throws EISDIR when a directory has the name, ENOSPC.
 */
export function putFile(
  editor: Editor,
  directory: number,
  name: Uint8Array,
  what: NewObject,
  source: ContentSource,
  dress?: (tx: Transaction, inode: Inode) => void,
): number {
  const object: NewObject = { ...what, mode: (what.mode & 0o7777) | MODE.FILE };
  const buffer = new Uint8Array(PIECE);
  const first = fill(source, buffer);
  const isWhole = first < PIECE;
  const exists = lookup(readFork(editor.volume.inode(directory), 'data'), name) !== undefined;
  if (isWhole && !exists) {
    try {
      return editor.transact((tx) => {
        const number = createIn(editor, tx, directory, name, object);
        const inode = editor.inode(tx, number);
        if (first > 0) writePiece(editor, tx, inode, 0, buffer.subarray(0, first));
        dress?.(tx, editor.inode(tx, number));
        return number;
      });
    } catch (error) {
      if (!isLogFull(error)) throw error; // too much for one transaction of this image: in pieces, then
    }
  }
  const number = editor.transact((tx) => createUnnamed(editor, tx, directory, object));
  let victim: number | undefined;
  try {
    for (let at = 0, length = first; length > 0; length = fill(source, buffer)) {
      writePieces(editor, number, at, buffer.subarray(0, length), () => {});
      at += length;
      if (length < PIECE) break;
    }
    victim = editor.transactSized((tx, units) => {
      dress?.(tx, editor.inode(tx, number));
      const old = nameIt(editor, tx, directory, name, number);
      if (old === undefined) return undefined;
      return freeStep(editor, tx, editor.inode(tx, old), units) ? old : undefined;
    }, 0);
  } catch (error) {
    finishFreeing(editor, number);
    throw error;
  }
  if (victim !== undefined) finishFreeing(editor, victim);
  return number;
}

/** As many bytes as the source gives, up to a whole buffer. */
function fill(source: ContentSource, buffer: Uint8Array): number {
  let have = 0;
  while (have < buffer.length) {
    const got = source(buffer.subarray(have));
    if (got === 0) break;
    have += got;
  }
  return have;
}
