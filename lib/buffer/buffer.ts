/** One cached block: its bytes, where they live, what they claim to be, and what the cache must still do with them. */
import type { BlockType } from '../../formats/block-type.ts';

/** A run of bytes on the device. A buffer has one, but for directory blocks whose fs blocks are scattered. */
export interface Segment {
  /** 512-byte address. */
  readonly daddr: number;
  /** Bytes. */
  readonly length: number;
}

export class Buffer {
  /** Key in the cache: daddr of the first segment. */
  readonly daddr: number;
  readonly segments: readonly Segment[];
  /** Bytes and a DataView of the same bytes. */
  readonly data: Uint8Array;
  readonly view: DataView;
  type: BlockType;
  /** False once the cache has let go of it: the bytes may be stale, fetch it again. */
  attached = true;
  dirty = false;
  /** Held in memory while > 0: part of a transaction that is not yet in the log. */
  pins = 0;
  /** Recently used (the cache's clock hand clears it). */
  referenced = true;
  /** Inode clusters: which slots were changed and need a new CRC. */
  changedSlots: Set<number> | undefined = undefined;

  constructor(segments: readonly Segment[], length: number, type: BlockType) {
    this.daddr = segments[0]!.daddr;
    this.segments = segments;
    this.data = new Uint8Array(length);
    this.view = new DataView(this.data.buffer);
    this.type = type;
  }

  get length(): number {
    return this.data.length;
  }
}
