/**
 * What a plan changed, as pieces: a piece is what has one CRC and goes into the log as one buffer (a header sector, a tree
 * block, a directory block with all its scattered parts, a block of inodes), or plain bytes.
 *
 * 1. What a block is follows from who claims it on the finished plan; its magic only says which of the owner's structures.
 * 2. A piece is *live* when a part of it may matter to somebody in the image as it is now: it was claimed, recorded by the
 *    register, or not free when the repair began. Only what is not live may be written before the repair is published.
 * 3. Blocks that nobody claims on the plan are leftovers: their content matters to nobody but a later search.
 */
import type { BlockType } from '../../../formats/block-type.ts';
import { RMAP_ATTR_FORK, RMAP_BMBT_BLOCK, RMAP_OWNER } from '../../../formats/btree-blocks.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import { MODE, S_IFMT } from '../../../formats/inode.ts';
import { INODE_CLUSTER } from '../../../formats/inode-verify.ts';
import { SYMLINK } from '../../../formats/symlink.ts';
import type { Segment } from '../../buffer/buffer.ts';
import type { CheckResult, Observed } from '../../check/check.ts';
import type { ExtentTable } from '../../check/claims.ts';
import { freeExtents } from '../../check/compare/counters.ts';
import { NONE } from '../../check/inode-table.ts';
import { RunList } from '../../check/rows.ts';
import type { Device } from '../../device/device.ts';
import { PAGE } from '../../device/sparse-map.ts';
import { CadastreError } from '../../errors.ts';
import { kindOf } from '../../journal/recovery/block-kinds.ts';
import { asSet, coveredBy, subtract, unite } from '../groups/runs.ts';
import type { PlanDevice } from '../plan-device.ts';

/** Bytes without a header of their own: in the log they are put back as they are. */
export const PLAIN: BlockType = { name: 'data', logType: 0, crcOffset: -1, lsnOffset: -1, verify: () => undefined };
/** Inodes as a whole block: changed slots bring their CRC and LSN along. */
export const INODES: BlockType = { ...PLAIN, name: 'inodes', logType: INODE_CLUSTER.logType };

export interface Piece {
  readonly type: BlockType;
  readonly segments: readonly Segment[];
  readonly live: boolean;
  readonly leftover: boolean;
}

/** Every piece that differs between the device and the plan, ascending. The log and copies are not among them. */
export function changedPieces(
  device: Device,
  plan: PlanDevice,
  geometry: Geometry,
  first: CheckResult,
  last: Observed,
): Piece[] {
  return new Pieces(device, plan, geometry, first, last).run();
}

class Pieces {
  readonly #device: Device;
  readonly #plan: PlanDevice;
  readonly #geometry: Geometry;
  readonly #first: CheckResult;
  readonly #last: Observed;
  readonly #pieces: Piece[] = [];
  /** Addresses of pieces that are known: a directory block comes up once for each of its changed blocks. */
  readonly #known = new Set<number>();
  /** The AG at work: what is live in it; rows of its claims that reach the block at work or beyond. */
  #ag = -1;
  #live = new RunList();
  #row = 0;
  #open: number[] = [];

  constructor(device: Device, plan: PlanDevice, geometry: Geometry, first: CheckResult, last: Observed) {
    this.#device = device;
    this.#plan = plan;
    this.#geometry = geometry;
    this.#first = first;
    this.#last = last;
  }

