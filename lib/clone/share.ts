/**
 * One step of sharing: blocks of one file become blocks of another (or of other file blocks of the same one) by pointing
 * at them. Clone and dedupe are chains of this step.
 *
 * 1. Holes and unwritten extents of the source (both read as zeroes) are holes in the target.
 * 2. A step is bounded in what it changes: extents shared, runs of equal sharing in them, old extents given up.
 * 3. After each step every count and the register agree with every fork; the caller's border moves forward.
 */
import { INODE_FLAG, INODE_FLAG2 } from '../../formats/inode.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { fileError, unsupported } from '../errors.ts';
import { Fork } from '../file/fork.ts';
import type { Inode } from '../file/inode.ts';
import { releaseRange } from '../file/release.ts';
import { inodeOwner } from '../space/owner.ts';
import type { Space } from '../space/space.ts';
import type { Editor } from '../volume/editor.ts';
import type { SharingLedger } from './ledger.ts';

/** Runs of equal sharing that a step may share: many where the log is large, few where it is not. */
const runsOf = (units: number): number => units * Math.max(1, units >> 2);

/** Throws `unsupported` NO_REFLINK where the image cannot share blocks. */
export function assertReflink(editor: Editor): void {
  if (editor.volume.geometry.features.reflink) return;
  throw unsupported('NO_REFLINK', 'this image was made without reflink: its files cannot share blocks');
}

/** Throws EISDIR, EINVAL unless the blocks of this inode can be shared. */
export function assertSharable(inode: Inode): void {
  const details = { where: { inode: inode.number } };
  if (inode.isDirectory) throw fileError('EISDIR', 'a directory has no blocks to share', details);
  if (!inode.isFile) throw fileError('EINVAL', 'only regular files share blocks', details);
  if ((inode.core.flags & INODE_FLAG.REALTIME) !== 0) {
    throw fileError('EINVAL', 'blocks of the realtime device cannot be shared', details);
  }
}

/**
 * Share source blocks [from, end), a bounded piece of them, with the target `shift` file blocks further on; what the
 * target had there it loses. Size and times are the caller's.
 * @param units see lib/file/release.ts.
 * @returns the source block to go on with: `end` when nothing is left. Throws ENOSPC (trees may have to grow).
 */
export function shareStep(
  editor: Editor,
  tx: Transaction,
  source: number,
  target: number,
  from: number,
  end: number,
  shift: number,
  units: number,
): number {
  const { space } = editor;
  const owner = inodeOwner(target);
  const pieces: number[] = [];
  let budget = runsOf(units);
  let upTo = end;
  new Fork(editor.inode(tx, source), 'data').forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
    if (fileBlock >= end) return true;
    if (unwritten) return false;
    const first = Math.max(from, fileBlock);
    if (budget <= 0) {
      upTo = first;
      return true;
    }
    const start = startBlock + (first - fileBlock);
    const most = Math.min(end, fileBlock + blockCount) - first;
    const count = runsWithin(tx, space, start, most, budget);
    budget -= Math.max(1, count.runs);
    pieces.push(first, start, count.blocks);
    if (count.blocks === most) return false;
    upTo = first + count.blocks;
    return true;
  }, from);
  const sharer = editor.inode(tx, target);
  const fork = new Fork(sharer, 'data');
  const left = releaseRange(tx, space, fork, from + shift, upTo + shift, units);
  // What could not be given up in this step is behind the first block still mapped.
  if (left === 0) upTo = Math.min(upTo, firstMapped(fork, from + shift, upTo + shift) - shift);
  let any = false;
  for (let i = 0; i < pieces.length; i += 3) {
    const fileBlock = pieces[i]!;
    const count = Math.min(pieces[i + 2]!, upTo - fileBlock);
    if (count <= 0) break;
    space.share(tx, pieces[i + 1]!, count, owner, { fileBlock: fileBlock + shift });
    fork.map(tx, space, fileBlock + shift, pieces[i + 1]!, count, false);
    any = true;
  }
  if (any) for (const inode of [editor.inode(tx, source), sharer]) setReflink(tx, inode);
  return upTo;
}

function setReflink(tx: Transaction, inode: Inode): void {
  if (inode.isReflink) return;
  inode.change(tx);
  inode.core.flags2Lo = (inode.core.flags2Lo | INODE_FLAG2.REFLINK) >>> 0;
}

/**
 * A step without bounds, for short runs, many in one transaction: all of [from, end) at once. Forks and register change here;
 * what changes by block range alone (counts, free space, checksums) waits in the ledger, which the caller settles before
 * the transaction ends.
 */
export function shareWhole(
  editor: Editor,
  tx: Transaction,
  source: number,
  target: number,
  from: number,
  end: number,
  shift: number,
  ledger: SharingLedger,
): void {
  const { space } = editor;
  const owner = inodeOwner(target);
  const sharer = editor.inode(tx, target);
  const fork = new Fork(sharer, 'data');
  const giver = editor.inode(tx, source);
  const pieces: number[] = [];
  new Fork(giver, 'data').forEachExtent((fileBlock, startBlock, blockCount, unwritten) => {
    if (fileBlock >= end) return true;
    if (unwritten) return false;
    const first = Math.max(from, fileBlock);
    pieces.push(first, startBlock + (first - fileBlock), Math.min(end, fileBlock + blockCount) - first);
    return false;
  }, from);
  fork.unmap(tx, space, from + shift, end + shift, (fileBlock, startBlock, blockCount, unwritten) => {
    space.unmapRmap(tx, startBlock, blockCount, owner, { fileBlock, unwritten });
    ledger.lose(startBlock, blockCount);
  });
  for (let i = 0; i < pieces.length; i += 3) {
    const fileBlock = pieces[i]! + shift;
    ledger.gain(pieces[i + 1]!, pieces[i + 2]!);
    space.mapRmap(tx, pieces[i + 1]!, pieces[i + 2]!, owner, { fileBlock });
    fork.map(tx, space, fileBlock, pieces[i + 1]!, pieces[i + 2]!, false);
  }
  if (pieces.length === 0) return;
  setReflink(tx, giver);
  setReflink(tx, sharer);
}

/** Blocks at the start of a range that at most `budget` runs of equal sharing cover, and how many runs those are. */
function runsWithin(
  tx: Transaction,
  space: Space,
  start: number,
  count: number,
  budget: number,
): { blocks: number; runs: number } {
  let runs = 0;
  let blocks = count;
  space.sharedRuns(tx, start, count, (from) => {
    // A shared run, and the unshared one before it.
    if (runs < budget) {
      runs += 2;
      return false;
    }
    blocks = from - start;
    return true;
  });
  return { blocks, runs };
}

function firstMapped(fork: Fork, from: number, to: number): number {
  const cursor = fork.cursor();
  return cursor.seekContaining(from) && cursor.fileBlock < to ? Math.max(from, cursor.fileBlock) : to;
}
