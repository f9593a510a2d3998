/**
 * A finished plan becomes the image. A repair that is killed anywhere here has either done nothing that anybody can see,
 * or is finished by replaying the log.
 *
 *   1 copies and everything that stands where nothing mattered before: straight to its place; flush
 *   2 everything that was live: one checkpoint of the log, then in place
 *   3 leftovers: blocks that nobody has any more, as the plan left them; then the log is clean
 *
 * W1. Before the checkpoint of step 2 is durable, no byte has changed that the image as it was leads to.
 * W2. What the log cannot hold at once goes into several checkpoints, inodes and their blocks first, AG headers last, those of
 *     one AG never apart. Every image in between leads to the same repair: inodes, directories and extent trees are each
 *     right by themselves or as they were; new ones claim only blocks that step 1 filled; the trees of the AGs, the old ones
 *     still, are redundant and will be rebuilt again; a name and the inode it names meet again through link counts and
 *     lost+found. Nothing is written over that is not in an earlier or in the same checkpoint replaced.
 * W3. No LSN is ahead of the log: what the log describes gets the checkpoint's, what went straight to its place at most
 *     that of the log's head when step 1 began. A block that says it is newer than the log loses its LSN first, or replay
 *     would pass it over.
 */
import { crcWithHole, sealCrc, storedCrc } from '../../../formats/checksum.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import { INODE_MAGIC, InodeCore } from '../../../formats/inode.ts';
import { Buffer } from '../../buffer/buffer.ts';
import { BufferCache } from '../../buffer/cache.ts';
import type { CheckResult, Observed } from '../../check/check.ts';
import { Cancelled } from '../../check/context.ts';
import type { Device } from '../../device/device.ts';
import { GatherDevice } from '../../device/gather.ts';
import { internal } from '../../errors.ts';
import { Journal } from '../../journal/journal.ts';
import { emptyLoggedBlock, loggedCost, noteDifferences } from '../../journal/log-items.ts';
import { readLogState } from '../../journal/log-reader.ts';
import { comparePositions, LogShape, type Position } from '../../journal/position.ts';
import { kindOf } from '../../journal/recovery/block-kinds.ts';
import type { PlanDevice } from '../plan-device.ts';
import { changedPieces, INODES, type Piece, PLAIN, readIfPossible, viewOf } from './pieces.ts';

const COPY_BYTES = 1 << 20;
/** Part of the most that a transaction may take in the log; the rest is for record headers. */
const LOG_SHARE = 0.8;
/** Bytes of an op header and its like, for each region. */
const REGION_BYTES = 16;

export interface WriteOutOptions {
  progress?: ((phase: string, done: number, total: number) => void) | undefined;
  /** Looked at until the first byte is written. */
  signal?: { readonly aborted: boolean } | undefined;
}

/**
 * @param device holds the image the plan was made of, with a clean log.
 * @param first the check the repair began with. @param last that of the finished plan.
 * Throws `device` errors; the image is then as a crash would have left it.
 */
export function writeOut(
  device: Device,
  plan: PlanDevice,
  geometry: Geometry,
  first: CheckResult,
  last: Observed,
  options: WriteOutOptions = {},
): void {
  new WriteOut(device, plan, geometry, options).run(changedPieces(device, plan, geometry, first, last));
}

class WriteOut {
  readonly #device: Device;
  readonly #plan: PlanDevice;
  readonly #geometry: Geometry;
  readonly #options: WriteOutOptions;
  readonly #head: Position;
  readonly #previousBlock: number;

  constructor(device: Device, plan: PlanDevice, geometry: Geometry, options: WriteOutOptions) {
    this.#device = device;
    this.#plan = plan;
    this.#geometry = geometry;
    this.#options = options;
    const log = readLogState(device, geometry);
    if (!log.clean) throw internal('a plan is written out over a dirty log');
    this.#head = log.head;
    this.#previousBlock = log.previousBlock;
  }

