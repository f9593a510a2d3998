/** What an image holds, as far as it can be read: hashes of all files by inode and path, to count what a repair has kept. */
import { createHash } from 'node:crypto';
import type { Device } from '../../lib/device/device.ts';
import { CadastreError } from '../../lib/errors.ts';
import { readSymlink } from '../../lib/file/symlink.ts';
import { listXattrs } from '../../lib/volume/metadata.ts';
import { joinPath, showPath } from '../../lib/volume/path.ts';
import { type DirectoryEntry, Volume } from '../../lib/volume/volume.ts';

export interface Held {
  readonly path: string;
  readonly inode: number;
  readonly hash: string;
  readonly attributes: string;
}

/** All bytes of a file, by path or inode number. */
export function bytesOf(device: Device, file: string | number): Uint8Array {
  const volume = Volume.open(device);
  const inode = typeof file === 'string' ? volume.resolve(file) : volume.inode(file);
  const bytes = new Uint8Array(inode.size);
  volume.fileReader(inode).read(0, bytes);
  return bytes;
}

/** Longest file that is read: a damaged size may say anything. */
const MOST_BYTES = 64 << 20;

/** Everything but directories, by path. What cannot be read is missing. */
export function contentOf(device: Device): Map<string, Held> {
  const held = new Map<string, Held>();
  let volume: Volume;
  try {
    volume = Volume.open(device, { allowUnfinished: true });
  } catch (error) {
    return ignore(error, held);
  }
  const done = new Map<number, { hash: string; attributes: string } | undefined>();
  const pending: { inode: number; path: Uint8Array }[] = [
    { inode: volume.geometry.rootInode, path: Uint8Array.of(0x2f) },
  ];
  const seen = new Set<number>();
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (seen.has(next.inode)) continue;
    seen.add(next.inode);
    for (const { name, inode } of entriesOf(volume, next.inode)) {
      const path = joinPath(next.path, name);
      try {
        if (volume.inode(inode).isDirectory) {
          pending.push({ inode, path });
          continue;
        }
      } catch (error) {
        ignore(error, undefined);
        continue;
      }
      if (!done.has(inode)) done.set(inode, hashOf(volume, inode));
      const known = done.get(inode);
      if (known) held.set(showPath(path), { path: showPath(path), inode, ...known });
    }
  }
  return held;
}

function entriesOf(volume: Volume, directory: number): DirectoryEntry[] {
  try {
    return volume.entries(volume.inode(directory));
  } catch (error) {
    return ignore(error, []);
  }
}

function hashOf(volume: Volume, number: number): { hash: string; attributes: string } | undefined {
  try {
    const inode = volume.inode(number);
    const hash = createHash('sha1');
    if (inode.isSymlink) hash.update('symlink').update(readSymlink(inode));
    else if (inode.isFile) {
      const bytes = new Uint8Array(Math.min(inode.size, MOST_BYTES));
      volume.fileReader(inode).read(0, bytes);
      hash.update(`file ${inode.size}`).update(bytes);
    } else if (inode.isDirectory) return undefined;
    else hash.update(`special ${inode.mode >> 12}`);
    let attributes = '';
    try {
      const list = listXattrs(inode).map(
        ({ name, value }) => `${Buffer.from(name)}=${Buffer.from(value).toString('hex')}`,
      );
      attributes = createHash('sha1').update(list.sort().join('\n')).digest('hex');
    } catch (error) {
      ignore(error, undefined);
    }
    return { hash: hash.digest('hex'), attributes };
  } catch (error) {
    return ignore(error, undefined);
  }
}

function ignore<T>(error: unknown, value: T): T {
  if (error instanceof CadastreError && error.family !== 'internal') return value;
  throw error;
}

export interface Kept {
  /** Files whose bytes are there, under whatever name. */
  readonly intact: number;
  /** And under their own. */
  readonly inPlace: number;
  readonly total: number;
  /** Names, hard links among them, that lead to the bytes they led to. */
  readonly names: number;
  /** Inodes that have their attributes. */
  readonly attributes: number;
  readonly lost: readonly Held[];
}

/** Compare two states of an image. Every file's content says whose it is, so a hash is as good as a name. */
export function compareContent(before: ReadonlyMap<string, Held>, after: ReadonlyMap<string, Held>): Kept {
  const hashes = new Set([...after.values()].map(({ hash }) => hash));
  const files = new Map([...before.values()].map((held) => [held.inode, held]));
  const attributes = new Map([...after.values()].map((held) => [held.inode, held.attributes]));
  const lost: Held[] = [];
  let inPlace = 0;
  let withAttributes = 0;
  for (const held of files.values()) {
    if (after.get(held.path)?.hash === held.hash) inPlace++;
    if (!hashes.has(held.hash)) lost.push(held);
    if (attributes.get(held.inode) === held.attributes) withAttributes++;
  }
  let names = 0;
  for (const held of before.values()) if (after.get(held.path)?.hash === held.hash) names++;
  return { intact: files.size - lost.length, inPlace, total: files.size, names, attributes: withAttributes, lost };
}
