/**
 * Buffer items: changed chunks of a block, put back in its place. Where a block lies and what it may be is checked before
 * a byte changes; the LSN rule (10.10) keeps old images from going over newer blocks.
 */

import { crcWithHole, sealCrc, storedCrc } from '../../../formats/checksum.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import { INODE_MAGIC, InodeCore } from '../../../formats/inode.ts';
import { BUFFER_CHUNK, BUFFER_ITEM, BUFFER_TYPE, BUFFER_TYPE_SHIFT, BufferItem } from '../../../formats/log-items.ts';
import { getU64, NULL32 } from '../../../formats/struct.ts';
import { type CadastreError, corrupt } from '../../errors.ts';
import { comparePositions, type Position } from '../position.ts';
import { isDirectoryType, isFamily, kindOf } from './block-kinds.ts';
import { type LogItem, viewOf } from './checkpoints.ts';
import type { RawBlock } from './raw-blocks.ts';
import type { ReplayState } from './replay-state.ts';

const DQUOT_FLAGS = BUFFER_ITEM.USER_DQUOT | BUFFER_ITEM.PROJECT_DQUOT | BUFFER_ITEM.GROUP_DQUOT;
export const DQUOT_BYTES = 136;
export const DQUOT_MAGIC = 0x4451;
export const DQUOT_CRC = 108;
const MAX_BUFFER = 131072;

/** The head of a buffer item, checked. Lengths in bytes. */
export interface BufferHead {
  readonly daddr: number;
  readonly length: number;
  readonly flags: number;
  readonly logType: number;
  readonly words: number;
}

export const badItem = (
  what: string,
  expected: unknown,
  found: unknown,
  where: Record<string, unknown> = {},
): CadastreError =>
  corrupt('LOG_ITEM_FIELD', `log: ${what}`, { where: { structure: 'log', ...where }, expected, found });

/** Read the format structure of a buffer item. Throws `corrupt` LOG_ITEM_FIELD when it names no block of the image. */
export function bufferHead(item: LogItem, geometry: Geometry): BufferHead {
  const head = item.regions[0]!;
  if (head.length < BufferItem.size) throw badItem('buffer item is too short', BufferItem.size, head.length);
  const fields = BufferItem.at(viewOf(head));
  const { flags, daddr, mapWords } = fields;
  const length = fields.length * BASIC_BLOCK;
  if (head.length < BufferItem.size + 4 * mapWords || mapWords > MAX_BUFFER / BUFFER_CHUNK / 32) {
    throw badItem('buffer item: bitmap is longer than the item', head.length, BufferItem.size + 4 * mapWords);
  }
  const logType = flags >>> BUFFER_TYPE_SHIFT;
  checkPlace(daddr, length, logType, geometry);
  return { daddr, length, flags, logType, words: mapWords };
}

const HEADER_SECTOR = new Map<number, 0 | 1 | 2 | 3>([
  [BUFFER_TYPE.SUPERBLOCK, 0],
  [BUFFER_TYPE.AGF, 1],
  [BUFFER_TYPE.AGI, 2],
  [BUFFER_TYPE.AGFL, 3],
]);

/** A buffer lies inside the image, in one AG; only AG headers in the header blocks, nothing in the log. */
export function checkPlace(daddr: number, length: number, logType: number, geometry: Geometry): void {
  const perBlock = geometry.blockSize / BASIC_BLOCK;
  const bad = (expected: string): never => {
    throw badItem(`a buffer of type ${logType} cannot lie there`, expected, `${daddr}+${length / BASIC_BLOCK}`, {
      daddr,
    });
  };
  if (!Number.isSafeInteger(daddr) || daddr < 0 || length <= 0 || length > MAX_BUFFER) bad('a short buffer');
  const ag = geometry.agOfDaddr(daddr);
  const end = daddr + length / BASIC_BLOCK;
  if (ag >= geometry.agCount || end > geometry.agBlockToDaddr(ag, 0) + geometry.agLength(ag) * perBlock)
    bad('inside one AG');
  const sector = HEADER_SECTOR.get(logType);
  if (sector !== undefined) {
    if (daddr !== geometry.agHeaderDaddr(ag, sector) || length !== geometry.sectorSize) bad('the header sector');
    return;
  }
  if (daddr % perBlock !== 0 || length % geometry.blockSize !== 0) bad('whole blocks');
  if (geometry.agBlockOfDaddr(daddr) < geometry.headerBlocks) bad('behind the AG headers');
  const log = geometry.fsBlockToDaddr(geometry.logStart);
  if (daddr < log + geometry.logBlocks * perBlock && end > log) bad('outside the log');
}

/** Visit the logged runs: where in the buffer, and the bytes. Throws `corrupt` when bitmap and regions do not agree. */
function forEachRun(item: LogItem, head: BufferHead, visit: (offset: number, bytes: Uint8Array) => void): void {
  const bits = viewOf(item.regions[0]!);
  const chunks = head.length / BUFFER_CHUNK;
  const isSet = (chunk: number): boolean =>
    chunk < 32 * head.words && ((bits.getUint32(BufferItem.size + 4 * (chunk >> 5), true) >>> (chunk & 31)) & 1) === 1;
  for (let chunk = chunks; chunk < 32 * head.words; chunk++) {
    if (isSet(chunk))
      throw badItem('buffer item: bitmap reaches beyond the buffer', chunks, chunk, { daddr: head.daddr });
  }
  let region = 1;
  for (let chunk = 0; chunk < chunks; ) {
    if (!isSet(chunk)) {
      chunk++;
      continue;
    }
    let end = chunk;
    while (end < chunks && isSet(end)) end++;
    // A run may be cut into several regions.
    const bytes = item.regions[region++];
    const count = bytes ? Math.min(end - chunk, Math.floor(bytes.length / BUFFER_CHUNK)) : 0;
    if (!bytes || count === 0) {
      throw badItem('buffer item: the bitmap names more than was logged', end - chunk, count, { daddr: head.daddr });
    }
    visit(chunk * BUFFER_CHUNK, bytes.subarray(0, count * BUFFER_CHUNK));
    chunk += count;
  }
}

