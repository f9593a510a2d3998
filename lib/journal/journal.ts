/**
 * The journal of an open image: gathers committed transactions in memory and writes them as checkpoints.
 *
 * Invariants (docs/DESIGN.md, "Commit protocol"):
 * J1. A block that a transaction changed reaches its place only after the checkpoint that describes it is durable: it
 *     stays pinned until then.
 * J2. A checkpoint is written in the order: data, flush, log records, flush. Only then are its blocks unpinned.
 * J3. A checkpoint says everything about a block since its last write in place (bits accumulate), so the newest image in
 *     the log is enough.
 * J4. The tail moves to the head when every logged block is in place and flushed, which happens whenever more than half
 *     of the log is used. One checkpoint never takes more than a quarter of the log.
 * J5. Data never overwrites a block whose freeing is not durable (`beforeDataWrite`).
 * J6. A freed block that the active log has images of is cancelled in the log.
 * J7. Every block carries the LSN of the checkpoint that logged it last; no LSN is ever ahead of the log.
 */
import { BASIC_BLOCK, type Geometry } from '../../formats/geometry.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { BufferCache } from '../buffer/cache.ts';
import type { Device } from '../device/device.ts';
import { internal, noSpace } from '../errors.ts';
import { clearAhead } from './clean-log.ts';
import {
  emptyLoggedBlock,
  encodeBlock,
  encodeCancel,
  encodeIcreate,
  type LoggedBlock,
  noteDifferences,
  stampLsn,
} from './log-items.ts';
import { LogWriter } from './log-writer.ts';
import { comparePositions, type Position } from './position.ts';
import { type FreedRange, JournalTransaction } from './transaction.ts';

/** A checkpoint is due when so many bytes wait, whatever the log could take: memory stays bounded. */
const CHECKPOINT_BYTES = 16 << 20;

export class Journal {
  readonly geometry: Geometry;
  readonly #device: Device;
  readonly #cache: BufferCache;
  readonly #writer: LogWriter;
  #tail: Position;
  /** Committed, not yet in the log. */
  readonly #waiting = new Map<Buffer, LoggedBlock>();
  #waitingBytes = 0;
  /** In the log, not yet in place (its bits are needed when it is logged again). */
  readonly #inLog = new Map<Buffer, LoggedBlock>();
  /** daddr → bytes of every block the active log has an image of. */
  readonly #images = new Map<number, number>();
  /** Freed since the last checkpoint: to be cancelled in the log; and all freed ranges, not to be overwritten yet. */
  readonly #cancels = new Map<number, number>();
  #freed: FreedRange[] = [];
  /** Regions of other items (intents, done items) that wait for the checkpoint. */
  #items: Uint8Array[] = [];
  /** Anything in the log since it was clean. */
  #dirtyLog = false;
  /** What a crash left ahead of the head has been made harmless. */
  #headSafe = false;
  /**
   * Items that must stay in the active log, asked for whenever the tail is about to move: recovery's unfinished intents.
   * They are logged once more, ahead of the new tail.
   */
  keep: (() => Uint8Array[]) | undefined = undefined;

  /**
   * @param head where the next record goes.
   * @param previousBlock start of the last record.
   * @param tail oldest record still needed; default: none, the log is clean. Else every block that the log describes must
   *   be in its place; `advanceTail` then lets go of the old records.
   */
  constructor(device: Device, cache: BufferCache, head: Position, previousBlock: number, tail: Position = head) {
    this.geometry = cache.geometry;
    this.#device = device;
    this.#cache = cache;
    this.#writer = new LogWriter(device, cache.geometry, head, previousBlock);
    this.#tail = tail;
    this.#dirtyLog = comparePositions(tail, head) !== 0;
  }