  run(): Piece[] {
    const { blockSize, agBlocks, blocks } = this.#geometry;
    const now = new Uint8Array(blockSize);
    let done = -1;
    for (const page of this.#plan.heldPages()) {
      const end = Math.ceil(((page + 1) * PAGE) / blockSize);
      for (
        let block = Math.max(done + 1, Math.floor((page * PAGE) / blockSize));
        block < end && block < blocks;
        block++
      ) {
        done = block;
        this.#plan.read(block * blockSize, now);
        const before = readIfPossible(this.#device, block * blockSize, blockSize);
        if (before && isSame(before, now)) continue;
        this.#block(Math.floor(block / agBlocks), block % agBlocks, before, now);
      }
    }
    return this.#pieces;
  }

  #block(ag: number, agBlock: number, before: Uint8Array | undefined, now: Uint8Array): void {
    const geometry = this.#geometry;
    if (ag !== this.#ag) this.#enter(ag);
    if (agBlock < geometry.headerBlocks) {
      this.#headers(ag, agBlock, before, now);
      return;
    }
    const claims = this.#last.context.claims[ag]!;
    while (this.#row < claims.length && claims.start[this.#row]! <= agBlock) this.#open.push(this.#row++);
    this.#open = this.#open.filter((row) => claims.start[row]! + claims.count[row]! > agBlock);
    const row = this.#open[0];
    if (row === undefined) {
      this.#add(PLAIN, [this.#segment(ag, agBlock, 1)], true);
    } else if (claims.isSpecial(row)) {
      const owner = claims.ownerLo[row]!;
      if (owner === RMAP_OWNER.LOG) return;
      if (owner === RMAP_OWNER.INODES) this.#add(INODES, [this.#segment(ag, agBlock, 1)]);
      else this.#byMagic(ag, agBlock, now, true);
    } else this.#ofInode(ag, agBlock, claims, row, now);
  }

  #enter(ag: number): void {
    this.#ag = ag;
    this.#row = 0;
    this.#open = [];
    this.#live = liveBlocks(this.#geometry, this.#first, ag);
  }

  /** The four sectors of an AG, each a structure of its own; nothing else stands in these blocks. */
  #headers(ag: number, agBlock: number, before: Uint8Array | undefined, now: Uint8Array): void {
    const { sectorSize } = this.#geometry;
    const start = this.#geometry.agBlockToDaddr(ag, agBlock);
    for (const sector of [0, 1, 2, 3] as const) {
      const daddr = this.#geometry.agHeaderDaddr(ag, sector);
      const at = (daddr - start) * BASIC_BLOCK;
      if (at < 0 || at >= now.length) continue;
      const bytes = now.subarray(at, at + sectorSize);
      if (before && isSame(before.subarray(at, at + sectorSize), bytes)) continue;
      const kind = kindOf(viewOf(bytes), this.#geometry);
      if (kind) this.#add(kind.type, [{ daddr, length: sectorSize }]);
    }
  }

  /** A block that its magic names; without one: the free list, say, where nothing of it matters. */
  #byMagic(ag: number, agBlock: number, now: Uint8Array, leftoverElse: boolean): void {
    const kind = kindOf(viewOf(now), this.#geometry);
    this.#add(kind?.type ?? PLAIN, [this.#segment(ag, agBlock, 1)], !kind && leftoverElse);
  }

  #ofInode(ag: number, agBlock: number, claims: ExtentTable, row: number, now: Uint8Array): void {
    const { inodes } = this.#last;
    const flags = claims.offsetHi[row]!;
    const index = inodes.indexOf(claims.owner(row));
    const type = index === NONE ? 0 : inodes.mode[index]! & S_IFMT;
    if ((flags & (RMAP_BMBT_BLOCK | RMAP_ATTR_FORK)) !== 0) this.#byMagic(ag, agBlock, now, false);
    else if (type === MODE.DIR) this.#directory(ag, agBlock, claims, row);
    else if (type === MODE.SYMLINK) {
      this.#add(SYMLINK, [this.#segment(ag, claims.start[row]!, claims.count[row]!)]);
    } else this.#add(PLAIN, [this.#segment(ag, agBlock, 1)]);
  }

