/**
 * Finishing an exchange of mappings between two files (XMI): piece by piece, what the first file maps goes to the second
 * and the other way round; sizes and reflink flags come last.
 */
import { INODE_FLAG2, InodeCore } from '../../formats/inode.ts';
import { XMI_FLAG } from '../../formats/log-items.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { corrupt } from '../errors.ts';
import { Fork, type ForkName } from '../file/fork.ts';
import { Inode } from '../file/inode.ts';
import type { Intent } from '../journal/recovery/replay.ts';
import { inodeOwner } from '../space/owner.ts';
import type { RecoveryContext } from './context.ts';
import { readXmi, remainingXmi } from './intent-items.ts';

/** Pieces exchanged in one transaction. */
const PIECES = 32;

/** A run of a fork that is one extent or one hole. */
interface Run {
  /** 0 = a hole. */
  startBlock: number;
  blockCount: number;
  unwritten: boolean;
}

/** Exchange some pieces. @returns what is left, as a new intent. */
export function exchangeStep(context: RecoveryContext, tx: Transaction, intent: Intent): Intent | undefined {
  const { inode1, inode2, gen1, gen2, offset1, offset2, blockCount, flagsLo: flags, size1, size2 } = readXmi(intent);
  const first = Inode.load(tx, inode1);
  const second = Inode.load(tx, inode2);
  const end = Math.max(offset1, offset2) + blockCount;
  if (inode1 === inode2 || !(end < 2 ** 54) || blockCount < 0) {
    throw corrupt('LOG_INTENT', 'log: an exchange of mappings is not valid', {
      where: { structure: 'log', inode: inode1 },
      expected: 'two files',
      found: `${inode1}, ${inode2}`,
    });
  }
  // Generations are logged by kernels that check them; 0 and 0 come from those that do not.
  if ((gen1 !== 0 || gen2 !== 0) && (first.core.gen !== gen1 || second.core.gen !== gen2)) {
    throw corrupt('LOG_INTENT', 'log: an exchange names inodes that are others by now', {
      where: { structure: 'log', inode: inode1 },
      expected: `${gen1}, ${gen2}`,
      found: `${first.core.gen}, ${second.core.gen}`,
    });
  }
  const name: ForkName = flags & XMI_FLAG.ATTR_FORK ? 'attr' : 'data';
  let done = 0;
  for (let pieces = 0; done < blockCount; ) {
    const a = runAt(new Fork(first, name), offset1 + done, blockCount - done);
    if (flags & XMI_FLAG.WRITTEN_ONLY && (a.startBlock === 0 || a.unwritten)) {
      done += a.blockCount;
      continue;
    }
    const b = runAt(new Fork(second, name), offset2 + done, a.blockCount);
    const count = b.blockCount;
    if (a.startBlock !== b.startBlock) {
      if (pieces++ === PIECES) return remainingXmi(intent, done);
      swap(context, tx, first, second, name, offset1 + done, offset2 + done, count);
    }
    done += count;
  }
  for (const [inode, size, clear] of [
    [first, size1, XMI_FLAG.CLEAR_REFLINK_1],
    [second, size2, XMI_FLAG.CLEAR_REFLINK_2],
  ] as const) {
    if ((flags & (clear | XMI_FLAG.SET_SIZES)) === 0) continue;
    inode.change(tx);
    if (flags & XMI_FLAG.SET_SIZES) inode.core.size = size;
    if (flags & clear)
      inode.view.setUint32(inode.base + InodeCore.offsets.flags2 + 4, inode.core.flags2Lo & ~INODE_FLAG2.REFLINK);
  }
  return undefined;
}

function runAt(fork: Fork, fileBlock: number, most: number): Run {
  const cursor = fork.cursor();
  if (!cursor.seekContaining(fileBlock)) return { startBlock: 0, blockCount: most, unwritten: false };
  if (cursor.fileBlock > fileBlock) {
    return { startBlock: 0, blockCount: Math.min(most, cursor.fileBlock - fileBlock), unwritten: false };
  }
  return {
    startBlock: cursor.startBlock + (fileBlock - cursor.fileBlock),
    blockCount: Math.min(most, cursor.endBlock - fileBlock),
    unwritten: cursor.unwritten,
  };
}

/** What each maps in its range goes to the other one, in forks and register. */
function swap(
  context: RecoveryContext,
  tx: Transaction,
  first: Inode,
  second: Inode,
  name: ForkName,
  at1: number,
  at2: number,
  count: number,
): void {
  const taken1 = take(context, tx, first, name, at1, count);
  const taken2 = take(context, tx, second, name, at2, count);
  give(context, tx, second, name, at2, taken1);
  give(context, tx, first, name, at1, taken2);
}

function take(
  context: RecoveryContext,
  tx: Transaction,
  inode: Inode,
  name: ForkName,
  at: number,
  count: number,
): Run[] {
  const { space } = context;
  const attr = name === 'attr';
  const runs: Run[] = [];
  new Fork(inode, name).unmap(tx, space, at, at + count, (fileBlock, startBlock, blockCount, unwritten) => {
    context.checkRange(startBlock, blockCount, 'an exchange');
    space.unmapRmap(tx, startBlock, blockCount, inodeOwner(inode.number), { attr, fileBlock, unwritten: unwritten });
    runs.push({ startBlock, blockCount, unwritten });
  });
  return runs;
}

/** The range is one run of both files, so there is at most one extent. */
function give(context: RecoveryContext, tx: Transaction, inode: Inode, name: ForkName, at: number, runs: Run[]): void {
  const { space } = context;
  const attr = name === 'attr';
  let fileBlock = at;
  for (const { startBlock, blockCount, unwritten } of runs) {
    new Fork(inode, name).map(tx, space, fileBlock, startBlock, blockCount, unwritten);
    space.mapRmap(tx, startBlock, blockCount, inodeOwner(inode.number), { attr, fileBlock, unwritten });
    fileBlock += blockCount;
  }
}
