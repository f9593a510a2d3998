/**
 * Giving a file blocks of its own: what it shares is written anew, in pieces, one transaction each, by the ordinary
 * copy-on-write of lib/file. Content and times stay; at the end the inode says that it shares nothing.
 */
import { INODE_FLAG2 } from '../../formats/inode.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { Fork } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import { FileReader } from '../file/read.ts';
import { END_OF_FORK, releaseRange } from '../file/release.ts';
import { FileWriter } from '../file/write.ts';
import type { Editor } from '../volume/editor.ts';
import { assertMayChange } from '../volume/protection.ts';
import { assertSharable } from './share.ts';

/** Most bytes copied in one transaction, for each unit that it may take, and at all. */
const BYTES_PER_UNIT = 64 << 10;
const MOST_BYTES = 4 << 20;

export interface UnshareResult {
  /** Bytes that were copied. */
  bytes: number;
  /** Shared runs there were. */
  runs: number;
}

/**
 * Copy every block that the file shares with others (or with itself). Throws EISDIR, EINVAL, EPERM; ENOSPC: what was copied until
 * then stays so.
 */
export function unshare(
  editor: Editor,
  number: number,
  progress?: (done: Readonly<UnshareResult>) => void,
): UnshareResult {
  assertSharable(editor.volume.inode(number));
  assertMayChange(editor.volume.inode(number));
  const result: UnshareResult = { bytes: 0, runs: 0 };
  if (!editor.volume.geometry.features.reflink || !editor.volume.inode(number).isReflink) return result;
  const { blockSize } = editor.volume.geometry;
  const scratch = new Uint8Array(Math.max(blockSize, MOST_BYTES));
  for (let at = 0; at < END_OF_FORK; ) {
    const step = editor.transactSized((tx, units) => unshareStep(editor, tx, number, at, units, scratch));
    at = step.next;
    if (step.bytes === 0) continue;
    result.bytes += step.bytes;
    result.runs++;
    progress?.(result);
  }
  return result;
}

/** Copy the first shared run from file block `from` on, or a part of it. @returns where to go on, and the bytes copied. */
function unshareStep(
  editor: Editor,
  tx: Transaction,
  number: number,
  from: number,
  units: number,
  scratch: Uint8Array,
): { next: number; bytes: number } {
  const inode = editor.inode(tx, number);
  const { blockSize } = inode.geometry;
  const most = Math.max(1, Math.floor(Math.min(units * BYTES_PER_UNIT, scratch.length) / blockSize));
  const run = nextShared(editor, tx, inode, from, most);
  if (!run) {
    inode.change(tx);
    inode.core.flags2Lo = (inode.core.flags2Lo & ~INODE_FLAG2.REFLINK) >>> 0;
    return { next: END_OF_FORK, bytes: 0 };
  }
  const { fileBlock } = run;
  if (fileBlock >= Math.ceil(inode.size / blockSize)) {
    // Behind the end nobody reads: given up instead of copied.
    releaseRange(tx, editor.space, new Fork(inode, 'data'), fileBlock, END_OF_FORK, units);
    return { next: fileBlock, bytes: 0 };
  }
  const offset = fileBlock * blockSize;
  const bytes = Math.min(inode.size, offset + run.blockCount * blockSize) - offset;
  new FileReader(inode, editor.data, editor.space).read(offset, scratch.subarray(0, bytes));
  new FileWriter(tx, inode, editor.data, editor.space).write(offset, scratch.subarray(0, bytes));
  return { next: fileBlock + Math.ceil(bytes / blockSize), bytes };
}

/** The first shared run from a file block on, cut to `most` blocks. */
function nextShared(
  editor: Editor,
  tx: Transaction,
  inode: Inode,
  from: number,
  most: number,
): { fileBlock: number; blockCount: number } | undefined {
  let found: { fileBlock: number; blockCount: number } | undefined;
  new Fork(inode, 'data').forEachExtent((fileBlock, startBlock, blockCount) => {
    const skip = Math.max(0, from - fileBlock);
    const shared = editor.space.firstShared(tx, startBlock + skip, blockCount - skip);
    if (!shared) return false;
    found = {
      fileBlock: fileBlock + (shared.fsBlock - startBlock),
      blockCount: Math.min(most, shared.blockCount),
    };
    return true;
  }, from);
  return found;
}