  run(pieces: readonly Piece[]): void {
    const direct = pieces.filter((piece) => !piece.live && !piece.leftover);
    const logged = pieces.filter((piece) => piece.live && !piece.leftover);
    const leftovers = pieces.filter((piece) => piece.leftover);
    if (this.#options.signal?.aborted) throw new Cancelled();
    this.#writeDirect(direct);
    for (const piece of logged) this.#forgetFuture(piece);
    this.#device.flush();
    const cache = new BufferCache(this.#device, this.#geometry);
    const journal = new Journal(this.#device, cache, this.#head, this.#previousBlock);
    this.#publish(journal, logged);
    journal.advanceTail();
    const gather = new GatherDevice(this.#device);
    for (const piece of leftovers) this.#write(gather, piece, this.#bytesOf(piece));
    gather.flush();
    journal.close();
  }

  /** Step 1. */
  #writeDirect(pieces: readonly Piece[]): void {
    const gather = new GatherDevice(this.#device);
    const copies = this.#plan.copiedRuns();
    let total = pieces.length * this.#geometry.blockSize;
    for (const { length } of copies) total += length;
    let done = 0;
    const buffer = new Uint8Array(COPY_BYTES);
    for (const { to, length } of copies) {
      for (let at = 0; at < length; at += COPY_BYTES) {
        const bytes = buffer.subarray(0, Math.min(COPY_BYTES, length - at, this.#device.size - to - at));
        this.#plan.read(to + at, bytes);
        gather.write(to + at, bytes);
        this.#options.progress?.('write', (done += bytes.length), total);
      }
    }
    for (const piece of pieces) {
      const bytes = this.#bytesOf(piece);
      this.#clampLsn(piece, bytes);
      this.#write(gather, piece, bytes);
      this.#options.progress?.('write', (done += bytes.length), total);
    }
    gather.flush();
  }

  /** Step 2. */
  #publish(journal: Journal, pieces: readonly Piece[]): void {
    const geometry = this.#geometry;
    const agOf = (piece: Piece): number => geometry.agOfDaddr(piece.segments[0]!.daddr);
    const isHeader = ({ segments }: Piece): boolean =>
      geometry.agBlockOfDaddr(segments[0]!.daddr) < geometry.headerBlocks;
    const content = pieces.filter((piece) => !isHeader(piece));
    const headers = pieces.filter(isHeader);
    const limit = new LogShape(geometry).transactionLimit * BASIC_BLOCK * LOG_SHARE;
    let total = 0;
    const costs = new Map<Piece, number>();
    for (const piece of pieces) {
      const cost = this.#costOf(piece);
      costs.set(piece, cost);
      total += cost;
    }
    if (total <= limit) {
      this.#commit(journal, pieces);
      return;
    }
    let batch: Piece[] = [];
    let used = 0;
    let done = 0;
    const send = (): void => {
      if (batch.length > 0) this.#commit(journal, batch);
      batch = [];
      used = 0;
    };
    for (const piece of content) {
      const cost = costs.get(piece)!;
      if (used + cost > limit) send();
      batch.push(piece);
      used += cost;
      this.#options.progress?.('publish', (done += cost), total);
    }
    // Headers of one AG stay together: they are neighbours in the list.
    for (let i = 0; i < headers.length; ) {
      const ag = agOf(headers[i]!);
      const own: Piece[] = [];
      while (i < headers.length && agOf(headers[i]!) === ag) own.push(headers[i++]!);
      const cost = own.reduce((sum, piece) => sum + costs.get(piece)!, 0);
      if (used + cost > limit) send();
      batch.push(...own);
      used += cost;
    }
    send();
  }

  #commit(journal: Journal, pieces: readonly Piece[]): void {
    const tx = journal.begin();
    for (const piece of pieces) {
      const { segments, type } = piece;
      const bytes = this.#bytesOf(piece);
      if (type === INODES) this.#clampLsn(piece, bytes);
      // What is there is compared with, not believed; what cannot be read is logged whole.
      const readable = segments.every(({ daddr, length }) => readIfPossible(this.#device, daddr * BASIC_BLOCK, length));
      const buffer = readable ? tx.getSegments(segments, PLAIN) : tx.createSegments(segments, type);
      tx.change(buffer);
      buffer.type = type;
      buffer.data.set(bytes);
    }
    journal.commit(tx);
    journal.checkpoint();
  }

  /** Bytes that a piece takes in the log, about. */
  #costOf(piece: Piece): number {
    const buffer = new Buffer(
      piece.segments,
      piece.segments.reduce((sum, each) => sum + each.length, 0),
      PLAIN,
    );
    buffer.data.set(this.#bytesOf(piece));
    const block = emptyLoggedBlock(buffer);
    noteDifferences(block, this.#bytesOn(piece), this.#geometry.inodeSize);
    const cost = loggedCost(block, this.#geometry);
    return cost.bytes + cost.regions * REGION_BYTES;
  }

  #bytesOf({ segments }: Piece): Uint8Array {
    const bytes = new Uint8Array(segments.reduce((sum, each) => sum + each.length, 0));
    let at = 0;
    for (const { daddr, length } of segments) {
      this.#plan.read(daddr * BASIC_BLOCK, bytes.subarray(at, at + length));
      at += length;
    }
    return bytes;
  }

  /** What stands on the device; undefined where it cannot be read. */
  #bytesOn({ segments }: Piece): Uint8Array | undefined {
    const parts = segments.map(({ daddr, length }) => readIfPossible(this.#device, daddr * BASIC_BLOCK, length));
    const bytes = new Uint8Array(segments.reduce((sum, each) => sum + each.length, 0));
    let at = 0;
    for (const part of parts) {
      if (!part) return undefined;
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  #write(to: Device, { segments }: Piece, bytes: Uint8Array): void {
    let at = 0;
    for (const { daddr, length } of segments) {
      to.write(daddr * BASIC_BLOCK, bytes.subarray(at, at + length));
      at += length;
    }
  }

  /** W3: what the plan's own log stamped. */
  #clampLsn({ type }: Piece, bytes: Uint8Array): void {
    const view = viewOf(bytes);
    if (type === INODES) {
      const { inodeSize } = this.#geometry;
      for (let slot = 0; slot + inodeSize <= bytes.length; slot += inodeSize) {
        if (view.getUint16(slot) !== INODE_MAGIC || !this.#isAhead(view, slot + InodeCore.offsets.lsn)) continue;
        this.#stamp(view, slot + InodeCore.offsets.lsn);
        sealCrc(bytes.subarray(slot, slot + inodeSize), InodeCore.offsets.crc);
      }
      return;
    }
    if (type.lsnOffset < 0 || !this.#isAhead(view, type.lsnOffset)) return;
    this.#stamp(view, type.lsnOffset);
    sealCrc(bytes, type.crcOffset);
  }

  /** W3: a damaged block whose LSN no log will reach. */
  #forgetFuture(piece: Piece): void {
    const bytes = this.#bytesOn(piece);
    const type = bytes && kindOf(viewOf(bytes), this.#geometry)?.type;
    if (!bytes || !type || type.lsnOffset < 0 || bytes.length < type.lsnOffset + 8) return;
    const view = viewOf(bytes);
    if (!this.#isAhead(view, type.lsnOffset)) return;
    const sealed = storedCrc(bytes, type.crcOffset) === crcWithHole(bytes, type.crcOffset);
    view.setUint32(type.lsnOffset, 0);
    view.setUint32(type.lsnOffset + 4, 0);
    if (sealed) sealCrc(bytes, type.crcOffset);
    this.#write(this.#device, piece, bytes);
  }

  #isAhead(view: DataView, offset: number): boolean {
    const cycle = view.getUint32(offset);
    const block = view.getUint32(offset + 4);
    if (cycle === 0xffffffff && block === 0xffffffff) return false;
    return comparePositions({ cycle, block }, this.#head) > 0;
  }

  #stamp(view: DataView, offset: number): void {
    view.setUint32(offset, this.#head.cycle);
    view.setUint32(offset + 4, this.#head.block);
  }
}
