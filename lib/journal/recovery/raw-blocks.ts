/**
 * The blocks that replay works on: read without verification (what is there may be old, torn or of another kind), sealed
 * and verified when a group of checkpoints with one LSN is through.
 *
 * 1. All checkpoints that start in one log record have one LSN. Their changes reach the device together, and get the LSN
 *    only then: a block stamped after half of them would be taken for finished by a second replay.
 * 2. Blocks of different extent never lie over each other here: the older one is written out and dropped first.
 */
import type { BlockType } from '../../../formats/block-type.ts';
import { sealCrc } from '../../../formats/checksum.ts';
import { BASIC_BLOCK, type Geometry } from '../../../formats/geometry.ts';
import { InodeCore } from '../../../formats/inode.ts';
import { inodeCoreFault } from '../../../formats/inode-verify.ts';
import { getU64 } from '../../../formats/struct.ts';
import type { Device } from '../../device/device.ts';
import { type CadastreError, corrupt } from '../../errors.ts';
import type { Position } from '../position.ts';

/** Memory for blocks between groups. */
const LIMIT = 64 * 2 ** 20;

export class RawBlock {
  /** 512-byte address. */
  readonly daddr: number;
  readonly data: Uint8Array;
  readonly view: DataView;
  dirty = false;
  /** Changed by the group at work: an LSN on the disk says nothing about it. */
  inGroup = false;
  /** Torn, or of another kind than the log says: it need not verify before everything is replayed, but then it must. */
  unsettled = false;
  /** What to seal and verify it as; undefined for blocks without one header. */
  type: BlockType | undefined = undefined;
  /** Offsets of the inode slots that the group changed. */
  readonly slots = new Set<number>();

  constructor(daddr: number, length: number) {
    this.daddr = daddr;
    this.data = new Uint8Array(length);
    this.view = new DataView(this.data.buffer);
  }

  get end(): number {
    return this.daddr + this.data.length / BASIC_BLOCK;
  }
}

function replayedFault(type: BlockType, block: RawBlock, geometry: Geometry): CadastreError | undefined {
  const { view, daddr } = block;
  const fault = type.verify(view, geometry, daddr);
  if (!fault) return undefined;
  const text = `log replay makes a ${type.name} that is not valid: ${fault.field} is ${fault.found}`;
  return corrupt('REPLAY_BLOCK', text, {
    where: { daddr, structure: type.name, field: fault.field },
    expected: fault.expected,
    found: fault.found,
  });
}

/** What cannot be replayed: thrown, or told when as much as possible shall be. */
export type ReplayFault = (error: CadastreError) => void;

export class RawBlocks {
  readonly #device: Device;
  readonly #fault: ReplayFault;
  readonly #blocks = new Map<number, RawBlock>();
  /** fs block → the cached blocks that lie in it. */
  readonly #cover = new Map<number, Set<RawBlock>>();
  readonly #perBlock: number;
  #group: RawBlock[] = [];
  #bytes = 0;

  constructor(device: Device, blockSize: number, fault: ReplayFault) {
    this.#device = device;
    this.#fault = fault;
    this.#perBlock = blockSize / BASIC_BLOCK;
  }

  /** A block for reading and changing. The caller has checked that it lies inside the image. */
  get(daddr: number, length: number, fresh = false): RawBlock {
    const known = this.#blocks.get(daddr);
    if (known && known.data.length === length) return known;
    const block = new RawBlock(daddr, length);
    this.#dropOverlaps(block);
    if (!fresh) this.#device.read(daddr * BASIC_BLOCK, block.data);
    this.#blocks.set(daddr, block);
    this.#bytes += length;
    this.#eachCover(block, (set) => set.add(block));
    return block;
  }

  /** The block was changed by the group at work. */
  touch(block: RawBlock): void {
    block.dirty = true;
    if (block.inGroup) return;
    block.inGroup = true;
    this.#group.push(block);
  }

