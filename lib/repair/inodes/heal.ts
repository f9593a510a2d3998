/**
 * Inodes and blocks whose CRC is wrong, put back as they were when the CRC itself tells what changed (see bit-rot.ts). For
 * an inode there is more to go by: a field that cannot be right is solved for, and the value believed when it fits the rest.
 */
import { ATTR_LEAF, ATTR_REMOTE } from '../../../formats/attribute.ts';
import type { BlockType } from '../../../formats/block-type.ts';
import { crcWithHole, sealCrc, storedCrc } from '../../../formats/checksum.ts';
import { DA_NODE } from '../../../formats/da.ts';
import { DIR_BLOCK, DIR_DATA, DIR_FREE, DIR_LEAF1, DIR_LEAFN } from '../../../formats/directory.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import { DATA_FORK_OFFSET, dataExtentCount, FORMAT, InodeCore, MODE, S_IFMT } from '../../../formats/inode.ts';
import { inodeCoreFault } from '../../../formats/inode-verify.ts';
import { getU64 } from '../../../formats/struct.ts';
import { SYMLINK } from '../../../formats/symlink.ts';
import { turnBack } from '../bit-rot.ts';
import { isPossible, Records } from '../forks/records.ts';
import { solveBits, solveRecord } from '../forks/solve-record.ts';
import type { ForkExtents } from '../pending.ts';
import type { RepairState } from '../state.ts';
import type { Witness } from './witness.ts';

const at = InodeCore.offsets;
/** Records that one wrong field can make unfit. */
const MOST_UNFIT = 3;
/** More blocks than attributes have but in the rarest of cases. */
const MOST_ATTR_BLOCKS = 4096;
/** Undo what made a slot's CRC wrong; the slot is changed in place. @returns what was wrong, when that is known. */
export function healSlot(slot: DataView, geometry: Geometry, inode: number, witness: Witness): string | undefined {
  const bytes = new Uint8Array(slot.buffer, slot.byteOffset, geometry.inodeSize);
  const isGood = (): boolean => inodeCoreFault(slot, 0, geometry, inode) === undefined;
  return turnBack(bytes, at.crc, isGood) ?? solve(slot, geometry, inode, witness, isGood);
}

function solve(
  slot: DataView,
  geometry: Geometry,
  inode: number,
  witness: Witness,
  isGood: () => boolean,
): string | undefined {
  const bytes = new Uint8Array(slot.buffer, slot.byteOffset, geometry.inodeSize);
  const answers: { name: string; bytes: Uint8Array }[] = [];
  const original = bytes.slice();
  /** Try a field: `clear` makes its upper part what it must be, `fits` judges the value that the CRC asks for. */
  const attempt = (name: string, first: number, count: number, clear: () => void, fits: () => boolean): void => {
    clear();
    if (solveBits(bytes, at.crc, first, count) && isGood() && fits()) answers.push({ name, bytes: bytes.slice() });
    bytes.set(original);
  };
  const zero = (offset: number) => (): void => slot.setUint32(offset, 0);
  attempt(
    'mode',
    8 * at.mode,
    16,
    () => {},
    () => true,
  );
  attempt('size', 8 * at.size + 32, 32, zero(at.size), () => fitsSize(slot, geometry));
  attempt('nblocks', 8 * at.nblocks + 32, 32, zero(at.nblocks), () => fitsBlocks(slot));
  if (slot.getUint8(at.format) === FORMAT.EXTENTS) {
    const room = Math.floor((geometry.inodeSize - DATA_FORK_OFFSET) / 16);
    const count = Math.min(room, dataExtentCount(slot, 0));
    let unfit = 0;
    for (let i = 0; i < count; i++) {
      const fits = (): boolean => fitsExtent(slot, geometry, inode, i, count, witness);
      // What fits already is not what is wrong.
      if (fits()) continue;
      if (++unfit > MOST_UNFIT) return undefined;
      for (const answer of solveRecord(bytes, at.crc, DATA_FORK_OFFSET + 16 * i, () => isGood() && fits())) {
        answers.push({ name: `extent ${i}: ${answer.name}`, bytes: answer.bytes });
      }
    }
  }
  if (answers.length !== 1) return undefined;
  bytes.set(answers[0]!.bytes);
  return answers[0]!.name;
}

/** A size that ends in the last block that is mapped: few values do. */
function fitsSize(slot: DataView, geometry: Geometry): boolean {
  const size = getU64(slot, at.size);
  const format = slot.getUint8(at.format);
  const type = slot.getUint16(at.mode) & S_IFMT;
  // What a directory or symlink says of itself is better than this.
  if (type !== MODE.FILE || format !== FORMAT.EXTENTS) return false;
  const records = inlineRecords(slot);
  const last = records.length - 1;
  return last >= 0 && Math.ceil(size / geometry.blockSize) === records.fileBlock[last]! + records.blockCount[last]!;
}

/** A number of blocks that the data fork's records add up to; an attr fork may add a few. */
function fitsBlocks(slot: DataView): boolean {
  if (slot.getUint8(at.format) !== FORMAT.EXTENTS) return false;
  const records = inlineRecords(slot);
  let sum = 0;
  for (let i = 0; i < records.length; i++) sum += records.blockCount[i]!;
  const blocks = getU64(slot, at.nblocks);
  return blocks >= sum && blocks - sum <= (slot.getUint8(at.forkoff) === 0 ? 0 : MOST_ATTR_BLOCKS);
}

