/**
 * The journal of an open image: gathers committed transactions in memory and writes them as checkpoints.
 *
 * Invariants (docs/DESIGN.md, "Commit protocol"):
 * J1. A block that a transaction changed reaches its place only after the checkpoint that describes it is durable: it
 *     stays pinned until then. No checkpoint is written while a transaction is open: it would hold half of it.
 * J2. A checkpoint is written in the order: data, flush, log records, flush. Only then are its blocks unpinned.
 * J3. The log since the tail says everything that changed in a block since what is durable in its place.
 * J4. The tail moves to the head when every logged block is in place and flushed, which happens whenever more than half
 *     of the log is used; so a checkpoint, which is kept below three eighths of it, always fits. The new tail is durable
 *     before the log behind the old one is overwritten (LogWriter).
 * J5. Data never overwrites a block whose freeing is not durable: allocation goes round such blocks
 *     (`Transaction.freedIn`), and the gate of data writes refuses what comes through all the same.
 * J6. A freed block that the active log has images of is cancelled in the log.
 * J7. Every block carries the LSN of the checkpoint that logged it last; no LSN is ever ahead of the log.
 */
import { BASIC_BLOCK, type Geometry } from '../../formats/geometry.ts';
import type { Buffer } from '../buffer/buffer.ts';
import type { BufferCache } from '../buffer/cache.ts';
import type { Device } from '../device/device.ts';
import { deviceError, internal, noSpace } from '../errors.ts';
import { clearAhead } from './clean-log.ts';
import { FreedRanges } from './freed-ranges.ts';
import {
  emptyLoggedBlock,
  encodeBlock,
  encodeCancel,
  encodeIcreate,
  hasChanges,
  type LogCost,
  type LoggedBlock,
  loggedCost,
  mergeLoggedBlock,
  noteDifferences,
  stampLsn,
} from './log-items.ts';
import { LogWriter } from './log-writer.ts';
import { comparePositions, type Position } from './position.ts';
import { JournalTransaction, SpareBytes } from './transaction.ts';

/** A checkpoint is due when so many bytes wait for the log, or are held in memory for it: both stay bounded. */
const CHECKPOINT_BYTES = 16 << 20;
const PINNED_BYTES = 32 << 20;
/** Log space of a cancel item, about. */
const CANCEL_BYTES = 64;

/**
 * Data was about to be written to blocks whose freeing is not durable. Nothing is wrong: the transaction is cancelled, a
 * checkpoint makes the freeing durable, and the work is done again (`Editor.transact`).
 */
export class BlocksBusy extends Error {
  constructor() {
    super('blocks were freed a moment ago: checkpoint first');
    this.name = 'BlocksBusy';
  }
}

