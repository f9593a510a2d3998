/**
 * Inode, inode-create and dquot items. The log has an inode's core in the writer's byte order and the root of an extent tree
 * in its in-memory form; here both become what stands on the disk.
 */

import { BTREES, LongHeader } from '../../../formats/btree-blocks.ts';
import { sealCrc } from '../../../formats/checksum.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import {
  attrForkBytes,
  attrForkOffset,
  DATA_FORK_OFFSET,
  dataForkBytes,
  FORMAT,
  INODE_FLAG2,
  INODE_MAGIC,
  InodeCore,
  MODE,
  maxRootRecords,
  S_IFMT,
} from '../../../formats/inode.ts';
import { inodeCrcFault } from '../../../formats/inode-verify.ts';
import { BUFFER_TYPE, DquotItem, IcreateItem, INODE_ITEM, InodeItem } from '../../../formats/log-items.ts';
import { getU64, NULL32, setU64 } from '../../../formats/struct.ts';
import type { Position } from '../position.ts';
import { badItem, checkPlace, DQUOT_BYTES, DQUOT_CRC, DQUOT_MAGIC, isOlder } from './buffer-items.ts';
import { type LogItem, viewOf } from './checkpoints.ts';
import type { RawBlock } from './raw-blocks.ts';
import type { ReplayState } from './replay-state.ts';

const LSN = InodeCore.offsets.lsn;
const CORE = InodeCore.size;
/** Core fields whose bytes are swapped in the log. */
const SWAPPED = InodeCore.fields.filter((field) => field.kind !== 'bytes' && field.kind !== 'pad' && field.size > 1);
const DATA_FIELDS = INODE_ITEM.DDATA | INODE_ITEM.DEXT | INODE_ITEM.DBROOT;
const ATTR_FIELDS = INODE_ITEM.ADATA | INODE_ITEM.AEXT | INODE_ITEM.ABROOT;
const DISK_DQUOT = 104;
const DQUOT_LSN = 112;

/** Replay one inode item (10.6). */
export function replayInode(replay: ReplayState, item: LogItem, lsn: Position): void {
  const { geometry } = replay;
  const head = item.regions[0]!;
  if (head.length !== InodeItem.size) throw badItem('inode item has an unknown size', InodeItem.size, head.length);
  const fields = InodeItem.at(viewOf(head));
  const { ino, daddr, offset } = fields;
  const length = fields.length * BASIC_BLOCK;
  if (!Number.isSafeInteger(ino) || !geometry.isInode(ino)) {
    throw badItem('inode item names no inode', 'an inode of the image', ino);
  }
  checkPlace(daddr, length, BUFFER_TYPE.INODES, geometry);
  const { inodeSize } = geometry;
  const agBlock = geometry.agBlockOfAgInode(geometry.agInodeOfInode(ino));
  const slotInBlock = geometry.agInodeOfInode(ino) % geometry.inodesPerBlock;
  const own = geometry.agBlockToByte(geometry.agOfInode(ino), agBlock) + slotInBlock * inodeSize;
  if (daddr * BASIC_BLOCK + offset !== own || offset + inodeSize > length) {
    throw badItem('inode item points at another place', own, daddr * BASIC_BLOCK + offset, { inode: ino });
  }
  if (replay.isCancelled(daddr, fields.length)) return;
  const block = replay.blocks.get(daddr, length);
  const { view } = block;
  const isThere = view.getUint16(offset) === INODE_MAGIC;
  if (!isThere && replay.isStrict) {
    throw badItem('there is no inode where one is logged', INODE_MAGIC, view.getUint16(offset), { inode: ino });
  }
  // An inode larger than a sector may be torn: then its LSN says nothing.
  const isLater = !isOlder(view, offset + LSN, { cycle: lsn.cycle, block: lsn.block + 1 }, false);
  if (isThere && isLater && !inodeCrcFault(view, offset, geometry)) {
    replay.skipped++;
    return;
  }
  const core = item.regions[1];
  if (!core || core.length < CORE) throw badItem('inode item without a core', CORE, core?.length ?? 0, { inode: ino });
  if (!isThere) view.setUint32(offset + InodeCore.offsets.nextUnlinked, NULL32);
  writeCore(block, offset, core, lsn, ino);
  if ((view.getUint16(offset + 2) & S_IFMT) === MODE.DIR) replay.directories.add(ino);
  writeForks(block, offset, item, fields.fields, ino, geometry);
  if (fields.fields & INODE_ITEM.DEV) view.setUint32(offset + DATA_FORK_OFFSET, fields.rdev);
  block.slots.add(offset);
  replay.blocks.touch(block);
  if (fields.fields & (INODE_ITEM.DOWNER | INODE_ITEM.AOWNER)) {
    replay.ownerChanges.push({ inode: ino, attr: (fields.fields & INODE_ITEM.AOWNER) !== 0, lsn });
  }
}

