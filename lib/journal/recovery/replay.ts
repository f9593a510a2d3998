/**
 * Physical replay: what the log says of blocks and inodes is put in its place (10.10).
 *
 *   pass 1   every record is read and checked; freed buffers ("cancelled") are counted. Nothing is written.
 *   pass 2   checkpoint by checkpoint: buffers and new inode chunks, inodes and dquots, unlinked chains, cancels
 *
 * 1. Replay is idempotent: the LSN rule skips what is newer, so a crash at any moment is mended by running it again.
 * 2. The log itself is not changed here: it stays dirty until lib/recovery has finished.
 * 3. Work that was only intended (`intents`) is left to lib/recovery: it takes trees and forks to do it.
 */
import { BTREE_BLOCK_TYPES } from '../../../formats/btree-verify.ts';
import { sealCrc } from '../../../formats/checksum.ts';
import { Geometry } from '../../../formats/geometry.ts';
import { BUFFER_ITEM, BUFFER_TYPE, DoneItem, IntentHeader, LOG_ITEM } from '../../../formats/log-items.ts';
import { Superblock } from '../../../formats/superblock.ts';
import { SUPERBLOCK_TYPE, verifySuperblock } from '../../../formats/superblock-verify.ts';
import type { Device } from '../../device/device.ts';
import { CadastreError, corrupt, unsupported } from '../../errors.ts';
import type { LogState } from '../log-reader.ts';
import { comparePositions, type Position } from '../position.ts';
import { badItem, bufferHead, replayBuffer } from './buffer-items.ts';
import { type Checkpoint, forEachCheckpoint, itemTypeName, type LogItem, viewOf } from './checkpoints.ts';
import { replayDquot, replayIcreate, replayInode, replayOwner } from './inode-items.ts';
import { type RawBlock, RawBlocks, type ReplayFault } from './raw-blocks.ts';
import type { ReplayState } from './replay-state.ts';

/** Bytes of intents without done items that are kept: no log of a healthy system comes near it. */
const MAX_INTENT_BYTES = 64 * 2 ** 20;

/** Work that a checkpoint announced and no later one reports as done. */
export interface Intent {
  /** One of LOG_ITEM: EFI, RUI, CUI, BUI, ATTRI, XMI. */
  readonly type: number;
  readonly regions: readonly Uint8Array[];
}

export interface ReplayResult {
  /** The geometry after replay: a grown image is larger than before. */
  readonly geometry: Geometry;
  readonly checkpoints: number;
  /** Items replayed, by type name. */
  readonly items: Record<string, number>;
  /** Items whose object on the disk was newer. */
  readonly skipped: number;
  /** In the order in which they were logged. */
  readonly intents: readonly Intent[];
  /** Replayed pieces of directory blocks that lie scattered, still without a right CRC; and the directories replayed. */
  readonly pieces: readonly { readonly daddr: number; readonly length: number }[];
  readonly directories: ReadonlySet<number>;
}

/** Intent types; the done item of each is the next number. */
const INTENTS = new Set<number>([LOG_ITEM.EFI, LOG_ITEM.RUI, LOG_ITEM.CUI, LOG_ITEM.BUI, LOG_ITEM.ATTRI, LOG_ITEM.XMI]);
const REALTIME = new Set<number>([
  LOG_ITEM.EFI_RT,
  LOG_ITEM.EFD_RT,
  LOG_ITEM.RUI_RT,
  LOG_ITEM.RUD_RT,
  LOG_ITEM.CUI_RT,
  LOG_ITEM.CUD_RT,
]);
const isDone = (type: number): boolean => INTENTS.has(type - 1);

/** A replay at work. */
class Replay implements ReplayState {
  geometry: Geometry;
  readonly blocks: RawBlocks;
  readonly bmbtType = BTREE_BLOCK_TYPES.bmbt;
  readonly directories = new Set<number>();
  readonly pieces: { daddr: number; length: number }[] = [];
  readonly ownerChanges: { inode: number; attr: boolean; lsn: Position }[] = [];
  readonly items: Record<string, number> = {};
  readonly intents = new Map<string, Intent>();
  readonly isStrict: boolean;
  checkpoints = 0;
  skipped = 0;
  readonly #device: Device;
  /** Cancels still ahead, by address and length. */
  readonly #cancels = new Map<number, number>();
  #intentBytes = 0;
  #lsn: Position | undefined;