/** Does a record fit between its neighbours, into the size and the block count, and are its blocks its own? */
function fitsExtent(
  slot: DataView,
  geometry: Geometry,
  inode: number,
  i: number,
  count: number,
  witness: Witness,
): boolean {
  const records = inlineRecords(slot);
  const file = records.fileBlock[i]!;
  const start = records.startBlock[i]!;
  const blocks = records.blockCount[i]!;
  if (records.length !== count || !isPossible(geometry, file, start, blocks, fileEnd(slot, geometry))) return false;
  if (i > 0 && records.fileBlock[i - 1]! + records.blockCount[i - 1]! > file) return false;
  if (i + 1 < count && file + blocks > records.fileBlock[i + 1]!) return false;
  let sum = 0;
  for (let k = 0; k < count; k++) sum += records.blockCount[k]!;
  if (sum > getU64(slot, at.nblocks)) return false;
  if (witness.isRegisteredTo(start, blocks, inode, false)) return true;
  if (witness.hasRegister(geometry.agOfFsBlock(start))) return false;
  return (witness.freeBlocks(start, blocks) ?? 0) === 0 && !witness.isClaimedByOthers(start, blocks, inode, false);
}

/** Where the blocks of a file end by its size: few file blocks lie before that. */
function fileEnd(slot: DataView, geometry: Geometry): number {
  const type = slot.getUint16(at.mode) & S_IFMT;
  return type === MODE.DIR ? 2 ** 32 : Math.ceil(getU64(slot, at.size) / geometry.blockSize);
}

function inlineRecords(slot: DataView): Records {
  const records = new Records();
  const count = Math.min(dataExtentCount(slot, 0), Math.floor((slot.byteLength - DATA_FORK_OFFSET) / 16));
  for (let i = 0; i < count; i++) records.take(slot, DATA_FORK_OFFSET + 16 * i);
  return records;
}

const DIRECTORY_TYPES: readonly BlockType[] = [DIR_BLOCK, DIR_DATA, DIR_FREE, DIR_LEAF1, DIR_LEAFN, DA_NODE];
const ATTRIBUTE_TYPES: readonly BlockType[] = [ATTR_LEAF, DA_NODE, ATTR_REMOTE];

/** Blocks of a directory, of a symlink or of attributes: those with a wrong CRC that tells what changed are put back. */
export function healBlocks(
  state: RepairState,
  inode: number,
  extents: ForkExtents,
  kind: 'directory' | 'attributes' | 'symlink',
): void {
  const { geometry } = state;
  if (kind === 'symlink') {
    for (let i = 0; i < extents.length; i++) {
      healBlock(state, inode, [SYMLINK], run(extents.startBlock[i]!, extents.blockCount[i]!));
    }
    return;
  }
  const step = kind === 'directory' ? geometry.dirBlockBlocks : 1;
  const types = kind === 'directory' ? DIRECTORY_TYPES : ATTRIBUTE_TYPES;
  let pieces: number[] = [];
  let next = -1;
  for (let i = 0; i < extents.length; i++) {
    for (let k = 0; k < extents.blockCount[i]!; k++) {
      const fileBlock = extents.fileBlock[i]! + k;
      if (fileBlock !== next || fileBlock % step === 0) pieces = [];
      pieces.push(extents.startBlock[i]! + k);
      next = fileBlock + 1;
      if (pieces.length === step && next % step === 0) healBlock(state, inode, types, pieces);
    }
  }
}

const run = (start: number, count: number): number[] =>
  Array.from({ length: Math.min(count, 64) }, (_, i) => start + i);

function healBlock(state: RepairState, inode: number, types: readonly BlockType[], blocks: readonly number[]): void {
  const { plan, geometry, report } = state;
  const { blockSize } = geometry;
  const bytes = new Uint8Array(blocks.length * blockSize);
  blocks.forEach((block, i) => {
    plan.read(geometry.fsBlockToByte(block), bytes.subarray(i * blockSize, (i + 1) * blockSize));
  });
  const offsets = new Set(types.map((type) => type.crcOffset));
  // A block is right when it is, under any of the places a CRC may have.
  for (const offset of offsets) if (crcWithHole(bytes, offset) === storedCrc(bytes, offset)) return;
  const view = new DataView(bytes.buffer);
  const daddr = geometry.fsBlockToDaddr(blocks[0]!);
  for (const offset of offsets) {
    const family = types.filter((type) => type.crcOffset === offset);
    const what = turnBack(bytes, offset, () => family.some((type) => !type.verify(view, geometry, daddr)));
    if (what === undefined) continue;
    sealCrc(bytes, offset);
    blocks.forEach((block, i) => {
      plan.write(geometry.fsBlockToByte(block), bytes.subarray(i * blockSize, (i + 1) * blockSize));
    });
    report.did('inodes', `inode ${inode}: a block whose CRC tells what changed in it was put back (${what})`, {
      inode,
    });
    return;
  }
}
