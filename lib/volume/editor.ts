/**
 * An image open for changes: a volume, its journal, and transactions around every change.
 *
 * 1. An operation happens whole or not at all: when it throws, its transaction is taken back and the image is as before.
 * 2. What takes more than one transaction (large files, trees) is a chain of consistent steps; an object that must appear
 *    whole is built without a name and named by the last step.
 * 3. Durable is what was committed before the last `sync`, `close` or automatic checkpoint.
 */
import { QUOTA_CHECKED, Superblock, VERSION } from '../../formats/superblock.ts';
import { SUPERBLOCK_TYPE } from '../../formats/superblock-verify.ts';
import type { Time } from '../../formats/time.ts';
import type { Transaction } from '../buffer/transaction.ts';
import type { Device } from '../device/device.ts';
import { GatedDevice } from '../device/gated.ts';
import { GatherDevice } from '../device/gather.ts';
import { CadastreError, unsupported } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { BlocksBusy, Journal } from '../journal/journal.ts';
import { readLogState } from '../journal/log-reader.ts';
import type { JournalTransaction } from '../journal/transaction.ts';
import type { Space } from '../space/space.ts';
import { Volume, type VolumeOptions } from './volume.ts';

/** Extents and the like that one transaction of a chain deals with: some hundred KiB of log at worst. */
const STEP_UNITS = 64;

export interface EditorOptions extends VolumeOptions {
  /** The time that changes are stamped with; default: the host's clock. */
  now?: () => Time;
  /** Where generation numbers come from; default: random. */
  generation?: () => number;
}

export class Editor {
  readonly volume: Volume;
  readonly space: Space;
  readonly journal: Journal;
  /** Where file data goes. */
  readonly data: Device;
  readonly now: () => Time;
  readonly generation: () => number;
  #changed = false;
  /** How many times each inode is open. */
  readonly #held = new Map<number, number>();

  private constructor(volume: Volume, journal: Journal, data: Device, options: EditorOptions) {
    this.volume = volume;
    this.space = volume.space;
    this.journal = journal;
    this.data = data;
    this.now = options.now ?? hostTime;
    this.generation = options.generation ?? (() => Math.floor(Math.random() * 2 ** 32));
  }

  /**
   * Open an image whose log is clean. Throws `unsupported` READ_ONLY when a feature forbids changes, `corrupt` LOG_DIRTY
   * when the log must be replayed first (lib/recovery).
   */
  static open(device: Device, options: EditorOptions = {}): Editor {
    const gather = new GatherDevice(device);
    const volume = Volume.open(gather, options);
    const { readOnlyReason } = volume.opened;
    if (readOnlyReason) throw unsupported('READ_ONLY', `the image can only be read: ${readOnlyReason}`);
    const log = readLogState(gather, volume.geometry);
    if (!log.clean) {
      throw unsupported('LOG_DIRTY', 'the log holds changes that must be replayed first', {
        where: { structure: 'log' },
      });
    }
    const journal = new Journal(gather, volume.cache, log.head, log.previousBlock);
    const data = new GatedDevice(gather, (offset, length) => journal.beforeDataWrite(offset, length));
    return new Editor(volume, journal, data, options);
  }

  /**
   * Do something in one transaction. When `work` throws, nothing of it has happened. It may be called twice: when it meets
   * blocks, or finds no others, whose freeing is not durable, it is taken back, that is made durable, and `work` begins anew.
   */
  transact<T>(work: (tx: JournalTransaction) => T): T {
    for (let attempt = 0; ; attempt++) {
      const tx = this.journal.begin();
      try {
        const result = work(tx);
        this.journal.commit(tx);
        this.#changed = true;
        return result;
      } catch (error) {
        if (tx.isOpen) this.journal.cancel(tx);
        this.space.forgetCounts();
        const isBusy = error instanceof BlocksBusy || (isNoSpace(error) && this.journal.hasFreed);
        if (!isBusy || attempt > 0) throw error;
      }
      this.journal.checkpoint();
    }
  }