  readonly #fault: ReplayFault;

  constructor(device: Device, geometry: Geometry, fault: ReplayFault) {
    this.#device = device;
    this.#fault = fault;
    this.isStrict = fault === throwIt;
    this.geometry = geometry;
    this.blocks = new RawBlocks(device, geometry.blockSize, fault);
  }

  /** True when the log frees this buffer later on. @param length in basic blocks. */
  isCancelled(daddr: number, length: number): boolean {
    return this.#cancels.has(cancelKey(daddr, length));
  }

  /** Pass 1. */
  scan(checkpoint: Checkpoint): void {
    for (const item of checkpoint.items) {
      if (REALTIME.has(item.type)) {
        throw unsupported('LOG_ITEM', `the log holds items of the realtime section (${itemTypeName(item.type)})`, {
          where: { structure: 'log', block: checkpoint.lsn.block },
        });
      }
      if (item.type !== LOG_ITEM.BUFFER) continue;
      const flags = item.regions[0]!.length >= 16 ? viewOf(item.regions[0]!).getUint16(4, true) : 0;
      if ((flags & BUFFER_ITEM.CANCEL) === 0) continue;
      const key = cancelKeyOf(item);
      this.#cancels.set(key, (this.#cancels.get(key) ?? 0) + 1);
    }
  }

  /** Pass 2. */
  apply(checkpoint: Checkpoint): void {
    const { lsn, items } = checkpoint;
    if (this.#lsn && comparePositions(this.#lsn, lsn) !== 0) this.endGroup();
    this.#lsn = lsn;
    this.checkpoints++;
    const last: LogItem[] = [];
    const cancels: LogItem[] = [];
    const rest: LogItem[] = [];
    for (const item of superblockFirst(items)) {
      this.#count(item.type);
      if (item.type === LOG_ITEM.ICREATE) this.#try(() => replayIcreate(this, item));
      else if (item.type !== LOG_ITEM.BUFFER) rest.push(item);
      else {
        const flags = item.regions[0]!.length >= 16 ? viewOf(item.regions[0]!).getUint16(4, true) : 0;
        if (flags & BUFFER_ITEM.CANCEL) cancels.push(item);
        else if (flags & BUFFER_ITEM.INODES) last.push(item);
        else this.#try(() => this.#buffer(item, lsn));
      }
    }
    for (const item of rest) this.#try(() => this.#item(item, lsn));
    for (const item of last) this.#try(() => this.#buffer(item, lsn));
    for (const item of cancels) this.#passCancel(item);
    for (const change of this.ownerChanges.splice(0)) this.#try(() => replayOwner(this, change));
  }

  /** One item: what is wrong with it, or with what it is about, is left to the caller's judgement. */
  #try(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family !== 'corrupt') throw error;
      this.#fault(error);
    }
  }

  endGroup(): void {
    if (this.#lsn) this.blocks.endGroup(this.geometry, this.#lsn);
    this.#lsn = undefined;
  }

  /** The primary superblock was replayed: from here on its geometry holds. */
  adoptSuperblock(block: RawBlock, lsn: Position): void {
    const { lsnOffset, crcOffset } = SUPERBLOCK_TYPE;
    const sector = block.data.slice();
    const view = viewOf(sector);
    view.setUint32(lsnOffset, lsn.cycle);
    view.setUint32(lsnOffset + 4, lsn.block);
    sealCrc(sector, crcOffset);
    const { dialect, refusal, fatal } = verifySuperblock(sector, this.#device.size);
    if (refusal && !refusal.readOnly)
      throw unsupported(refusal.code, `log replay would make this image: ${refusal.message}`);
    const first = fatal[0];
    const old = this.geometry;
    const sb = Superblock.at(view);
    const moved = sb.logstart !== old.logStart || sb.logblocks !== old.logBlocks || sb.blocksize !== old.blockSize;
    if (first || moved || dialect !== old.dialect) {
      throw corrupt(
        'REPLAY_BLOCK',
        `log replay makes a superblock that is not valid: ${first?.field ?? 'log or sizes'}`,
        {
          where: { daddr: 0, structure: 'Superblock', field: first?.field ?? 'logstart' },
          expected: first?.expected,
          found: first?.found,
        },
      );
    }
    this.geometry = new Geometry(view, old.dialect);
  }

  #buffer(item: LogItem, lsn: Position): void {
    const head = bufferHead(item, this.geometry);
    if (this.isCancelled(head.daddr, head.length / 512)) return;
    replayBuffer(this, item, head, lsn);
  }

  #passCancel(item: LogItem): void {
    const key = cancelKeyOf(item);
    const left = (this.#cancels.get(key) ?? 0) - 1;
    if (left > 0) this.#cancels.set(key, left);
    else this.#cancels.delete(key);
  }

  #item(item: LogItem, lsn: Position): void {
    const { type } = item;
    if (type === LOG_ITEM.INODE) replayInode(this, item, lsn);
    else if (type === LOG_ITEM.DQUOT) replayDquot(this, item, lsn);
    else if (INTENTS.has(type)) this.#note(item);
    else if (isDone(type)) this.#done(item);
    else if (type !== LOG_ITEM.QUOTAOFF)
      throw badItem(`an item that is never logged: ${itemTypeName(type)}`, 'another', type);
  }

  #note(item: LogItem): void {
    for (const region of item.regions) this.#intentBytes += region.length;
    if (this.#intentBytes > MAX_INTENT_BYTES) {
      throw corrupt('LOG_INTENTS', 'log: too much unfinished work', { where: { structure: 'log' } });
    }
    const key = this.#key(item, item.type);
    this.intents.delete(key); // an id that is used again: the new one stands where it was logged
    this.intents.set(key, { type: item.type, regions: item.regions });
  }

  #done(item: LogItem): void {
    const key = this.#key(item, item.type - 1);
    for (const region of this.intents.get(key)?.regions ?? []) this.#intentBytes -= region.length;
    this.intents.delete(key);
  }

  /** Type and the id that ties a done item to its intent. */
  #key(item: LogItem, type: number): string {
    const head = item.regions[0]!;
    const at = DoneItem.offsets.id;
    if (head.length < IntentHeader.size) throw badItem(`${itemTypeName(item.type)} item is too short`, 16, head.length);
    return `${type}:${viewOf(head).getUint32(at + 4, true)}:${viewOf(head).getUint32(at, true)}`;
  }

  #count(type: number): void {
    const name = itemTypeName(type);
    this.items[name] = (this.items[name] ?? 0) + 1;
  }
}

