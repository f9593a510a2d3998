/**
 * An open image: geometry, cache and space together, and the ways to find an inode. Every reading command stands on
 * this; what a user names is a path of bytes, absolute inside the image.
 */
import type { Dialect } from '../../formats/dialect.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { Superblock } from '../../formats/superblock.ts';
import { BufferCache, DEFAULT_CACHE_BYTES } from '../buffer/cache.ts';
import type { BlockReader } from '../buffer/transaction.ts';
import type { Device } from '../device/device.ts';
import { forEachEntry, lookup, parentOf } from '../directory/directory.ts';
import { fileError } from '../errors.ts';
import { Inode } from '../file/inode.ts';
import { readFork } from '../file/inode-fork-blocks.ts';
import { FileReader } from '../file/read.ts';
import { readSymlink } from '../file/symlink.ts';
import { Space } from '../space/space.ts';
import { type OpenedSuperblock, openSuperblock } from './open.ts';
import { pathBytes, showPath, splitPath } from './path.ts';

/** Symlinks followed in one path before it counts as a loop. */
const MAX_SYMLINKS = 40;

export interface VolumeOptions {
  cacheBytes?: number;
  /** Open an image whose construction was cut off. */
  allowUnfinished?: boolean;
}

export class Volume {
  readonly device: Device;
  readonly geometry: Geometry;
  readonly dialect: Dialect;
  readonly cache: BufferCache;
  readonly space: Space;
  readonly opened: OpenedSuperblock;

  private constructor(device: Device, opened: OpenedSuperblock, cacheBytes: number) {
    this.device = device;
    this.opened = opened;
    this.geometry = opened.geometry;
    this.dialect = opened.dialect;
    this.cache = new BufferCache(device, opened.geometry, cacheBytes);
    this.space = new Space(opened.geometry);
  }

  /** Throws what `openSuperblock` throws: an image that cannot be handled is refused by name here. */
  static open(device: Device, options: VolumeOptions = {}): Volume {
    const opened = openSuperblock(device, options.allowUnfinished);
    return new Volume(device, opened, options.cacheBytes ?? DEFAULT_CACHE_BYTES);
  }

  /** The superblock's fields, as they were when the image was opened. */
  get superblock(): ReturnType<typeof Superblock.at> {
    const { sector } = this.opened;
    return Superblock.at(new DataView(sector.buffer, sector.byteOffset, sector.byteLength));
  }

  inode(number: number): Inode {
    return Inode.load(this.cache, number);
  }

  /** An inode seen through a transaction. */
  inodeIn(reader: BlockReader, number: number): Inode {
    return Inode.load(reader, number);
  }

  get root(): Inode {
    return this.inode(this.geometry.rootInode);
  }

  /**
   * The inode a path names. Throws ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG with the path in `where`.
   * @param follow what to do when the last part is a symlink (those before it are always followed).
   */
  resolve(path: string | Uint8Array, follow = true): Inode {
    const bytes = typeof path === 'string' ? pathBytes(path) : path;
    let pending = splitPath(bytes);
    let at = this.root;
    let links = 0;
    for (let i = 0; i < pending.length; i++) {
      const part = pending[i]!;
      at.assertDirectory(showPath(bytes));
      const next = this.child(at, part);
      if (next === undefined) throw fileError('ENOENT', `no such file or directory: ${showPath(bytes)}`, where(bytes));
      const inode = this.inode(next);
      if (inode.isSymlink && (follow || i < pending.length - 1)) {
        if (++links > MAX_SYMLINKS) throw fileError('ELOOP', `too many symlinks: ${showPath(bytes)}`, where(bytes));
        const target = readSymlink(inode);
        pending = [...splitPath(target), ...pending.slice(i + 1)];
        i = -1;
        if (target[0] === 0x2f) at = this.root;
        continue;
      }
      at = inode;
    }
    return at;
  }

  /** Inode number of an entry, or undefined. `.` and `..` are understood. */
  child(directory: Inode, name: Uint8Array): number | undefined {
    if (name.length === 1 && name[0] === 0x2e) return directory.number;
    const fork = readFork(directory, 'data');
    if (name.length === 2 && name[0] === 0x2e && name[1] === 0x2e) return parentOf(fork);
    return lookup(fork, name)?.inode;
  }

  /** Entries of a directory but `.` and `..`, in the order they are stored; `name` is a copy. */
  entries(directory: Inode): DirectoryEntry[] {
    const list: DirectoryEntry[] = [];
    forEachEntry(readFork(directory, 'data'), (inode, ftype, bytes, start, end) => {
      list.push({ name: bytes.slice(start, end), inode, ftype });
    });
    return list;
  }

  /** Entries sorted by name bytes: what listings show. */
  sortedEntries(directory: Inode): DirectoryEntry[] {
    return this.entries(directory).sort((a, b) => compareNames(a.name, b.name));
  }

  fileReader(inode: Inode): FileReader {
    return new FileReader(inode, this.device, this.space);
  }

  close(): void {
    this.device.close();
  }
}

export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly inode: number;
  /** Type byte of the entry: one of FTYPE. */
  readonly ftype: number;
}

/** Order of names: by bytes, a prefix first. */
export function compareNames(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

function where(path: Uint8Array): { where: { path: string } } {
  return { where: { path: showPath(path) } };
}