/** Replay one buffer item that is neither a cancel nor cancelled. */
export function replayBuffer(replay: ReplayState, item: LogItem, head: BufferHead, lsn: Position): void {
  const { geometry, blocks } = replay;
  const block = blocks.get(head.daddr, head.length);
  if (head.flags & BUFFER_ITEM.INODES) {
    replayUnlinked(block, item, head, geometry);
    blocks.touch(block);
    return;
  }
  if (head.flags & DQUOT_FLAGS) {
    forEachRun(item, head, (offset, bytes) => block.data.set(bytes, offset));
    sealDquots(block);
    blocks.touch(block);
    return;
  }
  if (head.logType === BUFFER_TYPE.INODES || head.logType === BUFFER_TYPE.UNKNOWN) {
    // Whole blocks of inodes, or bytes of no structure: they bring their CRCs along, and have no LSN to compare.
    forEachRun(item, head, (offset, bytes) => block.data.set(bytes, offset));
    block.type = undefined;
    block.unsettled = false;
    blocks.touch(block);
    return;
  }
  const isPiece = isDirectoryType(head.logType) && head.length < geometry.dirBlockSize;
  if (!block.inGroup && !isPiece) {
    if (isNewer(block, lsn, geometry)) {
      replay.skipped++;
      return;
    }
    block.unsettled ||= !isWhole(block, geometry);
  }
  forEachRun(item, head, (offset, bytes) => block.data.set(bytes, offset));
  if (isPiece) replay.pieces.push({ daddr: head.daddr, length: head.length });
  const kind = kindOf(block.view, geometry);
  if (isPiece && (head.logType !== BUFFER_TYPE.DA_NODE || head.length !== geometry.blockSize)) {
    block.type = undefined; // sealed when the whole directory block is known
  } else if (kind && isFamily(head.logType, kind.logType)) block.type = kind.type;
  else if (!isPiece) {
    // A change of what the block was in an earlier life, over what it is now: a later image must make it whole.
    block.type = undefined;
    block.unsettled = true;
  }
  if (head.daddr === 0) replay.adoptSuperblock(block, lsn);
  blocks.touch(block);
}

/** The block on the disk was written by this checkpoint or a later one. */
function isNewer(block: RawBlock, lsn: Position, geometry: Geometry): boolean {
  const kind = kindOf(block.view, geometry);
  if (!kind || kind.type.lsnOffset < 0 || block.data.length < kind.uuidOffset + 16) return false;
  if (!geometry.isMetaUuid(block.view, kind.uuidOffset)) return false;
  return !isOlder(block.view, kind.type.lsnOffset, lsn, true) && isWhole(block, geometry);
}

/**
 * The block on the disk is not torn: its CRC says so. What a torn one says of its LSN is worth nothing, for its sectors are
 * of different age; the log from the tail on has every change that any of them may lack.
 */
function isWhole(block: RawBlock, geometry: Geometry): boolean {
  const offset = kindOf(block.view, geometry)?.type.crcOffset ?? -1;
  return offset >= 0 && storedCrc(block.data, offset) === crcWithHole(block.data, offset);
}

/** The LSN at an offset lies before a place (`orNone`: 0 and null count as before everything). */
export function isOlder(view: DataView, offset: number, lsn: Position, orNone: boolean): boolean {
  const cycle = view.getUint32(offset);
  const block = view.getUint32(offset + 4);
  if (orNone && ((cycle === 0 && block === 0) || (cycle === NULL32 && block === NULL32))) return true;
  return comparePositions({ cycle, block }, lsn) < 0;
}

/** Of a logged inode cluster only the unlinked chains are replayed; the inodes have items of their own. */
function replayUnlinked(block: RawBlock, item: LogItem, head: BufferHead, geometry: Geometry): void {
  const { inodeSize } = geometry;
  const next = InodeCore.offsets.nextUnlinked;
  forEachRun(item, head, (start, bytes) => {
    const logged = viewOf(bytes);
    const first = Math.ceil((start - next) / inodeSize) * inodeSize;
    for (let slot = Math.max(0, first); slot + next + 4 <= start + bytes.length; slot += inodeSize) {
      const value = logged.getUint32(slot + next - start);
      const inode = getU64(block.view, slot + InodeCore.offsets.ino);
      if (block.view.getUint16(slot) !== INODE_MAGIC || !geometry.isInode(inode)) {
        throw badItem('an unlinked chain goes through no inode', 'an inode', block.view.getUint16(slot), {
          daddr: head.daddr,
        });
      }
      if (value !== NULL32 && !geometry.isAgInode(geometry.agOfInode(inode), value)) {
        throw badItem('an unlinked chain leaves the AG', 'null or an inode of the AG', value, { inode });
      }
      block.view.setUint32(slot + next, value);
      sealCrc(block.data.subarray(slot, slot + inodeSize), InodeCore.offsets.crc);
    }
  });
}

/** Give every dquot of a block its CRC. */
function sealDquots(block: RawBlock): void {
  for (let at = 0; at + DQUOT_BYTES <= block.data.length; at += DQUOT_BYTES) {
    if (block.view.getUint16(at) === DQUOT_MAGIC) sealCrc(block.data.subarray(at, at + DQUOT_BYTES), DQUOT_CRC);
  }
}