  /** Start a transaction. Only one may be open. */
  begin(): JournalTransaction {
    return new JournalTransaction(this.#cache);
  }

  /**
   * The transaction happened, as far as anybody who uses this image can see; it survives a crash after the next
   * `checkpoint`. Throws ENOSPC (code LOG_FULL in `where.field`) when it could never fit into the log: the caller cancels.
   */
  commit(tx: JournalTransaction): void {
    const { inodeSize } = this.geometry;
    const changed: { block: LoggedBlock; bytes: number }[] = [];
    let bytes = 0;
    for (const { buffer, before } of tx.joined.values()) {
      const known = this.#waiting.get(buffer);
      const block = known ?? copyOf(this.#inLog.get(buffer)) ?? emptyLoggedBlock(buffer);
      const added = noteDifferences(block, before, inodeSize);
      changed.push({ block, bytes: added });
      bytes += added;
    }
    if (this.#writer.blocksFor(bytes * 1.1 + 4096, changed.length * 3) > this.#writer.shape.blocks / 4) {
      throw noSpace('the change is too large for the log of this image', { where: { field: 'LOG_FULL' } });
    }
    this.#takeFreed(tx.freed);
    for (const { block, bytes: added } of changed) {
      const { buffer } = block;
      this.#cancels.delete(buffer.daddr);
      if (this.#waiting.has(buffer)) buffer.pins--;
      else this.#waiting.set(buffer, block); // the transaction's pin stays until the checkpoint
      this.#waitingBytes += added + 64;
    }
    for (const region of tx.items) this.#waitingBytes += region.length;
    this.#items.push(...tx.items);
    tx.finish();
    if (this.#waitingBytes > CHECKPOINT_BYTES || this.#logUse() > this.#writer.shape.blocks / 8) this.checkpoint();
    this.#cache.trim();
  }

  /** Take a transaction back. */
  cancel(tx: JournalTransaction): void {
    tx.cancel();
  }

  /** Data is about to be written here: if these blocks were freed a moment ago, make that durable first. */
  beforeDataWrite(offset: number, length: number): void {
    const start = offset / BASIC_BLOCK;
    const end = start + length / BASIC_BLOCK;
    if (this.#freed.some((each) => each.daddr < end && start < each.daddr + each.length / BASIC_BLOCK))
      this.checkpoint();
  }

  /** Everything committed so far is durable when this returns. */
  checkpoint(): void {
    if (this.#waiting.size === 0 && this.#cancels.size === 0 && this.#items.length === 0) {
      this.#device.flush();
      this.#freed = [];
      return;
    }
    const regions = this.#encode();
    let bytes = 0;
    for (const region of regions) bytes += region.length;
    const { shape } = this.#writer;
    const free = shape.blocks - shape.distance(this.#tail, this.#writer.head);
    if (this.#writer.blocksFor(bytes, regions.length) > free) throw internal('checkpoint does not fit into the log');
    this.#device.flush();
    this.#makeHeadSafe();
    const lsn = this.#writer.writeCheckpoint(regions, this.#tail);
    this.#device.flush();
    this.#dirtyLog = true;
    for (const block of this.#waiting.values()) {
      const { buffer } = block;
      stampLsn(block, this.geometry.inodeSize, lsn.cycle, lsn.block);
      buffer.pins--;
      this.#inLog.set(buffer, block);
      for (const segment of buffer.segments) this.#images.set(segment.daddr, segment.length);
    }
    this.#waiting.clear();
    this.#waitingBytes = 0;
    this.#cancels.clear();
    this.#items = [];
    this.#freed = [];
    if (shape.distance(this.#tail, this.#writer.head) > shape.blocks / 2) this.#moveTail();
  }

  /** Put everything in its place; the log before this moment is needed no more, but for what `keep` has logged again. */
  advanceTail(): void {
    this.checkpoint();
    this.#moveTail();
  }

  /** Make everything durable and in place, and leave a clean log. */
  close(): void {
    this.checkpoint();
    if (!this.#dirtyLog) return;
    this.#moveTail();
    this.#makeHeadSafe();
    this.#writer.writeUnmount();
    this.#device.flush();
    this.#dirtyLog = false;
  }

  /** J4: every logged block to its place; then nothing in the log is needed any more. */
  #moveTail(): void {
    if (this.#waiting.size > 0) throw internal('tail moved while changes wait');
    this.#cache.flush();
    this.#inLog.clear();
    this.#images.clear();
    const kept = this.keep?.() ?? [];
    if (kept.length === 0) {
      this.#tail = this.#writer.head;
      return;
    }
    const { shape } = this.#writer;
    let bytes = 0;
    for (const region of kept) bytes += region.length;
    const free = shape.blocks - shape.distance(this.#tail, this.#writer.head);
    if (this.#writer.blocksFor(bytes, kept.length) > free) {
      throw noSpace('the log has no room for its unfinished work', { where: { field: 'LOG_FULL' } });
    }
    this.#makeHeadSafe();
    this.#tail = this.#writer.writeCheckpoint(kept, this.#tail);
    this.#device.flush();
    this.#dirtyLog = true;
  }

  /** Before the first record: blocks ahead of the head may look as if they had been written behind it. */
  #makeHeadSafe(): void {
    if (this.#headSafe) return;
    clearAhead(this.#device, this.geometry, this.#writer.head, this.#tail);
    this.#headSafe = true;
  }

  /** Basic blocks the next checkpoint would take, about. */
  #logUse(): number {
    return this.#writer.blocksFor(this.#waitingBytes * 1.1, this.#waiting.size * 3 + this.#cancels.size);
  }

  /** J5, J6: what a committed transaction freed. */
  #takeFreed(freed: readonly FreedRange[]): void {
    for (const range of freed) {
      this.#freed.push(range);
      const end = range.daddr + range.length / BASIC_BLOCK;
      forEachIn(this.#images, range.daddr, end, this.geometry.blockSize / BASIC_BLOCK, (daddr, length) => {
        this.#cancels.set(daddr, length);
        this.#images.delete(daddr);
      });
      for (const [buffer] of [...this.#waiting]) {
        if (buffer.daddr < range.daddr || buffer.daddr >= end || buffer.attached) continue;
        this.#waiting.delete(buffer);
        buffer.pins--;
      }
      for (const [buffer] of this.#inLog)
        if (buffer.daddr >= range.daddr && buffer.daddr < end) this.#inLog.delete(buffer);
    }
  }

  #encode(): Uint8Array[] {
    const { geometry } = this;
    const out: Uint8Array[] = [];
    const fresh: { block: number; ag: number; agBlock: number; count: number; gen: number }[] = [];
    for (const [daddr, length] of this.#cancels) encodeCancel(daddr, length, out);
    for (const block of this.#waiting.values()) {
      if (!block.created) continue;
      const ag = geometry.agOfDaddr(block.buffer.daddr);
      const agBlock = geometry.agBlockOfDaddr(block.buffer.daddr);
      const count = block.buffer.data.length / geometry.blockSize;
      fresh.push({
        block: geometry.fsBlock(ag, agBlock),
        ag,
        agBlock,
        count,
        gen: freshGeneration(block, geometry.inodeSize),
      });
    }
    fresh.sort((a, b) => a.block - b.block);
    for (let i = 0; i < fresh.length; ) {
      // Clusters of one chunk are one item: replay accepts whole chunks, and halves only where chunks may be sparse.
      const { ag, agBlock, gen, block } = fresh[i]!;
      let count = 0;
      while (i < fresh.length && fresh[i]!.block === block + count && count < geometry.chunkBlocks)
        count += fresh[i++]!.count;
      encodeIcreate(geometry, ag, agBlock, count, gen, out);
    }
    for (const block of this.#waiting.values()) encodeBlock(block, geometry, out);
    out.push(...this.#items);
    return out;
  }
}

/** The generation that ICREATE gives all slots: that of any slot still free, or of the first. */
function freshGeneration(block: LoggedBlock, inodeSize: number): number {
  const { view, data } = block.buffer;
  for (let base = 0; base < data.length; base += inodeSize) {
    if (view.getUint16(base + 2) === 0) return view.getUint32(base + 92);
  }
  return view.getUint32(92);
}

/** The bits a block was logged with before, to be added to. */
function copyOf(block: LoggedBlock | undefined): LoggedBlock | undefined {
  if (!block?.buffer.dirty) return undefined; // in place by now: the log need not repeat it
  return {
    buffer: block.buffer,
    chunks: block.chunks?.slice(),
    inodes: new Set(block.inodes),
    unlinked: new Set(block.unlinked),
    created: false,
  };
}

function forEachIn(
  map: Map<number, number>,
  start: number,
  end: number,
  step: number,
  visit: (daddr: number, length: number) => void,
): void {
  if ((end - start) / step > map.size) {
    for (const [daddr, length] of [...map]) if (daddr >= start && daddr < end) visit(daddr, length);
    return;
  }
  for (let daddr = start; daddr < end; daddr += step) {
    const length = map.get(daddr);
    if (length !== undefined) visit(daddr, length);
  }
}
