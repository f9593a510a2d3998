/** One fork of an inode under repair: read, its count settled, judged. */
import { FORMAT, INODE_FLAG, InodeCore } from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import { forkOfSlot } from '../forks/extents.ts';
import type { PlanReader } from '../forks/plan-reader.ts';
import { type ForkReading, readFork } from '../forks/read-fork.ts';
import { forkEnd, isPossible, type Records } from '../forks/records.ts';
import type { BlockSearch } from './block-search.ts';
import { type Judged, judgeFork } from './judge.ts';
import { type LostRuns, mendLoose } from './without-register.ts';
import type { Witness } from './witness.ts';

const at = InodeCore.offsets;

/** What a fork came to. */
export interface ForkOutcome {
  readonly attr: boolean;
  /** Blocks mapped and blocks of its tree. */
  readonly blocks: number;
  readonly treeBlocks: number;
  /** Records as the count field has to say while the fork stays as it stands. */
  readonly records: number;
  /** Records whose blocks were found among those that nobody claims. */
  readonly found: number;
  readonly judged: Judged;
}

/**
 * @param others blocks of the other fork, when they are known: with them `nblocks` is a witness for the count.
 * @returns undefined when the fork holds no extents.
 */
export function settleFork(
  reader: PlanReader,
  slot: DataView,
  inode: number,
  attr: boolean,
  help: { witness: Witness; search: BlockSearch; lost: LostRuns; doubted: boolean; others: number | undefined },
): ForkOutcome | undefined {
  const { geometry } = reader;
  const fork = forkOfSlot(geometry, slot, inode, attr);
  if (!fork) return undefined;
  const { witness } = help;
  const reading = readFork(reader, fork, () => help.search.blocksOf(inode, attr));
  const wanted =
    help.others === undefined ? undefined : getU64(slot, at.nblocks) - help.others - reading.treeBlocks.length;
  settleCount(reader, reading, fork.regular, attr, wanted, witness);
  const { sizeBlocks } = fork;
  const preallocated = (slot.getUint16(at.flags) & INODE_FLAG.PREALLOC) !== 0;
  const loose = { inode, attr, regular: fork.regular, sizeBlocks, preallocated, wanted };
  const found = mendLoose(reader, reading, witness, help.lost, loose);
  const judged = judgeFork(geometry, reading, witness, {
    inode,
    attr,
    regular: fork.regular,
    sizeBlocks,
    // A fork with a fault of its own is the likelier one to be wrong where it and the register differ.
    doubted: help.doubted || reading.doubted || (fork.format === FORMAT.BTREE && !reading.sound),
    preallocated,
  });
  let blocks = 0;
  for (let i = 0; i < judged.extents.length; i++) blocks += judged.extents.blockCount[i]!;
  return {
    attr,
    blocks,
    treeBlocks: reading.treeBlocks.length,
    records: reading.records.length,
    found,
    judged,
  };
}

/**
 * Which records are the fork's when the count may be wrong: `wanted` is how many blocks `nblocks` leaves for them. Records
 * behind the count join when they make the sum right and their blocks are in use by nobody else; counted ones leave
 * when the sum is right without them and their blocks are free.
 */
function settleCount(
  reader: PlanReader,
  reading: ForkReading,
  regular: boolean,
  attr: boolean,
  wanted: number | undefined,
  witness: Witness,
): void {
  const { records, spare } = reading;
  const { geometry } = reader;
  const end = forkEnd(attr, regular);
  const isOne = (list: Records, i: number): boolean =>
    isPossible(geometry, list.fileBlock[i]!, list.startBlock[i]!, list.blockCount[i]!, end);
  let sum = 0;
  for (let i = 0; i < records.length; i++) sum += records.blockCount[i]!;
  // Zeroes behind the last record, counted by mistake.
  while (records.length > 0 && isZero(records, records.length - 1)) {
    records.cut(records.length - 1);
    reading.sound = false;
  }
  if (wanted === undefined || sum === wanted) return;
  let more = sum;
  const joined: number[] = [];
  const cover = records.sorted();
  for (let i = 0; i < spare.length && more < wanted; i++) {
    const count = spare.blockCount[i]!;
    const start = spare.startBlock[i]!;
    if (!isOne(spare, i) || overlaps(cover, spare.fileBlock[i]!, count)) continue;
    if ((witness.freeBlocks(start, count) ?? 0) > 0 || witness.isClaimed(start, count)) continue;
    more += count;
    joined.push(i);
  }
  if (more === wanted) {
    for (const i of joined) {
      records.push(spare.fileBlock[i]!, spare.startBlock[i]!, spare.blockCount[i]!, spare.unwritten[i]!);
    }
    const whole = records.sorted();
    records.cut(0);
    for (let i = 0; i < whole.length; i++) {
      records.push(whole.fileBlock[i]!, whole.startBlock[i]!, whole.blockCount[i]!, whole.unwritten[i]!);
    }
    reading.sound = false;
    return;
  }
  let less = sum;
  for (let i = records.length - 1; i >= 0 && less > wanted; i--) {
    const count = records.blockCount[i]!;
    if (isOne(records, i) && witness.freeBlocks(records.startBlock[i]!, count) !== count) return;
    less -= count;
    if (less !== wanted) continue;
    records.cut(i);
    reading.sound = false;
    return;
  }
}

/** Do sorted records cover a part of a file range? */
function overlaps(sorted: Records, file: number, count: number): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted.fileBlock[middle]! + sorted.blockCount[middle]! <= file) low = middle + 1;
    else high = middle;
  }
  return low < sorted.length && sorted.fileBlock[low]! < file + count;
}

function isZero(list: Records, i: number): boolean {
  return list.fileBlock[i] === 0 && list.startBlock[i] === 0 && list.blockCount[i] === 0;
}
