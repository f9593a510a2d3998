/**
 * The image that the collision scenes play on: small, in memory, every block of every file different from every other, so
 * that afterwards a block found anywhere says whose it was and which.
 *
 *   /a 4 blocks   /b 6   /c 4   /d 2   /e 1   /two: blocks 0-1 and 10-11   /pre: 4 unwritten blocks   /shared, /clone: 4 shared
 *   /frag, /frag2: extents in turns, each in an extent tree   /dir, /dir2: one directory block   /tree: a large directory
 *   /named: attributes in a leaf   /link: a long symlink   /remote: attributes with values in blocks of their own
 *   /many, /many2: such values in turns, each attribute fork in an extent tree
 */
import { createHash } from 'node:crypto';
import { ATTR } from '../../formats/attribute.ts';
import type { Geometry } from '../../formats/geometry.ts';
import { INODE_FLAG, MODE } from '../../formats/inode.ts';
import type { Device } from '../../lib/device/device.ts';
import { insert } from '../../lib/directory/directory.ts';
import { Fork } from '../../lib/file/fork.ts';
import { Inode } from '../../lib/file/inode.ts';
import { editFork } from '../../lib/file/inode-fork-blocks.ts';
import type { MkfsOptions } from '../../lib/mkfs/options.ts';
import { inodeOwner } from '../../lib/space/owner.ts';
import { Editor } from '../../lib/volume/editor.ts';
import { setXattr } from '../../lib/volume/metadata.ts';
import type { Volume } from '../../lib/volume/volume.ts';
import { buildAttributes } from '../../lib/xattr/build.ts';
import { FileWorld } from '../support/file-world.ts';

/** What an image can do, as far as disputes care. */
export interface Variant {
  readonly name: string;
  readonly dialect: 'xfs' | 'cadastre';
  readonly register: boolean;
  readonly reflink: boolean;
  /** Beyond what it can do: sizes. */
  readonly options?: Partial<Omit<MkfsOptions, 'dialect'>>;
}

export const VARIANTS: readonly Variant[] = [
  { name: 'cadastre', dialect: 'cadastre', register: true, reflink: true },
  { name: 'xfs, rmapbt, reflink', dialect: 'xfs', register: true, reflink: true },
  { name: 'xfs, rmapbt', dialect: 'xfs', register: true, reflink: false },
  { name: 'xfs, reflink', dialect: 'xfs', register: false, reflink: true },
  { name: 'xfs, bare', dialect: 'xfs', register: false, reflink: false },
];

const MIB = 1 << 20;
/** Blocks and directory blocks of other sizes. */
export const RARE_VARIANTS: readonly Variant[] = [
  {
    name: 'xfs, blocks of 64k',
    ...{ dialect: 'xfs', register: true, reflink: true },
    options: { blockSize: 65536, size: 512 * MIB, logSize: 144 * MIB },
  },
  {
    name: 'cadastre, blocks of 64k',
    ...{ dialect: 'cadastre', register: true, reflink: true },
    options: { blockSize: 65536, size: 512 * MIB, logSize: 144 * MIB },
  },
  {
    name: 'xfs, bare, blocks of 1k, directory blocks of 8k',
    ...{ dialect: 'xfs', register: false, reflink: false },
    options: { blockSize: 1024, dirBlockSize: 8192 },
  },
  {
    name: 'xfs, rmapbt, reflink, directory blocks of 16k',
    ...{ dialect: 'xfs', register: true, reflink: true },
    options: { dirBlockSize: 16384 },
  },
  {
    name: 'xfs, reflink, directory blocks of 64k',
    ...{ dialect: 'xfs', register: false, reflink: true },
    options: { dirBlockSize: 65536 },
  },
  {
    name: 'cadastre, blocks of 1k, directory blocks of 4k',
    ...{ dialect: 'cadastre', register: true, reflink: true },
    options: { blockSize: 1024, dirBlockSize: 4096 },
  },
];

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Names in each of the small directories, and in the large one. */
const SOME = 30;
const MANY = 300;

export interface World {
  readonly device: Device;
  readonly geometry: Geometry;
  /** Blocks of regular files as they were written: "a.0" → the key of its bytes. */
  readonly written: ReadonlyMap<string, string>;
}

class Builder extends FileWorld {
  readonly written = new Map<string, string>();
  #name = '';

