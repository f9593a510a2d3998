/**
 * All inodes: every slot of every chunk, in disk order, through one window that stays in the processor's cache. What a slot says of itself goes
 * into the inode table, what its forks point at into the claims. Directories are only noted here: their entries are
 * looked at when all inodes are known.
 *
 * 1. The slot on disk is the truth and the inode tree its index: an inode in use counts as in use whatever the tree says.
 * 2. An inode whose core does not verify is reported once and makes no claims; what the register says of it is then
 *    taken as it stands (compare/register.ts).
 * 3. No object per inode: a slot is looked at in place.
 */
import { ATTR, decodeParent } from '../../../formats/attribute.ts';
import { nameHash } from '../../../formats/da.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import {
  attrExtentCount,
  attrForkBytes,
  attrForkOffset,
  DATA_FORK_OFFSET,
  dataExtentCount,
  dataForkBytes,
  FORMAT,
  INODE_FLAG2,
  INODE_MAGIC,
  InodeCore,
  isNrext64,
  MODE,
  S_IFMT,
} from '../../../formats/inode.ts';
import { inodeCoreFault, inodeFlagsFault } from '../../../formats/inode-verify.ts';
import { getU64, NULL32 } from '../../../formats/struct.ts';
import { SYMLINK, symlinkPiece, symlinkPieceFault } from '../../../formats/symlink.ts';
import { CadastreError } from '../../errors.ts';
import { checkAttributes } from '../../xattr/check.ts';
import type { CheckContext } from '../context.ts';
import type { Counts } from '../counts.ts';
import { INODE_DAMAGE } from '../damaged.ts';
import { CHUNK, type ChunkList, type InodeTable, STATE } from '../inode-table.ts';
import type { ProblemPlace } from '../problems.ts';
import { CheckFork, ExtentList, type ForkOf, ForkScan } from './forks.ts';
import { SlotCrc } from './slot-crc.ts';

const WINDOW_BYTES = 256 << 10;
/** Chunks this far apart are still read in one go. */
const GAP_BYTES = 64 << 10;

const at = InodeCore.offsets;

/** Mix a name hash with the directory it stands in: the same for an entry and for the parent pointer that mirrors it. */
export function linkSum(hash: number, parent: number, generation: number): number {
  const low = parent % 2 ** 32;
  const high = Math.floor(parent / 2 ** 32);
  return (Math.imul(hash ^ Math.imul(low, 0x9e3779b1), 0x85ebca6b) + Math.imul(high ^ generation, 0xc2b2ae35)) >>> 0;
}

export class InodeObserver {
  readonly #context: CheckContext;
  readonly #geometry: Geometry;
  readonly #table: InodeTable;
  readonly #counts: Counts;
  readonly #scan: ForkScan;
  readonly #list = new ExtentList();
  readonly #of: ForkOf = { inode: 0, attr: false, regular: false };
  readonly #window = new Uint8Array(WINDOW_BYTES);
  readonly #view = new DataView(this.#window.buffer);
  readonly #crc: SlotCrc;
  #windowStart = 0;
  #windowEnd = 0;
  /** The inode being looked at. */
  #inode = 0;
  #index = 0;

  constructor(context: CheckContext, table: InodeTable, counts: Counts) {
    this.#context = context;
    this.#geometry = context.geometry;
    this.#table = table;
    this.#counts = counts;
    this.#scan = new ForkScan(context);
    this.#crc = new SlotCrc(this.#window, this.#geometry.inodeSize);
  }

  /** All inodes of one AG. @param known by chunk of the AG, 1: not to be looked at. */
  run(ag: number, known?: Uint8Array): void {
    const list = this.#table.chunks[ag]!;
    const first = this.#table.firstChunk[ag]!;
    for (let chunk = 0; chunk < list.length; chunk++) {
      if (chunk % 256 === 0) this.#context.step('inodes', first + chunk, this.#table.length / CHUNK);
      if (known?.[chunk] === 1) continue;
      this.#chunk(ag, list, chunk, (first + chunk) * CHUNK);
    }
  }

