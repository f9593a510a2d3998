/**
 * The bytes of the first inode chunk: root directory (empty, its own parent), the two realtime inodes that every image
 * has to have, and free inodes. Generation numbers are 0, so equal options give equal bytes.
 */
import { sealCrc } from '../../formats/checksum.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { FORMAT, INODE_FLAG, INODE_FLAG2, INODE_MAGIC, InodeCore, MODE } from '../../formats/inode.ts';
import { NULL32 } from '../../formats/struct.ts';
import { type Time, writeTime } from '../../formats/time.ts';

const EPOCH: Time = { seconds: 0, nanoseconds: 0 };
/** Empty short-form directory: entry count, count of 8-byte numbers, parent (4 bytes). */
const EMPTY_DIRECTORY_BYTES = 6;
/** What mkfs.xfs leaves: created, then changed once. */
const CHANGE_COUNT = 2;

/** The whole chunk, sealed. */
export function buildFirstInodes(geometry: Geometry, time: Time): Uint8Array {
  const { inodeSize, rootInode, features } = geometry;
  const chunk = new Uint8Array(geometry.chunkInodes * inodeSize);
  const view = new DataView(chunk.buffer);
  const core = InodeCore.view();
  for (let slot = 0; slot < geometry.chunkInodes; slot++) {
    const at = slot * inodeSize;
    core.at(view, at);
    core.magic = INODE_MAGIC;
    core.version = 3;
    core.nextUnlinked = NULL32;
    core.ino = rootInode + slot;
    core.uuid = geometry.metaUuid;
    if (slot < 3) {
      core.aformat = FORMAT.EXTENTS;
      core.changecountLo = CHANGE_COUNT;
      core.flags2Lo = (features.bigtime ? INODE_FLAG2.BIGTIME : 0) | (features.nrext64 ? INODE_FLAG2.NREXT64 : 0);
      writeTime(view, at + InodeCore.offsets.atime, EPOCH, features.bigtime);
      writeTime(view, at + InodeCore.offsets.mtime, time, features.bigtime);
      writeTime(view, at + InodeCore.offsets.ctime, time, features.bigtime);
      writeTime(view, at + InodeCore.offsets.crtime, time, features.bigtime);
    }
    if (slot === 0) {
      core.mode = MODE.DIR | 0o755;
      core.nlink = 2;
      core.format = FORMAT.LOCAL;
      core.size = EMPTY_DIRECTORY_BYTES;
      view.setUint32(at + InodeCore.size + 2, rootInode);
    } else if (slot < 3) {
      core.mode = MODE.FILE;
      core.nlink = 1;
      core.format = FORMAT.EXTENTS;
      core.flags = slot === 1 ? INODE_FLAG.NEWRTBM : 0;
    }
    sealCrc(chunk.subarray(at, at + inodeSize), InodeCore.offsets.crc);
  }
  return chunk;
}