/** The logged core becomes the disk's; CRC, unlinked chain and (until now) LSN are the disk's own. */
function writeCore(block: RawBlock, offset: number, logged: Uint8Array, lsn: Position, ino: number): void {
  const bytes = logged.slice(0, CORE);
  const bigtime = (bytes[InodeCore.offsets.flags2]! & INODE_FLAG2.BIGTIME) !== 0;
  for (const field of SWAPPED) {
    const at = field.offset;
    if (field.size === 8 && !bigtime && field.name.endsWith('time')) {
      bytes.subarray(at, at + 4).reverse();
      bytes.subarray(at + 4, at + 8).reverse();
    } else if (field.kind !== 'u32le') bytes.subarray(at, at + field.size).reverse();
  }
  const view = viewOf(bytes);
  if (view.getUint16(0) !== INODE_MAGIC || getU64(view, InodeCore.offsets.ino) !== ino) {
    throw badItem('the logged core is that of another inode', ino, getU64(view, InodeCore.offsets.ino), { inode: ino });
  }
  view.setUint32(InodeCore.offsets.nextUnlinked, block.view.getUint32(offset + InodeCore.offsets.nextUnlinked));
  view.setUint32(LSN, lsn.cycle);
  view.setUint32(LSN + 4, lsn.block);
  block.data.set(bytes, offset);
}

function writeForks(
  block: RawBlock,
  offset: number,
  item: LogItem,
  fields: number,
  ino: number,
  geometry: Geometry,
): void {
  const { view, data } = block;
  const { inodeSize } = geometry;
  const sizes = InodeItem.at(viewOf(item.regions[0]!));
  const forkoff = view.getUint8(offset + InodeCore.offsets.forkoff);
  if (CORE + forkoff * 8 > inodeSize)
    throw badItem('the attr fork starts behind the inode', inodeSize, forkoff * 8, { inode: ino });
  const put = (region: Uint8Array | undefined, size: number, at: number, room: number, isRoot: boolean): void => {
    if (!region || region.length < size)
      throw badItem('a logged fork is too short', size, region?.length ?? 0, { inode: ino });
    const fork = data.subarray(offset + at, offset + at + room);
    if (isRoot) writeRoot(region, fork, ino);
    else if (size > room) throw badItem('a logged fork does not fit the inode', room, size, { inode: ino });
    else fork.set(region.subarray(0, size));
  };
  let next = 2;
  if (fields & DATA_FIELDS) {
    const room = dataForkBytes(view, offset, inodeSize);
    put(item.regions[next++], sizes.dataSize, DATA_FORK_OFFSET, room, (fields & INODE_ITEM.DBROOT) !== 0);
  }
  if (fields & ATTR_FIELDS) {
    const room = attrForkBytes(view, offset, inodeSize);
    const at = attrForkOffset(view, offset);
    put(item.regions[next], sizes.attrSize, at, room, (fields & INODE_ITEM.ABROOT) !== 0);
  }
}