export class Journal {
  readonly geometry: Geometry;
  readonly #device: Device;
  readonly #cache: BufferCache;
  readonly #writer: LogWriter;
  #tail: Position;
  #open: JournalTransaction | undefined;
  readonly #spare = new SpareBytes();
  /** Committed, not yet in the log. */
  readonly #waiting = new Map<Buffer, LoggedBlock>();
  /** What they cost in the log, at most. */
  #waitingCost: LogCost = { bytes: 0, regions: 0 };
  #pinnedBytes = 0;
  /** daddr → bytes of every block the active log has an image of. */
  readonly #images = new Map<number, number>();
  /** Freed since the last checkpoint: to be cancelled in the log; and all freed ranges, not to be overwritten yet. */
  readonly #cancels = new Map<number, number>();
  readonly #freed = new FreedRanges();
  /** Regions of other items (intents, done items) that wait for the checkpoint. */
  #items: Uint8Array[] = [];
  #commits = 0;
  /** Anything in the log since it was clean. */
  #dirtyLog = false;
  /** What a crash left ahead of the head has been made harmless. */
  #headSafe = false;
  /** A device error in the middle of a checkpoint: memory and image have parted, nothing may be written any more. */
  #failed: unknown;
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
    this.#writer = new LogWriter(device, cache.geometry, head, previousBlock, tail);
    this.#tail = tail;
    this.#dirtyLog = comparePositions(tail, head) !== 0;
  }

  /** Start a transaction. Only one may be open. */
  begin(): JournalTransaction {
    this.#assertUsable();
    this.#open = new JournalTransaction(this.#cache, this.#freed, this.#spare);
    return this.#open;
  }

  /** Nothing is left to be made durable, as far as freed blocks go: doing the work again would not go better. */
  get hasFreed(): boolean {
    return !this.#freed.isEmpty;
  }

  /** Transactions committed until now: two equal numbers say that nothing has changed in between. */
  get commits(): number {
    return this.#commits;
  }

  /** May data be written here at once, or must a checkpoint make the freeing of these blocks durable first? */
  isFreed(daddr: number, length: number): boolean {
    return this.#freed.firstIn(daddr, daddr + length / BASIC_BLOCK) !== undefined;
  }

  /**
   * The transaction happened, as far as anybody who uses this image can see; it survives a crash after the next
   * `checkpoint`. Throws ENOSPC (`where.field` LOG_FULL) when it could never fit into the log, with nothing changed: the
   * caller cancels. Any other error is the device's: the transaction is over (`isOpen`), and so is the journal.
   */
  commit(tx: JournalTransaction): void {
    const { inodeSize } = this.geometry;
    const { shape } = this.#writer;
    const changed: LoggedBlock[] = [];
    const cost: LogCost = { bytes: 0, regions: 0 };
    for (const joined of [...tx.joined.values()]) {
      const block = emptyLoggedBlock(joined.buffer);
      noteDifferences(block, joined.before, inodeSize);
      if (joined.before && !hasChanges(block) && joined.typeBefore === joined.buffer.type) {
        tx.leave(joined);
        continue;
      }
      changed.push(block);
      block.cost = loggedCost(block, this.geometry);
      addCost(cost, block.cost);
    }
    for (const region of tx.items) addCost(cost, { bytes: region.length, regions: 1 });
    this.#forEachImageIn(tx, () => addCost(cost, { bytes: CANCEL_BYTES, regions: 1 }));
    if (this.#writer.blocksFor(cost.bytes, cost.regions) > shape.transactionLimit) {
      throw noSpace('the change is too large for the log of this image', { where: { field: 'LOG_FULL' } });
    }
    for (const work of tx.late) work();
    this.#takeFreed(tx);
    const waiting = this.#waitingCost;
    addCost(waiting, cost);
    for (const block of changed) {
      const { buffer } = block;
      for (const segment of buffer.segments) {
        if (this.#cancels.get(segment.daddr) !== segment.length) continue;
        // Taken into use again before the cancel was logged: the old image is still there, should it be freed once more.
        this.#cancels.delete(segment.daddr);
        this.#images.set(segment.daddr, segment.length);
      }
      const known = this.#waiting.get(buffer);
      if (known) {
        mergeLoggedBlock(known, block);
        buffer.pins--;
        // What both say of the block is logged once.
        addCost(waiting, block.cost, -1);
        addCost(waiting, known.cost, -1);
        known.cost = loggedCost(known, this.geometry);
        addCost(waiting, known.cost);
      } else {
        this.#waiting.set(buffer, block); // the transaction's pin stays until the checkpoint
        this.#pinnedBytes += buffer.length;
      }
    }
    for (const region of tx.items) this.#items.push(region);
    this.#open = undefined;
    this.#commits++;
    tx.finish();
    if (
      this.#waitingCost.bytes > CHECKPOINT_BYTES ||
      this.#pinnedBytes > PINNED_BYTES ||
      this.#logUse() > shape.checkpointDue
    )
      this.checkpoint();
    this.#cache.trim();
  }

  /** Take a transaction back. */
  cancel(tx: JournalTransaction): void {
    this.#open = undefined;
    tx.cancel();
  }

  /**
   * Data is about to be written here. Throws `BlocksBusy` when these blocks were freed a moment ago by a transaction that
   * is not durable.
   */
  beforeDataWrite(offset: number, length: number): void {
    this.#assertAlive();
    const start = Math.floor(offset / BASIC_BLOCK);
    const end = Math.ceil((offset + length) / BASIC_BLOCK);
    if (this.#freed.firstIn(start, end)) {
      if (this.#open) throw new BlocksBusy();
      this.checkpoint();
    }
    if (this.#open?.freedHereIn(start, (end - start) * BASIC_BLOCK)) {
      throw internal(`data written over blocks that this very transaction freed, at byte ${offset}`);
    }
  }

  /** Everything committed so far is durable when this returns. */
  checkpoint(): void {
    this.#assertUsable();
    try {
      this.#writeCheckpoint();
    } catch (error) {
      this.#failed = error;
      throw error;
    }
  }

  #writeCheckpoint(): void {
    if (this.#waiting.size === 0 && this.#cancels.size === 0 && this.#items.length === 0) {
      this.#device.flush();
      this.#freed.clear();
      return;
    }
    const regions = this.#encode();
    let bytes = 0;
    for (const region of regions) bytes += region.length;
    const { shape } = this.#writer;
    if (this.#writer.blocksFor(bytes, regions.length) > this.#room)
      throw internal('checkpoint does not fit into the log');
    this.#device.flush();
    this.#makeHeadSafe();
    const lsn = this.#writer.writeCheckpoint(regions, this.#tail);
    this.#device.flush();
    this.#dirtyLog = true;
    for (const block of this.#waiting.values()) {
      const { buffer } = block;
      stampLsn(block, this.geometry.inodeSize, lsn.cycle, lsn.block);
      buffer.pins--;
      for (const segment of buffer.segments) this.#images.set(segment.daddr, segment.length);
    }
    this.#waiting.clear();
    this.#waitingCost = { bytes: 0, regions: 0 };
    this.#pinnedBytes = 0;
    this.#cancels.clear();
    this.#items = [];
    this.#freed.clear();
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
    this.#images.clear();
    const kept = this.keep?.() ?? [];
    if (kept.length === 0) {
      this.#tail = this.#writer.head;
      return;
    }
    let bytes = 0;
    for (const region of kept) bytes += region.length;
    if (this.#writer.blocksFor(bytes, kept.length) > this.#room) {
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

  /** Basic blocks of the log that are free. */
  get #room(): number {
    const { shape, head } = this.#writer;
    return shape.blocks - shape.distance(this.#tail, head);
  }

  /** Basic blocks the next checkpoint would take, at most. */
  #logUse(): number {
    const { bytes, regions } = this.#waitingCost;
    const cancels = this.#cancels.size;
    return this.#writer.blocksFor(bytes + cancels * CANCEL_BYTES, regions + cancels);
  }

  #assertAlive(): void {
    if (this.#failed === undefined) return;
    throw deviceError('JOURNAL_FAILED', 'an earlier write to the image failed: open it again', { cause: this.#failed });
  }

  #assertUsable(): void {
    this.#assertAlive();
    if (this.#open) throw internal('a transaction is open');
  }

  /** Blocks that a transaction freed and the active log has images of. */
  #forEachImageIn(tx: JournalTransaction, visit: (daddr: number, length: number) => void): void {
    const step = this.geometry.blockSize / BASIC_BLOCK;
    for (const { daddr, length } of tx.freed) forEachIn(this.#images, daddr, daddr + length / BASIC_BLOCK, step, visit);
  }

  /** J5, J6: what a committed transaction freed. */
  #takeFreed(tx: JournalTransaction): void {
    for (const range of tx.freed) this.#freed.add(range);
    this.#forEachImageIn(tx, (daddr, length) => {
      this.#cancels.set(daddr, length);
      this.#images.delete(daddr);
    });
    for (const { buffer } of tx.dropped) {
      const known = this.#waiting.get(buffer);
      if (!known) continue;
      this.#waiting.delete(buffer);
      addCost(this.#waitingCost, known.cost, -1);
      buffer.pins--;
      this.#pinnedBytes -= buffer.length;
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
    const { chunkBlocks } = geometry;
    for (let i = 0; i < fresh.length; ) {
      // Clusters of one chunk are one item: replay accepts whole chunks, and halves only where chunks may be sparse. Then
      // chunks are aligned to their size; else runs consist of whole ones.
      const { ag, agBlock, gen, block } = fresh[i]!;
      const most = geometry.features.sparse ? chunkBlocks - (agBlock % chunkBlocks) : chunkBlocks;
      let count = 0;
      while (i < fresh.length && fresh[i]!.block === block + count && count < most) count += fresh[i++]!.count;
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

function addCost(to: LogCost, more: LogCost, times = 1): void {
  to.bytes += times * more.bytes;
  to.regions += times * more.regions;
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
