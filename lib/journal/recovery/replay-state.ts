/** What the files that replay one kind of item each see of a replay at work. */
import type { BlockType } from '../../../formats/block-type.ts';
import type { Geometry } from '../../../formats/geometry.ts';
import type { Position } from '../position.ts';
import type { RawBlock, RawBlocks } from './raw-blocks.ts';

export interface ReplayState {
  /** That of the image so far: a replayed superblock may enlarge it. */
  readonly geometry: Geometry;
  readonly blocks: RawBlocks;
  readonly bmbtType: BlockType;
  /** Directories whose inode was replayed. */
  readonly directories: Set<number>;
  /** Replayed pieces of directory blocks that may lie scattered. */
  readonly pieces: { daddr: number; length: number }[];
  /** Extent trees whose blocks must be told their new owner, at the end of the checkpoint. */
  readonly ownerChanges: { inode: number; attr: boolean; lsn: Position }[];
  /** Everything must be as the log says; otherwise an inode is written as logged also where none is left. */
  readonly isStrict: boolean;
  /** Items whose object on the disk was newer. */
  skipped: number;
  /** True when the log frees this buffer later on. @param length in basic blocks. */
  isCancelled(daddr: number, length: number): boolean;
  /** The primary superblock was replayed: from here on its geometry holds. */
  adoptSuperblock(block: RawBlock, lsn: Position): void;
}