/** The in-memory root has its pointers right behind the keys there is room for; on disk the fork's size decides. */
function writeRoot(region: Uint8Array, fork: Uint8Array, ino: number): void {
  const from = viewOf(region);
  if (region.length < LongHeader.size)
    throw badItem('a logged tree root is too short', LongHeader.size, region.length, { inode: ino });
  const header = LongHeader.at(from);
  const { level, numrecs } = header;
  const held = Math.floor((region.length - LongHeader.size) / 16);
  const room = maxRootRecords(fork.length);
  if (header.magic !== BTREES.bmbt.magic || level === 0 || numrecs === 0 || numrecs > held || numrecs > room) {
    throw badItem('a logged tree root is not valid', `1..${Math.min(held, room)} records`, numrecs, { inode: ino });
  }
  const to = viewOf(fork);
  to.setUint16(0, level);
  to.setUint16(2, numrecs);
  fork.set(region.subarray(LongHeader.size, LongHeader.size + 8 * numrecs), 4);
  const pointers = LongHeader.size + 8 * held;
  fork.set(region.subarray(pointers, pointers + 8 * numrecs), 4 + 8 * room);
}

/** Replay an inode-create item: all slots become never-used inodes; what was in them later is logged behind it. */
export function replayIcreate(replay: ReplayState, item: LogItem): void {
  const { geometry } = replay;
  const head = item.regions[0]!;
  if (head.length !== IcreateItem.size)
    throw badItem('inode-create item has an unknown size', IcreateItem.size, head.length);
  const { ag, agBlock, count, inodeSize, length, gen } = IcreateItem.at(viewOf(head));
  const isPiece = geometry.features.sparse && geometry.sparseAlignment > 0 && length % geometry.sparseAlignment === 0;
  const place = `AG ${ag}, ${agBlock}+${length}`;
  if (ag >= geometry.agCount || length === 0 || !geometry.isFsRange(geometry.fsBlock(ag, agBlock), length)) {
    throw badItem('an inode chunk lies outside the image', 'blocks of one AG', place);
  }
  if ((length !== geometry.chunkBlocks && !isPiece) || length > geometry.chunkBlocks) {
    throw badItem('an inode chunk has an impossible size', geometry.chunkBlocks, length);
  }
  if (inodeSize !== geometry.inodeSize || count !== length * geometry.inodesPerBlock) {
    throw badItem('an inode chunk has an impossible number of inodes', length * geometry.inodesPerBlock, count);
  }
  const step = Math.min(geometry.clusterBlocks, length);
  const bytes = step * geometry.blockSize;
  const clusters: number[] = [];
  for (let at = 0; at < length; at += step) clusters.push(geometry.agBlockToDaddr(ag, agBlock + at));
  for (const daddr of clusters) checkPlace(daddr, bytes, BUFFER_TYPE.INODES, geometry);
  if (clusters.some((daddr) => replay.isCancelled(daddr, bytes / BASIC_BLOCK))) return;
  let inode = geometry.inodeNumber(ag, agBlock * geometry.inodesPerBlock);
  for (const daddr of clusters) {
    const block = replay.blocks.get(daddr, bytes, true);
    block.data.fill(0);
    block.type = undefined;
    block.slots.clear();
    block.unsettled = false;
    for (let offset = 0; offset < bytes; offset += inodeSize, inode++) {
      const core = InodeCore.at(block.view, offset);
      core.magic = INODE_MAGIC;
      core.version = 3;
      core.gen = gen;
      core.nextUnlinked = NULL32;
      core.ino = inode;
      core.uuid = geometry.metaUuid;
      sealCrc(block.data.subarray(offset, offset + inodeSize), InodeCore.offsets.crc);
    }
    replay.blocks.touch(block);
  }
}

