/** The life of an inode slot: made from a free one, and given back. */
import { FORMAT, INODE_FLAG2, InodeCore, MODE, S_IFMT } from '../../formats/inode.ts';
import { NULL32 } from '../../formats/struct.ts';
import type { Time } from '../../formats/time.ts';
import type { Transaction } from '../buffer/transaction.ts';
import { Inode } from './inode.ts';

/** What a new inode starts with. */
export interface NewInode {
  /** Type and permissions. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  atime: Time;
  mtime: Time;
  ctime: Time;
  crtime: Time;
  /** Character and block devices. */
  device?: { major: number; minor: number };
  /** Start of the attr fork in 8-byte units; 0 = none yet. Devices: 0 or 1. */
  forkoff: number;
}

/**
 * Turn the free slot of a just allocated inode into an inode in use: empty, extents form (devices: device form). The
 * generation number stays what the slot has.
 */
export function initialiseInode(tx: Transaction, number: number, what: NewInode): Inode {
  const inode = Inode.placeFresh(tx, number);
  const { core, geometry, base, view } = inode;
  inode.change(tx);
  const generation = core.gen;
  const lsnHi = core.lsnHi;
  const lsnLo = core.lsnLo;
  const magic = core.magic;
  const uuid = core.uuid.slice();
  new Uint8Array(view.buffer, view.byteOffset + base, geometry.inodeSize).fill(0);
  core.magic = magic;
  core.version = 3;
  core.mode = what.mode;
  core.format = hasDeviceFork(what.mode) ? FORMAT.DEV : FORMAT.EXTENTS;
  core.aformat = FORMAT.EXTENTS;
  core.forkoff = what.forkoff;
  core.uid = what.uid;
  core.gid = what.gid;
  core.nlink = what.nlink;
  core.gen = generation;
  core.nextUnlinked = NULL32;
  core.changecountLo = 1;
  core.lsnHi = lsnHi;
  core.lsnLo = lsnLo;
  core.flags2Lo =
    (geometry.features.bigtime ? INODE_FLAG2.BIGTIME : 0) | (geometry.features.nrext64 ? INODE_FLAG2.NREXT64 : 0);
  core.ino = number;
  core.uuid = uuid;
  inode.setTime('atime', what.atime);
  inode.setTime('mtime', what.mtime);
  inode.setTime('ctime', what.ctime);
  inode.setTime('crtime', what.crtime);
  if (what.device) view.setUint32(base + InodeCore.size, ((what.device.major << 18) | what.device.minor) >>> 0);
  return inode;
}

/** Devices, fifos and sockets have a device number where others have a data fork. */
export function hasDeviceFork(mode: number): boolean {
  const type = mode & S_IFMT;
  return type === MODE.CHAR || type === MODE.BLOCK || type === MODE.FIFO || type === MODE.SOCKET;
}
