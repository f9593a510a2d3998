/**
 * A fork over a Map, for tests of directories and attributes. It is strict where the real one is lenient:
 * a block that was not announced as changed is handed out as a fresh copy every time (so a change to it is lost or
 * caught), `create` insists on a hole, `free` on a block, and blocks can be made to run out.
 */
import { type BlockType, checkBlock } from '../../formats/block-type.ts';
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { Buffer } from '../../lib/buffer/buffer.ts';
import type { ForkBlocks } from '../../lib/buffer/fork-blocks.ts';
import { corrupt, noSpace } from '../../lib/errors.ts';

export class FakeFork implements ForkBlocks {
  readonly geometry: Geometry;
  readonly inode: number;
  readonly blockBytes: number;
  readonly blockBlocks: number;
  readonly localCapacity: number;
  size = 0;
  /** Blocks that `create` may still hand out. */
  budget = Number.POSITIVE_INFINITY;
  /** False: keep one buffer per block (fast, for big directories). */
  strict = true;
  readonly blocks = new Map<number, Buffer>();
  readonly #changed = new Set<Buffer>();
  #sorted: number[] | undefined = [];
  #localBytes: Uint8Array | undefined;
  #nextDaddr = 1000;

  constructor(geometry: Geometry, options: { inode?: number; attr?: boolean; localCapacity?: number } = {}) {
    this.geometry = geometry;
    this.inode = options.inode ?? 131;
    this.blockBlocks = options.attr ? 1 : geometry.dirBlockBlocks;
    this.blockBytes = this.blockBlocks * geometry.blockSize;
    this.localCapacity = options.localCapacity ?? geometry.inodeSize - 176;
  }

  local(): DataView | undefined {
    const bytes = this.#localBytes;
    if (!bytes) return undefined;
    // As in an inode: the whole fork area, zeroes behind the bytes in use.
    const area = new Uint8Array(this.localCapacity);
    area.set(bytes);
    return new DataView(area.buffer);
  }
  get localBytes(): Uint8Array | undefined {
    return this.#localBytes;
  }

  find(fileBlock: number, type: BlockType): Buffer | undefined {
    let buffer = this.blocks.get(fileBlock);
    if (!buffer) return undefined;
    if (this.strict && !this.#changed.has(buffer)) {
      const copy = new Buffer(buffer.segments, buffer.length, buffer.type);
      copy.data.set(buffer.data);
      buffer.attached = false;
      this.blocks.set(fileBlock, copy);
      buffer = copy;
    }
    if (buffer.type !== type) {
      const fault = type.verify(buffer.view, this.geometry, buffer.daddr);
      if (fault) throw corrupt(fault.code, fault.field, { expected: fault.expected, found: fault.found });
      if (buffer.type === UNREAD) buffer.type = type;
    }
    return buffer;
  }

  #order(): number[] {
    this.#sorted ??= [...this.blocks.keys()].sort((a, b) => a - b);
    return this.#sorted;
  }

  *mapped(from: number, to: number): Iterable<number> {
    if (from % this.blockBlocks !== 0) throw new Error(`mapped from odd block ${from}`);
    const order = this.#order();
    for (let i = this.#lowerBound(from); i < order.length && order[i]! < to; i++) yield order[i]!;
  }

  lastMapped(before: number): number | undefined {
    return this.#order()[this.#lowerBound(before) - 1];
  }

  #lowerBound(value: number): number {
    const order = this.#order();
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (order[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  create(fileBlock: number, type: BlockType): Buffer {
    if (this.#localBytes) throw new Error('create in a local fork');
    if (this.blocks.has(fileBlock)) throw new Error(`create over mapped block ${fileBlock}`);
    if (fileBlock % this.blockBlocks !== 0) throw new Error(`create at odd block ${fileBlock}`);
    if (this.budget-- <= 0) {
      this.budget = 0;
      throw noSpace('no blocks left');
    }
    const buffer = new Buffer([{ daddr: this.#nextDaddr, length: this.blockBytes }], this.blockBytes, type);
    this.#nextDaddr += this.blockBytes / 512;
    this.blocks.set(fileBlock, buffer);
    this.#changed.add(buffer);
    this.#sorted = undefined;
    return buffer;
  }

  free(fileBlock: number): void {
    if (!this.blocks.delete(fileBlock)) throw new Error(`free of hole ${fileBlock}`);
    this.#sorted = undefined;
    this.budget++;
  }

  change(buffer: Buffer): void {
    if (!buffer.attached) throw new Error('change of a stale buffer');
    this.#changed.add(buffer);
  }

  setLocal(bytes: Uint8Array): void {
    if (this.blocks.size > 0) throw new Error('setLocal with blocks');
    if (bytes.length > this.localCapacity) throw new Error('setLocal with too many bytes');
    this.#localBytes = bytes.slice();
  }
  clearLocal(): void {
    this.#localBytes = undefined;
  }
  setSize(size: number): void {
    this.size = size;
  }

  /** End of a transaction: seal what changed, then check every block as a reader would. Throws on the first fault. */
  commit(): void {
    for (const buffer of this.#changed) sealCrc(buffer.data, buffer.type.crcOffset);
    this.#changed.clear();
    for (const [fileBlock, { type, data, view, daddr }] of this.blocks) {
      const fault = checkBlock(type, data, view, this.geometry, daddr);
      if (fault) throw new Error(`block ${fileBlock} (${type.name}): ${JSON.stringify(fault)}`);
    }
  }

  /**
   * A fork with the same bytes, as after opening the image: every block is verified when it is first found. `damage` may
   * change the bytes (their CRC counts as right); -1 is the local form.
   */
  reread(damage: (fileBlock: number, data: Uint8Array) => void): FakeFork {
    const copy = new FakeFork(this.geometry, this);
    copy.strict = false;
    copy.size = this.size;
    copy.#nextDaddr = this.#nextDaddr;
    for (const [fileBlock, buffer] of this.blocks) {
      const twin = new Buffer(buffer.segments, buffer.length, UNREAD);
      twin.data.set(buffer.data);
      damage(fileBlock, twin.data);
      copy.blocks.set(fileBlock, twin);
    }
    copy.#sorted = undefined;
    copy.#localBytes = this.#localBytes?.slice();
    if (copy.#localBytes) damage(-1, copy.#localBytes);
    return copy;
  }
}

/** Type of a block nobody has read yet. */
const UNREAD: BlockType = { name: 'unread', logType: 0, crcOffset: -1, lsnOffset: -1, verify: () => undefined };