  /**
   * `transact` for work that can also do less of what it is about: it is told how many units (lib/file/release.ts) it may
   * take. When that turns out too much for the log of this image it is called again with fewer, `least` at last.
   */
  transactSized<T>(work: (tx: JournalTransaction, units: number) => T, least = 1): T {
    for (let units = STEP_UNITS; ; units = Math.max(least, units >> 2)) {
      try {
        return this.transact((tx) => work(tx, units));
      } catch (error) {
        if (!isLogFull(error) || units <= least) throw error;
      }
    }
  }

  /** A chain of transactions: `step` is called, each time in one of its own, until it says that nothing is left. */
  chain(step: (tx: JournalTransaction, units: number) => boolean): void {
    while (this.transactSized(step)) {
      // each step leaves a consistent image
    }
  }

  /** Somebody has this inode open: without a name it stays, on the unlinked list, until as many `release` calls. */
  hold(number: number): void {
    this.#held.set(number, (this.#held.get(number) ?? 0) + 1);
  }

  /** @returns true when nobody has it open any more: without a name it is to be freed now (names.ts, `letGo`). */
  release(number: number): boolean {
    const count = (this.#held.get(number) ?? 0) - 1;
    if (count > 0) this.#held.set(number, count);
    else this.#held.delete(number);
    return count <= 0;
  }

  isHeld(number: number): boolean {
    return this.#held.has(number);
  }

  /** Make everything done so far durable. */
  sync(): void {
    this.journal.checkpoint();
  }

  /** Write everything in place, bring the superblock's sums up to date, leave a clean log, close the device. */
  close(): void {
    if (this.#changed) this.transact((tx) => this.#updateSuperblock(tx));
    this.journal.close();
    this.volume.close();
  }

  /** An inode in a transaction. */
  inode(tx: Transaction, number: number): Inode {
    return this.volume.inodeIn(tx, number);
  }

  /** Content changed: mtime and ctime. Metadata changed: ctime only. Either counts as a change. */
  touch(tx: Transaction, inode: Inode, content: boolean): void {
    const now = this.now();
    inode.change(tx);
    if (content) inode.setTime('mtime', now);
    inode.setTime('ctime', now);
    const { core } = inode;
    core.changecountLo = (core.changecountLo + 1) >>> 0;
    if (core.changecountLo === 0) core.changecountHi = (core.changecountHi + 1) >>> 0;
  }

  /** The superblock must say that attributes are in use as soon as one is. */
  noteAttributes(tx: Transaction): void {
    const buffer = tx.get(0, this.volume.geometry.sectorSize, SUPERBLOCK_TYPE);
    const sb = Superblock.at(buffer.view);
    if ((sb.versionnum & VERSION.ATTR) !== 0) return;
    tx.change(buffer);
    sb.versionnum |= VERSION.ATTR;
  }

  #updateSuperblock(tx: Transaction): void {
    const buffer = tx.get(0, this.volume.geometry.sectorSize, SUPERBLOCK_TYPE);
    tx.change(buffer);
    const sb = Superblock.at(buffer.view);
    const { inodes, free } = this.space.countInodes(tx);
    sb.icount = inodes;
    sb.ifree = free;
    sb.fdblocks = this.space.countFree(tx);
    // We do not keep quota usage: the kernel counts it again at the next mount.
    sb.qflags &= ~QUOTA_CHECKED;
  }
}

/** True when an operation found no room in the image; not when its log is too small for it. */
function isNoSpace(error: unknown): boolean {
  return error instanceof CadastreError && error.family === 'no-space' && !isLogFull(error);
}

/** True when a change was refused because it was too large for one transaction of this image: smaller steps may do. */
export function isLogFull(error: unknown): boolean {
  return error instanceof CadastreError && error.family === 'no-space' && error.where.field === 'LOG_FULL';
}

function hostTime(): Time {
  const milliseconds = Date.now();
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanoseconds: (milliseconds - seconds * 1000) * 1e6 };
}
