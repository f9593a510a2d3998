/**
 * Every inode in use, in the order of the disk: one pass over the inode trees, with no regard to names. Clusters are read one
 * after the other and let go of, so memory does not depend on the number of inodes.
 */
import { NULL64 } from '../../formats/struct.ts';
import { CadastreError } from '../errors.ts';
import type { Inode } from '../file/inode.ts';
import { ChunkRecord, SLOTS } from '../space/inode-records.ts';
import type { Volume } from './volume.ts';

export interface InodePass {
  visit(inode: Inode): void;
  /** Something cannot be read: the pass goes on behind it. Codes as of `Inode.load` and of tree walks. */
  failed(error: CadastreError): void;
  /** Chunks of inodes visited so far, of about so many. */
  progress?: ((done: number, total: number) => void) | undefined;
}

/** Visit every inode in use, unlinked ones too. What `visit` throws (CadastreErrors) is told to `failed`. */
export function forEachInode(volume: Volume, pass: InodePass): void {
  const { geometry, space, cache } = volume;
  const record = new ChunkRecord(geometry);
  const guard = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof CadastreError) || error.family === 'internal') throw error;
      pass.failed(error);
    }
  };
  let total = 0;
  guard(() => (total = Math.ceil(space.countInodes(cache).inodes / SLOTS)));
  let done = 0;
  for (let ag = 0; ag < geometry.agCount; ag++) {
    let next = 0;
    guard(() =>
      space.forEachInodeChunk(cache, ag, (view, offset) => {
        const { startInode } = record.load(view, offset);
        // A record that goes back would make the pass see inodes twice.
        if (startInode < next) return;
        next = startInode + SLOTS;
        if (done++ % 256 === 0) pass.progress?.(done, total);
        for (let slot = 0; slot < SLOTS; slot++) {
          if (!record.exists(slot) || record.isFree(slot)) continue;
          guard(() => pass.visit(volume.inode(geometry.inodeNumber(ag, startInode + slot))));
        }
      }),
    );
  }
}

/** Inodes that belong to the file system itself and have no name: of quotas and of the realtime section. */
export function systemInodes(volume: Volume): Set<number> {
  const { rbmino, rsumino, uquotino, gquotino, pquotino } = volume.superblock;
  return new Set([rbmino, rsumino, uquotino, gquotino, pquotino].filter((inode) => inode !== NULL64 && inode !== 0));
}