  /** The whole directory block that a block is a part of. */
  #directory(ag: number, agBlock: number, claims: ExtentTable, row: number): void {
    const geometry = this.#geometry;
    const size = geometry.dirBlockBlocks;
    const fileBlock = claims.fileBlock(row) + (agBlock - claims.start[row]!);
    const start = fileBlock - (fileBlock % size);
    const into = start - claims.fileBlock(row);
    const segments =
      into >= 0 && into + size <= claims.count[row]!
        ? [this.#segment(ag, claims.start[row]! + into, size)]
        : this.#scattered(claims.owner(row), start, size);
    const bytes = new Uint8Array(size * geometry.blockSize);
    let at = 0;
    for (const segment of segments) {
      this.#plan.read(segment.daddr * BASIC_BLOCK, bytes.subarray(at, at + segment.length));
      at += segment.length;
    }
    this.#add(kindOf(viewOf(bytes), geometry)?.type ?? PLAIN, segments);
  }

  /** Where the blocks of a directory block lie that is not in one piece. */
  #scattered(inode: number, from: number, count: number): Segment[] {
    const parts: { fileBlock: number; segment: Segment }[] = [];
    this.#last.context.claims.forEach((claims, ag) => {
      for (let row = 0; row < claims.length; row++) {
        if (!claims.isForkData(row) || claims.owner(row) !== inode) continue;
        if ((claims.offsetHi[row]! & RMAP_ATTR_FORK) !== 0) continue;
        const first = Math.max(from, claims.fileBlock(row));
        const end = Math.min(from + count, claims.fileBlock(row) + claims.count[row]!);
        if (first >= end) continue;
        const start = claims.start[row]! + (first - claims.fileBlock(row));
        parts.push({ fileBlock: first, segment: this.#segment(ag, start, end - first) });
      }
    });
    return parts.sort((a, b) => a.fileBlock - b.fileBlock).map((part) => part.segment);
  }

  #segment(ag: number, agBlock: number, count: number): Segment {
    const { blockSize } = this.#geometry;
    return { daddr: this.#geometry.agBlockToDaddr(ag, agBlock), length: count * blockSize };
  }

  #add(type: BlockType, segments: readonly Segment[], leftover = false): void {
    const { daddr } = segments[0]!;
    if (this.#known.has(daddr)) return;
    this.#known.add(daddr);
    const live = segments.some((segment) => this.#isLive(segment));
    this.#pieces.push({ type, segments, live, leftover });
  }

  #isLive({ daddr, length }: Segment): boolean {
    const geometry = this.#geometry;
    const ag = geometry.agOfDaddr(daddr);
    const from = geometry.agBlockOfDaddr(daddr);
    if (from < geometry.headerBlocks) return true;
    const to = from + Math.ceil(length / geometry.blockSize);
    const live = ag === this.#ag ? this.#live : liveBlocks(geometry, this.#first, ag);
    let at = 0;
    for (let high = live.length; at < high; ) {
      const middle = (at + high) >>> 1;
      if (live.start[middle]! + live.count[middle]! <= from) at = middle + 1;
      else high = middle;
    }
    return at < live.length && live.start[at]! < to;
  }
}

/** Blocks of an AG that mattered to somebody when the repair began. */
function liveBlocks(geometry: Geometry, first: CheckResult, ag: number): RunList {
  const all = new RunList();
  all.push(0, geometry.agLength(ag));
  const { observed } = first;
  if (!observed) return all;
  const taken = unite(coveredBy(observed.context.claims[ag]!), coveredBy(observed.context.recorded[ag]!));
  const trees = observed.trees[ag];
  const free = trees && freeExtents(trees);
  if (!free) return taken;
  const copy = new RunList();
  for (let i = 0; i < free.length; i++) copy.push(free.start[i]!, free.count[i]!);
  return unite(taken, subtract(all, asSet(copy)));
}

/** Bytes of the device; undefined where it fails. */
export function readIfPossible(device: Device, offset: number, length: number): Uint8Array | undefined {
  const bytes = new Uint8Array(length);
  try {
    device.read(offset, bytes);
    return bytes;
  } catch (error) {
    if (error instanceof CadastreError && error.family === 'device') return undefined;
    throw error;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
