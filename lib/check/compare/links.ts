/**
 * Links: unlinked lists, link counts, and that every inode in use can be reached from the root.
 *
 * 1. An inode in use is named by a directory, or special (realtime, quota), or on an unlinked list with no link left.
 * 2. With a clean log an unlinked inode is a leftover: nobody frees it any more.
 */
import { AGI_BUCKETS, Agi } from '../../../formats/ag-headers.ts';
import { InodeCore, MODE, S_IFMT } from '../../../formats/inode.ts';
import { getU64, NULL32, NULL64 } from '../../../formats/struct.ts';
import { Superblock } from '../../../formats/superblock.ts';
import type { CheckContext } from '../context.ts';
import { type InodeTable, NONE, STATE } from '../inode-table.ts';

/** Root and inodes without a name, by the superblock. Reports missing ones. */
export function markSpecialInodes(context: CheckContext, table: InodeTable, sector: DataView): void {
  const { geometry, problems } = context;
  const sb = Superblock.at(sector);
  const mark = (name: string, inode: number, type: number, special: boolean): void => {
    const index = table.indexOf(inode);
    const state = index === NONE ? 0 : table.state[index]!;
    const where = { inode, structure: name };
    if ((state & STATE.used) === 0) {
      // An inode that is there but unreadable was reported.
      if ((state & STATE.unreadable) !== 0 || (index === NONE && !table.complete)) return;
      problems.add('SPECIAL_INODE', { ...where, field: 'the inode' }, 'in use', index === NONE ? 'missing' : 'free');
      return;
    }
    const found = table.mode[index]! & S_IFMT;
    if (found !== type)
      problems.add('SPECIAL_INODE', { ...where, field: 'type' }, `0o${type.toString(8)}`, `0o${found.toString(8)}`);
    if (special) table.state[index]! |= STATE.special;
    // Without a realtime section its two inodes are empty.
    const size = name.startsWith('realtime') ? sizeOf(context, inode) : 0;
    if (size !== 0) problems.add('SPECIAL_INODE', { ...where, field: 'size' }, 0, size);
  };
  mark('root directory', geometry.rootInode, MODE.DIR, false);
  if (sb.rbmino !== NULL64) mark('realtime bitmap', sb.rbmino, MODE.FILE, true);
  if (sb.rsumino !== NULL64) mark('realtime summary', sb.rsumino, MODE.FILE, true);
  for (const [name, inode] of [
    ['user quota', sb.uquotino],
    ['group quota', sb.gquotino],
    ['project quota', sb.pquotino],
  ] as const) {
    if (inode !== 0 && inode !== NULL64) mark(name, inode, MODE.FILE, true);
  }
}

/** The size field of an inode. */
function sizeOf(context: CheckContext, inode: number): number {
  const { geometry } = context;
  const agInode = geometry.agInodeOfInode(inode);
  const byte =
    geometry.agBlockToByte(geometry.agOfInode(inode), geometry.agBlockOfAgInode(agInode)) +
    (agInode % geometry.inodesPerBlock) * geometry.inodeSize;
  const field = new Uint8Array(8);
  return context.read(byte + InodeCore.offsets.size, field) ? getU64(new DataView(field.buffer), 0) : 0;
}

/** Walk the unlinked lists of an AG. */
export function followUnlinked(context: CheckContext, table: InodeTable, ag: number, agiView: DataView): void {
  const { geometry, problems } = context;
  for (let bucket = 0; bucket < AGI_BUCKETS; bucket++) {
    let agInode = agiView.getUint32(Agi.offsets.unlinked + 4 * bucket);
    let field = `unlinked[${bucket}]`;
    while (agInode !== NULL32) {
      const index = geometry.isAgInode(ag, agInode) ? table.indexInAg(ag, agInode) : NONE;
      const state = index === NONE ? 0 : table.state[index]!;
      const where = { ag, structure: 'AGI', field };
      if ((state & STATE.used) === 0) {
        if ((state & STATE.unreadable) === 0) {
          problems.add('UNLINKED_LIST', where, 'null or an inode in use', agInode, { rule: 'UNLINKED_POINTER' });
        }
        break;
      }
      if ((state & STATE.unlinked) !== 0) {
        problems.add('UNLINKED_LIST', where, 'an inode not yet on a list', agInode, { rule: 'UNLINKED_LOOP' });
        break;
      }
      table.state[index]! |= STATE.unlinked;
      const inode = geometry.inodeNumber(ag, agInode);
      if (agInode % AGI_BUCKETS !== bucket) {
        const rule = 'UNLINKED_BUCKET';
        problems.add('UNLINKED_LIST', { ...where, inode }, `bucket ${agInode % AGI_BUCKETS}`, `bucket ${bucket}`, {
          rule,
        });
      }
      if (table.nlink[index] !== 0) {
        const rule = 'UNLINKED_LINKED';
        problems.add('UNLINKED_LIST', { ...where, inode, field: 'nlink' }, 0, table.nlink[index]!, { rule });
      } else problems.add('UNLINKED_LEFTOVER', { ag, inode }, 'freed', 'unlinked');
      field = `nextUnlinked of inode ${inode}`;
      agInode = nextOf(table, index);
    }
  }
}