  #chunk(ag: number, list: ChunkList, chunk: number, index: number): void {
    const { inodeSize } = this.#geometry;
    const start = list.start[chunk]!;
    const byte = this.#byteOf(ag, start);
    const whole = list.holemask[chunk] === 0 && this.#fill(ag, list, chunk, byte);
    for (let slot = 0; slot < CHUNK; slot++) {
      if (!whole) {
        // Holes may lie behind the end of the AG, and some blocks may be unreadable: piece by piece.
        if (!list.exists(chunk, slot)) continue;
        if ((slot & 3) === 0 && !this.#piece(this.#byteOf(ag, start + slot), 4 * inodeSize)) {
          this.#context.claimsComplete = false;
        }
      }
      const offset = byte + slot * inodeSize - this.#windowStart;
      if (offset + inodeSize > this.#windowEnd - this.#windowStart) {
        if (!list.isFree(chunk, slot)) this.#table.state[index + slot] = STATE.unreadable;
        this.#context.problems.damaged.inode(this.#geometry.inodeNumber(ag, start + slot), INODE_DAMAGE.core);
        continue;
      }
      this.#index = index + slot;
      this.#inode = this.#geometry.inodeNumber(ag, start + slot);
      this.#slot(offset, list.isFree(chunk, slot));
    }
  }

  #byteOf(ag: number, agInode: number): number {
    const { geometry } = this.#context;
    const slot = agInode % geometry.inodesPerBlock;
    return geometry.agBlockToByte(ag, geometry.agBlockOfAgInode(agInode)) + slot * geometry.inodeSize;
  }

  /** Have a whole chunk in the window, and with it as many of those that follow closely as fit. */
  #fill(ag: number, list: ChunkList, chunk: number, byte: number): boolean {
    const bytes = CHUNK * this.#geometry.inodeSize;
    if (byte >= this.#windowStart && byte + bytes <= this.#windowEnd) return true;
    let end = byte + bytes;
    for (let next = chunk + 1; next < list.length && list.holemask[next] === 0; next++) {
      const start = this.#byteOf(ag, list.start[next]!);
      if (start - end > GAP_BYTES || start + bytes - byte > WINDOW_BYTES) break;
      end = start + bytes;
    }
    // What fails is read again in smaller pieces: only the smallest that fail are told.
    return this.#context.problems.mute(() => this.#piece(byte, end - byte) || this.#piece(byte, bytes));
  }

  #piece(byte: number, bytes: number): boolean {
    this.#windowStart = byte;
    this.#windowEnd = byte;
    if (!this.#context.read(byte, this.#window.subarray(0, bytes))) return false;
    this.#windowEnd = byte + bytes;
    return true;
  }

  #slot(offset: number, free: boolean): void {
    const view = this.#view;
    const { problems } = this.#context;
    if (!problems.isMuted && view.getUint16(offset) === INODE_MAGIC) {
      const computed = this.#crc.of(offset);
      const stored = view.getUint32(offset + at.crc, true);
      if (computed !== stored) {
        problems.add('INODE_BAD', { ...this.#where(), field: 'crc' }, hex(computed), hex(stored), { rule: 'BAD_CRC' });
      }
    }
    const fault = inodeCoreFault(view, offset, this.#geometry, this.#inode);
    if (fault) {
      problems.fault('INODE_BAD', this.#where(), fault);
      if (!free) this.#table.state[this.#index] = STATE.unreadable;
      return;
    }
    const next = view.getUint32(offset + at.nextUnlinked);
    if (next !== NULL32) this.#table.chained.push(this.#index, next);
    const mode = view.getUint16(offset + at.mode);
    if ((mode === 0) !== free) {
      problems.add('INODE_STATE', this.#where(), free ? 'free' : 'in use', mode === 0 ? 'free' : 'in use');
    }
    if (mode !== 0) this.#used(offset, mode);
  }

  #where(): ProblemPlace {
    return { inode: this.#inode, structure: 'Inode' };
  }

  #used(offset: number, mode: number): void {
    const view = this.#view;
    const table = this.#table;
    const index = this.#index;
    const type = mode & S_IFMT;
    const idle = inodeFlagsFault(view, offset, this.#geometry, this.#inode);
    if (idle) this.#context.problems.fault('INODE_BAD', this.#where(), idle);
    const size = getU64(view, offset + at.size);
    const counts = this.#counts;
    table.mode[index] = mode;
    table.nlink[index] = view.getUint32(offset + at.nlink);
    if (table.generation.length > 0) table.generation[index] = view.getUint32(offset + at.gen);
    let state: number = STATE.used;
    if ((view.getUint8(offset + 127) & INODE_FLAG2.REFLINK) !== 0) state |= STATE.reflink;
    counts.inodes++;
    const format = view.getUint8(offset + at.format);
    let blocks = 0;
    let partial = false;
    if (format === FORMAT.EXTENTS || format === FORMAT.BTREE) {
      const isFile = type === MODE.FILE;
      const scan = this.#data(offset, format, isFile, isFile ? undefined : this.#list);
      blocks += scan.blocks + scan.treeBlocks;
      partial ||= scan.partial;
      counts.extents += scan.extents;
    }
    if (type === MODE.FILE) {
      counts.files++;
      counts.bytes += size;
    } else if (type === MODE.DIR) counts.directories++;
    else if (type === MODE.SYMLINK) {
      counts.symlinks++;
      this.#symlink(offset, format, size);
    } else counts.others++;
    if (view.getUint8(offset + at.forkoff) !== 0) {
      blocks += this.#attributes(offset);
      partial ||= this.#scan.partial;
    }
    if (partial) state |= STATE.partial;
    table.state[index] = state;
    const nblocks = getU64(view, offset + at.nblocks);
    if (!partial && nblocks !== blocks) {
      this.#context.problems.add('INODE_BLOCKS', { ...this.#where(), field: 'nblocks' }, blocks, nblocks);
    }
  }

  #data(offset: number, format: number, regular: boolean, list: ExtentList | undefined): ForkScan {
    const view = this.#view;
    const { inodeSize } = this.#geometry;
    const scan = this.#scan;
    const of = this.#of;
    of.inode = this.#inode;
    of.attr = false;
    of.regular = regular;
    const count = dataExtentCount(view, offset);
    const bytes = dataForkBytes(view, offset, inodeSize);
    scan.run(view, offset + DATA_FORK_OFFSET, bytes, format, count, of, list, true);
    if (!scan.partial && scan.extents !== count) {
      const field = isNrext64(view, offset) ? 'bigNextents' : 'nextents';
      const where = { ...this.#where(), structure: 'data', field };
      this.#context.problems.add('INODE_EXTENTS', where, scan.extents, count);
    }
    return scan;
  }

  /** The attr fork; returns the blocks it holds. */
  #attributes(offset: number): number {
    const view = this.#view;
    const { inodeSize } = this.#geometry;
    const scan = this.#scan;
    scan.partial = false;
    const format = view.getUint8(offset + at.aformat);
    const start = offset + attrForkOffset(view, offset);
    const bytes = attrForkBytes(view, offset, inodeSize);
    let blocks = 0;
    let local: DataView | undefined;
    if (format === FORMAT.LOCAL) {
      local = new DataView(view.buffer, view.byteOffset + start, bytes);
    } else {
      const count = attrExtentCount(view, offset);
      if (format === FORMAT.EXTENTS && count === 0) return 0;
      const of = this.#of;
      of.inode = this.#inode;
      of.attr = true;
      of.regular = false;
      scan.run(view, start, bytes, format, count, of, this.#list, true);
      blocks = scan.blocks + scan.treeBlocks;
      this.#counts.extents += scan.extents;
      if (!scan.partial && scan.extents !== count) {
        const field = isNrext64(view, offset) ? 'nextents' : 'anextents';
        const where = { ...this.#where(), structure: 'attr', field };
        this.#context.problems.add('INODE_EXTENTS', where, scan.extents, count);
      }
      if (scan.partial) return blocks;
    }
    this.#attributeFork(local);
    return blocks;
  }

  #attributeFork(local: DataView | undefined): void {
    const context = this.#context;
    const where: ProblemPlace = { inode: this.#inode, structure: 'attributes' };
    context.reader.of('ATTRIBUTES_BAD', where);
    const fork = new CheckFork(context, this.#inode, true, local, this.#list);
    const table = this.#table;
    const sums = table.pointerSum.length > 0;
    this.#guard('ATTRIBUTES_BAD', where, () =>
      checkAttributes(
        fork,
        (fault, fileBlock) =>
          context.problems.fault('ATTRIBUTES_BAD', fileBlock === undefined ? where : { ...where, fileBlock }, fault),
        (cursor) => {
          this.#counts.attributes++;
          if (!sums || (cursor.flags & ATTR.PARENT) === 0) return;
          const value = cursor.valueBlock === 0 ? decodeParent(cursor.value()) : undefined;
          if (!value) return;
          const hash = nameHash(cursor.bytes, cursor.nameStart, cursor.nameEnd);
          table.pointerSum[this.#index]! += linkSum(hash, value.inode, value.generation);
        },
      ),
    );
  }

  #symlink(offset: number, format: number, size: number): void {
    const context = this.#context;
    const where: ProblemPlace = { inode: this.#inode, structure: 'symlink' };
    const bad = (field: string, expected: string | number, found: string | number): void =>
      context.problems.add('SYMLINK_BAD', { ...where, field }, expected, found);
    const hasZero = (bytes: Uint8Array): boolean => bytes.includes(0);
    if (format === FORMAT.LOCAL) {
      const start = offset + DATA_FORK_OFFSET;
      if (hasZero(this.#window.subarray(start, start + size))) bad('target', 'no NUL byte', 'a NUL byte');
      return;
    }
    if (this.#scan.partial) return;
    if (size === 0 && this.#list.length === 0) return;
    const list = this.#list;
    let done = 0;
    this.#guard('SYMLINK_BAD', where, () => {
      context.reader.of('SYMLINK_BAD', where);
      for (let i = 0; i < list.length && done < size; i++) {
        const count = list.blockCount[i]!;
        if (list.fileBlock[i]! > SYMLINK_MOST_BLOCKS || count > SYMLINK_MOST_BLOCKS) {
          bad('extent', `at most ${SYMLINK_MOST_BLOCKS} blocks`, count);
          return;
        }
        const daddr = this.#geometry.fsBlockToDaddr(list.startBlock[i]!);
        const buffer = context.reader.get(daddr, count * this.#geometry.blockSize, SYMLINK);
        const fault = symlinkPieceFault(buffer.view, this.#inode, done, size);
        if (fault) {
          bad(fault.field, fault.expected, fault.found);
          return;
        }
        const piece = symlinkPiece(buffer.view);
        if (hasZero(piece)) bad('target', 'no NUL byte', 'a NUL byte');
        done += piece.length;
      }
      if (done < size) bad('target', `${size} bytes`, `${done} bytes`);
    });
  }

  /** Run something that may throw `corrupt`, and report that instead. */
  #guard(code: 'SYMLINK_BAD' | 'ATTRIBUTES_BAD', where: ProblemPlace, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
      const { expected, found, message } = error;
      const field = error.where.field ?? 'block';
      this.#context.problems.add(code, { ...where, field }, expected ?? 'valid', found ?? message, {
        rule: error.code,
      });
    }
  }
}

/** A target of 1023 bytes in the smallest blocks, generously. */
const SYMLINK_MOST_BLOCKS = 8;

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
