/** One fork of an inode under repair: read, its count settled, judged; what it is given back is told as decisions. */
import type { Geometry } from '../../../formats/geometry.ts';
import { FORMAT, INODE_FLAG, InodeCore, MODE, S_IFMT } from '../../../formats/inode.ts';
import { getU64 } from '../../../formats/struct.ts';
import type { ClaimKind } from '../disputes/kinds.ts';
import { rangeWords } from '../disputes/words.ts';
import { forkOfSlot } from '../forks/extents.ts';
import { type ForkReading, readFork } from '../forks/read-fork.ts';
import { forkEnd, isPossible, type Records } from '../forks/records.ts';
import type { ForkOwner } from './decisions.ts';
import type { MendHelp } from './help.ts';
import { asRead, type Judged, judgeFork } from './judge.ts';
import { type BlockKind, peek } from './peek.ts';
import { mendLoose } from './without-register.ts';

const at = InodeCore.offsets;

/** What blocks of attributes say of themselves. */
const OF_ATTRIBUTES = new Set<BlockKind>(['attributes', 'hash-node']);

/** Extents of one fork that are told one by one. */
const MOST_TOLD = 16;

/** What a fork came to. */
export interface ForkOutcome {
  readonly attr: boolean;
  /** Blocks mapped and blocks of its tree. */
  readonly blocks: number;
  readonly treeBlocks: number;
  /** Records as the count field has to say while the fork stays as it stands. */
  readonly records: number;
  /** A part of its tree, and what that maps, may be gone. */
  readonly incomplete: boolean;
  readonly judged: Judged;
}

/**
 * @param others blocks of the other fork, when they are known: with them `nblocks` is a witness for the count.
 * @returns undefined when the fork holds no extents.
 */
export function settleFork(
  slot: DataView,
  inode: number,
  attr: boolean,
  help: MendHelp & { doubted: boolean; others: number | undefined },
): ForkOutcome | undefined {
  const { witness, reader } = help;
  const { geometry } = reader;
  const fork = forkOfSlot(geometry, slot, inode, attr);
  if (!fork) return undefined;
  const reading = readFork(reader, fork, help.search.ofTree(inode, attr));
  const owner = { inode, kind: forkKind(slot, attr) };
  tellForeign(help, owner, reading);
  const wanted =
    help.others === undefined ? undefined : getU64(slot, at.nblocks) - help.others - reading.treeBlocks.length;
  settleCount(help, reading, { ...owner, attr, regular: fork.regular }, wanted);
  const { sizeBlocks } = fork;
  const preallocated = (slot.getUint16(at.flags) & INODE_FLAG.PREALLOC) !== 0;
  mendLoose(help, reading, { ...owner, attr, regular: fork.regular, sizeBlocks, preallocated, wanted });
  let judged = judgeFork(geometry, reading, witness, {
    inode,
    attr,
    regular: fork.regular,
    sizeBlocks,
    // A fork with a fault of its own is the likelier one to be wrong where it and the register differ.
    doubted: help.doubted || reading.doubted || (fork.format === FORMAT.BTREE && !reading.sound),
    preallocated,
  });
  if (!tellRestored(help, owner, reading, judged)) judged = asRead(reading);
  let blocks = 0;
  for (let i = 0; i < judged.extents.length; i++) blocks += judged.extents.blockCount[i]!;
  return {
    attr,
    blocks,
    treeBlocks: reading.treeBlocks.length,
    records: reading.records.length,
    incomplete: reading.incomplete && judged.lost.length === 0,
    judged,
  };
}

function forkKind(slot: DataView, attr: boolean): ClaimKind {
  if (attr) return 'attributes';
  const type = slot.getUint16(at.mode) & S_IFMT;
  return type === MODE.DIR ? 'directory' : type === MODE.SYMLINK ? 'symlink' : 'data';
}

/** Blocks that the tree led to and that are another inode's. */
function tellForeign({ decisions, reader }: MendHelp, { inode }: ForkOwner, reading: ForkReading): void {
  const own = reading.treeBlocks.length;
  for (const { fsBlock, owner } of reading.foreign) {
    const kind = 'extent-tree';
    decisions.settle(
      { inode, kind },
      {
        action: 'self-description',
        home: [fsBlock, 1],
        before: [fsBlock, 1],
        evidence: [
          `the content describes itself as a block of the extent tree of inode ${owner}: its own address, uuid and magic are right`,
          own > 0
            ? `${own === 1 ? 'one other block says' : `${own} other blocks say`} to be of the extent tree of inode ${inode}, ${rangeWords(reader.geometry, reading.treeBlocks[0]!, 1)} the first`
            : `no other block says to be of the extent tree of inode ${inode}`,
        ],
        outcome: `inode ${owner} keeps the block; inode ${inode} has what its own blocks say (${reading.records.length} extents)`,
        effect: 'rebuilt',
        canStay: false,
      },
    );
  }
}