  override name(): Uint8Array {
    return bytesOf(this.#name);
  }

  make(name: string, mode?: number, more?: { forkoff?: number; target?: Uint8Array }): number {
    this.#name = name;
    return this.create(mode, more);
  }

  /** Fill blocks with what says whose they are. */
  fill(number: number, name: string, fileBlock: number, count: number): void {
    const { blockSize } = this.geometry;
    const bytes = new Uint8Array(count * blockSize);
    for (let i = 0; i < count; i++) {
      const label = `${name}.${fileBlock + i}`;
      const block = bytes.subarray(i * blockSize, (i + 1) * blockSize);
      const text = bytesOf(`${label} `);
      for (let at = 0; at < block.length; at++) block[at] = text[at % text.length]!;
      this.written.set(label, keyOf(block));
    }
    this.writer(number).append(fileBlock, bytes, 0);
    const inode = this.inode(number);
    inode.change(this.tx);
    inode.core.size = Math.max(inode.size, (fileBlock + count) * blockSize);
  }

  file(name: string, blocks: number): number {
    const number = this.make(name);
    this.fill(number, name, 0, blocks);
    return number;
  }

  preallocate(number: number, blocks: number): void {
    const { tx, space } = this;
    const got = space.allocate(tx, {
      min: blocks,
      max: blocks,
      owner: inodeOwner(number),
      place: { fileBlock: 0, unwritten: true },
    })!;
    const inode = this.inode(number);
    new Fork(inode, 'data').map(tx, space, 0, got.fsBlock, blocks, true);
    inode.core.flags |= INODE_FLAG.PREALLOC;
    inode.core.size = blocks * this.geometry.blockSize;
  }

  directory(name: string, target: number, count: number): void {
    const number = this.make(name, MODE.DIR | 0o755);
    const fork = editFork(this.tx, this.space, this.inode(number), 'data');
    for (let i = 0; i < count; i++) {
      insert(fork, bytesOf(`${name} has a name that takes room ${String(i).padStart(4, '0')}`), target, 1);
    }
    const inode = Inode.load(this.tx, target);
    inode.change(this.tx);
    inode.core.nlink += count;
  }
}

const TIME = { seconds: 1_700_000_000, nanoseconds: 7 };
/** Longest value that there may be. */
const MOST_VALUE = 65536;
/** Enough extents for a tree of them. */
const VALUES = 16;

/** A block's bytes as something that can be looked up. */
export const keyOf = (block: Uint8Array): string => createHash('sha1').update(block).digest('base64');

export function makeWorld(variant: Variant): World {
  const { dialect, register, reflink, options } = variant;
  const features = dialect === 'xfs' ? { features: { rmapbt: register, reflink } } : {};
  const world = new Builder({ dialect, size: 64 * MIB, agCount: 2, logSize: 16 * MIB, ...features, ...options });
  world.file('a', 4);
  world.file('b', 6);
  world.file('c', 4);
  const d = world.file('d', 2);
  const two = world.make('two');
  world.fill(two, 'two', 0, 2);
  world.file('gap', 1);
  world.fill(two, 'two', 10, 2);
  world.preallocate(world.make('pre'), 4);
  const turns = [world.make('frag'), world.make('frag2')] as const;
  for (let i = 0; i < 60; i++) {
    world.fill(turns[0], 'frag', 2 * i, 1);
    world.fill(turns[1], 'frag2', 2 * i, 1);
  }
  world.directory('dir', d, SOME);
  world.directory('dir2', d, SOME);
  world.directory('tree', d, MANY);
  const named = world.make('named', undefined, { forkoff: 24 });
  world.fill(named, 'named', 0, 1);
  world.usesAttributes();
  buildAttributes(
    editFork(world.tx, world.space, world.inode(named), 'attr'),
    Array.from({ length: 20 }, (_, i) => ({
      flags: i % 2 === 0 ? 0 : ATTR.SECURE,
      name: bytesOf(`attribute ${i}`),
      value: new Uint8Array(50).fill(i),
    })),
  );
  world.make('link', MODE.SYMLINK | 0o777, { target: bytesOf('long/'.repeat(150)) });
  const shared = world.file('shared', 4);
  const valued = ['remote', 'many', 'many2'].map((name) => world.file(name, 1));
  world.file('e', 1);
  if (reflink) {
    const clone = world.make('clone');
    world.share(shared, 0, clone, 0, 4);
  }
  const problems = world.finish();
  if (problems.length > 0) throw new Error(`the world of ${variant.name} is not sound: ${problems.join('\n')}`);
  addLargeValues(world.device, valued as [number, number, number]);
  return { device: world.device, geometry: world.geometry, written: world.written };
}

/** Values of attributes in blocks of their own, three blocks each; two of the files in turns. */
function addLargeValues(device: Device, [remote, ...turns]: readonly [number, ...number[]]): void {
  const editor = Editor.open(device, { now: () => TIME });
  const length = 2 * editor.volume.geometry.blockSize + 100;
  const store = (number: number, i: number): void => {
    const bytes = Uint8Array.from({ length: Math.min(length, MOST_VALUE) }, (_, at) => number + i + (at >> 4));
    setXattr(editor, number, bytesOf(`user.value ${i}`), bytes);
  };
  for (let i = 0; i < 3; i++) store(remote, i);
  for (let i = 0; i < VALUES; i++) for (const number of turns) store(number, i);
  editor.close();
}

/** Blocks of a file by name: `.` for its own, `0` for zeroes, `?` for unknown bytes, else the label of the block found. */
export function blocksOf(world: World, volume: Volume, path: string): string {
  const inode = volume.resolve(path, false);
  const { blockSize } = world.geometry;
  const block = new Uint8Array(blockSize);
  const reader = volume.fileReader(inode);
  const labels = new Map([...world.written].map(([label, key]) => [key, label]));
  const found: string[] = [];
  for (let i = 0; i * blockSize < inode.size; i++) {
    block.fill(0);
    reader.read(i * blockSize, block.subarray(0, Math.min(blockSize, inode.size - i * blockSize)));
    const label = labels.get(keyOf(block));
    const own = `${path.slice(1)}.${i}`;
    if (label !== undefined) found.push(label === own ? '.' : label);
    else found.push(block.every((byte) => byte === 0) ? '0' : '?');
  }
  return found.join(' ');
}
