/**
 * A part of one file over a part of another, byte by byte: for where blocks cannot be shared, or are not to be.
 *
 * 1. The border of what is done moves forward: at any moment the target reads as new before it and as old behind it. It is the same
 *    whether the work ends, fails or is cancelled; the target grows at the end only.
 * 2. Where the source has a hole the target gets one, as far as whole blocks allow.
 */
import { fileError } from '../errors.ts';
import { punchHole } from '../file/truncate.ts';
import { checkFileRange } from '../file/write.ts';
import { truncate, writeAt } from '../volume/content.ts';
import { COPY_PIECE, type CopySteps, ImageReader } from '../volume/copy-content.ts';
import type { Editor } from '../volume/editor.ts';
import { letGo } from '../volume/names.ts';
import { assertMayChange } from '../volume/protection.ts';

/** Bytes of a file to copy. */
export interface CopyRange {
  readonly offset: number;
  /** 0: up to the end of the source. */
  readonly length: number;
  /** Byte of the target; the same as in the source by default. */
  readonly targetOffset?: number;
}

/** Where a range ends and what it is. Throws EINVAL where it reaches behind the source's end or overlaps itself, EFBIG. */
export function checkCopyRange(
  editor: Editor,
  source: number,
  target: number,
  { offset, length, targetOffset = offset }: CopyRange,
): { from: number; to: number; count: number } {
  checkFileRange(offset, length);
  const { size } = editor.volume.inode(source);
  const count = length === 0 ? Math.max(0, size - offset) : length;
  checkFileRange(targetOffset, count);
  if (offset > size || offset + count > size) {
    throw fileError('EINVAL', `the range ends at ${offset + count}, the source at ${size}`, {
      where: { inode: source },
    });
  }
  if (source === target && offset < targetOffset + count && targetOffset < offset + count && count > 0) {
    throw fileError('EINVAL', 'the ranges overlap in one file', { where: { inode: source } });
  }
  assertMayChange(editor.volume.inode(target));
  return { from: offset, to: targetOffset, count };
}

/** The steps of it. */
export function* copyBytes(editor: Editor, source: number, target: number, range: CopyRange): CopySteps {
  const { from, to, count } = checkCopyRange(editor, source, target, range);
  const reader = new ImageReader(editor.volume, editor.volume.inode(source), editor);
  editor.hold(target);
  try {
    const end = from + count;
    const piece = new Uint8Array(Math.min(COPY_PIECE, Math.max(1, count)));
    for (let at = from; at < end; ) {
      const data = reader.nextData(at);
      const start = Math.min(end, data?.offset ?? end);
      if (start > at) punch(editor, target, at - from + to, start - at);
      const stop = Math.min(end, data ? data.offset + data.length : end);
      for (at = start; at < stop; ) {
        const part = piece.subarray(0, Math.min(piece.length, stop - at));
        reader.read(at, part);
        writeAt(editor, target, at - from + to, part);
        at += part.length;
        yield part.length;
      }
    }
    if (editor.volume.inode(target).size < to + count) truncate(editor, target, to + count);
  } finally {
    letGo(editor, target);
    reader.close();
  }
}

/** Bytes of the target that read as zeroes now; behind its end they do so already. */
function punch(editor: Editor, target: number, offset: number, length: number): void {
  const { size } = editor.volume.inode(target);
  const end = Math.min(size, offset + length);
  if (end <= offset) return;
  editor.chain((tx, units) => {
    const inode = editor.inode(tx, target);
    const more = punchHole(tx, editor.space, editor.data, inode, offset, end - offset, units);
    editor.touch(tx, inode, true);
    return more;
  });
}
