/**
 * A fork over a Map, for tests of directories and attributes: blocks at file blocks, each a cached Buffer. It is strict
 * where the real one is lenient: changing a block that was not announced, mapping twice, freeing a hole or going local
 * with blocks left all throw.
 */
import { type BlockType, checkBlock, type Fault } from '../../formats/block-type.ts';
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { Buffer } from '../../lib/buffer/buffer.ts';
import type { ForkBlocks } from '../../lib/buffer/fork-blocks.ts';
import { corrupt } from '../../lib/errors.ts';

export class MapFork implements ForkBlocks {
  readonly geometry: Geometry;
  readonly inode: number;
  readonly blockBytes: number;
  readonly blockBlocks: number;
  localCapacity: number;
  size = 0;
  /** Blocks by file block. */
  readonly blocks = new Map<number, Buffer>();
  #local: DataView | undefined;
  /** Copies of blocks as they were when last announced or found, to catch unannounced changes. */
  readonly #sealed = new Map<number, Uint8Array>();
  #next = 1000;

  constructor(geometry: Geometry, options: { blockBytes: number; localCapacity: number; inode?: number }) {
    this.geometry = geometry;
    this.inode = options.inode ?? 133;
    this.blockBytes = options.blockBytes;
    this.blockBlocks = options.blockBytes / geometry.blockSize;
    this.localCapacity = options.localCapacity;
  }

  local(): DataView | undefined {
    return this.#local;
  }
  find(fileBlock: number, type: BlockType): Buffer | undefined {
    const buffer = this.blocks.get(fileBlock);
    if (!buffer) return undefined;
    if (buffer.type !== type) {
      const fault = type.verify(buffer.view, this.geometry, buffer.daddr);
      if (fault) throw faultError(fault, fileBlock);
      if (buffer.type === UNVERIFIED) buffer.type = type;
    }
    return buffer;
  }
  *mapped(from: number, to: number): Iterable<number> {
    for (const block of [...this.blocks.keys()].sort((a, b) => a - b)) if (block >= from && block < to) yield block;
  }
  lastMapped(before: number): number | undefined {
    let last: number | undefined;
    for (const block of this.blocks.keys()) if (block < before && (last === undefined || block > last)) last = block;
    return last;
  }
  create(fileBlock: number, type: BlockType): Buffer {
    if (this.#local) throw new Error('create: the fork is local');
    if (this.blocks.has(fileBlock)) throw new Error(`create: block ${fileBlock} is mapped`);
    const daddr = (this.geometry.blockSize / 512) * this.#next;
    this.#next += this.blockBlocks + 1;
    const buffer = new Buffer([{ daddr, length: this.blockBytes }], this.blockBytes, type);
    buffer.dirty = true;
    this.blocks.set(fileBlock, buffer);
    return buffer;
  }
  free(fileBlock: number): void {
    const buffer = this.blocks.get(fileBlock);
    if (!buffer) throw new Error(`free: block ${fileBlock} is a hole`);
    buffer.attached = false;
    this.blocks.delete(fileBlock);
    this.#sealed.delete(fileBlock);
  }
  change(buffer: Buffer): void {
    if (!buffer.attached) throw new Error('change: a freed block');
    buffer.dirty = true;
  }
  setLocal(bytes: Uint8Array): void {
    if (this.blocks.size > 0) throw new Error('setLocal: the fork has blocks');
    if (bytes.length > this.localCapacity) throw new Error(`setLocal: ${bytes.length} bytes in ${this.localCapacity}`);
    const copy = bytes.slice();
    this.#local = new DataView(copy.buffer);
  }
  clearLocal(): void {
    if (!this.#local) throw new Error('clearLocal: the fork is not local');
    // The bytes are gone: whoever still looks must have copied them.
    new Uint8Array(this.#local.buffer).fill(0xdd);
    this.#local = undefined;
  }
  setSize(size: number): void {
    this.size = size;
  }

  /**
   * What the cache does on write and the next read: seal every block and check it as its type. Throws on the first that
   * does not verify, and on a block whose bytes changed since the last call without being announced.
   */
  settle(): void {
    for (const [fileBlock, buffer] of this.blocks) {
      const before = this.#sealed.get(fileBlock);
      if (!buffer.dirty && before) {
        if (!same(before, buffer.data)) throw new Error(`block ${fileBlock} changed without change()`);
        continue;
      }
      if (buffer.type.crcOffset >= 0) sealCrc(buffer.data, buffer.type.crcOffset);
      const fault = checkBlock(buffer.type, buffer.data, buffer.view, this.geometry, buffer.daddr);
      if (fault) throw faultError(fault, fileBlock);
      buffer.dirty = false;
      this.#sealed.set(fileBlock, buffer.data.slice());
    }
  }

  /**
   * A fork with the same bytes whose blocks are verified when first found, as from a device; `edit` may damage the
   * bytes first (their CRC is taken as fixed).
   */
  reread(edit: (fileBlock: number, data: Uint8Array) => void = () => {}): MapFork {
    const copy = new MapFork(this.geometry, this);
    for (const [fileBlock, buffer] of this.blocks) {
      const twin = new Buffer(buffer.segments, buffer.length, UNVERIFIED);
      twin.data.set(buffer.data);
      edit(fileBlock, twin.data);
      copy.blocks.set(fileBlock, twin);
    }
    if (this.#local) {
      const bytes = new Uint8Array(this.#local.buffer).slice();
      edit(-1, bytes);
      copy.#local = new DataView(bytes.buffer);
    }
    return copy;
  }
}

/** Type of a block nobody has read yet: any other type verifies it first. */
const UNVERIFIED: BlockType = { name: 'unverified', logType: 0, crcOffset: -1, lsnOffset: -1, verify: () => undefined };

function faultError(fault: Fault, fileBlock: number) {
  return corrupt(fault.code, `block ${fileBlock}: ${fault.field} is ${fault.found}, expected ${fault.expected}`, {
    where: { fileBlock, field: fault.field },
    expected: fault.expected,
    found: fault.found,
  });
}
const same = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => byte === b[i]);
