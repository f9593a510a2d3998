/** What `stat` tells of an inode. */
import { MODE } from '../../formats/inode.ts';
import type { Time } from '../../formats/time.ts';
import type { Inode } from '../file/inode.ts';

/** A copy: stays what it was when the inode changes. */
export interface FileStat {
  readonly inode: number;
  /** Type and permissions. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly blockSize: number;
  /** In units of 512 bytes. */
  readonly blocks: number;
  /** Of the device that a device node stands for. */
  readonly device: { readonly major: number; readonly minor: number };
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  readonly crtime: Time;
}

const NO_DEVICE = { major: 0, minor: 0 } as const;

export function statInode(inode: Inode): FileStat {
  const { core, geometry, type } = inode;
  return {
    inode: inode.number,
    mode: inode.mode,
    nlink: core.nlink,
    uid: core.uid,
    gid: core.gid,
    size: inode.size,
    blockSize: geometry.blockSize,
    blocks: core.nblocks * (geometry.blockSize / 512),
    device: type === MODE.CHAR || type === MODE.BLOCK ? inode.deviceNumber : NO_DEVICE,
    atime: inode.time('atime'),
    mtime: inode.time('mtime'),
    ctime: inode.time('ctime'),
    crtime: inode.time('crtime'),
  };
}