/** The next inode behind this one: the pairs are in index order. */
function nextOf(table: InodeTable, index: number): number {
  const { chained } = table;
  let low = 0;
  let high = chained.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (chained[2 * middle]! < index) low = middle + 1;
    else high = middle;
  }
  return chained[2 * low] === index ? chained[2 * low + 1]! : NULL32;
}

/** Inodes that point into an unlinked list but are on none. */
export function strayUnlinked(context: CheckContext, table: InodeTable): void {
  for (let i = 0; i < table.chained.length; i += 2) {
    const index = table.chained[i]!;
    if ((table.state[index]! & STATE.unlinked) !== 0) continue;
    const where = { inode: table.numberOf(index), structure: 'Inode', field: 'nextUnlinked' };
    context.problems.add('UNLINKED_LIST', where, 'null', table.chained[i + 1]!, { rule: 'UNLINKED_STRAY' });
  }
}

/** Link counts and reachability. `entriesComplete`: every directory was read whole. */
export function compareLinks(context: CheckContext, table: InodeTable, entriesComplete: boolean): void {
  const { problems, geometry } = context;
  const { state, mode, nlink, counted, parent } = table;
  const root = table.indexOf(geometry.rootInode);
  for (let index = 0; index < state.length; index++) {
    const bits = state[index]!;
    if ((bits & STATE.used) === 0) continue;
    const isDir = (mode[index]! & S_IFMT) === MODE.DIR;
    if (table.entrySum.length > 0 && entriesComplete && (bits & STATE.partial) === 0) {
      if (table.entrySum[index] !== table.pointerSum[index]) {
        problems.add('PARENT_POINTERS', { inode: table.numberOf(index) }, 'those of its entries', 'others');
      }
    }
    if ((bits & STATE.unlinked) !== 0) {
      if (counted[index]! > 0 && !isDir) linkCount(context, table, index, counted[index]!);
      continue;
    }
    if ((bits & STATE.special) !== 0) {
      if (nlink[index] !== 1) linkCount(context, table, index, 1);
      continue;
    }
    if (index !== root && (isDir || parent[index] === NONE)) {
      const lost = isDir ? lostTop(table, index, root) : index;
      if (lost !== NONE && entriesComplete) {
        problems.add('INODE_UNREACHABLE', { inode: table.numberOf(lost) }, 'an entry', 'none');
      }
      if (lost === index) continue;
    }
    const expected = isDir ? counted[index]! + 2 : counted[index]!;
    // A directory that could not be read whole has not counted its subdirectories; a file may have lost a name in one.
    if (nlink[index] !== expected && entriesComplete) linkCount(context, table, index, expected);
  }
}

function linkCount(context: CheckContext, table: InodeTable, index: number, expected: number): void {
  const where = { inode: table.numberOf(index), structure: 'Inode', field: 'nlink' };
  context.problems.add('LINK_COUNT', where, expected, table.nlink[index]!);
}

/**
 * The top of the lost tree that a directory hangs below, NONE when it hangs below the root or when that top was named
 * before. A ring of directories has no top: the one it is found at stands for it. Remembers every directory it passes.
 */
function lostTop(table: InodeTable, index: number, root: number): number {
  const { parent, state } = table;
  let at = index;
  let tortoise = index;
  let steps = 0;
  let limit = 2;
  let top = NONE;
  // Brent: the tortoise waits at powers of two; whoever goes round in a ring meets it again.
  while (at !== root && (state[at]! & STATE.connected) === 0) {
    const up = parent[at]!;
    if (up === NONE) {
      top = at;
      break;
    }
    at = up;
    if (at === tortoise) {
      top = at;
      break;
    }
    if (++steps === limit) {
      steps = 0;
      limit *= 2;
      tortoise = at;
    }
  }
  for (
    let back = index;
    back !== NONE && back !== root && (state[back]! & STATE.connected) === 0;
    back = parent[back]!
  ) {
    state[back]! |= STATE.connected;
  }
  return top;
}
