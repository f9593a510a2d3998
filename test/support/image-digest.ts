/**
 * The tree inside an image as our own reader sees it, in the shape of digest.ts, and a way to make an image out of a host
 * directory: what the conformance suites compare with the kernel's view and with the source.
 */
import { MODE, S_IFMT } from '../../formats/inode.ts';
import { FileDevice } from '../../lib/device/file.ts';
import { Fork } from '../../lib/file/fork.ts';
import type { Inode } from '../../lib/file/inode.ts';
import { readFork } from '../../lib/file/inode-fork-blocks.ts';
import { readSymlink } from '../../lib/file/symlink.ts';
import { Volume } from '../../lib/volume/volume.ts';
import { toLinux } from '../../lib/xattr/linux-names.ts';
import { forEachAttribute } from '../../lib/xattr/read.ts';
import { contentDigest, escapeBytes, type TreeEntry, timeDigest, xattrDigest } from './digest.ts';
import { everyObject } from './every-object.ts';

const TYPES: Record<number, TreeEntry['type']> = {
  [MODE.FILE]: 'file',
  [MODE.DIR]: 'directory',
  [MODE.SYMLINK]: 'symlink',
  [MODE.CHAR]: 'char',
  [MODE.BLOCK]: 'block',
  [MODE.FIFO]: 'fifo',
  [MODE.SOCKET]: 'socket',
};

/** The digest of a whole image; `identity` adds inode numbers, blocks, atime and ctime as digestTree does. */
export function digestVolume(volume: Volume, options: { identity?: boolean } = {}): TreeEntry[] {
  const found: { key: Buffer; entry: TreeEntry }[] = [];
  everyObject(volume, '', (path, inode) => {
    found.push({ key: Buffer.from(path), entry: entryOf(volume, path, inode, options.identity === true) });
  });
  found.sort((a, b) => Buffer.compare(a.key, b.key));
  return found.map(({ entry }) => entry);
}

/** The same of an image file. */
export function digestImage(path: string, options: { identity?: boolean } = {}): TreeEntry[] {
  const volume = Volume.open(new FileDevice(path, 'r'));
  try {
    return digestVolume(volume, options);
  } finally {
    volume.close();
  }
}

function entryOf(volume: Volume, path: Uint8Array, inode: Inode, identity: boolean): TreeEntry {
  const { core } = inode;
  const type = TYPES[inode.mode & S_IFMT];
  if (!type) throw new Error(`inode ${inode.number} has mode 0${inode.mode.toString(8)}`);
  const mtime = inode.time('mtime');
  const entry: TreeEntry = {
    path: escapeBytes(path) || '/',
    type,
    mode: inode.mode & 0o7777,
    uid: core.uid,
    gid: core.gid,
    nlink: core.nlink,
    size: inode.size,
    mtime: timeDigest(mtime.seconds, mtime.nanoseconds),
  };
  if (type === 'char' || type === 'block') {
    const { major, minor } = inode.deviceNumber;
    entry.rdev = `${major}:${minor}`;
  }
  if (type === 'symlink') entry.target = escapeBytes(readSymlink(inode));
  if (type === 'file') entry.sha256 = fileDigest(volume, inode);
  const xattrs = xattrsOf(inode);
  if (xattrs) entry.xattrs = xattrs;
  if (identity) {
    const { atime, ctime } = { atime: inode.time('atime'), ctime: inode.time('ctime') };
    entry.inode = inode.number;
    entry.blocks = (core.nblocks * volume.geometry.blockSize) / 512;
    entry.atime = timeDigest(atime.seconds, atime.nanoseconds);
    entry.ctime = timeDigest(ctime.seconds, ctime.nanoseconds);
  }
  return entry;
}

function fileDigest(volume: Volume, inode: Inode): string {
  const reader = volume.fileReader(inode);
  const fork = new Fork(inode, 'data');
  const { blockSize } = volume.geometry;
  const nextData = (offset: number): number => {
    let next = inode.size;
    fork.forEachExtent(
      (fileBlock, _startBlock, _blockCount, unwritten) => {
        if (unwritten) return false;
        next = Math.max(offset, fileBlock * blockSize);
        return true;
      },
      Math.floor(offset / blockSize),
    );
    return next;
  };
  return contentDigest(inode.size, (offset, into) => void reader.read(offset, into), nextData);
}

function xattrsOf(inode: Inode): Record<string, string> | undefined {
  if (inode.core.forkoff === 0) return undefined;
  const found: { name: Buffer; value: Uint8Array }[] = [];
  forEachAttribute(readFork(inode, 'attr'), (attribute) => {
    const linux = toLinux(attribute.flags, attribute.name(), attribute.value());
    if (linux) found.push({ name: Buffer.from(linux.name), value: linux.value });
  });
  if (found.length === 0) return undefined;
  found.sort((a, b) => Buffer.compare(a.name, b.name));
  return Object.fromEntries(found.map(({ name, value }) => [escapeBytes(name), xattrDigest(value)]));
}

/**
 * A list of trees without what only root sees on a mounted XFS: ACLs a second time, in their raw form under `trusted.`.
 * Changes nothing it is given.
 */
export function withoutRawAcls(entries: TreeEntry[]): TreeEntry[] {
  return entries.map((entry) => {
    if (!entry.xattrs) return entry;
    const kept = Object.entries(entry.xattrs).filter(([name]) => !name.startsWith('trusted.SGI_ACL_'));
    const { xattrs: _, ...rest } = entry;
    return kept.length > 0 ? { ...rest, xattrs: Object.fromEntries(kept) } : rest;
  });
}
