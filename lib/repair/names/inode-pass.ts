/**
 * Every inode slot as it stands on the plan: type, links, generation; in the same table that the check uses. One read of
 * every chunk, nothing kept but a few bytes a slot.
 */
import { INODE_MAGIC, InodeCore } from '../../../formats/inode.ts';
import { inodeCoreFault } from '../../../formats/inode-verify.ts';
import { NULL64 } from '../../../formats/struct.ts';
import { Superblock } from '../../../formats/superblock.ts';
import type { Carry } from '../../check/carry.ts';
import { CHUNK, ChunkList, InodeTable, NONE, STATE } from '../../check/inode-table.ts';
import { ChunkRecord } from '../../space/inode-records.ts';
import { attempt, type Workshop } from './workshop.ts';

const at = InodeCore.offsets;

/**
 * The table; `complete` when all inode trees could be read.
 * @param carry what the check saw of chunks that have not changed.
 */
export function readInodes(shop: Workshop, carry: Carry | undefined): InodeTable {
  const { geometry, space, tx } = shop;
  const record = new ChunkRecord(geometry);
  let complete = true;
  const lists: ChunkList[] = [];
  for (let ag = 0; ag < geometry.agCount; ag++) {
    const list = new ChunkList();
    let next = 0;
    const read = attempt(() => {
      space.forEachInodeChunk(tx, ag, (view, offset) => {
        const { startInode, holemask } = record.load(view, offset);
        const fits = geometry.isAgInode(ag, startInode) && startInode >= next;
        if (!fits) complete = false;
        else list.push(startInode, holemask, view.getUint32(offset + 8), view.getUint32(offset + 12));
        next = startInode + CHUNK;
      });
      return true;
    });
    if (!read) complete = false;
    lists.push(list);
  }
  const table = new InodeTable(geometry, lists, complete);
  for (let ag = 0; ag < geometry.agCount; ag++) readAg(shop, table, ag, carry?.takeChunks(table, ag));
  markSpecial(shop, table);
  return table;
}

function readAg(shop: Workshop, table: InodeTable, ag: number, known: Uint8Array | undefined): void {
  const { geometry } = shop;
  const { inodeSize } = geometry;
  const list = table.chunks[ag]!;
  const bytes = new Uint8Array(CHUNK * inodeSize);
  const view = new DataView(bytes.buffer);
  for (let chunk = 0; chunk < list.length; chunk++) {
    if (known?.[chunk] === 1) continue;
    const start = list.start[chunk]!;
    const first = (table.firstChunk[ag]! + chunk) * CHUNK;
    // Holes may lie behind the end of the AG: what exists is read piece by piece.
    const step = list.holemask[chunk] === 0 ? CHUNK : 4;
    for (let slot = 0; slot < CHUNK; slot += step) {
      if (!list.exists(chunk, slot)) continue;
      const agInode = start + slot;
      const byte =
        geometry.agBlockToByte(ag, geometry.agBlockOfAgInode(agInode)) +
        (agInode % geometry.inodesPerBlock) * inodeSize;
      const piece = bytes.subarray(0, step * inodeSize);
      const readable = attempt(() => {
        shop.plan.read(byte, piece);
        return true;
      });
      for (let i = 0; i < step; i++) {
        const free = list.isFree(chunk, slot + i);
        if (readable)
          readSlot(table, view, i * inodeSize, first + slot + i, geometry.inodeNumber(ag, agInode + i), free);
        else table.state[first + slot + i] = STATE.unreadable;
      }
    }
  }
}

function readSlot(
  table: InodeTable,
  view: DataView,
  offset: number,
  index: number,
  inode: number,
  free: boolean,
): void {
  const isInode = view.getUint16(offset) === INODE_MAGIC && !inodeCoreFault(view, offset, table.geometry, inode);
  if (!isInode) {
    if (!free) table.state[index] = STATE.unreadable;
    return;
  }
  const mode = view.getUint16(offset + at.mode);
  if (mode === 0) return;
  table.state[index] = STATE.used;
  table.mode[index] = mode;
  table.nlink[index] = view.getUint32(offset + at.nlink);
  if (table.generation.length > 0) table.generation[index] = view.getUint32(offset + at.gen);
}

/** Inodes that belong into no directory. */
function markSpecial(shop: Workshop, table: InodeTable): void {
  for (const inode of specialInodes(shop)) {
    const index = table.indexOf(inode);
    if (index !== NONE) table.state[index]! |= STATE.special;
  }
}

/** Realtime and quota inodes, by the superblock on the plan. */
function specialInodes(shop: Workshop): number[] {
  const sector = new Uint8Array(shop.geometry.sectorSize);
  shop.plan.read(0, sector);
  const sb = Superblock.at(new DataView(sector.buffer));
  const numbers = [sb.rbmino, sb.rsumino, sb.uquotino, sb.gquotino, sb.pquotino];
  return numbers.filter((inode) => inode !== 0 && inode !== NULL64 && inode < 2 ** 53);
}