  /**
   * All checkpoints of one LSN are through: stamp, verify, seal. Throws `corrupt` REPLAY_BLOCK when a block does not
   * verify; nothing of the group has been written then.
   */
  endGroup(geometry: Geometry, lsn: Position): void {
    for (const block of this.#group) this.#seal(block, geometry, lsn);
    this.#group = [];
    if (this.#bytes > LIMIT) this.flush();
  }

  /**
   * Everything is replayed: verify what could not be before, write everything, forget it. Durable after the device's flush.
   * Throws `corrupt` REPLAY_BLOCK.
   */
  finish(geometry: Geometry): void {
    for (const block of this.#blocks.values()) {
      if (!block.unsettled || !block.dirty) continue;
      const fault = block.type
        ? replayedFault(block.type, block, geometry)
        : corrupt('REPLAY_BLOCK', 'log replay leaves a block that is no structure', { where: { daddr: block.daddr } });
      if (fault) this.#fault(fault);
      block.unsettled = false;
    }
    this.flush();
  }

  /** Write what is settled and forget it. */
  flush(): void {
    const dirty = [...this.#blocks.values()].filter((block) => block.dirty && !block.unsettled);
    dirty.sort((a, b) => a.daddr - b.daddr);
    for (const block of dirty) this.#write(block);
    const kept = [...this.#blocks.values()].filter((block) => block.dirty);
    this.#blocks.clear();
    this.#cover.clear();
    this.#bytes = 0;
    for (const block of kept) {
      this.#blocks.set(block.daddr, block);
      this.#bytes += block.data.length;
      this.#eachCover(block, (set) => set.add(block));
    }
  }

  #write(block: RawBlock): void {
    this.#device.write(block.daddr * BASIC_BLOCK, block.data);
    block.dirty = false;
  }

  #seal(block: RawBlock, geometry: Geometry, lsn: Position): void {
    block.inGroup = false;
    const { type, view, data } = block;
    for (const offset of block.slots) {
      const ino = getU64(view, offset + InodeCore.offsets.ino);
      const fault = inodeCoreFault(view, offset, geometry, ino);
      if (fault) {
        const text = `log replay makes an inode that is not valid: ${fault.field} is ${fault.found}`;
        const where = { inode: ino, structure: 'Inode', field: fault.field };
        this.#fault(corrupt('REPLAY_INODE', text, { where, expected: fault.expected, found: fault.found }));
      }
      sealCrc(data.subarray(offset, offset + geometry.inodeSize), InodeCore.offsets.crc);
    }
    block.slots.clear();
    if (!type) return;
    if (type.lsnOffset >= 0) {
      view.setUint32(type.lsnOffset, lsn.cycle);
      view.setUint32(type.lsnOffset + 4, lsn.block);
    }
    if (type.crcOffset >= 0) sealCrc(data, type.crcOffset);
    const fault = block.unsettled ? undefined : replayedFault(type, block, geometry);
    if (fault) this.#fault(fault);
  }

  #eachCover(block: RawBlock, visit: (set: Set<RawBlock>, key: number) => void): void {
    for (let key = Math.floor(block.daddr / this.#perBlock); key * this.#perBlock < block.end; key++) {
      let set = this.#cover.get(key);
      if (!set) this.#cover.set(key, (set = new Set()));
      visit(set, key);
    }
  }

  #dropOverlaps(block: RawBlock): void {
    const overlaps = new Set<RawBlock>();
    this.#eachCover(block, (set) => {
      for (const other of set) if (other.daddr < block.end && block.daddr < other.end) overlaps.add(other);
    });
    for (const other of overlaps) {
      if (other.dirty) this.#write(other);
      // Still to be sealed when it belongs to the group: it was freed and is something else now, so its seal is moot.
      if (other.inGroup) this.#group = this.#group.filter((each) => each !== other);
      this.#blocks.delete(other.daddr);
      this.#bytes -= other.data.length;
      this.#eachCover(other, (set) => set.delete(other));
    }
  }
}
