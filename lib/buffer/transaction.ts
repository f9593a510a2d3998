/**
 * The doors between structures and bytes. A structure that only looks takes a `BlockReader`; one that changes takes a
 * `Transaction`. What a change means (straight to the image for mkfs, through the log for edits) is decided by who made
 * the transaction, never by the structure.
 */
import type { BlockType } from '../../formats/block-type.ts';
import type { Geometry } from '../../formats/geometry.ts';
import type { Buffer, Segment } from './buffer.ts';

export interface BlockReader {
  readonly geometry: Geometry;
  /**
   * A verified block. Throws `corrupt` when it does not verify or is cached as something else.
   * The buffer stays valid until the next call that may read or change other blocks has to be *changed*: keep the
   * address, not the buffer, across other people's changes.
   * @param daddr 512-byte units. @param length bytes.
   */
  get(daddr: number, length: number, type: BlockType): Buffer;
  /** The same for a block whose pieces are scattered. */
  getSegments(segments: readonly Segment[], type: BlockType): Buffer;
}

export interface Transaction extends BlockReader {
  /** A block whose old content does not matter: zero-filled, not read, already announced as changed. */
  create(daddr: number, length: number, type: BlockType): Buffer;
  createSegments(segments: readonly Segment[], type: BlockType): Buffer;
  /**
   * Announce that bytes `offset .. offset+length` of a buffer are about to change (default: any of them). Must come
   * before the bytes change; may be called many times.
   */
  change(buffer: Buffer, offset?: number, length?: number): void;
  /** These blocks were freed: nothing of them needs to be written any more. */
  forget(daddr: number, length: number): void;
  /**
   * The first piece of a range that was freed so recently that file data must not be written there: a crash could bring
   * back who had it. 512-byte units. Absent where nothing can be brought back.
   */
  freedIn?(daddr: number, length: number): { start: number; end: number } | undefined;
  /**
   * Do this when the transaction is certain to happen, in the order asked for: data written over what a file has now, which
   * no cancel could bring back. Absent where it may be done at once.
   */
  atCommit?(work: () => void): void;
}

/** Remember which inode slots of a cluster a change touches, so that only those get a new CRC. */
export function noteChange(buffer: Buffer, offset: number, length: number, slotSize: number): void {
  if (buffer.type.slotCrcOffset === undefined || length <= 0) return;
  const slots = (buffer.changedSlots ??= new Set());
  const last = Math.floor((offset + length - 1) / slotSize);
  for (let slot = Math.floor(offset / slotSize); slot <= last; slot++) slots.add(slot);
}
