/**
 * A range of one file becomes a range of another (or of itself) by sharing its blocks. Rules as the kernel's
 * FICLONERANGE:
 *
 * 1. Offsets are block-aligned; so is the length, unless it ends at the source's end of file and not inside the target.
 * 2. Each transaction moves the border of what is done forward; at any moment the target reads as new content before the
 *    border and as old content behind it. Its size grows with the last one.
 */
import { fileError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { checkFileRange, FileWriter } from '../file/write.ts';
import type { Editor } from '../volume/editor.ts';
import { assertMayChange } from '../volume/protection.ts';
import { assertReflink, assertSharable, shareStep } from './share.ts';

/** Bytes of a file to share. */
export interface CloneRange {
  sourceOffset: number;
  targetOffset: number;
  /** 0: up to the end of the source. */
  length: number;
}

/**
 * Share a range of `source` with `target`, inode numbers. Throws EINVAL for what rule 1 forbids, for ranges that overlap
 * in one file or reach behind the source's end; EISDIR, EFBIG, ENOSPC, EPERM, NO_REFLINK.
 */
export function cloneRange(editor: Editor, source: number, target: number, range: CloneRange): void {
  assertReflink(editor);
  const { blockSize } = editor.volume.geometry;
  const length = checkRange(editor.volume.inode(source), editor.volume.inode(target), range, blockSize);
  assertMayChange(editor.volume.inode(target));
  if (length === 0) return;
  const first = range.sourceOffset / blockSize;
  const shift = range.targetOffset / blockSize - first;
  const end = first + Math.ceil(length / blockSize);
  const newEnd = range.targetOffset + length;
  // Behind its end the target may hold blocks, and bytes in its last one, that must not show up when it grows.
  editor.chain((tx, units) => {
    const writer = new FileWriter(tx, editor.inode(tx, target), editor.data, editor.space);
    return writer.clearBehindEnd(newEnd, Math.ceil(newEnd / blockSize), units) === 0;
  });
  for (let at = first; at < end; ) {
    at = editor.transactSized((tx, units) => {
      const next = shareStep(editor, tx, source, target, at, end, shift, units);
      const inode = editor.inode(tx, target);
      editor.touch(tx, inode, true);
      if (next >= end) inode.core.size = Math.max(inode.size, newEnd);
      return next;
    });
  }
}

/** @returns bytes to share. */
function checkRange(from: Inode, to: Inode, range: CloneRange, blockSize: number): number {
  assertSharable(from);
  assertSharable(to);
  const { sourceOffset, targetOffset } = range;
  const refuse = (what: string) =>
    fileError('EINVAL', what, { where: { inode: to.number, fileBlock: Math.floor(targetOffset / blockSize) } });
  checkFileRange(sourceOffset, range.length);
  const length = range.length === 0 ? Math.max(0, from.size - sourceOffset) : range.length;
  checkFileRange(targetOffset, length);
  if (sourceOffset % blockSize !== 0 || targetOffset % blockSize !== 0) {
    throw refuse(`ranges start on block boundaries (${blockSize} bytes)`);
  }
  if (sourceOffset > from.size || sourceOffset + length > from.size) {
    throw refuse(`the range ends at ${sourceOffset + length}, the source at ${from.size}`);
  }
  if (length % blockSize !== 0) {
    // A part of a block can only be shared where nothing of either file stands behind it.
    if (sourceOffset + length !== from.size) {
      throw refuse('a range that ends inside a block must end at the end of the source');
    }
    if (targetOffset + length < to.size) {
      throw refuse('a range that ends inside a block must end at or behind the end of the target');
    }
  }
  const whole = Math.ceil(length / blockSize) * blockSize;
  const apart = sourceOffset + whole <= targetOffset || targetOffset + whole <= sourceOffset;
  if (from.number === to.number && length > 0 && !apart) throw refuse('the ranges overlap in one file');
  return length;
}