/** @returns false when the fork is to be left as it was read. */
function tellRestored(help: MendHelp, owner: ForkOwner, reading: ForkReading, judged: Judged): boolean {
  const { geometry } = help.reader;
  const { restored } = judged;
  for (let i = 0; i < Math.min(restored.length, MOST_TOLD); i++) {
    const fileBlock = restored.fileBlock[i]!;
    const fsBlock = restored.startBlock[i]!;
    const blockCount = restored.blockCount[i]!;
    const where = rangeWords(geometry, fsBlock, blockCount);
    const free = help.witness.freeBlocks(fsBlock, blockCount);
    const was = droppedAt(geometry, judged.dropped, fileBlock, blockCount);
    const rest = i === MOST_TOLD - 1 ? restored.length - MOST_TOLD : 0;
    const isDone = help.decisions.settle(owner, {
      action: 'restore',
      home: [fsBlock, blockCount],
      before: was,
      fileBlock,
      evidence: [
        `the reverse map names ${where} as the home of inode ${owner.inode}, file block ${fileBlock}; nobody is in the way${free === 0 ? ', and free space does not have them' : ''}`,
        instead(help, reading, was),
      ],
      outcome: `inode ${owner.inode} goes back to its own blocks, ${where}${rest > 0 ? `; and ${rest} more extents likewise` : ''}`,
      effect: 'restored',
      // The first answer is for all: half a fork is nobody's wish.
      canStay: i === 0 && reading.sound,
    });
    if (!isDone) return false;
  }
  return true;
}

/** Blocks that a record which is not believed names for a part of a file range. */
function droppedAt(geometry: Geometry, dropped: Records, file: number, count: number): [number, number] | undefined {
  for (let i = 0; i < dropped.length; i++) {
    const skip = Math.max(0, file - dropped.fileBlock[i]!);
    const blocks =
      Math.min(file + count, dropped.fileBlock[i]! + dropped.blockCount[i]!) - Math.max(file, dropped.fileBlock[i]!);
    const start = dropped.startBlock[i]! + skip;
    if (blocks > 0 && geometry.isFsRange(start, blocks)) return [start, blocks];
  }
  return undefined;
}

function instead(
  { reader, witness }: MendHelp,
  reading: ForkReading,
  was: readonly [number, number] | undefined,
): string {
  if (!was) return reading.sound ? 'it has no record for them' : 'its fork is damaged and has no record for them';
  const isFree = (witness.freeBlocks(...was) ?? 0) > 0;
  return `its record there names ${rangeWords(reader.geometry, ...was)}, which are ${isFree ? 'free' : 'not recorded as its own'}`;
}

/**
 * Which records are the fork's when the count may be wrong: `wanted` is how many blocks `nblocks` leaves for them. Records
 * behind the count join when they make the sum right and their blocks are in use by nobody else; counted ones leave
 * when the sum is right without them and their blocks are free. Where the sum says nothing, blocks of attributes say whose they are.
 */
function settleCount(
  { reader, witness }: MendHelp,
  reading: ForkReading,
  { inode, attr, regular }: ForkOwner & { attr: boolean; regular: boolean },
  wanted: number | undefined,
): void {
  const { records, spare } = reading;
  const { geometry } = reader;
  const end = forkEnd(geometry, attr, regular);
  const isOne = (list: Records, i: number): boolean =>
    isPossible(geometry, list.fileBlock[i]!, list.startBlock[i]!, list.blockCount[i]!, end);
  let sum = 0;
  for (let i = 0; i < records.length; i++) sum += records.blockCount[i]!;
  // Zeroes behind the last record, counted by mistake.
  while (records.length > 0 && isZero(records, records.length - 1)) {
    records.cut(records.length - 1);
    reading.sound = false;
  }
  if (sum === wanted) return;
  const isMissing = (i: number, more: number): boolean =>
    wanted === undefined ? attr && OF_ATTRIBUTES.has(peek(reader, spare.startBlock[i]!, inode)) : more < wanted;
  let more = sum;
  const joined: number[] = [];
  const cover = records.sorted();
  for (let i = 0; i < spare.length; i++) {
    const count = spare.blockCount[i]!;
    const start = spare.startBlock[i]!;
    if (!isOne(spare, i) || overlaps(cover, spare.fileBlock[i]!, count) || !isMissing(i, more)) continue;
    if ((witness.freeBlocks(start, count) ?? 0) > 0 || witness.isClaimed(start, count)) continue;
    more += count;
    joined.push(i);
  }
  if (wanted === undefined ? joined.length > 0 : more === wanted) {
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
  if (wanted === undefined) return;
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