/** Replay a dquot item: 104 bytes of a dquot that must be there already. */
export function replayDquot(replay: ReplayState, item: LogItem, lsn: Position): void {
  const { geometry } = replay;
  const head = item.regions[0]!;
  if (head.length < DquotItem.size) throw badItem('dquot item is too short', DquotItem.size, head.length);
  const { daddr, offset, id } = DquotItem.at(viewOf(head));
  const logged = item.regions[1];
  if (!logged || logged.length < DISK_DQUOT || viewOf(logged).getUint16(0) !== DQUOT_MAGIC) {
    throw badItem('dquot item without a dquot', DISK_DQUOT, logged?.length ?? 0);
  }
  checkPlace(daddr, geometry.blockSize, BUFFER_TYPE.USER_DQUOT, geometry);
  if (offset % DQUOT_BYTES !== 0 || offset + DQUOT_BYTES > geometry.blockSize) {
    throw badItem('a dquot lies across blocks', `a multiple of ${DQUOT_BYTES}`, offset);
  }
  if (replay.isCancelled(daddr, geometry.blockSize / BASIC_BLOCK)) return;
  const block = replay.blocks.get(daddr, geometry.blockSize);
  const { view } = block;
  if (view.getUint16(offset) !== DQUOT_MAGIC || viewOf(logged).getUint32(4) !== id) {
    throw badItem('there is no dquot where one is logged', DQUOT_MAGIC, view.getUint16(offset), { daddr });
  }
  if (!isOlder(view, offset + DQUOT_LSN, { cycle: lsn.cycle, block: lsn.block + 1 }, true)) {
    replay.skipped++;
    return;
  }
  block.data.set(logged.subarray(0, DISK_DQUOT), offset);
  view.setUint32(offset + DQUOT_LSN, lsn.cycle);
  view.setUint32(offset + DQUOT_LSN + 4, lsn.block);
  sealCrc(block.data.subarray(offset, offset + DQUOT_BYTES), DQUOT_CRC);
  replay.blocks.touch(block);
}

/** An old way to exchange files: the blocks of the extent tree still name the other inode. */
export function replayOwner(replay: ReplayState, change: { inode: number; attr: boolean; lsn: Position }): void {
  const { geometry, blocks } = replay;
  const { inode } = change;
  const ag = geometry.agOfInode(inode);
  const agInode = geometry.agInodeOfInode(inode);
  const agBlock = geometry.agBlockOfAgInode(agInode);
  const cluster = agBlock - (agBlock % geometry.clusterBlocks);
  const holder = blocks.get(geometry.agBlockToDaddr(ag, cluster), geometry.clusterBlocks * geometry.blockSize);
  const offset = (agInode % (geometry.clusterBlocks * geometry.inodesPerBlock)) * geometry.inodeSize;
  const { view } = holder;
  const format = view.getUint8(offset + (change.attr ? InodeCore.offsets.aformat : InodeCore.offsets.format));
  if (format !== FORMAT.BTREE) return;
  const base = offset + (change.attr ? attrForkOffset(view, offset) : DATA_FORK_OFFSET);
  const room = change.attr
    ? attrForkBytes(view, offset, geometry.inodeSize)
    : dataForkBytes(view, offset, geometry.inodeSize);
  const seen = new Set<number>();
  const walk = (pointer: number, level: number): void => {
    if (!geometry.isFsBlock(pointer) || seen.has(pointer)) {
      throw badItem('the extent tree of an exchanged file is damaged', 'a block of the image', pointer, { inode });
    }
    seen.add(pointer);
    const daddr = geometry.fsBlockToDaddr(pointer);
    checkPlace(daddr, geometry.blockSize, BUFFER_TYPE.BTREE, geometry);
    const block = blocks.get(daddr, geometry.blockSize);
    const header = LongHeader.at(block.view);
    const type = replay.bmbtType;
    if (header.magic !== BTREES.bmbt.magic || header.level !== level || type.verify(block.view, geometry, daddr)) {
      throw badItem('the extent tree of an exchanged file is damaged', 'a bmbt block', pointer, { inode });
    }
    const children: number[] = [];
    const most = Math.floor((geometry.blockSize - LongHeader.size) / 16);
    for (let i = 0; level > 0 && i < header.numrecs; i++) {
      children.push(getU64(block.view, LongHeader.size + 8 * most + 8 * i));
    }
    if (header.owner !== inode) {
      setU64(block.view, 56, inode);
      block.type = type;
      blocks.touch(block);
    }
    for (const child of children) walk(child, level - 1);
  };
  const level = view.getUint16(base);
  const count = Math.min(view.getUint16(base + 2), maxRootRecords(room));
  for (let i = 0; i < count; i++) walk(getU64(view, base + 4 + 8 * maxRootRecords(room) + 8 * i), level - 1);
}
