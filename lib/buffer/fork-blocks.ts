/**
 * A fork as directories and attributes see it: either a few bytes inside the inode (local form), or blocks at file-block
 * addresses. `lib/file` implements it over a real inode; tests implement it over a Map.
 */
import type { BlockType } from '../../formats/block-type.ts';
import type { Geometry } from '../../formats/geometry.ts';
import type { Buffer } from './buffer.ts';

export interface ForkReader {
  readonly geometry: Geometry;
  /** Inode number: owner field of every block. */
  readonly inode: number;
  /** Bytes of one block of this space: the directory block size, or the fs block size for attributes. */
  readonly blockBytes: number;
  /** fs blocks of one block: consecutive blocks of this space are this far apart in file-block addresses. */
  readonly blockBlocks: number;
  /** Bytes in the inode that the local form may use. */
  readonly localCapacity: number;
  /** The local bytes (to look at; change them with `setLocal`), or undefined when the fork has blocks. */
  local(): DataView | undefined;
  /** The verified block at a file block, or undefined where the fork has a hole. */
  find(fileBlock: number, type: BlockType): Buffer | undefined;
  /** File blocks of all mapped blocks of this space in [from, to), ascending. Stops being valid after any change. */
  mapped(from: number, to: number): Iterable<number>;
  /** Greatest mapped file block (start of a block of this space) below `before`, or undefined. */
  lastMapped(before: number): number | undefined;
}

export interface ForkBlocks extends ForkReader {
  /** Allocate and map one block of this space at exactly this file block (a hole until now); zero-filled. */
  create(fileBlock: number, type: BlockType): Buffer;
  /** Unmap and free the block at this file block. */
  free(fileBlock: number): void;
  change(buffer: Buffer, offset?: number, length?: number): void;
  /** Make the fork local with these bytes; the fork must have no blocks left (or already be local). */
  setLocal(bytes: Uint8Array): void;
  /** Leave the local form: the fork becomes an empty extent list. */
  clearLocal(): void;
  /** Directories: di_size. No meaning for attribute forks. */
  setSize(size: number): void;
}