const throwIt: ReplayFault = (error) => {
  throw error;
};
const cancelKey = (daddr: number, length: number): number => daddr * 65536 + length;
function cancelKeyOf(item: LogItem): number {
  const view = viewOf(item.regions[0]!);
  return cancelKey(view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32, view.getUint16(6, true));
}

/** A grown image: buffers of the same checkpoint may lie in the new part. */
function superblockFirst(items: readonly LogItem[]): readonly LogItem[] {
  const isSuperblock = (item: LogItem): boolean =>
    item.type === LOG_ITEM.BUFFER &&
    item.regions[0]!.length >= 16 &&
    viewOf(item.regions[0]!).getUint16(4, true) >>> 11 === BUFFER_TYPE.SUPERBLOCK;
  const first = items.find(isSuperblock);
  return first ? [first, ...items.filter((item) => item !== first)] : items;
}

/**
 * Put everything the log says of blocks and inodes in its place, and make that durable. Throws `corrupt` LOG_*, REPLAY_*,
 * `unsupported` LOG_ITEM, LOG_BYTE_ORDER; a bad record is found before anything is written.
 * @param fault is told of each item that cannot be replayed, and the others are; without it the first one is thrown.
 */
export function replayLog(
  device: Device,
  geometry: Geometry,
  state: LogState,
  fault: ReplayFault = throwIt,
): ReplayResult {
  const replay = new Replay(device, geometry, fault);
  forEachCheckpoint(device, geometry, state, (checkpoint) => replay.scan(checkpoint));
  forEachCheckpoint(device, geometry, state, (checkpoint) => replay.apply(checkpoint));
  replay.endGroup();
  replay.blocks.finish(replay.geometry);
  device.flush();
  const { checkpoints, items, skipped, pieces, directories } = replay;
  return {
    geometry: replay.geometry,
    checkpoints,
    items,
    skipped,
    intents: [...replay.intents.values()],
    pieces,
    directories,
  };
}
